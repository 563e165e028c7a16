"""`handbench camera check`: what a hand measures, and what cannot be right."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import PRESETS, Camera, uvd_to_xyz
from handbench.camera_check import CameraCheck, check_camera, cloud, hand_view, spread
from handbench.cli import main
from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.frames import FramesReader
from handbench.plots.cloud import BAR_MM, cloud_view, draw_cloud
from handbench.plots.style import paper_style
from handbench.preprocess.windows import cut_window
from handbench.store import Store
from tests.tiny_store import write_tiny_store

CAMERA = Camera(200.0, 200.0, 79.5, 59.5, 160, 120)
HERE = np.zeros(2, np.int32)


def room(
    z: float = 500.0, palm_mm: float = 80.0, camera: Camera = CAMERA, behind: int = 1600
) -> npt.NDArray[np.uint16]:
    """A palm with four fingers before a wall: a disc with its middle on the optical axis, and bars above it."""
    v, u = np.indices((camera.height, camera.width))
    x, y = (u - camera.cx) * z / camera.fx, (v - camera.cy) * z / camera.fy
    hand = np.hypot(x, y) <= palm_mm / 2
    for middle in (-30, -10, 10, 30):
        hand |= (np.abs(x - middle) < 7) & (y < 0) & (y > -105)
    return np.where(hand, z, behind).astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five such images in mm."""
    folder = tmp_path_factory.mktemp("raw")
    for i in range(5):
        assert cv2.imwrite(str(folder / f"{i}.png"), room(500 + 20 * i))
    return folder


def check_of(
    folder: Path, out: Path, camera: Camera = CAMERA, unit: float = 1.0, far: float | None = None
) -> CameraCheck:
    convert(FramesReader(folder, camera, unit), out, ConvertConfig(center="com-iterated", far=far, codec="shuffle"))
    store = Store(out)
    return check_camera(store, store["test"], 100)


def run(*args: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["camera", "check", *map(str, args)])
    assert result.exit_code == code, result.output
    return result


# ---- one frame


def test_a_disc_of_80_mm_measures_80_mm() -> None:
    v, u = np.indices((120, 160))
    disc = np.hypot(u - 80, v - 60) <= 16  # px of 2.5 mm: 80 mm across
    depth = np.where(disc, 500, 0).astype(np.uint16)
    view = hand_view(depth, HERE, np.array([0, 0, 500.0]), np.array([250.0] * 3), CAMERA)
    assert view is not None
    assert view.pixels == disc.sum()
    assert view.box_px == 100  # 250 mm x 200 px / 500 mm
    assert_allclose(view.disc_mm, 80, atol=2.5)  # a pixel
    assert_allclose(view.extent_mm, (80, 80, 0), atol=5)


def test_the_disc_grows_beyond_the_box_and_not_into_other_depths() -> None:
    center, cube = np.array([0, 0, 500.0]), np.array([100.0] * 3)
    view = hand_view(np.full((120, 160), 520, np.uint16), HERE, center, cube, CAMERA)
    assert view is not None
    assert view.disc_mm > 250
    assert max(view.extent_mm) <= 100
    assert hand_view(np.full((120, 160), 560, np.uint16), HERE, center, cube, CAMERA) is None


@pytest.mark.parametrize("center", [[np.nan] * 3, [0, 0, -500.0], [900.0, 0, 500.0]])
def test_no_box_no_hand(center: list[float]) -> None:
    assert hand_view(room(), HERE, np.array(center), np.array([250.0] * 3), CAMERA) is None


def test_a_window_measures_as_its_frame() -> None:
    depth, origin = room(), np.array([13, -4], np.int32)
    box = np.array([0, -20.0, 500.0]), np.array([250.0] * 3)
    assert hand_view(cut_window(depth, origin, 130), origin, *box, CAMERA) == hand_view(depth, HERE, *box, CAMERA)


def test_the_cloud_is_every_pixel_back_projected() -> None:
    depth, origin = room()[20:60, 30:90], np.array([30, 20], np.int32)
    xyz = cloud(depth, origin, CAMERA)
    assert_allclose(xyz[7, 11], uvd_to_xyz(np.array([41.0, 27.0, depth[7, 11]]), CAMERA))


def test_spread_takes_the_first_and_the_last() -> None:
    rows = np.array([3, 5, 8, 9, 20, 21, 40])
    assert_array_equal(spread(rows, 7), rows)
    assert_array_equal(spread(rows, 3), [3, 9, 40])
    assert spread(rows, 1).tolist() == [3]


# ---- whole stores


def test_nothing_is_odd_about_a_hand_in_mm(folder: Path, tmp_path: Path) -> None:
    check = check_of(folder, tmp_path / "s.zarr")
    assert check.warnings == ()
    assert (check.frames, check.with_center, len(check.hands)) == (5, 5, 5)
    assert check.valid_share == 1
    assert (check.depth_mm[0], check.depth_mm[4]) == (500, 1600)
    assert_allclose(check.median("disc_mm"), 80, atol=6)
    assert_allclose(check.extent_mm, (80, 145, 0), atol=8)
    assert np.isnan(check.joints_near_surface)


@pytest.mark.parametrize(
    ("unit", "far", "words"),
    [
        (10.0, None, "check --near, --far and --depth-unit"),
        (10.0, 8000.0, "a depth unit 0.1 times as large would make that 5"),
        (0.1, None, "a depth unit 10 times as large"),
        (0.001, None, "a depth unit 1000 times as large would make that 1,600 mm"),
    ],
)
def test_wrong_units_are_named(folder: Path, tmp_path: Path, unit: float, far: float | None, words: str) -> None:
    check = check_of(folder, tmp_path / "s.zarr", unit=unit, far=far)
    assert any(words in warning for warning in check.warnings), check.warnings


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (Camera(2000, 2000, 79.5, 59.5, 160, 120), ["fx 2000 px makes the view 5 degrees wide", "fx is too large"]),
        (Camera(20, 20, 79.5, 59.5, 160, 120), ["152 degrees wide", "too small", "mm broad, a palm is 70 to 95"]),
        (Camera(80, 80, 79.5, 59.5, 160, 120), ["mm broad, a palm is 70 to 95"]),
        (Camera(200, 79.5, 200, 59.5, 160, 120), ["differ by more than 10 %", "cx 200 px is far from the middle"]),
        (Camera(200, 200, 79.5, 300, 160, 120), ["cy 300 px is far from the middle"]),
    ],
)
def test_cameras_that_cannot_be(folder: Path, tmp_path: Path, camera: Camera, words: list[str]) -> None:
    warnings = "\n".join(check_of(folder, tmp_path / "s.zarr", camera).warnings)
    for word in words:
        assert word in warnings


def test_no_preset_and_no_data_set_has_a_camera_that_cannot_be(tmp_path: Path) -> None:
    from handbench.camera_check import _camera_warnings
    from handbench.datasets import dataset, dataset_names

    for camera in (*PRESETS.values(), *(dataset(name).camera for name in dataset_names())):
        assert list(_camera_warnings(camera)) == []


def test_labels_that_do_not_belong_to_the_depth(tmp_path: Path) -> None:
    store = Store(write_tiny_store(tmp_path / "s.zarr", train=0, test=6))
    split = store["test"]
    assert check_camera(store, split, 6).joints_near_surface > 0.8
    split.joints_xyz[..., 1] *= -1  # y up
    split.joints_xyz[..., 0] += 100
    check = check_camera(store, split, 6)
    assert check.joints_near_surface < 0.5
    assert any("axes of the labels do not belong" in warning for warning in check.warnings)


def test_a_store_without_any_image(tmp_path: Path) -> None:
    store = Store(write_tiny_store(tmp_path / "s.zarr", train=0, test=3, bad_rows=(0, 1, 2)))
    assert check_camera(store, store["test"], 6).warnings == ("no frame has any depth",)


# ---- the command


def test_the_command_says_what_it_measured(folder: Path, tmp_path: Path) -> None:
    check_of(folder, tmp_path / "s.zarr")
    lines = run(tmp_path / "s.zarr", "-o", tmp_path / "c.png").stdout.splitlines()
    assert lines[1] == "camera   fx 200, fy 200, cx 79.5, cy 59.5 px; 160 x 120 px, 44 x 33 degrees"
    assert [line.split()[0] for line in lines[1:]] == ["camera", "depth", "valid", "centres", "hand", "crop"]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    facts = json.loads(run(tmp_path / "s.zarr", "--json").stdout)
    assert facts["warnings"] == []
    assert facts["hand_z_mm"] == pytest.approx(540)
    assert facts["joints_near_surface"] is None
    assert len(facts["hands"]) == 5


def test_warnings_are_lines_and_exit_code_1(folder: Path, tmp_path: Path) -> None:
    check_of(folder, tmp_path / "s.zarr", unit=10.0)
    result = run(tmp_path / "s.zarr", "-o", tmp_path / "c.png", code=1)
    assert "warning: only 0 of 5 frames have a centre" in result.stdout
    assert "no picture" in result.stderr
    assert not (tmp_path / "c.png").exists()
    assert len(json.loads(run(tmp_path / "s.zarr", "--json", code=1).stdout)["warnings"]) >= 1


def test_what_the_command_refuses(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=0, test=3, bad_rows=(1,))
    (tmp_path / "there.png").touch()
    for args, words in (
        ((store, "-o", tmp_path / "c.jpg"), "is none of .png, .pdf, .svg"),
        ((store, "-o", tmp_path / "there.png"), "exists already"),
        ((store, "-o", tmp_path / "c.png", "--index", 3), "has no frame 3, only 0 to 2"),
        ((store, "-o", tmp_path / "c.png", "--index", 1), "(row 1) has no centre to draw a cloud about"),
        ((store, "--split", "train"), "has no split 'train'"),
        ((tmp_path / "none.zarr",), "there is no store"),
    ):
        (line,) = run(*args, code=2).stderr.splitlines()
        assert words in line


# ---- the picture


def test_three_views_of_one_scale_with_a_bar_of_200_mm() -> None:
    view = cloud_view("key", room(), HERE, np.array([0, -20.0, 500.0]), np.array([150.0] * 3), CAMERA)
    with paper_style():
        figure = draw_cloud(view, 6.875)
        figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes] == ["front", "top", "side"]
    widths = {round(axes.get_window_extent().width / np.ptp(axes.get_xlim()), 3) for axes in figure.axes}
    assert len(widths) == 1, "px for a mm"
    assert all(axes.get_aspect() == 1 for axes in figure.axes)
    front, top, side = figure.axes
    assert front.yaxis_inverted()
    assert not top.yaxis_inverted()
    assert side.get_xlabel() == "z (mm)"
    bar = front.get_lines()[-1]
    assert np.ptp(np.asarray(bar.get_xdata())) == BAR_MM == 200
    assert front.get_xlim()[0] < min(np.asarray(bar.get_xdata()))
    outside, inside = front.collections
    assert len(np.asarray(inside.get_offsets())) == view.inside.sum() > 500
    assert len(np.asarray(outside.get_offsets())) == (~view.inside).sum()


# ---- real frames


def test_the_hand_before_a_kinect_is_found_and_has_the_size_of_one(real: Path, tmp_path: Path) -> None:
    convert(
        FramesReader(real / "kinect2", PRESETS["kinect2"], pattern="000000*"),
        tmp_path / "k.zarr",
        ConvertConfig(center="com-iterated"),
    )
    store = Store(tmp_path / "k.zarr")
    check = check_camera(store, store["test"], 100)
    assert check.warnings == ()
    assert check.frames == len(check.hands) == 5
    assert 70 < check.median("disc_mm") < 110
    assert 120 < max(check.extent_mm) < 220
    assert 600 < check.median("center_z_mm") < 720
    assert check.median("pixels") > 3000


def test_the_same_frames_in_a_wrong_unit_are_not_a_hand(real: Path, tmp_path: Path) -> None:
    for unit, word in ((0.1, "which is a room and not a hand"), (10.0, "--depth-unit")):
        reader = FramesReader(real / "kinect2", PRESETS["kinect2"], unit, pattern="00000021*")
        convert(reader, tmp_path / f"{unit}.zarr", ConvertConfig(center="com-iterated"))
        store = Store(tmp_path / f"{unit}.zarr")
        warnings = check_camera(store, store["test"], 100).warnings
        assert any(word in warning for warning in warnings), warnings


def test_the_real_frame_of_nyu(real: Path, tmp_path: Path) -> None:
    from handbench.converters import open_raw

    convert(open_raw("nyu", real / "nyu_one_frame"), tmp_path / "n.zarr", ConvertConfig(center="gt-mean"))
    store = Store(tmp_path / "n.zarr")
    check = check_camera(store, store["test"], 1)
    assert check.warnings == ()
    assert check.joints_near_surface == 1
    assert_allclose(check.extent_mm, (123, 207, 41), atol=2)
