"""The crop: one warp straight from the frame, nearest neighbour, so that depths are never mixed."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.errors import HandbenchError
from handbench.preprocess.box import HandBox

_REMAP_LIMIT = 30000  # cv2.remap takes 16-bit pixel numbers; anything farther out is outside every image
_NO_FRACTIONS = np.empty(0, dtype=np.uint16)  # the pixel numbers are whole


def crop(depth: npt.NDArray[Any], box: HandBox[npt.NDArray[Any]], camera: Camera, size: int) -> npt.NDArray[np.float32]:
    """Cut the box out of a frame and normalise it.

    Each crop pixel takes the frame pixel nearest to where `HandBox.image_from_crop` puts it (float64, ties to the
    even pixel), so the result does not depend on a library's fixed-point warp and equals its naive twin bit for bit.

    Args:
        depth: (H, W) uint16 or float32 mm, 0 = missing.
        box: one box.
        camera: of the frame.
        size: side S of the crop, px.

    Returns:
        (S, S) float32: (depth - Zc) / (cube_z / 2), clipped to [-1, 1]. Missing depth, pixels outside the frame and
        everything behind the cube are background, +1; what is nearer than the cube is -1.

    Raises:
        HandbenchError: if the box has a NaN, lies behind the camera or has no volume.
    """
    z, cube_z = _check(box)
    pixels = frame_pixels(box.image_from_crop(camera, size), size)
    patch = cv2.remap(depth, pixels, _NO_FRACTIONS, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return normalise(np.asarray(patch), z, cube_z)


def frame_pixels(image_from_crop: npt.NDArray[Any], size: int) -> npt.NDArray[np.int16]:
    """The frame pixel (column, row) under each crop pixel, (S, S, 2).

    Args:
        image_from_crop: (2, 3) of `HandBox.image_from_crop`.
        size: side S of the crop, px.
    """
    index = np.arange(size, dtype=np.float64)
    pixels = np.empty((size, size, 2), dtype=np.int16)
    for axis, (along_i, along_j, offset) in enumerate(image_from_crop.tolist()):
        line = along_i * index + offset
        across = along_j * index
        position = np.rint(line[None, :] + across[:, None])
        # An affine map is largest at a corner.
        if max(map(abs, position[:: size - 1 or 1, :: size - 1 or 1].ravel().tolist())) > _REMAP_LIMIT:
            np.clip(position, -_REMAP_LIMIT, _REMAP_LIMIT, out=position)
        pixels[..., axis] = position
    return pixels


def normalise(patch: npt.NDArray[Any], center_z: float, cube_z: float) -> npt.NDArray[np.float32]:
    """Depth in mm to [-1, 1] about the centre of the cube; missing depth becomes +1, the background.

    Args:
        patch: (S, S) mm, 0 = missing.
        center_z: depth of the centre, mm.
        cube_z: full depth of the cube, mm.
    """
    norm = patch.astype(np.float32)
    norm -= np.float32(center_z)
    norm /= np.float32(cube_z / 2)
    np.clip(norm, -1, 1, out=norm)
    norm[patch == 0] = 1
    return norm


def _check(box: HandBox[npt.NDArray[Any]]) -> tuple[float, float]:
    """Depth of the centre and of the cube, of one box that can be cropped."""
    center, cube, roll = box.center_xyz.tolist(), box.cube.tolist(), float(box.roll)
    if not all(map(math.isfinite, (*center, *cube, roll))):
        raise HandbenchError(f"the box has no place: centre {center} mm, cube {cube} mm, roll {roll} rad")
    if center[2] <= 0:
        raise HandbenchError(
            f"the centre of the box lies {center[2]:.1f} mm from the camera, it must be in front of it"
        )
    if min(cube) <= 0:
        raise HandbenchError(f"the cube is {cube} mm, every side must be positive")
    return center[2], cube[2]
