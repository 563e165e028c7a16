"""The joints of the four data sets on our hand: each a fixed mixture of bone heads and vertices.

Where papers say what a joint means, it is that; where they do not, labels of real frames decide (ICVL, NYU). All lie
inside the hand, as fitted labels do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.synth.hand import CHAINS, METACARPALS, WRIST, Floats, Ints, Mesh, hand_model

Mixture = Mapping[str, float]
"""Shares of landmarks, adding up to 1. Landmarks: "wrist", and for each finger (of `CHAINS`) "<finger>_1", "_2" and
"_3", the heads of its bones, "<finger>_end", the skin of its end, and but for the thumb "<finger>_0", the head of its
metacarpal."""

_INSIDE_TIP = {"3": 0.25, "end": 0.75}  # about 7 mm behind the skin of the fingertip


def _of(finger: str, shares: Mapping[str, float]) -> Mixture:
    return {f"{finger}_{part}": share for part, share in shares.items()}


def _palm(knuckles: float) -> Mixture:
    """The point at a share of the way from the wrist to the middle of the knuckles, which is beside the third one.

    Of bones that never move in the palm, so that it keeps its distance to the wrist, as NYU's does.
    """
    aside = 0.4 * knuckles
    return {"wrist": 1 - knuckles, "middle_1": knuckles, "ring_0": aside, "index_0": -aside}


def _nyu() -> dict[str, Mixture]:
    """Segments KNU3 (tip), KNU2, KNU1 (base) from B, the near end, to A, the far end short of the next joint.

    The palm points: 1 and 2 in the wrist's sides, 3 in the palm. What NYU's 4 to 6 mean is not published; nothing
    scores them.
    """
    table: dict[str, Mixture] = {}
    for prefix, finger in (("F1", "pinky"), ("F2", "ring"), ("F3", "middle"), ("F4", "index"), ("TH", "thumb")):
        for segment, (near, far) in {"KNU3": ("3", ""), "KNU2": ("2", "3"), "KNU1": ("1", "2")}.items():
            table[f"{prefix}_{segment}_B"] = _of(finger, {near: 1.0})
            table[f"{prefix}_{segment}_A"] = _of(finger, {near: 0.25, far: 0.75} if far else _INSIDE_TIP)
    return table | {
        "PALM_1": {"wrist": 1.0, "thumb_1": -0.35, "pinky_0": 0.35},
        "PALM_2": {"wrist": 1.0, "thumb_1": 0.35, "pinky_0": -0.35},
        "PALM_3": _palm(0.7),
        "PALM_4": {"wrist": 0.5, "middle_1": 0.5, "ring_0": 0.8, "index_0": -0.8},
        "PALM_5": _palm(0.35),
        "PALM_6": {"wrist": 1.0},
    }


def _icvl() -> dict[str, Mixture]:
    """Palm, then root, mid and tip of each finger.

    Roots and mids are no joints of the hand: the medians of bone lengths in the 1,596 test labels fit points inside
    the first and second bone of a finger, with a root mean square of 2 mm over 15 lengths and 3 distances of roots.
    """
    table: dict[str, Mixture] = {"palm": _palm(0.56)}
    for finger in CHAINS:
        root, mid = (0.46, 0.59) if finger == "thumb" else (0.47, 0.6)
        table[f"{finger}_root"] = _of(finger, {"1": 1 - root, "2": root})
        table[f"{finger}_mid"] = _of(finger, {"2": 1 - mid, "3": mid})
        table[f"{finger}_tip"] = _of(finger, {"3": 0.4, "end": 0.6})
    return table


def _joints_21() -> dict[str, Mixture]:
    """MSRA and HANDS17: wrist, and four joints a finger; of the thumb the base, the knuckle, the middle and the tip."""
    table: dict[str, Mixture] = {"wrist": {"wrist": 1.0}}
    for finger in CHAINS:
        table |= {f"{finger}_{name}": _of(finger, {str(k): 1.0}) for k, name in enumerate(("mcp", "pip", "dip"), 1)}
        table[f"{finger}_tip"] = _of(finger, _INSIDE_TIP)
    return table


TABLES: dict[str, dict[str, Mixture]] = {
    "nyu": _nyu(),
    "icvl": _icvl(),
    "msra": _joints_21(),
    "hands17": _joints_21(),
}
"""For each data set what each of its joints is a mixture of."""


@dataclass(frozen=True)
class JointMixture:
    """The joints of one data set.

    Attributes:
        names: in the order of the data set's labels.
        rows: (J, K) indices into vertices followed by bone heads.
        shares: (J, K), each row sums to 1.
    """

    names: tuple[str, ...]
    rows: Ints
    shares: Floats

    def __call__(self, vertices: Floats, heads: Floats) -> Floats:
        """The joints of posed hands.

        Args:
            vertices: (..., V, 3) mm, any frame.
            heads: (..., 21, 3) mm, same frame.

        Returns:
            (..., J, 3) mm, same frame.
        """
        skin = vertices.shape[-2]
        on_skin = (self.rows < skin)[..., None]
        points = np.where(
            on_skin,
            vertices[..., np.minimum(self.rows, skin - 1), :],
            heads[..., np.maximum(self.rows - skin, 0), :],
        )
        return np.asarray((points * self.shares[..., None]).sum(axis=-2))


@cache
def joint_set(name: str) -> JointMixture:
    """The joints of a data set as mixtures of our hand's points.

    Args:
        name: of the data set.

    Returns:
        All its joints, scored or not, in the order of its label files.

    Raises:
        HandbenchError: if there is no such data set, or we do not know its joints.
    """
    names = dataset(name).joints.names
    if name not in TABLES:
        raise HandbenchError(f"no synthetic joints for data set {name}; there are {', '.join(TABLES)}")
    landmarks = _landmarks(hand_model().mesh)
    mixtures = [TABLES[name][joint] for joint in names]
    widest = max(map(len, mixtures))
    rows, shares = np.zeros((len(names), widest), dtype=np.intp), np.zeros((len(names), widest))
    for joint, mixture in enumerate(mixtures):
        rows[joint, : len(mixture)] = [landmarks[landmark] for landmark in mixture]
        shares[joint, : len(mixture)] = list(mixture.values())
    return JointMixture(names, rows, shares)


def _landmarks(mesh: Mesh) -> dict[str, int]:
    """Row of each landmark in vertices followed by bone heads."""
    skin = len(mesh.weights)
    rows = {"wrist": skin + WRIST} | {f"{finger}_0": skin + bone for finger, bone in METACARPALS.items()}
    for tip, (finger, bones) in zip(mesh.tips.tolist(), CHAINS.items(), strict=True):
        rows |= {f"{finger}_{k}": skin + bone for k, bone in enumerate(bones, 1)} | {f"{finger}_end": tip}
    return rows
