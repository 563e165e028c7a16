"""Joint errors, and the scores file that eval writes and plots read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.errors import ShapeError


def joint_error(pred_xyz: npt.NDArray[Any], joints_xyz: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Euclidean distance of each predicted joint to its label.

    Args:
        pred_xyz: (N, J, 3) mm, camera frame.
        joints_xyz: (N, J, 3) mm, same frame; NaN = not labelled.

    Returns:
        (N, J) mm, float64; NaN where a joint is not labelled.

    Raises:
        ShapeError: if the shapes differ or are not (N, J, 3).
    """
    if pred_xyz.shape != joints_xyz.shape or pred_xyz.ndim != 3 or pred_xyz.shape[-1] != 3:
        raise ShapeError(f"predictions {pred_xyz.shape} and labels {joints_xyz.shape} must both be (N, J, 3)")
    difference = pred_xyz.astype(np.float64) - joints_xyz.astype(np.float64)
    error: npt.NDArray[np.float64] = np.sqrt(np.einsum("...i,...i->...", difference, difference))
    return error
