"""When the memory of a device is not enough: which batch would fit."""

from __future__ import annotations

from collections.abc import Callable

import torch

from handbench.errors import HandbenchError

_CPU_ALLOCATOR = ("can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that memory is used up, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_ALLOCATOR)


def batch_that_fits(step: Callable[[int], None], batch_size: int) -> int | None:
    """The largest of half of a batch, a quarter and so on for which a step has enough memory; None if none has.

    Args:
        step: trains on a batch of so many frames.
        batch_size: the one that was too large.
    """
    while batch_size > 1:
        batch_size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            step(batch_size)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return batch_size
    return None


def advice(batch_size: int, fits: int | None, processes: int, device: torch.device) -> HandbenchError:
    """One line for the user.

    Args:
        batch_size: the one that was too large, of all processes together.
        fits: frames in one process that fit; None = not even one.
        processes: how many train together.
        device: that has too little memory.
    """
    tried = f"out of memory on {device.type} with optim.batch_size {batch_size}"
    if fits is None:
        return HandbenchError(f"{tried}, and a batch of one frame is too large too; take a smaller model.crop_size")
    return HandbenchError(f"{tried}; set optim.batch_size={fits * processes}, which fits, or a smaller model.crop_size")
