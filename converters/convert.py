"""Any raw data set to a store: one Dask task a shard, every frame accounted for, resumable at any moment."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.console import claim_output
from handbench.converters.journal import Shard, Summary, begin, under_construction, work
from handbench.converters.protocol import Reader
from handbench.converters.schedule import check_scheduler
from handbench.converters.shard import Center, ShardTask, thresholds_of
from handbench.datasets import DatasetSpec
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameTable, StoreWriter
from handbench.store.writer import CODECS, SHARD_FRAMES, smaller_codec

CENTERS = ("com", "com-iterated", "gt-mean")
"""Centre methods that need nothing but the frame and its labels."""
_SAMPLE = 16  # frames that --codec auto tries


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
        return Center(self.center, *thresholds_of(spec, self.near, self.far))


def convert(reader: Reader, out: Path, config: ConvertConfig) -> Summary:
    """Turn a raw tree into a store. A bad frame keeps its row, gets a status and a place in the summary.

    Args:
        reader: of the raw tree.
        out: the store to make; what happens to it on a kill is told in `journal`.
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
    frames = {split: len(table) for split, table in tables.items()}
    with under_construction(out, config.resume, config.overwrite) as (partial, journal):
        provenance = _provenance(reader, config, center)
        make = functools.partial(_skeleton, reader=reader, frames=frames, codec=codec, provenance=provenance)
        writer = begin(partial, make, provenance, codec, frames)
        tasks = {split: _tasks(reader, partial, split, table, center, journal) for split, table in tables.items()}
        every = [task for split in tasks.values() for task in split]
        work(every, journal, f"convert {reader.spec.name}", config.scheduler, config.workers)
        summary = Summary(out, frames)
        for split, table in tables.items():
            outcome = summary.gather(task.entry for task in tasks[split])
            writer.write_columns(split, _columns(reader.spec, table, outcome), {"center_xyz": center.attributes})
            summary.remarks += _remarks(reader, split, full[split], table)
        writer.finish()
    return summary


def _skeleton(path: Path, reader: Reader, frames: Mapping[str, int], codec: str, provenance: Mapping[str, Any]) -> None:
    """A new store with its splits, still empty."""
    camera = reader.spec.camera
    writer = StoreWriter(path, reader.spec, camera, reader.release, provenance, codec)
    for name, count in frames.items():
        writer.create_split(name, count, (camera.height, camera.width), reader.depth_dtype)


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


def _tasks(
    reader: Reader, store: Path, split: str, table: FrameTable, center: Center, journal: Path
) -> list[ShardTask]:
    starts = range(0, len(table), SHARD_FRAMES)
    return [ShardTask(reader, store, split, s, table[s : s + SHARD_FRAMES], center, journal) for s in starts]


def _columns(spec: DatasetSpec, table: FrameTable, outcome: Shard) -> dict[str, npt.NDArray[Any]]:
    """All tables of a split."""
    side = np.array([spec.cube_of(subject) for subject in table.subject.tolist()])
    return {
        **table.stored(),
        "center_xyz": outcome.center_xyz,
        "cube": np.repeat(side[:, None], 3, axis=1),
        "status": outcome.status,
    }


def _remarks(reader: Reader, split: str, full: FrameTable, table: FrameTable) -> list[str]:
    """What is odd about a split but no fault of a frame."""
    remarks = reader.remarks(split, full)
    if extra := reader.unlabelled(split, full):
        remarks.append(f"{split}: {extra:,} images have no label and were left out")
    # Joint by joint, to make no copy of a million poses.
    labelled = sum(
        np.isfinite(table.joints_xyz[:, joint]).all(axis=-1).astype(np.uint8) for joint in reader.spec.joints.scored
    )
    if partly := int(np.count_nonzero((labelled > 0) & (labelled < len(reader.spec.joints.scored)))):
        remarks.append(f"{split}: {partly:,} frames lack some of the scored joints (NaN)")
    return remarks


def _sampled_codec(reader: Reader, tables: Mapping[str, FrameTable]) -> str:
    """The codec that packs a sample of the frames smaller, the same sample each time."""
    ends = np.cumsum([len(table) for table in tables.values()])
    splits, frames = list(tables.values()), []
    for i in np.linspace(0, ends[-1] - 1, min(_SAMPLE, ends[-1])).astype(int).tolist():
        which = int(np.searchsorted(ends, i, side="right"))
        try:
            frames.append(reader.depth(str(splits[which].image[i - ends[which]])))
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
