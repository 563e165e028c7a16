"""The file in a raw tree that says that its hands are rendered, and what the raw layout cannot say of them.

synthetic.json    {"note": "...", and the facts, such as "subjects": {"test": {"1": 2440, "2": 5812}}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.converters.files import write_raw
from handbench.errors import HandbenchError

MARKER = "synthetic.json"
SYNTHETIC = "synthetic"
"""The release of a tree that has the file."""


def write_marker(root: Path, title: str, facts: Mapping[str, Any]) -> None:
    """Say in a raw tree that its hands are rendered.

    Args:
        root: the folder of the tree.
        title: of the data set whose layout it has.
        facts: plain data; see `subjects_of` for what a reader asks.

    Raises:
        HandbenchError: if the file cannot be written.
    """
    text = json.dumps({"note": f"rendered hands, not {title} data", **facts}, indent=2)
    write_raw(root / MARKER, f"{text}\n".encode())


def read_marker(root: Path) -> Mapping[str, Any]:
    """What the file says; empty if there is none, so that the tree holds real data.

    Raises:
        HandbenchError: if it is there and does not hold facts.
    """
    path = root / MARKER
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise HandbenchError(f"{path} is no JSON ({error}); write the synthetic tree again") from error
    if not isinstance(facts, dict) or not facts or not _counts_subjects(facts.get("subjects", {})):
        raise HandbenchError(f"{path} holds no facts of a synthetic tree; write the tree again")
    return facts


def subjects_of(marker: Mapping[str, Any], split: str, count: int) -> npt.NDArray[np.str_] | None:
    """Whose hands a synthetic tree shows, if its marker tells.

    Args:
        marker: of `read_marker`; its "subjects" are the number of frames of each subject in file order, by split.
        split: its name.
        count: frames of the split; frames beyond those that are told are the last subject's.

    Returns:
        (N,) names; None where the marker does not tell.
    """
    told = marker.get("subjects", {}).get(split)
    return in_order(told, count) if told else None


def in_order(counts: Mapping[str, int], count: int) -> npt.NDArray[np.str_]:
    """(N,) names of subjects that follow each other with these numbers of frames; the last has what is left."""
    names = np.repeat(np.array(list(counts), dtype=np.str_), list(counts.values()))[:count]
    rest = np.full(count - len(names), list(counts)[-1], dtype=np.str_)
    return np.concatenate((names, rest))


def _counts_subjects(subjects: Any) -> bool:
    """Whether this is {split: {subject: frames}}."""
    return isinstance(subjects, dict) and all(
        isinstance(counts, dict) and all(type(frames) is int and frames >= 0 for frames in counts.values())
        for counts in subjects.values()
    )
