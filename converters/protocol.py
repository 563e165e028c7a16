"""What `convert` asks of a raw data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from handbench.datasets import DatasetSpec
from handbench.store import FrameTable


class Reader(Protocol):
    """A raw tree on disk. Made from its folder alone; must survive pickling, as tasks may run in other processes."""

    @property
    def spec(self) -> DatasetSpec:
        """Facts of the data set."""

    @property
    def release(self) -> str:
        """Which release this tree is, "" if there is only one, "synthetic" if it holds rendered hands."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that are there."""

    def table(self, split: str) -> FrameTable:
        """All frames that the labels name, in the order of the labels.

        Raises:
            HandbenchError: if the labels are missing or cannot be read.
        """

    def depth(self, split: str, row: int) -> npt.NDArray[np.uint16]:
        """One frame, (H, W) mm, 0 = missing.

        Raises:
            FrameError: if the image is missing or damaged; the status says which.
        """

    def unlabelled(self, split: str, frames: int) -> int:
        """How many images lie on disk that the labels, `frames` in number, do not name."""

    def fingerprints(self, split: str) -> Mapping[str, Any]:
        """What identifies the raw files of a split: sizes and checksums of its label files."""
