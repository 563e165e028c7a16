"""Pinhole cameras: between image points (column px, row px, depth mm) and the camera frame (mm)."""

from __future__ import annotations

from dataclasses import dataclass

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
