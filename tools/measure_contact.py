"""Measures how deep fingers enter the rest of the hand, in poses as they are drawn and after `Subject.relaxed`.

    python tools/measure_contact.py [POSES]

POSES random ones (25) of each of three people, between the named poses that NYU, ICVL and HANDS17 share and between
MSRA's gestures. What contact is solved with are capsules; what is measured here is the skin: a point of a finger is
inside the rest of the hand if the winding number of that rest about it exceeds 1/2, and as deep as the nearest triangle
is far. The rest is open where the finger was cut off, so it is the generalised winding number of Jacobson, Kavan &
Sorkine-Hornung, "Robust inside-outside segmentation using generalized winding numbers", 2013.

The first segment of a finger is left out, as it grows from the palm, and so is the inner half of the thumb's middle
segment. What comes out, after two minutes on two cores, is the table in docs/synthetic.md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit, prange

from handbench.synth.gestures import gesture_names, random_pose
from handbench.synth.hand import CHAINS, Floats, Hand, Ints
from handbench.synth.subject import Subject, subject_of

SEED, PEOPLE = 20261122, 3  # neither these people nor these poses were looked at when contact was made
DEEP_MM = (1, 3, 5)
TABLES = {"nyu": "shared poses", "msra": "MSRA's gestures"}


@njit(cache=True, fastmath=True)
def winding_number(point: Any, vertices: Any, faces: Any) -> Any:
    """Of triangles (F, 3) with corners in (V, 3) about a point (3,): 1 inside, 0 outside of what is closed.

    Source: the solid angle of a triangle is that of van Oosterom & Strackee, 1983.
    """
    total = 0.0
    for face in faces:
        a, b, c = vertices[face[0]] - point, vertices[face[1]] - point, vertices[face[2]] - point
        la, lb, lc = np.sqrt((a * a).sum()), np.sqrt((b * b).sum()), np.sqrt((c * c).sum())
        volume = (
            a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
        )
        below = la * lb * lc + (a * b).sum() * lc + (a * c).sum() * lb + (b * c).sum() * la
        total += 2 * np.arctan2(volume, below)
    return total / (4 * np.pi)


@njit(cache=True, fastmath=True)
def square_to_segment(point: Any, start: Any, along: Any) -> Any:
    """Squared distance of a point (3,) to the segment from `start` to `start + along`."""
    share = min(max(((point - start) * along).sum() / (along * along).sum(), 0.0), 1.0)
    rest = point - start - share * along
    return (rest * rest).sum()


@njit(cache=True, fastmath=True)
def distance(point: Any, vertices: Any, faces: Any) -> Any:
    """Of a point (3,) to the nearest triangle."""
    best = np.inf
    for face in faces:
        a = vertices[face[0]]
        ab, ac, ap = vertices[face[1]] - a, vertices[face[2]] - a, point - a
        bb, cc, bc = (ab * ab).sum(), (ac * ac).sum(), (ab * ac).sum()
        pb, pc = (ap * ab).sum(), (ap * ac).sum()
        det = bb * cc - bc * bc
        v, w = cc * pb - bc * pc, bb * pc - bc * pb
        if v >= 0 and w >= 0 and v + w <= det:  # the foot of the perpendicular lies in the triangle
            rest = ap - (v * ab + w * ac) / det
            best = min(best, (rest * rest).sum())
        else:
            best = min(best, square_to_segment(point, a, ab), square_to_segment(point, a, ac))
            best = min(best, square_to_segment(point, a + ab, ac - ab))
    return np.sqrt(best)


@njit(cache=True, parallel=True, fastmath=True)
def depths(points: Any, vertices: Any, faces: Any) -> Any:
    """(N,) how deep each of (N, 3) points lies inside the triangles; 0 outside."""
    found = np.zeros(len(points))
    for k in prange(len(points)):
        if winding_number(points[k], vertices, faces) > 0.5:
            found[k] = distance(points[k], vertices, faces)
    return found


def fingers(hand: Hand) -> Iterator[tuple[Ints, Ints]]:
    """For each finger the vertices that are tested, (n,), and the triangles of the rest of the hand, (m, 3)."""
    owner, mesh = hand.mesh.owners(), hand.mesh
    for finger, (first, second, third) in CHAINS.items():
        tested, own = np.isin(owner, (second, third)), np.isin(owner, (first, second, third))
        if finger == "thumb":  # its first bone is in the palm
            start, along = hand.heads[second], hand.heads[third] - hand.heads[second]
            inner = (hand.vertices - start) @ along < 0.5 * (along @ along)
            own, tested = tested, tested & ~((owner == second) & inner)
        yield np.flatnonzero(tested), np.ascontiguousarray(mesh.faces[~own[mesh.faces].any(axis=1)])


def deepest(subject: Subject, angles_deg: Floats) -> Floats:
    """(N,) mm: how deep the deepest point of any finger lies in the rest of the hand, in each of (N, 18) poses."""
    parts = list(fingers(subject.hand))
    posed, _ = subject.hand.pose(subject.joints.rotations(angles_deg))
    return np.array([max(depths(skin[rows], skin, rest).max() for rows, rest in parts) for skin in posed])


def row(name: str, deep_mm: Floats) -> str:
    """A line of the table in Markdown."""
    shares = " | ".join(f"{np.count_nonzero(deep_mm > limit)}" for limit in DEEP_MM)
    return f"| {name} | {len(deep_mm)} | {shares} | {deep_mm.max():.1f} mm |"


def main(poses: int) -> None:
    """Print the table."""
    print(f"| | poses | {' | '.join(f'> {limit} mm' for limit in DEEP_MM)} | deepest |\n|---|{'---|' * 5}")
    for number, (table, title) in enumerate(TABLES.items()):
        before, after = [], []
        for person in range(PEOPLE):
            subject, rng = subject_of((SEED, person)), np.random.default_rng((SEED, person, number))
            angles_deg = np.stack([random_pose(rng, gesture_names(table))[1] for _ in range(poses)])
            before.append(deepest(subject, angles_deg))
            after.append(deepest(subject, subject.relaxed(angles_deg)))
        print(row(f"{title}, as drawn", np.concatenate(before)))
        print(row(f"{title}, after contact", np.concatenate(after)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25)
