"""Configurations: TOML, --set, and what is refused."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import pytest

from handbench.errors import HandbenchError
from handbench.srn.command import train
from handbench.srn.config import (
    ModelConfig,
    OptimConfig,
    TrainConfig,
    config_from_dict,
    config_to_dict,
    config_to_toml,
    load_config,
    preset_names,
    with_sets,
)


def test_paper_preset_is_the_defaults_and_both_are_the_paper() -> None:
    config = load_config("paper-nyu")
    assert config == TrainConfig() == load_config()
    assert (config.model.stages, config.model.theta, config.model.crop_size) == (2, 0.4, 128)
    optim = config.optim
    assert (optim.lr, optim.momentum, optim.weight_decay) == (0.3, 0.9, 5e-4)
    assert (optim.batch_size, optim.epochs) == (32, 80)


def test_the_help_names_presets_that_there_are() -> None:
    (option,) = (param for param in train.params if param.name == "preset")
    assert isinstance(option, click.Option)
    assert option.help == "paper-nyu, quick, table1.baseline, ... (docs/training.md)."
    assert {"paper-nyu", "quick", "table1.baseline"} < set(preset_names())


def test_learning_rate_drops_tenfold_every_25_epochs() -> None:
    optim = OptimConfig()
    assert [optim.lr_at(epoch) for epoch in (1, 25, 26, 50, 51, 75, 76, 80)] == pytest.approx(
        [0.3, 0.3, 0.03, 0.03, 0.003, 0.003, 0.0003, 0.0003]
    )


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_complete_and_survives_toml_and_plain_data(name: str, tmp_path: Path) -> None:
    config = load_config(name)
    file = tmp_path / "config.toml"
    file.write_text(config_to_toml(config))
    assert load_config(file=file) == config
    assert config_from_dict(config_to_dict(config)) == config


def test_what_a_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("seed = 7\n[optim]\nlr = 1\n")
    assert load_config(file=file) == replace(TrainConfig(), seed=7, optim=OptimConfig(lr=1.0))


def test_sets_are_typed_and_applied_in_order() -> None:
    sets = ["optim.lr=0.1", "seed = 3", "model.backbone=resnet50", "augment.scale=[1, 1.5]", "data.cache=true"]
    config = with_sets(TrainConfig(), [*sets, "optim.lr=0.2"])
    assert (config.optim.lr, config.seed, config.model.backbone) == (0.2, 3, "resnet50")
    assert config.augment.scale == (1.0, 1.5)
    assert config.data.cache is True
    assert with_sets(TrainConfig(), ['model.backbone="resnet34"']).model.backbone == "resnet34"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim.learning_rate=0.1", "unknown key 'optim.learning_rate'.*epochs, batch_size, lr,"),
        ("optimiser.lr=0.1", "did you mean 'optim'"),
        ("model.stagse=3", "did you mean 'stages'"),
        ("optimiser.lr=0.1", "unknown key 'optimiser'.*seed, model, augment, optim, data"),
        ("optim.lr.x=1", "unknown key 'optim.lr.x'.*optim.lr is not a table"),
        ("optim=1", "optim is 1, it must be a table; its keys are epochs"),
        ("optim.lr=fast", "'fast' is not a TOML value"),
        ("optim.lr=0.1\nseed=2", "is not a TOML value"),
        ("optim.lr='0.1'", "optim.lr is '0.1', it must be a number"),
        ("optim.lr=true", "optim.lr is True, it must be a number"),
        ("optim.epochs=2.0", r"optim.epochs is 2.0, it must be a whole number"),
        ("data.cache=1", "data.cache is 1, it must be true or false"),
        ("model.backbone=18", "model.backbone is 18, it must be text"),
        ("augment.scale=1.1", "augment.scale is 1.1, it must be a list of 2 numbers"),
        ("augment.scale=[0.9, 1, 1.1]", "augment.scale is .*, it must be a list of 2 numbers"),
        ("augment.scale=[1.1, 0.9]", "augment.scale"),
        ("model.backbone=resnet19", "model.backbone is 'resnet19', known are resnet18"),
        ("model.stages=0", "model.stages is 0, it must be between 1 and 16"),
        ("model.crop_size=130", "model.crop_size is 130, it must be a multiple of 4"),
        ("model.theta=nan", "model.theta is nan"),
        ("optim.lr=-1", "optim.lr is -1.0, it must be positive"),
        ("optim.lr=inf", "optim.lr is inf"),
        ("optim.momentum=1", "optim.momentum is 1.0"),
        ("optim.batch_size=0", "optim.batch_size is 0"),
        ("data.validation_fraction=1", "data.validation_fraction is 1.0"),
        ("seed=-1", "seed is -1"),
        ("lr", "'lr' is not of the form key=value"),
        ("=1", "'=1' is not of the form key=value"),
    ],
)
def test_a_bad_set_names_its_key(text: str, message: str) -> None:
    with pytest.raises(HandbenchError, match=message):
        with_sets(TrainConfig(), [text])


def test_bad_files_and_names_are_one_line(tmp_path: Path) -> None:
    broken, binary = tmp_path / "broken.toml", tmp_path / "binary.toml"
    broken.write_text("[optim\n")
    binary.write_bytes(b"\xff\xfe")
    calls: list[tuple[Callable[[], TrainConfig], str]] = [
        (
            lambda: load_config("paper"),
            "unknown preset 'paper'; did you mean 'paper-nyu'.* the rows of figure2, table1, table2",
        ),
        (lambda: load_config("quick", broken), "give one of them"),
        (lambda: load_config(file=broken), "broken.toml is not TOML"),
        (lambda: load_config(file=binary), "cannot read .*binary.toml: not UTF-8"),
        (lambda: load_config(file=tmp_path / "none.toml"), "cannot read .*none.toml: No such file"),
    ]
    for call, message in calls:
        with pytest.raises(HandbenchError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_impossible_values_are_refused_without_toml_too() -> None:
    with pytest.raises(HandbenchError, match=r"model\.theta"):
        ModelConfig(theta=0)


def test_config_and_commands_import_no_torch() -> None:
    code = "import sys, handbench.srn.config, handbench.srn.command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_learning_rate_rises_and_falls() -> None:
    optim = OptimConfig(lr=0.2, lr_step=3, lr_factor=0.1, warmup_epochs=2.0)
    assert [optim.lr_at(epoch) for epoch in (1, 2, 3)] == pytest.approx([0.1, 0.2, 0.2])
    assert optim.lr_at(1, 0.5) == pytest.approx(0.05)
    assert optim.lr_at(2, 0.5) == pytest.approx(0.15)
    assert optim.lr_at(4) == pytest.approx(0.02)
    assert OptimConfig(lr=0.2).lr_at(1, 0.01) == 0.2
