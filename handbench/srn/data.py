"""Frames of a store for the network: which rows are used and held out, and the loader that brings them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from handbench.loading import EpochOrder, HandDataset, Sample, croppable_rows
from handbench.preprocess import AugmentConfig
from handbench.store import Split, Store

Rows = npt.NDArray[np.int64]


def batches(
    frames: HandDataset, order: EpochOrder | None, batch_size: int, workers: int, device: torch.device
) -> DataLoader[Sample]:
    """A stock loader; without an order it is that of the rows.

    Workers start afresh (forkserver, or spawn where there is none), so no thread is ever forked.
    """
    context = None
    if workers:
        context = "forkserver" if "forkserver" in torch.multiprocessing.get_all_start_methods() else "spawn"
    return DataLoader(
        frames,
        batch_size=batch_size,
        sampler=order,
        num_workers=workers,
        multiprocessing_context=context,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
    )


def scored_names(store: Store) -> tuple[str, ...]:
    """Names of the scored joints of a store, in the order of the literature."""
    return tuple(store.spec.joints.names[joint] for joint in store.spec.joints.scored)


def labelled_rows(store: Store, split: Split, augment: AugmentConfig | None = None) -> Rows:
    """Those `croppable_rows` that have at least one scored joint labelled."""
    rows = croppable_rows(store, split, augment)
    labelled = np.isfinite(split.joints_xyz[rows][:, list(store.spec.joints.scored)]).all(axis=-1)
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
