"""What windows are cut out of, where each begins, and what is told of hands too near for theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.datasets import DatasetSpec
from handbench.preprocess.windows import Margin, Reach
from handbench.store import FrameStatus

_MOST = 0.999  # share of the frames whose side is told, where the largest is much larger
_MUCH = 1.1

Read = Callable[[int], npt.NDArray[Any]]
"""Row -> (H, W) mm, 0 = missing; raises HandbenchError if the frame cannot be read."""


class Frames(Protocol):
    """The frames of one split. It travels to every task, also to other processes, so it is small and picklable."""

    def open(self) -> Read:
        """What reads them."""


@dataclass(frozen=True)
class SplitSource:
    """All that is known of one split before it is cut.

    Attributes:
        name: of the split.
        columns: (n, ...) its tables by name, as a store has them, but for `origin_uv`.
        attributes: what a store says of them beyond `layout.COLUMNS`, by column.
        frames: reads them.
        dtype: of the depth.
    """

    name: str
    columns: Mapping[str, npt.NDArray[Any]]
    attributes: Mapping[str, Mapping[str, Any]]
    frames: Frames
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        return len(self.frame_key)

    @property
    def frame_key(self) -> npt.NDArray[np.str_]:
        """(n,) stable names."""
        return self.columns["frame_key"]

    @property
    def status(self) -> npt.NDArray[np.uint8]:
        """(n,) values of `FrameStatus`, as far as they are known."""
        return self.columns["status"]

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """(n,) where the status is OK."""
        return np.asarray(self.status == FrameStatus.OK)


@dataclass(frozen=True)
class FrameSource:
    """What windows are cut out of: a store of frames, or something that makes frames.

    Attributes:
        spec: facts of the data set.
        camera: of the frames.
        release: of the data.
        codec: how the depth of the windows is packed, one of `store.writer.CODECS`.
        provenance: what the frames are made from, plain data for JSON.
        origin: what the provenance of the windows says of where they come from, plain data for JSON.
        whole: what to do where windows save nothing.
        splits: in their order.
    """

    spec: DatasetSpec
    camera: Camera
    release: str
    codec: str
    provenance: Mapping[str, Any]
    origin: Mapping[str, Any]
    whole: str
    splits: tuple[SplitSource, ...]


@dataclass(frozen=True)
class Plan:
    """The boxes of one split, and how far they reach.

    Attributes:
        split: the split.
        camera: of the frames.
        reach: of their boxes, within the margin.
        upright: of their boxes as they are.
    """

    split: SplitSource
    camera: Camera
    reach: Reach
    upright: Reach

    @classmethod
    def of(cls, split: SplitSource, camera: Camera, margin: Margin) -> Plan:
        """Look at the boxes of a split."""
        boxes = split.columns["center_xyz"], split.columns["cube"], camera
        return cls(split, camera, Reach.of(*boxes, margin), Reach.of(*boxes, Margin()))

    @property
    def sides(self) -> npt.NDArray[np.int64]:
        """The sides that usable frames need, px."""
        return self.reach.side(self.camera)[self.split.usable]

    def origin_uv(self, side: int) -> npt.NDArray[np.int32]:
        """(n, 2) where windows of that side begin."""
        return self.reach.origins(side, self.camera)

    def beyond(self, side: int) -> npt.NDArray[np.intp]:
        """The usable rows that reach beyond a window of that side."""
        return np.flatnonzero(self.split.usable & ~self.reach.inside(self.origin_uv(side), side, self.camera))

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


def smaller_side(sides: npt.NDArray[np.int64], side: int) -> Iterator[str]:
    """Whether a few near hands make all windows large.

    Args:
        sides: (n,) px that each usable frame needs.
        side: px of the windows.
    """
    most = int(np.quantile(sides, _MOST, method="inverted_cdf")) if sides.size else side
    if side > most * _MUCH:
        yield f"a few hands are near: --side {most} would hold {_MOST:.1%} of the frames, {side} px hold them all"
