"""Box, crop, augmentation and centres: hand-computed points, exact inverses, naive twins, a marker on its joint."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import Camera, xyz_to_uvd
from handbench.datasets import dataset
from handbench.errors import HandbenchError, ShapeError
from handbench.preprocess import AugmentConfig, HandBox, com_xyz, crop, crop_batch, mean_joint_xyz, perturb
from handbench.preprocess.crop import dyadic
from tests.strategies import boxes, frames, points_in, seeds

CAMERA = dataset("nyu").camera
SMALL = Camera(58.8, 58.7, 32, 24, 64, 48)
Box = HandBox[npt.NDArray[Any]]


def naive_si_norm(xyz: npt.NDArray[Any], box: Box, camera: Camera, size: int) -> npt.NDArray[np.float64]:
    """DESIGN's words one by one: project, divide by the pixel pitch, turn back, divide by half the crop."""
    center_u, center_v, center_z = xyz_to_uvd(box.center_xyz, camera)
    out = []
    for point in xyz:
        u, v, z = xyz_to_uvd(point, camera)
        # Millimetres in the plane of the centre, turned back by the roll, then pixels of the crop.
        mm_x, mm_y = (u - center_u) * center_z / camera.fx, (v - center_v) * center_z / camera.fy
        c, s = np.cos(box.roll), np.sin(box.roll)
        u_si = (c * mm_x + s * mm_y) / (box.cube[0] / size)
        v_si = (c * mm_y - s * mm_x) / (box.cube[1] / size)
        out.append([u_si / (size / 2), v_si / (size / 2), (z - center_z) / (box.cube[2] / 2)])
    return np.array(out)


def naive_crop(depth: npt.NDArray[Any], box: Box, camera: Camera, size: int) -> npt.NDArray[np.float32]:
    """Pixel by pixel, with Python's own numbers."""
    (a, b, c), (d, e, f) = dyadic(box.image_from_crop(camera, size)).tolist()
    z, half = np.float32(box.center_xyz[2]), np.float32(2 / float(box.cube[2]))
    out = np.ones((size, size), np.float32)
    for row in range(size):
        for column in range(size):
            u, v = round(a * column + b * row + c), round(d * column + e * row + f)
            if 0 <= v < depth.shape[0] and 0 <= u < depth.shape[1] and depth[v, u] > 0:
                value = (np.float32(depth[v, u]) - z) * half
                out[row, column] = min(max(value, np.float32(-1)), np.float32(1))
    return out


# -- the box ---------------------------------------------------------------------------------------------------------


def test_hand_computed_si_coordinates() -> None:
    box = HandBox.upright(np.array([30.0, -20.0, 800.0]), np.array([200.0, 100.0, 400.0]))
    xyz = np.array([[30.0, -20.0, 800.0], [80.0, 5.0, 800.0], [15.0, -10.0, 400.0]])
    norm = box.bb_to_si_norm(box.xyz_to_bb(xyz))
    # The centre is the origin; 50 mm of 100 half a side; a point half as far on the centre's ray stays at (0, 0).
    assert_allclose(norm, np.array([[0, 0, 0], [0.5, 0.5, 0], [0, 0, -2]]), atol=1e-12)
    assert_allclose(box.bb_to_si(box.xyz_to_bb(xyz), size=128), [[0, 0, 0], [32, 32, 0], [0, 0, -400]], atol=1e-9)
    assert_allclose(box.bb_to_bb_norm(box.xyz_to_bb(xyz))[1], [0.5, 0.5, 0])


def test_positive_roll_turns_the_box_clockwise_and_the_hand_anticlockwise() -> None:
    box = HandBox(np.array([0.0, 0.0, 500.0]), np.full(3, 200.0), np.array(np.pi / 2))
    right_of_centre = np.array([[100.0, 0.0, 500.0]])
    # After a quarter turn of the box, what was to the right is at the top: row negative.
    assert_allclose(box.bb_to_si_norm(box.xyz_to_bb(right_of_centre)), [[0, -1, 0]], atol=1e-12)


@given(boxes(), points_in())
def test_si_and_bb_are_inverse(box: Box, xyz_bb: npt.NDArray[Any]) -> None:
    assert_allclose(box.si_norm_to_bb(box.bb_to_si_norm(xyz_bb)), xyz_bb, atol=1e-9)
    assert_allclose(box.si_to_bb(box.bb_to_si(xyz_bb, 128), 128), xyz_bb, atol=1e-9)
    assert_allclose(box.bb_norm_to_bb(box.bb_to_bb_norm(xyz_bb)), xyz_bb, atol=1e-9)
    assert_allclose(box.xyz_to_bb(box.bb_to_xyz(xyz_bb)), xyz_bb, atol=1e-9)


@given(boxes(), points_in())
def test_si_equals_its_naive_twin_for_every_camera(box: Box, xyz_bb: npt.NDArray[Any]) -> None:
    for camera in (CAMERA, SMALL):
        twin = naive_si_norm(box.bb_to_xyz(xyz_bb), box, camera, 96)
        assert_allclose(box.bb_to_si_norm(xyz_bb), twin, atol=1e-9)


@given(boxes())
def test_crop_and_image_matrices_are_inverse_and_agree_with_si(box: Box) -> None:
    forward, back = box.image_from_crop(CAMERA, 128), box.crop_from_image(CAMERA, 128)
    last = np.array([[0.0, 0.0, 1.0]])
    assert_allclose(np.vstack((forward, last)) @ np.vstack((back, last)), np.eye(3), atol=1e-9)
    xyz = box.bb_to_xyz(np.array([[31.0, -17.0, 0.0]]))  # in the plane of the centre, where the map is exact
    u, v, _ = xyz_to_uvd(xyz, CAMERA)[0]
    si = box.bb_to_si(box.xyz_to_bb(xyz), 128)[0]
    assert_allclose(back @ [u, v, 1], si[:2] + (128 - 1) / 2, atol=1e-7)


def test_batches_and_torch_equal_one_box_at_a_time() -> None:
    rng = np.random.default_rng(1)
    center, cube, roll = rng.normal([0, 0, 700], 50, (6, 3)), rng.uniform(100, 300, (6, 3)), rng.uniform(-3, 3, 6)
    xyz = center[:, None] + rng.normal(0, 40, (6, 5, 3))
    many = HandBox(center, cube, roll)
    tensors = HandBox(torch.tensor(center), torch.tensor(cube), torch.tensor(roll))
    norm = many.bb_to_si_norm(many.xyz_to_bb(xyz))
    assert_allclose(tensors.bb_to_si_norm(tensors.xyz_to_bb(torch.tensor(xyz))).numpy(), norm, atol=1e-12)
    assert_allclose(tensors.bb_to_xyz(tensors.si_norm_to_bb(torch.tensor(norm))).numpy(), xyz, atol=1e-9)
    assert_allclose(tensors.bb_to_si(tensors.xyz_to_bb(torch.tensor(xyz)), 64).numpy()[..., :2], norm[..., :2] * 32)
    assert_allclose(tensors.image_from_crop(CAMERA, 64).numpy(), many.image_from_crop(CAMERA, 64), atol=1e-9)
    assert_allclose(tensors.crop_from_image(CAMERA, 64).numpy(), many.crop_from_image(CAMERA, 64), atol=1e-9)
    for i in range(6):
        one = HandBox(center[i], cube[i], roll[i])
        assert_allclose(one.bb_to_si_norm(one.xyz_to_bb(xyz[i])), norm[i], atol=1e-12)
        assert_allclose(one.image_from_crop(CAMERA, 64), many.image_from_crop(CAMERA, 64)[i], atol=1e-9)


def test_si_to_bb_has_gradients_in_torch() -> None:
    box = HandBox.upright(torch.tensor([0.0, 0.0, 600.0]), torch.tensor([200.0, 200.0, 200.0]))
    uvd = torch.zeros(2, 3, requires_grad=True)
    box.si_norm_to_bb(uvd).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert uvd.grad is not None
    assert_allclose(uvd.grad[0].numpy(), [100, 100, 100], atol=1e-4)


def test_a_box_of_odd_shapes_is_refused() -> None:
    with pytest.raises(ShapeError, match="one cube and one roll"):
        HandBox(np.zeros((2, 3)), np.ones((3, 3)), np.zeros(2))


# -- the crop --------------------------------------------------------------------------------------------------------


@given(frames(), boxes())
@settings(max_examples=60, deadline=None)
def test_crop_equals_its_naive_twin(depth: npt.NDArray[np.uint16], box: Box) -> None:
    assert_array_equal(crop(depth, box, SMALL, size=24), naive_crop(depth, box, SMALL, size=24))


@given(frames(), boxes())
@settings(max_examples=30, deadline=None)
def test_float_frames_give_the_same_crop(depth: npt.NDArray[np.uint16], box: Box) -> None:
    assert_array_equal(crop(depth, box, SMALL, 24), crop(depth.astype(np.float32), box, SMALL, 24))


@given(boxes())
def test_dyadic_is_close_exact_in_float32_and_without_ties(box: Box) -> None:
    exact = box.image_from_crop(SMALL, 128)
    matrix = dyadic(exact)
    assert np.abs(matrix - exact).max() <= 1 / 8192
    corner = np.array([127, 127, 1])
    assert np.abs((matrix - exact) @ corner).max() <= 255 / 8192
    assert_array_equal(matrix.astype(np.float32), matrix)
    index = np.arange(128)
    for a, b, c in matrix:
        position = a * index[None, :] + b * index[:, None] + c
        assert (position % 1 != 0.5).all()


def test_moving_frame_and_camera_by_whole_pixels_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    depth = rng.integers(600, 900, (480, 640)).astype(np.uint16)
    window = depth[100:400, 150:450]
    moved = Camera(CAMERA.fx, CAMERA.fy, CAMERA.cx - 150, CAMERA.cy - 100, 300, 300)
    box = HandBox.upright(np.array([-20.0, 10.0, 750.0]), np.full(3, 200.0))
    for _ in range(20):
        turned = perturb(box, AugmentConfig(), rng)
        assert_array_equal(crop(depth, turned, CAMERA, 128), crop(window, turned, moved, 128))


def test_values_of_a_crop() -> None:
    box = HandBox.upright(np.array([0.0, 0.0, 700.0]), np.full(3, 200.0))
    expected = {0: 1.0, 700: 0.0, 650: -0.5, 775: 0.75, 599: -1.0, 100: -1.0, 801: 1.0, 2000: 1.0}
    for depth, value in expected.items():
        frame = np.full((480, 640), depth, np.uint16)
        assert_array_equal(crop(frame, box, CAMERA, 16), np.full((16, 16), value, np.float32))


def test_outside_the_frame_is_background() -> None:
    right_edge = HandBox.upright(np.array([319.5 * 700 / CAMERA.fx, 0.0, 700.0]), np.full(3, 200.0))
    result = crop(np.full((480, 640), 700, np.uint16), right_edge, CAMERA, 16)  # its centre is between 639 and 640
    assert_array_equal(result, np.repeat([[0.0, 1.0]], 8, axis=1).repeat(16, axis=0))


@given(seeds)
@settings(max_examples=100, deadline=None)
def test_a_marker_stays_on_its_joint(seed: int) -> None:
    rng = np.random.default_rng(seed)
    center = np.array([rng.uniform(-100, 100), rng.uniform(-80, 80), rng.uniform(500, 900)])
    joint = center + rng.uniform(-60, 60, 3)
    u, v, z = xyz_to_uvd(joint, CAMERA)
    frame = np.zeros((480, 640), np.uint16)
    frame[round(v) - 1 : round(v) + 2, round(u) - 1 : round(u) + 2] = round(z)
    box = perturb(HandBox.upright(center, np.full(3, 250.0)), AugmentConfig(), rng)
    rows, columns = np.nonzero(crop(frame, box, CAMERA, 128) < 1)
    si = box.bb_to_si(box.xyz_to_bb(joint[None]), 128)[0]
    # Nearest neighbour and rounding to a frame pixel may each cost half a pixel of frame or crop.
    assert abs(columns.mean() - 63.5 - si[0]) < 1.2
    assert abs(rows.mean() - 63.5 - si[1]) < 1.2
    value = crop(frame, box, CAMERA, 128)[rows[0], columns[0]]
    assert abs(value * box.cube[2] / 2 - si[2]) <= 0.51


def test_a_batch_equals_its_single_crops_and_reuses_memory() -> None:
    rng = np.random.default_rng(5)
    depths = list(rng.integers(0, 1500, (4, 480, 640)).astype(np.uint16))
    base = HandBox.upright(np.tile([10.0, -5.0, 800.0], (4, 1)), np.full((4, 3), 250.0))
    turned = perturb(base, AugmentConfig(), rng)
    out = np.empty((4, 32, 32), np.float32)
    result = crop_batch(depths, turned, CAMERA, 32, out=out)
    assert result is out
    for i in range(4):
        one = HandBox(turned.center_xyz[i], turned.cube[i], turned.roll[i])
        assert_array_equal(result[i], crop(depths[i], one, CAMERA, 32))


@pytest.mark.parametrize(
    ("center", "cube", "message"),
    [
        ([0, 0, -700], [200] * 3, "in front of the camera"),
        ([0, 0, 700], [200, 0, 200], "positive"),
        ([np.nan, 0, 700], [200] * 3, "no place"),
        ([5000, 0, 700], [200] * 3, "wholly outside the frame"),
        ([0, -600, 700], [200] * 3, "wholly outside the frame"),
    ],
)
def test_a_box_that_cannot_be_cropped_is_refused(center: list[float], cube: list[float], message: str) -> None:
    depth = np.ones((480, 640), np.uint16)
    box = HandBox.upright(np.array(center, float), np.array(cube, float))
    with pytest.raises(HandbenchError, match=message):
        crop(depth, box, CAMERA, 16)
    good = HandBox.upright(np.array([[0.0, 0.0, 700.0], center]), np.array([[200.0] * 3, cube]))
    with pytest.raises(HandbenchError, match=f"box 1 of the batch.*{message}"):
        crop_batch([depth, depth], good, CAMERA, 16)


def test_one_frame_more_than_boxes_is_refused() -> None:
    box = HandBox.upright(np.array([[0.0, 0.0, 700.0]]), np.full((1, 3), 200.0))
    with pytest.raises(ShapeError, match="2 frames"):
        crop_batch([np.ones((4, 4), np.uint16)] * 2, box, CAMERA, 16)
    with pytest.raises(ShapeError, match="crop_batch"):
        crop(np.ones((4, 4), np.uint16), box, CAMERA, 16)


# -- augmentation and centres ----------------------------------------------------------------------------------------


def test_perturbation_stays_in_its_ranges_and_fills_them() -> None:
    box = HandBox.upright(np.tile([1.0, 2.0, 700.0], (4000, 1)), np.full((4000, 3), 200.0))
    config = AugmentConfig(roll_deg=(-30, 60), scale=(0.8, 1.1), translation_mm=(-5, 10))
    out = perturb(box, config, np.random.default_rng(0))
    for values, low, high in (
        (np.rad2deg(out.roll), -30, 60),
        (out.cube / 200, 0.8, 1.1),
        (out.center_xyz - box.center_xyz, -5, 10),
    ):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
    assert_allclose(out.cube[:, 0], out.cube[:, 2])  # one factor for all sides


@pytest.mark.parametrize("bad", [{"scale": (0.0, 1.0)}, {"roll_deg": (10.0, -10.0)}, {"translation_mm": (0, np.nan)}])
def test_impossible_ranges_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(HandbenchError, match=next(iter(bad))):
        AugmentConfig(**bad)


def test_centre_of_mass_by_thresholds() -> None:
    depth = np.zeros((480, 640), np.uint16)
    depth[100, 200], depth[102, 204] = 500, 700
    depth[5, 5], depth[6, 6] = 100, 1500  # outside the thresholds
    mean_uvd = np.array([202.0, 101.0, 600.0])
    assert_allclose(xyz_to_uvd(com_xyz(depth, CAMERA, 300, 1200), CAMERA), mean_uvd)
    assert np.isnan(com_xyz(depth, CAMERA, 800, 900)).all()
    assert np.isnan(com_xyz(np.zeros((4, 4), np.uint16), CAMERA, 0, 900)).all()  # missing depth is no depth


def test_mean_of_joints_leaves_out_unlabelled_ones() -> None:
    joints = np.array([[[0.0, 0, 10], [2, 4, 20], [np.nan, 1, 1]], [[np.nan] * 3] * 3])
    assert_allclose(mean_joint_xyz(joints), np.array([[1, 2, 15], [np.nan] * 3]))
