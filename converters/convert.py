"""Any raw data set to a store: one Dask task a shard, every frame accounted for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import xyz_to_uvd
from handbench.console import claim_output, progress, whole_or_nothing
from handbench.converters.protocol import Reader
from handbench.datasets import DatasetSpec
from handbench.errors import FrameError, HandbenchError
from handbench.preprocess import com_xyz, mean_joint_xyz
from handbench.store import FrameStatus, FrameTable, StoreWriter
from handbench.store.writer import SHARD_FRAMES, write_depth

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
        camera = reader.spec.camera
        writer = StoreWriter(partial, reader.spec, camera, reader.release, _provenance(reader, tables, config))
        for split, table in tables.items():
            writer.create_split(split, len(table), (camera.height, camera.width), reader.depth_dtype)
        with progress(f"convert {reader.spec.name}", sum(summary.frames.values()), "frames") as advance:
            for split, table in tables.items():
                starts = range(0, len(table), SHARD_FRAMES)
                parts = [(start, table[start : start + SHARD_FRAMES]) for start in starts]
                tasks = [ShardTask(reader, partial, split, *part, config.center, near, far) for part in parts]
                shards = _run(tasks, config.workers, advance)
                method: dict[str, Any] = {"center_method": config.center}
                if config.center == "com":
                    method |= {"near_mm": near, "far_mm": far}
                writer.write_columns(split, _columns(reader.spec, table, shards), {"center_xyz": method})
                summary.problems += [problem for shard in shards for problem in shard.problems]
                summary.remarks += _remarks(reader, split, table)
        writer.finish()
    return summary


@dataclass(frozen=True)
class Shard:
    """What became of the frames of one shard.

    Attributes:
        status: (n,) values of `FrameStatus`.
        center_xyz: (n, 3) mm, camera frame; NaN where none was found.
        problems: the frames that are not OK.
    """

    status: npt.NDArray[np.uint8]
    center_xyz: npt.NDArray[np.float64]
    problems: list[Problem]


@dataclass(frozen=True)
class ShardTask:
    """The work of one shard. It is small, shares nothing, and can run anywhere that sees the raw tree and the store.

    Attributes:
        reader: of the raw tree.
        store: the store under construction.
        split: name of the split.
        start: first row of the shard.
        table: the frames of the shard.
        center: centre method.
        near: smallest depth that counts for "com", mm.
        far: largest depth that counts for "com", mm.
    """

    reader: Reader
    store: Path
    split: str
    start: int
    table: FrameTable
    center: str
    near: float
    far: float

    def __call__(self) -> Shard:
        """Read, check and write the frames of the shard."""
        camera, frames = self.reader.spec.camera, len(self.table)
        depth = np.zeros((frames, camera.height, camera.width), dtype=self.reader.depth_dtype)
        status = np.full(frames, FrameStatus.OK, dtype=np.uint8)
        centers = np.full((frames, 3), np.nan)
        problems = []
        for i in range(frames):
            try:
                depth[i] = self.reader.depth(str(self.table.image[i]))
                centers[i] = self._center(i, depth[i])
                self._check(i, centers[i])
            except FrameError as error:
                status[i] = error.status
                problems.append(Problem(str(self.table.frame_key[i]), FrameStatus(error.status), str(error)))
        write_depth(self.store, self.split, self.start, depth)
        return Shard(status, centers, problems)

    def _scored(self, i: int) -> npt.NDArray[np.float32]:
        return self.table.joints_xyz[i, list(self.reader.spec.joints.scored)]

    def _center(self, i: int, depth: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        if self.center == "com":
            return com_xyz(depth, self.reader.spec.camera, self.near, self.far)
        return mean_joint_xyz(self._scored(i))

    def _check(self, i: int, center: npt.NDArray[np.float64]) -> None:
        """Refuse a frame whose labels or centre cannot be used.

        Raises:
            FrameError: with the status that says why.
        """
        if self.table.labelled and not np.isfinite(self._scored(i)).all(axis=-1).any():
            raise FrameError("no scored joint is labelled", FrameStatus.LABEL_INVALID)
        if not np.isfinite(center).all():
            raise FrameError(f"no depth between {self.near:g} and {self.far:g} mm", FrameStatus.OUTSIDE_IMAGE)
        camera = self.reader.spec.camera
        u, v, z = xyz_to_uvd(center, camera)
        if z <= 0 or not (0 <= u < camera.width and 0 <= v < camera.height):
            raise FrameError(f"the centre lies at column {u:.0f}, row {v:.0f}", FrameStatus.OUTSIDE_IMAGE)


def _columns(spec: DatasetSpec, table: FrameTable, shards: Sequence[Shard]) -> dict[str, npt.NDArray[Any]]:
    """All tables of a split."""
    side = np.array([spec.cube_of(subject) for subject in table.subject.tolist()])
    return {
        **table.stored(),
        "center_xyz": np.concatenate([shard.center_xyz for shard in shards]),
        "cube": np.repeat(side[:, None], 3, axis=1),
        "status": np.concatenate([shard.status for shard in shards]),
    }


def _remarks(reader: Reader, split: str, table: FrameTable) -> list[str]:
    """What is odd about a split but no fault of a frame."""
    remarks = []
    if extra := reader.unlabelled(split, table):
        remarks.append(f"{split}: {extra:,} images have no label and were left out")
    scored = table.joints_xyz[:, list(reader.spec.joints.scored)]
    labelled = np.asarray(np.isfinite(scored).all(axis=-1))
    if partly := int(np.count_nonzero(labelled.any(axis=1) & ~labelled.all(axis=1))):
        remarks.append(f"{split}: {partly:,} frames lack some of the scored joints (NaN)")
    return remarks


def _run(tasks: Sequence[ShardTask], workers: int, advance: Callable[[int], None]) -> list[Shard]:
    """All shards in order, by Dask's threads; OpenCV and Blosc let go of the interpreter's lock."""
    import dask
    from dask.callbacks import Callback

    def shard_done(key: Any, shard: Shard, *_: Any) -> None:
        advance(len(shard.status))

    delayed = [dask.delayed(task, pure=False, traverse=False)() for task in tasks]
    with Callback(posttask=shard_done):
        return list(dask.compute(*delayed, scheduler="threads", num_workers=workers or os.cpu_count()))


def _provenance(reader: Reader, splits: Iterable[str], config: ConvertConfig) -> dict[str, Any]:
    raw = {name: value for split in splits for name, value in reader.fingerprints(split).items()}
    options = {key: value for key, value in asdict(config).items() if key not in ("overwrite", "workers")}
    return {"converter": reader.spec.name, "options": options, "raw": raw, "synthetic": reader.release == "synthetic"}
