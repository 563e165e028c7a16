"""A map-style data set of augmented crops, for any torch `DataLoader`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, get_worker_info

from handbench.loading.order import Key
from handbench.loading.samples import Labels, Points, Recipe, Rows, croppable_rows, plan
from handbench.preprocess import AugmentConfig
from handbench.store import Split, Store
from handbench.store.windows import check_margin
from handbench.store.writer import shard_frames


class Sample(TypedDict):
    """One frame for a network; a batch has one axis more.

    The box is the one that was cropped: `HandBox(center_xyz, cube, roll)` takes a predicted `uvd_si_norm` back to mm.
    In a mirrored sample, box and joints are those in the mirror, and so is the handedness.

    Attributes:
        depth: (1, S, S) crop in [-1, 1], background +1.
        target: (J, 3) scored joints, `uvd_si_norm`; NaN = not labelled.
        joints_xyz: (J, 3) scored joints, mm, camera frame.
        center_xyz: (3,) mm, camera frame.
        cube: (3,) full sides, mm.
        roll: () rad.
        mirrored: () bool.
        hand: () int8: 1 = right, -1 = left, 0 = the data set has both or does not say.
        row: () int64, of the split.
    """

    depth: torch.Tensor
    target: torch.Tensor
    joints_xyz: torch.Tensor
    center_xyz: torch.Tensor
    cube: torch.Tensor
    roll: torch.Tensor
    mirrored: torch.Tensor
    hand: torch.Tensor
    row: torch.Tensor


class HandDataset(Dataset[Sample]):
    """Samples of one split, read from disk. Safe for workers of every start method.

    A sample is asked for by its place in `rows`, alone or as (epoch, place), which is what `EpochOrder` gives. Alone,
    the epoch is the one of `set_epoch`, which reaches workers that are already running.

    Args:
        store: path of a store, of windows or of whole frames.
        split: name of the split.
        size: side S of the crop, px.
        rows: of the split; None = all that can be cropped.
        augment: ranges of the random boxes; None = the box of the store, upright.
        seed: of the random boxes, which depend on (seed, epoch, row) alone: not on workers, order or history.
        cache: keep every frame or window in memory after its first read, in every worker.
        dtype: of the depth: float32, float16 or bfloat16.
        center_xyz: (N, 3) mm, camera frame: centres of all frames of the split, in place of the store's; of a store of
            windows, the boxes about those of `rows` must lie inside the windows (`croppable_rows`).

    Attributes:
        rows: (n,) of the split.
        shard_frames: frames in a file of the store, for `EpochOrder` to stream by.

    Raises:
        HandbenchError: if there is no such split, or its windows have no room for the augmentation.
    """

    def __init__(
        self,
        store: Path,
        split: str,
        size: int,
        rows: Rows | None = None,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        cache: bool = False,
        dtype: torch.dtype = torch.float32,
        center_xyz: Points | None = None,
    ) -> None:
        opened = Store(store)
        check_margin(opened, augment)
        self._store, self._name, self._dtype = store, split, dtype
        self._split: Split | None = opened[split]
        self.rows = croppable_rows(opened, self._split, augment, center_xyz) if rows is None else rows
        self.shard_frames = shard_frames(len(self._split))
        self._labels = Labels.of(opened, self._split, self.rows, center_xyz)
        self._recipe = Recipe(size, augment, seed)
        self._epoch = _shared_zero()
        self._windows: dict[int, npt.NDArray[Any]] | None = {} if cache else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_split": None, "_windows": None if self._windows is None else {}}

    def __len__(self) -> int:
        return len(self.rows)

    def set_epoch(self, epoch: int) -> None:
        """Choose the augmentation of samples that are asked for by their place alone; between two epochs."""
        self._epoch.fill_(epoch)

    def __getitem__(self, key: int | Key) -> Sample:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | Key]) -> list[Sample]:
        """Many samples; the loader asks for a batch at once, and they share what NumPy costs a call."""
        pairs = np.array([key if isinstance(key, tuple) else (int(self._epoch), key) for key in keys]).reshape(-1, 2)
        epochs, places = pairs.T
        if (epochs != epochs[:1]).any():
            return [self[key] for key in keys]
        return self._samples(places, int(epochs[0])) if len(pairs) else []

    def _samples(self, places: Rows, epoch: int) -> list[Sample]:
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # the workers are the threads; 1 waits for threads that a fork has left behind
        batch = plan(self._labels, places, self._recipe, epoch)
        depth = torch.from_numpy(batch.cut([self._window(row) for row in self.rows[places].tolist()]))
        tensors = {name: torch.from_numpy(values) for name, values in batch.tables.items()}
        tensors["depth"] = depth[:, None].to(self._dtype)
        rows = zip(*(tensor.unbind() for tensor in tensors.values()), strict=True)
        return [Sample(**dict(zip(tensors, row, strict=True))) for row in rows]  # type: ignore[typeddict-item]  # all keys

    def _window(self, row: int) -> npt.NDArray[Any]:
        if self._windows is None:
            return self._opened().window(row)[0]
        if row not in self._windows:
            self._windows[row] = self._opened().window(row)[0]
        return self._windows[row]

    def _opened(self) -> Split:
        if self._split is None:  # a worker that was spawned
            self._split = Store(self._store)[self._name]
        return self._split


def _shared_zero() -> torch.Tensor:
    """() int64 in memory that workers share with this process."""
    zero: torch.Tensor = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]  # torch's
    return zero
