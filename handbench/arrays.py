"""What NumPy and torch share: one body of code serves both through the array API standard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from handbench.errors import ShapeError

if TYPE_CHECKING:
    import torch

__all__ = ["ArrayT", "array_namespace", "require_last_axis"]

ArrayT = TypeVar("ArrayT", npt.NDArray[Any], "torch.Tensor")
"""A NumPy array or a torch tensor; a function returns the kind, and on the device, that it was given."""


def array_namespace(array: npt.NDArray[Any] | torch.Tensor) -> Any:
    """The functions of the array API standard for this kind of array: NumPy itself, or torch through array-api-compat.

    NumPy 2 is its own namespace; array-api-compat would import half of NumPy to find that out.
    """
    if isinstance(array, np.ndarray):
        return np
    import array_api_compat

    return array_api_compat.array_namespace(array)


def require_last_axis(array: npt.NDArray[Any] | torch.Tensor, length: int, name: str) -> None:
    """Refuse an array whose last axis is not `length` long.

    Raises:
        ShapeError: naming the array and its shape.
    """
    shape = tuple(array.shape)
    if not shape or shape[-1] != length:
        raise ShapeError(f"{name} has shape {shape}, its last axis must be {length}")
