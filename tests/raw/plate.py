"""A hand that no check can find fault with: a tilted plate before nothing, whose joints lie on it."""

from __future__ import annotations

import numpy as np

HALF_MM = 45.0  # half a side of the plate
NEAREST_MM = 500
Truth = tuple[np.ndarray, np.ndarray]
"""depth (N, H, W) uint16 mm, 0 = missing; joints (N, J, 3) mm in the camera frame, y down."""


def plates(
    count: int, joints: int, focal: tuple[float, float], center: tuple[float, float], image: tuple[int, int]
) -> Truth:
    """Frames of one split.

    Args:
        count: number of frames N.
        joints: number of joints J.
        focal: fx, fy in px.
        center: cx, cy in px.
        image: (H, W) px.
    """
    depth, xyz = np.zeros((count, *image), np.uint16), np.empty((count, joints, 3))
    for i in range(count):
        half_u, half_v = (int(HALF_MM * f / NEAREST_MM) for f in focal)
        left, top = int(center[0]) - half_u + 3 * i, int(center[1]) - half_v
        rows = NEAREST_MM + 5 * i + np.arange(2 * half_v) // 4
        depth[i, top : top + 2 * half_v, left : left + 2 * half_u] = rows[:, None]
        u = np.linspace(left, left + 2 * half_u - 1, joints).astype(int)
        v = np.linspace(top, top + 2 * half_v - 1, joints).astype(int)
        z = depth[i, v, u].astype(np.float64)
        xyz[i] = np.stack(((u - center[0]) * z / focal[0], (v - center[1]) * z / focal[1], z), axis=-1)
    return depth, xyz
