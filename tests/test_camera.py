"""Projection and back-projection, against hand-computed points and each other, in NumPy and torch."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from handbench.camera import PRESETS, Camera, parse_camera, uvd_to_xyz, xyz_to_uvd
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


def test_a_camera_by_name_numbers_or_file(tmp_path: Path) -> None:
    assert parse_camera("kinect2") == Camera(363.9, 363.9, 255.4, 206.3, 512, 424)
    assert parse_camera("500,400.0, 320,240") == CAMERA  # 640 x 480 unless said otherwise
    assert parse_camera("500,400,320,240,512,424") == Camera(500, 400, 320, 240, 512, 424)
    path = tmp_path / "camera.JSON"
    path.write_text(json.dumps({"serial": "7", **asdict(CAMERA)}))
    assert parse_camera(str(path)) == CAMERA


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kinect", "unknown camera 'kinect'; did you mean kinect2"),
        ("", "unknown camera ''; give hands17, kinect2"),
        ("500,400,320", "is no camera; give fx,fy,cx,cy"),
        ("500,400,320,240,640", "is no camera"),
        ("500,400,320,240,640.5,480", "width and height whole"),
        ("a,b,c,d", "is no camera"),
        ("500,400,nan,240", "is no camera"),
        ("500,400,320,240,inf,480", "is no camera"),
        ("0,400,320,240", "focal lengths"),
        ("500,400,320,240,0,480", "0 x 480"),
        ("nowhere.json", "cannot read nowhere.json: No such file"),
    ],
)
def test_what_is_no_camera(text: str, message: str) -> None:
    with pytest.raises(HandbenchError, match=message):
        parse_camera(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[500, 400]", "is not a JSON object"),
        ("3", "is not a JSON object"),
        ("{", "is not a JSON object"),
        ("[" * 100_000, "is not a JSON object"),
        ("{}", "has no fx, fy, cx, cy, width, height"),
        ('{"fx": 1, "fy": 1, "cx": 1, "cy": 1, "width": [], "height": 2}', "is no camera"),
        ('{"fx": 1, "fy": 1, "cx": 1, "cy": 1, "width": NaN, "height": 2}', "is no camera"),
    ],
)
def test_a_file_that_is_no_camera(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "camera.json"
    path.write_text(content)
    with pytest.raises(HandbenchError, match=message) as caught:
        parse_camera(str(path))
    assert str(path) in str(caught.value)
