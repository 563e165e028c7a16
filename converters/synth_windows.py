"""Synthetic frames as what windows are cut out of: each is rendered, cut and forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.converters.synthetic import SyntheticReader
from handbench.converters.window_plan import FrameSource, Read, SplitSource
from handbench.converters.windows import WindowsConfig, WindowsSummary, cut_windows
from handbench.preprocess.center import in_image, mean_joint_xyz
from handbench.store import FrameStatus, FrameTable
from handbench.store.writer import smaller_codec
from handbench.synth.config import SynthConfig

_CENTER = "gt-mean"  # the only one that is known before a frame is rendered
_SAMPLE = 16  # frames of each split that the codec is chosen by


@dataclass(frozen=True)
class RenderedFrames:
    """The frames of one split, rendered when they are asked for."""

    reader: SyntheticReader
    split: str

    def open(self) -> Read:
        """What renders them."""
        return partial(self.reader.frame, self.split)


def synthetic_windows(config: SynthConfig, out: Path, windows: WindowsConfig) -> WindowsSummary:
    """Render synthetic frames and keep their windows alone.

    The store is that which `make_windows` makes of the store that `convert` makes of a `SyntheticReader` with centres
    "gt-mean": centres are known from the labels, so each task renders a frame, cuts it and goes on to the next. One
    thing cannot be known before: a box that its sensor saw nothing of counts for the side like the others.

    Args:
        config: which frames.
        out: the store to make.
        windows: options; there is no `limit`.

    Returns:
        What was done, and the frames whose box holds no depth.

    Raises:
        HandbenchError: if the output exists or is being written, or numba is not installed.
        Interrupted: on Ctrl-C; what is done so far is kept for `resume`.
    """
    return cut_windows(window_source(SyntheticReader(config)), out, windows)


def window_source(reader: SyntheticReader) -> FrameSource:
    """Synthetic frames with the centres of their labels, to be cut to windows."""
    splits = tuple(_split_source(reader, split) for split in reader.splits)
    return FrameSource(
        spec=reader.spec,
        camera=reader.spec.camera,
        release=reader.release,
        codec=_codec(splits),
        provenance=reader.provenance(_CENTER),
        origin={"source": "rendered", "limit": None},
        whole="leave out --windows",
        splits=splits,
    )


def _split_source(reader: SyntheticReader, split: str) -> SplitSource:
    table = reader.table(split)
    columns = {**table.stored(), **_boxes(reader, table)}
    attributes = {"center_xyz": {"center_method": _CENTER}}
    return SplitSource(split, columns, attributes, RenderedFrames(reader, split), reader.depth_dtype)


def _boxes(reader: SyntheticReader, table: FrameTable) -> dict[str, npt.NDArray[Any]]:
    """Centres, cubes and status as a store holds them; rounded to float32 before windows are put about them."""
    spec = reader.spec
    center = mean_joint_xyz(table.joints_xyz[:, list(spec.joints.scored)])
    side = np.array([spec.cube_of(subject) for subject in table.subject.tolist()], dtype=np.float32)
    status = np.where(in_image(center, spec.camera), FrameStatus.OK, FrameStatus.OUTSIDE_IMAGE)
    return {
        "center_xyz": center.astype(np.float32),
        "cube": np.repeat(side[:, None], 3, axis=1),
        "status": status.astype(np.uint8),
    }


def _codec(splits: tuple[SplitSource, ...]) -> str:
    """The codec that packs a sample of the frames smaller, as `convert` chooses it: from whole frames."""
    samples = [
        split.frames.open()(int(row))
        for split in splits
        for row in np.linspace(0, len(split) - 1, min(_SAMPLE, len(split))).astype(int)
    ]
    return smaller_codec(samples)
