"""Which frames of the labels the lines of a file are: found by matching blocks of motion, not single poses."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import fft

Floats = npt.NDArray[np.float64]

_BLOCK = 64  # frames that are matched as one
_BLOCKS = 120  # of a file are matched at most
_COMPONENTS = 6  # of the pose that tell frames apart
_NEAR = 10  # frames; a file may be late or early by so many as a whole
_LATE = 0.9  # of the squared distance, to believe that
_AGREE = 0.2  # share of neighbouring blocks that must have one offset, to speak of blocks out of order
_CHANGE = 300  # times the usual squared distance: what a change of offset must save
_CLEAR = 0.6  # of the squared distance at the line's own frame, to believe that a block belongs elsewhere


@dataclass(frozen=True)
class Run:
    """Lines of a file that are frames of the labels one after the other.

    Attributes:
        first: index of the first line.
        last: index of the last line, included.
        offset: frame of the labels less line of the file.
    """

    first: int
    last: int
    offset: int


def find_runs(pred_xyz: Floats, joints_xyz: Floats) -> list[Run]:
    """The runs that a file falls into.

    Args:
        pred_xyz: (N, J, 3) mm, line by line.
        joints_xyz: (M, J, 3) mm, frame by frame; N and M may differ.

    Returns:
        Runs that cover the lines 0 to N - 1; a single one with offset 0 where nothing speaks against it, and none for
        files too short to tell.
    """
    length = min(_BLOCK, len(pred_xyz) // 16, len(joints_xyz) // 16)
    if length < 8:
        return []
    pred, labels = _principal(pred_xyz, joints_xyz)
    starts = np.unique(np.linspace(0, len(pred) - length, _BLOCKS).astype(int))
    found = np.array(_offsets(pred, labels, starts, length))
    if (np.diff(found) == 0).mean() < _AGREE:
        return []  # neighbours belong to anywhere: these are not hands of these labels, or not in blocks
    offsets = sorted({*found.tolist(), 0, _lateness(pred, labels)})
    chosen = _cheapest_path(_costs(pred, labels, offsets))
    cuts = np.flatnonzero(np.diff(chosen)) + 1
    firsts, lasts = np.append(0, cuts), np.append(cuts - 1, len(pred) - 1)
    ends = zip(firsts.tolist(), lasts.tolist(), strict=True)
    runs = [Run(first, last, offsets[chosen[first]]) for first, last in ends]
    return _tiled(runs, len(labels)) if len(pred) == len(labels) else runs


def _tiled(runs: list[Run], frames: int) -> list[Run]:
    """The runs with their cuts moved by a few lines where that closes a gap between frames and an overlap at once.

    Where the hand is still, the cut between two runs cannot be seen to the line. A file of all frames in another order
    has each frame once, which says where it must be.
    """
    for _ in range(_NEAR):
        moved = False
        for k in range(len(runs) - 1):
            left, right = runs[k], runs[k + 1]
            starts = [run.first + run.offset for run in runs] + [frames]
            stops = [run.last + run.offset + 1 for run in runs] + [0]
            after = min((s for s in starts if s > left.first + left.offset), default=frames) - stops[k]
            before = starts[k + 1] - max(s for i, s in enumerate(stops) if i == len(runs) or starts[i] < starts[k + 1])
            step = min(after, -before, _NEAR) if after > 0 > before else max(after, -before, -_NEAR)
            if after * before >= 0 or not left.first <= left.last + step < right.last:
                continue
            runs = [
                *runs[:k],
                replace(left, last=left.last + step),
                replace(right, first=right.first + step),
                *runs[k + 2 :],
            ]
            moved = True
        if not moved:
            break
    return runs


def pairs(runs: list[Run], frames: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(K,) lines and (K,) frames that belong together; each frame at most once, the first line that says so."""
    lines = np.concatenate([np.arange(run.first, run.last + 1) for run in runs])
    places = np.concatenate([np.arange(run.first, run.last + 1) + run.offset for run in runs])
    inside = (places >= 0) & (places < frames)
    lines, places = lines[inside], places[inside]
    places, first = np.unique(places, return_index=True)
    return lines[first], places


def _principal(pred_xyz: Floats, joints_xyz: Floats) -> tuple[Floats, Floats]:
    """(N, D) and (M, D): the directions in which the labels vary most, without NaN."""
    labels = joints_xyz.reshape(len(joints_xyz), -1)
    known = np.isfinite(labels)
    mean = np.where(known, labels, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    labels = np.where(known, labels, mean) - mean
    some = labels[:: max(1, len(labels) // 2000)]
    axes = np.linalg.eigh(some.T @ some)[1][:, -_COMPONENTS:]
    pred = pred_xyz.reshape(len(pred_xyz), -1)
    pred = np.where(np.isfinite(pred), pred, mean) - mean
    return pred @ axes, labels @ axes


def _offsets(pred: Floats, labels: Floats, starts: npt.NDArray[np.int64], length: int) -> list[int]:
    """Where each block belongs, less where it stands; its neighbour's offset or none where that is not clear."""
    size = fft.next_fast_len(len(labels) + length, real=True)
    spectrum = fft.rfft(labels, size, axis=0)
    squares = np.concatenate(([0.0], np.cumsum(np.einsum("nd,nd->n", labels, labels))))
    windows = squares[length:] - squares[:-length]
    offsets: list[int] = []
    for start in starts.tolist():
        block = pred[start : start + length]
        product = fft.irfft(np.einsum("fd,fd->f", spectrum, np.conj(fft.rfft(block, size, axis=0))), size)
        distance = windows + np.einsum("nd,nd->", block, block) - 2 * product[: len(windows)]
        expected = start + (offsets[-1] if offsets else 0)
        usual = [place for place in (start, expected) if 0 <= place < len(distance)]
        best = int(distance.argmin())
        if usual:
            own = min(usual, key=lambda place: distance[place])
            best = best if distance[best] < _CLEAR * distance[own] else own
        offsets.append(best - start)
    return offsets


def _lateness(pred: Floats, labels: Floats) -> int:
    """The offset of the whole file, if a small one fits clearly better than none: too small for blocks to show."""

    def distance(offset: int) -> float:
        count = min(len(pred), len(labels)) - _NEAR
        lines = np.arange(_NEAR, count)
        return float(((pred[lines] - labels[lines + offset]) ** 2).sum(axis=1).mean())

    if min(len(pred), len(labels)) < 4 * _NEAR:
        return 0
    best = min(range(-_NEAR, _NEAR + 1), key=distance)
    return best if distance(best) < _LATE * distance(0) else 0


def _costs(pred: Floats, labels: Floats, offsets: list[int]) -> npt.NDArray[np.float32]:
    """(N, K) squared distance of each line to the frame that each offset makes it."""
    costs = np.full((len(pred), len(offsets)), np.inf, np.float32)
    for k, offset in enumerate(offsets):
        first, last = max(0, -offset), min(len(pred), len(labels) - offset)
        if first < last:
            costs[first:last, k] = ((pred[first:last] - labels[first + offset : last + offset]) ** 2).sum(axis=1)
    outside = costs[np.isfinite(costs)].max()  # a line beyond the labels has to be somewhere, too, but only then
    return np.where(np.isfinite(costs), costs, outside)


def _cheapest_path(costs: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """(N,) one offset a line, of least total cost where each change costs as much as many bad frames (Viterbi 1967)."""
    change = _CHANGE * float(np.median(costs.min(axis=1)))
    total = costs[0].astype(np.float64)
    came_from = np.empty(costs.shape, np.int16)
    stay = np.arange(costs.shape[1], dtype=np.int16)
    for line in range(1, len(costs)):
        cheapest = int(total.argmin())
        jump = total[cheapest] + change < total
        came_from[line] = np.where(jump, cheapest, stay)
        total = np.where(jump, total[cheapest] + change, total) + costs[line]
    path = np.empty(len(costs), np.int64)
    path[-1] = int(total.argmin())
    for line in range(len(costs) - 1, 0, -1):
        path[line - 1] = came_from[line, path[line]]
    return path
