"""Random numbers by counter: each is a hash of what it is for, so no state is carried from one sample to the next.

That is why a sample is the same in whatever worker, batch and order it is made, in NumPy and on any device.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.arrays import ArrayT

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniforms(seed: int, epoch: int, rows: npt.NDArray[np.integer], count: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1) that depend on (seed, epoch, row) and their place in the row alone.

    Args:
        seed: not negative.
        epoch: not negative.
        rows: (B,) not negative.
        count: numbers for each row; more of them leave the first as they are.

    Returns:
        (B, count) multiples of 2^-53.

    Source: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), started anew for every row.
    """
    start = _mix64(_key(seed, epoch) + rows.astype(np.uint64) * _GOLDEN)
    bits = _mix64(start[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)
    numbers: npt.NDArray[np.float64] = (bits >> np.uint64(11)) * np.float64(2.0**-53)
    return numbers


def pixel_bits(index: ArrayT, seed: ArrayT) -> ArrayT:
    """32 random bits for each pixel of each sample.

    Args:
        index: (..., P) int32, where a pixel is, from 0.
        seed: (..., 1) int32, of the sample.

    Returns:
        (..., P) int32, the same from NumPy and from torch on any device.
    """
    bits: ArrayT = mix32(mix32(index) ^ seed)
    return bits


def mix32(bits: ArrayT) -> ArrayT:
    """A one-to-one hash of int32 arrays, in arithmetic that wraps: NumPy or torch, one axis or more.

    Source: the constants `lowbias32` of C. Wellons' hash-prospector (2018).
    """
    bits = bits ^ ((bits >> 16) & 0xFFFF)  # the mask makes the shift a logical one
    bits = bits * 0x7FEB352D
    bits = bits ^ ((bits >> 15) & 0x1FFFF)
    bits = bits * -0x7B935975  # 0x846CA68B
    mixed: ArrayT = bits ^ ((bits >> 16) & 0xFFFF)
    return mixed


@lru_cache(maxsize=16)
def _key(seed: int, epoch: int) -> np.uint64:
    state: np.uint64 = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0]
    return state


def _mix64(bits: npt.NDArray[np.uint64]) -> npt.NDArray[Any]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
