"""`handbench predictions check`: one file against the labels, and a report that a person can act on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import PRESETS, Camera
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.eval.alignment import Run
from handbench.eval.explain import Verdict, changes, explain
from handbench.eval.truth import Truth, known_lengths
from handbench.predictions import RawPoints, Reading, parse, read_bytes
from handbench.predictions.names import frame_keys
from handbench.predictions.reading import require_sane, title

_LONG = 200  # characters of --frames; more go into a file


@dataclass(frozen=True)
class CheckReport:
    """What is said of one file.

    Attributes:
        file: that was checked.
        dataset: of the labels.
        lines_in_file: how many frames it has.
        frames_of_labels: how many the labels have.
        length: what its number of lines is known for, if it is not that of the labels.
        verdict: the reading it got and the one that explains it.
        words: what differs between them.
        frames: lines of the file in the order of the labels, for `--frames`; empty if they are in order.
        whole: whether a line was found for each frame of the labels.
    """

    file: Path
    dataset: str
    lines_in_file: int
    frames_of_labels: int
    length: str
    verdict: Verdict
    words: tuple[str, ...]
    frames: str
    whole: bool

    @property
    def found(self) -> bool:
        """Whether there is something to mend."""
        return self.verdict.finding is not None or bool(self.length)

    def command(self, frames_to: Path | None = None) -> str:
        """The command that mends the file; empty if none does."""
        finding = self.verdict.finding
        if finding is None or (finding.runs and not self.whole):
            return ""
        frames = self.frames if len(self.frames) <= _LONG else f"@{frames_to or 'FRAMES'}"
        options = options_of(finding.reading) + (["--frames", frames] if self.frames else [])
        out = self.file.with_name(f"{self.file.stem}.mended.txt")
        words = ["handbench", "predictions", "convert", str(self.file), str(out), "--dataset", self.dataset]
        return shlex.join([*words, *options])

    def lines(self, frames_to: Path | None = None) -> list[str]:
        """The report for people."""
        as_read, finding = self.verdict.as_read, self.verdict.finding
        how = f"read as {title(as_read)}" if as_read else f"not to be read as it is ({self.verdict.why_not})"
        error = self.verdict.mean_error_mm
        said = [f"{self.file.name}: {how}" + ("" if np.isnan(error) else f"; mean error {error:.1f} mm")]
        if self.length:
            said.append(
                f"It has {self.lines_in_file:,} frames ({self.length}), the labels have {self.frames_of_labels:,}: "
                "lines of one are not the lines of the other. Score it against labels of its own release or split."
            )
        if finding is None:
            return said if self.length else [*said, "No other reading that handbench knows explains it better."]
        instead = "" if np.isnan(error) else f" instead of {error:.1f} mm"
        said.append(f"These look like {'; '.join(self.words)}: mean error {finding.mean_error_mm:.1f} mm{instead}.")
        command = self.command(frames_to)
        if command:
            said += ["Mend it with:", f"  {command}"]
            if "@FRAMES" in command:
                said.append("  where FRAMES is what --frames-to writes")
        else:
            missing = self.frames_of_labels - finding.frames
            what = f"{missing:,} frames" if missing != 1 else "1 frame"
            said.append(f"For {what} of the labels no line of the file can be told; no conversion mends that.")
        return said

    def to_dict(self) -> dict[str, Any]:
        """The report for programs."""
        finding = self.verdict.finding
        return {
            "file": str(self.file),
            "dataset": self.dataset,
            "frames": self.lines_in_file,
            "frames_of_labels": self.frames_of_labels,
            "length_is": self.length or None,
            "read_as": title(self.verdict.as_read) if self.verdict.as_read else None,
            "mean_error_mm": self.verdict.mean_error_mm,
            "found": self.found,
            "finding": None
            if finding is None
            else {
                "looks_like": list(self.words),
                "mean_error_mm": finding.mean_error_mm,
                "frames": finding.frames,
                "lines": self.frames or None,
                "command": self.command() or None,
            },
        }


def check_file(path: Path, truth: Truth) -> CheckReport:
    """Check one file.

    Args:
        path: the predictions.
        truth: the labels.

    Raises:
        HandbenchError: if the file cannot be read at all, or names frames that are not of the data set.
    """
    raw = parse(read_bytes(path), str(path), truth.spec)
    require_sane(raw.values, str(path), raw.names)
    return check_points(path, raw, truth)


def check_points(path: Path, raw: RawPoints, truth: Truth) -> CheckReport:
    """The same for the numbers of a file, once it is read."""
    lines, rows = _pair(raw, truth, str(path))
    verdict = explain(raw, lines, rows, truth, str(path))
    finding = verdict.finding
    frames, whole = _ranges(finding.runs, len(truth)) if finding and finding.runs else ("", True)
    length = ""
    if raw.names is None and len(raw.values) not in (len(truth), len(rows)):
        length = known_lengths(truth.spec).get(len(raw.values), "")
    return CheckReport(
        file=path,
        dataset=truth.spec.name,
        lines_in_file=len(raw.values),
        frames_of_labels=len(truth),
        length=length,
        verdict=verdict,
        words=tuple(changes(finding, verdict.as_read, truth.spec)) if finding else (),
        frames=frames,
        whole=whole,
    )


def options_of(reading: Reading) -> list[str]:
    """The options of `handbench predictions convert` for a settled reading."""
    assert reading.space is not None
    assert reading.order is not None
    options = ["--space", reading.space]
    options += ["--flip", reading.flip or "none"] if reading.space == "xyz" or reading.flip else []
    options += ["--swap"] if reading.swap else []
    options += ["--unit", reading.unit] if reading.unit != "mm" else []
    options += ["--camera", camera_name(reading.camera)] if reading.camera else []
    return options + (["--order", reading.order.name] if reading.order.name not in ("scored", "named") else [])


def camera_name(camera: Camera) -> str:
    """What `--camera` calls a camera."""
    known = {name: dataset(name).scoring_camera for name in ("nyu", "icvl", "msra", "hands17")} | PRESETS
    return next(name for name, other in known.items() if other == camera)


def _pair(raw: RawPoints, truth: Truth, where: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Lines of the file and frames of the labels that belong together by name, or else by order."""
    if raw.names is None:
        count = min(len(raw.values), len(truth))
        return np.arange(count), _rows_of_that_many(len(raw.values), truth)[:count]
    keys = frame_keys(truth.spec.name, raw.names, where)
    if truth.frame_key is None:
        if len(keys) != len(truth):
            raise HandbenchError(
                f"{where} names {len(keys):,} frames, the labels are a text of {len(truth):,} without names; check "
                "it against a store"
            )
        return np.array(sorted(range(len(keys)), key=keys.__getitem__)), np.arange(len(truth))
    row_of = {key: row for row, key in enumerate(truth.frame_key)}
    known = [line for line, key in enumerate(keys) if key in row_of]
    if not known:
        raise HandbenchError(f"{where} names no frame of the labels, but {keys[0]}; is it another split?")
    return np.array(known), np.array([row_of[keys[line]] for line in known])


def _rows_of_that_many(lines: int, truth: Truth) -> npt.NDArray[np.int64]:
    """The frames that so many lines are scored on: all, or those of the only group of that size."""
    groups = [truth.group == name for name in dict.fromkeys(truth.group.tolist()) if name]
    fitting = [group for group in groups if int(group.sum()) == lines]
    return np.flatnonzero(fitting[0]) if len(fitting) == 1 and lines != len(truth) else np.arange(len(truth))


def _ranges(runs: tuple[Run, ...], frames: int) -> tuple[str, bool]:
    """Lines of the file in the order of the labels, and whether there is one for each of these."""
    wanted: list[tuple[int, int]] = []
    next_frame = 0
    for run in sorted(runs, key=lambda run: run.first + run.offset):
        first, last = max(run.first, next_frame - run.offset), min(run.last, frames - 1 - run.offset)
        if first > last:
            continue
        if first + run.offset > next_frame:
            return _text(wanted), False
        wanted.append((first + 1, last + 1))
        next_frame = last + run.offset + 1
    return _text(wanted), next_frame == frames


def _text(ranges: list[tuple[int, int]]) -> str:
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)
