"""Joints against the depth image: how far a label lies from the nearest point that the sensor measured."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handbench.eval.audit import AuditConfig, Finding, Labels, ranked

Floats = npt.NDArray[np.float64]
_STEP_MM = 3.0  # between the pixels that are looked at, at the depth of the joint: less than a finger is wide
_REACH = 1.5  # the window reaches so many times as far as the limit


def surface_findings(
    labels: Labels,
    config: AuditConfig,
    depth: Callable[[int], npt.NDArray[np.number]],
    camera: Camera,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Finding]:
    """Frames with a joint farther than `config.surface` from all measured points.

    A joint inside a hand lies millimetres to a few centimetres behind the surface, and a hidden finger near something
    that hides it; a joint in mid air, or beside the hand, is far from everything.

    Args:
        labels: what is audited.
        config: the limit.
        depth: gives the frame of a row, (H, W) mm, 0 = missing.
        camera: of the frames.
        advance: told 1 after each frame.
    """
    found = []
    for row in np.flatnonzero(labels.counts).tolist():
        away = surface_distance(labels.joints_xyz[row], np.asarray(depth(row)), camera, _REACH * config.surface)
        if (away > config.surface).any():
            joint = int(np.nanargmax(away))
            found.append(Finding("surface", row, joint, float(away[joint]), float(away[joint] / config.surface)))
        advance(1)
    return ranked(found)


def surface_distance(joints_xyz: Floats, depth: npt.NDArray[np.number], camera: Camera, reach: float) -> Floats:
    """Distance of each joint to the nearest measured point around it.

    Args:
        joints_xyz: (J, 3) mm, camera frame; NaN = not labelled.
        depth: (H, W) mm, 0 = missing.
        camera: of the frame.
        reach: mm that are searched around the joint, across the line of sight.

    Returns:
        (J,) mm, at most `reach`; NaN for a joint that is not labelled. Pixels are looked at every 3 mm, so it may be a
        few millimetres too large where the surface is steep.
    """
    away = np.full(len(joints_xyz), np.nan)
    for joint in np.flatnonzero(np.isfinite(joints_xyz).all(axis=1) & (joints_xyz[:, 2] > 0)).tolist():
        points = _points_around(joints_xyz[joint], depth, camera, reach)
        nearest = np.sqrt(((points - joints_xyz[joint]) ** 2).sum(axis=1)).min(initial=reach)
        away[joint] = nearest
    return away


def _points_around(point: Floats, depth: npt.NDArray[np.number], camera: Camera, reach: float) -> Floats:
    """(K, 3) mm: measured points whose pixels lie in a window around the point's own."""
    u, v, z = xyz_to_uvd(point, camera).tolist()
    columns = _window(u, reach * camera.fx / z, _STEP_MM * camera.fx / z, depth.shape[1])
    rows = _window(v, reach * camera.fy / z, _STEP_MM * camera.fy / z, depth.shape[0])
    seen = depth[np.ix_(rows, columns)].astype(np.float64)
    grid = np.stack(np.broadcast_arrays(columns[None, :], rows[:, None], seen), axis=-1)
    return uvd_to_xyz(grid[seen > 0].astype(np.float64), camera)


def _window(center: float, radius: float, apart: float, size: int) -> npt.NDArray[np.intp]:
    step = max(1, math.floor(apart))
    pixels = round(center) + step * np.arange(-math.ceil(radius / step), math.ceil(radius / step) + 1)
    return pixels[(pixels >= 0) & (pixels < size)].astype(np.intp)
