"""From a checkpoint and a store to predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from handbench.camera import xyz_to_uvd
from handbench.console import note, progress
from handbench.errors import HandbenchError
from handbench.loading import HandDataset, croppable_rows, stored_box
from handbench.predictions import Predictions
from handbench.srn.checkpoint import Card, load_checkpoint, require_joints, sha256_of
from handbench.srn.data import Rows, batches, scored_names
from handbench.srn.facts import cube_rule
from handbench.srn.inference import predict_xyz
from handbench.srn.localizer import Localizer, usable_rows
from handbench.srn.run import CHECKPOINTS, RunFolder
from handbench.srn.target import CENTER
from handbench.store import Store


def predict(
    checkpoint: Path,
    store_path: Path,
    split_name: str,
    device: torch.device,
    batch_size: int,
    workers: int,
    only: Rows | None = None,
) -> Predictions:
    """The scored joints of every frame of a split, in the box that the store has for it, or the run's localiser finds.

    Args:
        checkpoint: a file of `handbench train`.
        store_path: the store.
        split_name: of the store.
        device: where the network runs.
        batch_size: frames at once.
        workers: processes that read and crop; 0 = this one.
        only: rows of the split, the others are left out; None = all.

    Returns:
        Predictions in the full image; frames whose status is not OK, or that have no centre, are NaN, and are counted
        on stderr.

    Raises:
        HandbenchError: on a damaged checkpoint, one of centres or of other joints than the store's, one whose localiser
            is not there, or a split that is not there.
    """
    model, card = load_checkpoint(checkpoint, device)
    store = Store(store_path)
    split, joints = store[split_name], scored_names(store)
    _require_pose(card, joints, store, checkpoint)
    asked = np.arange(len(split)) if only is None else only
    rows = np.intersect1d(croppable_rows(store, split), asked)
    localizer, centers = _localizer_of(card, checkpoint, device), None
    if localizer is not None:
        centers = localizer.centers(store, split, rows, 1, batch_size, workers)
        rows = np.intersect1d(rows, usable_rows(store, split, centers))
    uvd = np.full((len(split), len(joints), 3), np.nan)
    frames = HandDataset(store_path, split_name, card.config.model.crop_size, rows, center_xyz=centers)
    loader = batches(frames, None, batch_size, workers, device)
    with progress(f"predict {split_name}", len(rows), "frames") as advance:
        xyz = predict_xyz(model, loader, stored_box(split, rows, centers), device, advance)
    uvd[rows] = xyz_to_uvd(xyz, store.camera)
    if left_out := len(asked) - len(rows):
        note(f"{left_out} of {len(asked)} frames have no usable image or centre; their predictions are NaN")
    provenance = {
        "method": "SRN",
        "checkpoint": {"file": checkpoint.name, "sha256": sha256_of(checkpoint), **card.to_dict()},
        "split": split_name,
        "center_method": localizer.center_method if localizer else split.center_method,
        "cube_rule": cube_rule(split.cube[rows]),
        "epoch_rule": card.epoch_rule,
        "ensemble": False,
        "store": store.provenance,
    }
    return Predictions("SRN", uvd[asked], tuple(map(str, split.frame_key[asked])), provenance)


def find_checkpoint(run: Path, which: str) -> Path:
    """The checkpoint of a run; a path to a checkpoint file is taken as it is.

    Raises:
        HandbenchError: if there is none.
    """
    path = RunFolder(run).checkpoint(which) if run.is_dir() else run
    if not path.is_file():
        there = [name for name in CHECKPOINTS if RunFolder(run).checkpoint(name).is_file()]
        hint = f"it has {' and '.join(there)}" if there else "it is not the folder of a run that has finished an epoch"
        raise HandbenchError(f"there is no checkpoint {path}; {hint}" if run.is_dir() else f"there is no run {run}")
    return path


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU if there is one.

    Raises:
        HandbenchError: if CUDA is asked for and not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise HandbenchError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _require_pose(card: Card, joints: tuple[str, ...], store: Store, checkpoint: Path) -> None:
    """Refuse a checkpoint of centres, or of other joints than the store's.

    Raises:
        HandbenchError: saying what it is.
    """
    if card.joints == CENTER:
        raise HandbenchError(
            f"{checkpoint} predicts the centre of the hand and no joints; `handbench localize` puts its centres into a "
            "store"
        )
    require_joints(card, joints, store.spec.name, checkpoint)


def _localizer_of(card: Card, checkpoint: Path, device: torch.device) -> Localizer | None:
    """The localiser beside a checkpoint whose crops are made around its centres.

    Raises:
        HandbenchError: if it is not there, or another one is.
    """
    if card.localizer is None:
        return None
    path, name = RunFolder(checkpoint.parent).localizer, card.localizer["name"]
    if not path.is_file():
        raise HandbenchError(
            f"{checkpoint} predicts in crops about the centres of the localiser {name}, and {path} is not there; "
            "take the checkpoint in the folder of its run"
        )
    localizer = Localizer.load(path, device, name)
    if localizer.sha256 != card.localizer["sha256"]:
        raise HandbenchError(f"{path} is another localiser than the one that {checkpoint} was trained with")
    return localizer
