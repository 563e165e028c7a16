"""Training: a plain loop that can be stopped at any step and gone on with, bit for bit the same on the CPU.

Nothing random is carried from one epoch to the next: the order of the frames depends on (seed, epoch), the random
boxes on (seed, epoch, row), and the network has no dropout. So `--resume` needs weights and momentum, the place within
the epoch with what was summed so far, and no state of a random number generator.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from handbench.console import note, progress
from handbench.errors import HandbenchError
from handbench.scores import joint_error
from handbench.srn.checkpoint import Card, save_checkpoint
from handbench.srn.config import TrainConfig
from handbench.srn.distributed import Processes
from handbench.srn.frames import Frames, choose_frames
from handbench.srn.inference import predict_xyz
from handbench.srn.recenter import keep_localizer
from handbench.srn.run import Epoch, RunFolder
from handbench.srn.steps import Learner, Sums, how_to_calm, mean_losses, require_finite, through_epoch
from handbench.srn.stopping import Stopped, StopRequest, stop_on_signals
from handbench.srn.target import point_names
from handbench.srn.watch import report, show_crops
from handbench.store import Store


@dataclass
class Training:
    """A run in memory.

    Attributes:
        learner: the network and its optimiser.
        frames: what it learns from.
        log: the epochs that are done.
        sums: of the epoch in hand.
    """

    learner: Learner
    frames: Frames
    sums: Sums
    log: list[Epoch] = field(default_factory=list)

    @classmethod
    def start(
        cls,
        store_path: Path,
        config: TrainConfig,
        device: torch.device,
        together: Processes | None = None,
        run: RunFolder | None = None,
    ) -> Training:
        """Before the first step; `run` is the folder to go on with, None = a new run.

        Raises:
            HandbenchError: as `choose_frames`, or if the network cannot be made.
        """
        frames = choose_frames(store_path, config, device, together, run)
        learner = Learner.start(config, len(point_names(frames.store, config.model)), device, together)
        return cls(learner, frames, Sums.zero(config.model.stages, device))


def train(
    store_path: Path,
    run: RunFolder,
    config: TrainConfig,
    device: torch.device,
    resume: bool = False,
    overwrite: bool = False,
    together: Processes | None = None,
) -> list[Epoch]:
    """Train from where the run stands to the last epoch of the configuration.

    After every epoch the folder holds `last`, `best`, the log and all that is needed to go on. The test split is never
    read.

    Args:
        store_path: a store with the split `data.split`.
        run: the folder.
        config: of the run.
        device: where the network runs.
        resume: go on with the run that is in the folder.
        overwrite: replace the run that is in the folder.
        together: the processes that train; None = this one alone.

    Returns:
        The log, with the epochs of earlier calls.

    Raises:
        HandbenchError: as `choose_frames`; if the store is not the one that the run began with, the folder exists and
            neither `resume` nor `overwrite` is set, memory is used up, or the loss is no longer finite.
        Stopped: when a signal has asked for it, with everything saved up to the step in hand.
    """
    together = together or Processes()
    if not resume:
        run.require_room(overwrite)
    training = Training.start(store_path, config, together.device(device), together, run if resume else None)
    if resume:
        go_on(training, run)
    together.wait()  # all have looked, before the first one writes
    if not together.is_first:
        return _epochs(training, run, None)
    if resume:
        run.write_config(config)
    else:
        run.create(config, overwrite)
    keep_localizer(training.frames.localizer, run)
    _say_what(training)
    with SummaryWriter(str(run.path), purge_step=len(training.log) + 1) as writer:
        return _epochs(training, run, writer)


def _epochs(training: Training, run: RunFolder, writer: SummaryWriter | None) -> list[Epoch]:
    """All that is left; the first process saves and reports each."""
    last, is_first = training.learner.config.optim.epochs, training.learner.together.is_first
    with stop_on_signals(say=is_first) as stop:
        for number in range(len(training.log) + 1, last + 1):
            with _bar(f"epoch {number}/{last}", len(training.frames), is_first) as advance:
                epoch = one_epoch(training, run, number, stop, advance)
            training.log.append(epoch)
            training.sums = Sums.zero(len(epoch.stage_loss), training.learner.device)
            if writer is not None:
                save(training, run)
                report(epoch, last, writer)
                show_crops(training.learner.model, training.frames.watched, number, writer)
    return training.log


def summary(log: list[Epoch]) -> str:
    """One line about a run: its last epoch, and the one with the smallest validation error."""
    last, best = log[-1], best_epoch(log)
    if best is None:
        return f"{last.epoch} epochs, loss {last.loss:.4f}, no frames held out"
    return (
        f"{last.epoch} epochs, validation {last.validation_error_mm:.2f} mm; "
        f"best {best.validation_error_mm:.2f} mm after epoch {best.epoch}"
    )


def one_epoch(
    training: Training, run: RunFolder, number: int, stop: StopRequest, advance: Callable[[int], None]
) -> Epoch:
    """Train over the frames that are left of an epoch, then look at the held-out ones.

    Raises:
        HandbenchError: if the loss or the validation error is not finite.
        Stopped: when somebody has asked for it, with everything saved.
    """
    learner, frames, sums = training.learner, training.frames, training.sums
    began, before = time.monotonic(), sums.seconds
    whole = through_epoch(learner, sums, frames.batches, frames.order, number, stop, advance)
    require_finite(sums, learner, number)
    error: float | None = None
    if whole and learner.together.is_first:
        try:
            error = validation_error(training, stop)
        except Stopped:
            whole = False
    sums.seconds = before + time.monotonic() - began
    if learner.together.any(not whole):
        _stop(training, run, number)
    if error is not None and not math.isfinite(error):
        raise HandbenchError(
            f"the validation error after epoch {number} is not finite; {how_to_calm(learner.config.optim.lr)}"
        )
    losses = mean_losses(sums, learner.together)
    return Epoch(number, learner.config.optim.lr_at(number), sum(losses), losses, error, round(sums.seconds, 3))


def validation_error(training: Training, stop: StopRequest | None = None) -> float | None:
    """Mean error of the held-out frames over their labelled points, mm; None without such frames.

    Raises:
        Stopped: when somebody has asked for it.
    """
    frames, learner = training.frames, training.learner
    if not len(frames.held_out_xyz):
        return None

    def look(count: int) -> None:
        if stop is not None and stop.asked:
            raise Stopped

    pred_xyz = predict_xyz(learner.model.eval(), frames.held_out, frames.held_out_box, learner.device, look)
    labelled = np.isfinite(frames.held_out_xyz).all(axis=-1)
    return float(joint_error(pred_xyz, frames.held_out_xyz)[labelled].mean())


def save(training: Training, run: RunFolder) -> None:
    """Leave the folder so that it can be used and gone on with; the state to resume from is written last."""
    model = training.learner.model
    if best_epoch(training.log) is training.log[-1]:
        save_checkpoint(run.checkpoint("best"), model, card_of(training, "val"))
    save_checkpoint(run.checkpoint("last"), model, card_of(training, "last"))
    run.write_log(training.log)
    run.save_state(_state(training))


def card_of(training: Training, epoch_rule: str) -> Card:
    """What the weights after the epoch that is done are, chosen by one of `conditions.EPOCH_RULES`."""
    epoch, frames, config = training.log[-1], training.frames, training.learner.config
    store, names = frames.store, point_names(frames.store, config.model)
    return Card(
        config,
        store.spec.name,
        names,
        store.provenance,
        epoch.epoch,
        epoch.validation_error_mm,
        epoch_rule,
        frames.fingerprint,
        frames.center_method,
        frames.cube_rule,
        frames.localizer.facts() if frames.localizer else None,
    )


def _state(training: Training) -> dict[str, Any]:
    """What `go_on` takes up between two epochs."""
    return {
        "store": _identity(training.frames.store),
        "fingerprint": training.frames.fingerprint,
        "model": training.learner.model.state_dict(),
        "optimizer": training.learner.optimizer.state_dict(),
        "log": [asdict(epoch) for epoch in training.log],
    }


def go_on(training: Training, run: RunFolder) -> None:
    """Take up what `save`, or a stop in the middle of an epoch, has left, if anything.

    Raises:
        HandbenchError: if the run began with another store, or its state is damaged.
    """
    state = run.load_state()
    if state is None:
        return
    learner, frames = training.learner, training.frames
    try:
        same = state["store"] == _identity(frames.store)
        if not same or state.get("fingerprint", frames.fingerprint) != frames.fingerprint:
            raise HandbenchError(
                f"{run.path} was trained on another store, or labels or centres of this one have changed since; "
                "go on with that one, or start another run"
            )
        learner.model.load_state_dict(state["model"])
        learner.optimizer.load_state_dict(state["optimizer"])
        training.log = [Epoch(**{**line, "stage_loss": tuple(line["stage_loss"])}) for line in state["log"]]
        if "sums" in state:
            training.sums = Sums.from_dict(state["sums"], learner.together, learner.device)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise HandbenchError(f"{run.resume} does not fit {run.config}; start again with --overwrite") from error


def best_epoch(log: list[Epoch]) -> Epoch | None:
    """The first epoch with the smallest validation error; None if none was measured."""
    measured = [
        (epoch.validation_error_mm, epoch.epoch, epoch) for epoch in log if epoch.validation_error_mm is not None
    ]
    return min(measured)[2] if measured else None


def _stop(training: Training, run: RunFolder, number: int) -> NoReturn:
    """Save the epoch in hand and end. All processes must call it.

    Raises:
        Stopped: always.
    """
    together = training.learner.together
    sums = training.sums.to_dict(together)
    if together.is_first:
        run.save_state({**_state(training), "sums": sums})
    together.wait()  # whoever ends first has the others ended
    raise Stopped(f"after step {training.sums.steps} of epoch {number}")


def _say_what(training: Training) -> None:
    learner, frames = training.learner, training.frames
    parts = [
        f"{len(frames)} frames to train on, {len(frames.held_out_xyz)} held out",
        f"{sum(p.numel() for p in learner.model.parameters()):,} parameters",
        f"device {learner.device.type}",
    ]
    if learner.together.count > 1:
        parts.append(f"{learner.together.count} processes")
    note(", ".join(parts))


@contextmanager
def _bar(description: str, total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar over frames; none in processes that print nothing."""
    if not shown:
        yield lambda count: None
        return
    with progress(description, total, "frames") as advance:
        yield advance


def _identity(store: Store) -> str:
    """What tells one store from another: where it comes from, as text."""
    return json.dumps([store.spec.name, store.provenance], sort_keys=True, default=str)
