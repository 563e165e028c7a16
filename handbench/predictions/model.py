"""What a predictions file says: first as it stands, then as handbench understands it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.errors import HandbenchError, ShapeError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """What one method says about the scored joints of a run of frames.

    Attributes:
        name: of the method; for a file, its name without the suffix.
        uvd: (N, J, 3) float64, column px, row px, depth mm in the full image; J the scored joints in the order of
            `JointSet.scored`. NaN = not predicted.
        frame_key: N keys as in the store, or None where the file has only an order.
        provenance: what the maker recorded (model, options, `center_method`, ...), plain data for JSON.
        source: "file" and "sha256" of the file it was read from, "layout" and "read_as" where it is not uvd text;
            empty if it was not read from one.

    Raises:
        ShapeError: if `uvd` is not (N, J, 3), or the keys are not N.
        HandbenchError: if a key comes twice.
    """

    name: str
    uvd: Floats
    frame_key: tuple[str, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.uvd.ndim != 3 or self.uvd.shape[-1] != 3:
            raise ShapeError(f"predictions of {self.name} have shape {self.uvd.shape}, not (frames, joints, 3)")
        if self.frame_key is None:
            return
        if len(self.frame_key) != len(self.uvd):
            raise ShapeError(f"predictions of {self.name}: {len(self.frame_key)} frame keys, {len(self.uvd)} frames")
        if len(set(self.frame_key)) != len(self.frame_key):
            seen: set[str] = set()
            twice = next(key for key in self.frame_key if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add() gives None: falsy
            raise HandbenchError(f"predictions of {self.name}: the frame key {twice} comes twice")

    def __len__(self) -> int:
        return len(self.uvd)


@dataclass(frozen=True)
class RawPoints:
    """The numbers of a file as they stand, and what its layout says of them.

    Attributes:
        layout: one of `handbench.predictions.LAYOUTS`.
        values: (N, J, 3) float64; J as many joints as the file has.
        space: "uvd" (px, px, mm) or "xyz" (camera frame, axes and unit of the maker); "" if only the numbers can tell.
        names: the file's name of each frame (an image path or a frame key), or None.
        joints: what the file calls its joints, or empty.
        view: (camera) the layout's word for what was taken out of it, for messages; empty for most.
        provenance: what the maker recorded.
    """

    layout: str
    values: Floats
    space: str = ""
    names: tuple[str, ...] | None = None
    joints: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
