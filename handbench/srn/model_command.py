"""`handbench model`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from handbench.console import claim_output, echo_json, json_option, overwrite_option
from handbench.errors import HandbenchError
from handbench.srn.command import require_train_extra

if TYPE_CHECKING:
    from handbench.srn.checkpoint import Card


@click.group()
def model() -> None:
    """Look at a network, or take one in from the authors' released code."""


@model.command()
@click.argument("checkpoint", required=False, type=click.Path(path_type=Path))
@click.option("--preset", help="A configuration of handbench instead of a checkpoint.")
@click.option("--joints", type=click.IntRange(min=1), default=14, show_default=True, help="With --preset: J.")
@json_option
def info(checkpoint: Path | None, preset: str | None, joints: int, as_json: bool) -> None:
    """Say what a CHECKPOINT of `handbench train` is, and what it costs.

    Floating-point operations are those of one crop, a multiplication and an addition being two.
    """
    require_train_extra()
    from handbench.srn.checkpoint import read_card
    from handbench.srn.config import config_to_dict, load_config
    from handbench.srn.cost import cost_of

    if (checkpoint is None) == (preset is None):
        raise HandbenchError("name a checkpoint file or a --preset, one of them")
    if checkpoint is not None:
        card = read_card(checkpoint)
        config, count, facts = card.config, len(card.joints), _facts(card)
    else:
        config, facts = load_config(preset=preset), {"preset": preset}
        count = joints if config.model.predicts == "joints" else 1
    cost = cost_of(config.model, count)
    costs = {"joints": count, "parameters": cost.parameters, "flops": cost.flops}
    table = {**facts, **costs, **config_to_dict(config)}
    if as_json:
        echo_json(table)
        return
    for name, value in table.items():
        click.echo(f"{name:20} {_text(value)}")


@model.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The checkpoint, .safetensors.")
@click.option("--dataset", "dataset_name", required=True, help="What it was trained on: nyu, icvl, msra or hands17.")
@overwrite_option
def import_(source: Path, out: Path, dataset_name: str, overwrite: bool) -> None:
    """Turn a state dict of the authors' released code (.pth) into a checkpoint.

    `handbench predict` takes it. Nothing in SOURCE is executed.
    """
    require_train_extra()
    from handbench.srn.released import import_released

    if out.suffix != ".safetensors":
        raise HandbenchError(f"checkpoints are written as .safetensors, not as {out.name}")
    claim_output(out, overwrite)
    card = import_released(source, out, dataset_name)
    config = card.config.model
    click.echo(f"{out}: {config.stages} stages on {config.backbone}, {len(card.joints)} joints of {card.dataset}")


def _facts(card: Card) -> dict[str, Any]:
    return {
        "dataset": card.dataset,
        "epoch": card.epoch,
        "epoch_rule": card.epoch_rule,
        "validation_error_mm": card.validation_error_mm,
        "center_method": card.center_method,
        "localizer": card.localizer,
        "cube_rule": card.cube_rule,
        "fingerprint": card.fingerprint,
        "store": dict(card.store),
        "versions": dict(card.versions),
        "joint_names": ", ".join(card.joints),
    }


def _text(value: Any) -> str:
    """A value for people: tables in one line, whole numbers with commas."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_inner(item)}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) else _inner(value)


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_text(value)})"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inner, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "not stated" if value is None else str(value) or '""'
