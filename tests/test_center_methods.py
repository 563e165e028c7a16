"""Centres from bounding boxes and from networks; boxes about a centre that hold no depth."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import Camera, xyz_to_uvd
from handbench.cli import main
from handbench.converters import open_raw
from handbench.converters.centers import ComputeConfig, compute_centers
from handbench.converters.convert import ConvertConfig, convert
from handbench.datasets import dataset
from handbench.errors import HandbenchError, ShapeError
from handbench.preprocess.center import bbox_xyz, box_holds_depth, com_iterated_xyz, inside_bbox
from handbench.store import FrameStatus, Store
from handbench.store.edit import NewCenters, replace_centers
from tests.center_stores import discs, walk, write_store
from tests.raw import hands17
from tests.tiny_store import CAMERA as TINY
from tests.tiny_store import write_tiny_store

CAMERA = Camera(120.0, 120.0, 79.5, 59.5, 160, 120)
CUBE = np.full(3, 200.0)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


# -- bounding boxes --------------------------------------------------------------------------------------------------


def test_inside_a_bounding_box_by_hand() -> None:
    frame = np.arange(1, 13, dtype=np.uint16).reshape(3, 4)
    seen = inside_bbox(frame, np.array([0.5, 1.0, 1.5, 5.0]))  # columns 1 and 2, rows from 1
    assert_array_equal(seen, [[0, 0, 0, 0], [0, 6, 7, 0], [0, 10, 11, 0]])
    assert_array_equal(inside_bbox(frame, np.array([-3.0, -3.0, 3.0, 3.0]))[0], [1, 0, 0, 0])
    for nothing in ([np.nan] * 4, [-9.0, 0.0, 2.0, 2.0], [50.0, 50.0, 9.0, 9.0]):
        assert not inside_bbox(frame, np.array(nothing)).any()


@given(st.tuples(*[st.floats(-20, 80)] * 2, *[st.floats(0, 80)] * 2))
def test_inside_a_bounding_box_equals_its_naive_twin(bbox: tuple[float, float, float, float]) -> None:
    left, top, width, height = bbox
    seen = inside_bbox(np.ones((48, 64), np.uint16), np.array(bbox))
    v, u = np.indices(seen.shape)
    assert_array_equal(seen, (u >= left) & (u <= left + width) & (v >= top) & (v <= top + height))


def test_what_is_nearer_beside_the_box_does_not_count() -> None:
    hand = np.array([20.0, -10.0, 600.0])
    (depth,) = discs(hand[None], CAMERA)
    depth[:, 130:] = 400  # nearer than the hand, and beside it
    u, v, _ = xyz_to_uvd(hand, CAMERA)
    bbox = np.array([u - 15, v - 15, 30, 30])
    assert com_iterated_xyz(depth, CAMERA, 300, 900, CUBE)[2] == pytest.approx(400)
    assert_allclose(bbox_xyz(depth, CAMERA, 300, 900, CUBE, bbox), hand, atol=3)
    assert np.isnan(bbox_xyz(depth, CAMERA, 300, 900, CUBE, np.array([0, 0, 5, 5]))).all()
    assert np.isnan(bbox_xyz(depth, CAMERA, 300, 900, CUBE, np.full(4, np.nan))).all()


def test_centres_of_a_store_from_its_bounding_boxes(tmp_path: Path) -> None:
    path = walk(40, seed=4)
    depth = discs(path, CAMERA)
    depth[:, :60, 120:] = 400
    u, v, _ = np.moveaxis(xyz_to_uvd(path, CAMERA), -1, 0)
    bbox = np.stack((u - 15, v - 15, np.full(40, 30.0), np.full(40, 30.0)), axis=-1)
    bbox[7] = np.nan
    spec = dataset("hands17")
    store = write_store(tmp_path / "s.zarr", path, spec, labelled=False, depth=depth, camera=CAMERA, bbox=bbox)
    (change,) = compute_centers(store, ComputeConfig("bbox", near=300, far=900))
    split = Store(store)["test"]
    assert split.center_method == "bbox"
    assert split.attributes("center_xyz")["near_mm"] == 300
    assert np.linalg.norm(np.delete(split.center_xyz - path, 7, axis=0), axis=1).max() < 5
    assert change.invalid == 1
    assert_array_equal(np.flatnonzero(split.status), [7])


def test_a_split_without_bounding_boxes_is_refused(tmp_path: Path) -> None:
    hands17.conformance_tree(tmp_path / "raw")
    convert(open_raw("hands17", tmp_path / "raw"), tmp_path / "s.zarr", ConvertConfig(limit=9))
    result = run("centers", "compute", tmp_path / "s.zarr", "--method", "bbox")
    assert result.exit_code == 2
    assert "split train has no bounding boxes; name those that have with --split: test" in result.stderr
    result = run("centers", "compute", tmp_path / "s.zarr", "--method", "bbox", "--split", "test")
    assert result.exit_code == 0
    assert "2 frames, centre bbox in the place of com" in result.stdout
    with pytest.raises(HandbenchError, match="no split has; use com-iterated"):
        compute_centers(write_tiny_store(tmp_path / "t.zarr", train=2, test=1), ComputeConfig("bbox"))


# -- boxes without depth ---------------------------------------------------------------------------------------------


def two_things(frames: int = 3) -> np.ndarray:
    """(N, H, W): two walls with nothing about the point between them, but in the first frame."""
    depth = np.zeros((frames, CAMERA.height, CAMERA.width), np.uint16)
    depth[:, :, :20], depth[:, :, -20:] = 600, 750
    depth[0, 55:65, 75:85] = 600
    return depth


def test_whether_a_box_holds_depth() -> None:
    first, second, _ = two_things()
    center = np.array([0.0, 0.0, 600.0])
    assert box_holds_depth(first, center, CUBE, CAMERA)
    assert not box_holds_depth(second, center, CUBE, CAMERA)
    assert not box_holds_depth(first, center + np.array([0, 0, 101]), CUBE, CAMERA)
    assert box_holds_depth(second, center, np.array([700.0, 200, 200]), CAMERA)
    assert not box_holds_depth(second, center - np.array([0, 0, 101]), np.array([700.0, 200, 200]), CAMERA)
    for bad in (center * np.nan, -center):
        assert not box_holds_depth(first, bad, CUBE, CAMERA)
    assert not box_holds_depth(first, center, CUBE * 0, CAMERA)


def test_computed_centres_with_empty_boxes_get_a_status_and_lose_it(tmp_path: Path) -> None:
    hand = np.tile([0.0, 0.0, 600.0], (3, 1))
    store = write_store(tmp_path / "s.zarr", hand, depth=two_things(), camera=CAMERA)
    (change,) = compute_centers(store, ComputeConfig("com"))
    assert_array_equal(Store(store)["test"].status, [0, FrameStatus.BOX_EMPTY, FrameStatus.BOX_EMPTY])
    assert (change.empty, change.mended, change.unusable) == (2, 1, 0)
    assert "2 with no depth in their box" in change.one_line()
    (change,) = compute_centers(store, ComputeConfig("com-iterated"))
    assert not Store(store)["test"].status.any()
    assert (change.empty, change.mended) == (0, 2)


def test_a_conversion_gives_empty_boxes_a_status(tmp_path: Path) -> None:
    truth = hands17.conformance_tree(tmp_path / "raw")
    depth = truth["train"][0].copy()
    depth[1] = 0
    depth[1, 240:260, :40] = depth[1, 240:260, -40:] = 700  # to the left and to the right; between them is nothing
    shutil.rmtree(tmp_path / "raw" / "training" / "images")
    hands17.write_images(tmp_path / "raw" / "training", depth)
    result = run("convert", "hands17", tmp_path / "raw", tmp_path / "s.zarr", "--limit", 9)
    assert result.exit_code == 1
    key = Store(tmp_path / "s.zarr")["train"].frame_key[1]
    assert f"{key}: box empty: the box around its centre holds no depth" in result.stderr
    assert_array_equal(Store(tmp_path / "s.zarr")["train"].status, [0, FrameStatus.BOX_EMPTY, 0])


# -- predicted centres -----------------------------------------------------------------------------------------------


def test_predicted_centres_say_by_which_model(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=6, test=3, bad_rows=(1,))
    split = Store(store)["train"]
    predicted = split.center_xyz.astype(np.float64) + 3
    predicted[4], predicted[5] = np.nan, [9000, 0, 600]
    new = NewCenters.predicted(split, predicted, TINY, "localiser-1", {"center_sha256": "ab" * 32})
    replace_centers(store, {"train": new})
    split = Store(store)["train"]
    assert split.center_method == "predicted:localiser-1"
    assert split.attributes("center_xyz")["center_sha256"] == "ab" * 32
    assert_allclose(split.center_xyz, predicted, rtol=1e-6)
    assert_array_equal(split.status, [0, 1, 0, 0, FrameStatus.OUTSIDE_IMAGE, FrameStatus.OUTSIDE_IMAGE])
    assert Store(store)["test"].center_method == "gt-mean"
    with pytest.raises(ShapeError):
        NewCenters.predicted(split, predicted[:3], TINY, "localiser-1", {})


@pytest.mark.parametrize("name", ["", "two words", " x"])
def test_a_model_needs_a_name(tmp_path: Path, name: str) -> None:
    split: Any = Store(write_tiny_store(tmp_path / "s.zarr", train=2, test=0))["train"]
    with pytest.raises(HandbenchError, match="no name of a model"):
        NewCenters.predicted(split, split.center_xyz, TINY, name, {})


def test_a_file_of_predicted_centres(tmp_path: Path) -> None:
    hand = walk(300)
    store = write_store(tmp_path / "s.zarr", hand)
    np.savetxt(tmp_path / "c.txt", hand + 2)
    result = run("centers", "import", store, tmp_path / "c.txt", "--model", "regressor")
    assert result.exit_code == 0, result.stderr
    attributes = Store(store)["test"].attributes("center_xyz")
    assert attributes["center_method"] == "predicted:regressor"
    assert len(attributes["center_sha256"]) == 64
    assert "no name of a model" in run("centers", "import", store, tmp_path / "c.txt", "--model", "").stderr
