"""Depth in blocks of frames, for whoever reads every frame of a split."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from handbench.errors import HandbenchError
from handbench.store.reader import Split

BLOCK_FRAMES = 32
"""Frames read at once, a quarter of a shard: 20 MB of 640 x 480 frames. Takes 1.2 ms of processor time a frame, against
1.9 ms one by one and 1.0 ms in whole shards, which take four times the memory in each thread."""

_THREADS = min(4, os.cpu_count() or 1)  # Zarr decodes in threads of its own as well
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Block:
    """Consecutive frames of one shard.

    Attributes:
        rows: which rows of the split.
        depth: (n, H, W) mm, 0 = missing; all 0 where damaged.
        damaged: what is wrong with the bytes of a row, for each damaged row.
    """

    rows: range
    depth: npt.NDArray[Any]
    damaged: dict[int, str] = field(default_factory=dict)


def blocks_of(frames: int) -> list[range]:
    """The rows of a split in blocks, none across two shards."""
    return [range(start, min(start + BLOCK_FRAMES, frames)) for start in range(0, frames, BLOCK_FRAMES)]


def read_block(split: Split, rows: range) -> Block:
    """The frames of a block. Damaged frames are told, and do not hide the others."""
    depth = split._depth
    try:
        return Block(rows, split.to_frames(np.asarray(depth[rows.start : rows.stop]), rows))
    except (ValueError, RuntimeError, OSError):
        pass  # frame by frame, to find out which
    frames = np.zeros((len(rows), *split.image), dtype=depth.dtype)
    damaged = {}
    for i, row in enumerate(rows):
        try:
            frames[i] = split.to_frames(np.asarray(depth[row])[None], range(row, row + 1))[0]
        except (ValueError, RuntimeError, OSError) as error:
            damaged[row] = str(error)
    return Block(rows, frames, damaged)


def read_rows(split: Split, rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Any frames, (n, H, W) mm; fast where they are one run of rows.

    Raises:
        HandbenchError: naming the first frame whose bytes are damaged.
    """
    if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        block = read_block(split, range(int(rows[0]), int(rows[-1]) + 1))
        if not block.damaged:
            return block.depth
    return np.stack([split.depth(row) for row in rows.tolist()])


def depth_blocks(split: Split) -> Iterator[Block]:
    """All frames of a split in order, block by block.

    Raises:
        HandbenchError: naming the first frame whose bytes are damaged.
    """
    for rows in blocks_of(len(split)):
        block = read_block(split, rows)
        if block.damaged:
            row, message = next(iter(block.damaged.items()))
            raise HandbenchError(
                f"{split._where}: depth of frame {split.frame_key[row]} (row {row}) is damaged: {message}"
            )
        yield block


def map_blocks(work: Callable[[range], ResultT], frames: int) -> Iterator[ResultT]:
    """Call `work` with every block of rows, in threads; results in order. What it returns must be small."""
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            yield from pool.map(work, blocks_of(frames))
        finally:  # also on Ctrl-C and on an error: do not read the rest first
            pool.shutdown(wait=False, cancel_futures=True)
