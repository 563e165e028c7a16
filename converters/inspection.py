"""What is found out about a folder of raw data, and what all data sets have in common there.

That is: images that are missing, empty, cut off or without a label, and labels that are no numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.converters.protocol import Reader
from handbench.errors import FrameError
from handbench.store import FrameTable


@dataclass(frozen=True)
class SplitCounts:
    """How much there is of one split.

    Attributes:
        frames: lines of the labels.
        images: how many of the images that they name are on disk.
        unlabelled_images: images on disk that they do not name.
        subjects: number of frames by subject; empty where the data set does not tell.
        sequences: number of frames by sequence or gesture; empty where there are none.
    """

    frames: int
    images: int
    unlabelled_images: int
    subjects: Mapping[str, int] = field(default_factory=dict)
    sequences: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Inspection:
    """What was found out about a folder.

    Attributes:
        path: the folder.
        dataset: short name of the data set; "frames" for images without labels.
        title: its full name.
        layout: how the tree is laid out, a few words.
        release: which release, or part of one; "" if there is only one.
        splits: what there is of each split whose labels can be read.
        findings: what is missing or odd and what to do about it, a line each.
    """

    path: Path
    dataset: str
    title: str
    layout: str
    release: str = ""
    splits: dict[str, SplitCounts] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True)
class Recogniser:
    """How one data set is known.

    Attributes:
        looks_for: what its folder holds, a few words for who gave another folder.
        matches: whether a folder is, or contains parts of, that data set.
        open: its reader; raises HandbenchError if the tree is too broken.
        layout: the layout of the tree, a few words.
        judge: sets the release, and adds what is odd about counts and folders to the findings.
        unusable: end of the name of an image that has a label but never was any use, so that nobody misses it.
    """

    looks_for: str
    matches: Callable[[Path], bool]
    open: Callable[[Path], Reader]
    layout: Callable[[Path], str]
    judge: Callable[[Reader, Mapping[str, FrameTable], Inspection], None]
    unusable: str | None = None


def look_at_images(
    reader: Reader, split: str, table: FrameTable, inspection: Inspection, unusable: str | None = None
) -> None:
    """Count frames and images of a split, and note what is wrong with them.

    Lists the folders of images, and decodes the last image of each.

    Args:
        reader: of the tree.
        split: its name.
        table: its frames.
        inspection: gets the counts and the findings.
        unusable: of the `Recogniser`.
    """
    names = table.image.tolist()
    present, empty = images_in(inspection.path, reader, names)
    missing = [name for name in names if name not in present and not (unusable and name.endswith(unusable))]
    unlabelled = reader.unlabelled(split, table)
    inspection.splits[split] = SplitCounts(
        len(names),
        sum(name in present for name in names),
        unlabelled,
        count_by(table.subject),
        count_by(table.sequence),
    )
    add = inspection.findings.append
    if not names:
        add(f"{split}: the labels name no frame; copy the label file again")
    if missing:
        add(
            f"{split}: {some(missing, len(names))} missing; unpack the archive again, or convert without them: "
            "their frames keep a row and the status 'image missing'"
        )
    if empty:
        add(f"{split}: {some(empty, len(names))} empty (0 bytes); copy or unpack the archive again")
    if unlabelled:
        add(f"{split}: {unlabelled:,} images have no label and would be left out; are the labels of another release?")
    if table.labelled and (lost := int((~np.isfinite(table.joints_xyz).all(axis=-1).any(axis=-1)).sum())):
        add(f"{split}: {lost:,} frames have no joint that is a number; they keep a row and the status 'label invalid'")
    for name in _last_of_each_folder([name for name in names if name in present and name not in empty]):
        try:
            reader.depth(name)
        except FrameError as error:
            add(f"{split}: {error}; it is the last of its folder, as if a copy had stopped there: copy it again")


def images_in(root: Path, reader: Reader, names: list[str]) -> tuple[set[str], set[str]]:
    """Which files lie in the folders of some images, and which of those images are empty files.

    Each folder is listed once; the listing tells the size of a file without opening it.

    Args:
        root: the folder that was asked for, if the reader does not say where its tree begins.
        reader: of the tree.
        names: images, relative to the tree.

    Returns:
        names relative to the tree.
    """
    tree: Path = getattr(reader, "root", root)
    wanted = set(names)
    present, empty = set(), set()
    for folder in {name.rpartition("/")[0] for name in names}:
        try:
            with os.scandir(tree / folder) as entries:
                for entry in entries:
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    present.add(name)
                    if name in wanted and _is_empty(entry):
                        empty.add(name)
        except OSError:
            continue  # a folder that is missing or closed has no images; they count as missing
    return present, empty


def count_by(column: npt.NDArray[np.str_]) -> dict[str, int]:
    """Number of frames of each name, in the order of their appearance; {} if there are no names."""
    names, first, counts = np.unique(column, return_index=True, return_counts=True)
    ordered = sorted(zip(first.tolist(), names.tolist(), counts.tolist(), strict=True))
    return {name: count for _, name, count in ordered if name}


def some(names: list[str] | set[str], total: int) -> str:
    """For example "3 of 1,000 listed images, first training/images/image_D00000007.png, are"."""
    return f"{len(names):,} of {total:,} listed images, first {min(names)}, {'is' if len(names) == 1 else 'are'}"


def _is_empty(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.stat().st_size == 0
    except OSError:
        return False  # a link to nowhere; reading it will say so


def _last_of_each_folder(names: list[str]) -> list[str]:
    """The greatest name of each folder."""
    return [max(group) for _, group in groupby(sorted(names), key=lambda name: name.rpartition("/")[0])]
