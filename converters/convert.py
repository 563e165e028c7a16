"""Any raw data set to a store: one Dask task a shard, every frame accounted for, resumable at any moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.console import claim_output, progress, remove, take_place, whole_or_nothing
from handbench.converters.protocol import Reader
from handbench.converters.schedule import check_scheduler, run
from handbench.converters.shard import Center, Problem, Shard, ShardTask
from handbench.datasets import DatasetSpec
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameTable, StoreWriter
from handbench.store.lock import alone
from handbench.store.writer import CODECS, SHARD_FRAMES, smaller_codec

CENTERS = ("com", "com-iterated", "gt-mean")
"""Centre methods that need nothing but the frame and its labels."""
_SAMPLE = 32  # frames that --codec auto tries


@dataclass(frozen=True)
class ConvertConfig:
    """Options of a conversion.

    Attributes:
        splits: which splits; empty for all there are.
        subjects: which subjects; empty for all.
        limit: at most so many frames of each split, the first; None for all.
        center: "com", centre of mass of the depth between `near` and `far`; "com-iterated", the same inside the cube
            around the nearest surface, moved until it stands still; or "gt-mean", mean of the true joints.
        near: smallest depth that counts for a centre of mass, mm; None for the data set's threshold.
        far: largest depth that counts for a centre of mass, mm; None for the data set's threshold.
        codec: "shuffle", "bitshuffle", or "auto" for the smaller on a sample of the frames.
        scheduler: "threads", "processes", or the address of a Dask scheduler.
        workers: how many threads or processes; 0 for one a core.
        resume: go on with an interrupted conversion, if there is one.
        overwrite: replace an existing store; without `resume`, also start an interrupted conversion again.

    Raises:
        HandbenchError: if a value cannot be, or two contradict each other.
    """

    splits: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    limit: int | None = None
    center: str = "com"
    near: float | None = None
    far: float | None = None
    codec: str = "auto"
    scheduler: str = "threads"
    workers: int = 0
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.center not in CENTERS:
            raise HandbenchError(f"unknown centre method {self.center!r}; there are {', '.join(CENTERS)}")
        if self.codec != "auto" and self.codec not in CODECS:
            raise HandbenchError(f"unknown codec {self.codec!r}; there are auto, {', '.join(CODECS)}")
        if self.workers < 0:
            raise HandbenchError(f"{self.workers} workers cannot be; 0 means one a core")
        if self.limit is not None and self.limit < 1:
            raise HandbenchError(f"--limit {self.limit} would leave no frame; it must be 1 or more")
        if self.center == "gt-mean" and (self.near is not None or self.far is not None):
            raise HandbenchError("--near and --far are thresholds of a centre of mass, not of --center gt-mean")
        check_scheduler(self.scheduler)

    def center_of(self, spec: DatasetSpec) -> Center:
        """How centres are found, with the data set's thresholds where none are given.

        Raises:
            HandbenchError: if near is not below far.
        """
        near = spec.depth_range_mm[0] if self.near is None else self.near
        far = spec.depth_range_mm[1] if self.far is None else self.far
        if not 0 <= near < far:
            raise HandbenchError(f"the depth thresholds are {near:g} and {far:g} mm; near must be below far")
        return Center(self.center, near, far)


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


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a conversion; the message says how to go on."""


def convert(reader: Reader, out: Path, config: ConvertConfig) -> ConvertSummary:
    """Turn a raw tree into a store. A bad frame keeps its row, gets a status and a place in the summary.

    The store grows as `<out>.partial`, which no reader opens, and takes its name when it is whole. A store that it
    replaces is there until then, and is whole under `<out>.old` in the moment between; so a kill loses neither.

    Args:
        reader: of the raw tree.
        out: the store to make.
        config: options.

    Returns:
        What was done, and the frames that are not OK.

    Raises:
        HandbenchError: if labels are missing, a split or subject does not exist, the output exists, or another
            conversion is writing it.
        Interrupted: on Ctrl-C; what is done so far is kept for `resume`.
    """
    claim_output(out, config.overwrite)
    center = config.center_of(reader.spec)
    full = {split: reader.table(split) for split in config.splits or reader.splits}
    tables = {split: _chosen(split, table, config) for split, table in full.items()}
    codec = _sampled_codec(reader, tables) if config.codec == "auto" else config.codec
    partial, journal = (out.with_name(f"{out.name}.{kind}") for kind in ("partial", "journal"))
    with alone(out):
        provenance = _provenance(reader, config, center)
        if not (partial.exists() and config.resume):
            _make_room(partial, journal, config.overwrite)
        writer = _begin(partial, reader, tables, codec, provenance)
        journal.mkdir(exist_ok=True)
        tasks = {split: _tasks(reader, partial, split, table, center, journal) for split, table in tables.items()}
        _work([task for split in tasks.values() for task in split], reader.spec.name, config)
        summary = ConvertSummary(out, {split: len(table) for split, table in tables.items()})
        for split, table in tables.items():
            shards = [Shard.read(task.entry) for task in tasks[split]]
            writer.write_columns(split, _columns(reader.spec, table, shards), {"center_xyz": center.attributes})
            summary.problems += [problem for shard in shards for problem in shard.problems]
            summary.remarks += _remarks(reader, split, full[split], table)
        writer.finish()
        remove(journal)
        take_place(partial, out)
    return summary


def _chosen(split: str, table: FrameTable, config: ConvertConfig) -> FrameTable:
    """The frames that the options ask for.

    Raises:
        HandbenchError: if none are left, naming the subjects there are.
    """
    if not len(table):
        raise HandbenchError(f"the labels of {split} name no frame; there is nothing to convert")
    if config.subjects:
        there = np.unique(table.subject).tolist()
        table = table[np.isin(table.subject, config.subjects)]
        if not len(table):
            names = ", ".join(filter(None, there)) or "none that is named"
            raise HandbenchError(f"{split} has no frame of subject {', '.join(config.subjects)}; there are {names}")
    return table[: config.limit]


def _make_room(partial: Path, journal: Path, overwrite: bool) -> None:
    """Remove what an interrupted conversion left, if that is asked for.

    Raises:
        HandbenchError: if there is one and nothing says what to do with it.
    """
    if partial.exists() and not overwrite:
        raise HandbenchError(
            f"{partial} is an interrupted conversion; pass --resume to go on with it, or --overwrite to start again"
        )
    remove(partial)
    remove(journal)


def _begin(
    partial: Path, reader: Reader, tables: Mapping[str, FrameTable], codec: str, provenance: Mapping[str, Any]
) -> StoreWriter:
    """The store under construction: a new one, or the one that was interrupted.

    Raises:
        HandbenchError: if that one was begun with other options.
    """
    camera = reader.spec.camera
    frames = {name: len(table) for name, table in tables.items()}
    if not partial.exists():
        with whole_or_nothing(partial) as skeleton:
            writer = StoreWriter(skeleton, reader.spec, camera, reader.release, provenance, codec)
            for name, count in frames.items():
                writer.create_split(name, count, (camera.height, camera.width), reader.depth_dtype)
    writer = StoreWriter.resume(partial)
    if (writer.provenance, writer.codec, writer.frames) != (provenance, codec, frames):
        raise HandbenchError(
            f"{partial} was begun with other options or from other raw files; "
            "repeat the first command, or start again with --overwrite"
        )
    return writer


def _tasks(
    reader: Reader, store: Path, split: str, table: FrameTable, center: Center, journal: Path
) -> list[ShardTask]:
    starts = range(0, len(table), SHARD_FRAMES)
    return [ShardTask(reader, store, split, s, table[s : s + SHARD_FRAMES], center, journal) for s in starts]


def _work(tasks: Sequence[ShardTask], name: str, config: ConvertConfig) -> None:
    """Do what the journal does not say is done."""
    todo = [task for task in tasks if not task.entry.exists()]
    total, left = (sum(len(task.table) for task in some) for some in (tasks, todo))
    try:
        with progress(f"convert {name}", total, "frames") as advance:
            advance(total - left)
            run(todo, config.scheduler, config.workers, advance)
    except KeyboardInterrupt:
        done = sum(len(task.table) for task in tasks if task.entry.exists())
        raise Interrupted(
            f"stopped; {done:,} of {total:,} frames are done, the same command with --resume goes on"
        ) from None
    except OSError as error:
        raise HandbenchError(
            f"the conversion stopped: {error}; when that is mended, the same command with --resume goes on"
        ) from error


def _columns(spec: DatasetSpec, table: FrameTable, shards: Sequence[Shard]) -> dict[str, npt.NDArray[Any]]:
    """All tables of a split."""
    side = np.array([spec.cube_of(subject) for subject in table.subject.tolist()])
    return {
        **table.stored(),
        "center_xyz": np.concatenate([shard.center_xyz for shard in shards]),
        "cube": np.repeat(side[:, None], 3, axis=1),
        "status": np.concatenate([shard.status for shard in shards]),
    }


def _remarks(reader: Reader, split: str, full: FrameTable, table: FrameTable) -> list[str]:
    """What is odd about a split but no fault of a frame."""
    remarks = reader.remarks(split, full)
    if extra := reader.unlabelled(split, full):
        remarks.append(f"{split}: {extra:,} images have no label and were left out")
    scored = table.joints_xyz[:, list(reader.spec.joints.scored)]
    labelled = np.asarray(np.isfinite(scored).all(axis=-1))
    if partly := int(np.count_nonzero(labelled.any(axis=1) & ~labelled.all(axis=1))):
        remarks.append(f"{split}: {partly:,} frames lack some of the scored joints (NaN)")
    return remarks


def _sampled_codec(reader: Reader, tables: Mapping[str, FrameTable]) -> str:
    """The codec that packs a sample of the frames smaller, the same sample each time."""
    images = [image for table in tables.values() for image in table.image.tolist()]
    frames = []
    for i in np.linspace(0, len(images) - 1, min(_SAMPLE, len(images))).astype(int).tolist():
        try:
            frames.append(reader.depth(images[i]))
        except FrameError:
            continue  # it will have its line in the summary
    return smaller_codec(frames)


def _provenance(reader: Reader, config: ConvertConfig, center: Center) -> dict[str, Any]:
    """What the store is made from; nothing that changes no byte of it."""
    splits = config.splits or reader.splits
    raw = {name: value for split in splits for name, value in reader.fingerprints(split).items()}
    options = {
        **reader.options,
        **center.attributes,
        "splits": list(splits),
        "subjects": list(config.subjects),
        "limit": config.limit,
    }
    return {"converter": reader.spec.name, "options": options, "raw": raw, "synthetic": reader.release == "synthetic"}
