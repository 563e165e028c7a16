"""Checkpoints: the weights in safetensors, and beside them, in the same file, a card that says what they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from handbench.console import whole_or_nothing, without_nan
from handbench.errors import HandbenchError
from handbench.srn.config import TrainConfig, config_from_dict, config_to_dict
from handbench.srn.facts import versions
from handbench.srn.model import PoseNetwork, build_model

FORMAT = 2
_CARD_KEY = "handbench"  # of the metadata of the file


@dataclass(frozen=True)
class Card:
    """What a checkpoint is.

    Attributes:
        config: of the run.
        dataset: name of the data set that it was trained on.
        joints: names of the points that it predicts, in its order: joints, or `target.CENTER`.
        store: provenance of the store that it was trained on.
        epoch: epochs that the weights have seen.
        validation_error_mm: mean error on the held-out training frames; None without such frames.
        epoch_rule: how the epoch was chosen, one of `conditions.EPOCH_RULES`; None = nobody says.
        fingerprint: SHA-256 of the tables of that store (`store.fingerprint`); None = nobody says.
        center_method: of the centres of the training frames; None = nobody says.
        cube_rule: the sides of their cubes, as text; None = nobody says.
        localizer: "name" and "sha256" of the localiser whose centres its crops were or are to be made around
            (`data.localization`); None = none.
        versions: of handbench, libraries and Python that wrote it, by name.
    """

    config: TrainConfig
    dataset: str
    joints: tuple[str, ...]
    store: Mapping[str, Any]
    epoch: int
    validation_error_mm: float | None
    epoch_rule: str | None = None
    fingerprint: str | None = None
    center_method: str | None = None
    cube_rule: str | None = None
    localizer: Mapping[str, str] | None = None
    versions: Mapping[str, str] = field(default_factory=versions)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` is its inverse."""
        table = {**asdict(self), "config": config_to_dict(self.config), "format": FORMAT}
        plain: dict[str, Any] = without_nan(table)
        return plain

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Card:
        """A card from what `to_dict` gave, also after a trip through JSON.

        Raises:
            HandbenchError: if it is of a newer format, or no card.
        """
        found = table.get("format")
        if isinstance(found, int) and found > FORMAT:
            raise HandbenchError(f"the card has format {found}, this handbench reads up to {FORMAT}: upgrade handbench")
        try:
            values = {key: value for key, value in table.items() if key != "format"}
            if "version" in values:  # format 1
                values["versions"] = {"handbench": values.pop("version")}
            config, joints = config_from_dict(values["config"]), tuple(map(str, values["joints"]))
            return cls(**{**values, "config": config, "joints": joints})
        except (KeyError, TypeError, AttributeError) as error:
            raise HandbenchError(f"the card is damaged ({error!r})") from error


def save_checkpoint(path: Path, model: PoseNetwork, card: Card) -> None:
    """Write weights and card, whole or not at all; an older file of that name is replaced."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with whole_or_nothing(path) as partial:
        # Not save_file, which makes files that nobody else in a group may read.
        partial.write_bytes(to_bytes(weights, metadata={_CARD_KEY: json.dumps(card.to_dict())}))


def read_card(path: Path) -> Card:
    """The card alone; no weights are read.

    Raises:
        HandbenchError: if the file is missing, damaged, or not a checkpoint of handbench.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    if _CARD_KEY not in metadata:
        raise HandbenchError(f"{path} holds weights but no card of handbench; checkpoints come from `handbench train`")
    try:
        return Card.from_dict(json.loads(metadata[_CARD_KEY]))
    except (json.JSONDecodeError, AttributeError, HandbenchError) as error:
        raise HandbenchError(f"{path}: {error}") from error


def load_checkpoint(path: Path, device: torch.device) -> tuple[PoseNetwork, Card]:
    """The model, ready to predict, and its card.

    Raises:
        HandbenchError: if the file is missing, damaged, not a checkpoint of handbench, or its weights are not those of
            the model that its card describes.
    """
    card = read_card(path)
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    model = build_model(card.config.model, len(card.joints))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise HandbenchError(f"{path}: the weights are not those of the model that the card describes") from error
    return model.to(device).eval(), card


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_joints(card: Card, joints: tuple[str, ...], dataset: str, path: Path) -> None:
    """Refuse a checkpoint that predicts other joints than those of a store.

    Raises:
        HandbenchError: naming both.
    """
    if card.joints != joints:
        raise HandbenchError(
            f"{path} predicts {len(card.joints)} joints of {card.dataset} ({_short(card.joints)}), the store has "
            f"{len(joints)} of {dataset} ({_short(joints)}); use a checkpoint trained on {dataset}"
        )


def _short(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _unreadable(path: Path, error: Exception) -> HandbenchError:
    if not path.is_file():
        return HandbenchError(f"there is no checkpoint {path}")
    return HandbenchError(f"{path} is damaged or not a safetensors file ({error})")
