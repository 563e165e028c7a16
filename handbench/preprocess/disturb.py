"""What a sensor and its surroundings do to a crop: depth noise, things before the hand, pixels that go missing.

These change the pixels of a crop alone. The box, the joints, the camera and the handedness stay as they are: a joint
behind an occluder keeps its label.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Generic

from handbench.arrays import ArrayT, array_namespace
from handbench.preprocess.counter import mix32, pixel_bits

MISSING_MM = 65536.0
"""Where missing depth is put before a crop is normalised: behind every cube."""

SHARE = 2**24
"""Shares of pixels are whole multiples of 1 / SHARE."""

QUARTERS = 4
"""Occluders are placed in quarters of a crop pixel, in whole numbers, so that their edge is the same everywhere."""

_NOISE_UNIT = (4 * (256**2 - 1) / 12) ** 0.5  # standard deviation of the sum of four random bytes
_NOISE_MIDDLE = 4 * 255 // 2


@dataclass(frozen=True)
class Disturbance(Generic[ArrayT]):
    """Numbers of B crops, NumPy or torch.

    Attributes:
        seed: (B,) int32, of the pixels' own numbers.
        noise_mm: (B,) float32, standard deviation.
        occluder: (B, M, 3) int32 column, row and radius, in quarters of a crop pixel; radius 0 = none.
        occluder_mm: (B, M) float32, depth of that flat disc.
        dropped: (B,) int32, pixels that go missing, of `SHARE`.
    """

    seed: ArrayT
    noise_mm: ArrayT
    occluder: ArrayT
    occluder_mm: ArrayT
    dropped: ArrayT

    def each(self, change: Callable[[ArrayT], Any]) -> Disturbance[Any]:
        """The same after `change` of every array: some of the rows, or another device."""
        return Disturbance(*(change(getattr(self, field.name)) for field in fields(self)))


def disturb(depth_mm: ArrayT, by: Disturbance[ArrayT]) -> ArrayT:
    """Add noise, put the occluders before it, then lose pixels, as light comes to a sensor.

    The noise of a pixel is the sum of four random bytes, scaled: a bell of whole numbers, the same on every device,
    that ends at 3.45 standard deviations. Every pixel of the crop has its own.

    Args:
        depth_mm: (B, S, S) float32 mm, missing = `MISSING_MM` or more.
        by: of the same B, of the same kind and on the same device.

    Returns:
        (B, S, S) float32; the pixels that went missing, and those that were, lie behind every cube.
    """
    xp = array_namespace(depth_mm)
    size = depth_mm.shape[-1]
    place = xp.arange(size, dtype=by.seed.dtype, device=depth_mm.device)
    index = place[:, None] * size + place
    bits = pixel_bits(index[None], by.seed[:, None, None])
    quarters = place * QUARTERS
    depth_mm = depth_mm + _bell(xp, bits) * (by.noise_mm / _NOISE_UNIT)[:, None, None]
    for k in range(by.occluder.shape[1]):
        u, v, radius = by.occluder[:, k, 0], by.occluder[:, k, 1], by.occluder[:, k, 2]
        across, down = quarters[None, :] - u[:, None], quarters[None, :] - v[:, None]
        inside = (across**2)[:, None, :] + (down**2)[:, :, None] < (radius**2)[:, None, None]
        disc = by.occluder_mm[:, k][:, None, None]
        depth_mm = xp.where(inside & (depth_mm > disc), disc, depth_mm)
    lost = (mix32(bits) & (SHARE - 1)) < by.dropped[:, None, None]
    result: ArrayT = xp.where(lost, xp.full_like(depth_mm, MISSING_MM), depth_mm)
    return result


def _bell(xp: Any, bits: Any) -> Any:
    """Float32 of mean 0 and standard deviation `_NOISE_UNIT`, whole numbers."""
    total = (bits & 255) + ((bits >> 8) & 255) + ((bits >> 16) & 255) + ((bits >> 24) & 255)
    return xp.astype(total - _NOISE_MIDDLE, xp.float32)
