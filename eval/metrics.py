"""The field's metrics as pure functions on joint errors.

`error` is always (N, J) mm as `handbench.scores.joint_error` gives it, float64, NaN = not labelled. Means run over all
labelled joints of all frames at once, never over means of frames or batches. Success is a share in [0, 1] and counts a
value that equals the threshold. A frame without any label takes no part.

Source of the definitions: evaluation code of awesome-hand-pose-estimation, which the published tables come from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from handbench.errors import HandbenchError

Floats = npt.NDArray[np.float64]


def mean_error(error: Floats) -> float:
    """Mean over all labelled joints of all frames, mm.

    Raises:
        HandbenchError: if no joint is labelled.
    """
    return float(_labelled(error).mean())


def median_error(error: Floats) -> float:
    """Median over all labelled joints of all frames, mm.

    Raises:
        HandbenchError: if no joint is labelled.
    """
    return float(np.median(_labelled(error)))


def mean_error_by_finger(error: Floats, fingers: Sequence[str]) -> dict[str, float]:
    """Mean over the labelled joints of each finger, mm; NaN for a finger that never is labelled.

    Args:
        error: (N, J) mm.
        fingers: J names of fingers, or "palm".
    """
    labelled = ~np.isnan(error)
    counts, sums = labelled.sum(axis=0), np.where(labelled, error, 0.0).sum(axis=0)
    means = {}
    for finger in dict.fromkeys(fingers):
        own = np.array([name == finger for name in fingers])
        means[finger] = float(sums[own].sum() / counts[own].sum()) if counts[own].any() else float("nan")
    return means


def mean_error_by_joint(error: Floats) -> Floats:
    """(J,) mean over the frames where the joint is labelled, mm; NaN for a joint that never is."""
    labelled = ~np.isnan(error)
    counts = labelled.sum(axis=0)
    sums = np.where(labelled, error, 0.0).sum(axis=0)
    means: Floats = np.divide(sums, counts, out=np.full(error.shape[1], np.nan), where=counts > 0)
    return means


def frame_max_error(error: Floats) -> Floats:
    """(F,) worst labelled joint of each frame that has a label, mm."""
    with_labels = error[~np.isnan(error).all(axis=1)]
    worst: Floats = np.fmax.reduce(with_labels, axis=1)
    return worst


def frame_mean_error(error: Floats) -> Floats:
    """(F,) mean over the labelled joints of each frame that has a label, mm."""
    with_labels = error[~np.isnan(error).all(axis=1)]
    labelled = ~np.isnan(with_labels)
    means: Floats = np.where(labelled, with_labels, 0.0).sum(axis=1) / labelled.sum(axis=1)
    return means


def success(values: Floats, thresholds: npt.ArrayLike) -> Floats:
    """Share of values <= each threshold, in [0, 1].

    Args:
        values: (K,) mm, no NaN.
        thresholds: any shape, mm.

    Returns:
        The shape of `thresholds`.

    Raises:
        HandbenchError: if there are no values.
    """
    if not values.size:
        raise HandbenchError("no frame has a label, so there is no success to count")
    shares: Floats = np.searchsorted(np.sort(values), thresholds, side="right") / values.size
    return shares


def max_frame_success(error: Floats, thresholds: npt.ArrayLike) -> Floats:
    """Share of frames whose worst joint is within each threshold: the field's "fraction of frames"."""
    return success(frame_max_error(error), thresholds)


def mean_frame_success(error: Floats, thresholds: npt.ArrayLike) -> Floats:
    """Share of frames whose mean joint error is within each threshold."""
    return success(frame_mean_error(error), thresholds)


def joint_success(error: Floats, thresholds: npt.ArrayLike) -> Floats:
    """Share of joints, over all frames, within each threshold (3D PCK)."""
    return success(_labelled(error), thresholds)


def area_under_curve(shares: npt.ArrayLike, thresholds: npt.ArrayLike) -> float:
    """Area under a success curve by the trapezoidal rule, divided by the width of the range: 1 is perfect.

    Args:
        shares: (T,) in [0, 1].
        thresholds: (T,) mm, rising.
    """
    x = np.asarray(thresholds, np.float64)
    return float(np.trapezoid(np.asarray(shares, np.float64), x) / (x[-1] - x[0]))


def _labelled(error: Floats) -> Floats:
    """The (K,) errors of labelled joints."""
    missing = np.isnan(error)
    values: Floats = error[~missing] if missing.any() else error.ravel(order="K")
    if not values.size:
        raise HandbenchError("no joint is labelled, so there is no error to average")
    return values
