"""Which way the y axis of a file in xyz points, told by the hand: a mirrored right hand curls like a left one."""

from __future__ import annotations

import numpy as np

from handbench.datasets.spec import FINGERS, DatasetSpec, JointSet
from handbench.predictions.model import Floats

DECIDED = 0.5  # of the frames, net; sixteen methods and the labels of NYU and ICVL give 0.84 to 1
_ENOUGH = 2000  # frames to look at
_BENT = FINGERS[1:]  # the thumb bends across


def curl(xyz: Floats, joints: JointSet) -> float:
    """How surely the hands are right ones, by their four fingers: they bend to the side of the palm.

    In a frame with x right, y down and z forward, the normal (index - pinky) x (fingers - palm) points out of the palm
    of a right hand and out of the back of a left one.

    Args:
        xyz: (N, J, 3), any unit; the scored joints in their order; NaN = not known.
        joints: of the data set.

    Returns:
        Mean sign over the frames: 1 right, -1 left, near 0 cannot be told (also where the joints do not suffice).
    """
    chains = {finger: _root_to_tip(joints, finger) for finger in _BENT}
    palm = [i for i, finger in enumerate(joints.scored_fingers) if finger not in FINGERS]
    if not palm or min(map(len, chains.values())) < 2:
        return 0.0
    root = {finger: xyz[:, chain[0]] for finger, chain in chains.items()}
    along = (root["middle"] + root["ring"]) / 2 - xyz[:, _topmost(joints, palm)]
    normal = np.cross(root["index"] - root["pinky"], along)
    bend = sum(_direction(xyz[:, chain[-1]] - xyz[:, chain[0]]) for chain in chains.values())
    sign = np.sign(np.einsum("ni,ni->n", normal, np.asarray(bend)))
    known = np.isfinite(sign)
    return float(sign[known].mean()) if known.any() else 0.0


def flip_of(xyz: Floats, spec: DatasetSpec) -> str | None:
    """The axes of a file in xyz that point against the camera frame (x right, y down, z forward).

    Args:
        xyz: (N, J, 3) as the file has it; the scored joints in their order.
        spec: whose hands these are, right or left.

    Returns:
        "" (none), "y", "z" or "yz"; None if the hands do not tell.
    """
    some = xyz[:: max(1, len(xyz) // _ENOUGH)]
    flip_z = (some[..., 2] < 0).mean() > 0.5
    sure = curl(some * np.array([1, 1, -1 if flip_z else 1]), spec.joints)
    if spec.handedness not in ("right", "left") or abs(sure) < DECIDED:
        return None
    flip_y = (sure > 0) != (spec.handedness == "right")
    return ("y" if flip_y else "") + ("z" if flip_z else "")


def _root_to_tip(joints: JointSet, finger: str) -> list[int]:
    """Indices into the scored joints."""
    return sorted(
        (i for i, name in enumerate(joints.scored_fingers) if name == finger), key=lambda i: _depth(joints, i)
    )


def _topmost(joints: JointSet, scored: list[int]) -> int:
    return min(scored, key=lambda i: _depth(joints, i))


def _depth(joints: JointSet, i: int) -> int:
    depth, joint = 0, joints.scored[i]
    while joints.parents[joint] != -1:
        depth, joint = depth + 1, joints.parents[joint]
    return depth


def _direction(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions: Floats = np.divide(vectors, lengths, out=np.full_like(vectors, np.nan), where=lengths > 0)
    return directions
