"""Fingers that do not run into each other, the thumb or the palm.

A hand is 19 capsules whose ends may differ in radius: three a finger and four in the palm. Where two overlap, the joint
angles give way until they only touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from handbench.arrays import require_last_axis
from handbench.synth.compiled import njit
from handbench.synth.hand import CHAINS, METACARPALS, WRIST, Floats, Hand, Ints, chain, unit
from handbench.synth.joints import ANGLES, BONES_OF_ANGLES, LIMITS_DEG, Joints, turn_bones

_PALM = 5  # part numbers: the fingers of CHAINS, then the palm
_SOFT_MM = 1.2  # fingertips, and fingers side by side, overlap so far before they give way: skin is soft
_TOUCH_MM = 0.3  # overlaps below this are left
_ROUNDS = 25
_GIVE = 0.7  # of the wanted change a round makes: several contacts share an angle
_STIFF_MM = 6.0  # an angle with a shorter lever than this gives way little
_READY = np.array([0.0 if name.startswith("wrist") else 1.0 if name.startswith("thumb") else 0.5 for name in ANGLES])
"""(18,) how readily an angle gives way: the thumb rather than the fingers it lies on."""
_SPREAD_OPEN = {f"{finger}_spread": spread for finger, spread in zip(METACARPALS, (12, 2, -8, -18), strict=True)}
_OPEN_DEG = np.array([_SPREAD_OPEN.get(name, 45.0 if name == "thumb_spread" else 5.0) for name in ANGLES])


class _Body(NamedTuple):
    """What the compiled loops read: the fields of `Capsules`, of `Joints`, and the bones at rest."""

    bone: Ints
    ends: Floats
    radii: Floats
    pairs: Ints
    allowed: Floats
    axes: Floats
    rest: Floats
    table: Floats
    heads: Floats
    parents: Ints


@dataclass(frozen=True)
class Capsules:
    """The shape that contact is tested with.

    Attributes:
        bone: (C,) what carries each capsule.
        ends: (C, 2, 3) mm, middle of its ends at rest, hand frame.
        radii: (C, 2) mm, at its ends; in between they change evenly.
        pairs: (P, 2) capsules that are tested against each other.
        allowed: (P,) mm, overlap that is no contact: what an open hand has, and the softness of the skin.
    """

    bone: Ints
    ends: Floats
    radii: Floats
    pairs: Ints
    allowed: Floats

    @classmethod
    def of(cls, hand: Hand, joints: Joints) -> Self:
        """Capsules that fit a hand."""
        parts, bones, ends, radii = [], [], [], []
        for part, (tip, chain_) in enumerate(zip(hand.mesh.tips, CHAINS.values(), strict=True)):
            points = [*hand.heads[list(chain_)], hand.vertices[tip]]
            for bone, start, end in zip(chain_, points[:-1], points[1:], strict=True):
                middle, radius = _fit(hand.vertices[hand.mesh.owners() == bone], start, end)
                if bone == chain_[-1]:
                    middle[1] -= unit(middle[1] - middle[0]) * radius[1]  # round off inside the fingertip
                parts.append(part)
                bones.append(bone)
                ends.append(middle)
                radii.append(radius)
        for finger, bone in METACARPALS.items():
            middle, radius = _fit_palm(hand, hand.heads[CHAINS[finger][0]])
            parts.append(_PALM)
            bones.append(bone)
            ends.append(middle)
            radii.append(radius)
        pairs = _pairs(parts, bones)
        shape = cls(np.array(bones), np.array(ends), np.array(radii), pairs, np.zeros(len(pairs)))
        of, tips = np.array(parts)[pairs], [chain_[-1] for chain_ in CHAINS.values()]
        side_by_side = (of > 0).all(axis=1) & (of[:, 1] - of[:, 0] == 1) & (of[:, 1] < _PALM)
        soft = side_by_side | np.isin(shape.bone[pairs], tips).all(axis=1)
        allowed = np.maximum(shape.overlaps(hand, joints, _OPEN_DEG), 0.0) + np.where(soft, _SOFT_MM, 0.0)
        return cls(shape.bone, shape.ends, shape.radii, pairs, allowed)

    def overlaps(self, hand: Hand, joints: Joints, angles_deg: Floats) -> Floats:
        """(..., P) mm that each pair overlaps beyond `allowed` in poses (..., 18); negative: free space between."""
        require_last_axis(angles_deg, len(ANGLES), "angles_deg")
        angles = np.radians(np.ascontiguousarray(angles_deg, dtype=np.float64).reshape(-1, len(ANGLES)))
        found = np.empty((len(angles), len(self.pairs)))
        _overlaps(angles, self._body(hand, joints), found)
        return found.reshape(*angles_deg.shape[:-1], len(self.pairs))

    def relaxed(self, hand: Hand, joints: Joints, angles_deg: Floats) -> Floats:
        """Poses without deep overlaps, near the given ones.

        Args:
            hand: the capsules' own.
            joints: of that hand.
            angles_deg: (..., 18) in the order of `ANGLES`. A small change of these changes the answer by little, so a
                smooth motion stays smooth.

        Returns:
            (..., 18) degrees, within the limits; the same bits where nothing overlaps.

        Raises:
            ShapeError: if the last axis is not 18.

        Source: position-based dynamics (Mueller et al., "Position based dynamics", 2007) in the space of joint angles.
        """
        require_last_axis(angles_deg, len(ANGLES), "angles_deg")
        angles = np.radians(np.ascontiguousarray(angles_deg, dtype=np.float64).reshape(-1, len(ANGLES)))
        moved = np.zeros(len(angles), dtype=np.bool_)
        _relax(angles, self._body(hand, joints), np.radians(LIMITS_DEG), _READY, moved)
        freed = np.where(
            moved.reshape(*angles_deg.shape[:-1], 1), np.degrees(angles).reshape(angles_deg.shape), angles_deg
        )
        return np.asarray(freed, dtype=np.float64)

    def _body(self, hand: Hand, joints: Joints) -> _Body:
        shape = (self.bone, self.ends, self.radii, self.pairs, self.allowed)
        return _Body(*shape, joints.axes, joints.rest, BONES_OF_ANGLES, hand.heads, hand.mesh.parents)


def _fit(skin: Floats, start: Floats, end: Floats) -> tuple[Floats, Floats]:
    """Ends (2, 3) and radii (2,) of the capsule in the skin (n, 3) around a bone; its ends are beside the bone's."""
    length = float(np.linalg.norm(end - start))
    along = (end - start) / length
    share = (skin - start) @ along / length
    middle, radius = np.stack((start, end)), np.empty(2)
    for k, (low, high) in enumerate(((0.25, 0.6), (0.5, 0.9))):
        ring = skin[(share > low) & (share < high)]
        ring = ring if len(ring) > 3 else skin
        across = ring - start - np.outer((ring - start) @ along, along)
        aside = (across.min(axis=0) + across.max(axis=0)) / 2
        middle[k] += aside
        # fingers are wider than thick, and touch with their thin side
        radius[k] = np.percentile(np.linalg.norm(across - aside, axis=1), 35)
    return middle, radius


def _fit_palm(hand: Hand, knuckle: Floats) -> tuple[Floats, Floats]:
    """Ends and radii of the capsule between wrist and knuckle, half as thick as the palm is there."""
    middle, radius = np.empty((2, 3)), np.empty(2)
    flat = hand.vertices[~np.isin(hand.mesh.owners(), CHAINS["thumb"])]
    for k, share in enumerate((0.4, 0.93)):
        point = hand.heads[WRIST] + share * (knuckle - hand.heads[WRIST])
        near = np.linalg.norm(flat[:, :2] - point[:2], axis=1)
        skin = flat[near <= np.sort(near)[7], 2]
        middle[k] = [*point[:2], (skin.min() + skin.max()) / 2]
        radius[k] = (skin.max() - skin.min()) / 2
    return middle, radius


def _pairs(parts: list[int], bones: list[int]) -> Ints:
    """(P, 2) all capsules of different parts but those that grow from the palm: first bones."""
    first = {chain_[0] for chain_ in CHAINS.values()}
    found = []
    for a, part in enumerate(parts):
        for b in range(a + 1, len(parts)):
            rooted = parts[b] == _PALM and bones[a] in first
            if part != parts[b] and not rooted:
                found.append((a, b))
    return np.array(found, dtype=np.intp)


@njit(cache=True, nogil=True)
def _posed(angles: Any, body: Any, turns: Any, shifts: Any, there: Any) -> None:
    """Turns (21, 3, 3), shifts (21, 3) and capsule ends (C, 2, 3) of one pose (18,), written."""
    rotations = np.empty(turns.shape)
    turn_bones(angles, body.axes, body.rest, body.table, rotations)
    chain(rotations, body.heads, body.parents, turns, shifts)
    for c in range(len(body.bone)):
        bone = body.bone[c]
        for end in range(2):
            x, y, z = body.ends[c, end]
            for i in range(3):
                there[c, end, i] = (
                    turns[bone, i, 0] * x + turns[bone, i, 1] * y + turns[bone, i, 2] * z + shifts[bone, i]
                )


@njit(cache=True, nogil=True)
def _nearest(a: Any, b: Any) -> tuple[float, float]:
    """Where on two segments (2, 3) they are nearest, as shares of their lengths.

    Source: Ericson, "Real-Time Collision Detection", 2005, section 5.1.9.
    """
    dd = ee = de = dr = er = 0.0
    for i in range(3):
        d, e, r = a[1, i] - a[0, i], b[1, i] - b[0, i], a[0, i] - b[0, i]
        dd += d * d
        ee += e * e
        de += d * e
        dr += d * r
        er += e * r
    bottom = dd * ee - de * de
    s = min(max((de * er - dr * ee) / bottom, 0.0), 1.0) if bottom > 1e-9 else 0.5
    t = (de * s + er) / ee
    if t < 0.0:
        t, s = 0.0, min(max(-dr / dd, 0.0), 1.0)
    elif t > 1.0:
        t, s = 1.0, min(max((de - dr) / dd, 0.0), 1.0)
    return s, t


@njit(cache=True, nogil=True)
def _overlap(body: Any, p: int, there: Any, on_a: Any, on_b: Any) -> Any:
    """Overlap of a pair of capsules beyond what is allowed, mm; writes the nearest points (3,) of their axes."""
    a, b = body.pairs[p]
    s, t = _nearest(there[a], there[b])
    square = 0.0
    for i in range(3):
        on_a[i] = there[a, 0, i] + s * (there[a, 1, i] - there[a, 0, i])
        on_b[i] = there[b, 0, i] + t * (there[b, 1, i] - there[b, 0, i])
        square += (on_a[i] - on_b[i]) ** 2
    reach_a = body.radii[a, 0] + s * (body.radii[a, 1] - body.radii[a, 0])
    reach_b = body.radii[b, 0] + t * (body.radii[b, 1] - body.radii[b, 0])
    return reach_a + reach_b - np.sqrt(square) - body.allowed[p]


@njit(cache=True, nogil=True)
def _overlaps(poses: Any, body: Any, found: Any) -> None:
    """Overlaps (N, P) beyond what is allowed, of poses (N, 18) in radians; written."""
    turns, shifts = np.empty((len(body.parents), 3, 3)), np.empty((len(body.parents), 3))
    there, on_a, on_b = np.empty(body.ends.shape), np.empty(3), np.empty(3)
    for n in range(len(poses)):
        _posed(poses[n], body, turns, shifts, there)
        for p in range(len(body.pairs)):
            found[n, p] = _overlap(body, p, there, on_a, on_b)


@njit(cache=True, nogil=True)
def _levers(angles: Any, body: Any, turns: Any, levers: Any) -> None:
    """Direction (21, 3, 3) in the posed hand of each axis that a bone turns about; written."""
    for bone in range(1, len(body.parents)):
        for kind in range(3):
            x, y, z = body.axes[bone, kind]
            for outer in range(kind - 1, -1, -1):  # what turns first is carried along by what turns after it
                a, b, c = body.axes[bone, outer]
                turn = -body.rest[bone, outer]
                for k in range(len(angles)):
                    turn += body.table[bone, outer, k] * angles[k]
                s, cos = np.sin(turn), np.cos(turn)
                if a == 0.0 and b == 0.0 and c == 0.0:
                    continue
                dot = (1.0 - cos) * (a * x + b * y + c * z)
                x, y, z = (
                    cos * x + s * (b * z - c * y) + dot * a,
                    cos * y + s * (c * x - a * z) + dot * b,
                    cos * z + s * (a * y - b * x) + dot * c,
                )
            above = turns[body.parents[bone]]
            for i in range(3):
                levers[bone, kind, i] = above[i, 0] * x + above[i, 1] * y + above[i, 2] * z


@njit(cache=True, nogil=True)
def _add_slope(slope: Any, bone: int, point: Any, away: Any, body: Any, levers: Any, turns: Any, shifts: Any) -> None:
    """Add to `slope` (18,) how fast a point that a bone carries goes along `away`, mm a radian of each angle."""
    arm = np.empty(3)
    while bone > WRIST:
        x, y, z = body.heads[bone]
        for i in range(3):
            head = turns[bone, i, 0] * x + turns[bone, i, 1] * y + turns[bone, i, 2] * z + shifts[bone, i]
            arm[i] = point[i] - head
        for kind in range(3):
            a, b, c = levers[bone, kind]
            rate = (
                away[0] * (b * arm[2] - c * arm[1])
                + away[1] * (c * arm[0] - a * arm[2])
                + away[2] * (a * arm[1] - b * arm[0])
            )
            if rate != 0.0:
                for k in range(len(slope)):
                    slope[k] += body.table[bone, kind, k] * rate
        bone = body.parents[bone]


@njit(cache=True, nogil=True)
def _push(angles: Any, body: Any, ready: Any, change: Any) -> bool:
    """Write into `change` (18,) what frees one pose of its contacts, as far as one step can; tell if there were any."""
    turns, shifts = np.empty((len(body.parents), 3, 3)), np.empty((len(body.parents), 3))
    there, on_a, on_b, away = np.empty(body.ends.shape), np.empty(3), np.empty(3), np.empty(3)
    levers, slope = np.empty((len(body.parents), 3, 3)), np.empty(len(angles))
    _posed(angles, body, turns, shifts, there)
    change[:] = 0.0
    touched = False
    for p in range(len(body.pairs)):
        overlap = _overlap(body, p, there, on_a, on_b)
        if overlap <= _TOUCH_MM:
            continue
        if not touched:
            _levers(angles, body, turns, levers)
            touched = True
        away[:] = on_a - on_b
        away /= np.sqrt((away * away).sum()) + 1e-9
        slope[:] = 0.0
        a, b = body.pairs[p]
        _add_slope(slope, body.bone[a], on_a, away, body, levers, turns, shifts)
        _add_slope(slope, body.bone[b], on_b, -away, body, levers, turns, shifts)
        size = _STIFF_MM * _STIFF_MM
        for k in range(len(slope)):
            size += ready[k] * slope[k] * slope[k]
        for k in range(len(slope)):
            change[k] += _GIVE * overlap * ready[k] * slope[k] / size
    return touched


@njit(cache=True, nogil=True)
def _relax(poses: Any, body: Any, limits: Any, ready: Any, moved: Any) -> None:
    """Move the poses (N, 18), radians, out of contact; `moved` (N,) tells which were changed."""
    change = np.empty(poses.shape[1])
    for n in range(len(poses)):
        for _ in range(_ROUNDS):
            if not _push(poses[n], body, ready, change):
                break
            moved[n] = True
            for k in range(len(change)):
                poses[n, k] = min(max(poses[n, k] + change[k], limits[k, 0]), limits[k, 1])
