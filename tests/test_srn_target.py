"""What a network learns: joints or their mean, in scaled-image or in the box's own coordinates; the plain small CNN."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from numpy.testing import assert_allclose
from torch.utils.data import default_collate

from handbench.cli import main
from handbench.errors import HandbenchError, ShapeError
from handbench.loading import HandDataset, ResidentBatches, Sample
from handbench.preprocess import AugmentConfig, HandBox
from handbench.srn.checkpoint import read_card
from handbench.srn.config import ModelConfig, TrainConfig, config_from_dict, load_config, with_sets
from handbench.srn.model import SRN, SmallCNN, build_model
from handbench.srn.run import RunFolder
from handbench.srn.target import targets, to_xyz, true_xyz
from handbench.srn.train import train
from tests.strategies import boxes, points_in
from tests.tiny_store import write_tiny_store

CPU = torch.device("cpu")
Box = HandBox[npt.NDArray[Any]]
EVERY = [(predicts, coordinates) for predicts in ("joints", "center") for coordinates in ("uvd", "xyz")]


def config(predicts: str, coordinates: str) -> ModelConfig:
    return ModelConfig(predicts=predicts, coordinates=coordinates, stages=1, crop_size=48)


def sample(box: Box, joints_xyz: npt.NDArray[Any]) -> Sample:
    """A batch of one with the tables that targets are made of; no pixels."""
    tables = {
        "target": box.bb_to_si_norm(box.xyz_to_bb(joints_xyz)),
        "joints_xyz": joints_xyz,
        "center_xyz": box.center_xyz,
        "cube": box.cube,
        "roll": box.roll,
    }
    return {name: torch.from_numpy(np.asarray(value)[None]) for name, value in tables.items()}  # type: ignore[return-value]  # no pixels


def test_hand_computed_targets_of_a_rolled_box() -> None:
    """A quarter turn clockwise: the point 30 mm to the right in the camera is 30 mm up in the crop."""
    box = HandBox(np.array([100.0, 50.0, 500.0]), np.array([200.0, 100.0, 400.0]), np.array(np.pi / 2))
    joints_xyz = np.array([[130.0, 50.0, 600.0], [100.0, 60.0, 500.0], [np.nan, np.nan, np.nan]])
    batch = sample(box, joints_xyz)
    xyz = targets(batch, config("joints", "xyz"))[0].numpy()
    assert_allclose(xyz, [[0, -0.6, 0.5], [0.1, 0, 0], [np.nan] * 3], atol=1e-12)
    center = targets(batch, config("center", "xyz"))[0].numpy()  # the mean (115, 55, 550) of the two labelled ones
    assert_allclose(center, [[0.05, -0.3, 0.25]], atol=1e-12)
    assert targets(batch, config("joints", "uvd")) is batch["target"]
    uvd = targets(batch, config("center", "uvd"))[0].numpy()
    # At depth 550 it is seen in the plane of 500 at (115, 55) * 500 / 550 = (104.55, 50): 4.55 right of the centre.
    assert_allclose(uvd, [[0, -50 / 11 / 50, 0.25]], atol=1e-12)


def test_a_frame_without_labels_has_no_centre() -> None:
    box = HandBox.upright(np.array([0.0, 0.0, 500.0]), np.full(3, 200.0))
    nothing = np.full((3, 3), np.nan)
    assert targets(sample(box, nothing), config("center", "uvd")).isnan().all()
    assert np.isnan(true_xyz(nothing[None], config("center", "uvd"))).all()


@given(box=boxes(), xyz_bb=points_in())
def test_rolled_coordinates_are_inverse_and_turn_with_the_image(box: Box, xyz_bb: npt.NDArray[Any]) -> None:
    rolled = box.bb_to_rolled_norm(xyz_bb)
    assert_allclose(box.rolled_norm_to_bb(rolled), xyz_bb, atol=1e-9)
    upright = HandBox.upright(box.center_xyz, box.cube)
    assert_allclose(upright.bb_to_rolled_norm(xyz_bb), box.bb_to_bb_norm(xyz_bb), atol=1e-12)
    # In the plane of the centre there is no perspective: the same place as in the crop, whatever the roll.
    flat = xyz_bb * [1, 1, 0]
    assert_allclose(box.bb_to_rolled_norm(flat), box.bb_to_si_norm(flat), atol=1e-9)


@given(box=boxes(), xyz_bb=points_in())
def test_turning_the_box_is_turning_the_scene_the_other_way(box: Box, xyz_bb: npt.NDArray[Any]) -> None:
    """A rolled box on the optical axis, and an upright one in a scene turned about that axis: the same crop."""
    rolled = HandBox(box.center_xyz * [0, 0, 1], box.cube, box.roll)
    cos, sin = np.cos(-box.roll), np.sin(-box.roll)
    turned = xyz_bb @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    upright = HandBox.upright(rolled.center_xyz, box.cube)
    assert_allclose(rolled.bb_to_rolled_norm(xyz_bb), upright.bb_to_bb_norm(turned), atol=1e-9)
    assert_allclose(rolled.bb_to_si_norm(xyz_bb), upright.bb_to_si_norm(turned), atol=1e-9)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr", train=12, test=4)


@pytest.mark.parametrize(("predicts", "coordinates"), EVERY)
def test_targets_of_augmented_and_mirrored_samples_lead_back(store: Path, predicts: str, coordinates: str) -> None:
    frames = HandDataset(store, "train", 48, augment=AugmentConfig(mirror=0.5))
    batch: Sample = default_collate([frames[1, place] for place in range(12)])
    assert 0 < int(batch["mirrored"].sum()) < 12
    asked = config(predicts, coordinates)
    box = HandBox(*(batch[name].double().numpy() for name in ("center_xyz", "cube", "roll")))
    found = to_xyz(targets(batch, asked).double().numpy(), box, asked)
    assert_allclose(found, true_xyz(batch["joints_xyz"].numpy(), asked), atol=1e-3)
    resident = ResidentBatches(store, "train", 48, 12, augment=AugmentConfig(mirror=0.5), shuffle=False)
    resident.epoch = 1
    assert torch.equal(targets(next(iter(resident)), asked), targets(batch, asked))


@pytest.mark.parametrize(("predicts", "coordinates"), EVERY)
def test_a_run_of_every_kind_learns_and_says_what_it_predicts(
    store: Path, tmp_path: Path, predicts: str, coordinates: str
) -> None:
    sets = ["model.backbone=small", "model.stages=1", "model.crop_size=48", "optim.epochs=12", "optim.batch_size=3"]
    sets += ["optim.lr=0.1", "augment.roll_deg=[0, 0]", "data.cache=true", "data.validation_blocks=1"]
    asked = load_config(sets=[*sets, f"model.predicts={predicts}", f"model.coordinates={coordinates}"])
    log = train(store, RunFolder(tmp_path / "run"), asked, CPU)
    names = read_card(tmp_path / "run" / "last.safetensors").joints
    assert names == ("center",) if predicts == "center" else len(names) == 14
    assert log[-1].loss < 0.6 * log[0].loss
    first, last = log[0].validation_error_mm, log[-1].validation_error_mm
    assert first is not None
    assert last is not None
    assert last < first


def test_the_small_cnn_is_small_and_has_one_stage() -> None:
    small = build_model(ModelConfig(backbone="small", stages=1, crop_size=64), 1)
    assert isinstance(small, SmallCNN)
    assert isinstance(build_model(ModelConfig(stages=1, crop_size=64), 1), SRN)
    convolutions = 1 * 16 * 25 + 9 * (16 * 32 + 32 * 64 + 64 * 64) + 2 * (16 + 32 + 64 + 64)
    connected = 64 * 4 * 4 * 256 + 256 + 256 * 3 + 3
    assert sum(p.numel() for p in small.parameters()) == convolutions + connected
    with torch.no_grad():
        (points,) = small.eval()(torch.ones(2, 1, 64, 64))
    assert points.shape == (2, 1, 3)
    with pytest.raises(ShapeError, match=r"this model takes \(B, 1, 64, 64\)"):
        small(torch.ones(2, 1, 48, 48))


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["model.predicts=palm"], "model.predicts is 'palm', known are joints, center"),
        (["model.coordinates=bb"], "model.coordinates is 'bb', known are uvd, xyz"),
        (["model.backbone=small"], "model.stages is 2, model.backbone 'small' has one stage; set it to 1"),
        (["model.coordinates=xyz"], "'heatmaps-3d-field' draws a pose into the image, .*none or deconvolution"),
    ],
)
def test_what_does_not_go_together_is_refused(sets: list[str], message: str) -> None:
    with pytest.raises(HandbenchError, match=message):
        with_sets(TrainConfig(), sets)


def test_xyz_goes_with_representations_that_need_no_pixels() -> None:
    for representation in ("none", "deconvolution"):
        model = ModelConfig(coordinates="xyz", representation=representation, crop_size=64)
        with torch.no_grad():
            assert len(build_model(model, 2).eval()(torch.ones(1, 1, 64, 64))) == 2


def test_configs_of_older_runs_predict_joints_in_uvd() -> None:
    old = config_from_dict({"model": {"backbone": "resnet18", "stages": 2}})
    assert (old.model.predicts, old.model.coordinates) == ("joints", "uvd")


def test_predict_refuses_a_network_of_centres(store: Path, tmp_path: Path) -> None:
    sets = ["model.backbone=small", "model.stages=1", "model.crop_size=48", "optim.epochs=1", "model.predicts=center"]
    train(store, RunFolder(tmp_path / "run"), load_config(sets=sets), CPU)
    args = ["predict", tmp_path / "run", store, "-o", tmp_path / "p.txt", "--device", "cpu"]
    result = CliRunner().invoke(main, list(map(str, args)))
    assert result.exit_code == 2
    assert "predicts the centre of the hand and no joints; `handbench localize`" in result.stderr
