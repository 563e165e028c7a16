"""Augmentation in real-world coordinates: a perturbed box, never a second warp of pixels.

Rotation is a roll of the box, scaling a factor on its cube, translation a shift of its centre in mm. The crop of the
perturbed box shows the augmented hand, and `HandBox.bb_to_si_norm` of the untouched joints gives its labels. Mirroring
and disturbances of the sensor come on top of that and are off by default (docs/preprocessing.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.errors import HandbenchError
from handbench.preprocess.box import HandBox
from handbench.preprocess.counter import uniforms
from handbench.preprocess.disturb import QUARTERS, SHARE, Disturbance

_MIRROR = np.array([-1.0, 1.0, 1.0])
_NUMBERS = 10  # roll, scale, shift (3), mirror, noise, dropout, seed of pixels, occluders; then 4 for each of those


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges of a random perturbation, each uniform. The defaults are the paper's (SRN section 4).

    Attributes:
        roll_deg: (low, high) turn about the viewing direction, degrees.
        scale: (low, high) factor on the cube; a larger cube shows a smaller hand.
        translation_mm: (low, high) shift of the centre along each axis of the camera frame, mm.
        mirror: share of samples that are mirrored, which makes a right hand a left one.
        noise_mm: (low, high) standard deviation of the depth noise of a sample, mm.
        dropout: (low, high) share of the pixels of a sample that go missing.
        occluders: at most so many discs before a hand, 0 to this many, each number equally likely.
        occluder_mm: (low, high) diameter of a disc, mm.

    Raises:
        HandbenchError: if a range is upside down, or a value is impossible.
    """

    roll_deg: tuple[float, float] = (-180.0, 180.0)
    scale: tuple[float, float] = (0.9, 1.1)
    translation_mm: tuple[float, float] = (-10.0, 10.0)
    mirror: float = 0.0
    noise_mm: tuple[float, float] = (0.0, 0.0)
    dropout: tuple[float, float] = (0.0, 0.0)
    occluders: int = 0
    occluder_mm: tuple[float, float] = (20.0, 60.0)

    def __post_init__(self) -> None:
        for name in ("roll_deg", "scale", "translation_mm", "noise_mm", "dropout", "occluder_mm"):
            low, high = getattr(self, name)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise HandbenchError(f"augment.{name} is ({low}, {high}), it must be a finite range (low, high)")
        for name, holds, must_be in (
            ("scale", self.scale[0] > 0, "start above 0"),
            ("mirror", 0 <= self.mirror <= 1, "be a share from 0 to 1"),
            ("noise_mm", self.noise_mm[0] >= 0 and self.noise_mm[1] <= 1000, "lie between 0 and 1000"),
            ("dropout", self.dropout[0] >= 0 and self.dropout[1] <= 1, "lie between 0 and 1"),
            ("occluders", 0 <= self.occluders <= 64, "be 0 to 64"),
            ("occluder_mm", self.occluder_mm[0] > 0 and self.occluder_mm[1] <= 1000, "lie above 0 and up to 1000"),
        ):
            if not holds:
                raise HandbenchError(f"augment.{name} is {getattr(self, name)}, it must {must_be}")

    @property
    def disturbs(self) -> bool:
        """Whether pixels change: noise, drop-out or occluders."""
        return self.noise_mm[1] > 0 or self.dropout[1] > 0 or self.occluders > 0


@dataclass(frozen=True)
class Augmented:
    """What became of B boxes.

    Attributes:
        box: the perturbed boxes, float64, in the frame as it was taken.
        mirrored: (B,) bool; the crop and everything in it is to be mirrored after that.
        disturbance: of the pixels of the crops; None if nothing disturbs them.
    """

    box: HandBox[npt.NDArray[Any]]
    mirrored: npt.NDArray[np.bool_]
    disturbance: Disturbance[npt.NDArray[Any]] | None


def augment(
    box: HandBox[npt.NDArray[Any]], config: AugmentConfig, size: int, seed: int, epoch: int, rows: npt.NDArray[np.int64]
) -> Augmented:
    """The augmentation of some rows in an epoch, which depends on (seed, epoch, row) alone.

    Each option has its own numbers: switching one on leaves what the others do as it was.

    Args:
        box: a batch of B.
        config: ranges.
        size: side S of the crops, px.
        seed: not negative.
        epoch: not negative.
        rows: (B,) of the split.
    """
    numbers = uniforms(seed, epoch, rows, _NUMBERS + 4 * config.occluders)
    moved = _moved(box, config, numbers[:, 0], numbers[:, 1], numbers[:, 2:5])
    disturbance = _disturbance(moved, config, size, numbers) if config.disturbs else None
    return Augmented(moved, numbers[:, 5] < config.mirror, disturbance)


def perturb(
    box: HandBox[npt.NDArray[Any]], config: AugmentConfig, rng: np.random.Generator
) -> HandBox[npt.NDArray[Any]]:
    """A random neighbour of each box: roll, scale and translation only.

    Args:
        box: one box or a batch, NumPy.
        config: ranges.
        rng: the only source of randomness; the draws are roll, scale, translation, in this order.

    Returns:
        A box of the same shape, float64.
    """
    batch = box.roll.shape
    return _moved(box, config, rng.random(batch), rng.random(batch), rng.random((*batch, 3)))


def mirror_xyz(xyz: npt.NDArray[Any], mirrored: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Points as a mirror across the plane x = 0 of the camera frame shows them, where `mirrored`.

    Args:
        xyz: (B, ..., 3) mm, camera frame.
        mirrored: (B,).
    """
    sign: npt.NDArray[np.float64] = np.where(mirrored[:, None], _MIRROR, 1.0)
    return xyz * sign.reshape(len(xyz), *[1] * (xyz.ndim - 2), 3)


def mirror_box(box: HandBox[npt.NDArray[Any]], mirrored: npt.NDArray[np.bool_]) -> HandBox[npt.NDArray[Any]]:
    """The boxes as the same mirror shows them: the centre on the other side, the roll the other way.

    The camera in the mirror has its principal point at W - 1 - cx.
    """
    return HandBox(mirror_xyz(box.center_xyz, mirrored), box.cube, np.where(mirrored, -box.roll, box.roll))


def _moved(
    box: HandBox[npt.NDArray[Any]],
    config: AugmentConfig,
    roll: npt.NDArray[np.float64] | float,
    scale: npt.NDArray[np.float64] | float,
    shift: npt.NDArray[np.float64],
) -> HandBox[npt.NDArray[Any]]:
    """The box moved by numbers in [0, 1)."""
    factor = np.asarray(_within(config.scale, scale))
    center = box.center_xyz + _within(config.translation_mm, shift)
    return HandBox(center, box.cube * factor[..., None], box.roll + np.deg2rad(_within(config.roll_deg, roll)))


def _disturbance(
    box: HandBox[npt.NDArray[Any]], config: AugmentConfig, size: int, numbers: npt.NDArray[np.float64]
) -> Disturbance[npt.NDArray[Any]]:
    """Occluders lie anywhere over the crop, flat, between the front of the cube and its middle."""
    noise, dropout, seed, share = numbers[:, 6:_NUMBERS].T
    u, v, diameter, depth = np.moveaxis(numbers[:, _NUMBERS:].reshape(len(numbers), config.occluders, 4), -1, 0)
    there = np.arange(config.occluders) < np.floor(share * (config.occluders + 1))[:, None]
    px = _within(config.occluder_mm, diameter) / 2 * size / box.cube[:, :1]
    occluder = np.stack((u * size, v * size, np.where(there, px, 0.0)), axis=-1)
    depth_mm = box.center_xyz[:, 2:] - depth * box.cube[:, 2:] / 2
    return Disturbance(
        seed=(seed * 2**32 - 2**31).astype(np.int32),
        noise_mm=_within(config.noise_mm, noise).astype(np.float32),
        occluder=np.rint(occluder * QUARTERS).astype(np.int32),
        occluder_mm=depth_mm.astype(np.float32),
        dropped=np.rint(_within(config.dropout, dropout) * SHARE).astype(np.int32),
    )


def _within(limits: tuple[float, float], number: Any) -> Any:
    """From [0, 1) to [low, high)."""
    low, high = limits
    return low + (high - low) * number
