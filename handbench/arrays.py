"""What NumPy and torch share: one body of code serves both through the array API standard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy.typing as npt
from array_api_compat import array_namespace

from handbench.errors import ShapeError

if TYPE_CHECKING:
    import torch

__all__ = ["ArrayT", "array_namespace", "require_last_axis"]

ArrayT = TypeVar("ArrayT", npt.NDArray[Any], "torch.Tensor")
"""A NumPy array or a torch tensor; a function returns the kind, and on the device, that it was given."""


def require_last_axis(array: npt.NDArray[Any] | torch.Tensor, length: int, name: str) -> None:
    """Refuse an array whose last axis is not `length` long.

    Raises:
        ShapeError: naming the array and its shape.
    """
    shape = tuple(array.shape)
    if not shape or shape[-1] != length:
        raise ShapeError(f"{name} has shape {shape}, its last axis must be {length}")
