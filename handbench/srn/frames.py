"""What a run learns from and is watched on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from handbench.loading import BatchOrder, EpochOrder, HandDataset, ResidentBatches, Sample, stored_box
from handbench.preprocess import HandBox
from handbench.srn.config import TrainConfig
from handbench.srn.data import batches, choose_rows
from handbench.srn.distributed import Processes
from handbench.srn.facts import cube_rule
from handbench.srn.localizer import Centers, Localizer
from handbench.srn.recenter import recenter
from handbench.srn.run import RunFolder
from handbench.srn.sheet import MOST, Watched
from handbench.srn.target import true_xyz
from handbench.store import Store
from handbench.store.fingerprint import fingerprint


@dataclass(frozen=True)
class Frames:
    """Frames of the split `data.split`.

    Attributes:
        store: where they are.
        order: the frames to train on, in the batches of the epoch that is set there.
        batches: of them, augmented.
        held_out: batches of the others, upright.
        held_out_box: the boxes of the others, a batch.
        held_out_xyz: (frames, P, 3) mm, the points that are to be found in them.
        watched: a few of the held-out frames, or of those to train on where none are held out.
        fingerprint: SHA-256 of the tables of the store.
        center_method: of the centres of the frames to train on.
        cube_rule: the sides of their cubes, as text.
        localizer: whose centres take the place of the store's; None = nobody's.
    """

    store: Store
    order: BatchOrder
    batches: Iterable[Sample]
    held_out: Iterable[Sample]
    held_out_box: HandBox[npt.NDArray[Any]]
    held_out_xyz: npt.NDArray[Any]
    watched: Watched
    fingerprint: str
    center_method: str
    cube_rule: str
    localizer: Localizer | None

    def __len__(self) -> int:
        return len(self.order.order)


def choose_frames(
    store_path: Path,
    config: TrainConfig,
    device: torch.device,
    together: Processes | None = None,
    run: RunFolder | None = None,
) -> Frames:
    """The labelled frames of the split to train on, some of them held out.

    Args:
        store_path: the store.
        config: of the run.
        device: where the network runs.
        together: the processes that train, each of which gets its share of a batch; None = this one alone.
        run: the folder of a run to go on with, which has a localiser of its own where it needs one.

    Raises:
        HandbenchError: as `choose_rows` and `recenter`; or if a batch has fewer frames than there are processes.
    """
    store, data, together = Store(store_path), config.data, together or Processes()
    chosen = recenter(store, config, *choose_rows(store, config), device, run)
    rows, held_out, centers = chosen.rows, chosen.held_out, chosen.center_xyz
    split, scored = store[data.split], list(store.spec.joints.scored)
    order = BatchOrder(EpochOrder(rows, config.seed), config.optim.batch_size, together.rank, together.count)
    return Frames(
        store,
        order,
        _batches(store_path, config, rows, centers, order, device),
        _batches(store_path, config, held_out, centers, None, device),
        stored_box(split, held_out, centers),
        true_xyz(split.joints_xyz[held_out][:, scored], config.model),
        _watched(store_path, config, held_out if len(held_out) else rows, centers),
        fingerprint(store_path),
        chosen.center_method,
        cube_rule(split.cube[rows]),
        chosen.localizer,
    )


def _batches(
    store_path: Path,
    config: TrainConfig,
    rows: npt.NDArray[np.int64],
    centers: Centers | None,
    order: BatchOrder | None,
    device: torch.device,
) -> Iterable[Sample]:
    """Augmented batches of rows in an order; without one, upright and as the rows are."""
    data, size, batch_size = config.data, config.model.crop_size, config.optim.batch_size
    augment = None if order is None else config.augment
    if not data.resident:
        frames = HandDataset(store_path, data.split, size, rows, augment, config.seed, data.cache, center_xyz=centers)
        return batches(frames, order, batch_size, data.workers, device)
    resident = ResidentBatches(
        *(store_path, data.split, size, batch_size, rows, augment, config.seed),
        shuffle=False,
        device=device,
        center_xyz=centers,
    )
    return resident if order is None else ResidentShares(resident, order)


@dataclass(frozen=True)
class ResidentShares:
    """The batches of an order, from windows that lie in memory."""

    windows: ResidentBatches
    order: BatchOrder

    def __iter__(self) -> Iterator[Sample]:
        for keys in self.order:
            yield self.windows.batch(np.array([place for _, place in keys]), keys[0][0])


def _watched(store_path: Path, config: TrainConfig, rows: npt.NDArray[np.int64], centers: Centers | None) -> Watched:
    """Some of those rows, evenly spaced."""
    store = Store(store_path)
    split, scored = store[config.data.split], list(store.spec.joints.scored)
    some = rows[np.unique(np.linspace(0, len(rows) - 1, MOST).round().astype(int))]
    frames = HandDataset(store_path, config.data.split, config.model.crop_size, some, center_xyz=centers)
    samples = frames.__getitems__(range(len(some)))
    return Watched(
        torch.cat([sample["depth"] for sample in samples]).numpy(),
        stored_box(split, some, centers),
        true_xyz(split.joints_xyz[some][:, scored], config.model),
        store.spec.joints.scored_edges if config.model.predicts == "joints" else (),
        tuple(split.frame_key[some].tolist()),
    )
