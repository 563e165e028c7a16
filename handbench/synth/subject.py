"""One person's hand: its shape, how its bones turn, and where a pose puts it before a camera."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from handbench.synth.contact import Capsules
from handbench.synth.hand import CHAINS, METACARPALS, WRIST, Floats, Hand, Side, hand_model
from handbench.synth.joints import Joints

if TYPE_CHECKING:
    from handbench.synth.poses import PoseSequence

PALM_MM = 81.3
"""From NYU's PALM_2 to PALM_3 in its test frames 1-2440, measured on its labels: an adult man's hand."""
_SHAPE_SPREAD = 0.7  # standard deviations: people of a middling build


@dataclass(frozen=True)
class Subject:
    """One person's hand.

    Attributes:
        hand: at rest.
        joints: how its bones turn.
        capsules: what its fingers touch with.
    """

    hand: Hand
    joints: Joints
    capsules: Capsules

    @classmethod
    def of(cls, hand: Hand) -> Self:
        """The person that a hand belongs to."""
        joints = Joints.of(hand)
        return cls(hand, joints, Capsules.of(hand, joints))

    @cached_property
    def skeleton(self) -> Hand:
        """The same hand with no skin but its five fingertips, which poses fast."""
        tips, mesh = self.hand.mesh.tips, self.hand.mesh
        bare = replace(mesh, weights=mesh.weights[tips], bones=mesh.bones[tips])
        return replace(self.hand, mesh=bare, vertices=self.hand.vertices[tips])

    def relaxed(self, angles_deg: Floats) -> Floats:
        """Poses (..., 18) in degrees, changed as little as keeps fingers out of each other; see `Capsules.relaxed`."""
        return self.capsules.relaxed(self.hand, self.joints, angles_deg)

    def place(self, poses: PoseSequence) -> tuple[Floats, Floats]:
        """Carry the hand through poses before a camera.

        Args:
            poses: N of them.

        Returns:
            vertices (N, V, 3) and bone heads (N, 21, 3), mm, camera frame. The middle of the palm is at
            `poses.position_xyz`.
        """
        vertices, heads = self.hand.pose(poses.rotations)
        middle = palm_middle(heads)[:, None]
        turns = poses.turn.swapaxes(-1, -2)
        shift = poses.position_xyz[:, None]
        return (vertices - middle) @ turns + shift, (heads - middle) @ turns + shift


def subject_of(seed: tuple[int, ...], *, side: Side = "right", palm_mm: float = PALM_MM) -> Subject:
    """A person at random.

    Args:
        seed: who; the same seed gives the same person.
        side: which hand.
        palm_mm: its size: length from the thumb's side of the wrist to the middle of the palm, as NYU's PALM_2 to
            PALM_3. NYU's second test subject has 5/6 of the first one's.

    Returns:
        The hand, its forearm and its joints.
    """
    from handbench.synth.joint_sets import joint_set

    model = hand_model()
    beta = np.random.default_rng(seed).standard_normal(len(model.basis)) * _SHAPE_SPREAD
    plain = model.shape(beta)
    nyu = joint_set("nyu")
    joints = nyu(plain.vertices, plain.heads)
    length = float(np.linalg.norm(joints[nyu.names.index("PALM_3")] - joints[nyu.names.index("PALM_2")]))
    return Subject.of(model.shape(beta, palm_mm / length, side))


def palm_middle(heads: Floats) -> Floats:
    """(..., 3) the middle of the palm, NYU's PALM_3, of bone heads (..., 21, 3)."""
    knuckle, aside = CHAINS["middle"][0], METACARPALS
    across = heads[..., aside["ring"], :] - heads[..., aside["index"], :]
    return np.asarray(0.3 * heads[..., WRIST, :] + 0.7 * (heads[..., knuckle, :] + 0.4 * across))
