"""The folder of a training run.

    config.toml         what was asked for, complete
    last.safetensors    weights after the last epoch
    best.safetensors    weights after the epoch with the smallest validation error
    localizer.safetensors  the localiser of its crops, if any
    resume.pt           all that `--resume` needs
    log.jsonl           one line an epoch
    events.out.*        TensorBoard

Every file but TensorBoard's appears whole or not at all.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from handbench.console import claim_output, remove, whole_or_nothing
from handbench.errors import HandbenchError
from handbench.srn.config import TrainConfig, config_to_dict, config_to_toml, load_config, with_sets
from handbench.srn.presets import flat_settings

CHECKPOINTS = ("last", "best")
MAY_CHANGE = ("optim.epochs", "data.cache", "data.workers", "data.resident", "compute.compile")
"""Keys that may be set on `--resume`: they leave the epochs before as they were."""

RESUME = ("required", "auto")
"""Go on with the run that is there, which must be; or start one if there is none."""


@dataclass(frozen=True)
class Epoch:
    """One line of the log.

    Attributes:
        epoch: from 1.
        lr: learning rate.
        loss: mean over the training frames of the loss summed over stages (SRN Eq. 5), not weighted.
        stage_loss: the same for each stage.
        validation_error_mm: mean error on the held-out frames; None without such frames.
        seconds: wall time.
    """

    epoch: int
    lr: float
    loss: float
    stage_loss: tuple[float, ...]
    validation_error_mm: float | None
    seconds: float


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path

    @property
    def config(self) -> Path:
        """The TOML file of the whole configuration."""
        return self.path / "config.toml"

    @property
    def resume(self) -> Path:
        """Weights, optimiser and log, after the last whole epoch or the step that a run was stopped at."""
        return self.path / "resume.pt"

    @property
    def localizer(self) -> Path:
        """The run's copy of the localiser that it was trained with, if any."""
        return self.path / "localizer.safetensors"

    def checkpoint(self, which: str) -> Path:
        """The file of the checkpoint "last" or "best"."""
        return self.path / f"{which}.safetensors"

    @property
    def is_run(self) -> bool:
        """Whether a run has begun here."""
        return self.config.is_file()

    def require_room(self, overwrite: bool) -> None:
        """Refuse a path that is taken. Nothing is written; an empty folder is no hindrance.

        Raises:
            HandbenchError: if there is something and `overwrite` is not set, or it is something else than a run.
        """
        empty = self.path.is_dir() and not any(self.path.iterdir())
        if self.path.exists() and not (overwrite or empty):
            raise HandbenchError(
                f"{self.path} exists already; name another output, or pass --resume to go on with that run, "
                "or --overwrite to start again"
            )
        claim_output(self.path, overwrite=True)
        if self.path.exists() and not (empty or self.is_run):
            raise HandbenchError(f"{self.path} is not the folder of a run, it will not be replaced")

    def create(self, config: TrainConfig, overwrite: bool) -> None:
        """Make the folder and write the configuration.

        Raises:
            HandbenchError: as `require_room`.
        """
        self.require_room(overwrite)
        remove(self.path)
        self.path.mkdir()
        self.write_config(config)

    def write_config(self, config: TrainConfig) -> None:
        """The whole configuration as TOML, fit for `--config`."""
        with whole_or_nothing(self.config) as partial:
            partial.write_text(config_to_toml(config), encoding="utf-8")

    def write_log(self, log: Sequence[Epoch]) -> None:
        """One line of JSON an epoch."""
        with whole_or_nothing(self.path / "log.jsonl") as partial:
            partial.write_text("".join(json.dumps(asdict(epoch)) + "\n" for epoch in log), encoding="utf-8")

    def save_state(self, state: dict[str, Any]) -> None:
        """Write tensors and plain data for `--resume`."""
        with whole_or_nothing(self.resume) as partial:
            torch.save(state, partial)

    def load_state(self) -> dict[str, Any] | None:
        """What `save_state` wrote; None if nothing has been saved. Nothing in the file is executed.

        Raises:
            HandbenchError: if the file is damaged.
        """
        if not self.resume.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(self.resume, map_location="cpu", weights_only=True)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise HandbenchError(f"{self.resume} is damaged; start again with --overwrite") from error
        return state


def resolve_config(
    run: RunFolder,
    preset: str | None,
    file: Path | None,
    sets: Sequence[str],
    resume: str | None,
    overwrite: bool,
    default: str = "paper-nyu",
) -> tuple[TrainConfig, bool]:
    """The configuration that the options ask for, and whether to go on with the run that is there.

    Args:
        run: the folder.
        preset: name of a preset.
        file: a TOML file instead.
        sets: single values over it.
        resume: one of `RESUME`, or None.
        overwrite: replace the run that is there.
        default: the preset of a run that starts where none is named.

    Raises:
        HandbenchError: if options contradict each other, there is no run to go on with, it is one of another
            configuration, or as `load_config`.
    """
    if resume and overwrite:
        raise HandbenchError("--resume goes on with a run and --overwrite starts it again; give one of them")
    if resume == "required" and not run.is_run:
        raise HandbenchError(f"{run.path} is not the folder of a run; leave out --resume to start one")
    if not (resume and run.is_run):
        return load_config(preset or (None if file else default), file, sets), False
    began = load_config(file=run.config)
    asked = with_sets(began, sets) if preset is None and file is None else load_config(preset, file, sets)
    _require_same(run, began, asked)
    return asked, True


def _require_same(run: RunFolder, began: TrainConfig, asked: TrainConfig) -> None:
    """Refuse to go on with another configuration, but for keys that `MAY_CHANGE`.

    Raises:
        HandbenchError: naming the keys and both values.
    """
    old, new = (flat_settings(config_to_dict(config)) for config in (began, asked))
    other = [f"{key} = {json.dumps(old[key])}, not {json.dumps(new[key])}" for key in old if old[key] != new[key]]
    other = [text for text in other if text.partition(" ")[0] not in MAY_CHANGE]
    if other:
        more = f" and {len(other) - 3} keys more" if len(other) > 3 else ""
        raise HandbenchError(
            f"{run.path} is a run with {'; '.join(other[:3])}{more}: --resume cannot change that, only "
            f"{', '.join(MAY_CHANGE)}; start another run"
        )
