"""Joint angles of the hand: what they mean, how far they go, and the bone rotations that they make.

Angles are anatomical, not relative to the model's rest pose: 0 is a straight joint, so limits and poses hold for every
shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from handbench.arrays import require_last_axis
from handbench.synth.hand import BONES, CHAINS, WRIST, Floats, Hand, unit

FINGERS = ("index", "middle", "ring", "pinky")
ANGLES: tuple[str, ...] = (
    "wrist_spread",
    "wrist_flexion",
    "thumb_spread",
    "thumb_flexion",
    "thumb_middle",
    "thumb_tip",
    *(f"{finger}_{angle}" for finger in FINGERS for angle in ("spread", "flexion", "middle")),
)
"""Spread: in the plane of the palm, towards the thumb. Flexion: of the first joint, towards the palm.
Middle: of the second joint. The third joint of a finger follows the second; the thumb has its own ("tip")."""

# Degrees. Normal ranges of the American Academy of Orthopaedic Surgeons (1965), drawn in where skin without correctives
# would pinch or fingers would run into each other.
_LIMITS = {
    "wrist_spread": (-25, 15),
    "wrist_flexion": (-55, 40),
    "thumb_spread": (5, 55),
    "thumb_flexion": (0, 60),
    "thumb_middle": (0, 50),
    "thumb_tip": (-10, 70),
    "spread": (-18, 18),
    "flexion": (-12, 80),
    "middle": (0, 95),
}
LIMITS_DEG: Floats = np.array(
    [_LIMITS[name if name in _LIMITS else name.rpartition("_")[2]] for name in ANGLES], dtype=np.float64
)
"""(18, 2) lowest and highest of each of `ANGLES`."""

TIP_OF_MIDDLE = 2 / 3  # Rijpkema & Girard, "Computer animation of knowledge-based human grasping", 1991
_TWIST_OF_FLEXION = (
    0.5  # the thumb turns its pad to the fingers as it comes before the palm; of 0.5, 0.9, 1.3 it closes fists best
)
_SPREAD, _FLEXION, _TWIST = range(3)  # a bone turns by its twist first, then flexion, then spread

_PALMAR = np.array([0.0, 0.0, -1.0])
_DORSAL = -_PALMAR
_TO_THUMB = np.array([1.0, 0.0, 0.0])


@dataclass(frozen=True)
class Joints:
    """How the bones of one hand turn, found in its rest geometry.

    A bone's rotation is spread * flexion * twist, each about its own axis, by the wanted angle less that at rest.

    Attributes:
        axes: (21, 3, 3) unit vectors, hand frame: of spread, flexion and twist; zero where a bone does not turn.
        rest: (21, 3) radians, the angles of the rest pose.
    """

    axes: Floats
    rest: Floats

    @classmethod
    def of(cls, hand: Hand) -> Self:
        """The joints of a hand."""
        axes, rest = np.zeros((BONES, 3, 3)), np.zeros((BONES, 3))
        axes[WRIST, _SPREAD], axes[WRIST, _FLEXION] = _DORSAL, _TO_THUMB
        rest[WRIST, :2] = -_heading(
            _forearm_axis(hand)
        )  # the hand's own axis is straight by the definition of its frame
        for tip, (finger, (first, middle, last)) in zip(hand.mesh.tips, CHAINS.items(), strict=True):
            a, b, c, d = hand.heads[first], hand.heads[middle], hand.heads[last], hand.vertices[tip]
            along = unit(np.stack((b - a, c - b, d - c)))
            bend = _flexion_axis(hand, last, along[2])
            knuckle = bend if finger != "thumb" else unit(np.cross(along[0], _PALMAR))
            axes[first, _FLEXION] = unit(knuckle - (knuckle @ along[0]) * along[0])
            axes[first, _SPREAD] = _DORSAL if finger == "thumb" else np.cross(along[0], axes[first, _FLEXION])
            rest[first, :2] = _heading(along[0])
            for k, bone in ((1, middle), (2, last)):
                axes[bone, _FLEXION] = bend
                rest[bone, _FLEXION] = np.arctan2(bend @ np.cross(along[k - 1], along[k]), along[k - 1] @ along[k])
            if finger == "thumb":
                axes[first, _TWIST] = -along[0]
                rest[first, _TWIST] = _TWIST_OF_FLEXION * rest[first, _FLEXION]
        return cls(axes, rest)

    def rotations(self, angles_deg: Floats) -> Floats:
        """Bone rotations for `Hand.pose`.

        Args:
            angles_deg: (..., 18) in the order of `ANGLES`; limits are not applied here.

        Returns:
            (..., 21, 3, 3).

        Raises:
            ShapeError: if the last axis is not 18.

        Source: Rodrigues' formula for each turn.
        """
        require_last_axis(angles_deg, len(ANGLES), "angles_deg")
        wanted = (np.radians(angles_deg) @ _BONES_OF_ANGLES).reshape(*angles_deg.shape[:-1], BONES, 3)
        turn = (wanted - self.rest)[..., None, None]
        cross = np.cross(np.eye(3), self.axes[..., None, :])  # (21, 3, 3, 3): cross @ p = axis x p
        turns = np.eye(3) + np.sin(turn) * cross + (1 - np.cos(turn)) * (cross @ cross)
        return np.asarray(turns[..., _SPREAD, :, :] @ turns[..., _FLEXION, :, :] @ turns[..., _TWIST, :, :])


def _heading(along: Floats) -> Floats:
    """(2,) radians: spread and flexion of a bone that points along a direction (3,) of the hand frame."""
    return np.array([np.arctan2(along[0], -along[1]), np.arcsin(along @ _PALMAR)])


def _forearm_axis(hand: Hand) -> Floats:
    """(3,) direction of the forearm towards the wrist; its last vertex is the middle of the far end."""
    return unit(hand.vertices[hand.mesh.wrist_loop].mean(axis=0) - hand.vertices[-1])


def _flexion_axis(hand: Hand, last: int, along: Floats) -> Floats:
    """The axis that a finger bends about, such that it bends towards the palm.

    The end of a finger is wider than thick, and it bends about its wide direction: the main axis of the skin around its
    last bone, seen along that bone. Unlike the bend at rest, this does not fail on a straight finger.
    """
    skin = hand.vertices[hand.mesh.weights.argmax(axis=1) == last] - hand.heads[last]
    reach = skin @ along
    middle = skin[(reach > 0.2 * reach.max()) & (reach < 0.9 * reach.max())]
    flat = middle - np.outer(middle @ along, along)
    axis = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False).Vh[0]
    inwards = -_TO_THUMB if last == CHAINS["thumb"][2] else _PALMAR  # where the fingertip goes
    return np.asarray(axis if np.cross(axis, along) @ inwards > 0 else -axis)


def _bones_of_angles() -> Floats:
    """(18, 63) matrix: which angle turns which bone about which of its axes."""
    table = np.zeros((len(ANGLES), BONES, 3))
    rows = {name: row for row, name in enumerate(ANGLES)}
    table[rows["wrist_spread"], WRIST, _SPREAD] = table[rows["wrist_flexion"], WRIST, _FLEXION] = 1
    for finger, (first, middle, last) in CHAINS.items():
        table[rows[f"{finger}_spread"], first, _SPREAD] = table[rows[f"{finger}_flexion"], first, _FLEXION] = 1
        table[rows[f"{finger}_middle"], middle, _FLEXION] = 1
        if finger == "thumb":
            table[rows["thumb_flexion"], first, _TWIST] = _TWIST_OF_FLEXION
            table[rows["thumb_tip"], last, _FLEXION] = 1
        else:
            table[rows[f"{finger}_middle"], last, _FLEXION] = TIP_OF_MIDDLE
    return table.reshape(len(ANGLES), -1)


_BONES_OF_ANGLES = _bones_of_angles()
