"""Folders of depth images without labels: every kind of file, its unit and size, and a store without joints."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest
import xarray
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from handbench.camera import PRESETS, Camera
from handbench.cli import main
from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.frames import FramesReader, natural
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus, Store
from handbench.store.describe import describe, text
from tests.raw.nyu import png

CAMERA = Camera(100.0, 100.0, 8.0, 6.0, 16, 12)
T = TypeVar("T")


def frame(seed: int = 0) -> np.ndarray:
    """(12, 16) mm with a hole."""
    depth = np.random.default_rng(seed).integers(400, 800, (12, 16)).astype(np.uint16)
    depth[:3] = 0
    return depth


def write(path: Path, pixels: np.ndarray) -> None:
    """One image of the kind that its suffix says."""
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".png":
        path.write_bytes(png(pixels))
    else:
        assert cv2.imwrite(str(path), pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".npy"])
def test_whole_millimetres_are_exact(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}", frame())
    reader = FramesReader(tmp_path, CAMERA)
    depth = reader.depth(f"a{suffix}")
    assert depth.dtype == reader.depth_dtype == np.uint16
    assert_array_equal(depth, frame())


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i2", "<i4", "<u4", "<i8"])
def test_arrays_of_every_integer(tmp_path: Path, dtype: str) -> None:
    pixels = frame().astype(dtype)
    if np.issubdtype(pixels.dtype, np.signedinteger):
        pixels[0, 0] = -1  # some drivers mark the missing so
    write(tmp_path / "a.npy", pixels[..., None])
    assert_array_equal(FramesReader(tmp_path, CAMERA).depth("a.npy"), frame())


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_metres_and_what_is_not_finite(tmp_path: Path, suffix: str) -> None:
    metres = (frame() / 1000).astype(np.float32)
    metres[0, :4] = np.nan, np.inf, -np.inf, -1
    write(tmp_path / f"a{suffix}", metres)
    depth = FramesReader(tmp_path, CAMERA, depth_unit=1000).depth(f"a{suffix}")
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, frame(), rtol=1e-6)


def test_the_unit_of_a_raw_sr300_keeps_its_fractions(tmp_path: Path) -> None:
    write(tmp_path / "a.png", frame())
    reader = FramesReader(tmp_path, CAMERA, depth_unit=0.125)
    assert_array_equal(reader.depth("a.png"), frame().astype(np.float32) / 8)
    assert reader.depth_dtype == np.float32


def test_floats_of_millimetres_keep_their_fractions(tmp_path: Path) -> None:
    write(tmp_path / "a.npy", frame() + 0.25)
    assert FramesReader(tmp_path, CAMERA).depth("a.npy")[5, 5] == frame()[5, 5] + 0.25


def test_natural_order_and_keys(tmp_path: Path) -> None:
    for name in ("f10.png", "f2.npy", "f1.PNG", "a9b1.png", "a10b0.png", "notes.txt", "._f3.png"):
        (tmp_path / name).write_bytes(png(frame()))
    (tmp_path / "f2.npy").unlink()
    np.save(tmp_path / "f2.npy", frame())
    table = FramesReader(tmp_path, CAMERA).table("test")
    assert table.image.tolist() == ["a9b1.png", "a10b0.png", "f1.PNG", "f2.npy", "f10.png"]
    assert table.frame_key.tolist() == [f"test/{stem}" for stem in ("a9b1", "a10b0", "f1", "f2", "f10")]
    assert table.joints_xyz.shape == (5, 0, 3)
    assert not table.labelled
    assert natural("x") < natural("x0") < natural("x00") or natural("x0") == natural("x00")


def test_a_pattern_chooses(tmp_path: Path) -> None:
    write(tmp_path / "1_depth.png", frame())
    (tmp_path / "1_color.png").write_bytes(png(np.zeros((12, 16, 3), np.uint8)))
    assert FramesReader(tmp_path, CAMERA, pattern="*_depth.png").table("test").image.tolist() == ["1_depth.png"]
    with pytest.raises(HandbenchError, match=r"holds no image \*_ir\.png \(\.png, \.tif, \.tiff, \.npy\)"):
        FramesReader(tmp_path, CAMERA, pattern="*_ir.png")


def test_a_store_without_joints(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in (1, 2, 10):
        write(folder / f"{i}.png", frame(i))
    summary = convert(FramesReader(folder, CAMERA, cube_mm=180), tmp_path / "s.zarr", ConvertConfig(near=400, far=800))
    assert summary.one_line() == f"{tmp_path / 's.zarr'}: 3 test frames, all ok"
    assert summary.remarks == []
    store = Store(tmp_path / "s.zarr")
    split = store["test"]
    assert split.joints_xyz.shape == (3, 0, 3)
    assert store.camera == CAMERA
    assert len(store.spec.joints) == 0
    assert_array_equal(split.cube, np.full((3, 3), 180))
    for row, i in enumerate((1, 2, 10)):
        assert_array_equal(split.depth(row), frame(i))
    lines = "\n".join(text(describe(store)))
    assert "3 frames, test/1 to test/10" in lines
    assert "joints    0, 0 scored" in lines
    with xarray.open_zarr(tmp_path / "s.zarr", group="test") as data:
        assert data["joints_xyz"].sizes == {"frame": 3, "joint": 0, "xyz": 3}
        assert_array_equal(data["depth"][2], frame(10))
    with pytest.raises(HandbenchError, match="frames has no protocol"):
        _ = store.spec.protocol


def test_one_bad_image_keeps_its_row(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name in ("0.png", "1.png", "2.png", "3.npy", "4.png", "5.npy", "6.tif", "7.npy"):
        write(folder / name, frame())
    (folder / "1.png").write_bytes(b"")
    (folder / "2.png").write_bytes(png(frame()[:6]))
    np.save(folder / "3.npy", frame()[:, :8])
    (folder / "4.png").write_bytes(cv2.imencode(".png", np.full((12, 16), 255, np.uint8))[1].tobytes())
    np.save(folder / "5.npy", frame().astype(np.int32) + 70_000)
    np.save(folder / "7.npy", frame() + 0.5)
    summary = convert(FramesReader(folder, CAMERA), tmp_path / "s.zarr", ConvertConfig())
    assert summary.one_line().endswith("8 test frames, 6 image corrupt")
    messages = [problem.message.removeprefix(f"{folder}/") for problem in summary.problems]
    assert messages == [
        "1.png is truncated or no PNG (0 bytes)",
        "2.png is 16 x 6, 1 x uint16; it must be a 16-bit gray image of 16 x 12 pixels",
        "3.npy has 8 x 12 px, the camera is for 16 x 12 px, one value each",
        "4.png is 16 x 12, 1 x uint8; it must be a 16-bit gray image of 16 x 12 pixels",
        "5.npy has a depth of 70798 mm; at most 65535 can be",
        "7.npy has pixels of float64, the first image has whole mm",
    ]
    status = Store(tmp_path / "s.zarr")["test"].status
    assert (status == FrameStatus.IMAGE_CORRUPT).tolist() == [False] + [True] * 5 + [False, True]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros(5), r"a\.npy is an array of shape \(5,\), the camera is for 16 x 12 px"),
        (np.zeros((12, 16, 3), np.uint16), r"has 16 x 12 px with 3 values each, the camera is for 16 x 12 px"),
        (np.zeros((12, 16), np.uint8), "pixels of uint8, which hold no depth"),
        (np.zeros((12, 16), np.complex64), "pixels of complex64, which hold no depth"),
        (np.zeros((12, 16), np.bool_), "pixels of bool, which hold no depth"),
    ],
)
def test_arrays_that_are_no_depth(tmp_path: Path, pixels: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((12, 16), np.uint16))
    reader = FramesReader(tmp_path, CAMERA)
    np.save(tmp_path / "a.npy", pixels)
    with pytest.raises(FrameError, match=message) as caught:
        reader.depth("a.npy")
    assert caught.value.status == FrameStatus.IMAGE_CORRUPT


def test_the_wrong_camera_is_found_before_the_work(tmp_path: Path) -> None:
    write(tmp_path / "b.png", frame())
    (tmp_path / "a.png").write_bytes(b"")  # cannot be read, so the next one is looked at
    with pytest.raises(HandbenchError, match=r"b\.png has 16 x 12 px, the camera is for 512 x 424 px; name the camera"):
        FramesReader(tmp_path, PRESETS["kinect2"])


def test_a_camera_without_a_size_is_asked_for_that_of_the_images(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.png", frame())
    arguments = ["convert", "frames", str(tmp_path / "in"), str(tmp_path / "s.zarr"), "--center", "com", "--camera"]
    refused = CliRunner().invoke(main, [*arguments, "20,20,8,6"])
    assert refused.exit_code == 2
    assert "the camera is for 640 x 480 px; name the camera of these images, with its size, as" in refused.stderr
    assert refused.stderr.rstrip().endswith("--camera fx,fy,cx,cy,16,12")
    assert CliRunner().invoke(main, [*arguments, "20,20,8,6,16,12"]).exit_code == 0
    assert Store(tmp_path / "s.zarr").camera.width == 16


def test_an_object_array_is_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FrameError, match="cannot be decoded"):
        FramesReader(tmp_path, CAMERA).depth("a.npy")


def test_impossible_requests(tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match="cannot read the folder"):
        FramesReader(tmp_path / "nowhere", CAMERA)
    with pytest.raises(HandbenchError, match="holds no image"):
        FramesReader(tmp_path, CAMERA)
    write(tmp_path / "a.png", frame())
    for wrong in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(HandbenchError, match="must be positive"):
            FramesReader(tmp_path, CAMERA, depth_unit=wrong)
        with pytest.raises(HandbenchError, match="must be positive"):
            FramesReader(tmp_path, CAMERA, cube_mm=wrong)
    with pytest.raises(HandbenchError, match="a folder of images is one split, 'test'; it has no 'train'"):
        FramesReader(tmp_path, CAMERA).table("train")
    write(tmp_path / "a.npy", frame())
    with pytest.raises(HandbenchError, match=r"holds a\.(png|npy) and a\.(png|npy), two frames of one name"):
        FramesReader(tmp_path, CAMERA)


def test_links_and_vanished_files(tmp_path: Path) -> None:
    folder = tmp_path / "chosen"
    folder.mkdir()
    write(tmp_path / "a.png", frame())
    (folder / "a.png").symlink_to(tmp_path / "a.png")  # a folder of links is a usual way to choose frames
    (folder / "b.png").symlink_to(tmp_path / "gone.png")
    (folder / "c.png").symlink_to("c.png")
    reader = FramesReader(folder, CAMERA)
    assert_array_equal(reader.depth("a.png"), frame())
    for name, status in (("b.png", FrameStatus.IMAGE_MISSING), ("c.png", FrameStatus.IMAGE_CORRUPT)):
        with pytest.raises(FrameError) as caught:
            reader.depth(name)
        assert caught.value.status == status
    assert next(iter(reader.fingerprints("test").values()))["bytes"] == (tmp_path / "a.png").stat().st_size


def test_a_reader_is_small_travels_and_tells_its_options(tmp_path: Path) -> None:
    for i in range(300):
        (tmp_path / f"{i}.png").write_bytes(png(frame()))
    reader = FramesReader(tmp_path, CAMERA, depth_unit=0.5)
    assert len(pickle.dumps(reader)) < 5_000
    copy = pickle.loads(pickle.dumps(reader))
    assert_array_equal(copy.depth("7.png"), reader.depth("7.png"))
    again = {**reader.options, "camera": Camera(**reader.options["camera"])}
    assert FramesReader(tmp_path, **again).options == reader.options
    assert reader.fingerprints("test") == copy.fingerprints("test")
    assert reader.unlabelled("test", reader.table("test")) == 0


def test_real_kinect_frames(tmp_path: Path, real: Path) -> None:
    # Pictures of them show hand and forearm 500 to 800 mm away and the body from 900 mm on.
    reader = FramesReader(real / "kinect2", PRESETS["kinect2"])
    summary = convert(reader, tmp_path / "s.zarr", ConvertConfig(near=400, far=850))
    masks = [f"test/00000{number}" for number in (381, 401, 421, 441, 461)]  # 8 bits, all 0 or 255: no depth
    assert [problem.frame_key for problem in summary.problems] == masks
    split = Store(tmp_path / "s.zarr")["test"]
    assert len(split) == 24
    pixels = cv2.imread(str(real / "kinect2" / "00000021.png"), cv2.IMREAD_UNCHANGED)
    assert_array_equal(split.depth(1), pixels)
    u, v = 300, 150  # the palm in frame 21
    box = split.center_xyz[1]
    assert abs(box[2] - split.depth(1)[v, u]) < 60
    assert abs(box[0] - (u - 255.4) * box[2] / 363.9) < 60


def attempt(work: Callable[[], T]) -> tuple[T | None, str]:
    """What the work gives, or the message of its refusal; any other exception fails the test."""
    try:
        return work(), ""
    except HandbenchError as error:
        return None, str(error)


@pytest.mark.filterwarnings("ignore:Reading `.npy`")  # NumPy says so of headers that look like Python 2's
@pytest.mark.parametrize("suffix", [".npy", ".png", ".tif"])
@given(
    st.lists(
        st.tuples(st.sampled_from(("flip", "cut", "insert")), st.integers(0, 500), st.binary(max_size=9)), min_size=1
    )
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_images(tmp_path: Path, suffix: str, mutations: list[tuple[str, int, bytes]]) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, frame())
    reader = FramesReader(tmp_path, CAMERA)
    data = path.read_bytes()
    for kind, at, extra in mutations:
        at %= max(len(data), 1)
        changed = bytes(a ^ b for a, b in zip(data[at:], extra, strict=False))
        data = {
            "flip": data[:at] + changed + data[at + len(changed) :],
            "cut": data[:at],
            "insert": data[:at] + extra + data[at:],
        }[kind]
    path.write_bytes(data)
    depth, message = attempt(lambda: reader.depth(path.name))
    assert "\n" not in message
    assert depth is None or (depth.shape == (12, 16) and depth.dtype == np.uint16)
    _, message = attempt(lambda: FramesReader(tmp_path, CAMERA))
    assert "\n" not in message
    for file in tmp_path.iterdir():
        file.unlink()


def test_a_chunk_longer_than_its_file_is_found_at_once(tmp_path: Path) -> None:
    data = bytearray(png(frame()))
    assert data[37:41] == b"IDAT"
    data[33] = 0xFF  # the length of the pixels becomes four gigabytes, which OpenCV would fill with zeros
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(FrameError, match="truncated or no PNG"):
        FramesReader(tmp_path, CAMERA).depth("a.png")
    (tmp_path / "a.png").write_bytes(png(frame()) + b"more" * 100)  # some writers leave something behind the end
    assert_array_equal(FramesReader(tmp_path, CAMERA).depth("a.png"), frame())


def test_without_far_the_command_says_what_may_move_the_centre(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    np.save(tmp_path / "raw" / "1.npy", np.full((424, 512), 700, np.uint16))
    args = ["convert", "frames", str(tmp_path / "raw"), str(tmp_path / "s.zarr"), "--camera", "kinect2", "--overwrite"]
    hint = "no --far was given: all depth up to 1500 mm counts for the centre"
    assert hint in CliRunner().invoke(main, args).stderr
    for other in (["--far", "900"], ["--center", "com-iterated"]):
        result = CliRunner().invoke(main, [*args, *other])
        assert (result.exit_code, result.stderr) == (0, "")
