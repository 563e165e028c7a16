"""What a depth sensor makes of a scene: shadows, ragged borders, flying pixels, holes, noise, levels of depth.

Two kinds of sensor share this code. Structured light (NYU's PrimeSense; the SR300 of HANDS17 codes its light in time)
has a projector beside the camera: what only the camera sees has no depth, and depth comes in steps of disparity. Time
of flight (ICVL, MSRA, Kinect v2) mixes the surfaces that one pixel sees into a depth between them.

How strong each effect is was measured on real frames where there are some: tools/calibrate_sensors.py,
docs/synthetic.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.synth.compiled import njit

_ALIKE_ROWS = 6
_PATCH_PX, _PATCHES = 24, np.float32(0.12)
_NOWHERE_MM = 1e6

Image = npt.NDArray[np.float32]

# PrimeSense measures disparity in fixed steps: the depths it can say are this / (k + constant) for integer k, so they
# lie farther apart with the square of the depth. Fitted to the 249 levels of a real NYU frame (731 to 1996 mm): mean
# difference 0.25 mm, as much as rounding to whole mm makes. It is 8 steps a px * 574 px * 75 mm, the sensor's focal
# length and base.
DISPARITY_MM = 344_100.0


@dataclass(frozen=True)
class Sensor:
    """The faults of one kind of sensor; 0 means that it has not got that one.

    Attributes:
        base_mm_px: distance of the projector times focal length, positive if it stands left of the camera: a border at
            z1 before a surface at z2 throws a shadow of base (1 / z1 - 1 / z2) px to its right.
        filled_px: on average so much of a shadow is filled in.
        window_px: side of the square whose middle depth a pixel gets, 3 or 5: matching windows flatten what is smaller.
        disparity_mm: depths are this / k for whole k; 0 = whole mm or finer.
        ragged_px: standard deviation of how far a border wanders.
        block_px: how far it wanders together.
        mixing: of a pixel's light this share comes from the pixels around it.
        lost_share: where two surfaces mix, the pixel is lost if less than this share of its light is of one.
        jump_mm: depths that far apart are two surfaces.
        grazing: tangent of the angle between the viewing ray and the surface's normal from which on depth is lost.
        noise: standard deviation at 1 m, mm; it grows with the square of the depth.
        noise_px: standard deviation of the blur that makes neighbours err alike.
        reach_mm: from about here on depth is lost, in patches.
    """

    base_mm_px: float = 0.0
    filled_px: float = 0.0
    window_px: int = 0
    disparity_mm: float = 0.0
    ragged_px: float = 0.0
    block_px: int = 1
    mixing: float = 0.0
    lost_share: float = 0.0
    jump_mm: float = 40.0
    grazing: float = np.inf
    noise: float = 0.0
    noise_px: float = 0.0
    reach_mm: float = np.inf


SENSORS = {
    "carmine": Sensor(
        base_mm_px=DISPARITY_MM / 8,
        filled_px=10.0,
        window_px=5,
        disparity_mm=DISPARITY_MM,
        ragged_px=1.8,
        block_px=4,
        grazing=3.0,
        noise=1.2,
        noise_px=1.3,
    ),
    "sr300": Sensor(
        base_mm_px=33_000.0,
        window_px=5,
        ragged_px=0.4,
        block_px=2,
        grazing=3.0,
        noise=0.15,
        noise_px=1.0,
        reach_mm=950.0,
    ),
    "senz3d": Sensor(mixing=0.4, lost_share=0.65, grazing=4.5, noise=9.0, noise_px=0.6, reach_mm=1000.0),
    "kinect2": Sensor(base_mm_px=-12_000.0, mixing=0.8, lost_share=0.65, grazing=5.0, noise=5.7, noise_px=0.6),
}
"""By name: PrimeSense Carmine 1.09 (NYU), RealSense SR300 (HANDS17), Creative Senz3D (ICVL, MSRA), Kinect v2."""


def see(depth: Image, sensor: Sensor, camera: Camera, rng: np.random.Generator) -> Image:
    """The depth image that a sensor gives of a scene.

    Args:
        depth: (H, W) mm, exact, 0 = nothing.
        sensor: its faults.
        camera: of the image.
        rng: source of the noise; the same state gives the same image.

    Returns:
        (H, W) mm, 0 = nothing.

    Sources: Barron & Malik, CVPR 2013, and Handa et al., ICRA 2014, for looking aside and noise of disparity;
    Khoshelham & Elberink, Sensors 2012, for noise with the square of the depth; Foix et al., IEEE Sensors 2011, for
    flying pixels.
    """
    seen = np.zeros_like(depth)
    box = _box(depth, margin=int(4 * sensor.ragged_px) + 1)
    if box is None:
        return seen
    part = depth[box]
    kept = _keep(part, sensor.grazing * 2 / (camera.fx + camera.fy))
    if sensor.reach_mm < np.inf:
        kept = _lose_far(kept, sensor.reach_mm, rng)
    if sensor.base_mm_px:
        kept = _cast_shadow(kept, sensor, rng)
    if sensor.ragged_px:
        kept = _look_aside(kept, sensor, rng)
    if sensor.window_px:
        kept = _middle(kept, sensor.window_px)
    if sensor.mixing:
        kept = _mix(kept, sensor.mixing, sensor.lost_share, sensor.jump_mm)
    seen[box] = _levels(kept, _noise(kept.shape, sensor, rng), sensor)
    return seen


def _box(depth: Image, margin: int) -> tuple[slice, slice] | None:
    """The rows and columns that hold all depth, and a few more; None if there is none."""
    rows, columns = np.flatnonzero(depth.any(axis=1)), np.flatnonzero(depth.any(axis=0))
    if not len(rows):
        return None
    (top, bottom), (left, right) = ((max(int(at[0]) - margin, 0), int(at[-1]) + margin + 1) for at in (rows, columns))
    return slice(top, bottom), slice(left, right)


@njit(cache=True, nogil=True)
def _keep(depth: Image, slope: float) -> Image:
    """The pixels that are not seen too flat.

    Args:
        depth: (h, w) mm, 0 = nothing.
        slope: greatest change of depth from one pixel to the next, as a share of the depth.
    """
    height, width = depth.shape
    kept = np.zeros_like(depth)
    for v in range(height):
        for u in range(width):
            z = depth[v, u]
            if z == 0.0:
                continue
            across = _change(z, depth[v, max(u - 1, 0)], depth[v, min(u + 1, width - 1)])
            down = _change(z, depth[max(v - 1, 0), u], depth[min(v + 1, height - 1), u])
            if across * across + down * down <= slope * slope * z * z:
                kept[v, u] = z
    return kept


@njit(cache=True, nogil=True)
def _change(z: float, before: float, after: float) -> float:
    """Change of depth to the neighbour that is nearer in depth: the other may be of another surface."""
    one = abs(z - before) if before > 0.0 else np.inf
    other = abs(after - z) if after > 0.0 else np.inf
    change = min(one, other)
    return 0.0 if change == np.inf else change


def _cast_shadow(depth: Image, sensor: Sensor, rng: np.random.Generator) -> Image:
    """What the projector reaches of an (h, w) image; shadows are filled in by random widths, alike in some rows."""
    height = len(depth)
    some = rng.uniform(0, 2 * sensor.filled_px, -(-height // _ALIKE_ROWS))
    filled = np.repeat(some, _ALIKE_ROWS)[:height]
    if sensor.base_mm_px > 0:
        return np.asarray(_lit(depth, sensor.base_mm_px, filled))
    return np.asarray(_lit(np.ascontiguousarray(depth[:, ::-1]), -sensor.base_mm_px, filled)[:, ::-1])


@njit(cache=True, nogil=True)
def _lit(depth: Image, base: float, filled: npt.NDArray[np.float64]) -> Image:
    """What light from the left reaches.

    Along a row the light of the projector comes in the order of the columns, u + base / z; a pixel whose light would
    come before that of a pixel to its left is in the shadow of that one.
    """
    height, width = depth.shape
    lit = np.zeros_like(depth)
    for v in range(height):
        reached = -np.inf
        for u in range(width):
            if depth[v, u] > 0.0:
                light = u + base / depth[v, u]
                if light >= reached - 0.5 - filled[v]:
                    lit[v, u] = depth[v, u]
                reached = max(reached, light)
    return lit


def _middle(depth: Image, side: int) -> Image:
    """The median of the square around each pixel; nothing counts as farthest."""
    middle = cv2.medianBlur(np.where(depth > 0, depth, np.float32(_NOWHERE_MM)), side)
    return np.where(middle < _NOWHERE_MM, middle, np.float32(0))


@njit(cache=True, nogil=True)
def _mix(depth: Image, mixing: float, lost_share: float, jump: float) -> Image:
    """Flying pixels: where the 3 x 3 pixels around one show two surfaces, the mean of their depths by returned light.

    Light comes back with the inverse square of the depth. Without a second surface a pixel keeps its depth; with so
    much of both that neither has `lost_share` of the light, or less than half of the light, it has none.
    """
    height, width = depth.shape
    mixed = np.zeros_like(depth)
    for v in range(height):
        for u in range(width):
            z = depth[v, u]
            near, far = (z, z) if z > 0.0 else (np.inf, 0.0)
            for y in range(max(v - 1, 0), min(v + 2, height)):
                for x in range(max(u - 1, 0), min(u + 2, width)):
                    if depth[y, x] > 0.0:
                        near, far = min(near, depth[y, x]), max(far, depth[y, x])
            if far - near <= jump:
                mixed[v, u] = z
                continue
            light = front = total = 0.0
            for y in range(max(v - 1, 0), min(v + 2, height)):
                for x in range(max(u - 1, 0), min(u + 2, width)):
                    other = depth[y, x]
                    if other > 0.0:
                        share = 1.0 - mixing if x == u and y == v else mixing / 8.0
                        share /= other * other
                        light += share
                        total += share * other
                        if other < (near + far) / 2:
                            front += share
            if z > 0.0 and max(front, light - front) >= lost_share * light:
                mixed[v, u] = total / light
    return mixed


def _lose_far(depth: Image, reach_mm: float, rng: np.random.Generator) -> Image:
    """The same (h, w) image without what is too far, which is here 20 % more and there 20 % less."""
    height, width = depth.shape
    coarse = rng.standard_normal((-(-height // _PATCH_PX) + 1, -(-width // _PATCH_PX) + 1), dtype=np.float32)
    patches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.where(depth > reach_mm * (1 + _PATCHES * patches), np.float32(0), depth)


def _look_aside(depth: Image, sensor: Sensor, rng: np.random.Generator) -> Image:
    """The same (h, w) image with every pixel taken from a random place near it."""
    height, width = depth.shape
    block = sensor.block_px
    coarse = (-(-height // block) + 1, -(-width // block) + 1, 2)
    aside = cv2.resize(rng.standard_normal(coarse, dtype=np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    u = aside[..., 0] * sensor.ragged_px + np.arange(width, dtype=np.float32)
    v = aside[..., 1] * sensor.ragged_px + np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(cv2.remap(depth, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE))


def _noise(shape: tuple[int, ...], sensor: Sensor, rng: np.random.Generator) -> Image:
    """(h, w) errors at 1 m, mm, of standard deviation `sensor.noise`."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if sensor.noise_px:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), sensor.noise_px))
        noise *= 2 * np.sqrt(np.pi) * sensor.noise_px  # blurring divides the deviation by this, nearly
    return noise * np.float32(sensor.noise)


def _levels(depth: Image, noise: Image, sensor: Sensor) -> Image:
    """Depth with noise, as far as the sensor resolves it."""
    noisy = depth + noise * (depth / 1000.0) ** 2
    if not sensor.disparity_mm:
        return noisy
    steps = np.divide(sensor.disparity_mm, noisy, out=np.zeros_like(noisy), where=noisy > 0)
    steps = np.rint(steps)
    return np.rint(np.divide(sensor.disparity_mm, steps, out=np.zeros_like(noisy), where=steps > 0))
