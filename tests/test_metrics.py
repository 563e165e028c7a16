"""The metrics on points that tell right from wrong, and against loops that anyone can check."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from handbench.errors import HandbenchError
from handbench.eval import metrics
from handbench.scores import joint_error

NAN = float("nan")


def errors() -> st.SearchStrategy[np.ndarray]:
    """(N, J) mm on a grid of half millimetres, so that ties with thresholds are common; some joints not labelled."""
    shape = st.tuples(st.integers(1, 8), st.integers(1, 5))
    value = st.one_of(st.integers(0, 60).map(lambda half: half / 2), st.just(NAN))
    return shape.flatmap(lambda s: hnp.arrays(np.float64, s, elements=value)).filter(
        lambda e: not bool(np.isnan(e).all())
    )


def test_offset_of_3_4_0_is_5_mm_in_every_metric() -> None:
    true = np.tile([10.0, -20.0, 500.0], (2, 14, 1))
    pred = true + np.array([3.0, -4.0, 0.0])
    error = joint_error(pred, true)
    assert metrics.mean_error(error) == 5.0
    assert metrics.median_error(error) == 5.0
    assert_array_equal(metrics.mean_error_by_joint(error), np.full(14, 5.0))
    for curve in (metrics.max_frame_success, metrics.mean_frame_success, metrics.joint_success):
        assert_array_equal(curve(error, [4.999, 5.0]), [0.0, 1.0])


def test_max_frame_success_counts_the_worst_joint_and_includes_the_threshold() -> None:
    error = np.array([[1.0, 20.0], [1.0, 20.001]])
    assert metrics.max_frame_success(error, 20.0) == 0.5
    assert metrics.mean_frame_success(error, 20.0) == 1.0
    assert metrics.joint_success(error, 20.0) == 0.75


def test_one_bad_joint_of_14() -> None:
    error = np.ones((4, 14))
    error[2, 5] = 29.0
    assert metrics.mean_error(error) == 1.5
    assert metrics.max_frame_success(error, 20.0) == 0.75
    assert metrics.mean_frame_success(error, 3.0) == 1.0  # (13 + 29) / 14 = 3 exactly
    assert metrics.mean_frame_success(error, 2.999) == 0.75
    assert metrics.joint_success(error, 28.0) == 55 / 56
    assert_array_equal(metrics.mean_error_by_joint(error), [1, 1, 1, 1, 1, 8, *[1] * 8])


def test_a_joint_without_label_takes_no_part() -> None:
    true = np.zeros((2, 3, 3))
    true[0, 1] = NAN
    pred = np.tile([[3.0, 4.0, 0.0], [300.0, 400.0, 0.0], [0.0, 0.0, 0.0]], (2, 1, 1))
    error = joint_error(pred, true)
    assert metrics.mean_error(error) == (5 + 0 + 5 + 500 + 0) / 5  # not the mean of frame means, 85.4
    assert_array_equal(metrics.mean_error_by_joint(error), [5.0, 500.0, 0.0])
    assert_array_equal(metrics.frame_max_error(error), [5.0, 500.0])
    assert_array_equal(metrics.frame_mean_error(error), [2.5, 505 / 3])
    assert metrics.joint_success(error, 5.0) == 0.8
    assert metrics.median_error(error) == 5.0  # of 5, 0, 5, 500, 0
    fingers = metrics.mean_error_by_finger(error, ["palm", "thumb", "palm"])
    assert fingers == {"palm": 10 / 4, "thumb": 500.0}


def test_a_finger_without_labels_has_no_mean() -> None:
    error = np.array([[1.0, NAN, 3.0], [5.0, NAN, 7.0]])
    fingers = metrics.mean_error_by_finger(error, ["thumb", "index", "thumb"])
    assert fingers["thumb"] == 4.0
    assert math.isnan(fingers["index"])


def test_a_frame_without_labels_takes_no_part_and_a_joint_without_labels_has_no_mean() -> None:
    error = np.array([[NAN, NAN], [1.0, NAN]])
    assert metrics.max_frame_success(error, 1.0) == 1.0
    assert metrics.mean_frame_success(error, 0.5) == 0.0
    assert_array_equal(metrics.mean_error_by_joint(error), [1.0, NAN])


def test_no_labels_at_all_is_refused() -> None:
    error = np.full((2, 3), NAN)
    with pytest.raises(HandbenchError, match="no joint is labelled"):
        metrics.mean_error(error)
    with pytest.raises(HandbenchError, match="no joint is labelled"):
        metrics.joint_success(error, 1.0)
    with pytest.raises(HandbenchError, match="no frame has a label"):
        metrics.max_frame_success(error, 1.0)
    with pytest.raises(HandbenchError, match="no frame has a label"):
        metrics.mean_frame_success(error, 1.0)


def test_area_under_curve() -> None:
    assert metrics.area_under_curve([1, 1, 1], [0, 25, 50]) == 1.0
    assert metrics.area_under_curve([0, 1], [0, 50]) == 0.5
    assert metrics.area_under_curve([0, 0, 1], [0, 10, 30]) == pytest.approx(1 / 3)


@given(errors())
def test_every_metric_equals_its_naive_twin(error: np.ndarray) -> None:
    rows = [[e for e in row if not math.isnan(e)] for row in error.tolist()]
    rows = [row for row in rows if row]
    joints = [e for row in rows for e in row]
    thresholds = [0.0, 0.5, 7.0, 12.5, 30.0]
    assert metrics.mean_error(error) == pytest.approx(sum(joints) / len(joints))
    assert metrics.median_error(error) == statistics.median(joints)
    for curve, values in (
        (metrics.max_frame_success, [max(row) for row in rows]),
        (metrics.mean_frame_success, [sum(row) / len(row) for row in rows]),
        (metrics.joint_success, joints),
    ):
        naive = [sum(value <= t for value in values) / len(values) for t in thresholds]
        assert_allclose(curve(error, thresholds), naive, rtol=0, atol=1e-15)


@given(errors())
def test_success_never_falls_and_max_is_below_mean(error: np.ndarray) -> None:
    thresholds = np.arange(0, 81)
    worst, mean = metrics.max_frame_success(error, thresholds), metrics.mean_frame_success(error, thresholds)
    assert np.all(np.diff(worst) >= 0)
    assert np.all(worst <= mean)
    assert metrics.joint_success(error, 80.0) == 1.0
