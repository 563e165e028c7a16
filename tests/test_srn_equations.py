"""The paper's equations and counts: what the tests of the network leave out."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from handbench.srn.config import ModelConfig
from handbench.srn.cost import cost_of
from handbench.srn.loss import stage_losses
from handbench.srn.model import SRN
from handbench.srn.representation import reparameterise


@pytest.mark.parametrize(
    ("joints", "stages", "parameters"),
    [(14, 1, 11_191_786), (14, 2, 22_304_020), (14, 3, 33_487_934), (21, 2, 22_361_406)],
)
def test_parameter_counts_of_the_paper(joints: int, stages: int, parameters: int) -> None:
    assert cost_of(ModelConfig(stages=stages), joints).parameters == parameters
    with torch.device("meta"):
        assert sum(p.numel() for p in SRN(ModelConfig(stages=stages), joints).parameters()) == parameters


@pytest.mark.parametrize("kind", ["smooth-l1", "l2"])
def test_gradient_of_the_loss_by_central_differences(kind: str) -> None:
    """Eq. 3 and 5 on both sides of the bend, away from it; in float64."""
    random = np.random.default_rng(0)
    off = random.choice([-0.3, -0.006, 0.004, 0.02], (2, 3, 3))
    target = torch.from_numpy(random.uniform(-0.5, 0.5, (2, 3, 3)))
    pose = (target + torch.from_numpy(off)).requires_grad_()
    stage_losses([pose], target, kind).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert pose.grad is not None
    step, found = 1e-6, np.zeros((2, 3, 3))
    for index in np.ndindex(2, 3, 3):
        moved = torch.zeros(2, 3, 3, dtype=torch.float64)
        moved[index] = step
        values = [stage_losses([pose.detach() + sign * moved], target, kind).item() for sign in (1, -1)]
        found[index] = (values[0] - values[1]) / (2 * step)
    assert_allclose(pose.grad.numpy(), found, atol=1e-6)
    by_hand = np.clip(off / 0.01, -1, 1) if kind == "smooth-l1" else off / 0.01
    assert_allclose(pose.grad.numpy(), by_hand / 2, atol=1e-9)  # mean over the batch of 2


def test_gradient_of_the_images_by_central_differences() -> None:
    """Eq. 1 and 2, of a pose with one joint in the crop, one beside it and one far away; in float64."""
    random = np.random.default_rng(0)
    depth = torch.from_numpy(np.where(random.random((1, 1, 36, 36)) < 0.5, random.uniform(-0.5, 0.5, (36, 36)), 1.0))
    pose = torch.tensor([[[0.11, -0.07, 0.02], [0.95, 0.5, 0.0], [5.0, 5.0, 5.0]]], dtype=torch.float64)
    weight = torch.from_numpy(random.standard_normal((1, 12, 9, 9)))
    pose.requires_grad_()
    (reparameterise(pose, depth, 0.4) * weight).sum().backward()  # type: ignore[no-untyped-call]  # as above
    assert pose.grad is not None
    step, found = 1e-7, np.zeros((3, 3))
    for index in np.ndindex(3, 3):
        moved = torch.zeros(1, 3, 3, dtype=torch.float64)
        moved[0][index] = step
        values = [(reparameterise(pose.detach() + sign * moved, depth, 0.4) * weight).sum().item() for sign in (1, -1)]
        found[index] = (values[0] - values[1]) / (2 * step)
    assert_allclose(pose.grad[0].numpy(), found, atol=1e-4)
    assert np.abs(found[0]).max() > 1
    assert np.abs(found[1]).max() > 0.1
    assert not found[2].any()


def test_theta_is_a_distance_in_normalised_units() -> None:
    """Crop pixel (16, 16) of 32 is at u = v = 0.5 / 16: 0.4 of half a crop away there is something, 0.4001 away not."""
    at = 0.5 / 16
    depth = torch.ones(1, 1, 32, 32, dtype=torch.float64)
    depth[0, 0, 16, 16] = 0.2
    for offset, inside in (((0.24, 0.32, 0.0), False), ((0.24, 0.0, 0.319), True), ((0.0, 0.0, -0.4001), False)):
        joint = torch.tensor([[[at, at, 0.2]]], dtype=torch.float64) - torch.tensor(offset, dtype=torch.float64)
        seen = reparameterise(joint, depth, 0.4)
        assert bool(seen.any()) == inside
        larger = reparameterise(joint, depth, 0.5)[0, :, 4, 4]
        distance = float(np.linalg.norm(offset))
        assert_allclose(larger.numpy(), [*np.array(offset) / distance, 0.5 - distance], atol=1e-12)


def test_a_joint_outside_the_crop_is_seen_by_pixels_near_it_and_never_wraps() -> None:
    joint = torch.tensor([[[1.2, 0.0, 0.0]]])
    seen = reparameterise(joint, torch.zeros(1, 1, 64, 64), 0.4)
    assert seen[0, 3, :, 15].any()
    assert not seen[..., :8].any()
    assert bool((seen[0, 0][seen[0, 3] > 0] < 0).all())  # from the joint, the pixels lie to the left


def test_a_batch_of_one_is_that_frame_of_a_larger_batch() -> None:
    random = torch.Generator().manual_seed(0)
    depth = torch.rand(3, 1, 36, 36, generator=random) * 2 - 1
    pose = torch.rand(3, 5, 3, generator=random) - 0.5
    torch.testing.assert_close(reparameterise(pose, depth, 0.4)[1:2], reparameterise(pose[1:2], depth[1:2], 0.4))
    torch.manual_seed(0)
    model = SRN(ModelConfig(crop_size=36), joints=5).eval()
    with torch.no_grad():
        for together, alone in zip(model(depth), model(depth[1:2]), strict=True):
            torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)
    losses = stage_losses([pose], pose + 0.1)
    torch.testing.assert_close(losses, stage_losses([pose[:1]], pose[:1] + 0.1))
    trained = model.train()(depth[:1])  # batch norm has 2 x 2 pixels of the last layer to look at
    assert all(bool(stage.isfinite().all()) for stage in trained)


def test_background_has_no_images_whatever_is_near() -> None:
    depth = torch.full((1, 1, 64, 64), 0.1)
    depth[..., 32:] = 1.0
    seen = reparameterise(torch.tensor([[[0.0, 0.0, 0.9]]]), depth, 5.0)
    assert seen[..., :8].abs().sum(dim=1).all()
    assert not seen[..., 8:].any()
