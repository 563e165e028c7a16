"""The folder of a training run.

    config.toml         what was asked for, complete
    last.safetensors    weights after the last epoch
    best.safetensors    weights after the epoch with the smallest validation error
    resume.pt           all that `--resume` needs
    log.jsonl           one line an epoch
    events.out.*        TensorBoard

Every file but TensorBoard's appears whole or not at all.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from handbench.console import claim_output, whole_or_nothing
from handbench.errors import HandbenchError
from handbench.srn.config import TrainConfig, config_to_toml, load_config, with_sets

CHECKPOINTS = ("last", "best")
MAY_CHANGE = ("optim.epochs", "data.cache", "data.workers")
"""Keys that may be set on `--resume`: they leave the epochs before as they were."""


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
        """Weights, optimiser and log after the last whole epoch."""
        return self.path / "resume.pt"

    def checkpoint(self, which: str) -> Path:
        """The file of the checkpoint "last" or "best"."""
        return self.path / f"{which}.safetensors"

    def create(self, config: TrainConfig, overwrite: bool) -> None:
        """Make the folder and write the configuration.

        Raises:
            HandbenchError: if the path exists and `overwrite` is not set, or it is something else than a run.
        """
        if self.path.exists() and not overwrite:
            raise HandbenchError(
                f"{self.path} exists already; name another output, or pass --resume to go on with that run, "
                "or --overwrite to start again"
            )
        claim_output(self.path, overwrite)
        if self.path.exists():
            if not self.config.is_file() and any(self.path.iterdir() if self.path.is_dir() else [self.path]):
                raise HandbenchError(f"{self.path} is not the folder of a run, it will not be replaced")
            shutil.rmtree(self.path)
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
        """What `save_state` wrote; None before the first whole epoch. Nothing in the file is executed.

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
    run: RunFolder, preset: str | None, file: Path | None, sets: Sequence[str], resume: bool, overwrite: bool
) -> TrainConfig:
    """The configuration that the options ask for. Nothing is written.

    Raises:
        HandbenchError: if options contradict each other, there is no run to go on with, or as `load_config`.
    """
    if not resume:
        return load_config(preset, file, sets)
    if preset is not None or file is not None or overwrite:
        raise HandbenchError("--resume goes on as the run began; leave out --preset, --config and --overwrite")
    if not run.config.is_file():
        raise HandbenchError(f"{run.path} is not the folder of a run; leave out --resume to start one")
    for text in sets:
        if (key := text.partition("=")[0].strip()) not in MAY_CHANGE:
            raise HandbenchError(f"--resume cannot change {key}, only {', '.join(MAY_CHANGE)}; start another run")
    return with_sets(load_config(file=run.config), sets)
