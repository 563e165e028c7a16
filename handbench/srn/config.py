"""What a training run is made of: frozen dataclasses, filled from TOML and from `--set key=value`. No torch here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from handbench.errors import HandbenchError
from handbench.preprocess import AugmentConfig
from handbench.srn.presets import preset_names as preset_names
from handbench.srn.presets import read_preset
from handbench.srn.tables import build, parse_value, read_toml, value_of

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "small")
PREDICTS = ("joints", "center")
"""The scored joints, or one point: the mean of those that are labelled."""

COORDINATES = ("uvd", "xyz")
"""`uvd_si_norm`, which Eq. 4 turns into mm (coordinate decoupling), or the box's own: mm by half the cube."""

_NO_PIXELS = ("none", "deconvolution")  # representations that take a pose in any coordinates
REPRESENTATIONS = (
    "none",
    "deconvolution",
    "heatmaps-2d",
    "heatmaps-2d-depth",
    "heatmaps-3d",
    "heatmaps-3d-field",
    "released",
)
"""What a later stage sees of the pose before it (handbench/srn/representation.py): SRN's own is "heatmaps-3d-field",
"released" is that of the authors' checkpoints."""

LOSSES = ("smooth-l1", "l2")
"""Eq. 3, and its quadratic part alone, without the bend at the threshold."""

VALIDATION_BY = ("blocks", "subject", "sequence")
"""What is held out: runs of frames, or the last whole subjects or sequences (gestures) of the split."""

PRECISIONS = ("float32", "bf16")
"""Of the network while it trains: all in float32, or convolutions in bfloat16 (poses, loss, weights stay float32)."""

LOCALIZATIONS = ("off", "test", "train+test")
"""Whose centres crops are made around: the store's, or for the named ones those of `data.localizer`."""

STRIDE = 4
"""Side of the crop divided by side of the preliminary features."""


@dataclass(frozen=True)
class ModelConfig:
    """The network. The defaults are the paper's (SRN sections 3 and 4).

    Attributes:
        predicts: one of `PREDICTS`.
        coordinates: one of `COORDINATES`.
        backbone: one of `BACKBONES`: torchvision's ResNet of that name without pretrained weights, or a plain small
            CNN of one stage.
        stages: T, how many times the pose is regressed.
        representation: one of `REPRESENTATIONS`.
        theta: radius around a joint inside which the re-parameterised pose is not 0, in `uvd_si_norm`.
        heatmap_std: standard deviation of 2D heat maps, in px of the preliminary features.
        crop_size: side S of the depth crop in px, a multiple of 4; from 36 on the last residual layer has 2 x 2 pixels.

    Raises:
        HandbenchError: if a value is impossible.
    """

    predicts: str = "joints"
    coordinates: str = "uvd"
    backbone: str = "resnet18"
    stages: int = 2
    representation: str = "heatmaps-3d-field"
    theta: float = 0.4
    heatmap_std: float = 3.4
    crop_size: int = 128

    def __post_init__(self) -> None:
        for name, known in (
            ("predicts", PREDICTS),
            ("coordinates", COORDINATES),
            ("backbone", BACKBONES),
            ("representation", REPRESENTATIONS),
        ):
            _require_known(getattr(self, name), f"model.{name}", known)
        _require(0 < self.heatmap_std < math.inf, "model.heatmap_std", self.heatmap_std, "positive")
        _require(1 <= self.stages <= 16, "model.stages", self.stages, "between 1 and 16")
        _require(0 < self.theta < math.inf, "model.theta", self.theta, "positive")
        possible = self.crop_size % STRIDE == 0 and 36 <= self.crop_size <= 1024
        _require(possible, "model.crop_size", self.crop_size, f"a multiple of {STRIDE} between 36 and 1024")
        if self.stages > 1 and self.backbone == "small":
            raise HandbenchError(f"model.stages is {self.stages}, model.backbone 'small' has one stage; set it to 1")
        if self.stages > 1 and self.coordinates == "xyz" and self.representation not in _NO_PIXELS:
            raise HandbenchError(
                f"model.representation {self.representation!r} draws a pose into the image, for which "
                f"model.coordinates must be uvd; with xyz use {' or '.join(_NO_PIXELS)}, or model.stages=1"
            )


@dataclass(frozen=True)
class OptimConfig:
    """Stochastic gradient descent and its schedule. The defaults are the paper's for NYU (SRN section 4).

    Attributes:
        epochs: passes over the training frames.
        batch_size: frames in a step.
        lr: learning rate of the first epochs.
        lr_step: the learning rate is multiplied by `lr_factor` every so many epochs.
        lr_factor: see `lr_step`.
        momentum: of SGD.
        weight_decay: of SGD, on all parameters.
        loss: one of `LOSSES`.
        warmup_epochs: the learning rate rises to its value over so many epochs, step by step; 0 = at once.
        clip_norm: gradients longer than this are shortened to it; 0 = never.
        loss_weight: factor on the loss of Eq. 3. The learning rate of 0.3 belongs to 0.01, which is what the authors'
            released code multiplies with (`Modified_SmoothL1Loss` of PengfeiRen96/SRN); with Eq. 3 as printed,
            factor 1, such steps throw the network off and it stays near the mean pose (docs/training.md).

    Raises:
        HandbenchError: if a value is impossible.
    """

    epochs: int = 80
    batch_size: int = 32
    lr: float = 0.3
    lr_step: int = 25
    lr_factor: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    loss: str = "smooth-l1"
    warmup_epochs: float = 0.0
    clip_norm: float = 0.0
    loss_weight: float = 0.01

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "lr_step"):
            _require(getattr(self, name) >= 1, f"optim.{name}", getattr(self, name), "at least 1")
        _require(0 < self.lr < math.inf, "optim.lr", self.lr, "positive")
        _require(0 < self.lr_factor <= 1, "optim.lr_factor", self.lr_factor, "above 0 and at most 1")
        _require(0 <= self.momentum < 1, "optim.momentum", self.momentum, "at least 0 and below 1")
        _require(0 <= self.weight_decay < math.inf, "optim.weight_decay", self.weight_decay, "at least 0")
        if self.loss not in LOSSES:
            raise HandbenchError(f"optim.loss is {self.loss!r}, known are {', '.join(LOSSES)}")
        for name in ("warmup_epochs", "clip_norm"):
            _require(0 <= getattr(self, name) < math.inf, f"optim.{name}", getattr(self, name), "at least 0")
        _require(0 < self.loss_weight < math.inf, "optim.loss_weight", self.loss_weight, "positive")

    def lr_at(self, epoch: int, share: float = 1.0) -> float:
        """The learning rate of a step.

        Args:
            epoch: from 1.
            share: how much of the epoch is done after the step, above 0 and at most 1.
        """
        risen = min(1.0, (epoch - 1 + share) / self.warmup_epochs) if self.warmup_epochs else 1.0
        return self.lr * risen * self.lr_factor ** ((epoch - 1) // self.lr_step)


@dataclass(frozen=True)
class DataConfig:
    """How the frames of a store are used.

    Attributes:
        localization: one of `LOCALIZATIONS`: "test" for validation and test crops, "train+test" for all.
        localizer: folder of a `handbench train-localizer` run, or a checkpoint of one.
        split: of the store, whose frames are trained and validated on; never "test".
        exclude_subjects: names of subjects whose frames are neither trained nor validated on.
        validation_fraction: share of the training frames that is held out to watch the error; 0 = none.
        validation_by: one of `VALIDATION_BY`.
        validation_blocks: the held-out frames are so many runs of consecutive frames, evenly spaced: neighbouring
            frames look alike, so frames drawn one by one would tell nothing. By "blocks" only.
        cache: keep every frame in memory after its first read (0.6 MB each at 640 x 480, in every worker).
        workers: processes that read and crop; 0 = in the training process.
        resident: in place of cache and workers, read all windows into the memory of the device before the first epoch,
            and crop there.

    Raises:
        HandbenchError: if a value is impossible.
    """

    localization: str = "off"
    localizer: str = ""
    split: str = "train"
    exclude_subjects: tuple[str, ...] = ()
    validation_fraction: float = 0.1
    validation_by: str = "blocks"
    validation_blocks: int = 10
    cache: bool = False
    workers: int = 0
    resident: bool = False

    def __post_init__(self) -> None:
        _require_known(self.localization, "data.localization", LOCALIZATIONS)
        if self.split == "test":
            raise HandbenchError("data.split is 'test', and nothing is trained on a test split; name another split")
        _require_known(self.validation_by, "data.validation_by", VALIDATION_BY)
        share = self.validation_fraction
        _require(0 <= share < 1, "data.validation_fraction", share, "at least 0 and below 1")
        _require(self.validation_blocks >= 1, "data.validation_blocks", self.validation_blocks, "at least 1")
        _require(self.workers >= 0, "data.workers", self.workers, "at least 0")


@dataclass(frozen=True)
class ComputeConfig:
    """How the numbers are computed.

    Attributes:
        precision: one of `PRECISIONS`; bf16 is for GPUs of 2020 and later.
        compile: translate the network by `torch.compile` first, which takes a minute and needs a C++ compiler.

    Raises:
        HandbenchError: if a value is impossible.
    """

    precision: str = "float32"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise HandbenchError(f"compute.precision is {self.precision!r}, known are {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class TrainConfig:
    """A whole run. Two runs with equal configs on equal stores give equal weights on the CPU.

    Attributes:
        seed: of the first weights, the order of the frames and the augmentation.
        model: the network.
        augment: ranges of the random boxes.
        optim: optimiser and schedule.
        data: frames and validation.
        compute: how the numbers are computed.

    Raises:
        HandbenchError: if a value is impossible.
    """

    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**63, "seed", self.seed, "at least 0 and below 2^63")
        if self.model.predicts == "center" and self.data.localization != "off":
            raise HandbenchError(
                f"data.localization is {self.data.localization!r}, and model.predicts is 'center': such a network "
                "learns from the centres of the store; set data.localization=off"
            )


def load_config(preset: str | None = None, file: Path | None = None, sets: Sequence[str] = ()) -> TrainConfig:
    """The config of a preset or of a TOML file, with single values set over it.

    Args:
        preset: one of `preset_names`; `paper-nyu` if neither a preset nor a file is named.
        file: a TOML file; what it leaves out has the default of the dataclass.
        sets: "table.key=value" each, the value in TOML; text needs no quotes.

    Raises:
        HandbenchError: on both a preset and a file, an unreadable file, an unknown key, a wrong type or an impossible
            value; the message names the key.
    """
    if preset is not None and file is not None:
        raise HandbenchError("--preset and --config both name a configuration; give one of them")
    table = read_toml(file) if file is not None else read_preset(preset or "paper-nyu")
    return with_sets(config_from_dict(table), sets)


def with_sets(config: TrainConfig, sets: Sequence[str]) -> TrainConfig:
    """A config with single values replaced, each given as "table.key=value".

    Raises:
        HandbenchError: as `load_config`.
    """
    table = config_to_dict(config)
    for text in sets:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise HandbenchError(f"--set {text!r} is not of the form key=value, for example optim.lr=0.1")
        *path, last = key.split(".")
        inner = table
        for depth, name in enumerate(path):
            inner = value_of(inner, name, ".".join(path[:depth]))
        old = value_of(inner, last, ".".join(path))
        inner[last] = parse_value(value, is_text=isinstance(old, str), key=key)
    return config_from_dict(table)


def config_to_dict(config: TrainConfig) -> dict[str, Any]:
    """Plain data; `config_from_dict` is its inverse."""
    return asdict(config)


def config_from_dict(table: Mapping[str, Any]) -> TrainConfig:
    """A config from nested tables, as TOML and JSON give them. What is left out has its default.

    Raises:
        HandbenchError: on an unknown key, a wrong type or an impossible value; the message names the key.
    """
    return build(TrainConfig, table)


def config_to_toml(config: TrainConfig) -> str:
    """The text of a TOML file that `load_config` reads back as the same config."""
    table = config_to_dict(config)
    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for name, inner in table.items():
        if isinstance(inner, dict):
            # JSON's text, numbers, booleans and lists are TOML's as well.
            lines += ["", f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in inner.items())]
    return "\n".join(lines) + "\n"


def _require_known(value: str, key: str, known: Sequence[str]) -> None:
    if value not in known:
        raise HandbenchError(f"{key} is {value!r}, known are {', '.join(known)}")


def _require(holds: bool, key: str, value: Any, must_be: str) -> None:
    if not holds:
        raise HandbenchError(f"{key} is {value}, it must be {must_be}")
