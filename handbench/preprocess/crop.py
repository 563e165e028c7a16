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
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.errors import HandbenchError, ShapeError
from handbench.preprocess.box import HandBox, warp_numbers

_STEPS = 4096.0
_OFFSET = np.array([0.0, 0.0, 0.5])  # offsets lie between two steps: no position can be a tie
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
    _check_pixels(matrix[None], [depth], None if origin is None else np.asarray(origin)[None], camera, size, [name])
    if origin is not None:
        matrix[:, 2] -= origin
    out = np.empty((size, size), dtype=np.float32)
    _cut(depth, matrix, center[2], cube[2], out)
    return out


def crop_batch(
    depths: Sequence[npt.NDArray[Any]],
    boxes: HandBox[npt.NDArray[Any]],
    camera: Camera,
    size: int,
    out: npt.NDArray[np.float32] | None = None,
    origin: npt.NDArray[np.integer] | None = None,
    names: Sequence[str] | None = None,
) -> npt.NDArray[np.float32]:
    """`crop` of each frame with its box; a batch shares what NumPy costs a call (docs/benchmarks.md).

    Args:
        depths: B frames (H, W), uint16 or float32 mm, 0 = missing; or B windows with their `origin`.
        boxes: a batch of B.
        camera: of the frames, also for windows.
        size: side S of the crops, px.
        out: (B, S, S) float32 to write into, in place of fresh memory.
        origin: (B, 2) whole u, v of the first pixel of each window; None = `depths` are the frames.
        names: what an error calls each box, such as "frame test/1/0000001"; None = by its place in the batch.

    Returns:
        (B, S, S) float32, `out` if it was given; equal bit for bit to `crop` of each.

    Raises:
        HandbenchError: naming the first box that cannot be cropped.
        ShapeError: if there is not one box for each frame, or frames are not of the size of the camera's image.
    """
    if boxes.roll.shape != (len(depths),):
        raise ShapeError(f"{len(depths)} frames need as many boxes, not a batch of shape {boxes.roll.shape}")
    names = names or [f"box {row} of the batch" for row in range(len(depths))]
    centers, cubes, rolls = boxes.center_xyz.tolist(), boxes.cube.tolist(), boxes.roll.tolist()
    for name, center, cube, roll in zip(names, centers, cubes, rolls, strict=True):
        _check(center, cube, roll, name)
    matrices = dyadic(boxes.image_from_crop(camera, size))
    _check_pixels(matrices, depths, origin, camera, size, names)
    if origin is not None:
        matrices[..., 2] -= origin
    if out is None:
        out = np.empty((len(depths), size, size), dtype=np.float32)
    for row, depth in enumerate(depths):
        _cut(depth, matrices[row], centers[row][2], cubes[row][2], out[row])
    return out


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
    depth: npt.NDArray[Any], matrix: npt.NDArray[np.float64], z: float, cube_z: float, out: npt.NDArray[np.float32]
) -> None:
    """Warp, normalise about `z` and clip into `out`."""
    patch = np.asarray(cv2.warpAffine(depth, matrix, out.shape, flags=_NEAREST, borderValue=0))
    if patch.dtype == np.uint16:
        # 0 - 1 wraps to 65535: missing depth lies behind every cube, and no mask is needed.
        patch -= np.uint16(1)
        out[...] = patch
        out += np.float32(1)
    else:
        out[...] = np.where(patch == 0, np.float32(np.inf), patch)
    out -= np.float32(z)
    out *= np.float32(2 / cube_z)
    out.clip(np.float32(-1), np.float32(1), out=out)


def _check(center: list[float], cube: list[float], roll: float, name: str) -> None:
    if not all(map(math.isfinite, (*center, *cube, roll))):
        raise HandbenchError(f"{name} has no place: centre {center} mm, cube {cube} mm, roll {roll} rad")
    if center[2] <= 0:
        raise HandbenchError(f"{name} has its centre at depth {center[2]:.1f} mm, it must be in front of the camera")
    if min(cube) <= 0:
        raise HandbenchError(f"{name} has a cube of {cube} mm, every side must be positive")


def _check_pixels(
    matrices: npt.NDArray[np.float64],
    depths: Sequence[npt.NDArray[Any]],
    origin: npt.NDArray[np.integer] | None,
    camera: Camera,
    size: int,
    names: Sequence[str],
) -> None:
    """Refuse crops without a pixel of the frame, and crops of pixels that are not in their window.

    Args:
        matrices: (B, 2, 3) frame from crop, as `dyadic` leaves them.
        depths: B frames or windows.
        origin: (B, 2) of the windows.
        camera: of the frames.
        size: side of the crops, px.
        names: of the boxes.
    """
    frame = np.array([camera.width, camera.height])
    shape = (camera.height, camera.width)
    if origin is None and (odd := next((depth.shape for depth in depths if depth.shape != shape), None)):
        raise ShapeError(
            f"depth of {odd} px is no frame of a camera of {shape} px (rows, columns); a window needs its origin"
        )
    first, last = pixel_span(matrices, size)
    first, last = np.maximum(first, 0), np.minimum(last, frame - 1)
    if (bad := (first > last).any(axis=-1)).any():
        raise HandbenchError(f"{names[int(bad.argmax())]} lies wholly outside the frame")
    if origin is None:
        return
    end = origin + np.array([depth.shape[::-1] for depth in depths])
    if (bad := ((first < origin) | (last >= end)).any(axis=-1)).any():
        i = int(bad.argmax())
        (u, v), (to_u, to_v) = first[i].astype(int), last[i].astype(int)
        raise HandbenchError(
            f"{names[i]} reaches beyond its window: it needs columns {u} to {to_u} and rows {v} to {to_v} of the frame, "
            f"and the window begins at {origin[i].tolist()} and ends before {end[i].tolist()}; "
            "take a smaller augmentation, or make windows with a larger margin or side"
        )


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
