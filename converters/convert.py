"""Any raw data set to a store: one Dask task a shard, every frame accounted for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import xyz_to_uvd
from handbench.console import claim_output, progress, whole_or_nothing
from handbench.converters.protocol import Reader
from handbench.errors import FrameError, HandbenchError
from handbench.preprocess import com_xyz, mean_joint_xyz
from handbench.store import FrameStatus, FrameTable, StoreWriter
from handbench.store.writer import SHARD_FRAMES

CENTERS = ("com", "gt-mean")
"""Centre methods that need nothing but the frame and its labels."""


@dataclass(frozen=True)
class ConvertConfig:
    """Options of a conversion.

    Attributes:
        splits: which splits; empty for all there are.
        center: "com", centre of mass of the depth between `near` and `far`; or "gt-mean", mean of the true joints.
        near: smallest depth that counts for "com", mm; None for the data set's threshold.
        far: largest depth that counts for "com", mm; None for the data set's threshold.
        workers: number of threads; 0 for one a core.
        overwrite: replace an existing store.

    Raises:
        HandbenchError: if a value cannot be.
    """

    splits: tuple[str, ...] = ()
    center: str = "com"
    near: float | None = None
    far: float | None = None
    workers: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.center not in CENTERS:
            raise HandbenchError(f"unknown centre method {self.center!r}; there are {', '.join(CENTERS)}")
        if self.workers < 0:
            raise HandbenchError(f"{self.workers} workers cannot be; 0 means one a core")
        if self.center != "com" and (self.near is not None or self.far is not None):
            raise HandbenchError(f"--near and --far are thresholds of --center com, not of {self.center}")

    def thresholds(self, reader: Reader) -> tuple[float, float]:
        """(near, far) in mm for a data set.

        Raises:
            HandbenchError: if near is not below far.
        """
        default_near, default_far = reader.spec.depth_range_mm
        near = default_near if self.near is None else self.near
        far = default_far if self.far is None else self.far
        if not 0 <= near < far:
            raise HandbenchError(f"the depth thresholds are {near:g} and {far:g} mm; near must be below far")
        return near, far


@dataclass(frozen=True)
class Problem:
    """A frame that is not OK: its key, what is wrong, and where."""

    frame_key: str
    status: FrameStatus
    message: str


@dataclass
class ConvertSummary:
    """What a conversion did.

    Attributes:
        out: the store.
        frames: number of frames by split.
        problems: the frames that are not OK, in order.
        remarks: what is odd about the tree, a line each.
    """

    out: Path
    frames: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def one_line(self) -> str:
        """How many frames went where, and how many are not OK."""
        frames = " + ".join(f"{count:,} {split}" for split, count in self.frames.items())
        kinds = Counter(problem.status.title for problem in self.problems)
        bad = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) or "all ok"
        return f"{self.out}: {frames} frames, {bad}"


def convert(reader: Reader, out: Path, config: ConvertConfig) -> ConvertSummary:
    """Turn a raw tree into a store. A bad frame keeps its row, gets a status and a place in the summary.

    Args:
        reader: of the raw tree.
        out: the store to make; it appears whole or not at all.
        config: options.

    Returns:
        What was done, and the frames that are not OK.

    Raises:
        HandbenchError: if labels are missing, a split does not exist or the output exists.
    """
    claim_output(out, config.overwrite)
    near, far = config.thresholds(reader)
    tables = {split: reader.table(split) for split in config.splits or reader.splits}
    empty = [split for split, table in tables.items() if not len(table)]
    if empty:
        raise HandbenchError(f"the labels of {', '.join(empty)} name no frame; there is nothing to convert")
    summary = ConvertSummary(out, {split: len(table) for split, table in tables.items()})
    with whole_or_nothing(out) as partial:
        writer = StoreWriter(
            partial, reader.spec, reader.spec.camera, reader.release, _provenance(reader, tables, config)
        )
        camera = reader.spec.camera
        for split, table in tables.items():
            writer.create_split(split, len(table), (camera.height, camera.width))
        with progress(f"convert {reader.spec.name}", sum(summary.frames.values()), "frames") as advance:
            for split, table in tables.items():
                job = _SplitJob(reader, writer, split, table, config.center, near, far)
                shards = _run(job, config.workers, advance)
                problems = [problem for shard in shards for problem in shard.problems]
                job.write_tables(np.concatenate([shard.centers for shard in shards]), problems)
                summary.problems += problems
                summary.remarks += job.remarks()
        writer.finish()
    return summary


@dataclass(frozen=True)
class _Shard:
    """What became of the frames of one shard: their centres, and those that are not OK."""

    centers: npt.NDArray[np.float64]
    problems: list[Problem]


@dataclass(frozen=True)
class _SplitJob:
    """The work of one split. A call of `convert_shard` is one task; tasks share nothing but what they read."""

    reader: Reader
    writer: StoreWriter
    split: str
    table: FrameTable
    center: str
    near: float
    far: float

    @cached_property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """(N, J) over the scored joints: where there is a label."""
        scored = self.table.joints_xyz[:, list(self.reader.spec.joints.scored)]
        return np.asarray(np.isfinite(scored).all(axis=-1))

    def convert_shard(self, start: int) -> _Shard:
        """Read, check and write the frames of the shard that begins at `start`."""
        rows = range(start, min(start + SHARD_FRAMES, len(self.table)))
        camera = self.reader.spec.camera
        depth = np.zeros((len(rows), camera.height, camera.width), dtype=np.uint16)
        centers = np.full((len(rows), 3), np.nan)
        problems = []
        for i, row in enumerate(rows):
            try:
                depth[i] = self.reader.depth(self.split, row)
                centers[i] = self._center(row, depth[i])
                self._check(row, centers[i])
            except FrameError as error:
                key = str(self.table.frame_key[row])
                problems.append(Problem(key, FrameStatus(error.status), str(error)))
        self.writer.write_depth(self.split, start, depth)
        return _Shard(centers, problems)

    def write_tables(self, centers: npt.NDArray[np.float64], problems: Sequence[Problem]) -> None:
        """Write all columns of the split; a frame without a problem is OK."""
        row_of = {key: row for row, key in enumerate(self.table.frame_key.tolist())}
        status = np.full(len(self.table), FrameStatus.OK, dtype=np.uint8)
        for problem in problems:
            status[row_of[problem.frame_key]] = problem.status
        side = np.array([self.reader.spec.cube_of(subject) for subject in self.table.subject.tolist()])
        method: dict[str, Any] = {"center_method": self.center}
        if self.center == "com":
            method |= {"near_mm": self.near, "far_mm": self.far}
        columns = {
            **vars(self.table),
            "center_xyz": centers,
            "cube": np.repeat(side[:, None], 3, axis=1),
            "status": status,
        }
        self.writer.write_columns(self.split, columns, {"center_xyz": method})

    def remarks(self) -> list[str]:
        """What is odd about the split but no fault of a frame."""
        remarks = []
        if extra := self.reader.unlabelled(self.split, len(self.table)):
            remarks.append(f"{self.split}: {extra:,} images have no label and were left out")
        if partly := int((self.labelled.any(axis=1) & ~self.labelled.all(axis=1)).sum()):
            remarks.append(f"{self.split}: {partly:,} frames lack some of the scored joints (NaN)")
        return remarks

    def _center(self, row: int, depth: npt.NDArray[np.uint16]) -> npt.NDArray[np.float64]:
        if self.center == "com":
            return com_xyz(depth, self.reader.spec.camera, self.near, self.far)
        return mean_joint_xyz(self.table.joints_xyz[row, list(self.reader.spec.joints.scored)])

    def _check(self, row: int, center: npt.NDArray[np.float64]) -> None:
        """Refuse a frame whose labels or centre cannot be used.

        Raises:
            FrameError: with the status that says why.
        """
        if not self.labelled[row].any():
            raise FrameError("no scored joint is labelled", FrameStatus.LABEL_INVALID)
        if not np.isfinite(center).all():
            raise FrameError(f"no depth between {self.near:g} and {self.far:g} mm", FrameStatus.OUTSIDE_IMAGE)
        camera = self.reader.spec.camera
        u, v, z = xyz_to_uvd(center, camera)
        if z <= 0 or not (0 <= u < camera.width and 0 <= v < camera.height):
            raise FrameError(f"the centre lies at column {u:.0f}, row {v:.0f}", FrameStatus.OUTSIDE_IMAGE)


def _run(job: _SplitJob, workers: int, advance: Callable[[int], None]) -> list[_Shard]:
    """All shards of a split, in order, by Dask's threads; OpenCV and Blosc let go of the interpreter's lock."""
    import dask
    from dask.callbacks import Callback

    def shard_done(key: Any, shard: _Shard, *_: Any) -> None:
        advance(len(shard.centers))

    starts = range(0, len(job.table), SHARD_FRAMES)
    tasks = [dask.delayed(job.convert_shard, pure=False, traverse=False)(start) for start in starts]
    with Callback(posttask=shard_done):
        return list(dask.compute(*tasks, scheduler="threads", num_workers=workers or os.cpu_count()))


def _provenance(reader: Reader, splits: Iterable[str], config: ConvertConfig) -> dict[str, Any]:
    raw = {name: value for split in splits for name, value in reader.fingerprints(split).items()}
    options = {key: value for key, value in asdict(config).items() if key not in ("overwrite", "workers")}
    return {"converter": reader.spec.name, "options": options, "raw": raw, "synthetic": reader.release == "synthetic"}
