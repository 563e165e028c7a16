"""A parametric hand with its forearm: shape from 20 numbers, pose from one rotation a bone.

**Hand frame.** mm, origin at the wrist; y towards the forearm, z towards the back of the hand, x towards the thumb of a
right hand and away from that of a left one. These are the axes of the camera frame for a hand held up with its palm
towards the camera.

The model's file is made by `tools/bake_hand.py`; its licence (CC0) is in `handbench/synth/NOTICE`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from handbench.arrays import require_last_axis
from handbench.errors import ShapeError
from handbench.synth.compiled import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Side = Literal["right", "left"]

BONES = 21
FOREARM, WRIST = 0, 1
CHAINS = {"thumb": (2, 3, 4), "index": (6, 7, 8), "middle": (10, 11, 12), "ring": (14, 15, 16), "pinky": (18, 19, 20)}
"""Bones of each finger from the palm outwards. Thumb: metacarpal, proximal and distal phalanx; others: three phalanges.
A bone starts at its head, the joint that it turns about."""
METACARPALS = {"index": 5, "middle": 9, "ring": 13, "pinky": 17}

_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Mesh:
    """What does not depend on shape or pose.

    Attributes:
        faces: (F, 3) vertex indices, counter-clockwise seen from outside; closed.
        weights: (V, 6) skin weights, each row sums to 1.
        bones: (V, 6) the bone that each weight belongs to.
        parents: (21,) parent bone, -1 for the forearm; a parent comes before its children.
        tips: (5,) vertex at the end of each finger, in the order of `CHAINS`.
    """

    faces: Ints
    weights: Floats
    bones: Ints
    parents: Ints
    tips: Ints

    def owners(self) -> Ints:
        """(V,) the bone that moves each vertex most."""
        return np.asarray(self.bones[np.arange(len(self.bones)), self.weights.argmax(axis=1)])


@dataclass(frozen=True)
class Hand:
    """One person's hand at rest, in the hand frame.

    Attributes:
        mesh: shared by all shapes of a side.
        vertices: (V, 3) mm, hand and forearm.
        heads: (21, 3) mm, where each bone starts.
        side: which hand it is.
    """

    mesh: Mesh
    vertices: Floats
    heads: Floats
    side: Side = "right"

    def mirrored(self) -> Self:
        """The same person's other hand; triangles keep their outside outside."""
        mesh = replace(self.mesh, faces=np.ascontiguousarray(self.mesh.faces[:, ::-1]))
        other: Side = "left" if self.side == "right" else "right"
        return replace(self, mesh=mesh, vertices=self.vertices * _MIRROR, heads=self.heads * _MIRROR, side=other)

    def pose(self, rotations: Floats) -> tuple[Floats, Floats]:
        """Turn every bone about its head and carry the skin along (linear blend skinning).

        Args:
            rotations: (..., 21, 3, 3) turn of each bone relative to its parent, hand frame at rest.

        Returns:
            vertices (..., V, 3) and bone heads (..., 21, 3), mm, hand frame. A pose gives the same bits alone and
            among others.

        Raises:
            ShapeError: if `rotations` does not end in (21, 3, 3).

        Source: Magnenat-Thalmann et al., "Joint-dependent local deformations", 1988.
        """
        if rotations.shape[-3:] != (BONES, 3, 3):
            raise ShapeError(f"rotations has shape {rotations.shape}, it must end in ({BONES}, 3, 3)")
        poses = np.ascontiguousarray(rotations, dtype=np.float64).reshape(-1, BONES, 3, 3)
        vertices = np.empty((len(poses), *self.vertices.shape))
        heads = np.empty((len(poses), BONES, 3))
        mesh = self.mesh
        _skin(poses, self.vertices, self.heads, mesh.weights, mesh.bones, mesh.parents, vertices, heads)
        before = rotations.shape[:-3]
        return vertices.reshape(*before, *self.vertices.shape), heads.reshape(*before, BONES, 3)


@dataclass(frozen=True)
class HandModel:
    """The space of hand shapes: shape = mean + sum of beta_k basis_k, with beta ~ N(0, 1) over people.

    Attributes:
        mean: (V + 21, 3) mm, vertices then bone heads of a right hand, hand frame.
        basis: (20, V + 21, 3) mm.
        mesh: of the right hand.
    """

    mean: Floats
    basis: Floats
    mesh: Mesh

    def shape(self, beta: Floats, scale: float = 1.0, side: Side = "right") -> Hand:
        """The hand of one person.

        Args:
            beta: (20,) shape, in standard deviations.
            scale: factor on all lengths.
            side: which hand; the left one is the right one's mirror image.

        Returns:
            The hand at rest, with a forearm.

        Raises:
            ShapeError: if `beta` is not (20,).
        """
        require_last_axis(beta, len(self.basis), "beta")
        points = scale * (self.mean + np.tensordot(beta, self.basis, axes=1))
        hand = Hand(self.mesh, points[:-BONES], points[-BONES:])
        return hand if side == "right" else hand.mirrored()


@cache
def hand_model() -> HandModel:
    """The hand that comes with handbench, read once."""
    with files("handbench.synth").joinpath("hand_shape_model.npz").open("rb") as file, np.load(file) as data:
        mean, basis = data["mean"].astype(np.float64), data["basis"].astype(np.float64)
        faces, bones, parents, tips = (
            np.ascontiguousarray(data[name], dtype=np.intp) for name in ("faces", "bones", "parents", "tips")
        )
        weights = data["weights"].astype(np.float64)
    weights /= weights.sum(axis=1, keepdims=True)
    return HandModel(mean, basis, Mesh(faces, weights, bones, parents, tips))


def unit(vectors: Floats) -> Floats:
    """The same (..., 3) directions with length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


@njit(cache=True, nogil=True)
def chain(rotations: Any, rest: Any, parents: Any, turns: Any, shifts: Any) -> None:
    """Where bones go: a rest point p of bone b goes to turns[b] p + shifts[b].

    Args:
        rotations: (21, 3, 3) relative to the parent.
        rest: (21, 3) bone heads at rest.
        parents: (21,).
        turns: (21, 3, 3), written.
        shifts: (21, 3), written.
    """
    for bone in range(len(parents)):
        above = parents[bone]
        for i in range(3):
            for j in range(3):
                if above < 0:
                    turns[bone, i, j] = rotations[bone, i, j]
                else:
                    total = 0.0
                    for k in range(3):
                        total += turns[above, i, k] * rotations[bone, k, j]
                    turns[bone, i, j] = total
        for i in range(3):  # the head itself goes where the parent carries it
            place = rest[bone, i] if above < 0 else shifts[above, i]
            for k in range(3):
                if above >= 0:
                    place += turns[above, i, k] * rest[bone, k]
                place -= turns[bone, i, k] * rest[bone, k]
            shifts[bone, i] = place


@njit(cache=True, nogil=True)
def _skin(
    rotations: Any, skin: Any, rest: Any, weights: Any, bones: Any, parents: Any, vertices: Any, heads: Any
) -> None:
    """Linear blend skinning of (N, 21, 3, 3) rotations into `vertices` (N, V, 3) and `heads` (N, 21, 3)."""
    turns, shifts = np.empty((len(parents), 3, 3)), np.empty((len(parents), 3))
    for n in range(len(rotations)):
        chain(rotations[n], rest, parents, turns, shifts)
        for bone in range(len(parents)):
            for i in range(3):
                heads[n, bone, i] = shifts[bone, i] + (
                    turns[bone, i, 0] * rest[bone, 0]
                    + turns[bone, i, 1] * rest[bone, 1]
                    + turns[bone, i, 2] * rest[bone, 2]
                )
        for v in range(len(skin)):
            x, y, z = skin[v]
            a = b = c = 0.0
            for slot in range(weights.shape[1]):
                w = weights[v, slot]
                if w == 0.0:
                    break  # heaviest first
                turn, shift = turns[bones[v, slot]], shifts[bones[v, slot]]
                a += w * (turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z + shift[0])
                b += w * (turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z + shift[1])
                c += w * (turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z + shift[2])
            vertices[n, v, 0], vertices[n, v, 1], vertices[n, v, 2] = a, b, c
