"""Labels that are wrong: what bones, time, other people's predictions and the depth image say against them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from handbench.errors import HandbenchError

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

CHECKS = {
    "consensus": "methods agree with each other and disagree with the label",
    "bone": "a bone is not as long as that of the same hand in other frames",
    "jump": "the label jumps and the hand does not",
    "repeat": "the label is that of the frame before, to the last digit",
    "surface": "a joint lies far from everything that the sensor saw",
}


@dataclass(frozen=True)
class AuditConfig:
    """From where on a label is suspected. Distances in mm.

    Attributes:
        far: of a joint's label from the consensus of the methods.
        agreement: how many times as far as the methods lie from their consensus that must be.
        bone: off the median length of a bone; and more than `bone_mad` times the median absolute deviation.
        bone_mad: that factor.
        jump: of a joint's label from one frame to the next, or out of the line between its neighbours.
        still: how much the consensus may move while a label jumps.
        surface: of a joint from the nearest measured point.

    Raises:
        HandbenchError: if one is not positive.
    """

    far: float = 40.0
    agreement: float = 6.0
    bone: float = 15.0
    bone_mad: float = 6.0
    jump: float = 40.0
    still: float = 10.0
    surface: float = 40.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise HandbenchError(f"--{name.replace('_', '-')} {value:g} is not positive")


@dataclass(frozen=True)
class Labels:
    """What is audited.

    Attributes:
        joints_xyz: (N, J, 3) mm; NaN = not labelled.
        counts: (N,) whether the frame is scored; others are passed over.
        group: (N,) name of the subject or sequence; time and bones are looked at within one.
        edges: bones as pairs of joints.
        predictions: (M, N, J, 3) mm of M methods; M may be 0.
    """

    joints_xyz: Floats
    counts: Mask
    group: npt.NDArray[np.str_]
    edges: tuple[tuple[int, int], ...]
    predictions: Floats

    @property
    def consensus(self) -> Floats | None:
        """(N, J, 3) median of the methods in each coordinate; None for fewer than three: two cannot outvote one."""
        return np.median(self.predictions, axis=0) if len(self.predictions) >= 3 else None


@dataclass(frozen=True)
class Finding:
    """One frame that one check suspects.

    Attributes:
        check: a key of `CHECKS`.
        row: of the frame among the labels.
        joint: the joint, or outer end of the bone, that speaks loudest; -1 = the frame as a whole.
        mm: how far off it is.
        severity: `mm` over what the check lets pass; ranks findings of different checks.
    """

    check: str
    row: int
    joint: int
    mm: float
    severity: float


def audit(labels: Labels, config: AuditConfig) -> list[Finding]:
    """Every finding of the checks that need no image, the worst first."""
    checks: tuple[Callable[[Labels, AuditConfig], Iterable[Finding]], ...] = (disagreements, bones, jumps, repeats)
    return ranked(finding for check in checks for finding in check(labels, config))


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """The worst first, in an order that does not depend on how they came."""
    return sorted(findings, key=lambda finding: (-finding.severity, finding.check, finding.row))


def disagreements(labels: Labels, config: AuditConfig) -> list[Finding]:
    """Joints that the methods place together, and far from the label.

    The consensus is the median of the methods in each coordinate, their agreement the median of their distances to it.
    None for fewer than three methods.
    """
    consensus = labels.consensus
    if consensus is None:
        return []
    agreement = np.median(_distance(labels.predictions, consensus), axis=0)
    off = _distance(labels.joints_xyz, consensus)
    suspect = (off > config.far) & (off > config.agreement * agreement) & labels.counts[:, None]
    return _worst_joint("consensus", np.where(suspect, off, 0.0), config.far)


def bones(labels: Labels, config: AuditConfig) -> list[Finding]:
    """Bones that differ from the median of their group."""
    lengths = bone_lengths(labels.joints_xyz, labels.edges)
    lengths[~labels.counts] = np.nan
    off = np.zeros_like(lengths)
    for name in dict.fromkeys(labels.group[labels.counts].tolist()):
        rows = (labels.group == name) & labels.counts
        labelled = ~np.isnan(lengths[rows]).all(axis=0)
        own = lengths[np.ix_(rows, labelled)]
        difference = np.abs(own - np.nanmedian(own, axis=0))
        spread = np.nanmedian(difference, axis=0)
        suspect = (difference > config.bone) & (difference > config.bone_mad * spread)
        off[np.ix_(rows, labelled)] = np.where(suspect, difference, 0.0)
    outer = np.array([edge[0] for edge in labels.edges], np.intp)
    found = _worst_joint("bone", off, config.bone)
    return [Finding(f.check, f.row, int(outer[f.joint]), f.mm, f.severity) for f in found]


def jumps(labels: Labels, config: AuditConfig) -> list[Finding]:
    """Labels that move from one frame to the next where the consensus stays; without one, that leave and come back."""
    truth, consensus = labels.joints_xyz, labels.consensus
    off = np.zeros(truth.shape[:2])
    if consensus is not None:
        step, moved = _distance(truth[1:], truth[:-1]), _distance(consensus[1:], consensus[:-1])
        suspect = (step > config.jump) & (moved < config.still) & _joined(labels, 1)[:, None]
        off[1:] = np.where(suspect, step, 0.0)
    elif len(truth) > 2:
        aside = _distance(truth[1:-1], (truth[2:] + truth[:-2]) / 2) - _distance(truth[2:], truth[:-2]) / 2
        suspect = (aside > config.jump) & (_joined(labels, 1)[1:] & _joined(labels, 2))[:, None]
        off[1:-1] = np.where(suspect, aside, 0.0)
    return _worst_joint("jump", off, config.jump)


def repeats(labels: Labels, config: AuditConfig) -> list[Finding]:
    """Labels equal to those of the frame before; `mm` is how far the consensus moved meanwhile, 0 without one."""
    truth, consensus = labels.joints_xyz, labels.consensus
    same = (truth[1:] == truth[:-1]).all(axis=(1, 2)) & _joined(labels, 1)
    moved = np.zeros(truth.shape[:2]) if consensus is None else _distance(consensus[1:], consensus[:-1])
    found = []
    for row in np.flatnonzero(same).tolist():
        joint = -1 if consensus is None else int(moved[row].argmax())
        mm = float(moved[row].max()) if consensus is not None else 0.0
        found.append(Finding("repeat", row + 1, joint, mm, mm / config.still))
    return found


def _joined(labels: Labels, apart: int) -> Mask:
    """(N - apart,) whether a frame and the one so many rows later are scored and of one group."""
    same: Mask = labels.group[apart:] == labels.group[:-apart]
    return same & labels.counts[apart:] & labels.counts[:-apart]


def bone_lengths(xyz: Floats, edges: tuple[tuple[int, int], ...]) -> Floats:
    """(N, E) mm: the distance between the two joints of each bone.

    Args:
        xyz: (N, J, 3) mm.
        edges: E pairs of joints.
    """
    ends = np.array(edges, np.intp).reshape(-1, 2)
    return _distance(xyz[:, ends[:, 0]], xyz[:, ends[:, 1]])


def _distance(a: Floats, b: Floats) -> Floats:
    """(...,) mm between points; NaN where one is."""
    difference = a - b
    distance: Floats = np.sqrt(np.einsum("...i,...i->...", difference, difference))
    return distance


def _worst_joint(check: str, off: Floats, limit: float) -> list[Finding]:
    """A finding for each frame with a value above 0 in (N, J)."""
    off = np.nan_to_num(off, nan=0.0)
    rows = np.flatnonzero(off.max(axis=1, initial=0.0))
    worst = off.argmax(axis=1)
    return [
        Finding(check, row, int(worst[row]), float(off[row, worst[row]]), float(off[row, worst[row]] / limit))
        for row in rows.tolist()
    ]
