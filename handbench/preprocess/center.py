"""Centres to put a box around. Whoever stores one records its method beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, uvd_to_xyz


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
    valid = (depth >= max(near, np.finfo(np.float64).tiny)) & (depth <= far)
    count = np.count_nonzero(valid)
    if count == 0:
        return np.full(3, np.nan)
    columns, rows = valid.sum(axis=0), valid.sum(axis=1)
    mean_u = np.arange(depth.shape[1]) @ columns / count
    mean_v = np.arange(depth.shape[0]) @ rows / count
    mean_d = depth.sum(where=valid, dtype=np.float64) / count
    return uvd_to_xyz(np.array([mean_u, mean_v, mean_d], dtype=np.float64), camera)


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
