"""The usual crop of the field, written plainly: the naive twin that the benchmark measures handbench against.

Crop the 3D box out of the frame, pad it, clip its depth, resize it, and then rotate, move or scale the small image in
a second warp, joints one by one. The steps are those of DeepPrior++ and of the many loaders that follow it.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import Camera

Array = npt.NDArray[Any]


def project(point: Array, camera: Camera) -> Array:
    """One joint, mm to (u, v, d)."""
    uvd = np.zeros(3, np.float32)
    uvd[0] = point[0] / point[2] * camera.fx + camera.cx
    uvd[1] = point[1] / point[2] * camera.fy + camera.cy
    uvd[2] = point[2]
    return uvd


def back_project(uvd: Array, camera: Camera) -> Array:
    """One joint, (u, v, d) to mm."""
    point = np.zeros(3, np.float32)
    point[0] = (uvd[0] - camera.cx) * uvd[2] / camera.fx
    point[1] = (uvd[1] - camera.cy) * uvd[2] / camera.fy
    point[2] = uvd[2]
    return point


def project_all(joints: Array, camera: Camera) -> Array:
    """All joints, one by one."""
    out = np.zeros((joints.shape[0], 3), np.float32)
    for j in range(joints.shape[0]):
        out[j] = project(joints[j], camera)
    return out


def back_project_all(joints: Array, camera: Camera) -> Array:
    """All joints, one by one."""
    out = np.zeros((joints.shape[0], 3), np.float32)
    for j in range(joints.shape[0]):
        out[j] = back_project(joints[j], camera)
    return out


def bounds(center_uvd: Array, cube: Array, camera: Camera) -> tuple[int, int, int, int, float, float]:
    """Pixel and depth limits of the box."""
    z = center_uvd[2]
    xstart = math.floor((center_uvd[0] * z / camera.fx - cube[0] / 2.0) / z * camera.fx)
    xend = math.floor((center_uvd[0] * z / camera.fx + cube[0] / 2.0) / z * camera.fx)
    ystart = math.floor((center_uvd[1] * z / camera.fy - cube[1] / 2.0) / z * camera.fy)
    yend = math.floor((center_uvd[1] * z / camera.fy + cube[1] / 2.0) / z * camera.fy)
    return xstart, xend, ystart, yend, z - cube[2] / 2.0, z + cube[2] / 2.0


def crop_and_pad(frame: Array, limits: tuple[int, int, int, int, float, float]) -> Array:
    """Cut the box out, pad what lies outside the frame, clip the depth."""
    xstart, xend, ystart, yend, zstart, zend = limits
    height, width = frame.shape
    patch = frame[max(ystart, 0) : min(yend, height), max(xstart, 0) : min(xend, width)].copy()
    patch = np.pad(
        patch,
        (
            (abs(ystart) - abs(max(ystart, 0)), abs(yend) - abs(min(yend, height))),
            (abs(xstart) - abs(max(xstart, 0)), abs(xend) - abs(min(xend, width))),
        ),
        mode="constant",
    )
    near = np.bitwise_and(patch < zstart, patch != 0)
    far = np.bitwise_and(patch > zend, patch != 0)
    patch[near] = zstart
    patch[far] = 0.0
    return patch


def resize(patch: Array, size: int) -> tuple[Array, Array]:
    """Resize to the crop side, keeping the aspect; the matrix takes image pixels to crop pixels."""
    height, width = patch.shape
    scale = size / max(height, width)
    small = cv2.resize(patch, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_NEAREST)
    out = np.zeros((size, size), np.float32)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    matrix = np.array([[scale, 0, left], [0, scale, top], [0, 0, 1]], np.float32)
    return out, matrix


def rotate(patch: Array, center: Array, joints: Array, camera: Camera, degrees: float) -> tuple[Array, Array]:
    """Turn the small image by a second warp, and the joints one by one."""
    size = patch.shape[0]
    matrix = cv2.getRotationMatrix2D((size // 2, size // 2), -degrees, 1)
    turned = cv2.warpAffine(
        patch, matrix, (size, size), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    center_uvd = project(center, camera)
    uvd = project_all(joints + center, camera)
    out = np.zeros_like(uvd)
    angle = math.radians(degrees)
    for j in range(uvd.shape[0]):
        u, v = uvd[j, 0] - center_uvd[0], uvd[j, 1] - center_uvd[1]
        out[j, 0] = u * math.cos(angle) - v * math.sin(angle) + center_uvd[0]
        out[j, 1] = u * math.sin(angle) + v * math.cos(angle) + center_uvd[1]
        out[j, 2] = uvd[j, 2]
    return np.asarray(turned), back_project_all(out, camera) - center


def rebox(
    patch: Array, matrix: Array, center: Array, cube: Array, new_center: Array, new_cube: Array, camera: Camera
) -> Array:
    """Move or scale: warp the small image from the old box to the new one."""
    size = patch.shape[0]
    xstart, xend, ystart, yend, zstart, zend = bounds(project(new_center, camera), new_cube, camera)
    scale = size / max(xend - xstart, yend - ystart)
    crop_from_image = np.array([[scale, 0, -xstart * scale], [0, scale, -ystart * scale], [0, 0, 1]], np.float64)
    old_x, _, old_y, _, _, _ = bounds(project(center, camera), cube, camera)
    old_from_image = matrix.astype(np.float64) @ np.array([[1, 0, -old_x], [0, 1, -old_y], [0, 0, 1]], np.float64)
    moved = cv2.warpPerspective(
        patch,
        crop_from_image @ np.linalg.inv(old_from_image),
        (size, size),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    out: Array = np.asarray(moved)
    near = np.bitwise_and(out < zstart, out != 0)
    far = np.bitwise_and(out > zend, out != 0)
    out[near] = zstart
    out[far] = 0.0
    return out


def usual_chain(
    frame: Array, center: Array, cube: Array, joints: Array, camera: Camera, size: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """One training sample: crop, pad, resize, then one of rotate, move and scale.

    Args:
        frame: (H, W) float32 mm, 0 = missing.
        center: (3,) mm.
        cube: (3,) mm.
        joints: (J, 3) mm, camera frame.
        camera: of the frame.
        size: crop side, px.
        rng: source of randomness.

    Returns:
        The crop (S, S) in [-1, 1] and the joints (J, 3) in [-1, 1].
    """
    patch, matrix = resize(crop_and_pad(frame, bounds(project(center, camera), cube, camera)), size)
    relative = joints - center
    mode = ("rotate", "move", "scale")[rng.integers(3)]
    if mode == "rotate":
        patch, relative = rotate(patch, center, relative, camera, rng.uniform(-180, 180))
    elif mode == "move":
        shifted = center + rng.uniform(-10, 10, 3)
        patch = rebox(patch, matrix, center, cube, shifted, cube, camera)
        relative, center = relative + center - shifted, shifted
    else:
        larger = cube * rng.uniform(0.9, 1.1)
        patch = rebox(patch, matrix, center, cube, center, larger, camera)
        cube = larger
    patch[patch == 0] = center[2] + cube[2] / 2.0
    patch -= center[2]
    patch /= cube[2] / 2.0
    return patch, np.clip(relative / (cube / 2.0), -1, 1)
