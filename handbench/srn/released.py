"""Weights of the authors' released code, as checkpoints of handbench.

What is known of that code (PengfeiRen96/SRN): it names its modules `pre`, `features` and `fcs` as ours are named, has
theta = 1, makes images of a pose as `ReleasedField` does, and gives `uvd_si_norm`. So the weights stay as they are.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.srn.checkpoint import Card, save_checkpoint
from handbench.srn.config import ModelConfig, TrainConfig
from handbench.srn.model import SRN

_WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
_BLOCKS = {(2, False): "resnet18", (6, False): "resnet34", (6, True): "resnet50", (23, True): "resnet101"}
"""Residual blocks of layer 3, and whether they have a third convolution."""


def import_released(source: Path, out: Path, dataset_name: str) -> Card:
    """Turn a state dict of the released code into a checkpoint that `handbench predict` takes.

    Args:
        source: a file of `torch.save`; nothing in it is executed.
        out: the checkpoint, .safetensors.
        dataset_name: what it was trained on, which says the names of the joints.

    Returns:
        The card of the checkpoint.

    Raises:
        HandbenchError: if the file is missing, holds anything but weights, or they are not those of such a network with
            the joints of the data set.
    """
    weights = _read(source)
    config = TrainConfig(model=_config(weights, source))
    spec = dataset(dataset_name)
    names = tuple(spec.joints.names[joint] for joint in spec.joints.scored)
    model = SRN(config.model, _joints(weights))
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise HandbenchError(f"{source}: not the weights of {_described(config.model)}: {first}") from error
    if model.joints != len(names):
        raise HandbenchError(
            f"{source} predicts {model.joints} joints, {spec.title} has {len(names)}; name the data set it belongs to"
        )
    with source.open("rb") as file:
        origin = {"imported": source.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    card = Card(config, spec.name, names, origin, epoch=0, validation_error_mm=None)
    save_checkpoint(out, model, card)
    return card


def _read(source: Path) -> Mapping[str, torch.Tensor]:
    """The tensors by name, out of whatever they are wrapped in.

    Raises:
        HandbenchError: if there are none.
    """
    try:
        content = torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise HandbenchError(f"there is no file {source}") from error
    except pickle.UnpicklingError as error:
        raise HandbenchError(
            f"{source} holds more than weights, and what it holds could be a program; save its state_dict() alone"
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise HandbenchError(f"{source} is damaged or no file of PyTorch ({str(error).splitlines()[0]})") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise HandbenchError(f"{source} holds no state dict; save the state_dict() of the network")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}  # module: DataParallel


def _config(weights: Mapping[str, Any], source: Path) -> ModelConfig:
    """The network that the names and shapes tell of.

    Raises:
        HandbenchError: if they are not those of the released code.
    """
    stages = len([name for name in weights if re.fullmatch(r"fcs\.\d+\.weight", name)])
    blocks = {int(found[1]) for name in weights if (found := re.match(r"features\.0\.1\.(\d+)\.", name))}
    backbone = _BLOCKS.get((len(blocks), "pre.4.0.conv3.weight" in weights))
    if not stages or backbone is None or "pre.0.weight" not in weights:
        raise HandbenchError(f"{source} has no weights pre.*, features.*, fcs.* of an SRN; it is another network")
    return ModelConfig(backbone=backbone, stages=stages, representation="released", theta=1.0)


def _joints(weights: Mapping[str, torch.Tensor]) -> int:
    return int(weights["fcs.0.weight"].shape[0]) // 3


def _described(config: ModelConfig) -> str:
    return f"an SRN of {config.stages} stages on {config.backbone}"
