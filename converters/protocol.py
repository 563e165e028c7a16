"""What `convert` asks of a raw data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from handbench.datasets import DatasetSpec
from handbench.store import FrameTable


class Reader(Protocol):
    """A raw tree on disk.

    Made from its folder, and from keyword options of its data set. It travels to every task, also to other processes
    and machines, so it is small and picklable: it keeps paths and options, not lists of frames.
    """

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

    @property
    def depth_dtype(self) -> np.dtype[Any]:
        """uint16, or float32 where the raw depth has fractions of a mm."""

    def depth(self, image: str) -> npt.NDArray[Any]:
        """One frame, (H, W) mm of type `depth_dtype`, 0 = missing.

        Args:
            image: of `FrameTable.image`.

        Raises:
            FrameError: if the image is missing or damaged; the status says which.
        """

    def unlabelled(self, split: str, table: FrameTable) -> int:
        """How many images lie on disk that the table of that split does not name."""

    def fingerprints(self, split: str) -> Mapping[str, Any]:
        """What identifies the raw files of a split: sizes and checksums of its label files."""
