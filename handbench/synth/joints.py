"""Joint angles of the hand: what they mean, how far they go, and the bone rotations that they make.

Angles are anatomical, not relative to the model's rest pose: 0 is a straight joint, so limits and poses hold for every
shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from handbench.arrays import require_last_axis
from handbench.synth.compiled import njit
from handbench.synth.hand import BONES, CHAINS, FOREARM, METACARPALS, WRIST, Floats, Hand, unit

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

# Degrees. Of wrist and fingers at most the normal ranges that are quoted after the American Academy of Orthopaedic
# Surgeons, "Joint Motion" (1965), less where skin without correctives would pinch. The thumb's are ours: its angles are
# not the clinical ones.
_LIMITS = {
    "wrist_spread": (-25, 15),
    "wrist_flexion": (-55, 40),
    "thumb_spread": (-5, 60),
    "thumb_flexion": (0, 65),
    "thumb_middle": (0, 55),
    "thumb_tip": (-15, 75),
    "spread": (-20, 20),
    "flexion": (-15, 90),
    "middle": (0, 100),
}
LIMITS_DEG: Floats = np.array(
    [_LIMITS[name if name in _LIMITS else name.rpartition("_")[2]] for name in ANGLES], dtype=np.float64
)
"""(18, 2) lowest and highest of each of `ANGLES`."""
FLEXIONS = [ANGLES.index(f"{finger}_flexion") for finger in FINGERS]
SPREADS = [ANGLES.index(f"{finger}_spread") for finger in FINGERS]

TIP_OF_MIDDLE = 2 / 3  # Rijpkema & Girard, "Computer animation of knowledge-based human grasping", SIGGRAPH 1991
# The palm hollows as the two outer fingers close: their metacarpals follow, the little finger's more (Kapandji, "The
# Physiology of the Joints", vol. 1). How much is ours: 7 and 16 degrees at a flexion of 90.
_PALM_OF_FLEXION = {"ring": 0.08, "pinky": 0.18}
# Side ligaments tighten as the knuckle bends; a finger bent by 90 degrees hardly spreads (Kapandji). The share is ours.
_SPREAD_LEFT_AT_90 = 0.2
_TWIST_OF_FLEXION = (
    0.5  # the thumb turns its pad to the fingers as it comes before the palm; of 0.5, 0.9, 1.3 it closes fists best
)
_SPREAD, _FLEXION, _TWIST = range(3)  # a bone turns by its twist first, then flexion, then spread

_PALMAR = np.array([0.0, 0.0, -1.0])
_DORSAL = -_PALMAR
_TO_THUMB = np.array([1.0, 0.0, 0.0])


def within_limits(angles_deg: Floats) -> Floats:
    """The nearest angles that a hand can take: inside `LIMITS_DEG`, and less spread where a knuckle is bent.

    Args:
        angles_deg: (..., 18) in the order of `ANGLES`.

    Returns:
        (..., 18).

    Raises:
        ShapeError: if the last axis is not 18.

    Source: see the comment at `_LIMITS`; that limits are not enough, and angles depend on each other: Lin, Wu & Huang,
    "Modeling the constraints of human hand motion", 2000.
    """
    require_last_axis(angles_deg, len(ANGLES), "angles_deg")
    clipped = np.clip(angles_deg, *LIMITS_DEG.T)
    bent = np.clip(clipped[..., FLEXIONS], 0, 90) / 90
    reach = LIMITS_DEG[SPREADS, 1] * (1 - (1 - _SPREAD_LEFT_AT_90) * bent)
    clipped[..., SPREADS] = np.clip(clipped[..., SPREADS], -reach, reach)
    return clipped


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
        """The joints of a hand.

        A turn seen in a mirror goes the other way about the mirrored axis; so a left hand takes the same angles.
        """
        if hand.side == "left":
            other = cls.of(hand.mirrored())
            return replace(other, axes=other.axes * [1.0, -1.0, -1.0])
        axes, rest = np.zeros((BONES, 3, 3)), np.zeros((BONES, 3))
        axes[WRIST, _SPREAD], axes[WRIST, _FLEXION] = _DORSAL, _TO_THUMB
        # the hand's own axis is straight by the definition of its frame
        rest[WRIST, :2] = -_heading(unit(hand.heads[WRIST] - hand.heads[FOREARM]))
        for bone in METACARPALS.values():  # about the axis across the palm; at rest where it is
            axes[bone, _FLEXION] = _TO_THUMB
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
        angles = np.ascontiguousarray(angles_deg, dtype=np.float64).reshape(-1, len(ANGLES))
        rotations = np.empty((len(angles), BONES, 3, 3))
        for n in range(len(angles)):
            turn_bones(np.radians(angles[n]), self.axes, self.rest, BONES_OF_ANGLES, rotations[n])
        return rotations.reshape(*angles_deg.shape[:-1], BONES, 3, 3)


def _heading(along: Floats) -> Floats:
    """(2,) radians: spread and flexion of a bone that points along a direction (3,) of the hand frame."""
    return np.array([np.arctan2(along[0], -along[1]), np.arcsin(along @ _PALMAR)])


def _flexion_axis(hand: Hand, last: int, along: Floats) -> Floats:
    """The axis that a finger bends about, such that it bends towards the palm.

    The end of a finger is wider than thick, and it bends about its wide direction: the main axis of the skin around its
    last bone, seen along that bone. Unlike the bend at rest, this does not fail on a straight finger.
    """
    skin = hand.vertices[hand.mesh.owners() == last] - hand.heads[last]
    reach = skin @ along
    middle = skin[(reach > 0.2 * reach.max()) & (reach < 0.9 * reach.max())]
    flat = middle - np.outer(middle @ along, along)
    axis = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False).Vh[0]
    inwards = -_TO_THUMB if last == CHAINS["thumb"][2] else _PALMAR  # where the fingertip goes
    return np.asarray(axis if np.cross(axis, along) @ inwards > 0 else -axis)


def _bones_of_angles() -> Floats:
    """(21, 3, 18) matrix: by how much of which angle a bone turns about which of its axes."""
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
    for finger, share in _PALM_OF_FLEXION.items():
        table[rows[f"{finger}_flexion"], METACARPALS[finger], _FLEXION] = share
    return np.ascontiguousarray(np.moveaxis(table, 0, -1))


BONES_OF_ANGLES = _bones_of_angles()


@njit(cache=True, nogil=True)
def turn_bones(angles: Any, axes: Any, rest: Any, table: Any, rotations: Any) -> None:
    """Rotations (21, 3, 3) of one pose, written.

    Args:
        angles: (18,) radians.
        axes: of `Joints`.
        rest: of `Joints`.
        table: `BONES_OF_ANGLES`.
        rotations: (21, 3, 3).
    """
    one = np.empty((3, 3))
    for bone in range(len(axes)):
        whole = rotations[bone]
        whole[:] = 0.0
        whole[0, 0] = whole[1, 1] = whole[2, 2] = 1.0
        for kind in range(3):
            x, y, z = axes[bone, kind]
            if x == 0.0 and y == 0.0 and z == 0.0:
                continue
            turn = -rest[bone, kind]
            for k in range(len(angles)):
                turn += table[bone, kind, k] * angles[k]
            s, c = np.sin(turn), np.cos(turn)
            d = 1.0 - c
            one[0, 0], one[0, 1], one[0, 2] = c + d * x * x, d * x * y - s * z, d * x * z + s * y
            one[1, 0], one[1, 1], one[1, 2] = d * x * y + s * z, c + d * y * y, d * y * z - s * x
            one[2, 0], one[2, 1], one[2, 2] = d * x * z - s * y, d * y * z + s * x, c + d * z * z
            for i in range(3):
                a, b, e = whole[i, 0], whole[i, 1], whole[i, 2]
                for j in range(3):
                    whole[i, j] = a * one[0, j] + b * one[1, j] + e * one[2, j]
