"""Names, types and status values of store format 1. Only this room knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.errors import ShapeError

FORMAT = 1
"""The format this version writes. A reader refuses newer ones."""

DEPTH, WINDOWS = "depth", "windows"
COMPLETE, BUILDING, RECENTERING = "complete", "building", "recentering"
"""States of a store. RECENTERING: its centres are being replaced, and those that are there may be mixed."""


class FrameStatus(IntEnum):
    """What became of a raw frame. A frame that is not OK keeps its row."""

    OK = 0
    IMAGE_MISSING = 1
    IMAGE_CORRUPT = 2
    LABEL_INVALID = 3
    OUTSIDE_IMAGE = 4
    BOX_EMPTY = 5

    @property
    def title(self) -> str:
        """As a person reads it: "image missing"."""
        return "ok" if self is FrameStatus.OK else self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class FrameTable:
    """What a raw tree says of the frames of one split before a single image is read.

    Attributes:
        image: (N,) text: where the images are, relative to the raw tree, with "/"; what a reader's `depth` takes.
        frame_key: (N,) stable names such as "test/1/0000001"; predictions are joined by them.
        subject: (N,) names of subjects; "" where the data set does not tell.
        sequence: (N,) names of sequences; "" where there are none.
        view: (N,) number of the camera, from 1.
        joints_xyz: (N, J, 3) mm, camera frame, y down, all raw joints; NaN = not labelled.
        labelled: whether the split has labels at all; without them a frame of NaN is nothing odd.
        bbox: (N, 4) x, y, width, height of the hand in px where the data set gives it, or None.
        viewpoint: (N,) where the camera of that number really stood, where cameras changed places, or None.
        flaw: (N,) what a published list says against the label, "" where nothing, or None if there is no such list.

    Raises:
        ShapeError: if the columns differ in length.
    """

    image: npt.NDArray[Any]
    frame_key: npt.NDArray[np.str_]
    subject: npt.NDArray[np.str_]
    sequence: npt.NDArray[np.str_]
    view: npt.NDArray[np.uint8]
    joints_xyz: npt.NDArray[np.float32]
    labelled: bool = True
    bbox: npt.NDArray[np.float32] | None = None
    viewpoint: npt.NDArray[np.uint8] | None = None
    flaw: npt.NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self._columns().values()}
        if len(lengths) != 1 or self.joints_xyz.ndim != 3 or self.joints_xyz.shape[-1] != 3:
            raise ShapeError(f"the columns of a frame table disagree: lengths {sorted(lengths)}, joints (N, J, 3)")

    def __len__(self) -> int:
        return len(self.frame_key)

    def __getitem__(self, rows: slice | npt.NDArray[Any]) -> FrameTable:
        """Some of the frames, by a slice, a mask or indices."""
        columns: dict[str, Any] = {name: column[rows] for name, column in self._columns().items()}
        return replace(self, **columns)

    def with_flaws(self, flaws: Mapping[int, str]) -> FrameTable:
        """The same frames, with a reason against the labels of some rows."""
        return replace(self, flaw=np.array([flaws.get(row, "") for row in range(len(self))], dtype=np.str_))

    def stored(self) -> dict[str, npt.NDArray[Any]]:
        """The columns that go into the store as they are."""
        return {name: column for name, column in self._columns().items() if name in COLUMNS}

    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        return {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}


@dataclass(frozen=True)
class WindowFacts:
    """What a store of windows says of them (`handbench.preprocess.windows`).

    Attributes:
        side: of every window, px.
        margin: ranges of augmentation that they were made for, as `preprocess.windows.Margin.to_dict` gives them.
        beyond: by split, how many frames of status OK reach beyond their window within that margin.
    """

    side: int
    margin: Mapping[str, Sequence[float]]
    beyond: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """One array of a split besides the depth: how it is stored and what it means.

    Attributes:
        dims: names of its axes.
        dtype: numpy type, or "string".
        attributes: units and meaning, for whoever opens the store without handbench.
        optional: whether a store may lack it.
    """

    dims: tuple[str, ...]
    dtype: str
    attributes: Mapping[str, Any]
    optional: bool = False


_MM = {"units": "mm", "frame": "camera: x right, y down, z forward"}
COLUMNS: dict[str, Column] = {
    "frame_key": Column(("frame",), "string", {"long_name": "stable name of the frame"}),
    "subject": Column(("frame",), "string", {"long_name": "subject, empty if unknown"}),
    "sequence": Column(("frame",), "string", {"long_name": "sequence, empty if none"}),
    "view": Column(("frame",), "uint8", {"long_name": "number of the camera, from 1"}),
    "joints_xyz": Column(("frame", "joint", "xyz"), "float32", {**_MM, "long_name": "joints; NaN = not labelled"}),
    "center_xyz": Column(("frame", "xyz"), "float32", {**_MM, "long_name": "centre of the crop box"}),
    "cube": Column(("frame", "xyz"), "float32", {"units": "mm", "long_name": "full sides of the crop box"}),
    "bbox": Column(
        ("frame", "xywh"), "float32", {"units": "px", "long_name": "x, y, width, height of the hand"}, optional=True
    ),
    "viewpoint": Column(("frame",), "uint8", {"long_name": "where the camera really stood"}, optional=True),
    "origin_uv": Column(
        ("frame", "uv"),
        "int32",
        {"units": "px", "long_name": "column and row in the frame of the window's first pixel"},
        optional=True,
    ),
    "status": Column(
        ("frame",),
        "uint8",
        {
            "long_name": "what became of the raw frame",
            "flag_values": [int(status) for status in FrameStatus],
            "flag_meanings": " ".join(status.name.lower() for status in FrameStatus),
        },
    ),
}
