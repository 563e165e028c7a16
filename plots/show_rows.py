"""Which frames of a store a sheet shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from handbench.camera_check import spread
from handbench.errors import HandbenchError
from handbench.store import FrameStatus, Split, Store

_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_MOST = 400  # frames of one sheet; a page of 20 x 20 stamps

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """What a user asks to see.

    Attributes:
        index: "3,5,10-20", rows from 0, ends included; None = not by row.
        subject: name of a subject; None = all.
        status: a title as "image missing", or "bad" for everything but ok; None = all.
        count: at most so many frames, where they are not named one by one.

    Raises:
        HandbenchError: if rows are named and chosen as well, or the status is none.
    """

    index: str | None = None
    subject: str | None = None
    status: str | None = None
    count: int = 16

    def __post_init__(self) -> None:
        if self.index is not None and (self.subject is not None or self.status is not None):
            raise HandbenchError("--index names the frames already; leave out --subject and --status")
        if self.status is not None:
            statuses_of(self.status)

    def rows(self, split: Split, error_mm: npt.NDArray[np.float64] | None = None) -> Rows:
        """The rows to show.

        Args:
            split: of the store.
            error_mm: (N,) error of each frame, NaN = not scored; given, the worst are chosen, else frames spread over
                the split.

        Raises:
            HandbenchError: if there are none, naming what there is.
        """
        if self.index is not None:
            return parse_rows(self.index, len(split))
        fits = np.ones(len(split), dtype=bool)
        if self.subject is not None:
            fits &= _of_subject(split, self.subject)
        if self.status is not None:
            fits &= np.isin(split.status, statuses_of(self.status))
        if error_mm is not None:
            fits &= np.isfinite(error_mm)
        rows = np.flatnonzero(fits)
        if not len(rows):
            what = " and ".join(filter(None, (self.subject and f"subject {self.subject}", self.status)))
            raise HandbenchError(f"no frame of split {split.name} is there to show{f' ({what})' if what else ''}")
        if error_mm is not None:
            return rows[np.argsort(-error_mm[rows], kind="stable")][: self.count]
        return spread(rows, self.count)


def default_split(store: Store) -> str:
    """The test split if there is one, else the first."""
    return "test" if "test" in store.splits else store.splits[0]


def parse_rows(text: str, frames: int) -> Rows:
    """Rows of "3,5,10-20", in that order.

    Args:
        text: numbers and ranges, both ends included.
        frames: of the split.

    Raises:
        HandbenchError: if it is something else, or beyond the split.
    """
    rows: list[int] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise HandbenchError(f"--index {text!r} is not of the form 3,5,10-20 (rows from 0)")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise HandbenchError(f"--index {part.strip()} runs backwards")
        if last >= frames:
            raise HandbenchError(f"--index {part.strip()} is beyond the split, its rows are 0 to {frames - 1}")
        rows += range(first, min(last, first + _MOST) + 1)
    if len(rows) > _MOST:
        raise HandbenchError(f"--index names more than {_MOST} frames; a sheet has room for that many")
    return np.array(rows, dtype=np.int64)


def statuses_of(name: str) -> list[int]:
    """Values of `FrameStatus` that a word means: a title, with blanks, "-" or "_", or "bad".

    Raises:
        HandbenchError: naming all.
    """
    if name.lower() == "bad":
        return [int(status) for status in FrameStatus if status is not FrameStatus.OK]
    wanted = re.sub("[-_]", " ", name.lower())
    found = [int(status) for status in FrameStatus if status.title == wanted]
    if not found:
        raise HandbenchError(f"no status is called {name!r}; there are {', '.join(s.title for s in FrameStatus)}, bad")
    return found


def _of_subject(split: Split, subject: str) -> npt.NDArray[np.bool_]:
    fits = split.subject == subject
    if not fits.any():
        names = [name for name in np.unique(split.subject).tolist() if name]
        there = f"only {', '.join(names)}" if names else "it tells no subjects apart"
        raise HandbenchError(f"split {split.name} has no subject {subject!r}, {there}")
    return np.asarray(fits)
