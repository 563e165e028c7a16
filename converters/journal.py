"""A store that is made shard by shard, and can be killed at any moment and gone on with.

It grows as `<out>.partial`, which no reader opens, and takes its name when it is whole. A shard is done when its entry
in the journal is there: its depth is written first, the entry appears whole or not at all, and the same frames give the
same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from handbench.console import progress, remove, take_place, whole_or_nothing
from handbench.converters.schedule import run
from handbench.errors import HandbenchError
from handbench.store import FrameStatus, StoreWriter
from handbench.store.lock import alone

LISTED = 1000
"""How many frames a summary tells one by one; the column `status` of the store has them all."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during the work on a store; the message says how to go on."""


@dataclass(frozen=True)
class Problem:
    """A frame that is not OK: its key, what is wrong, and where."""

    frame_key: str
    status: FrameStatus
    message: str


@dataclass(frozen=True)
class Shard:
    """What became of the frames of one shard: its entry in the journal.

    Attributes:
        status: (n,) values of `FrameStatus`.
        center_xyz: (n, 3) mm, camera frame; NaN where there is none.
        problems: the frames in which something was found wrong.
    """

    status: npt.NDArray[np.uint8]
    center_xyz: npt.NDArray[np.float64]
    problems: list[Problem]

    def write(self, path: Path) -> None:
        """Put the entry into the journal, whole or not at all."""
        problems = [(problem.frame_key, int(problem.status), problem.message) for problem in self.problems]
        entry = {"status": self.status.tolist(), "center_xyz": self.center_xyz.tolist(), "problems": problems}
        with whole_or_nothing(path) as partial:
            partial.write_text(json.dumps(entry), encoding="utf-8")  # Python writes every digit, and NaN

    @classmethod
    def read(cls, path: Path) -> Shard:
        """The entry that `write` left."""
        entry = json.loads(path.read_text(encoding="utf-8"))
        problems = [Problem(key, FrameStatus(status), message) for key, status, message in entry["problems"]]
        centers = np.array(entry["center_xyz"], dtype=np.float64).reshape(-1, 3)
        return cls(np.array(entry["status"], dtype=np.uint8), centers, problems)


@dataclass
class Summary:
    """What was done.

    Attributes:
        out: the store.
        frames: number of frames by split.
        problems: the first `LISTED` frames in which something was found wrong, in order.
        wrong: how many there are of each kind.
        remarks: what is odd but no fault of a frame, a line each.
    """

    out: Path
    frames: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    wrong: Counter[FrameStatus] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def gather(self, entries: Iterable[Path]) -> Shard:
        """What became of all frames of a split, out of the entries of its shards; its problems go into the summary.

        A data set can lack a million images, so of the messages only the first are kept.
        """
        status, centers = [], []
        for entry in entries:
            shard = Shard.read(entry)
            status.append(shard.status)
            centers.append(shard.center_xyz)
            self.wrong.update(problem.status for problem in shard.problems)
            self.problems += shard.problems[: LISTED - len(self.problems)]
        return Shard(np.concatenate(status), np.concatenate(centers), [])

    def verdict(self) -> str:
        """How many frames are not OK, by kind."""
        return ", ".join(f"{count:,} {status.title}" for status, count in self.wrong.items()) or "all ok"

    def one_line(self) -> str:
        """How many frames went where, and how many are not OK."""
        frames = " + ".join(f"{count:,} {split}" for split, count in self.frames.items())
        return f"{self.out}: {frames} frames, {self.verdict()}"


class Task(Protocol):
    """The work of one shard; called, it writes its depth, then its entry, and says how many frames it has."""

    @property
    def entry(self) -> Path:
        """Where the journal says that this shard is done."""

    @property
    def count(self) -> int:
        """How many frames it has."""

    def __call__(self) -> int:
        """Do it."""


def entry_path(journal: Path, split: str, start: int) -> Path:
    """Where the entry of the shard that begins with row `start` lies."""
    return journal / f"{split}-{start:08d}.json"


@contextmanager
def under_construction(out: Path, resume: bool, overwrite: bool) -> Iterator[tuple[Path, Path]]:
    """Where a store is built and its journal kept; at the end, if there was no error, it takes its place.

    A store that it replaces is there until then, and is whole under `<out>.old` in the moment between; so a kill loses
    neither.

    Args:
        out: the store to make.
        resume: go on with what was interrupted, if there is something.
        overwrite: without `resume`, remove what was interrupted.

    Yields:
        The place of the store, which may not exist yet, and the folder of the journal.

    Raises:
        HandbenchError: if another process writes the store, or something was interrupted and nothing says what to do.
    """
    partial, journal = (out.with_name(f"{out.name}.{kind}") for kind in ("partial", "journal"))
    with alone(out):
        if not (partial.exists() and resume):
            _make_room(partial, journal, overwrite)
        yield partial, journal
        remove(journal)
        take_place(partial, out)


def _make_room(partial: Path, journal: Path, overwrite: bool) -> None:
    """Remove what was interrupted, if that is asked for.

    Raises:
        HandbenchError: if there is something and nothing says what to do with it.
    """
    if partial.exists() and not overwrite:
        raise HandbenchError(
            f"{partial} is an interrupted conversion; pass --resume to go on with it, or --overwrite to start again"
        )
    remove(partial)
    remove(journal)


def begin(
    partial: Path, make: Callable[[Path], None], provenance: Mapping[str, Any], codec: str, frames: Mapping[str, int]
) -> StoreWriter:
    """The store under construction: a new one, or the one that was interrupted.

    Args:
        partial: its place.
        make: makes a new one with all its splits, still empty.
        provenance: what it is made from.
        codec: of its depth.
        frames: number of frames by split.

    Raises:
        HandbenchError: if the interrupted one was begun with other options or from something else.
    """
    if not partial.exists():
        with whole_or_nothing(partial) as skeleton:
            make(skeleton)
    writer = StoreWriter.resume(partial)
    if (writer.provenance, writer.codec, writer.frames) != (provenance, codec, frames):
        raise HandbenchError(
            f"{partial} was begun with other options or from other raw files; "
            "repeat the first command, or start again with --overwrite"
        )
    return writer


def work(tasks: Sequence[Task], journal: Path, name: str, scheduler: str, workers: int) -> None:
    """Do what the journal does not say is done.

    Args:
        tasks: of all shards.
        journal: its folder.
        name: what is going on, two words.
        scheduler: as for `schedule.run`.
        workers: how many threads or processes; 0 for one a core.

    Raises:
        Interrupted: on Ctrl-C.
        HandbenchError: if something cannot be written.
    """
    journal.mkdir(exist_ok=True)
    todo = [task for task in tasks if not task.entry.exists()]
    total, left = (sum(task.count for task in some) for some in (tasks, todo))
    try:
        with progress(name, total, "frames") as advance:
            advance(total - left)
            run(todo, scheduler, workers, advance)
    except KeyboardInterrupt:
        done = sum(task.count for task in tasks if task.entry.exists())
        raise Interrupted(
            f"stopped; {done:,} of {total:,} frames are done, the same command with --resume goes on"
        ) from None
    except OSError as error:
        raise HandbenchError(
            f"the conversion stopped: {error}; when that is mended, the same command with --resume goes on"
        ) from error
