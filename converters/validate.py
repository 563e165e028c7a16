"""Checks a store against the facts of its data set and against itself. docs/validation.md explains every check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.console import progress
from handbench.store import FrameStatus, Split, Store

_NAMED = 3  # frames named in a line; the data have all


@dataclass(frozen=True)
class Finding:
    """Something wrong with a store.

    Attributes:
        check: short name of the check, as in docs/validation.md.
        split: where it is.
        what: what is wrong.
        advice: what to do.
        frames: keys of the frames concerned; empty if it is not a matter of single frames.
    """

    check: str
    split: str
    what: str
    advice: str
    frames: tuple[str, ...] = ()

    def line(self) -> str:
        """What, where, what to do; for a person."""
        more = f" and {len(self.frames) - _NAMED:,} more" if len(self.frames) > _NAMED else ""
        named = f" ({', '.join(self.frames[:_NAMED])}{more})" if self.frames else ""
        return f"{self.split}: {self.what}{named}; {self.advice}"


@dataclass
class Report:
    """What a check of a store found.

    Attributes:
        store: its path.
        quick: whether the depth was left unread.
        facts: what was measured, by split.
        findings: what is wrong.
        remarks: what is worth knowing and not wrong.
    """

    store: Path
    quick: bool
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "store": str(self.store)}

    def one_line(self) -> str:
        """The verdict, and what was looked at."""
        frames = " + ".join(f"{facts['frames']:,} {split}" for split, facts in self.facts.items())
        looked = f"{frames} frames, tables{' alone: depth was not read' if self.quick else ' and every byte of depth'}"
        verdict = f"{len(self.findings)} finding{'s' * (len(self.findings) != 1)}" if self.findings else "all fine"
        return f"{self.store}: {verdict} ({looked})"


def validate(store: Store, quick: bool = False) -> Report:
    """Check a store: counts, tables, and unless `quick` every byte of depth.

    Memory does not grow with the depth: the tables of a split are held, and a few blocks of frames.

    Args:
        store: the store.
        quick: leave the depth unread.

    Raises:
        HandbenchError: if a split lacks an array, so that there is nothing to check.
    """
    from handbench.converters.check_depth import check_depth, check_depth_bytes
    from handbench.converters.check_tables import check_tables, damaged_tables

    report = Report(store.path, quick)
    splits = [store[name] for name in store.splits]
    with progress(f"validate {store.path.name}", sum(map(len, splits)), "frames") as advance:
        for split in splits:
            facts: dict[str, Any] = {"frames": len(split)}
            report.facts[split.name] = facts
            if not len(split):
                report.findings.append(Finding("counts", split.name, "there is no frame", "convert again"))
                continue
            damaged = list(damaged_tables(split))
            report.findings += damaged
            if damaged:  # no other check means anything without them
                report.findings += [] if quick else check_depth_bytes(split, advance)
                continue
            check_tables(store, split, facts, report)
            if quick:
                advance(len(split))
            else:
                check_depth(store, split, facts, report, advance)
    return report


def fact_lines(facts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What was measured, a line a split, for a person."""
    for split, measured in facts.items():
        parts = [f"{measured['frames']:,} frames"]
        if "depth_mm" in measured:
            near, far = measured["depth_mm"]
            parts.append(f"depth {near:,.0f} to {far:,.0f} mm, {measured['missing_percent']:.1f} % of pixels missing")
        if measured.get("labelled_joints"):
            worst = measured["worst_outside_cube_mm"]
            parts.append(
                f"{measured['labelled_joints']:,} labels, {measured['outside_image_percent']:.2f} % outside the image, "
                f"{measured['outside_cube_percent']:.2f} % outside the cube{f' (by {worst:.1f} mm)' if worst else ''}"
            )
        if "over_depth_percent" in measured:
            parts.append(f"{measured['over_depth_percent']:.1f} % over depth of the hand")
        yield f"{split}: {'; '.join(parts)}"


def keys_of(split: Split, rows: npt.NDArray[Any]) -> tuple[str, ...]:
    """Keys of the frames of a mask (N,) or of indices."""
    keys: list[str] = split.frame_key[rows].tolist()
    return tuple(keys)


def scored_xyz(store: Store, split: Split, rows: slice) -> npt.NDArray[np.float64]:
    """(n, J, 3) mm: the scored joints of some frames; NaN where not labelled, or where the frame is not OK."""
    joints = split.joints_xyz[rows][:, list(store.spec.joints.scored)].astype(np.float64)
    joints[~np.isfinite(joints).all(axis=-1)] = np.nan
    joints[split.status[rows] != FrameStatus.OK] = np.nan
    return joints
