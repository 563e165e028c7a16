"""Several processes that train one model together, as `torchrun` starts them; alone without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from handbench.errors import HandbenchError

ModelT = TypeVar("ModelT", bound=nn.Module)


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0. Number 0 alone writes, prints and validates.
        count: how many there are.
        local: number of this process on its machine: the GPU that it uses.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes, prints and validates."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """The one of this process among the devices of a kind."""
        return torch.device("cuda", self.local) if device.type == "cuda" and self.count > 1 else device

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The same model, whose gradients are the means of those of all processes. Alone, the model itself."""
        if self.count == 1:
            return model
        # Batch norm's statistics of process 0 are everybody's: torch hands them on before each step.
        return DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)

    def shared_statistics(self, model: ModelT, device: torch.device) -> ModelT:
        """The same model, whose batch norm looks at the frames of all processes; between CPUs torch has no such."""
        if self.count == 1 or device.type != "cuda":
            return model
        shared: ModelT = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return shared

    def largest(self, here: int) -> int:
        """The largest of the numbers that the processes give; all must ask."""
        if self.count == 1:
            return here
        number = torch.tensor(here)
        distributed.all_reduce(number, distributed.ReduceOp.MAX)
        return int(number)

    def any(self, here: bool) -> bool:
        """Whether it holds in any process; all must ask."""
        return bool(self.largest(int(here)))

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all processes; all must ask."""
        if self.count == 1:
            return values
        total = values.clone()
        distributed.all_reduce(total)
        return total

    def wait(self) -> None:
        """Until all have come here."""
        self.any(False)


@contextmanager
def processes(cuda: bool) -> Iterator[Processes]:
    """Join the processes that `torchrun` has started, by NCCL between GPUs and Gloo between CPUs.

    Args:
        cuda: whether they train on GPUs.

    Yields:
        This process among them; alone if `torchrun` has not started it.

    Raises:
        HandbenchError: if there are more processes than GPUs, or another process has ended before its time.
    """
    count, local = (int(os.environ.get(name, default)) for name, default in (("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")))
    if count == 1 or "RANK" not in os.environ:
        yield Processes()
        return
    if cuda and local >= torch.cuda.device_count():
        raise HandbenchError(
            f"{local + 1} processes or more on a machine of {torch.cuda.device_count()} GPUs; "
            "give torchrun --nproc-per-node as many as there are"
        )
    if cuda:
        torch.cuda.set_device(local)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield Processes(distributed.get_rank(), count, local)
    except RuntimeError as error:
        if "Connection closed by peer" in str(error) or "Connection reset by peer" in str(error):
            raise HandbenchError("another process of this training has ended; what it printed says why") from error
        raise
    finally:
        distributed.destroy_process_group()
