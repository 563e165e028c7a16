"""Augmentation in real-world coordinates: a perturbed box, never a second warp of pixels.

Rotation is a roll of the box, scaling a factor on its cube, translation a shift of its centre in mm. The crop of the
perturbed box shows the augmented hand, and `HandBox.bb_to_si_norm` of the untouched joints gives its labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.errors import HandbenchError
from handbench.preprocess.box import HandBox


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges of a random perturbation, each uniform. The defaults are the paper's (SRN section 4).

    Attributes:
        roll_deg: (low, high) turn about the viewing direction, degrees.
        scale: (low, high) factor on the cube; a larger cube shows a smaller hand.
        translation_mm: (low, high) shift of the centre along each axis of the camera frame, mm.

    Raises:
        HandbenchError: if a range is upside down or a scale is not positive.
    """

    roll_deg: tuple[float, float] = (-180.0, 180.0)
    scale: tuple[float, float] = (0.9, 1.1)
    translation_mm: tuple[float, float] = (-10.0, 10.0)

    def __post_init__(self) -> None:
        for name in ("roll_deg", "scale", "translation_mm"):
            low, high = getattr(self, name)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise HandbenchError(f"augment.{name} is ({low}, {high}), it must be a finite range (low, high)")
        if self.scale[0] <= 0:
            raise HandbenchError(f"augment.scale starts at {self.scale[0]}, it must be positive")


def perturb(
    box: HandBox[npt.NDArray[Any]], config: AugmentConfig, rng: np.random.Generator
) -> HandBox[npt.NDArray[Any]]:
    """A random neighbour of each box.

    Args:
        box: one box or a batch, NumPy.
        config: ranges.
        rng: the only source of randomness; the draws are roll, scale, translation, in this order.

    Returns:
        A box of the same shape, float64.
    """
    batch = box.roll.shape
    roll = np.deg2rad(rng.uniform(*config.roll_deg, size=batch))
    scale = rng.uniform(*config.scale, size=batch)
    shift = rng.uniform(*config.translation_mm, size=(*batch, 3))
    return HandBox(box.center_xyz + shift, box.cube * scale[..., None], box.roll + roll)
