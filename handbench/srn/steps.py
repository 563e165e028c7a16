"""Steps of the optimiser, one for each batch, and what is summed of an epoch on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn
from torch._dynamo.exc import TorchDynamoException

from handbench.errors import HandbenchError
from handbench.loading import BatchOrder, Sample
from handbench.srn.config import TrainConfig
from handbench.srn.distributed import Processes
from handbench.srn.loss import stage_losses
from handbench.srn.memory import advice, batch_that_fits, is_out_of_memory
from handbench.srn.model import PoseNetwork, build_model
from handbench.srn.stopping import StopRequest
from handbench.srn.target import targets


@dataclass
class Sums:
    """What has been summed of the epoch in hand.

    Attributes:
        loss: (T,) the losses of the stages, unweighted, summed over this process' frames.
        steps: that have been taken.
        frames: that they have seen in all processes.
        finite: steps whose loss was finite, () on the device; counted up to the first that was not.
        seconds: that they took.
    """

    loss: torch.Tensor
    finite: torch.Tensor
    steps: int = 0
    frames: int = 0
    seconds: float = 0.0

    @classmethod
    def zero(cls, stages: int, device: torch.device) -> Sums:
        """Those of an epoch that has not begun."""
        return cls(torch.zeros(stages, device=device), torch.zeros((), dtype=torch.int64, device=device))

    def add(self, losses: torch.Tensor, own: int) -> None:
        """The losses (T,) of a step, mean over `own` frames of this process."""
        self.loss += losses * own
        self.finite += self.loss.isfinite().all()
        self.steps += 1

    def first_bad_step(self, together: Processes) -> int | None:
        """The first step whose loss was not finite in some process, from 1; None if all were. All must ask."""
        good = -together.largest(-int(self.finite))
        return None if good == self.steps else good + 1

    def to_dict(self, together: Processes) -> dict[str, Any]:
        """Tensors and plain data, of all processes; `from_dict` takes it up. All must ask."""
        loss = together.sum(self.loss).cpu()
        return {"loss": loss, "steps": self.steps, "frames": self.frames, "seconds": self.seconds}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], together: Processes, device: torch.device) -> Sums:
        """What `to_dict` gave: the sums in the first process, nothing in the others.

        Raises:
            KeyError, TypeError: if it is something else.
        """
        loss = saved["loss"].to(device) * float(together.is_first)
        finite = torch.tensor(saved["steps"], device=device)
        return cls(loss, finite, int(saved["steps"]), int(saved["frames"]), float(saved["seconds"]))


@dataclass
class Learner:
    """A network that learns, and all that one step needs besides its batch.

    Attributes:
        model: the network, with its plain names.
        network: the same as it is called: wrapped for many processes, or translated by `torch.compile`.
        optimizer: of its parameters.
        config: of the run.
        device: where it runs.
        together: the processes that train it.
    """

    model: PoseNetwork
    network: nn.Module
    optimizer: torch.optim.SGD
    config: TrainConfig
    device: torch.device
    together: Processes = field(default_factory=Processes)

    @classmethod
    def start(
        cls, config: TrainConfig, points: int, device: torch.device, together: Processes | None = None
    ) -> Learner:
        """The first weights, which depend on the seed alone, and the optimiser.

        Args:
            config: of the run.
            points: P, how many points the network finds.
            device: where it runs.
            together: the processes that train it; None = this one alone.
        """
        together = together or Processes()
        torch.manual_seed(config.seed)
        model = together.shared_statistics(build_model(config.model, points), device).to(device)
        network = together.wrap(model, device)
        if config.compute.compile:
            network = cast(nn.Module, torch.compile(network))
        optim = config.optim
        optimizer = torch.optim.SGD(
            model.parameters(), lr=optim.lr, momentum=optim.momentum, weight_decay=optim.weight_decay
        )
        return cls(model, network, optimizer, config, device, together)

    def step(self, sample: Sample, lr: float, weight: float = 1.0) -> torch.Tensor:
        """Learn from a batch.

        Args:
            sample: the batch.
            lr: learning rate.
            weight: of this process' gradient in the mean over the processes.

        Returns:
            (T,) mean loss of each stage over the batch, unweighted.

        Raises:
            HandbenchError: if memory is used up, which says what batch fits, or nothing can be compiled here.
        """
        try:
            return self._step(self.network, sample, lr, weight)
        except TorchDynamoException as error:
            reason = next(line for line in str(error).splitlines() if line and not line.endswith("raised:"))
            raise HandbenchError(
                f"compute.compile: torch cannot compile the network here ({reason}); set compute.compile=false"
            ) from error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Out here the error is forgotten, and with it the tensors that its traceback holds.
        raise self._too_large(len(sample["depth"]))

    def _step(self, network: nn.Module, sample: Sample, lr: float, weight: float) -> torch.Tensor:
        optim = self.config.optim
        moved: Sample = {name: value.to(self.device, non_blocking=True) for name, value in sample.items()}  # type: ignore[assignment, attr-defined]  # all tensors
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.compute.precision == "bf16"):
            poses = network(moved["depth"])
        losses = stage_losses([pose.float() for pose in poses], targets(moved, self.config.model), optim.loss)
        self.optimizer.zero_grad()
        (weight * optim.loss_weight * losses.sum()).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        if optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        return losses.detach()

    def _too_large(self, batch: int) -> HandbenchError:
        """What to say of a batch that was too large; the weights are of no use afterwards."""
        fits = batch_that_fits(self._try, batch)
        return advice(self.config.optim.batch_size, fits, self.together.count, self.device)

    def _try(self, batch: int) -> None:
        """A step on random crops, in this process alone."""
        self.optimizer.zero_grad()
        side, joints = self.config.model.crop_size, self.model.joints
        box = {
            "center_xyz": torch.zeros(batch, 3) + 500,
            "cube": torch.ones(batch, 3) + 249,
            "roll": torch.zeros(batch),
        }
        points = {"target": torch.zeros(batch, joints, 3), "joints_xyz": torch.zeros(batch, joints, 3) + 500}
        sample: Sample = {"depth": torch.rand(batch, 1, side, side), **points, **box}  # type: ignore[typeddict-item]  # what a step looks at
        self._step(self.model, sample, 0.0, 0.0)


def through_epoch(
    learner: Learner,
    sums: Sums,
    batches: Iterable[Sample],
    order: BatchOrder,
    epoch: int,
    stop: StopRequest,
    advance: Callable[[int], None],
) -> bool:
    """The steps of an epoch that have not been taken yet.

    Args:
        learner: what learns.
        sums: of the epoch so far; changed.
        batches: those that `order` asks for.
        order: of the epoch.
        epoch: its number, from 1.
        stop: looked at before every step.
        advance: told the number of frames after every step.

    Returns:
        Whether the epoch is done; False if somebody has asked to stop.
    """
    order.order.epoch, order.first_step = epoch, sums.steps
    learner.network.train()
    together, frames = learner.together, len(order.order)
    advance(sums.frames)
    for sample in _fetched(batches, stop):
        if together.any(stop.asked) or sample is None:
            return False
        own, of_all = order.share_of(sums.steps)
        sums.frames += of_all
        lr = learner.config.optim.lr_at(epoch, sums.frames / frames)
        sums.add(learner.step(sample, lr, own * together.count / of_all), own)
        advance(of_all)
    return True


def _fetched(batches: Iterable[Sample], stop: StopRequest) -> Iterator[Sample | None]:
    """The batches; None where the processes that bring them have been told to stop as well, and are gone."""
    try:
        yield from batches
    except RuntimeError:
        if not stop.asked:
            raise
        yield None


def require_finite(sums: Sums, learner: Learner, epoch: int) -> None:
    """Refuse to go on, or to save, after a loss that is not finite. All processes must ask.

    Raises:
        HandbenchError: naming the step and what to do.
    """
    if (bad := sums.first_bad_step(learner.together)) is not None:
        raise HandbenchError(
            f"the loss of epoch {epoch} is not finite, from step {bad} on; {how_to_calm(learner.config.optim.lr)}"
        )


def mean_losses(sums: Sums, together: Processes) -> tuple[float, ...]:
    """The mean loss of each stage over the frames, unweighted. All processes must ask."""
    return tuple((together.sum(sums.loss) / max(sums.frames, 1)).tolist())


def how_to_calm(lr: float) -> str:
    """What to do against numbers that are not finite."""
    return (
        f"lower optim.lr, which is {lr:g}, or set optim.clip_norm; the folder keeps the checkpoints of the epoch before"
    )
