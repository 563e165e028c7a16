"""The crop: one warp straight from the frame, nearest neighbour, so that depths are never mixed.

**Exact by choice of numbers.** A library's warp computes positions in float32, with or without fused operations, and
rounds ties its own way, so two machines disagree on a pixel here and there. `dyadic` rounds the six numbers of the
affine map to multiples of 1/4096 px, the offsets to odd multiples of 1/8192 px. Then every position below 2048 px is
exact in float32 and none is a tie: OpenCV on any processor, NumPy and torch take the same pixels, and moving the
frame by whole pixels changes nothing: a window cut out of the frame gives the crop of the frame. The price is at most
1/8192 px in each number, so 255/8192 = 0.03 px of the frame at the far corner of a 128 px crop.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.errors import HandbenchError, ShapeError
from handbench.preprocess.box import HandBox, warp_numbers
from handbench.preprocess.disturb import MISSING_MM, Disturbance, disturb

_STEPS = 4096.0
_OFFSET = np.array([0.0, 0.0, 0.5])  # offsets lie between two steps: no position can be a tie
_PART = 8  # crops at once in a thread: 0.5 MB of 128 px crops
_NEAREST = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP


def crop(
    depth: npt.NDArray[Any],
    box: HandBox[npt.NDArray[Any]],
    camera: Camera,
    size: int,
    origin: npt.NDArray[np.integer] | None = None,
    name: str = "the box",
) -> npt.NDArray[np.float32]:
    """Cut the box out of a frame, or out of a window of it, and normalise it.

    Args:
        depth: (H, W) uint16 or float32 mm, 0 = missing: a whole frame, or a window with its `origin`.
        box: one box.
        camera: of the frame, also for a window.
        size: side S of the crop, px.
        origin: (2,) whole u, v: column and row in the frame of the window's first pixel; None = `depth` is the frame.
        name: what an error calls the box, such as "frame test/1/0000001".

    Returns:
        (S, S) float32: (depth - Zc) / (cube_z / 2), clipped to [-1, 1]. Missing depth, pixels outside the frame and
        everything behind the cube are background, +1; what is nearer than the cube is -1.

    Raises:
        HandbenchError: if the box has a NaN, lies behind the camera or wholly outside the frame, or has no volume; or
            if the crop needs pixels of the frame that the window does not hold.
        ShapeError: if `box` is a batch, or `depth` without an origin is not of the size of the camera's image.
    """
    if box.roll.ndim:
        raise ShapeError(f"crop takes one box, not a batch of shape {box.roll.shape}; use crop_batch")
    center, cube, roll = box.center_xyz.tolist(), box.cube.tolist(), float(box.roll)
    _check(center, cube, roll, name)
    matrix = dyadic(np.array(warp_numbers(center, cube, math.cos(roll), math.sin(roll), camera, size)).reshape(2, 3))
    origins = None if origin is None else np.asarray(origin)[None]
    first, end = _pixels(matrix[None], np.array([depth.shape]), origins, camera, size, [name])
    z, per_mm = np.array([[center[2]], [2 / cube[2]]], dtype=np.float32)
    out = np.empty((size, size), dtype=np.float32)
    _cut([depth], _in_window(Warps(matrix[None], z, per_mm, first, end), origins), out[None])
    return out


def crop_batch(
    depths: Sequence[npt.NDArray[Any]],
    boxes: HandBox[npt.NDArray[Any]],
    camera: Camera,
    size: int,
    out: npt.NDArray[np.floating] | None = None,
    origin: npt.NDArray[np.integer] | None = None,
    names: Sequence[str] | None = None,
    mirrored: npt.NDArray[np.bool_] | None = None,
    disturbance: Disturbance[npt.NDArray[Any]] | None = None,
    threads: int = 1,
) -> npt.NDArray[np.floating]:
    """`crop` of each frame with its box; a batch shares what NumPy costs a call (docs/benchmarks.md).

    Args:
        depths: B frames (H, W), uint16 or float32 mm, 0 = missing; or B windows with their `origin`.
        boxes: a batch of B.
        camera: of the frames, also for windows.
        size: side S of the crops, px.
        out: (B, S, S) float32 or float16 to write into, in place of fresh float32; float16 is the float32 result,
            rounded.
        origin: (B, 2) whole u, v of the first pixel of each window; None = `depths` are the frames.
        names: what an error calls each box, such as "frame test/1/0000001"; None = by its place in the batch.
        mirrored: (B,) crops whose columns are taken from right to left; None = none.
        disturbance: of the pixels, of the same B; None = none.
        threads: among which the batch is shared out.

    Returns:
        (B, S, S), `out` if it was given; without `mirrored` and `disturbance` equal bit for bit to `crop` of each.

    Raises:
        HandbenchError: naming the first box that cannot be cropped.
        ShapeError: if there is not one box for each frame, or frames are not of the size of the camera's image.
    """
    shapes = np.array([depth.shape for depth in depths]).reshape(-1, 2)
    warps = plan_warps(shapes, boxes, camera, size, origin, names, mirrored)
    target = np.empty((len(depths), size, size), dtype=np.float32) if out is None else out

    def work(start: int) -> None:
        part = slice(start, start + _PART)
        by = None if disturbance is None else disturbance.each(lambda numbers: numbers[part])
        _cut(depths[part], warps[part], target[part], by)

    starts = range(0, len(depths), _PART)
    if threads == 1 or len(starts) == 1:
        for start in starts:
            work(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, starts))  # the list brings up what a thread raised
    return target


@dataclass(frozen=True)
class Warps:
    """A batch of crops but for their pixels; NumPy and torch cut from the same numbers.

    Attributes:
        matrix: (B, 2, 3) px of the frame or window from px of the crop, as `dyadic` leaves them.
        z: (B,) float32 depth of the centre, mm.
        per_mm: (B,) float32, 2 / cube_z.
        first: (B, 2) first column and row of the frame or window that is read.
        end: (B, 2) the column and row after the last.
    """

    matrix: npt.NDArray[np.float64]
    z: npt.NDArray[np.float32]
    per_mm: npt.NDArray[np.float32]
    first: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    def __getitem__(self, part: slice) -> Warps:
        return Warps(self.matrix[part], self.z[part], self.per_mm[part], self.first[part], self.end[part])


def plan_warps(
    shapes: npt.NDArray[np.integer],
    boxes: HandBox[npt.NDArray[Any]],
    camera: Camera,
    size: int,
    origin: npt.NDArray[np.integer] | None = None,
    names: Sequence[str] | None = None,
    mirrored: npt.NDArray[np.bool_] | None = None,
) -> Warps:
    """Check a batch of boxes and work out their warps.

    Args:
        shapes: (B, 2) rows and columns of the frames or windows.
        boxes: as in `crop_batch`, and so is the rest.
        camera: of the frames.
        size: side S of the crops, px.
        origin: (B, 2), or None.
        names: what an error calls each box, or None.
        mirrored: (B,), or None.

    Raises:
        HandbenchError, ShapeError: as `crop_batch`.
    """
    if boxes.roll.shape != (len(shapes),):
        raise ShapeError(f"{len(shapes)} frames need as many boxes, not a batch of shape {boxes.roll.shape}")
    names = names or [f"box {row} of the batch" for row in range(len(shapes))]
    good = np.isfinite(boxes.roll) & np.isfinite(boxes.center_xyz).all(axis=-1) & np.isfinite(boxes.cube).all(axis=-1)
    good &= (boxes.center_xyz[:, 2] > 0) & (boxes.cube > 0).all(axis=-1)
    for i in np.flatnonzero(~good).tolist():
        _check(boxes.center_xyz[i].tolist(), boxes.cube[i].tolist(), float(boxes.roll[i]), names[i])
    matrix = dyadic(boxes.image_from_crop(camera, size))
    first, end = _pixels(matrix, shapes, origin, camera, size, names)
    if mirrored is not None:  # exact, so that the crop is the other one with its columns turned round
        matrix[mirrored, :, 2] += matrix[mirrored, :, 0] * (size - 1)
        matrix[mirrored, :, 0] *= -1
    z, per_mm = boxes.center_xyz[:, 2].astype(np.float32), (2 / boxes.cube[:, 2]).astype(np.float32)
    return _in_window(Warps(matrix, z, per_mm, first, end), origin)


def dyadic(image_from_crop: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The affine map with numbers that float32 arithmetic is exact on.

    Args:
        image_from_crop: (..., 2, 3), px of the image from px of the crop.

    Returns:
        (..., 2, 3) float64: pitches are multiples of 1/4096, offsets odd multiples of 1/8192.
    """
    rounded: npt.NDArray[np.float64] = (np.rint(image_from_crop * _STEPS - _OFFSET) + _OFFSET) / _STEPS
    return rounded


def _cut(
    depths: Sequence[npt.NDArray[Any]],
    warps: Warps,
    out: npt.NDArray[np.floating],
    disturbance: Disturbance[npt.NDArray[Any]] | None = None,
) -> None:
    """Warp some frames, normalise and clip into `out`; few enough to stay in the processor's cache."""
    patches = np.empty(out.shape, depths[0].dtype)
    for patch, (near, from_near) in zip(patches, _near(depths, warps), strict=True):
        cv2.warpAffine(near, from_near, patch.shape, dst=patch, flags=_NEAREST, borderValue=0)
    mm = out if out.dtype == np.float32 else np.empty(out.shape, np.float32)
    if patches.dtype == np.uint16:
        # 0 - 1 wraps to 65535: missing depth lies behind every cube, and no mask is needed.
        patches -= np.uint16(1)
        mm[...] = patches
        mm += np.float32(1)
    else:
        np.copyto(mm, np.where(patches == 0, np.float32(MISSING_MM), patches))
    if disturbance is not None:
        mm[...] = disturb(mm, disturbance)
    mm -= warps.z[:, None, None]
    mm *= warps.per_mm[:, None, None]
    np.clip(mm, np.float32(-1), np.float32(1), out=out, casting="same_kind")


def _near(
    depths: Sequence[npt.NDArray[Any]], warps: Warps
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.float64]]]:
    """What each crop reads of its frame, copied, and the map for that; a copy lasts until the next.

    A copy goes through memory in order. A turned warp does not: from a frame that is not in the processor's cache it
    takes twice as long as both together (benchmarks/preprocess.py).
    """
    matrix = _in_window(warps, warps.first).matrix
    scratch = np.empty(int((warps.end - warps.first).prod(axis=-1).max()), depths[0].dtype)
    spans = zip(warps.first.tolist(), warps.end.tolist(), strict=True)
    for depth, ((left, top), (right, bottom)), from_near in zip(depths, spans, matrix, strict=True):
        near = scratch[: (bottom - top) * (right - left)].reshape(bottom - top, right - left)
        near[...] = depth[top:bottom, left:right]
        yield near, from_near


def _check(center: list[float], cube: list[float], roll: float, name: str) -> None:
    if not all(map(math.isfinite, (*center, *cube, roll))):
        raise HandbenchError(f"{name} has no place: centre {center} mm, cube {cube} mm, roll {roll} rad")
    if center[2] <= 0:
        raise HandbenchError(f"{name} has its centre at depth {center[2]:.1f} mm, it must be in front of the camera")
    if min(cube) <= 0:
        raise HandbenchError(f"{name} has a cube of {cube} mm, every side must be positive")


def _in_window(warps: Warps, origin: npt.NDArray[np.integer] | None) -> Warps:
    """The same from windows that begin at `origin`: exact, for it is whole."""
    if origin is None:
        return warps
    matrix = warps.matrix.copy()
    matrix[..., 2] -= origin
    return replace(warps, matrix=matrix, first=warps.first - origin, end=warps.end - origin)


def _pixels(
    matrices: npt.NDArray[np.float64],
    shapes: npt.NDArray[np.integer],
    origin: npt.NDArray[np.integer] | None,
    camera: Camera,
    size: int,
    names: Sequence[str],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The pixels of the frame that crops read: first column and row, and those after the last, (B, 2) each.

    Crops without a pixel of the frame, and crops of pixels that are not in their window, are refused.

    Args:
        matrices: (B, 2, 3) frame from crop, as `dyadic` leaves them.
        shapes: (B, 2) rows and columns of the frames or windows.
        origin: (B, 2) of the windows.
        camera: of the frames.
        size: side of the crops, px.
        names: of the boxes.
    """
    frame = np.array([camera.width, camera.height])
    if origin is None and (odd := shapes[(shapes != frame[::-1]).any(axis=-1)]).size:
        raise ShapeError(
            f"depth of {odd[0].tolist()} px is no frame of a camera of {frame[::-1].tolist()} px (rows, columns); "
            "a window needs its origin"
        )
    first, last = pixel_span(matrices, size)
    first, last = np.maximum(first, 0), np.minimum(last, frame - 1)
    if (bad := (first > last).any(axis=-1)).any():
        raise HandbenchError(f"{names[int(bad.argmax())]} lies wholly outside the frame")
    span = first.astype(np.int64), last.astype(np.int64) + 1
    if origin is None:
        return span
    end = origin + shapes[:, ::-1]
    if (bad := ((first < origin) | (last >= end)).any(axis=-1)).any():
        i = int(bad.argmax())
        (u, v), (to_u, to_v) = first[i].astype(int), last[i].astype(int)
        raise HandbenchError(
            f"{names[i]} reaches beyond its window: it needs columns {u} to {to_u}, rows {v} to {to_v} of the frame; "
            f"the window begins at {origin[i].tolist()} and ends before {end[i].tolist()}; "
            "take a smaller augmentation, or make windows with a larger margin or side"
        )
    return span


def pixel_span(
    image_from_crop: npt.NDArray[np.float64], size: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The columns and rows of the frame that a crop reads.

    Args:
        image_from_crop: (..., 2, 3), as `dyadic` leaves it.
        size: side of the crop, px.

    Returns:
        First and last column and row, (..., 2) each, whole numbers; they may lie outside the frame.
    """
    corner, extent = image_from_crop[..., 2], image_from_crop[..., :2] * (size - 1)
    first, last = corner + np.minimum(extent, 0).sum(axis=-1), corner + np.maximum(extent, 0).sum(axis=-1)
    return np.rint(first), np.rint(last)
