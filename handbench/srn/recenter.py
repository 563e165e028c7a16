"""Crops of a run about the centres of its localiser in place of the store's: the switch `data.localization`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from handbench.console import note, whole_or_nothing
from handbench.errors import HandbenchError
from handbench.srn.config import TrainConfig
from handbench.srn.data import Rows
from handbench.srn.localizer import Centers, Localizer, localizer_name, usable_rows
from handbench.srn.predict import find_checkpoint
from handbench.srn.run import RunFolder
from handbench.store import Store


@dataclass(frozen=True)
class Recentered:
    """The frames of a run and their centres.

    Attributes:
        center_xyz: (N, 3) mm, camera frame, of all frames of the split; None = the store's.
        rows: to train on.
        held_out: to validate on.
        center_method: of the centres of the frames to train on.
        localizer: whose centres they are; None = the store's.
    """

    center_xyz: Centers | None
    rows: Rows
    held_out: Rows
    center_method: str
    localizer: Localizer | None


def recenter(
    store: Store, config: TrainConfig, rows: Rows, held_out: Rows, device: torch.device, run: RunFolder | None = None
) -> Recentered:
    """Predict centres as `data.localization` says, once and before the training; no store is written.

    Args:
        store: to train on.
        config: of the run.
        rows: to train on.
        held_out: to validate on.
        device: where the localiser runs.
        run: the folder of the run, whose own copy of the localiser is taken where it has one.

    Returns:
        The same rows without those whose new box leaves image or window, which are counted on stderr.

    Raises:
        HandbenchError: if there is no localiser, it is none, it has learnt from a subject that the run leaves out, or
            no frame to train on is left.
    """
    data, split = config.data, store[config.data.split]
    if data.localization == "off":
        return Recentered(None, rows, held_out, split.center_method, None)
    localizer, everywhere = _localizer(config, device, run), data.localization == "train+test"
    asked = np.union1d(rows, held_out) if everywhere else held_out
    predicted = localizer.centers(store, split, asked)
    center_xyz = np.where(np.isin(np.arange(len(split)), asked)[:, None], predicted, split.center_xyz)
    kept = np.intersect1d(rows, usable_rows(store, split, center_xyz, config.augment)) if everywhere else rows
    kept_out = np.intersect1d(held_out, usable_rows(store, split, center_xyz))
    if left := len(rows) + len(held_out) - len(kept) - len(kept_out):
        where = "image or window" if store.windows else "image"
        note(f"{left:,} of {len(asked):,} frames are left out: their box about the predicted centre leaves the {where}")
    if not len(kept):
        raise HandbenchError(
            f"{store.path}: no frame is left to train on about the centres of {localizer.name}; "
            "put them into the store of whole frames first ('handbench localize'), and make windows of that"
        )
    method = localizer.center_method if everywhere else split.center_method
    return Recentered(center_xyz, kept, kept_out, method, localizer)


def keep_localizer(localizer: Localizer | None, run: RunFolder) -> None:
    """Copy the checkpoint of the localiser into the folder of a run, which then is whole by itself."""
    if localizer is None or localizer.path == run.localizer:
        return
    with whole_or_nothing(run.localizer) as partial:
        shutil.copyfile(localizer.path, partial)


def _localizer(config: TrainConfig, device: torch.device, run: RunFolder | None) -> Localizer:
    """The run's own, else the one that the configuration names.

    Raises:
        HandbenchError: as `recenter`.
    """
    data = config.data
    if not data.localizer:
        raise HandbenchError(
            f"data.localization is {data.localization!r}, which needs data.localizer: the folder of a "
            "`handbench train-localizer` run"
        )
    named = Path(data.localizer)
    own = run.localizer if run is not None and run.localizer.is_file() else None
    localizer = Localizer.load(own or find_checkpoint(named, "last"), device, localizer_name(named))
    learnt = set(data.exclude_subjects) - set(localizer.card.config.data.exclude_subjects)
    if learnt:
        raise HandbenchError(
            f"{localizer.path} has learnt from subject {min(learnt)}, which this run leaves out; train another with "
            f"--set data.exclude_subjects={list(data.exclude_subjects)}"
        )
    return localizer
