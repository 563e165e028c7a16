"""The network, its re-parameterisation (Eq. 1-2) and its loss (Eq. 3 and 5)."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from handbench.camera import Camera, uvd_to_xyz
from handbench.errors import HandbenchError, ShapeError
from handbench.preprocess import HandBox
from handbench.srn.config import REPRESENTATIONS, ModelConfig
from handbench.srn.loss import stage_losses
from handbench.srn.model import SRN
from handbench.srn.representation import pixel_points, reparameterise, representation

SMALL = ModelConfig(crop_size=64)


@pytest.mark.parametrize(("stages", "parameters"), [(1, 11_191_786), (2, 22_304_020), (3, 33_487_934)])
def test_parameter_counts_of_the_paper(stages: int, parameters: int) -> None:
    model = SRN(ModelConfig(stages=stages), joints=14)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(("backbone", "preliminary"), [("resnet18", 64), ("resnet34", 64), ("resnet50", 256)])
def test_every_stage_sees_the_poses_of_all_stages_before(backbone: str, preliminary: int) -> None:
    model = SRN(ModelConfig(backbone=backbone, stages=3, crop_size=64), joints=5)
    weights = model.state_dict()
    for stage in range(3):
        assert weights[f"features.{stage}.0.0.conv1.weight"].shape[1] == preliminary + 20 * stage
        assert weights[f"features.{stage}.0.0.downsample.0.weight"].shape[1] == preliminary + 20 * stage
    with torch.no_grad():
        poses = model.eval()(torch.ones(2, 1, 64, 64))
    assert [tuple(pose.shape) for pose in poses] == [(2, 5, 3)] * 3


def test_names_are_those_of_the_released_checkpoints() -> None:
    names = set(SRN(SMALL, joints=14).state_dict())
    assert {"pre.0.weight", "pre.1.running_mean", "pre.4.1.bn2.bias"} <= names
    assert {"features.0.0.0.conv1.weight", "features.1.2.1.bn2.weight", "fcs.0.weight", "fcs.1.bias"} <= names
    assert {name.split(".")[0] for name in names} == {"pre", "features", "fcs"}


def test_a_crop_of_another_size_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 1, 128, 128\), this model takes \(B, 1, 64, 64\)"):
        SRN(SMALL, joints=14)(torch.ones(2, 1, 128, 128))


def test_pixel_points_are_where_the_box_says() -> None:
    """A plane in front of the camera, seen in the crop, back-projected and sent through the box."""
    camera = Camera(500.0, 510.0, 320.0, 240.0, 640, 480)
    box = HandBox(np.array([50.0, -20.0, 700.0]), np.array([200.0, 200.0, 250.0]), np.array(0.7))
    size, d_norm = 64, 0.3
    z = 700.0 + d_norm * 125
    points, foreground = pixel_points(torch.full((1, 1, size, size), d_norm))
    j, i = np.meshgrid(np.arange(0, size, 4), np.arange(0, size, 4), indexing="ij")
    image = box.image_from_crop(camera, size) @ np.stack((i, j, np.ones_like(i))).reshape(3, -1)
    xyz = uvd_to_xyz(np.stack((image[0], image[1], np.full(image.shape[1], z)), axis=-1), camera)
    expected = box.bb_to_si_norm(box.xyz_to_bb(xyz))
    assert_allclose(points[0].numpy().reshape(3, -1).T, expected, atol=1e-6)
    assert bool(foreground.all())


def _naive(pose: np.ndarray, depth: np.ndarray, theta: float) -> np.ndarray:
    """Eq. 1 and 2 with loops: (J, 3), (S, S) to (4J, S/4, S/4)."""
    size, joints = depth.shape[0], len(pose)
    out = np.zeros((4 * joints, size // 4, size // 4))
    for row in range(0, size, 4):
        for column in range(0, size, 4):
            middle, half = (size - 1) / 2, size / 2
            p = np.array([(column - middle) / half, (row - middle) / half, depth[row, column]])
            for j in range(joints):
                distance = math.dist(p, pose[j])
                if depth[row, column] < 1 and distance < theta:
                    out[3 * j : 3 * j + 3, row // 4, column // 4] = (p - pose[j]) / distance
                    out[3 * joints + j, row // 4, column // 4] = theta - distance
    return out


def test_reparameterise_equals_its_naive_twin() -> None:
    rng = np.random.default_rng(0)
    depth = np.where(rng.random((2, 64, 64)) < 0.7, rng.uniform(-0.4, 0.4, (2, 64, 64)), 1).astype(np.float32)
    pose = rng.uniform(-0.5, 0.5, (2, 6, 3)).astype(np.float32)
    found = reparameterise(torch.from_numpy(pose), torch.from_numpy(depth)[:, None], 0.4).numpy()
    expected = np.stack([_naive(p, d, 0.4) for p, d in zip(pose, depth, strict=True)])
    assert np.count_nonzero(expected[:, 18:]) > 100
    assert_allclose(found, expected, atol=2e-5)


def test_reparameterise_by_hand() -> None:
    """Crop pixel (16, 16) of 32 is at u = v = 0.5 / 16; the joint is 0.3 to its left and at its depth."""
    at = 0.5 / 16
    depth = torch.ones(1, 1, 32, 32)
    depth[0, 0, 16, 16] = 0.2
    found = reparameterise(torch.tensor([[[at - 0.3, at, 0.2]]]), depth, theta=0.4)
    expected = torch.zeros(1, 4, 8, 8)
    expected[0, :, 4, 4] = torch.tensor([1.0, 0.0, 0.0, 0.1])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_background_and_far_pixels_are_zero() -> None:
    pose = torch.zeros(1, 3, 3)
    assert not reparameterise(pose, torch.ones(1, 1, 64, 64), 0.4).any()
    assert not reparameterise(pose + 5, torch.zeros(1, 1, 64, 64), 0.4).any()


def test_gradient_of_reparameterise_is_right_and_finite_on_top_of_a_pixel() -> None:
    depth = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    pose = torch.tensor([[[0.1, -0.05, 0.15]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: reparameterise(p, depth, 0.4), pose)
    on_pixel = torch.tensor([[[0.5 / 16, 0.5 / 16, 0.0]]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(reparameterise(on_pixel, depth, 0.4).sum(), on_pixel)
    assert bool(gradient.isfinite().all())


def test_the_second_stage_teaches_the_first() -> None:
    torch.manual_seed(0)
    model = SRN(SMALL, joints=4)
    poses = model(torch.rand(2, 1, 64, 64) - 0.5)
    second = stage_losses(poses, torch.full((2, 4, 3), 0.3))[1]
    (gradient,) = torch.autograd.grad(second, model.get_parameter("fcs.0.bias"))
    assert float(gradient.abs().sum()) > 0


def test_loss_by_hand() -> None:
    """0.005 off costs 50 x^2 = 0.00125; 0.1 off costs 0.1 - 0.005; summed over joints, mean over the batch of 2."""
    target = torch.zeros(2, 3, 3)
    first = target.clone()
    first[0, 0, 0], first[1, 2, 1] = 0.005, -0.1
    losses = stage_losses([first, target + 0.1], target)
    torch.testing.assert_close(losses, torch.tensor([(0.00125 + 0.095) / 2, 9 * 0.095]))


def test_unlabelled_joints_cost_nothing_and_pull_at_nothing() -> None:
    target = torch.zeros(1, 2, 3)
    target[0, 1] = torch.nan
    pose = torch.full((1, 2, 3), 0.1, requires_grad=True)
    losses = stage_losses([pose], target)
    (gradient,) = torch.autograd.grad(losses.sum(), pose)
    torch.testing.assert_close(losses, torch.tensor([3 * 0.095]))
    torch.testing.assert_close(gradient, torch.tensor([[[1.0] * 3, [0.0] * 3]]))


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_representations_can_be_exchanged_one_for_another(name: str) -> None:
    config = ModelConfig(representation=name, stages=3, crop_size=64)
    model = SRN(config, joints=5)
    depth = torch.rand(2, 1, 64, 64) * 2 - 1
    poses = model(depth)
    assert [tuple(pose.shape) for pose in poses] == [(2, 5, 3)] * 3
    images = representation(config, joints=5)
    pose = torch.rand(2, 5, 3, requires_grad=True)
    seen = images(pose, depth)
    assert tuple(seen.shape) == (2, images.channels, 16, 16)
    assert model.state_dict()["features.2.0.0.conv1.weight"].shape[1] == 64 + 2 * images.channels
    if images.channels:
        seen.square().sum().backward()
        assert pose.grad is not None
        assert pose.grad.abs().sum() > 0


def test_heat_maps_against_loops() -> None:
    """9 x 9 images of a crop of 36 px; a pixel of the images is 4 px of the crop."""
    rng = np.random.default_rng(0)
    pose, depth = rng.uniform(-0.5, 0.5, (3, 3)), rng.uniform(-1, 1, (36, 36))
    config = ModelConfig(crop_size=36, heatmap_std=1.5, theta=0.7)
    expected = np.zeros((6, 9, 9))
    for j, row, column in np.ndindex(3, 9, 9):
        u, v = ((4 * at - 17.5) / 18 for at in (column, row))
        pixels = math.dist((u, v), pose[j, :2]) * 18 / 4
        expected[j, row, column] = math.exp(-(pixels**2) / (2 * 1.5**2))
        expected[3 + j, row, column] = pose[j, 2] * expected[j, row, column]
    given = torch.tensor(pose[None]), torch.tensor(depth[None, None])
    both = representation(replace(config, representation="heatmaps-2d-depth"), 3)(*given)
    assert_allclose(both[0].numpy(), expected, atol=1e-12)
    assert_allclose(representation(replace(config, representation="heatmaps-2d"), 3)(*given), both[:, :3])
    naive = _naive(pose, depth, 0.7)
    assert_allclose(representation(replace(config, representation="heatmaps-3d"), 3)(*given)[0], naive[9:], atol=1e-12)
    assert_allclose(
        representation(replace(config, representation="heatmaps-3d-field"), 3)(*given)[0], naive, atol=1e-12
    )


def test_a_deconvolution_needs_a_side_that_doubles() -> None:
    with pytest.raises(HandbenchError, match=r"model.crop_size is 48, .* must be a multiple of 32"):
        SRN(ModelConfig(representation="deconvolution", crop_size=48), joints=5)


def test_the_quadratic_loss_has_no_bend() -> None:
    pose, target = torch.tensor([[[0.005, 0.1, -1.0]]]), torch.zeros(1, 1, 3)
    assert stage_losses([pose], target).item() == pytest.approx(50 * 0.005**2 + 0.095 + 0.995)
    assert stage_losses([pose], target, "l2").item() == pytest.approx(50 * (0.005**2 + 0.01 + 1))
