"""Batches from windows that lie in memory, on the host or on the device: no workers, no files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from handbench.loading.dataset import Sample
from handbench.loading.order import EpochOrder
from handbench.loading.samples import Labels, Points, Recipe, Rows, croppable_rows, plan
from handbench.preprocess import AugmentConfig
from handbench.preprocess.torch_crop import crop_tensor, to_device
from handbench.preprocess.windows import Margin, Reach, cut_window
from handbench.store import Split, Store
from handbench.store.windows import check_margin

_BLOCK = 32  # windows on their way to the device
_CPU = torch.device("cpu")


class ResidentBatches:
    """All windows of a split in memory, and an endless source of augmented batches. Set `epoch` before iterating.

    The batches are those of a `HandDataset` with the same rows, seed and order, bit for bit. On a CPU the crops are
    made by OpenCV, on a GPU by one gather; the host then only draws numbers and never waits.

    Windows are held as they are stored; whole frames are cut to windows while they are read, of the side that the
    augmentation needs.

    Args:
        store: path of a store, of windows or of whole frames.
        split: name of the split.
        size: side S of the crop, px.
        batch_size: samples in a batch.
        rows: of the split; None = all that can be cropped.
        augment: ranges of the random boxes; None = the box of the store, upright.
        seed: of the order and of the random boxes.
        shuffle: False = in the order of `rows`.
        drop_last: leave out a last batch that is not full.
        device: where windows and batches lie.
        dtype: of the depth: float32, float16 or bfloat16.
        threads: for cropping on a CPU, where OpenCV has threads of its own: more than one pays with noise, drop-out
            and occluders only.
        center_xyz: (N, 3) mm, camera frame: centres of all frames of the split, in place of the store's; of a store of
            windows, the boxes about those of `rows` must lie inside the windows (`croppable_rows`).

    Attributes:
        rows: (n,) of the split.
        epoch: of the order and the augmentation; 0 at first.
        windows: (n, side, side) on the device.

    Raises:
        HandbenchError: if there is no such split, its windows have no room for the augmentation, or a frame is damaged.
    """

    def __init__(
        self,
        store: Path,
        split: str,
        size: int,
        batch_size: int,
        rows: Rows | None = None,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        device: torch.device = _CPU,
        dtype: torch.dtype = torch.float32,
        threads: int = 1,
        center_xyz: Points | None = None,
    ) -> None:
        opened = Store(store)
        check_margin(opened, augment)
        frames = opened[split]
        self.rows = croppable_rows(opened, frames, augment, center_xyz) if rows is None else rows
        self.epoch = 0
        self._batch_size, self._drop_last, self._dtype = batch_size, drop_last, dtype
        self._threads = threads
        self._recipe = Recipe(size, augment, seed)
        self._order = EpochOrder(self.rows, seed) if shuffle else None
        labels = Labels.of(opened, frames, self.rows, center_xyz)
        side = opened.windows.side if opened.windows else None
        if side is None:
            labels, side = _smaller(labels, augment, max(frames.image))
        self._labels = labels
        self.windows = _load(frames, labels, side, device)

    def __len__(self) -> int:
        full, rest = divmod(len(self.rows), self._batch_size)
        return full + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[Sample]:
        places = np.arange(len(self.rows))
        if self._order is not None:
            self._order.epoch = self.epoch
            places = self._order.places()
        epoch = self.epoch
        for start in range(0, len(self) * self._batch_size, self._batch_size):
            yield self.batch(places[start : start + self._batch_size], epoch)

    def batch(self, places: Rows, epoch: int) -> Sample:
        """The samples at some places of `rows`, on the device."""
        batch = plan(self._labels, places, self._recipe, epoch)
        if self.windows.device.type == "cpu":
            windows = self.windows.numpy()
            cut = batch.cut([windows[place] for place in places.tolist()], threads=self._threads)
            depth = torch.from_numpy(cut).to(self._dtype)
        else:
            depth = crop_tensor(self.windows, places, **batch.crop, dtype=self._dtype)
        tensors = {name: to_device(values, self.windows.device) for name, values in batch.tables.items()}
        sample: Sample = {"depth": depth[:, None], **tensors}  # type: ignore[typeddict-item]  # all its other keys
        return sample


def _smaller(labels: Labels, augment: AugmentConfig | None, most: int) -> tuple[Labels, int]:
    """Windows for whole frames: where they begin, and the side that holds every crop, at most `most` px."""
    reach = Reach.of(labels.box.center_xyz, labels.box.cube, labels.camera, Margin.of(augment))
    side = min(int(reach.side(labels.camera).max(initial=1)), most)
    return labels.with_origins(reach.origins(side, labels.camera)), side


def _load(split: Split, labels: Labels, side: int, device: torch.device) -> torch.Tensor:
    """Read the windows: straight to their place in memory, or block by block to a device."""

    def read(place: int, into: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        stored, first = split.window(int(labels.row[place]))
        window = cut_window(stored, labels.origin_uv[place] - first, side)
        if into is not None:
            into[...] = window
        return window

    kind = torch.from_numpy(read(0)).dtype if len(labels) else torch.uint16
    windows = torch.empty((len(labels), side, side), dtype=kind, device=device)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(labels), _BLOCK):
            block = windows[start : start + _BLOCK].cpu()  # the same memory if it is there already
            for _ in pool.map(read, range(start, start + len(block)), block.numpy()):
                pass
            if device.type != "cpu":
                windows[start : start + len(block)] = block.to(device)
    return windows
