"""From where a hand is seen: yaw and pitch of its palm, and the mean error against them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from handbench.datasets import JointSet
from handbench.frame_errors import FrameErrors
from handbench.scores import GroupMean

BIN_DEGREES = 2
RANGES = {"yaw": (-40, 40), "pitch": (-10, 90)}  # degrees that the literature draws
Floats = npt.NDArray[np.float64]


def yaw_pitch(wrist_xyz: Floats, middle_mcp_xyz: Floats) -> Floats:
    """Viewpoint angles of hands.

    The palm's y axis points from the wrist to the root of the middle finger. Pitch is its angle out of the image plane,
    positive where the fingers point at the camera; yaw its angle from the vertical within the image plane, positive
    where they point to the right.

    Args:
        wrist_xyz: (N, 3) mm, camera frame.
        middle_mcp_xyz: (N, 3) mm.

    Returns:
        (N, 2) yaw and pitch in degrees, both within [-90, 90]; NaN where a joint is not labelled.

    Source: palm frame of Sun et al. (CVPR 2015), Euler angles as in the viewpoint lists that the literature uses.
    """
    axis = middle_mcp_xyz - wrist_xyz
    across = np.hypot(axis[:, 0], axis[:, 1])
    pitch = np.arctan2(-axis[:, 2], across)
    yaw = np.arctan2(axis[:, 0], np.abs(axis[:, 1]))
    angles: Floats = np.degrees(np.stack((yaw, pitch), axis=1))
    return angles


def viewpoints(joints_xyz: Floats, joints: JointSet) -> Floats | None:
    """(N, 2) yaw and pitch of labels, degrees; None where the scored joints have no wrist or root of the middle finger.

    Args:
        joints_xyz: (N, J, 3) mm, the scored joints.
        joints: whose.
    """
    names = [joints.names[joint] for joint in joints.scored]
    if "wrist" not in names or "middle_mcp" not in names:
        return None
    return yaw_pitch(joints_xyz[:, names.index("wrist")], joints_xyz[:, names.index("middle_mcp")])


def viewpoint_curves(errors: FrameErrors, angles: Floats) -> Mapping[str, dict[int, GroupMean]]:
    """Mean error of the frames seen from each angle, in bins of two degrees around even ones.

    Args:
        errors: of F frames.
        angles: (F, 2) yaw and pitch, degrees.

    Returns:
        "yaw" and "pitch" -> degrees of the bin -> the mean; without bins that are empty or outside of `RANGES`.
    """
    return {name: _curve(errors, angles[:, i], *RANGES[name]) for i, name in enumerate(("yaw", "pitch"))}


def _curve(errors: FrameErrors, angle: Floats, low: int, high: int) -> dict[int, GroupMean]:
    bins = np.round(angle / BIN_DEGREES)
    inside = (bins >= low / BIN_DEGREES) & (bins <= high / BIN_DEGREES)  # NaN is not
    index = bins[inside].astype(np.intp) - low // BIN_DEGREES
    frames = np.bincount(index)
    sums = np.bincount(index, errors.error_sum[inside])
    joints = np.bincount(index, errors.labelled[inside])
    return {
        low + BIN_DEGREES * i: GroupMean(int(frames[i]), int(joints[i]), float(sums[i] / joints[i]))
        for i in np.flatnonzero(frames).tolist()
    }
