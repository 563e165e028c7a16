"""The findings file: labels that look wrong, written by the audit and drawn by plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench._version import __version__
from handbench.console import whole_or_nothing, without_nan
from handbench.errors import HandbenchError

FORMAT = "handbench findings"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Suspect:
    """One frame that one check suspects.

    Attributes:
        check: "consensus", "bone", "jump", "repeat" or "surface" (docs/audit.md).
        frame: its key, or line of the label file.
        row: of the frame among the labels, from 0.
        group: subject or sequence; "" if there is none to tell.
        joint: label of the joint that speaks loudest; "" = the frame as a whole.
        mm: how far off it is.
        severity: `mm` over what the check lets pass.
    """

    check: str
    frame: str
    row: int
    group: str
    joint: str
    mm: float
    severity: float


@dataclass(frozen=True)
class Pictured:
    """What is drawn of one frame.

    Attributes:
        label_uvd: (J, 3) column px, row px, depth mm; NaN = not labelled.
        pred_uvd: method -> (J, 3).
    """

    label_uvd: npt.NDArray[np.float64]
    pred_uvd: Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Findings:
    """Everything an audit found.

    Attributes:
        dataset: name of the data set.
        labels: what was audited: "kind", "file", ... as in scores files.
        frames: how many frames were looked at.
        methods: names of the predictions that were heard.
        checked: check -> what it asks, for the checks that were made.
        limits: the options of the audit, mm.
        suspects: all findings, the worst first.
        mean_error_mm: method -> "all", "without <check>" for each check, and "without any" -> mean over those frames.
        joint_labels: J joints as papers print them.
        edges: bones as pairs of joints.
        pictures: row -> what is drawn of it, for the worst frames.
        store: the store that depth images are in, and its split; None for a label text.
        handbench_version: of the program that looked.
    """

    dataset: str
    labels: Mapping[str, Any]
    frames: int
    methods: tuple[str, ...]
    checked: Mapping[str, str]
    limits: Mapping[str, float]
    suspects: tuple[Suspect, ...]
    mean_error_mm: Mapping[str, Mapping[str, float]]
    joint_labels: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    pictures: Mapping[int, Pictured] = field(default_factory=dict)
    store: tuple[str, str] | None = None
    handbench_version: str = __version__

    def rows(self, check: str | None = None) -> tuple[int, ...]:
        """The suspected frames, of one check or of all, each once, the worst first."""
        return tuple(dict.fromkeys(s.row for s in self.suspects if check in (None, s.check)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data as in the file, with None for NaN."""
        pictures = {
            str(row): {
                "label_uvd": picture.label_uvd.tolist(),
                "pred_uvd": {name: uvd.tolist() for name, uvd in picture.pred_uvd.items()},
            }
            for row, picture in self.pictures.items()
        }
        plain = {key: value for key, value in vars(self).items() if key not in ("suspects", "pictures")}
        data = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            **plain,
            "counts": {check: len(self.rows(check)) for check in self.checked},
            "suspected_frames": len(self.rows()),
            "suspects": [asdict(suspect) for suspect in self.suspects],
            "pictures": pictures,
        }
        return dict(without_nan(data))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Findings:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: if something is missing or of another kind.
        """
        store = data["store"]
        return cls(
            dataset=str(data["dataset"]),
            labels=dict(data["labels"]),
            frames=int(data["frames"]),
            methods=tuple(map(str, data["methods"])),
            checked=dict(data["checked"]),
            limits=dict(data["limits"]),
            suspects=tuple(Suspect(**suspect) for suspect in data["suspects"]),
            mean_error_mm={name: dict(means) for name, means in data["mean_error_mm"].items()},
            joint_labels=tuple(map(str, data["joint_labels"])),
            edges=tuple((int(a), int(b)) for a, b in data["edges"]),
            pictures={
                int(row): Pictured(
                    np.array(picture["label_uvd"], np.float64).reshape(-1, 3),
                    {name: np.array(uvd, np.float64).reshape(-1, 3) for name, uvd in picture["pred_uvd"].items()},
                )
                for row, picture in data["pictures"].items()
            },
            store=None if store is None else (str(store[0]), str(store[1])),
            handbench_version=str(data["handbench_version"]),
        )


def write_findings(path: Path, findings: Findings) -> None:
    """Write a findings file, whole or not at all; an older file of that name is replaced."""
    with whole_or_nothing(path) as partial:
        partial.write_text(json.dumps(findings.to_dict(), indent=1) + "\n", encoding="utf-8")


def read_findings(path: Path) -> Findings:
    """Read a findings file.

    Raises:
        HandbenchError: if it is missing, no findings file, of a newer format or damaged.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise HandbenchError(f"{path} is not a findings file: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise HandbenchError(f"{path} is not a findings file; make one with handbench audit ... -o FILE")
    if data.get("format_version") != FORMAT_VERSION:
        found = data.get("format_version")
        raise HandbenchError(f"{path} has findings format {found}, this handbench reads {FORMAT_VERSION}; audit again")
    try:
        return Findings.from_dict(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HandbenchError(f"{path} is a damaged findings file ({type(error).__name__}: {error})") from error
