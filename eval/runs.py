"""Training runs that a study is made of: begun, gone on with or left alone, whichever is due.

Nothing here imports torch before there is something to train.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from handbench.console import note
from handbench.errors import HandbenchError
from handbench.srn.config import TrainConfig, config_to_dict, load_config, with_sets
from handbench.srn.presets import flat_settings

_NO_EFFECT = ("data.cache", "data.workers", "compute.compile")  # on what comes out


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """All of a configuration that bears on the result, "table.key" to value.

    Of a localiser the name: a run keeps its own copy, and may come from another machine.
    """
    settings = flat_settings(config_to_dict(config))
    settings["data.localizer"] = Path(config.data.localizer).name
    return {key: value for key, value in settings.items() if key not in _NO_EFFECT}


def require_same_run(folder: Path, config: TrainConfig) -> None:
    """Refuse the folder of a run that began with another configuration; one that is not there yet will do.

    Raises:
        HandbenchError: naming the first setting that differs.
    """
    file = folder / "config.toml"
    if not file.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise HandbenchError(f"{folder} is not the folder of a run; name another --out")
        return
    began, asked = settings_of(load_config(file=file)), settings_of(config)
    if changed := [key for key in asked if began.get(key) != asked[key]]:
        key = changed[0]
        raise HandbenchError(
            f"{folder} began with {key} = {began.get(key)!r}, now it is {asked[key]!r}; name another --out, or remove "
            "that folder"
        )


def is_trained(folder: Path, config: TrainConfig) -> bool:
    """Whether the run has seen its last epoch."""
    log = folder / "log.jsonl"  # written after the checkpoints of an epoch
    return log.is_file() and len(log.read_text(encoding="utf-8").splitlines()) >= config.optim.epochs


def train_to_the_end(store: Path, folder: Path, config: TrainConfig, device: str) -> None:
    """Train from where the folder stands; nothing happens if the run is done.

    Args:
        store: to train on.
        folder: of the run, which may be there or not.
        config: of the run.
        device: "auto", "cpu" or "cuda".

    Raises:
        HandbenchError: as `require_same_run` and `handbench.srn.train.train`.
    """
    require_same_run(folder, config)
    if is_trained(folder, config):
        return
    from handbench.srn.predict import choose_device
    from handbench.srn.run import RunFolder
    from handbench.srn.train import train

    began = (folder / "config.toml").is_file()
    note(f"{'going on with' if began else 'training'} {folder}")
    train(
        store, RunFolder(folder), config, choose_device(device), resume=began, overwrite=folder.exists() and not began
    )


def localizer_config(config: TrainConfig, sets: Sequence[str] = ()) -> TrainConfig:
    """The configuration of the localiser that goes with runs: trained on the same frames, from the same seed.

    Args:
        config: of one of the runs.
        sets: "table.key=value" each, over the preset "localizer".

    Raises:
        HandbenchError: as `load_config`.
    """
    preset = load_config("localizer")
    frames = replace(preset.data, split=config.data.split, exclude_subjects=config.data.exclude_subjects)
    return with_sets(replace(preset, seed=config.seed, data=frames), sets)
