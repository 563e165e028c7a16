"""Frames of a store as crops and targets for the network; which rows are used, held out and in what order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from handbench.preprocess import AugmentConfig, HandBox, crop, perturb
from handbench.store import Split, Store

Rows = npt.NDArray[np.int64]
Key = tuple[int, int]
"""(epoch, row): what a sample is asked for. The epoch only seeds the augmentation."""


class Sample(TypedDict):
    """One frame for the network; a batch has one axis more.

    Attributes:
        depth: (1, S, S) crop in [-1, 1], background +1.
        target: (J, 3) scored joints, `uvd_si_norm`; NaN = not labelled.
    """

    depth: torch.Tensor
    target: torch.Tensor


class HandCrops(Dataset[Sample]):
    """Crops of one split. The store is opened where it is read first, hence once in each worker."""

    def __init__(
        self,
        store: Path,
        split: str,
        crop_size: int,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        cache: bool = False,
    ) -> None:
        """A data set of samples.

        Args:
            store: path of the store.
            split: name of the split.
            crop_size: side S of the crop, px.
            augment: ranges of the random boxes; None = the box of the store, upright.
            seed: of the random boxes, which depend on (seed, epoch, row) alone: not on workers, order or history.
            cache: keep every frame in memory after its first read.
        """
        self._store, self._name, self._size = store, split, crop_size
        self._augment, self._seed = augment, seed
        self._frames: dict[int, npt.NDArray[Any]] | None = {} if cache else None
        self._open: tuple[Store, Split] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    def __getitem__(self, key: Key) -> Sample:
        epoch, row = key
        store, split = self._opened()
        box = stored_box(split, row)
        if self._augment is not None:
            box = perturb(box, self._augment, np.random.default_rng((self._seed, epoch, row)))
        depth = crop(self._depth(split, row), box, store.camera, self._size)
        joints_xyz = split.joints_xyz[row, store.spec.joints.scored, :].astype(np.float64)
        target = box.bb_to_si_norm(box.xyz_to_bb(joints_xyz)).astype(np.float32)
        return {"depth": torch.from_numpy(depth[None]), "target": torch.from_numpy(target)}

    def _depth(self, split: Split, row: int) -> npt.NDArray[Any]:
        if self._frames is None:
            return split.depth(row)
        if row not in self._frames:
            self._frames[row] = split.depth(row)
        return self._frames[row]

    def _opened(self) -> tuple[Store, Split]:
        if self._open is None:
            store = Store(self._store)
            self._open = store, store[self._name]
        return self._open


class EpochOrder(Sampler[Key]):
    """Rows in the random order of an epoch, which depends on (seed, epoch) alone. Set `epoch` before iterating."""

    def __init__(self, rows: Rows, seed: int) -> None:
        self.epoch = 0
        self._rows, self._seed = rows, seed

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Key]:
        rng = np.random.default_rng((self._seed, self.epoch))
        return ((self.epoch, int(row)) for row in rng.permutation(self._rows))


def batches(
    crops: HandCrops, keys: Sampler[Key] | Sequence[Key], batch_size: int, workers: int, device: torch.device
) -> DataLoader[Sample]:
    """A stock loader. Workers start afresh (forkserver, or spawn where there is none), so no thread is ever forked."""
    context = None
    if workers:
        context = "forkserver" if "forkserver" in torch.multiprocessing.get_all_start_methods() else "spawn"
    return DataLoader(
        crops,
        batch_size=batch_size,
        sampler=keys,
        num_workers=workers,
        multiprocessing_context=context,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )


def in_order(rows: Rows) -> list[Key]:
    """Keys of rows as they come, for crops without augmentation."""
    return [(0, int(row)) for row in rows]


def scored_names(store: Store) -> tuple[str, ...]:
    """Names of the scored joints of a store, in the order of the literature."""
    return tuple(store.spec.joints.names[joint] for joint in store.spec.joints.scored)


def croppable_rows(split: Split) -> Rows:
    """Rows whose frame is good and has a centre in front of the camera, in order."""
    placed = np.isfinite(split.center_xyz).all(axis=1) & (split.center_xyz[:, 2] > 0)
    return np.flatnonzero(split.usable & placed)


def labelled_rows(split: Split, scored: Sequence[int]) -> Rows:
    """Those `croppable_rows` that have at least one scored joint labelled."""
    rows = croppable_rows(split)
    labelled = np.isfinite(split.joints_xyz[rows][:, list(scored)]).all(axis=-1)
    used: Rows = rows[np.count_nonzero(labelled, axis=-1) > 0]
    return used


def hold_out(rows: Rows, fraction: float, blocks: int) -> tuple[Rows, Rows]:
    """Split rows into those to train on and those to validate on.

    Args:
        rows: in the order of recording.
        fraction: share to hold out.
        blocks: in so many runs of consecutive rows, the last of each of so many equal pieces.

    Returns:
        The rows to train on and the rows held out, both in order; together they are `rows`.
    """
    count = round(fraction * len(rows))
    held = np.zeros(len(rows), dtype=bool)
    pieces = max(1, min(blocks, count))
    ends = np.arange(1, pieces + 1) * len(rows) // pieces
    # In step with the ends, so that no piece is asked for more rows than it has.
    share = np.diff((2 * count * ends + len(rows)) // (2 * max(len(rows), 1)), prepend=0)
    for end, length in zip(ends, share, strict=True):
        held[end - length : end] = True
    return rows[~held], rows[held]


def stored_box(split: Split, rows: int | Rows) -> HandBox[npt.NDArray[Any]]:
    """The box of the store, upright, float64: one for a row, a batch for many."""
    return HandBox.upright(split.center_xyz[rows].astype(np.float64), split.cube[rows].astype(np.float64))
