"""What `convert` asks of a raw data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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
    def options(self) -> Mapping[str, Any]:
        """The keyword options, as plain data; they go into the provenance of a store."""

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

    def remarks(self, split: str, table: FrameTable) -> list[str]:
        """What is odd about the whole tree but no fault of a frame, such as a number of frames that is no release's."""

    def fingerprints(self, split: str) -> Mapping[str, Any]:
        """What identifies the raw files of a split: sizes and checksums of its label files."""


class Writer(Protocol):
    """Writes the raw tree that a reader of the same module reads: the way back."""

    def write_split(self, split: str, table: FrameTable, depths: Iterable[npt.NDArray[Any] | None]) -> None:
        """Write images and labels of one split.

        Args:
            split: its name.
            table: the frames, in the order of the store. `image` is not asked for; the keys say where images go.
            depths: one (H, W) frame in mm for each row, 0 = missing; None where there is no image to write.

        Raises:
            HandbenchError: if something cannot be written, or the frames do not fit the raw layout.
        """

    def write_frames(self, table: FrameTable, depths: Iterable[npt.NDArray[Any] | None]) -> None:
        """Write images alone, of any part of a split, so that several can work on one.

        `write_split` without a depth writes the labels alone.

        Args:
            table: the frames; their keys say where the images go.
            depths: as for `write_split`.

        Raises:
            HandbenchError: if something cannot be written.
        """

    def mark_synthetic(self, facts: Mapping[str, Any]) -> None:
        """Say in the tree, by `synthetic.json`, that its hands are rendered; a reader then has release "synthetic".

        Args:
            facts: plain data that the raw layout cannot hold. Readers of data sets that do not name their subjects ask
                for "subjects": for each split the number of frames of each subject, in the order of the frames.

        Raises:
            HandbenchError: if the file cannot be written.
        """


@dataclass(frozen=True)
class Converter:
    """The pair for one data set, which an entry point of the group `handbench.converters` gives.

    Attributes:
        reader: called with the folder of a raw tree, and the options of the reader.
        writer: called with the folder to make; None if there is no way back.
    """

    reader: Callable[..., Reader]
    writer: Callable[..., Writer] | None = None
