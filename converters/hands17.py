"""HANDS17, frame-based task: its bytes. Its facts are in `handbench.datasets.hands17`.

    training/images/image_D00000001.png   16-bit gray PNG in mm, 0 = missing; numbers from 1
    training/Training_Annotation.txt      image name, then x y z of 21 joints in mm, y down, between tabs and blanks
    frame/images/image_D00000001.png      test images
    frame/BoundingBox.txt                 image name, then x, y, width, height of the hand in px; there are no labels

A key is split/name without .png, as train/image_D00000001.

Sources: the parsers of V2V-PoseNet (data.lua), SRN, Pixelwise Regression and depth-hand; a real frame. The delimiter is
inferred from those parsers: name TAB blank number TAB blank number ... TAB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.converters.files import fingerprint, folder_names, inside, names_in, read_png
from handbench.converters.labels import label_blocks
from handbench.converters.marker import SYNTHETIC, read_marker, subjects_of, write_marker
from handbench.datasets import dataset
from handbench.datasets.spec import DatasetSpec
from handbench.errors import HandbenchError
from handbench.store import FrameTable

BBOX_FORMS = ("auto", "xywh", "corners")
"""How the four numbers of BoundingBox.txt are read; "auto" looks at all of them, see `bbox_form_of`."""
DELIMITERS = ("\t ", "\t", " ")
"""What a writer puts before each number: the inferred form first."""
_SUFFIX = ".png"
_LARGEST = 1e6  # mm or px; far beyond any sensor, far below what float32 holds


@dataclass(frozen=True)
class Layout:
    """Where a split lies in the raw tree, and how many numbers follow each name of its list."""

    folder: str
    listing: str
    columns: int

    @property
    def images(self) -> str:
        """The folder of the images, relative to the tree."""
        return f"{self.folder}/images"


LAYOUTS = {
    "train": Layout("training", "Training_Annotation.txt", 63),
    "test": Layout("frame", "BoundingBox.txt", 4),
}


class Hands17Reader:
    """A raw HANDS17 tree.

    Args:
        root: the folder that holds training/ and frame/, or one of them.
        bbox_form: "xywh" or "corners" (left, top, right, bottom) for the numbers of BoundingBox.txt, or "auto".

    Raises:
        HandbenchError: if neither folder is there, or the form is unknown.
    """

    def __init__(self, root: Path, bbox_form: str = "auto") -> None:
        self.root = root
        self.spec: DatasetSpec = dataset("hands17")
        there = folder_names(root)
        self.splits = tuple(split for split, layout in LAYOUTS.items() if layout.folder in there)
        if not self.splits:
            raise HandbenchError(f"{root} has neither training/ nor frame/; give the folder of the raw HANDS17 tree")
        if bbox_form not in BBOX_FORMS:
            raise HandbenchError(f"unknown form of bounding boxes {bbox_form!r}; there are {', '.join(BBOX_FORMS)}")
        self.bbox_form = bbox_form
        self.options: Mapping[str, Any] = {"bbox_form": bbox_form}
        self._marker = read_marker(root)
        self.release = SYNTHETIC if self._marker else ""
        self.depth_dtype = np.dtype(np.uint16)

    def table(self, split: str) -> FrameTable:
        """All frames of the list, in its order. The test split has boxes and no labels.

        Raises:
            HandbenchError: if the list is missing or not of its grammar, or names an image twice.
        """
        layout, path = self._layout(split), self._listing(split)
        names, numbers = _read_list(path, layout.columns)
        if len(names) != len(set(names)):
            raise HandbenchError(f"{path} names {_repeated(names)} twice; each image has one line")
        frame_key = np.array([f"{split}/{name}" for name in names], dtype=np.str_)
        nothing = np.full(len(names), "", dtype=np.str_)
        subject = subjects_of(self._marker, split, len(names))  # the data set itself does not tell
        joints = len(self.spec.joints)
        labelled = layout.columns == 3 * joints
        return FrameTable(
            image=image_names(split, frame_key),
            frame_key=frame_key,
            subject=nothing if subject is None else subject,
            sequence=nothing,
            view=np.ones(len(names), dtype=np.uint8),
            joints_xyz=_joints(numbers) if labelled else _no_joints(len(names), joints),
            labelled=labelled,
            bbox=None if labelled else self._boxes(numbers),
        )

    def depth(self, image: str) -> npt.NDArray[np.uint16]:
        """One frame, (480, 640) mm."""
        folder, images, name = image.split("/", 2)
        camera = self.spec.camera
        path = inside(self.root / folder / images, name)
        return read_png(path, (camera.height, camera.width), np.dtype(np.uint16), "a 16-bit gray image")

    def unlabelled(self, split: str, table: FrameTable) -> int:
        """Images beside the listed ones."""
        extra = {name for name in names_in(self.root / self._layout(split).images) if name.endswith(_SUFFIX)}
        for image in table.image:  # one by one: a set of a million listed names would take 0.1 GB more
            extra.discard(image.rpartition("/")[2])
        return len(extra)

    def remarks(self, split: str, table: FrameTable) -> list[str]:
        """A line if the frames are not as many as published."""
        published = self.spec.split(split).frames["only"]
        if self.release == SYNTHETIC or len(table) == published:
            return []
        return [f"{split}: {len(table):,} frames, published are {published:,}"]

    def fingerprints(self, split: str) -> Mapping[str, Any]:
        """Size and checksum of the list."""
        layout = self._layout(split)
        return {f"{layout.folder}/{layout.listing}": fingerprint(self._listing(split))}

    def _layout(self, split: str) -> Layout:
        if split not in self.splits:
            raise HandbenchError(f"{self.root} has no {split} split, only {', '.join(self.splits)}")
        return LAYOUTS[split]

    def _listing(self, split: str) -> Path:
        """The file that names the frames of a split.

        Raises:
            HandbenchError: if it is missing.
        """
        layout = LAYOUTS[split]
        path = self.root / layout.folder / layout.listing
        there = folder_names(path.parent)
        if layout.listing not in there and (other := there & {each.listing for each in LAYOUTS.values()}):
            folders = " and ".join(f"{each.folder}/" for each in LAYOUTS.values())
            raise HandbenchError(
                f"{path.parent} holds {min(other)} and not {layout.listing}: {folders} are swapped, rename them"
            )
        if layout.listing not in there:
            raise HandbenchError(f"{path} is missing; it names the frames of {layout.images}/, so they cannot be read")
        return path

    def _boxes(self, numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(N, 4) x, y, width, height in px."""
        camera = self.spec.camera
        form = self.bbox_form
        if form == "auto":
            form = bbox_form_of(numbers, camera.width, camera.height)
        return np.hstack((numbers[:, :2], numbers[:, 2:] - numbers[:, :2])) if form == "corners" else numbers


class Hands17Writer:
    """Writes a raw HANDS17 tree.

    Args:
        root: the folder to hold training/ and frame/; made if need be.
        delimiter: what stands before each number, of `DELIMITERS`.
        trailing: end each line with one more delimiter.
        bbox_form: "xywh" or "corners".

    Raises:
        HandbenchError: if the delimiter or the form is unknown.
    """

    def __init__(self, root: Path, delimiter: str = "\t ", trailing: bool = True, bbox_form: str = "xywh") -> None:
        if delimiter not in DELIMITERS:
            raise HandbenchError(f"unknown delimiter {delimiter!r}; there are {', '.join(map(repr, DELIMITERS))}")
        if bbox_form not in BBOX_FORMS[1:]:
            raise HandbenchError(f"boxes are written as {' or '.join(BBOX_FORMS[1:])}, not as {bbox_form!r}")
        self.root = root
        self.spec: DatasetSpec = dataset("hands17")
        self._delimiter, self._bbox_form = delimiter, bbox_form
        self._end = f"{delimiter.rstrip(' ')}\n" if trailing else "\n"

    def write_split(self, split: str, table: FrameTable, depths: Iterable[npt.NDArray[Any] | None]) -> None:
        """Write images and list; see `protocol.Writer`. Labels get four decimals, as HANDS17 has them.

        Raises:
            HandbenchError: if the split is unknown, the test split has no boxes, a key leads out of the tree, or an
                image does not fit.
        """
        if split not in LAYOUTS:
            raise HandbenchError(f"HANDS17 has no split {split!r}, only {', '.join(LAYOUTS)}")
        layout, rows = LAYOUTS[split], self._rows(split, table)
        (self.root / layout.images).mkdir(parents=True, exist_ok=True)
        self.write_frames(table, depths)
        names = [image.removeprefix(f"{layout.images}/") for image in image_names(split, table.frame_key).tolist()]
        with (self.root / layout.folder / layout.listing).open("w", encoding="utf-8", newline="\n") as file:
            for name, row in zip(names, rows, strict=True):
                file.write("".join((name, *(f"{self._delimiter}{number}" for number in row), self._end)))

    def write_frames(self, table: FrameTable, depths: Iterable[npt.NDArray[Any] | None]) -> None:
        """Write images alone; see `protocol.Writer`."""
        for key, depth in zip(table.frame_key.tolist(), depths, strict=True):
            if depth is not None:
                split, _, name = key.partition("/")
                self._write_image(inside(self.root / LAYOUTS[split].images, f"{name}{_SUFFIX}"), depth)

    def mark_synthetic(self, facts: Mapping[str, Any]) -> None:
        """Say in the tree that its hands are rendered; see `protocol.Writer`."""
        write_marker(self.root, self.spec.title, facts)

    def _rows(self, split: str, table: FrameTable) -> Iterator[list[str]]:
        """The numbers of each line as they are printed."""
        if split == "train":
            return ([f"{number:.4f}" for number in joints.ravel().tolist()] for joints in table.joints_xyz)
        if table.bbox is None:
            raise HandbenchError(f"{LAYOUTS[split].listing} lists bounding boxes, and these frames have none")
        corner, size = table.bbox[:, :2], table.bbox[:, 2:]
        boxes = np.hstack((corner, corner + size)) if self._bbox_form == "corners" else table.bbox
        return ([np.format_float_positional(number, trim="-") for number in box] for box in boxes.astype(np.float32))

    def _write_image(self, path: Path, depth: npt.NDArray[Any]) -> None:
        shape = self.spec.camera.height, self.spec.camera.width
        if depth.shape != shape or depth.dtype != np.uint16:
            raise HandbenchError(f"{path.name}: HANDS17 has uint16 images of {shape}, not {depth.dtype} {depth.shape}")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), depth):
            raise HandbenchError(f"{path} cannot be written")


def _no_joints(frames: int, joints: int) -> npt.NDArray[np.float32]:
    """(N, J, 3) of NaN that take no memory."""
    return np.broadcast_to(np.float32(np.nan), (frames, joints, 3))


def image_names(split: str, frame_key: npt.NDArray[np.str_]) -> npt.NDArray[Any]:
    """Where the images of frames lie in the tree: train/image_D00000001 is training/images/image_D00000001.png.

    Of variable length: a million names of four bytes a letter would take a sixth of the memory of a conversion.
    """
    folder, names = LAYOUTS[split].images, np.empty(len(frame_key), dtype=np.dtypes.StringDType())
    for row, key in enumerate(frame_key):
        names[row] = f"{folder}/{key.removeprefix(f'{split}/')}{_SUFFIX}"
    return names


def bbox_form_of(boxes: npt.NDArray[Any], width: int, height: int) -> str:
    """Whether four numbers are x, y, width, height or two corners.

    They are corners if each line could be a pair of corners and not all could be a box inside the image; where both
    readings are possible, x, y, width, height, as the two loaders that draw these boxes read them (Pixelwise
    Regression, depth-hand).

    Args:
        boxes: (N, 4); rows with NaN do not count.
        width: of the image, px.
        height: of the image, px.

    Returns:
        "xywh" or "corners".
    """
    left, top, third, fourth = boxes[~np.isnan(boxes).any(axis=1)].T
    could_be_corners = ((third > left) & (fourth > top)).all()
    fits = ((left + third <= width) & (top + fourth <= height)).all()
    return "corners" if could_be_corners and not fits else "xywh"


def _read_list(path: Path, columns: int) -> tuple[list[str], npt.NDArray[np.float32]]:
    """Names without .png, and numbers of a list, (N, columns); NaN for what cannot be a coordinate."""
    names: list[str] = []
    blocks = [np.empty((0, columns), dtype=np.float32)]
    for block_names, numbers in label_blocks(path, columns):
        names += [name.removesuffix(_SUFFIX) for name in block_names]
        if not np.abs(numbers).max(initial=0) < _LARGEST:  # so is NaN, which comes out of max
            numbers[~(np.abs(numbers) < _LARGEST)] = np.nan
        blocks.append(numbers.astype(np.float32))
    return names, np.concatenate(blocks)


def _joints(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, 21, 3) mm; a joint that lacks a number is not labelled."""
    joints = numbers.reshape(len(numbers), numbers.shape[1] // 3, 3)
    broken = np.flatnonzero(np.isnan(numbers).any(axis=1))
    joints[broken] = np.where(np.isnan(joints[broken]).any(axis=-1, keepdims=True), np.float32(np.nan), joints[broken])
    return joints


def _repeated(names: list[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return repr(name)
        seen.add(name)
    raise AssertionError("no name comes twice")
