"""Frames of a store for the network: which rows are used and held out, and the loader that brings them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from handbench.errors import HandbenchError
from handbench.loading import BatchOrder, HandDataset, Sample, croppable_rows
from handbench.preprocess import AugmentConfig
from handbench.srn.config import DataConfig, TrainConfig
from handbench.srn.stopping import leave_interrupts_to_the_main_process
from handbench.store import Split, Store

Rows = npt.NDArray[np.int64]


def batches(
    frames: HandDataset, order: BatchOrder | None, batch_size: int, workers: int, device: torch.device
) -> DataLoader[Sample]:
    """A stock loader; without an order, which has batches of its own, it is that of the rows.

    Workers start afresh (forkserver, or spawn where there is none), so no thread is ever forked.
    """
    context = None
    if workers:
        context = "forkserver" if "forkserver" in torch.multiprocessing.get_all_start_methods() else "spawn"
    return DataLoader(
        frames,
        batch_sampler=BatchSampler(SequentialSampler(frames), batch_size, False) if order is None else order,
        worker_init_fn=leave_interrupts_to_the_main_process,
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


def training_split(store: Store, name: str) -> Split:
    """The split to train on.

    Raises:
        HandbenchError: if the store has none of that name; of a store of one split, as MSRA's, with what to do.
    """
    if name in store.splits or len(store.splits) != 1 or store.splits == ("test",):
        return store[name]
    only = store.splits[0]
    raise HandbenchError(
        f"{store.path} has no split {name!r}, only {only!r}, which is for training and testing by turns: set "
        f'data.split={only} and data.exclude_subjects=["..."], or run `handbench loso`'
    )


def choose_rows(store: Store, config: TrainConfig) -> tuple[Rows, Rows]:
    """The rows of the split that a run trains on, and those that it is validated on.

    Args:
        store: to train on.
        config: of the run; its `data` says which.

    Returns:
        Both in order, and no row in both.

    Raises:
        HandbenchError: if there is no such split, a subject to leave out is not in it, nothing is left to train on, or
            there are no subjects or sequences to hold out.
    """
    data, split = config.data, training_split(store, config.data.split)
    rows = labelled_rows(store, split, config.augment)
    rows = rows[_kept(store, split, data.exclude_subjects)[rows]]
    held = np.zeros(len(rows), dtype=bool)
    if len(rows) and data.validation_by == "blocks":
        held = held_blocks(len(rows), data.validation_fraction, data.validation_blocks)
    elif len(rows) and data.validation_fraction:
        names = split.subject if data.validation_by == "subject" else split.sequence
        held = _held_groups(names[rows], data, f"{store.path}, split {split.name}")
    if held.all():
        raise HandbenchError(f"{store.path}: {_why_nothing_is_left(split, data)}")
    return rows[~held], rows[held]


def _why_nothing_is_left(split: Split, data: DataConfig) -> str:
    if not np.isfinite(split.center_xyz).all(axis=-1).any():
        return f"split {split.name} ({len(split)} frames) has no hand centres; `handbench centers compute` finds some"
    left = " without the subjects left out" if data.exclude_subjects else ""
    return f"no labelled frames to train on in split {split.name} ({len(split)} frames){left}"


def _kept(store: Store, split: Split, excluded: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """(N,) whether the frame is of none of those subjects."""
    there = sorted(set(split.subject.tolist()) - {""})
    if unknown := [name for name in excluded if name not in there]:
        raise HandbenchError(
            f"data.exclude_subjects names {unknown[0]!r}, which is no subject of split {split.name} of {store.path}; "
            f"there are {', '.join(there) or 'none'}"
        )
    return ~np.isin(split.subject, excluded)


def _held_groups(names: npt.NDArray[np.str_], data: DataConfig, where: str) -> npt.NDArray[np.bool_]:
    """(n,) whether the frame is of one of the last groups, as many as come nearest to the share.

    Raises:
        HandbenchError: if frames have no name, or all have the same.
    """
    kind = data.validation_by
    if unnamed := int(np.count_nonzero(names == "")):
        raise HandbenchError(
            f"{where}: {unnamed:,} of {len(names):,} frames have no {kind}, so none can be held out by it; "
            "set data.validation_by=blocks"
        )
    order, counts = _in_order(names)
    if len(order) == 1:
        raise HandbenchError(
            f"{where} has only the {kind} {str(order[0])!r} to train on, so none can be held out; set "
            "data.validation_by=blocks"
        )
    shares = np.cumsum(counts[:0:-1]) / len(names)  # of the last group, the last two, ...: all but the first
    last = 1 + int(np.argmin(np.abs(shares - data.validation_fraction)))
    return np.isin(names, order[-last:])


def _in_order(names: npt.NDArray[np.str_]) -> tuple[npt.NDArray[np.str_], Rows]:
    """The different names in the order in which they first come, and how often each is there."""
    found, first, counts = np.unique(names, return_index=True, return_counts=True)
    order = np.argsort(first)
    return found[order], counts[order]


def held_blocks(frames: int, fraction: float, blocks: int) -> npt.NDArray[np.bool_]:
    """Which of some frames in the order of recording are held out.

    Args:
        frames: how many there are.
        fraction: share to hold out.
        blocks: in so many runs of consecutive frames, the last of each of so many equal pieces.

    Returns:
        (frames,).
    """
    count = round(fraction * frames)
    held = np.zeros(frames, dtype=bool)
    pieces = max(1, min(blocks, count))
    ends = np.arange(1, pieces + 1) * frames // pieces
    # In step with the ends, so that no piece is asked for more rows than it has.
    share = np.diff((2 * count * ends + frames) // (2 * max(frames, 1)), prepend=0)
    for end, length in zip(ends, share, strict=True):
        held[end - length : end] = True
    return held
