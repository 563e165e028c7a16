"""A store of frames to a store of windows: one Dask task a shard, gone on with after any interruption.

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
from handbench.errors import HandbenchError
from handbench.preprocess import AugmentConfig
from handbench.preprocess.center import box_holds_depth
from handbench.preprocess.windows import Margin, Reach, cut_window
from handbench.store import FrameStatus, Split, Store, StoreWriter
from handbench.store.fingerprint import fingerprint
from handbench.store.layout import COLUMNS, WindowFacts
from handbench.store.writer import SHARD_FRAMES, write_depth

_MOST = 0.999  # share of the frames whose side is told, where the largest is much larger
_MUCH = 1.1
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
    """The work of one shard. It shares nothing, and can run anywhere that sees both stores.

    Attributes:
        source: path of the store of frames.
        store: path of the store under construction.
        split: name of the split.
        start: first row of the shard.
        frame_key: (n,) of its frames.
        center_xyz: (n, 3) mm, camera frame; NaN = no window.
        cube: (n, 3) mm.
        status: (n,) in the source.
        origin_uv: (n, 2) of the windows.
        side: of the windows, px.
        journal: folder beside the store that says which shards are done.
    """

    source: Path
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

    def _windows(self, problems: dict[int, Problem]) -> Iterator[npt.NDArray[Any]]:
        """The window of each frame, all 0 where it has no centre or cannot be read. Fills in what was found wrong."""
        store = Store(self.source)
        split = store[self.split]
        nothing = np.zeros((self.side, self.side), split.depth_dtype)
        for i, center in enumerate(self.center_xyz):
            if not center[2] > 0 or self.status[i] in _WITHOUT_IMAGE:  # NaN is not
                yield nothing
                continue
            key = str(self.frame_key[i])
            try:
                depth = split.depth(self.start + i)
            except HandbenchError as error:
                problems[i] = Problem(key, FrameStatus.IMAGE_CORRUPT, str(error))
                yield nothing
                continue
            if self.status[i] == FrameStatus.OK and not box_holds_depth(depth, center, self.cube[i], store.camera):
                problems[i] = Problem(key, FrameStatus.BOX_EMPTY, "the box around its centre holds no depth")
            yield cut_window(depth, self.origin_uv[i], self.side)


@dataclass(frozen=True)
class Plan:
    """The boxes of one split, and how far they reach.

    Attributes:
        split: the split.
        frames: how many of its frames, from the first.
        camera: of the frames.
        reach: of their boxes, within the margin.
        upright: of their boxes as they are.
    """

    split: Split
    frames: int
    camera: Camera
    reach: Reach
    upright: Reach

    @classmethod
    def of(cls, store: Store, name: str, config: WindowsConfig) -> Plan:
        """Look at the boxes of a split.

        Raises:
            HandbenchError: if no frame has a centre, or a frame that is OK has no box.
        """
        split = store[name]
        frames = min(len(split), config.limit or len(split))
        center, cube = split.center_xyz[:frames], split.cube[:frames]
        if not np.isfinite(center).all(axis=1).any():
            raise HandbenchError(
                f"{store.path}: no frame of split {name} has a centre, so there is nothing to cut windows about; "
                "run 'handbench centers compute' or 'handbench centers import' first"
            )
        reasons = {
            "a cube that is not positive": ~(cube > 0).all(axis=1),
            "no centre": ~np.isfinite(center).all(axis=1),
            "their centre behind the camera": center[:, 2] <= 0,
        }
        for reason, rows in reasons.items():
            if (bad := np.flatnonzero(rows & split.usable[:frames])).size:
                first = split.frame_key[bad[0]]
                raise HandbenchError(
                    f"{store.path}: {bad.size:,} frames of status ok have {reason}, the first {first}; "
                    "'handbench validate' lists them"
                )
        of = functools.partial(Reach.of, center, cube, store.camera)
        return cls(split, frames, store.camera, of(Margin.of(config.augment)), of(Margin()))

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """(n,) where the status is OK."""
        return self.split.usable[: self.frames]

    @property
    def sides(self) -> npt.NDArray[np.int64]:
        """The sides that usable frames need, px."""
        return self.reach.side(self.camera)[self.usable]

    def origin_uv(self, side: int) -> npt.NDArray[np.int32]:
        """(n, 2) where windows of that side begin."""
        return self.reach.origins(side, self.camera)

    def beyond(self, side: int) -> npt.NDArray[np.intp]:
        """The usable rows that reach beyond a window of that side."""
        return np.flatnonzero(self.usable & ~self.reach.inside(self.origin_uv(side), side, self.camera))

    def remarks(self, side: int) -> Iterator[str]:
        """Whose hand is too near for a window of that side."""
        near = self.beyond(side)
        if near.size:
            upright = self.upright.inside(self.origin_uv(side), side, self.camera)[near]
            yield (
                f"{self.split.name}: {near.size:,} frames reach beyond their window, the first "
                f"{self.split.frame_key[near[0]]}: training with this margin leaves them out; "
                f"{int(upright.sum()):,} of them hold their upright box"
            )


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
    store = _frames_of(source, out, config.overwrite)
    plans = {name: Plan.of(store, name, config) for name in store.splits}
    side = config.side or max(int(plan.sides.max(initial=1)) for plan in plans.values())
    beyond = {name: len(plan.beyond(side)) for name, plan in plans.items()}
    facts = WindowFacts(side, Margin.of(config.augment).to_dict(), beyond)
    provenance = _provenance(store, config, facts)
    frames = {name: plan.frames for name, plan in plans.items()}
    summary = WindowsSummary(out, frames, side=side, image=(store.camera.height, store.camera.width))
    with under_construction(out, config.resume, config.overwrite) as (partial, journal):
        make = functools.partial(_skeleton, store=store, frames=frames, facts=facts, provenance=provenance)
        writer = begin(partial, make, provenance, store.codec, frames)
        tasks = {name: _tasks(store, partial, plan, side, journal) for name, plan in plans.items()}
        every = [task for some in tasks.values() for task in some]
        work(every, journal, f"windows {store.spec.name}", config.scheduler, config.workers)
        for name, plan in plans.items():
            outcome = summary.gather(task.entry for task in tasks[name])
            attributes = {column: plan.split.attributes(column) for column in _tables(plan)}
            writer.write_columns(name, _columns(plan, side, outcome), attributes)
            summary.remarks += plan.remarks(side)
            summary.known.update(map(FrameStatus, plan.split.status[: plan.frames][~plan.usable].tolist()))
        writer.finish()
    if config.side is None:
        summary.remarks += _smaller_side(np.concatenate([plan.sides for plan in plans.values()]), side)
    if side**2 >= store.camera.width * store.camera.height:
        summary.remarks.append(f"windows of {side} px are no smaller than the frames: train on {source} itself")
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


def _skeleton(
    path: Path, store: Store, frames: Mapping[str, int], facts: WindowFacts, provenance: Mapping[str, Any]
) -> None:
    """A new store of windows with its splits, still empty."""
    writer = StoreWriter(path, store.spec, store.camera, store.release, provenance, store.codec, facts)
    for name, count in frames.items():
        writer.create_split(name, count, (facts.side, facts.side), store[name].depth_dtype)


def _tasks(store: Store, partial: Path, plan: Plan, side: int, journal: Path) -> list[WindowTask]:
    split, origin, tasks = plan.split, plan.origin_uv(side), []
    for start in range(0, plan.frames, SHARD_FRAMES):
        rows = slice(start, min(start + SHARD_FRAMES, plan.frames))
        center, cube = split.center_xyz[rows].astype(np.float64), split.cube[rows].astype(np.float64)
        some = split.frame_key[rows], center, cube, split.status[rows], origin[rows]
        tasks.append(WindowTask(store.path, partial, split.name, start, *some, side, journal))
    return tasks


def _tables(plan: Plan) -> dict[str, npt.NDArray[Any]]:
    """The tables of a split in the source."""
    tables = {name: getattr(plan.split, name) for name in COLUMNS if name != "origin_uv"}
    return {name: table[: plan.frames] for name, table in tables.items() if table is not None}


def _columns(plan: Plan, side: int, outcome: Shard) -> dict[str, npt.NDArray[Any]]:
    """Those tables, with the origins, and with the status as it was found."""
    return {**_tables(plan), "origin_uv": plan.origin_uv(side), "status": outcome.status}


def _provenance(store: Store, config: WindowsConfig, facts: WindowFacts) -> dict[str, Any]:
    """What the source was made from, and what was made of it."""
    made = {"source": store.path.name, "sha256": fingerprint(store.path), "side": facts.side, "margin": facts.margin}
    provenance = {**store.provenance, "windows": {**made, "limit": config.limit}}
    if config.limit is not None:
        options = store.provenance.get("options", {})
        provenance["options"] = {**options, "limit": min(config.limit, options.get("limit") or config.limit)}
    return provenance


def _smaller_side(sides: npt.NDArray[np.int64], side: int) -> Iterator[str]:
    """Whether a few near hands make all windows large."""
    most = int(np.quantile(sides, _MOST, method="inverted_cdf")) if sides.size else side
    if side > most * _MUCH:
        yield f"a few hands are near: --side {most} would hold {_MOST:.1%} of the frames, {side} px hold them all"
