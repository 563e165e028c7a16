"""Centres to put a box around. Whoever stores one records its method beside it."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handbench.errors import HandbenchError

_STILL_MM = 0.5  # a step below this ends the iteration; a pixel is 1.2 mm wide at 700 mm
_STEPS = 100  # bounds the time; real frames take 1 to 21
_SPARSE = 8  # px
_SURFACE_MM = 20.0  # side of the smallest thing that counts as the nearest surface; less is sensor noise


def com_xyz(depth: npt.NDArray[Any], camera: Camera, near: float, far: float) -> npt.NDArray[np.float64]:
    """Centre of mass of the depth pixels between two thresholds.

    The mean of column, row and depth is taken in the image and back-projected, as the literature does
    (REN `evaluation/get_centers.py`, with true pixel indices instead of its stretched grid).

    Args:
        depth: (H, W) mm, 0 = missing.
        camera: of that image.
        near: smallest depth that counts, mm.
        far: largest depth that counts, mm.

    Returns:
        (3,) mm, camera frame; NaN if no pixel lies between the thresholds.
    """
    valid = _between(depth, near, far)
    # OpenCV adds columns, rows and depths 5 times faster than NumPy does; all sums are exact for whole mm.
    columns, rows = (
        cv2.reduce(valid.view(np.uint8), axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() for axis in (0, 1)
    )
    count = int(columns.sum())
    if count == 0:
        return np.full(3, np.nan)
    first, last = np.flatnonzero(rows)[[0, -1]].tolist()
    seen = slice(first, last + 1)
    mean_u = np.arange(depth.shape[1]) @ columns / count
    mean_v = np.arange(depth.shape[0]) @ rows / count
    mean_d = cv2.sumElems(depth[seen] * valid[seen])[0] / count
    return uvd_to_xyz(np.array([mean_u, mean_v, mean_d], dtype=np.float64), camera)


def com_iterated_xyz(
    depth: npt.NDArray[Any], camera: Camera, near: float, far: float, cube: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Centre of mass of the depth inside a cube that follows it, starting from the nearest surface.

    For hands held before a body: the first cube lies about the nearest surface between the thresholds, and then the
    cube goes where the centre of mass of the depth inside it is, until that moves less than 0.5 mm. But for the mean,
    which is taken in the image as everywhere, this is mean shift with a flat kernel (Comaniciu and Meer 2002), which
    climbs to a peak of the density of pixels and rests there; DeepPrior's `refineCoMIterative` takes a fixed number of
    such steps. It finds whatever is nearest.

    Args:
        depth: (H, W) mm, 0 = missing.
        camera: of that image.
        near: smallest depth that counts, mm.
        far: largest depth that counts, mm.
        cube: (3,) full sides, mm.

    Returns:
        (3,) mm, camera frame; NaN if no pixel lies between the thresholds. After 100 steps the last centre.

    Raises:
        HandbenchError: if a side of the cube is not positive.
    """
    half = np.asarray(cube, dtype=np.float64) / 2
    if not (half > 0).all():
        raise HandbenchError(f"a cube of {np.asarray(cube).tolist()} mm holds nothing; every side must be positive")
    first = _nearest_surface(depth, camera, near, far)
    if first is None:
        return np.full(3, np.nan)
    center = com_xyz(depth, camera, near, min(far, first + half[2]))
    for _ in range(_STEPS):
        moved = _com_in_cube(depth, camera, (near, far), center, half)
        if moved is None:
            break  # the first centre may lie between two things, in a cube of nothing; there is no better one
        step = float(np.linalg.norm(moved - center))
        center = moved
        if step < _STILL_MM:
            break
    return center


def bbox_xyz(
    depth: npt.NDArray[Any],
    camera: Camera,
    near: float,
    far: float,
    cube: npt.ArrayLike,
    bbox: npt.NDArray[Any],
) -> npt.NDArray[np.float64]:
    """`com_iterated_xyz` of the depth inside a bounding box alone, so that nothing beside the hand can be nearer.

    Args:
        depth: (H, W) mm, 0 = missing.
        camera: of that image.
        near: smallest depth that counts, mm.
        far: largest depth that counts, mm.
        cube: (3,) full sides, mm.
        bbox: (4,) left, top, width, height, px; pixels on its border count.

    Returns:
        (3,) mm, camera frame; NaN if the box is none (NaN) or shows no depth between the thresholds.

    Raises:
        HandbenchError: if a side of the cube is not positive.
    """
    return com_iterated_xyz(inside_bbox(depth, bbox), camera, near, far, cube)


def inside_bbox(depth: npt.NDArray[Any], bbox: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The frame (H, W) with everything outside a bounding box (4,) missing; all of it where the box is NaN."""
    seen = np.zeros_like(depth)
    if np.isfinite(bbox).all():
        left, top, width, height = bbox.tolist()
        rows, columns = (
            slice(max(math.ceil(first), 0), max(math.floor(first + size) + 1, 0))
            for first, size in ((top, height), (left, width))
        )
        seen[rows, columns] = depth[rows, columns]
    return seen


def _between(depth: npt.NDArray[Any], near: float, far: float) -> npt.NDArray[np.bool_]:
    """(H, W) which pixels hold a depth from `near` to `far` mm; 0 never does."""
    near = max(near, np.finfo(np.float64).tiny)
    if depth.dtype == np.uint16:  # compared as whole numbers, which takes a quarter of the time
        near, far = math.ceil(near), math.floor(min(far, np.iinfo(np.uint16).max))
    valid: npt.NDArray[np.bool_] = (depth >= near) & (depth <= far)
    return valid


def in_image(center_xyz: npt.NDArray[Any], camera: Camera) -> npt.NDArray[np.bool_]:
    """Whether a box can be put around a centre: it is there, before the camera, and projects into the image.

    Args:
        center_xyz: (..., 3) mm, camera frame; NaN = none.
        camera: of the image.

    Returns:
        (...,)
    """
    before = center_xyz[..., 2] > 0
    u, v, _ = np.moveaxis(xyz_to_uvd(np.where(before[..., None], center_xyz, np.nan), camera), -1, 0)
    inside: npt.NDArray[np.bool_] = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    return inside


def box_holds_depth(
    depth: npt.NDArray[Any], center_xyz: npt.NDArray[Any], cube: npt.NDArray[Any], camera: Camera
) -> bool:
    """Whether the crop of an upright box would show anything: its pixels in the plane of the centre, its depths.

    Args:
        depth: (H, W) mm, 0 = missing.
        center_xyz: (3,) mm, camera frame; NaN = no box, which holds nothing.
        cube: (3,) full sides, mm.
        camera: of the frame.
    """
    center, half = center_xyz.astype(np.float64), cube.astype(np.float64) / 2
    if not (np.isfinite(center).all() and center[2] > 0 and (half > 0).all()):
        return False
    u, v, z = xyz_to_uvd(center, camera)
    across, down = camera.fx * half[0] / z, camera.fy * half[1] / z
    left, top = max(int(np.ceil(u - across)), 0), max(int(np.ceil(v - down)), 0)
    right, bottom = max(int(u + across) + 1, 0), max(int(v + down) + 1, 0)
    seen = depth[top:bottom, left:right]
    some = seen[::_SPARSE, ::_SPARSE]  # nearly always enough
    return any(bool(_between(part, z - half[2], z + half[2]).any()) for part in (some, seen))


def _nearest_surface(depth: npt.NDArray[Any], camera: Camera, near: float, far: float) -> float | None:
    """Depth in mm up to which `_SURFACE_MM` squared of surface is seen, or all there is; None if there is nothing."""
    depths = np.sort(depth[_between(depth, max(near, 1.0), far)], kind="stable")  # radix sort for uint16
    if not depths.size:
        return None
    seen = np.cumsum(depths.astype(np.float64) ** 2) / (camera.fx * camera.fy)  # a pixel shows so many square mm
    return float(depths[min(int(np.searchsorted(seen, _SURFACE_MM**2)), depths.size - 1)])


def _com_in_cube(
    depth: npt.NDArray[Any],
    camera: Camera,
    thresholds: tuple[float, float],
    center: npt.NDArray[np.float64],
    half: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64] | None:
    """(3,) mm: mean column, row and depth of the pixels inside the cube about `center`, back-projected."""
    front, back = max(center[2] - half[2], thresholds[0], 1.0), min(center[2] + half[2], thresholds[1])
    columns = _span(center[0], half[0], (front, back), camera.fx, camera.cx, depth.shape[1])
    rows = _span(center[1], half[1], (front, back), camera.fy, camera.cy, depth.shape[0])
    d = depth[rows, columns].astype(np.float64)
    u, v = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
    inside = (d >= front) & (d <= back)
    inside &= np.abs((u - camera.cx) / camera.fx * d - center[0]) <= half[0]
    inside &= np.abs((v - camera.cy)[:, None] / camera.fy * d - center[1]) <= half[1]
    count = np.count_nonzero(inside)
    if not count:
        return None
    totals = inside.sum(axis=0) @ u, inside.sum(axis=1) @ v, d.sum(where=inside)
    return uvd_to_xyz(np.array(totals, dtype=np.float64) / count, camera)


def _span(middle: float, half: float, depths: tuple[float, float], focal: float, principal: float, size: int) -> slice:
    """The pixels of one axis that show anything of [middle - half, middle + half] mm between two depths."""
    edges = np.outer((middle - half, middle + half), np.divide(focal, depths)) + principal
    start, stop = np.clip((np.floor(edges.min()), np.ceil(edges.max()) + 1), 0, size)
    return slice(int(start), int(stop))


def mean_joint_xyz(joints_xyz: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Mean of the labelled joints: a centre that uses the truth, fit for training and for upper bounds only.

    Args:
        joints_xyz: (..., J, 3) mm, camera frame; NaN = not labelled.

    Returns:
        (..., 3) mm; NaN if no joint is labelled.
    """
    labelled = np.isfinite(joints_xyz).all(axis=-1, keepdims=True)
    count = labelled.sum(axis=-2)
    total = np.where(labelled, joints_xyz, 0.0).sum(axis=-2, dtype=np.float64)
    mean: npt.NDArray[np.float64] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean
