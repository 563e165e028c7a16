"""What stands behind a hand: a person whose hand it is, or a wall. Coarse: only depth and borders matter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from handbench.synth.hand import Floats, Ints

_AROUND, _ALONG = 20, 12  # quads of each body
_HEAD_MM = np.array([78.0, 112.0, 95.0])  # half axes; width, height and depth of a head, roughly
_TORSO_MM = np.array([205.0, 330.0, 115.0])
_SHOULDER_MM = np.array([-175.0, -215.0, 0.0])  # of the right arm, from the middle of the torso, facing the camera
_NECK_MM = 105.0  # from the top of the torso to the middle of the head
_ARM_MM = 50.0  # radius of the upper arm
_ASIDE_MM = np.array([240.0, 230.0, 330.0])  # the torso's middle from a hand held up before the shoulder
_FOLLOWS = 0.4  # of the hand's own way, the body goes so much along


@dataclass(frozen=True)
class Person:
    """How somebody stands behind the hand.

    Attributes:
        scale: of the body.
        home_xyz: (3,) mm, camera frame: the hand's usual place, from which the body keeps its distance.
        aside_xyz: (3,) mm from there to the middle of the torso; x is mirrored for a left hand.
    """

    scale: float
    home_xyz: Floats
    aside_xyz: Floats

    @classmethod
    def of(cls, rng: np.random.Generator, home_xyz: Floats, left_handed: bool) -> Person:
        """Somebody at random.

        Args:
            rng: who.
            home_xyz: (3,) mm, the hand's usual place.
            left_handed: whether the hand is a left one.
        """
        aside = _ASIDE_MM + rng.uniform(-1, 1, 3) * [60, 60, 50]
        return cls(rng.uniform(0.9, 1.1), home_xyz, aside * [-1 if left_handed else 1, 1, 1])

    def vertices(self, hand_xyz: Floats, elbow_xyz: Floats) -> Floats:
        """The body behind a hand.

        Args:
            hand_xyz: (3,) mm, camera frame, the middle of the hand.
            elbow_xyz: (3,) mm, the end of its forearm, where the upper arm begins.

        Returns:
            (V, 3) mm, of the triangles `person_faces`.
        """
        torso = self.home_xyz + _FOLLOWS * (hand_xyz - self.home_xyz) + self.aside_xyz
        torso[2] = max(torso[2], hand_xyz[2] + 200, elbow_xyz[2] + 120)  # no hand inside its owner
        side = np.sign(self.aside_xyz[0])
        head = torso - [0.0, self.scale * (_TORSO_MM[1] + _NECK_MM), 0.0]
        shoulder = torso + self.scale * _SHOULDER_MM * [side, 1, 1]
        bodies = (
            torso + self.scale * _TORSO_MM * _box_like(_ball()),
            head + self.scale * _HEAD_MM * _ball(),
            _limb(elbow_xyz, shoulder, self.scale * _ARM_MM),
        )
        return np.concatenate(bodies)


def wall_vertices(depth_mm: float) -> Floats:
    """(4, 3) mm: a wall before the camera that fills its image, of the triangles `WALL_FACES`."""
    return np.array([[-3.0, -3, 1], [3, -3, 1], [3, 3, 1], [-3, 3, 1]]) * depth_mm


WALL_FACES: Ints = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.intp)


@cache
def person_faces() -> Ints:
    """(F, 3) triangles of torso, head and upper arm."""
    rows, columns = np.mgrid[: _ALONG - 1, :_AROUND]
    a, b = rows * _AROUND + columns, rows * _AROUND + (columns + 1) % _AROUND
    quads = np.stack((a, b, b + _AROUND, a, b + _AROUND, a + _AROUND), axis=-1).reshape(-1, 3)
    return np.concatenate([quads + k * _ALONG * _AROUND for k in range(3)]).astype(np.intp)


@cache
def _ball() -> Floats:
    """(12 * 20, 3) rings of the unit ball from top to bottom."""
    polar = np.linspace(0, np.pi, _ALONG)[:, None]
    turn = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    across = np.sin(polar)
    rings = np.stack((across * np.cos(turn), -np.cos(polar) + 0 * turn, across * np.sin(turn)), axis=-1)
    return rings.reshape(-1, 3)


def _box_like(ball: Floats) -> Floats:
    """The unit ball with its height drawn towards a box: shoulders and sides of a torso."""
    return np.asarray(np.sign(ball) * np.abs(ball) ** 0.6)


def _limb(start: Floats, end: Floats, radius: float) -> Floats:
    """(12 * 20, 3) mm: a ball around `start` of which one half is drawn out to `end`."""
    along = end - start
    z = along / np.linalg.norm(along)
    x = np.cross(z, [0.0, 0.0, 1.0] if abs(z[2]) < 0.9 else [1.0, 0.0, 0.0])
    x /= np.linalg.norm(x)
    ball = _ball()
    half = ball[:, 1:2] > 0
    return np.asarray(start + half * along + radius * (ball @ np.stack((x, z, np.cross(z, x)))))
