"""Why a file scores badly: other readings of the same numbers, tried against the labels.

A reading is believed only if it is much better than the one that the file got, and if it says something of each frame:
it must also be much better than the same points with the frames mixed up. Files that are merely bad stay merely bad.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from handbench.camera import PRESETS, Camera
from handbench.datasets import dataset
from handbench.datasets.spec import DatasetSpec
from handbench.errors import HandbenchError
from handbench.eval.alignment import Run, find_runs, pairs
from handbench.eval.truth import Truth
from handbench.predictions import RawPoints, Reading
from handbench.predictions.orders import JointOrder, known_orders
from handbench.predictions.reading import settle, to_xyz
from handbench.scores import joint_error

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SAMPLE = 200  # frames that readings are tried on
_FINALISTS = 4  # readings that frames are aligned for
_HALF = 0.5  # of the error as read: believed
_BETTER, _SHARE = 0.85, 0.9  # of the error as read: believed, too, if so large a share of the frames gets better
_SHIFTED = 0.95  # of the error as read, for a shift alone: files that are right are best without one
_SIGMAS, _GROUPS = 5.0, 40  # how sure the gain must be, over groups of frames
_MIXED = 0.6  # of the error with the frames mixed up: a reading must say something of each frame
_SAME = (1.05, 0.2)  # errors within a factor and mm of the best: the plainest reading wins
_NEVER = 1e9  # mm: how far joints are that are never there together
_KNOWN = 1.02  # a known joint order is taken before an unknown one that is better by no more than this


@dataclass(frozen=True)
class Finding:
    """A reading of the file that explains it.

    Attributes:
        reading: settled; its `frames` are None.
        runs: where the lines belong; empty where line = frame.
        mean_error_mm: over the frames that lines belong to.
        frames: how many these are.
    """

    reading: Reading
    runs: tuple[Run, ...]
    mean_error_mm: float
    frames: int


@dataclass(frozen=True)
class Verdict:
    """What a check says.

    Attributes:
        as_read: the settled reading that the file gets by itself; None if it does not say enough.
        why_not: why it gets none; empty if it does.
        mean_error_mm: of that reading, over the lines that are frames; NaN if there is none.
        finding: the reading that explains the file better, or None.
    """

    as_read: Reading | None
    why_not: str
    mean_error_mm: float
    finding: Finding | None


def explain(raw: RawPoints, lines: Ints, rows: Ints, truth: Truth, where: str) -> Verdict:
    """Look for a reading that makes a file better.

    Args:
        raw: the numbers of the file, line by line.
        lines: (K,) lines of the file and
        rows: (K,) frames of the truth that belong together as far as names, or the order, say.
        truth: the labels.
        where: name of the file for messages.
    """
    try:
        as_read = settle(raw, truth.spec, Reading(), where)
        why_not = ""
    except HandbenchError as refusal:
        as_read, why_not = None, str(refusal)
    scored = truth.counts[rows]
    lines, rows = lines[scored], rows[scored]
    trial = _Trial(raw, truth, lines, rows)
    error = trial.error(as_read, lines, rows) if as_read else np.full(1, np.nan)
    candidates = trial.candidates(as_read)
    found = [Finding(reading, (), *trial.mean(reading, lines, rows)) for reading in candidates[:_FINALISTS]]
    if raw.names is None:
        found += trial.aligned(candidates[:_FINALISTS])
    finding = trial.believed(_plainest(found, as_read), as_read, error) if found else None
    return Verdict(as_read, why_not, float(np.nanmean(error)) if np.isfinite(error).any() else np.nan, finding)


def changes(finding: Finding, as_read: Reading | None, spec: DatasetSpec) -> list[str]:
    """What differs from the reading that the file got, in words."""
    new, old = finding.reading, as_read or Reading()
    assert new.order is not None
    words = []
    if new.order.take != (old.order or known_orders(spec)[0]).take:
        words.append(new.order.title)
    if new.space != old.space:
        words.append(f"{new.space}, read as {old.space}" if old.space else str(new.space))
    for axis in "xyz":
        if (axis in (new.flip or "")) != (axis in (old.flip or "")):
            words.append(_AXES[axis] if axis in (new.flip or "") else f"no {_AXES[axis]}")
    if new.swap != old.swap:
        words.append("rows before columns")
    if new.unit != old.unit:
        words.append({"m": "metres", "cm": "centimetres", "mm": "millimetres"}[new.unit])
    if new.camera != old.camera and new.camera is not None:
        words.append(f"the intrinsics of {_camera_name(new.camera, spec)}")
    return words + _words_of_runs(finding.runs)


_AXES = {"x": "x to the left (mirrored)", "y": "y up", "z": "z negative"}


def _words_of_runs(runs: tuple[Run, ...]) -> list[str]:
    if not runs:
        return []
    if len(runs) == 1:
        offset = runs[0].offset
        return (
            [f"frames shifted by {abs(offset)}: line 1 is frame {1 + offset}"]
            if offset > 0
            else [f"frames shifted by {abs(offset)}: line {1 - offset} is frame 1"]
        )
    some = ", ".join(
        f"lines {r.first + 1}-{r.last + 1} are frames {r.first + r.offset + 1}-{r.last + r.offset + 1}"
        for r in runs[:3]
    )
    return [f"{len(runs)} blocks of frames in another order: {some}" + (", ..." if len(runs) > 3 else "")]


class _Trial:
    """The points of one file and the labels that readings are tried against."""

    def __init__(self, raw: RawPoints, truth: Truth, lines: Ints, rows: Ints) -> None:
        self.raw, self.truth, self.lines, self.rows = raw, truth, lines, rows
        self.spec = truth.spec
        some = np.unique(np.linspace(0, len(lines) - 1, _SAMPLE).astype(int)) if len(lines) else np.zeros(0, int)
        self.some_lines, self.some_rows = lines[some], rows[some]

    def error(self, reading: Reading, lines: Ints, rows: Ints) -> Floats:
        """(K,) mean joint error of each frame; NaN where nothing is predicted."""
        xyz = to_xyz(self.raw.values[lines], reading, self.truth.camera)
        return _frame_mean(joint_error(xyz, self.truth.joints_xyz[rows]))

    def mean(self, reading: Reading, lines: Ints, rows: Ints) -> tuple[float, int]:
        """Mean error in mm, and of how many frames."""
        error = self.error(reading, lines, rows)
        known = np.isfinite(error)
        return (float(error[known].mean()) if known.any() else np.inf), int(known.sum())

    def candidates(self, as_read: Reading | None) -> list[Reading]:
        """Settled readings, the best on a sample of frames first; the one that the file got is among the first."""
        scored = []
        for reading in _spaces(self.truth):
            for order in self._orders(reading):
                tried = replace(reading, order=order)
                scored.append((self.mean(tried, self.some_lines, self.some_rows)[0], tried))
        scored.sort(key=lambda pair: pair[0])
        best = [reading for _, reading in _distinct(scored)]
        return [*best[: _FINALISTS - 1], *([as_read] if as_read else []), *best[_FINALISTS - 1 :]]

    def _orders(self, reading: Reading) -> list[JointOrder]:
        """The known orders of so many joints, and the best that there is if it is none of them."""
        count = self.raw.values.shape[1]
        wanted = len(self.spec.joints.scored)
        known = [order for order in known_orders(self.spec) if order.count == count]
        if count < wanted:
            return known
        every = replace(reading, order=JointOrder("", "", count, tuple(range(count))))
        xyz = to_xyz(self.raw.values[self.some_lines], every, self.truth.camera)
        labels = self.truth.joints_xyz[self.some_rows]
        distance = np.linalg.norm(xyz[:, None, :, :] - labels[:, :, None, :], axis=3)
        known_pairs = np.isfinite(distance)
        cost = np.where(known_pairs, distance, 0.0).sum(axis=0) / np.maximum(known_pairs.sum(axis=0), 1)
        cost[~known_pairs.any(axis=0)] = _NEVER
        take = tuple(linear_sum_assignment(cost)[1].tolist())
        total = cost[np.arange(wanted), list(take)].mean()
        if any(cost[np.arange(wanted), list(order.take)].mean() <= _KNOWN * total for order in known):
            return known
        text = ",".join(map(str, take))
        return [*known, JointOrder(text, f"joint order {text}", count, take)]

    def aligned(self, readings: list[Reading]) -> list[Finding]:
        """The readings with the lines where they belong, for those whose lines belong elsewhere."""
        found = []
        for reading in readings:
            xyz = to_xyz(self.raw.values, reading, self.truth.camera)
            runs = find_runs(xyz, self.truth.joints_xyz)
            if not runs or self._as_paired(runs):
                continue
            lines, rows = pairs(runs, len(self.truth))
            scored = self.truth.counts[rows]
            found.append(Finding(reading, tuple(runs), *self.mean(reading, lines[scored], rows[scored])))
        return found

    def _as_paired(self, runs: list[Run]) -> bool:
        """Whether the runs say what the order of the lines says already."""
        return len(runs) == 1 and len(self.lines) > 0 and runs[0].offset == int(self.rows[0] - self.lines[0])

    def believed(self, finding: Finding, as_read: Reading | None, error: Floats) -> Finding | None:
        """The finding, if it is one."""
        if finding.reading == as_read and not finding.runs:
            return None
        lines, rows = (self.lines, self.rows) if not finding.runs else pairs(list(finding.runs), len(self.truth))
        lines, rows = lines[self.truth.counts[rows]], rows[self.truth.counts[rows]]
        if len(lines) < 2:
            return None
        mixed = np.random.default_rng(0).permutation(len(rows))
        if finding.mean_error_mm > _MIXED * self.mean(finding.reading, lines, rows[mixed])[0]:
            return None
        before = float(np.nanmean(error)) if np.isfinite(error).any() else np.inf
        if finding.mean_error_mm < _HALF * before:
            return finding
        after = np.full(len(self.truth), np.nan)
        after[rows] = self.error(finding.reading, lines, rows)
        gain = error - after[self.rows]
        gain = gain[np.isfinite(gain)]
        if len(gain) < 2 * _GROUPS:
            return None
        shifted = len(finding.runs) == 1 and finding.reading == as_read
        enough = _SHIFTED if shifted else _BETTER
        sure = _sureness(gain) > _SIGMAS and (shifted or float((gain > 0).mean()) >= _SHARE)
        return finding if finding.mean_error_mm < enough * before and sure else None


def _sureness(gain: Floats) -> float:
    """The mean in units of its own standard error, over groups of frames, as neighbours are alike."""
    groups = np.array([group.mean() for group in np.array_split(gain, _GROUPS)])
    return float(groups.mean() / max(groups.std(ddof=1) / np.sqrt(_GROUPS), 1e-12))


def _spaces(truth: Truth) -> Iterator[Reading]:
    """All spaces, axes, units and cameras that files are known to come in, with the order left open."""
    flips = ("", "y", "z", "yz", "x", "xy", "xz", "xyz")
    for flip, swap, unit in product(flips, (False, True), ("mm", "cm", "m")):
        yield Reading(space="xyz", flip=flip, swap=swap, unit=unit)
    for flip, swap, unit in product(("", "y", "x", "xy"), (False, True), ("mm", "cm", "m")):
        yield Reading(space="uvd", flip=flip, swap=swap, unit=unit)
    for camera, flip in product(_cameras(truth).values(), ("", "y")):
        yield Reading(space="uvd", flip=flip, camera=camera)


def _cameras(truth: Truth) -> dict[str, Camera]:
    """Cameras that uvd could have been made with by mistake, by name."""
    specs = [dataset(name) for name in ("nyu", "icvl", "msra", "hands17")]
    known = {spec.name: spec.scoring_camera for spec in specs} | PRESETS
    return {name: camera for name, camera in known.items() if camera != truth.camera}


def _camera_name(camera: Camera, spec: DatasetSpec) -> str:
    known = {name: dataset(name).scoring_camera for name in ("nyu", "icvl", "msra", "hands17")} | PRESETS
    return next((name for name, other in known.items() if other == camera), spec.name)


def _distinct(scored: list[tuple[float, Reading]]) -> list[tuple[float, Reading]]:
    """Without readings that are as good as a plainer one."""
    kept: list[tuple[float, Reading]] = []
    for error, reading in scored:
        if not any(abs(error - other) < 1e-9 and _effort(plain) <= _effort(reading) for other, plain in kept):
            kept.append((error, reading))
    return kept


def _effort(reading: Reading) -> int:
    """How many things are unusual in a reading."""
    usual_order = reading.order is None or reading.order.name == "scored"
    unknown_order = reading.order is not None and "," in reading.order.name
    unusual = (bool(reading.flip), reading.swap, reading.unit != "mm", reading.camera is not None, not usual_order)
    return sum(unusual) + unknown_order + ("x" in (reading.flip or ""))


def _plainest(found: list[Finding], as_read: Reading | None) -> Finding:
    """The best, or what is as good and needs less."""
    best = min(finding.mean_error_mm for finding in found)
    near = [f for f in found if f.mean_error_mm <= best * _SAME[0] + _SAME[1]]
    return min(near, key=lambda f: (len(f.runs), f.reading != as_read, _effort(f.reading), f.mean_error_mm))


def _frame_mean(error: Floats) -> Floats:
    known = np.isfinite(error)
    counts = known.sum(axis=1)
    means: Floats = np.divide(
        np.where(known, error, 0.0).sum(axis=1), counts, out=np.full(len(error), np.nan), where=counts > 0
    )
    return means
