"""Pinhole cameras: between image points (column px, row px, depth mm) and the camera frame (mm)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from handbench.arrays import ArrayT, array_namespace, require_last_axis
from handbench.errors import HandbenchError


@dataclass(frozen=True)
class Camera:
    """Intrinsics of a depth camera without distortion.

    Attributes:
        fx, fy: focal lengths in px, positive. A raw data set whose y points up is turned in its converter, never here.
        cx, cy: principal point in px; pixel centres lie at integers.
        width, height: of the image, in px.

    Raises:
        HandbenchError: if a focal length or a side is not positive.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        if not (self.fx > 0 and self.fy > 0):
            raise HandbenchError(f"camera focal lengths are ({self.fx}, {self.fy}) px, both must be positive")
        if not (self.width > 0 and self.height > 0):
            raise HandbenchError(f"camera image is {self.width} x {self.height} px, both sides must be positive")


PRESETS: dict[str, Camera] = {
    "hands17": Camera(475.065948, 475.065857, 315.944855, 245.287079, 640, 480),  # HANDS17 authors, SR300
    "kinect2": Camera(363.9, 363.9, 255.4, 206.3, 512, 424),  # SRN realtime/realtime.py
    "senz3d": Camera(241.42, 241.42, 160, 120, 320, 240),  # MSRA read-me, Intel Creative
    "sr300": Camera(463.889, 463.889, 320, 240, 640, 480),  # REN and Pose-REN demos, depth stream
    "xtion": Camera(535.4, 539.2, 320.1, 247.6, 640, 480),  # SRN vis_tool.py
}
"""Depth sensors by name. Where a device can tell its own intrinsics, ask the device."""
_NUMBERS = "fx,fy,cx,cy[,width,height] in px"


def parse_camera(text: str) -> Camera:
    """A camera as a user names it.

    Args:
        text: a name of `PRESETS`; a JSON file with fx, fy, cx, cy, width and height; or these as numbers between
            commas, in px, where width and height may be left out and are then 640 and 480.

    Raises:
        HandbenchError: if it is none of these, or no camera.
    """
    if text in PRESETS:
        return PRESETS[text]
    if text.lower().endswith(".json"):
        return _camera_of_json(Path(text))
    if "," in text:
        return _camera_of_numbers(text.split(","), repr(text))
    near = get_close_matches(text.lower(), PRESETS, n=1)
    hint = f"did you mean {near[0]}? there are" if near else "give"
    raise HandbenchError(f"unknown camera {text!r}; {hint} {', '.join(PRESETS)}, a .json file, or {_NUMBERS}")


def _camera_of_json(path: Path) -> Camera:
    try:
        facts: dict[str, Any] = dict(json.loads(path.read_bytes()))
        missing = [field.name for field in fields(Camera) if field.name not in facts]
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise HandbenchError(f"{path} is not a JSON object of fx, fy, cx, cy, width and height") from error
    if missing:
        raise HandbenchError(f"{path} has no {', '.join(missing)}; a camera needs fx, fy, cx, cy, width and height")
    return _camera_of_numbers([facts[field.name] for field in fields(Camera)], str(path))


def _camera_of_numbers(words: Sequence[Any], where: str) -> Camera:
    try:
        numbers = [float(word) for word in words]
    except (ValueError, TypeError, OverflowError):
        numbers = []
    numbers += [640.0, 480.0] if len(numbers) == 4 else []
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)) or any(side % 1 for side in numbers[4:]):
        raise HandbenchError(f"{where} is no camera; give {_NUMBERS}, width and height whole")
    fx, fy, cx, cy, width, height = numbers
    return Camera(fx, fy, cx, cy, int(width), int(height))


def uvd_to_xyz(uvd: ArrayT, camera: Camera) -> ArrayT:
    """Back-project image points into the camera frame.

    Args:
        uvd: (..., 3) column px, row px, depth mm. Pixel centres at integers.
        camera: intrinsics in px of the image that `uvd` refers to.

    Returns:
        (..., 3) mm; x right, y down, z forward. NaN where `uvd` is NaN.

    Raises:
        ShapeError: if the last axis is not 3.

    Source: pinhole model; SRN Eq. 4 is this with a moving origin (see `HandBox.si_to_bb`).
    """
    require_last_axis(uvd, 3, "uvd")
    xp = array_namespace(uvd)
    u, v, d = uvd[..., 0], uvd[..., 1], uvd[..., 2]
    points: ArrayT = xp.stack(((u - camera.cx) * d / camera.fx, (v - camera.cy) * d / camera.fy, d), axis=-1)
    return points


def xyz_to_uvd(xyz: ArrayT, camera: Camera) -> ArrayT:
    """Project points of the camera frame into the image; the inverse of `uvd_to_xyz`.

    Args:
        xyz: (..., 3) mm; x right, y down, z forward. z must not be 0.
        camera: intrinsics in px.

    Returns:
        (..., 3) column px, row px, depth mm; not limited to the image. NaN where `xyz` is NaN.

    Raises:
        ShapeError: if the last axis is not 3.

    Source: pinhole model.
    """
    require_last_axis(xyz, 3, "xyz")
    xp = array_namespace(xyz)
    x, y, z = xyz[..., 0], xyz[..., 1], xyz[..., 2]
    points: ArrayT = xp.stack((x * camera.fx / z + camera.cx, y * camera.fy / z + camera.cy, z), axis=-1)
    return points
