"""Checkpoints: weights with their card, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from handbench.errors import HandbenchError
from handbench.srn.checkpoint import Card, load_checkpoint, read_card, require_joints, save_checkpoint
from handbench.srn.config import ModelConfig, TrainConfig
from handbench.srn.model import SRN

CPU = torch.device("cpu")
CONFIG = TrainConfig(seed=5, model=ModelConfig(stages=1, crop_size=64))
CARD = Card(CONFIG, "nyu", ("a", "b"), {"converter": "nyu", "frames": [1, 2]}, epoch=3, validation_error_mm=12.5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SRN]:
    torch.manual_seed(0)
    model = SRN(CONFIG.model, joints=2)
    path = tmp_path_factory.mktemp("checkpoint") / "last.safetensors"
    save_checkpoint(path, model, CARD)
    return path, model


def test_a_checkpoint_comes_back_as_it_was(saved: tuple[Path, SRN]) -> None:
    path, model = saved
    loaded, card = load_checkpoint(path, CPU)
    assert card == CARD == read_card(path)
    assert not loaded.training
    depth = torch.rand(2, 1, 64, 64) - 0.5
    with torch.no_grad():
        torch.testing.assert_close(loaded(depth), model.eval()(depth), atol=0, rtol=0)


def test_no_validation_error_is_null_and_comes_back_as_none(saved: tuple[Path, SRN], tmp_path: Path) -> None:
    card = replace(CARD, validation_error_mm=None)
    save_checkpoint(tmp_path / "x.safetensors", saved[1], card)
    assert read_card(tmp_path / "x.safetensors") == card


def _altered(path: Path, out: Path, **card: object) -> Path:
    table = {**CARD.to_dict(), **card}
    save_file(load_file(path), out, metadata={"handbench": json.dumps(table)})
    return out


def test_damaged_and_foreign_files_are_one_line(saved: tuple[Path, SRN], tmp_path: Path) -> None:
    path, model = saved
    cut, text, foreign = (tmp_path / f"{name}.safetensors" for name in ("cut", "text", "foreign"))
    cut.write_bytes(path.read_bytes()[:100_000])
    text.write_text("not weights")
    save_file({"x": torch.zeros(3)}, foreign)
    newer = _altered(path, tmp_path / "newer.safetensors", format=3)
    unknown = _altered(path, tmp_path / "unknown.safetensors", colour="red")
    config = {**CARD.to_dict()["config"], "optim": {"lr": "fast"}}
    bad_config = _altered(path, tmp_path / "config.safetensors", config=config)
    more_joints = _altered(path, tmp_path / "joints.safetensors", joints=["a", "b", "c"])
    for file, message in (
        (tmp_path / "none.safetensors", "there is no checkpoint"),
        (cut, "cut.safetensors is damaged or not a safetensors file"),
        (text, "text.safetensors is damaged or not a safetensors file"),
        (foreign, "foreign.safetensors holds weights but no card"),
        (newer, "has format 3, this handbench reads up to 2"),
        (unknown, "unknown.safetensors: the card is damaged"),
        (bad_config, "optim.lr is 'fast', it must be a number"),
        (more_joints, "the weights are not those of the model that the card describes"),
    ):
        with pytest.raises(HandbenchError, match=message) as caught:
            load_checkpoint(file, CPU)
        assert "\n" not in str(caught.value)
    assert model.joints == 2


def test_other_joints_are_refused_with_both_named() -> None:
    path = Path("run/last.safetensors")
    require_joints(CARD, ("a", "b"), "nyu", path)
    with pytest.raises(HandbenchError, match=r"predicts 2 joints of nyu \(a, b\), the store has 3 of icvl \(x, y, z\)"):
        require_joints(CARD, ("x", "y", "z"), "icvl", path)
    with pytest.raises(HandbenchError, match="the store has 2"):
        require_joints(CARD, ("b", "a"), "msra", path)
