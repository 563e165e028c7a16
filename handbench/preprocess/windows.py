"""Windows: what a frame shows around a hand, at its own resolution, large enough for every augmentation of a margin.

A window is a square of the frame with its origin, the column and row in the frame of its first pixel. Pixels outside
the frame are 0, missing, as they are for the crop of a frame. The crop shifts its map by the origin, which is exact
(`handbench.preprocess.crop`): so a crop from a window is the crop from the frame, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, xyz_to_uvd
from handbench.errors import HandbenchError
from handbench.preprocess.augment import AugmentConfig

_SLACK = 1.0  # px: a position is rounded to a pixel (1/2), and its map by at most 1/4 for a crop of 1,024 px
_EXACT = 2047.0  # px: float32 tells positions apart only below 2,048, so beyond it a frame itself has no exact crop

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Margin:
    """The ranges of augmentation that windows have room for. The defaults are those of the box as it is, upright.

    Attributes:
        roll_deg: (low, high) turn, degrees.
        scale: (low, high) factor on the cube.
        translation_mm: (low, high) shift of the centre along each axis, mm.
    """

    roll_deg: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    translation_mm: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, augment: AugmentConfig | None) -> Margin:
        """The margin that an augmentation needs; None = none, the upright box."""
        return cls() if augment is None else cls(augment.roll_deg, augment.scale, augment.translation_mm)

    @classmethod
    def from_dict(cls, ranges: Mapping[str, Any]) -> Margin:
        """The inverse of `to_dict`."""
        return cls(**{name: (float(low), float(high)) for name, (low, high) in ranges.items()})

    def to_dict(self) -> dict[str, list[float]]:
        """Plain data for JSON."""
        return {name: list(values) for name, values in asdict(self).items()}

    def lacks(self, needed: Margin) -> list[str]:
        """What of `needed` goes beyond this margin: "scale 0.8 to 1.2, here 0.9 to 1.1" and so on; none = it has room.

        A roll over half a turn or more covers every roll: the outline of a box repeats itself. How small a scale
        becomes does not matter.
        """
        lacking = []
        for field in fields(self):
            (low, high), (to, of) = getattr(self, field.name), getattr(needed, field.name)
            if field.name == "roll_deg":
                enough = high - low >= 180 or (low <= to and of <= high)
            else:
                enough = of <= high and (field.name == "scale" or low <= to)
            if not enough:
                lacking.append(f"{field.name} {to:g} to {of:g}, here {low:g} to {high:g}")
        return lacking


@dataclass(frozen=True)
class Reach:
    """The columns and rows that the crops of some boxes may read, whatever the augmentation within a margin.

    Attributes:
        first: (N, 2) first column and row, whole px of the frame, may lie outside it; NaN where there is no box,
            infinite where the box may come behind the camera.
        last: (N, 2) last column and row.
        middle: (N, 2) where the centre of the box projects to.
    """

    first: Points
    last: Points
    middle: Points

    @classmethod
    def of(cls, center_xyz: npt.NDArray[Any], cube: npt.NDArray[Any], camera: Camera, margin: Margin) -> Reach:
        """The worst case over the ranges of `margin`.

        A point at x mm in a plane of depth z is seen at x fx / z + cx, which is largest and smallest at the ends of the
        ranges of x and z; and a box turned by r reaches |cos r| cube_x / 2 + |sin r| cube_y / 2 to each side.

        Args:
            center_xyz: (N, 3) mm, camera frame; NaN = no box.
            cube: (N, 3) full sides, mm.
            camera: of the frame.
            margin: ranges.
        """
        center = center_xyz.astype(np.float64)
        shift = np.array(margin.translation_mm)
        nearest_z = center[:, 2] + shift[0]
        there = nearest_z > 0  # False for NaN
        z = np.where(there, center[:, 2], np.nan)[:, None] + shift  # (N, 2): nearest, farthest
        half = _half_extents(cube.astype(np.float64), margin)
        planes = (center[:, :2, None] + shift) + half[..., None] * [-1, 1]  # (N, xy, first and last) mm
        seen = planes[..., None] / z[:, None, None, :]  # at both depths
        focal, principal = np.array([camera.fx, camera.fy]), np.array([camera.cx, camera.cy])
        first = np.floor(seen[:, :, 0].min(axis=-1) * focal + principal - _SLACK)
        last = np.ceil(seen[:, :, 1].max(axis=-1) * focal + principal + _SLACK)
        behind = (np.isfinite(center).all(axis=1) & ~there)[:, None]
        middle = xyz_to_uvd(np.where(there[:, None], center, np.nan), camera)[:, :2]
        return cls(np.where(behind, -np.inf, first), np.where(behind, np.inf, last), middle)

    def in_frame(self, camera: Camera) -> tuple[Points, Points]:
        """First and last column and row that lie in the frame, (N, 2) each."""
        return np.maximum(self.first, 0), np.minimum(self.last, [camera.width - 1, camera.height - 1])

    def side(self, camera: Camera) -> npt.NDArray[np.int64]:
        """(N,) side of the smallest window, px; 0 where there is no box."""
        first, last = self.in_frame(camera)
        side: npt.NDArray[np.int64] = np.nan_to_num((last - first + 1).max(axis=1), nan=0.0).astype(np.int64)
        return np.maximum(side, 0)

    def origins(self, side: int, camera: Camera) -> npt.NDArray[np.int32]:
        """(N, 2) u, v of windows of that side: about the centre of the box, moved so far that all it reaches is inside.

        Where a window is too small for that, it stays within reach. At the borders of the frame an origin may be
        negative. (0, 0) where there is no box.
        """
        first, last = self.in_frame(camera)
        ends = last + 1 - side
        middle = np.rint(self.middle - (side - 1) / 2)
        origin = np.clip(np.where(np.isfinite(middle), middle, 0), np.minimum(first, ends), np.maximum(first, ends))
        whole: npt.NDArray[np.int32] = np.nan_to_num(origin, nan=0.0).astype(np.int32)
        return whole

    def inside(self, origin: npt.NDArray[Any], side: int, camera: Camera) -> npt.NDArray[np.bool_]:
        """(N,) whether a window holds all that is reached, so that no crop within the margin can be refused."""
        first, last = self.in_frame(camera)
        held = np.asarray((first >= origin) & (last < origin + side))
        for start in (np.zeros_like(origin), origin):  # in the frame, and in the window
            held &= (self.first - start >= -_EXACT) & (self.last - start <= _EXACT)
        return np.asarray(held.all(axis=1))


def _half_extents(cube: Points, margin: Margin) -> Points:
    """(N, 2) mm: how far the largest box of a margin reaches from its centre along columns and along rows."""
    x, y = cube[:, 0], cube[:, 1]
    widest = np.stack((_widest(x, y, margin.roll_deg), _widest(y, x, margin.roll_deg)), axis=-1)
    half: Points = widest * margin.scale[1] / 2
    return half


def _widest(along: Points, across: Points, roll_deg: tuple[float, float]) -> Points:
    """(N,) largest |cos r| along + |sin r| across over a range of r.

    It is hypot(along, across) times the larger of |cos(r - phi)| and |cos(r + phi)| with tan phi = across / along, so
    it is largest where r - phi or r + phi is a multiple of pi, else at an end of the range.
    """
    low, high = np.deg2rad(roll_deg)
    phi = np.arctan2(across, along)
    peak = [np.ceil((low + sign * phi) / math.pi) <= np.floor((high + sign * phi) / math.pi) for sign in (-1, 1)]
    ends = [np.abs(np.cos(r)) * along + np.abs(np.sin(r)) * across for r in (low, high)]
    widest: Points = np.where(peak[0] | peak[1], np.hypot(along, across), np.maximum(*ends))
    return widest


def cut_window(depth: npt.NDArray[Any], origin: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Cut a window out of a frame.

    Args:
        depth: (H, W) mm, 0 = missing.
        origin: (2,) whole u, v; may be negative or beyond the frame.
        side: of the window, px.

    Returns:
        (side, side) of the same type; 0 outside the frame.

    Raises:
        HandbenchError: if the side is not positive.
    """
    if side < 1:
        raise HandbenchError(f"a window of {side} px holds nothing; its side must be positive")
    window = np.zeros((side, side), depth.dtype)
    inner, outer = _overlap(origin, side, depth.shape)
    window[inner] = depth[outer]
    return window


def paste_window(window: npt.NDArray[Any], origin: npt.NDArray[Any], image: tuple[int, int]) -> npt.NDArray[Any]:
    """The frame (H, W) that a window was cut out of, with everything outside the window missing (0).

    Args:
        window: (side, side).
        origin: (2,) whole u, v.
        image: (H, W) px.
    """
    frame = np.zeros(image, window.dtype)
    inner, outer = _overlap(origin, len(window), image)
    frame[outer] = window[inner]
    return frame


def _overlap(
    origin: npt.NDArray[Any], side: int, image: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The rows and columns that a window and its frame share: in the window, and in the frame."""
    u, v = (int(each) for each in origin)
    spans = [(max(start, 0), min(start + side, size)) for start, size in ((v, image[0]), (u, image[1]))]
    rows, columns = ((first, max(last, first)) for first, last in spans)
    inner = slice(rows[0] - v, rows[1] - v), slice(columns[0] - u, columns[1] - u)
    return inner, (slice(*rows), slice(*columns))
