"""A parametric right hand: shape from 20 numbers, pose from one rotation a bone.

**Hand frame.** mm, origin at the wrist; x towards the thumb, y towards the forearm, z towards the back of the hand.
These are the axes of the camera frame for a right hand held up with its palm towards the camera.

The model's file and its licence (CC0) are described in `handbench/synth/NOTICE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from handbench.arrays import require_last_axis
from handbench.errors import ShapeError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

BONES = 21
WRIST = 1
CHAINS = {"thumb": (2, 3, 4), "index": (6, 7, 8), "middle": (10, 11, 12), "ring": (14, 15, 16), "pinky": (18, 19, 20)}
"""Bones of each finger from the palm outwards. Thumb: metacarpal, proximal and distal phalanx; others: three phalanges.
A bone starts at its head, the joint that it turns about."""

_FOREARM_MM = 230.0  # from the wrist, on the mean hand
_FOREARM_RINGS = 8
_FOREARM_GROWTH = 0.45  # the forearm is about 1.5 times as wide below the elbow as at the wrist


@dataclass(frozen=True)
class Mesh:
    """What does not depend on shape or pose.

    Attributes:
        faces: (F, 3) vertex indices, counter-clockwise seen from outside; closed.
        weights: (V, 21) skin weights, each row sums to 1.
        parents: (21,) parent bone, -1 for the root; a parent comes before its children.
        tips: (5,) vertex at the end of each finger, in the order of `CHAINS`.
        wrist_loop: (20,) the ring of vertices where hand and forearm meet, in order.
        wrist_sides: (2,) of these the one on the little finger's side and the one on the thumb's.
    """

    faces: Ints
    weights: Floats
    parents: Ints
    tips: Ints
    wrist_loop: Ints
    wrist_sides: Ints


@dataclass(frozen=True)
class Hand:
    """One person's hand at rest, in the hand frame.

    Attributes:
        mesh: shared by all shapes.
        vertices: (V, 3) mm; the hand's 1609, then the forearm's.
        heads: (21, 3) mm, where each bone starts.
    """

    mesh: Mesh
    vertices: Floats
    heads: Floats

    def pose(self, rotations: Floats) -> tuple[Floats, Floats]:
        """Turn every bone about its head and carry the skin along (linear blend skinning).

        Args:
            rotations: (..., 21, 3, 3) turn of each bone relative to its parent, hand frame at rest.

        Returns:
            vertices (..., V, 3) and bone heads (..., 21, 3), mm, hand frame.

        Raises:
            ShapeError: if `rotations` does not end in (21, 3, 3).

        Source: Magnenat-Thalmann et al., "Joint-dependent local deformations", 1988.
        """
        if rotations.shape[-3:] != (BONES, 3, 3):
            raise ShapeError(f"rotations has shape {rotations.shape}, it must end in ({BONES}, 3, 3)")
        turns, shifts = self._chain(rotations)
        moves = np.concatenate((turns.reshape(*turns.shape[:-2], 9), shifts), axis=-1)
        blend = self.mesh.weights @ moves
        turned = (blend[..., :9].reshape(*blend.shape[:-1], 3, 3) @ self.vertices[:, :, None])[..., 0]
        heads = (turns @ self.heads[:, :, None])[..., 0] + shifts
        return turned + blend[..., 9:], heads

    def _chain(self, rotations: Floats) -> tuple[Floats, Floats]:
        """(..., 21, 3, 3) and (..., 21, 3): where a rest point p of bone b goes is turns[b] p + shifts[b]."""
        turns = np.empty_like(rotations)
        shifts = np.empty(rotations.shape[:-1])
        for bone, parent in enumerate(self.mesh.parents):
            head = self.heads[bone]
            own = rotations[..., bone, :, :]
            own_shift = head - own @ head
            if parent < 0:
                turns[..., bone, :, :], shifts[..., bone, :] = own, own_shift
                continue
            above = turns[..., parent, :, :]
            turns[..., bone, :, :] = above @ own
            shifts[..., bone, :] = (above @ own_shift[..., None])[..., 0] + shifts[..., parent, :]
        return turns, shifts


@dataclass(frozen=True)
class HandModel:
    """The space of hand shapes: shape = mean + sum of beta_k basis_k, with beta ~ N(0, 1) over people.

    Attributes:
        mean: (1609 + 21, 3) mm, vertices then bone heads, hand frame.
        basis: (20, 1630, 3) mm.
        mesh: the hand with its forearm.
    """

    mean: Floats
    basis: Floats
    mesh: Mesh

    def shape(self, beta: Floats, scale: float = 1.0) -> Hand:
        """The hand of one person.

        Args:
            beta: (20,) shape, in standard deviations.
            scale: factor on all lengths.

        Returns:
            The hand at rest, with a forearm.

        Raises:
            ShapeError: if `beta` is not (20,).
        """
        require_last_axis(beta, len(self.basis), "beta")
        points = scale * (self.mean + np.tensordot(beta, self.basis, axes=1))
        skin, heads = points[:-BONES], points[-BONES:]
        return Hand(self.mesh, np.concatenate((skin, _forearm(skin[self.mesh.wrist_loop], scale))), heads)


@cache
def hand_model() -> HandModel:
    """The hand that comes with handbench, read once."""
    with files("handbench.synth").joinpath("hand_shape_model.npz").open("rb") as file, np.load(file) as data:
        mean, basis = data["mean"] * 1000.0, data["basis"] * 1000.0  # metres to mm
        faces, parents = data["faces"].astype(np.intp), data["parents"].astype(np.intp)
        weights = np.zeros((len(mean) - BONES, BONES))
        np.add.at(weights, (np.arange(len(weights))[:, None], data["wi"]), data["w"])  # unused slots name bone 0
    to_hand = _hand_axes(mean[-BONES:])
    mean, basis = mean @ to_hand.T, basis @ to_hand.T
    loop = _open_loop(faces)
    faces, weights = _with_forearm(faces, weights / weights.sum(axis=1, keepdims=True), loop)
    across = mean[loop, 0]
    sides = loop[[across.argmin(), across.argmax()]]
    mesh = Mesh(faces, weights, parents, _fingertips(mean, weights), loop, sides)
    return HandModel(mean, basis, mesh)


def _hand_axes(heads: Floats) -> Floats:
    """(3, 3) rows x, y, z of the hand frame: y from the middle knuckle to the wrist, x in the plane of the knuckles."""
    index, middle, little = (heads[CHAINS[finger][0]] for finger in ("index", "middle", "pinky"))
    y = unit(heads[WRIST] - middle)
    x = index - little
    x = unit(x - (x @ y) * y)
    return np.stack((x, y, np.cross(x, y)))


def _fingertips(mean: Floats, weights: Floats) -> Ints:
    """Of the vertices that a finger's last bone moves most, the one farthest along it on the mean hand."""
    skin, heads = mean[:-BONES], mean[-BONES:]
    owner = weights[: len(skin)].argmax(axis=1)
    tips = []
    for _, before, last in CHAINS.values():
        reach = (skin - heads[last]) @ unit(heads[last] - heads[before])
        tips.append(np.where(owner == last, reach, -np.inf).argmax())
    return np.array(tips, dtype=np.intp)


def _open_loop(faces: Ints) -> Ints:
    """The vertices around the only hole of the mesh, in the direction that its triangles run along it."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()
    inner = {(b, a) for a, b in edges}
    following = {a: b for a, b in edges if (a, b) not in inner}
    loop = [min(following)]
    while (vertex := following[loop[-1]]) != loop[0]:
        loop.append(vertex)
    return np.array(loop, dtype=np.intp)


def _with_forearm(faces: Ints, weights: Floats, loop: Ints) -> tuple[Ints, Floats]:
    """Faces and weights of the hand with rings of forearm below the wrist, and a lid on the last ring."""
    side = len(loop)
    rings = [loop, *(len(weights) + side * k + np.arange(side) for k in range(_FOREARM_RINGS))]
    lid = len(weights) + side * _FOREARM_RINGS
    new = []
    for near, far in pairwise(rings):
        after_near, after_far = np.roll(near, -1), np.roll(far, -1)
        new += [np.stack((after_near, near, far), axis=1), np.stack((after_near, far, after_far), axis=1)]
    new.append(np.stack((np.roll(rings[-1], -1), rings[-1], np.full(side, lid)), axis=1))
    rigid = np.zeros((side * _FOREARM_RINGS + 1, weights.shape[1]))
    rigid[:, 0] = 1.0  # the root does not turn with the wrist
    return np.concatenate((faces, *new)), np.concatenate((weights, rigid))


def _forearm(loop: Floats, scale: float) -> Floats:
    """(161, 3) mm: 8 rings that go straight away from the wrist loop (20, 3) and widen, then the middle of the lid."""
    middle = loop.mean(axis=0)
    spokes = loop - middle
    away = -unit(np.cross(spokes, np.roll(spokes, -1, axis=0)).sum(axis=0))  # the loop runs clockwise seen from below
    flat = spokes - (spokes @ away)[:, None] * away
    along = np.linspace(0, 1, _FOREARM_RINGS + 1)[1:]
    wider = 1 + _FOREARM_GROWTH * along * along * (3 - 2 * along)
    rings = middle + (scale * _FOREARM_MM * along)[:, None, None] * away + wider[:, None, None] * flat
    return np.concatenate((rings.reshape(-1, 3), rings[-1].mean(axis=0, keepdims=True)))


def unit(vectors: Floats) -> Floats:
    """The same (..., 3) directions with length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
