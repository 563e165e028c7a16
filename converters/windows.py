"""Frames to a store of windows: one Dask task a shard, gone on with after any interruption.

docs/windows.md says what a window is and how large; `handbench.preprocess.windows` computes it.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.console import claim_output
from handbench.converters.journal import Problem, Shard, Summary, begin, entry_path, under_construction, work
from handbench.converters.schedule import check_scheduler
from handbench.converters.window_plan import Frames, FrameSource, Plan, Read, SplitSource, smaller_side
from handbench.errors import HandbenchError
from handbench.preprocess import AugmentConfig
from handbench.preprocess.center import box_holds_depth
from handbench.preprocess.windows import Margin, cut_window
from handbench.store import FrameStatus, Split, Store, StoreWriter
from handbench.store.fingerprint import fingerprint
from handbench.store.layout import COLUMNS, WindowFacts
from handbench.store.writer import SHARD_FRAMES, write_depth

_WITHOUT_IMAGE = (FrameStatus.IMAGE_MISSING, FrameStatus.IMAGE_CORRUPT)


@dataclass(frozen=True)
class WindowsConfig:
    """Options of the windows.

    Attributes:
        augment: the augmentation that they must have room for; None = none, the upright box.
        side: of every window, px; None for the smallest that covers all hands.
        limit: at most so many frames of each split, the first; None for all.
        scheduler: "threads", "processes", or the address of a Dask scheduler.
        workers: how many threads or processes; 0 for one a core.
        resume: go on with what was interrupted, if there is something.
        overwrite: replace an existing store; without `resume`, also start again what was interrupted.

    Raises:
        HandbenchError: if a value cannot be.
    """

    augment: AugmentConfig | None = field(default_factory=AugmentConfig)
    side: int | None = None
    limit: int | None = None
    scheduler: str = "threads"
    workers: int = 0
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.side is not None and self.side < 1:
            raise HandbenchError(f"--side {self.side} px holds nothing; it must be positive")
        if self.limit is not None and self.limit < 1:
            raise HandbenchError(f"--limit {self.limit} would leave no frame; it must be 1 or more")
        if self.workers < 0:
            raise HandbenchError(f"{self.workers} workers cannot be; 0 means one a core")
        check_scheduler(self.scheduler)


@dataclass
class WindowsSummary(Summary):
    """What was done.

    Attributes:
        side: of the windows, px.
        image: (H, W) of the frames, px.
        known: how many frames were not OK in the source, by kind.
    """

    side: int = 0
    image: tuple[int, int] = (0, 0)
    known: Counter[FrameStatus] = field(default_factory=Counter)

    def verdict(self) -> str:
        """What was found wrong, and what was wrong before."""
        before = [f"{count:,} {status.title} before" for status, count in self.known.items()]
        return ", ".join([super().verdict()] * bool(self.wrong or not before) + before)

    def one_line(self) -> str:
        """How many windows of which size."""
        height, width = self.image
        share = self.side**2 / (height * width)
        return f"{super().one_line()}; windows of {self.side} x {self.side} px, {share:.0%} of {width} x {height}"


@dataclass(frozen=True)
class WindowTask:
    """The work of one shard. It shares nothing, and can run anywhere that sees the frames and the store.

    Attributes:
        frames: reads them.
        camera: of the frames.
        store: path of the store under construction.
        split: name of the split.
        start: first row of the shard.
        frame_key: (n,) of its frames.
        center_xyz: (n, 3) mm, camera frame; NaN = no window.
        cube: (n, 3) mm.
        status: (n,) before.
        origin_uv: (n, 2) of the windows.
        side: of the windows, px.
        journal: folder beside the store that says which shards are done.
    """

    frames: Frames
    camera: Camera
    store: Path
    split: str
    start: int
    frame_key: npt.NDArray[np.str_]
    center_xyz: npt.NDArray[np.float64]
    cube: npt.NDArray[np.float64]
    status: npt.NDArray[np.uint8]
    origin_uv: npt.NDArray[np.int32]
    side: int
    journal: Path

    @property
    def entry(self) -> Path:
        """Where the journal says that this shard is done."""
        return entry_path(self.journal, self.split, self.start)

    @property
    def count(self) -> int:
        """How many frames the shard has."""
        return len(self.frame_key)

    def __call__(self) -> int:
        """Cut and write the windows of the shard; how many they are."""
        problems: dict[int, Problem] = {}
        write_depth(self.store, self.split, self.start, self._windows(problems))
        status = self.status.copy()
        for i, problem in problems.items():
            status[i] = problem.status
        Shard(status, self.center_xyz, list(problems.values())).write(self.entry)
        return self.count

    def _windows(self, problems: dict[int, Problem]) -> Iterator[npt.NDArray[Any] | None]:
        """The window of each frame, None where it has no centre or cannot be read. Fills in what was found wrong."""
        read = self.frames.open()
        for i, center in enumerate(self.center_xyz):
            if not center[2] > 0 or self.status[i] in _WITHOUT_IMAGE:  # NaN is not
                yield None
                continue
            key = str(self.frame_key[i])
            try:
                depth = read(self.start + i)
            except HandbenchError as error:
                problems[i] = Problem(key, FrameStatus.IMAGE_CORRUPT, str(error))
                yield None
                continue
            if self.status[i] == FrameStatus.OK and not box_holds_depth(depth, center, self.cube[i], self.camera):
                problems[i] = Problem(key, FrameStatus.BOX_EMPTY, "the box around its centre holds no depth")
            yield cut_window(depth, self.origin_uv[i], self.side)


@dataclass(frozen=True)
class StoreFrames:
    """The frames of one split of a store."""

    path: Path
    split: str

    def open(self) -> Read:
        """What reads them."""
        return Store(self.path)[self.split].depth


def make_windows(source: Path, out: Path, config: WindowsConfig) -> WindowsSummary:
    """Cut a window out of every frame of a store. All labels and facts go with them.

    A frame that is not OK keeps its row and status, and one without a centre gets an empty window. A hand so near that
    its augmented box exceeds the side is told in the summary and counted in the store; the reader knows what a crop of
    it may read (`store.windows.covered_rows`), and a crop that needs more is refused.

    Args:
        source: a store of frames.
        out: the store to make.
        config: options.

    Returns:
        What was done, and the frames in which something was found wrong: damaged depth, or a box without depth.

    Raises:
        HandbenchError: if the source cannot be opened, holds windows itself or has no centres; or the output exists or
            is being written.
        Interrupted: on Ctrl-C; what is done so far is kept for `resume`.
    """
    return cut_windows(_store_source(_frames_of(source, out, config.overwrite), config.limit), out, config)


def cut_windows(source: FrameSource, out: Path, config: WindowsConfig) -> WindowsSummary:
    """Cut a window out of every frame of a source; what `make_windows` does, whatever the frames come from.

    Args:
        source: the frames that are asked for; `config.limit` is not looked at.
        out: the store to make.
        config: options.

    Returns:
        As `make_windows`.

    Raises:
        HandbenchError: if the output exists or is being written, or something cannot be written.
        Interrupted: on Ctrl-C; what is done so far is kept for `resume`.
    """
    claim_output(out, config.overwrite)
    margin, camera = Margin.of(config.augment), source.camera
    plans = [Plan.of(split, camera, margin) for split in source.splits]
    side = config.side or max(int(plan.sides.max(initial=1)) for plan in plans)
    facts = WindowFacts(side, margin.to_dict(), {plan.split.name: len(plan.beyond(side)) for plan in plans})
    provenance = {**source.provenance, "windows": {**source.origin, "side": side, "margin": facts.margin}}
    frames = {split.name: len(split) for split in source.splits}
    summary = WindowsSummary(out, frames, side=side, image=(camera.height, camera.width))
    with under_construction(out, config.resume, config.overwrite) as (partial, journal):
        make = functools.partial(_skeleton, source=source, facts=facts, provenance=provenance)
        writer = begin(partial, make, provenance, source.codec, frames)
        tasks = [_tasks(plan, partial, side, journal) for plan in plans]
        every = [task for some in tasks for task in some]
        work(every, journal, f"windows {source.spec.name}", config.scheduler, config.workers)
        for plan, some in zip(plans, tasks, strict=True):
            outcome, split = summary.gather(task.entry for task in some), plan.split
            columns = {**split.columns, "origin_uv": plan.origin_uv(side), "status": outcome.status}
            writer.write_columns(split.name, columns, split.attributes)
            summary.remarks += plan.remarks(side)
            summary.known.update(map(FrameStatus, split.status[~split.usable].tolist()))
        writer.finish()
    if config.side is None:
        summary.remarks += smaller_side(np.concatenate([plan.sides for plan in plans]), side)
    if side**2 >= camera.width * camera.height:
        summary.remarks.append(f"windows of {side} px are no smaller than the frames: {source.whole}")
    return summary


def _frames_of(source: Path, out: Path, overwrite: bool) -> Store:
    """The store of frames.

    Raises:
        HandbenchError: if there is none, or `out` cannot be made of it.
    """
    claim_output(out, overwrite)
    store = Store(source)
    if store.windows is not None:
        raise HandbenchError(f"{source} holds windows already; make others from the store of frames")
    target, place = out.resolve(), source.resolve()
    if target.is_relative_to(place) or place.is_relative_to(target):
        raise HandbenchError(f"{out} would be written over the store {source}; name another output")
    return store


def _store_source(store: Store, limit: int | None) -> FrameSource:
    """A store of frames, or the first frames of each split.

    Raises:
        HandbenchError: if no frame of a split has a centre, or a frame that is OK has no box.
    """
    provenance = store.provenance
    if limit is not None:
        options = provenance.get("options", {})
        provenance = {**provenance, "options": {**options, "limit": min(limit, options.get("limit") or limit)}}
    splits = tuple(_split_source(store, store[name], limit) for name in store.splits)
    for split in splits:
        _check_boxes(store.path, split)
    origin = {"source": store.path.name, "sha256": fingerprint(store.path), "limit": limit}
    whole = f"train on {store.path} itself"
    return FrameSource(store.spec, store.camera, store.release, store.codec, provenance, origin, whole, splits)


def _split_source(store: Store, split: Split, limit: int | None) -> SplitSource:
    tables = {name: getattr(split, name) for name in COLUMNS if name != "origin_uv"}
    columns = {name: table[:limit] for name, table in tables.items() if table is not None}
    attributes = {name: split.attributes(name) for name in columns}
    return SplitSource(split.name, columns, attributes, StoreFrames(store.path, split.name), split.depth_dtype)


def _check_boxes(path: Path, split: SplitSource) -> None:
    """Refuse frames that no window can be cut out of.

    Raises:
        HandbenchError: if no frame has a centre, or a frame that is OK has no box.
    """
    center, cube = split.columns["center_xyz"], split.columns["cube"]
    there = np.isfinite(center).all(axis=1)
    if not there.any():
        raise HandbenchError(
            f"{path}: no frame of split {split.name} has a centre, so there is nothing to cut windows about; "
            "run 'handbench centers compute' or 'handbench centers import' first"
        )
    reasons = {
        "a cube that is not positive": ~(cube > 0).all(axis=1),
        "no centre": ~there,
        "their centre behind the camera": center[:, 2] <= 0,
    }
    for reason, rows in reasons.items():
        if (bad := np.flatnonzero(rows & split.usable)).size:
            raise HandbenchError(
                f"{path}: {bad.size:,} frames of status ok have {reason}, the first {split.frame_key[bad[0]]}; "
                "'handbench validate' lists them"
            )


def _skeleton(path: Path, source: FrameSource, facts: WindowFacts, provenance: Mapping[str, Any]) -> None:
    """A new store of windows with its splits, still empty."""
    writer = StoreWriter(path, source.spec, source.camera, source.release, provenance, source.codec, facts)
    for split in source.splits:
        writer.create_split(split.name, len(split), (facts.side, facts.side), split.dtype)


def _tasks(plan: Plan, partial: Path, side: int, journal: Path) -> list[WindowTask]:
    split, origin, tasks = plan.split, plan.origin_uv(side), []
    for start in range(0, len(split), SHARD_FRAMES):
        rows = slice(start, start + SHARD_FRAMES)
        center, cube = (split.columns[name][rows].astype(np.float64) for name in ("center_xyz", "cube"))
        some = split.frame_key[rows], center, cube, split.status[rows], origin[rows]
        tasks.append(WindowTask(split.frames, plan.camera, partial, split.name, start, *some, side, journal))
    return tasks
