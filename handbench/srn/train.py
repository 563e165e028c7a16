"""Training: a plain loop that can be stopped at any time and gone on with, bit for bit the same on the CPU.

Nothing random is carried from one epoch to the next: the order of the frames depends on (seed, epoch), the random
boxes on (seed, epoch, row), and the network has no dropout. So `--resume` needs weights and momentum, and no state of
a random number generator.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.tensorboard import SummaryWriter

from handbench.console import note, progress
from handbench.errors import HandbenchError
from handbench.loading import EpochOrder, HandDataset, Sample, stored_box
from handbench.preprocess import HandBox
from handbench.scores import joint_error
from handbench.srn.checkpoint import Card, save_checkpoint
from handbench.srn.config import OptimConfig, TrainConfig
from handbench.srn.data import batches, choose_rows
from handbench.srn.loss import stage_losses
from handbench.srn.model import PoseNetwork, build_model
from handbench.srn.predict import predict_xyz
from handbench.srn.run import Epoch, RunFolder
from handbench.srn.target import point_names, targets, true_xyz
from handbench.store import Store


@dataclass
class Training:
    """What changes from epoch to epoch."""

    model: PoseNetwork
    optimizer: torch.optim.SGD
    log: list[Epoch] = field(default_factory=list)


@dataclass(frozen=True)
class Frames:
    """What a run learns from and is watched on: frames of the split `data.split`.

    Attributes:
        store: where they are.
        order: the frames to train on, in the order of the epoch that is set there.
        batches: of them, augmented.
        held_out: batches of the others, upright.
        held_out_box: the boxes of the others, a batch.
        held_out_xyz: (frames, P, 3) mm, the points that are to be found in them.
    """

    store: Store
    order: EpochOrder
    batches: Iterable[Sample]
    held_out: Iterable[Sample]
    held_out_box: HandBox[npt.NDArray[Any]]
    held_out_xyz: npt.NDArray[Any]


def train(
    store_path: Path,
    run: RunFolder,
    config: TrainConfig,
    device: torch.device,
    resume: bool = False,
    overwrite: bool = False,
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

    Returns:
        The log, with the epochs of earlier calls.

    Raises:
        HandbenchError: as `choose_rows`; if the store is not the one that the run began with, the folder exists and
            neither `resume` nor `overwrite` is set, or the loss is no longer finite.
    """
    frames = choose_frames(store_path, config, device)
    training = start(config, frames.held_out_xyz.shape[1], device)
    if resume:
        go_on(training, run, frames.store)
        run.write_config(config)
    else:
        run.create(config, overwrite)
    done, last = len(training.log), config.optim.epochs
    note(
        f"{len(frames.order)} frames to train on, {len(frames.held_out_xyz)} held out, "
        f"{sum(p.numel() for p in training.model.parameters()):,} parameters, device {device.type}"
    )
    with SummaryWriter(str(run.path), purge_step=done + 1) as writer:
        for number in range(done + 1, last + 1):
            with progress(f"epoch {number}/{last}", len(frames.order), "frames") as advance:
                epoch = one_epoch(training, frames, config.optim, number, device, advance)
            training.log.append(epoch)
            save(training, run, frames.store, config)
            report(epoch, last, writer)
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


def choose_frames(store_path: Path, config: TrainConfig, device: torch.device) -> Frames:
    """The labelled frames of the split to train on, some of them held out.

    Raises:
        HandbenchError: as `choose_rows`.
    """
    store, data = Store(store_path), config.data
    rows, held_out = choose_rows(store, config)
    split, scored = store[data.split], list(store.spec.joints.scored)
    size, batch_size = config.model.crop_size, config.optim.batch_size
    augmented = HandDataset(store_path, data.split, size, rows, config.augment, config.seed, data.cache)
    upright = HandDataset(store_path, data.split, size, held_out, cache=data.cache)
    order = EpochOrder(rows, config.seed)
    return Frames(
        store,
        order,
        batches(augmented, order, batch_size, data.workers, device),
        batches(upright, None, batch_size, data.workers, device),
        stored_box(split, held_out),
        true_xyz(split.joints_xyz[held_out][:, scored], config.model),
    )


def start(config: TrainConfig, points: int, device: torch.device) -> Training:
    """The first weights, which depend on the seed alone, and the optimiser."""
    torch.manual_seed(config.seed)
    model = build_model(config.model, points).to(device)
    optim = config.optim
    optimizer = torch.optim.SGD(
        model.parameters(), lr=optim.lr, momentum=optim.momentum, weight_decay=optim.weight_decay
    )
    return Training(model, optimizer)


def one_epoch(
    training: Training,
    frames: Frames,
    optim: OptimConfig,
    number: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> Epoch:
    """Train over all frames once, then look at the held-out ones."""
    began = time.monotonic()
    frames.order.epoch = number
    losses, bad_step = step_through(training, frames.batches, optim, number, len(frames.order), device, advance)
    error = validation_error(training.model, frames, device) if bad_step is None else None
    if bad_step is not None:
        raise HandbenchError(f"the loss of epoch {number} is not finite, from step {bad_step} on; {_calm(optim)}")
    if error is not None and not math.isfinite(error):
        raise HandbenchError(f"the validation error after epoch {number} is not finite; {_calm(optim)}")
    return Epoch(number, optim.lr_at(number), sum(losses), losses, error, round(time.monotonic() - began, 3))


def _calm(optim: OptimConfig) -> str:
    return (
        f"lower optim.lr, which is {optim.lr}, or set optim.clip_norm; "
        "the folder keeps the checkpoints of the epoch before"
    )


def step_through(
    training: Training,
    loader: Iterable[Sample],
    optim: OptimConfig,
    epoch: int,
    frames: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> tuple[tuple[float, ...], int | None]:
    """One step of the optimiser for each batch.

    Args:
        training: what changes.
        loader: batches.
        optim: of the run.
        epoch: its number, from 1.
        frames: how many the loader has.
        device: of the model.
        advance: told the number of frames after every batch.

    Returns:
        The mean loss of each stage over the frames, unweighted; and the first step whose loss was not finite, from 1.
    """
    training.model.train()
    total, count = torch.zeros(training.model.config.stages, device=device), 0
    good = torch.zeros((), dtype=torch.int64, device=device)  # steps before the first bad one; read once, at the end
    for batch in loader:
        depth = batch["depth"].to(device, non_blocking=True)
        target = targets(batch, training.model.config).to(device, non_blocking=True)
        losses = stage_losses(training.model(depth), target, optim.loss)
        training.optimizer.zero_grad()
        (optim.loss_weight * losses.sum()).backward()  # type: ignore[no-untyped-call]  # torch leaves backward() untyped
        if optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(training.model.parameters(), optim.clip_norm)
        total += losses.detach() * len(depth)
        good += total.isfinite().all()
        count += len(depth)
        for group in training.optimizer.param_groups:
            group["lr"] = optim.lr_at(epoch, count / frames)
        training.optimizer.step()
        advance(len(depth))
    means = tuple((total / count).tolist())
    return means, None if all(map(math.isfinite, means)) else int(good) + 1


def validation_error(model: PoseNetwork, frames: Frames, device: torch.device) -> float | None:
    """Mean error of the held-out frames over their labelled points, mm; None without such frames."""
    if not len(frames.held_out_xyz):
        return None
    pred_xyz = predict_xyz(model.eval(), frames.held_out, frames.held_out_box, device)
    labelled = np.isfinite(frames.held_out_xyz).all(axis=-1)
    return float(joint_error(pred_xyz, frames.held_out_xyz)[labelled].mean())


def save(training: Training, run: RunFolder, store: Store, config: TrainConfig) -> None:
    """Leave the folder so that it can be used and gone on with; the state to resume from is written last."""
    epoch = training.log[-1]
    card = Card(
        config,
        store.spec.name,
        point_names(store, config.model),
        store.provenance,
        epoch.epoch,
        epoch.validation_error_mm,
    )
    if best_epoch(training.log) is epoch:
        save_checkpoint(run.checkpoint("best"), training.model, card)
    save_checkpoint(run.checkpoint("last"), training.model, card)
    run.write_log(training.log)
    run.save_state(
        {
            "store": _identity(store),
            "model": training.model.state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "log": [asdict(epoch) for epoch in training.log],
        }
    )


def go_on(training: Training, run: RunFolder, store: Store) -> None:
    """Take up what `save` left, if anything.

    Raises:
        HandbenchError: if the run began with another store, or its state is damaged.
    """
    state = run.load_state()
    if state is None:
        return
    try:
        if state["store"] != _identity(store):
            raise HandbenchError(f"{run.path} was trained on another store; go on with that one, or start another run")
        training.model.load_state_dict(state["model"])
        training.optimizer.load_state_dict(state["optimizer"])
        training.log = [Epoch(**{**line, "stage_loss": tuple(line["stage_loss"])}) for line in state["log"]]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise HandbenchError(f"{run.resume} does not fit {run.config}; start again with --overwrite") from error


def best_epoch(log: list[Epoch]) -> Epoch | None:
    """The first epoch with the smallest validation error; None if none was measured."""
    measured = [
        (epoch.validation_error_mm, epoch.epoch, epoch) for epoch in log if epoch.validation_error_mm is not None
    ]
    return min(measured)[2] if measured else None


def report(epoch: Epoch, last: int, writer: SummaryWriter) -> None:
    """Say it to the person and to TensorBoard."""
    error = epoch.validation_error_mm
    watched = "" if error is None else f"  validation {error:.2f} mm"
    note(f"epoch {epoch.epoch}/{last}  lr {epoch.lr:g}  loss {epoch.loss:.4f}{watched}  {epoch.seconds:.1f} s")
    scalars = {"lr": epoch.lr, "loss/sum": epoch.loss, "seconds": epoch.seconds}
    scalars |= {f"loss/stage_{i}": loss for i, loss in enumerate(epoch.stage_loss, start=1)}
    if error is not None:
        scalars["validation/mean_error_mm"] = error
    for name, value in scalars.items():
        writer.add_scalar(name, value, epoch.epoch)
    writer.flush()


def _identity(store: Store) -> str:
    """What tells one store from another: where it comes from, as text."""
    return json.dumps([store.spec.name, store.provenance], sort_keys=True, default=str)
