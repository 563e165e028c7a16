"""Synthetic frames as raw trees, by the writers of the data sets, and as a `Reader`, so that `convert` makes stores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench._version import __version__
from handbench.camera import xyz_to_uvd
from handbench.console import progress, whole_or_nothing
from handbench.converters import open_writer
from handbench.converters.marker import SYNTHETIC
from handbench.converters.protocol import Writer
from handbench.converters.schedule import run
from handbench.store import FrameTable
from handbench.synth.config import SynthConfig, subject_frames
from handbench.synth.frames import SyntheticFrames

TASK_FRAMES = 64
"""Frames of a raw tree that one task writes."""
_BOX_MARGIN_MM = 15.0  # of skin around the joints
_FRACTIONS = ("msra",)  # data sets whose raw depth has fractions of a mm
_UNLABELLED = {"hands17": "test"}  # what the raw tree keeps the labels of to itself
TRUTH = "truth.npz"


class SyntheticReader:
    """Synthetic frames where others read a raw tree: `convert` turns it into a store, frame by frame as needed.

    Args:
        config: which frames.
    """

    def __init__(self, config: SynthConfig) -> None:
        self._frames = SyntheticFrames(config)
        self.spec = self._frames.spec
        self.release = SYNTHETIC
        self.splits = self._frames.splits
        self.depth_dtype = np.dtype(np.float32 if config.name in _FRACTIONS else np.uint16)
        self.options: Mapping[str, Any] = json.loads(json.dumps(asdict(config)))  # as a store gives them back

    def table(self, split: str) -> FrameTable:
        """All frames, with exact labels or with the label noise that is asked for, also where the raw tree has none."""
        runs = self._frames.runs[split]
        joints_xyz = self._frames.joints_xyz(split)
        counts = [run.frames for run in runs]
        return FrameTable(
            image=np.array([f"{split}/{row}" for row in range(sum(counts))], dtype=np.str_),
            frame_key=np.array([key for run in runs for key in run.frame_keys()], dtype=np.str_),
            subject=np.repeat(np.array([run.subject for run in runs], dtype=np.str_), counts),
            sequence=np.repeat(np.array([run.sequence for run in runs], dtype=np.str_), counts),
            view=np.ones(sum(counts), dtype=np.uint8),
            joints_xyz=joints_xyz,
            bbox=self._boxes(joints_xyz) if split == _UNLABELLED.get(self.spec.name) else None,
        )

    def depth(self, image: str) -> npt.NDArray[Any]:
        """One frame, (H, W) mm of type `depth_dtype`, 0 = missing."""
        split, _, row = image.partition("/")
        return self.frame(split, int(row))

    def frame(self, split: str, row: int) -> npt.NDArray[Any]:
        """The same by split and row."""
        depth = self._frames.depth(split, row)
        return depth if self.depth_dtype == depth.dtype else np.rint(depth).astype(self.depth_dtype)

    def unlabelled(self, split: str, table: FrameTable) -> int:
        """Every frame has a label."""
        return 0

    def remarks(self, split: str, table: FrameTable) -> list[str]:
        """Nothing is odd about them."""
        return []

    def fingerprints(self, split: str) -> Mapping[str, Any]:
        """What the frames are made from besides the options: the version and the hand."""
        hand = files("handbench.synth").joinpath("hand_shape_model.npz").read_bytes()
        return {"handbench": __version__, "hand_shape_model.npz": hashlib.sha256(hand).hexdigest()}

    def provenance(self, center_method: str) -> dict[str, Any]:
        """What `convert` says that all of the frames are made from, with centres of that method."""
        raw = {name: value for split in self.splits for name, value in self.fingerprints(split).items()}
        whole = {"splits": list(self.splits), "subjects": [], "limit": None}
        options = {**self.options, "center_method": center_method, **whole}
        return {"converter": self.spec.name, "options": options, "raw": raw, "synthetic": True}

    def facts(self) -> dict[str, Any]:
        """What the raw tree cannot say: whose hands they are, and how to make it again."""
        return {"subjects": subject_frames(self._frames.runs), "handbench": __version__, "options": dict(self.options)}

    def _boxes(self, joints_xyz: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, 4) x, y, width, height, whole px: around the joints with their skin, inside the image."""
        camera = self.spec.camera
        uvd = xyz_to_uvd(joints_xyz.astype(np.float64), camera)
        margin = _BOX_MARGIN_MM * camera.fx / uvd[..., 2:]
        last = [camera.width - 1, camera.height - 1]
        low = np.floor((uvd[..., :2] - margin).min(axis=1)).clip(0, last)
        high = np.ceil((uvd[..., :2] + margin).max(axis=1)).clip(0, last)
        return np.hstack((low, high - low)).astype(np.float32)


@dataclass(frozen=True)
class TreeTask:
    """Some frames of a raw tree, to be rendered and written.

    Attributes:
        reader: of the frames.
        writer: of the raw tree.
        table: the frames.
    """

    reader: SyntheticReader
    writer: Writer
    table: FrameTable

    def __call__(self) -> int:
        """Write the images; how many they are."""
        self.writer.write_frames(self.table, map(self.reader.depth, self.table.image.tolist()))
        return len(self.table)


def write_tree(config: SynthConfig, out: Path, scheduler: str = "threads", workers: int = 0) -> dict[str, int]:
    """Write a raw tree of synthetic frames; `out` appears when it is whole, and replaces what is there.

    Args:
        config: which frames.
        out: the folder to make.
        scheduler: as for `schedule.run`.
        workers: how many threads or processes; 0 for one a core.

    Returns:
        Number of frames of each split.

    Raises:
        HandbenchError: if numba is not installed, or something cannot be written.
    """
    reader = SyntheticReader(config)
    tables = {split: reader.table(split) for split in reader.splits}
    with whole_or_nothing(out) as partial:
        writer = open_writer(config.name, partial)
        tasks = [
            TreeTask(reader, writer, table[start : start + TASK_FRAMES])
            for table in tables.values()
            for start in range(0, len(table), TASK_FRAMES)
        ]
        with progress(f"synthetic {config.name}", sum(map(len, tables.values())), "frames") as advance:
            run(tasks, scheduler, workers, advance)
        for split, table in tables.items():
            writer.write_split(split, table, (None for _ in range(len(table))))
        writer.mark_synthetic(reader.facts())
        if (hidden := _UNLABELLED.get(config.name)) in tables:
            _write_truth(partial / TRUTH, tables[hidden])
    return {split: len(table) for split, table in tables.items()}


def _write_truth(path: Path, table: FrameTable) -> None:
    """The labels that the raw layout has no place for, with whose hand it is."""
    np.savez(path, frame_key=table.frame_key, subject=table.subject, joints_xyz=table.joints_xyz)
