"""Checks of a store that read its depth: every chunk is decoded and its crc32c compared, whatever else is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import xyz_to_uvd
from handbench.converters.validate import Finding, Report, keys_of, scored_xyz
from handbench.preprocess.center import box_holds_depth
from handbench.store import FrameStatus, Split, Store
from handbench.store.blocks import Block, map_blocks, read_block

LEAST_OVER_DEPTH = 0.5
"""Share of labels with depth of the hand at their pixel below which depth and labels do not belong together."""
_WITHOUT_IMAGE = (FrameStatus.IMAGE_MISSING, FrameStatus.IMAGE_CORRUPT)


@dataclass(frozen=True)
class Measure:
    """What was seen of n frames.

    Attributes:
        near: (n,) mm, smallest depth; infinite where all is missing.
        far: (n,) mm, largest depth; 0 where all is missing.
        valid: (n,) number of pixels that have depth.
        wrong: (n,) number of pixels that are no depth: negative, infinite, NaN.
        boxed: (n,) whether the box holds any depth.
        labels: (n,) number of labelled scored joints inside the image.
        over_depth: (n,) how many of these have depth of the hand at their pixel.
        damaged: what is wrong with the bytes of a row.
    """

    near: npt.NDArray[np.float64]
    far: npt.NDArray[np.float64]
    valid: npt.NDArray[np.int64]
    wrong: npt.NDArray[np.int64]
    boxed: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int64]
    over_depth: npt.NDArray[np.int64]
    damaged: dict[int, str]

    @classmethod
    def joined(cls, parts: Sequence[Measure]) -> Measure:
        """The measures of consecutive blocks as one."""
        damaged = {row: message for part in parts for row, message in part.damaged.items()}
        names = [name for name in cls.__dataclass_fields__ if name != "damaged"]
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names}, damaged=damaged)


def check_depth(
    store: Store, split: Split, facts: dict[str, Any], report: Report, advance: Callable[[int], None]
) -> None:
    """Read all depth of a split whose tables can be read; adds to `facts` and `report`."""
    parts = []
    for part in map_blocks(partial(_measure, store, split), len(split)):
        parts.append(part)
        advance(len(part.near))
    seen = Measure.joined(parts)
    report.findings += _damage(seen.damaged, split.frame_key.tolist(), split.name)
    report.findings += _frames(split, seen)
    if valid := int(seen.valid.sum()):
        facts["depth_mm"] = [float(seen.near.min()), float(seen.far.max())]
    if whole := len(split) - len(seen.damaged):
        facts["missing_percent"] = 100 * (1 - valid / (whole * split.image[0] * split.image[1]))
    if labels := int(seen.labels.sum()):
        share = int(seen.over_depth.sum()) / labels
        facts["over_depth_percent"] = 100 * share
        if share < LEAST_OVER_DEPTH:
            what = f"only {100 * share:.0f} % of the labels have depth of the hand at their pixel"
            advice = "depth and labels do not belong together (mirrored, shifted, another camera): convert again"
            report.findings.append(Finding("labels", split.name, what, advice))


def check_depth_bytes(split: Split, advance: Callable[[int], None]) -> list[Finding]:
    """Read all depth of a split for damage alone."""
    damaged: dict[int, str] = {}
    for rows, bad in map_blocks(lambda rows: (rows, read_block(split, rows).damaged), len(split)):
        damaged |= bad
        advance(len(rows))
    return list(_damage(damaged, [f"row {row}" for row in range(len(split))], split.name))


def _damage(damaged: dict[int, str], names: list[str], split: str) -> Iterator[Finding]:
    if damaged:
        what = f"the bytes of {len(damaged):,} frames are damaged: {next(iter(damaged.values()))}"
        advice = "restore the store from a copy, or convert again"
        yield Finding("depth damaged", split, what, advice, tuple(names[row] for row in damaged))


def _frames(split: Split, seen: Measure) -> Iterator[Finding]:
    """What single frames show against their status."""
    whole = np.ones(len(split), np.bool_)
    whole[list(seen.damaged)] = False
    ok = whole & (split.status == FrameStatus.OK)
    absent = np.isin(split.status, _WITHOUT_IMAGE)
    empty = seen.valid == 0
    again = "convert again"
    cases = [
        ("depth", "ok frames have no depth at all", ok & empty, f"a file of the store may be missing: {again}"),
        ("depth", "frames have depth, although their status says that there is no image", absent & ~empty, again),
        ("depth", "frames have pixels that are no depth (negative, infinite, NaN)", seen.wrong > 0, again),
        ("box", "ok frames have no depth inside their box", ok & ~empty & ~seen.boxed, "check centres and cubes"),
    ]
    for check, what, rows, advice in cases:
        if rows.any():
            yield Finding(check, split.name, f"{int(rows.sum()):,} {what}", advice, keys_of(split, rows))


def _measure(store: Store, split: Split, rows: range) -> Measure:
    block = read_block(split, rows)
    frames = [_Pixels.of(frame) for frame in block.depth]
    labels, over_depth = _labels_over_depth(store, split, block)
    return Measure(
        near=np.array([frame.near for frame in frames]),
        far=np.array([frame.far for frame in frames]),
        valid=np.array([frame.valid for frame in frames]),
        wrong=np.array([frame.wrong for frame in frames]),
        boxed=np.array(
            [
                box_holds_depth(frame, split.center_xyz[row], split.cube[row], store.camera)
                for frame, row in zip(block.depth, rows, strict=True)
            ]
        ),
        labels=labels,
        over_depth=over_depth,
        damaged=block.damaged,
    )


@dataclass(frozen=True)
class _Pixels:
    """Smallest and largest depth of one frame, mm; how many pixels have depth, and how many are no depth."""

    near: float
    far: float
    valid: int
    wrong: int

    @classmethod
    def of(cls, frame: npt.NDArray[Any]) -> _Pixels:
        is_depth = (frame > 0) & (frame < np.inf) if frame.dtype.kind == "f" else frame > 0
        wrong = int(np.count_nonzero(~is_depth & (frame != 0))) if frame.dtype.kind == "f" else 0
        depth = frame[is_depth]
        near, far = (float(depth.min()), float(depth.max())) if depth.size else (np.inf, 0.0)
        return cls(near, far, depth.size, wrong)


def _labels_over_depth(store: Store, split: Split, block: Block) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many labels of each frame fall on a pixel of the image, and on one no further than half a cube in depth."""
    rows = slice(block.rows.start, block.rows.stop)
    joints = scored_xyz(store, split, rows)
    joints[~(joints[..., 2] > 0)] = np.nan
    joints[[row - rows.start for row in block.damaged]] = np.nan
    u, v, z = np.moveaxis(xyz_to_uvd(joints, store.camera), -1, 0)
    height, width = split.image
    there = (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)  # False for NaN
    frame, _ = np.nonzero(there)
    pixel = block.depth[frame, np.rint(v[there]).astype(int), np.rint(u[there]).astype(int)].astype(np.float64)
    near_enough = (pixel > 0) & (np.abs(pixel - z[there]) <= split.cube[rows, 2][frame] / 2)
    over = np.bincount(frame, weights=near_enough, minlength=len(block.rows)).astype(np.int64)
    return there.sum(axis=1), over
