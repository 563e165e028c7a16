"""What a checkpoint and a predictions file say of how they came about."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench import __version__

_LIBRARIES = ("torch", "torchvision", "numpy")
_FEW = 4  # sizes that fit a line


def versions() -> dict[str, str]:
    """Those of handbench, of the libraries that decide the numbers, and of Python."""
    return {
        "handbench": __version__,
        **{name: version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
    }


def cube_rule(cube: npt.NDArray[Any]) -> str:
    """The sides of crop cubes as text: "250 mm", or "208.3 mm (5,812 frames), 250 mm (2,440 frames)".

    Args:
        cube: (n, 3) full sides, mm; rows of NaN are left out.
    """
    known = np.round(cube[np.isfinite(cube).all(axis=-1)].astype(np.float64), 1)
    sizes, counts = np.unique(known, axis=0, return_counts=True)
    if not len(sizes):
        return "none"
    if len(sizes) > _FEW:
        return f"{len(sizes)} sizes from {_side(sizes.min(axis=0))} to {_side(sizes.max(axis=0))}"
    if len(sizes) == 1:
        return _side(sizes[0])
    return ", ".join(f"{_side(size)} ({count:,} frames)" for size, count in zip(sizes, counts, strict=True))


def _side(cube: npt.NDArray[Any]) -> str:
    one = np.unique(cube)
    return f"{one[0]:g} mm" if len(one) == 1 else f"{' x '.join(f'{side:g}' for side in cube)} mm"
