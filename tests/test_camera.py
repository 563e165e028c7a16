"""Projection and back-projection, against hand-computed points and each other, in NumPy and torch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from handbench.camera import PRESETS, Camera, uvd_to_xyz, xyz_to_uvd
from handbench.errors import HandbenchError, ShapeError

CAMERA = Camera(fx=500.0, fy=400.0, cx=320.0, cy=240.0, width=640, height=480)


def test_hand_computed_points() -> None:
    uvd = np.array([[320.0, 240.0, 700.0], [420.0, 240.0, 500.0], [320.0, 340.0, 800.0]])
    # 100 px right at 500 mm with fx 500 is 100 mm; 100 px DOWN at 800 mm with fy 400 is +200 mm.
    assert_allclose(uvd_to_xyz(uvd, CAMERA), [[0, 0, 700], [100, 0, 500], [0, 200, 800]])


@given(
    st.floats(-1000, 2000),
    st.floats(-1000, 2000),
    st.floats(50, 5000),
    st.sampled_from([CAMERA, *PRESETS.values()]),
)
def test_round_trip(u: float, v: float, d: float, camera: Camera) -> None:
    uvd = np.array([[u, v, d]])
    assert_allclose(xyz_to_uvd(uvd_to_xyz(uvd, camera), camera), uvd, rtol=1e-12, atol=1e-9)


def test_torch_gives_the_same_and_keeps_its_type() -> None:
    xyz = np.random.default_rng(0).uniform(-200, 200, (2, 5, 3)) + np.array([0, 0, 700])
    result = xyz_to_uvd(torch.tensor(xyz, dtype=torch.float32), CAMERA)
    assert result.dtype == torch.float32
    assert_allclose(result.numpy(), xyz_to_uvd(xyz, CAMERA), rtol=1e-5)


def test_nan_stays_nan_and_the_input_is_untouched() -> None:
    uvd = np.array([[1.0, 2.0, np.nan], [320.0, 240.0, 1.0]])
    before = uvd.copy()
    assert np.isnan(uvd_to_xyz(uvd, CAMERA)[0]).all()
    np.testing.assert_array_equal(uvd, before)


def test_wrong_last_axis_is_named() -> None:
    with pytest.raises(ShapeError, match=r"uvd has shape \(4, 2\)"):
        uvd_to_xyz(np.zeros((4, 2)), CAMERA)


@pytest.mark.parametrize(("values", "message"), [((-500, 400), "focal"), ((0, 1), "focal")])
def test_a_focal_length_is_positive(values: tuple[float, float], message: str) -> None:
    with pytest.raises(HandbenchError, match=message):
        Camera(*values, 320, 240, 640, 480)


def test_an_image_has_pixels() -> None:
    with pytest.raises(HandbenchError, match="0 x 480"):
        Camera(500, 500, 320, 240, 0, 480)
