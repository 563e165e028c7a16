"""Measures what a depth sensor does to a hand, on real frames and on synthetic ones, by the same code.

    python tools/calibrate_sensors.py FOLDER

FOLDER holds nyu_one_frame/test/depth_1_0000001.png, hands17/image_D00000030.png and kinect2/*.png. Each kind is set
beside synthetic frames of the same sensor, and beside the same frames without any fault of a sensor. What comes out is
the table in docs/synthetic.md.

The nearest object of a frame is taken for the hand with its arm. Of it:

noise    standard deviation of a pixel against the mean of its neighbours on both sides, mm; jumps left out
noise 4  the same with neighbours 4 px away; curved skin adds to it
holes    share of the area inside its outline that has no depth, %
rough    mean distance of its border to the border smoothed over 2.5 px, px
edge     how much deeper its outermost pixel is than the one 3 px further in, mm
left     pixels without depth between its left border and the surface behind it, px
right    the same at its right border
shadow   the latter by the difference of inverse depths, which is focal length times base of a projector, px m
flying   pixels with a depth between those two surfaces, for each border pixel
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import PRESETS
from handbench.datasets import dataset
from handbench.synth.config import SynthConfig
from handbench.synth.frames import SyntheticFrames
from handbench.synth.sensor import SENSORS, see

REACH_MM = 200.0  # of the nearest object from its nearest point
JUMP_MM = 80.0  # to a surface behind
SMOOTH_MM = 6.0  # differences beyond are no noise
WINDOW_PX = 32  # beside a border

FRAMES = 24  # synthetic ones of each sensor
LIKE_REAL = {
    "carmine": ("nyu", "open", (740.0, 800.0), dataset("nyu").camera),
    "sr300": ("hands17", "victory", (565.0, 600.0), dataset("hands17").camera),
    "kinect2": ("nyu", "open", (600.0, 650.0), PRESETS["kinect2"]),
}
"""Data set whose hands are shown, gesture, distance of the palm in mm, and camera, as in the real frames."""

Depth = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Measures:
    """What the docstring of the module lists; NaN where a frame does not show it."""

    noise: float
    noise_4: float
    holes: float
    rough: float
    edge: float
    left: float
    right: float
    shadow: float
    flying: float

    @classmethod
    def of(cls, raw: npt.NDArray[Any]) -> Measures:
        """Measure a frame (H, W) mm, 0 = missing."""
        depth = raw.astype(np.float64)
        mask = nearest_object(depth)
        right = Borders.of(depth, mask)
        left = Borders.of(depth[:, ::-1], mask[:, ::-1])
        return cls(
            noise=noise(depth, mask, 1),
            noise_4=noise(depth, mask, 4),
            holes=hole_percent(depth, mask),
            rough=roughness(mask),
            edge=float(np.nanmean([right.edge, left.edge])),
            left=left.gap,
            right=right.gap,
            shadow=right.shadow,
            flying=right.flying if np.isnan(left.flying) else (right.flying + left.flying) / 2,
        )


def mean_of(measures: list[Measures]) -> Measures:
    """The mean of each measure over the frames that show it."""
    columns = np.array([astuple(m) for m in measures])
    shown = np.isfinite(columns)
    with np.errstate(invalid="ignore"):
        return Measures(*(np.where(shown, columns, 0).sum(axis=0) / shown.sum(axis=0)).tolist())


def nearest_object(depth: Depth) -> Mask:
    """(H, W) the largest connected region within `REACH_MM` of the nearest depth that is no speck."""
    near = np.percentile(depth[depth > 0], 0.2)
    within = ((depth > 0) & (depth < near + REACH_MM)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(within)
    return np.asarray(labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax())


def noise(depth: Depth, mask: Mask, apart: int) -> float:
    """Standard deviation of a pixel, mm, from its difference to the mean of two others.

    That difference deviates sqrt(3 / 2) as much as a pixel alone, if they err independently.
    """
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=apart + 2) > 0
    pairs = [(np.roll(depth, apart, axis) + np.roll(depth, -apart, axis)) / 2 for axis in (0, 1)]
    difference = np.concatenate([(depth - mean)[inside] for mean in pairs])
    return float(np.sqrt(np.mean(difference[np.abs(difference) < SMOOTH_MM] ** 2) / 1.5))


def hole_percent(depth: Depth, mask: Mask) -> float:
    """Pixels without depth inside the outline, in % of all inside."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED) > 0
    return float(100 * np.mean(depth[filled] == 0))


def roughness(mask: Mask) -> float:
    """Mean distance of the border to the smoothed one, px; ends of fingers that smoothing takes away count as 4 px."""
    smooth = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.5) > 0.5
    border, target = _border(mask), _border(smooth)
    away = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, 5)
    return float(np.minimum(away[border], 4).mean())


def _border(mask: Mask) -> Mask:
    border = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    border[[0, -1]] = border[:, [0, -1]] = False
    return np.asarray(border)


@dataclass(frozen=True)
class Borders:
    """Of the right borders of the nearest object; `gap`, `shadow`, `flying` where a surface lies behind."""

    edge: float
    gap: float
    shadow: float
    flying: float

    @classmethod
    def of(cls, depth: Depth, mask: Mask) -> Borders:
        """Look at every row that leaves the object to the right and does not meet it again soon."""
        edges, found = [], []
        padded = np.pad(depth, ((0, 0), (0, WINDOW_PX)))
        for v, u in np.argwhere(mask[:, :-1] & ~mask[:, 1:]).tolist():
            if mask[v, u + 1 : u + 1 + WINDOW_PX].any() or not mask[v, max(u - 8, 0) : u + 1].all():
                continue
            rise = depth[v, u] - depth[v, u - 3]
            edges.append(min(rise, 60.0))
            beyond, here = padded[v, u + 1 : u + 1 + WINDOW_PX], depth[v, u - 3]
            if (beyond[-4:] > here + JUMP_MM).all():
                found.append(_gap(beyond, here))
        gap, shadow, _ = np.median(found, axis=0) if len(found) >= 10 else (np.nan,) * 3
        flying = np.mean(found, axis=0)[2] if len(found) >= 10 else np.nan
        return cls(float(np.median(edges)), float(gap), float(shadow), float(flying))


def _gap(beyond: Depth, here: float) -> tuple[float, float, float]:
    """Pixels without depth, the same by the difference of inverse depths (px m), and pixels between the surfaces."""
    far = float(np.median(beyond[-4:]))
    gap = int((beyond == 0).sum())
    between = (beyond > here + 0.15 * (far - here)) & (beyond < here + 0.85 * (far - here))
    return gap, gap / (1000 / here - 1000 / far), int(between.sum())


def real_frames(root: Path) -> Iterator[tuple[str, Depth]]:
    """Sensor and depth of every real frame that shows a hand as its nearest object."""
    bgr = cv2.imread(str(root / "nyu_one_frame/test/depth_1_0000001.png"))
    depth = bgr[..., 1].astype(np.float64) * 256 + bgr[..., 0]
    yield "carmine", np.where(depth == 2001, 0, depth)
    yield "sr300", cv2.imread(str(root / "hands17/image_D00000030.png"), cv2.IMREAD_UNCHANGED).astype(np.float64)
    for path in sorted((root / "kinect2").glob("*.png"))[1:18]:  # the first shows no hand held up, the last are masks
        yield "kinect2", cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float64)


def row(name: str, measures: Measures) -> str:
    """A line of the table in Markdown."""
    return f"| {name} | {' | '.join(f'{value:.2f}' for value in astuple(measures))} |"


def synthetic_frames(sensor: str) -> Iterator[tuple[Depth, Depth]]:
    """Frames of hands as far away and as open as the real ones: exact, and as the sensor sees them."""
    name, gesture, distance_mm, camera = LIKE_REAL[sensor]
    frames = SyntheticFrames(SynthConfig(name, FRAMES, key_frames=1, gesture=gesture, distance_mm=distance_mm))
    for row in range(FRAMES):
        exact = frames.exact_depth("train", row, camera)
        seen = see(exact, SENSORS[sensor], camera, np.random.default_rng(row))
        yield np.rint(exact.astype(np.float64)), np.rint(seen.astype(np.float64))


def main(root: Path) -> None:
    """Print the table."""
    names = [field.name.replace("_", " ") for field in fields(Measures)]
    print(f"| | {' | '.join(names)} |\n|---{'|---' * len(names)}|")
    real: dict[str, list[Measures]] = {}
    for sensor, depth in real_frames(root):
        real.setdefault(sensor, []).append(Measures.of(depth))
    for sensor, found in real.items():
        exact, seen = zip(*synthetic_frames(sensor), strict=True)
        print(row(f"{sensor}, {len(found)} real", mean_of(found)))
        print(row(f"{sensor}, {FRAMES} synthetic", mean_of([Measures.of(depth) for depth in seen])))
        print(row("the same, exact", mean_of([Measures.of(depth) for depth in exact])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
