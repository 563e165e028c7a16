"""What a structured-light depth sensor like the one of NYU makes of a scene: levels of depth, ragged borders."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

# The sensor measures disparity in fixed steps: the depths it can say are DISPARITY_MM / (k + constant) for integer k,
# so they lie farther apart with the square of the depth. Fitted to the 249 levels of a real NYU frame (731 to 1996 mm):
# mean difference 0.25 mm, as much as rounding to whole mm makes. It is 8 steps a px * 574 px * 75 mm, the sensor's
# focal length and base.
DISPARITY_MM = 344_100.0
# Kind of noise after Barron & Malik (CVPR 2013) and Handa et al. (ICRA 2014): a pixel looks a little aside, and its
# disparity wobbles.
_WOBBLE_STEPS = 1 / 6  # standard deviation, as published
_ASIDE_PX = 0.6  # standard deviation; by eye, against the borders of a real NYU frame
_BLOCK_PX = 3  # pixels this near look aside together: real borders are ragged in blocks, not in dots


def structured_light(depth: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """The depth image that a PrimeSense sensor gives of a rendered one.

    Args:
        depth: (H, W) mm, 0 = nothing; exact.
        rng: source of the noise; the same state gives the same image.

    Returns:
        (H, W) uint16 mm, 0 = nothing.
    """
    seen = np.zeros(depth.shape, dtype=np.uint16)
    rows, columns = np.flatnonzero(depth.any(axis=1)), np.flatnonzero(depth.any(axis=0))
    if not len(rows):
        return seen
    margin = int(4 * _ASIDE_PX)
    top, bottom = max(rows[0] - margin, 0), min(rows[-1] + margin + 1, depth.shape[0])
    left, right = max(columns[0] - margin, 0), min(columns[-1] + margin + 1, depth.shape[1])
    part = _look_aside(depth[top:bottom, left:right], rng)
    hit = part > 0
    steps = DISPARITY_MM / part[hit]
    steps += rng.standard_normal(len(steps), dtype=np.float32) * _WOBBLE_STEPS
    seen[top:bottom, left:right][hit] = np.rint(DISPARITY_MM / np.rint(steps))
    return seen


def _look_aside(depth: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """The same (h, w) image with every pixel taken from a random place near it."""
    height, width = depth.shape
    coarse = (-(-height // _BLOCK_PX) + 1, -(-width // _BLOCK_PX) + 1, 2)
    aside = cv2.resize(rng.standard_normal(coarse, dtype=np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    u = aside[..., 0] * _ASIDE_PX + np.arange(width, dtype=np.float32)
    v = aside[..., 1] * _ASIDE_PX + np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(cv2.remap(depth, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))
