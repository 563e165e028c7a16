"""ICVL Hand Posture: its bytes. Its facts are in `handbench.datasets.icvl`.

    Training/ and Testing/ of the new release, or one folder for both in the release of 2014, each with
        Depth/201403121135/image_0000.png        16-bit gray, depth in mm; 32001, all beyond 30000, and 0 = nothing here
        Depth/67-5/201403121135/image_0000.png   the same, turned by 67.5 degrees
        Depth/test_seq_1/image_0000.png
        labels.txt or train.txt; test_seq_1.txt and test_seq_2.txt:
            name below Depth/, then 16 x (column row depth), px and mm, rows downwards; test files end lines in CR CR LF

Numbers have gaps, grow to five digits, and once go negative. A key is the split and the name without ".png":
train/67-5/201403121135/image_0000, test/test_seq_1/image_0000.

Sources: the authors' test label files; the importers of DeepPrior++ and SRN for the rest.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handbench.converters.files import fingerprint, folder_names, inside, read_png, write_raw
from handbench.converters.labels import label_blocks, stored_joints
from handbench.converters.marker import SYNTHETIC, read_marker, write_marker
from handbench.datasets import dataset
from handbench.datasets.spec import DatasetSpec
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus, FrameTable

_FOLDERS = {"train": "Training", "test": "Testing"}
_TEST_SEQUENCES = ("test_seq_1", "test_seq_2")
_LABELS = {
    "train": ("labels.txt", "train.txt", "lables.txt"),  # one of them; the last spelling is CrossInfoNet's
    "test": tuple(f"{sequence}.txt" for sequence in _TEST_SEQUENCES),  # all that are there
}
_DEPTH, _PNG = "Depth", ".png"
_FARTHEST = 30000  # mm; what is beyond it is background (V2V-PoseNet, denseReg), as 32001 of the sensor is
_ROTATION = re.compile(r"-?[0-9]{1,3}(-5)?")  # 45, 67-5, -90: multiples of 22.5 degrees

_WITHOUT_IMAGE = "201406030937/image_-001"
"""Has a label, but no image to use: denseReg skips it by name, A2J marks it invalid."""
_SKIPPED_WITH_COPIES = (  # the original by TriHorn-Net, all its rotated copies by A2J
    "201405151126/image_11993",
    "201406030937/image_2057",
    "201406031456/image_4454",
    "201406031456/image_5254",
    "201406031747/image_1424",
)
# A2J also lists two copies of the first of these, in the 1st and the 12th rotated block of a list without names.
_SKIPPED = ("201406191044/image_0396", "201406191014/image_1720", "201406191014/image_2112")


class IcvlReader:
    """A raw ICVL tree of either layout.

    Args:
        root: the folder that holds Training/ or Testing/, or Depth/ and the label files.
        rotated: read the 14 rotated copies of the training frames as well.

    Raises:
        HandbenchError: if neither split is there.
    """

    def __init__(self, root: Path, rotated: bool = False) -> None:
        self.root = root
        self.spec: DatasetSpec = dataset("icvl")
        self.options: Mapping[str, Any] = {"rotated": rotated}
        self.depth_dtype = np.dtype(np.uint16)
        self._folders = _find_splits(root)
        self.release = SYNTHETIC if read_marker(root) else "rotated" if rotated else "originals"
        self.splits = tuple(self._folders)
        if not self.splits:
            raise HandbenchError(
                f"{root} has no Training/ or Testing/, nor label files beside Depth/; give the folder of the ICVL tree"
            )

    def table(self, split: str) -> FrameTable:
        """All labelled frames in the order of the label files, test_seq_1 before test_seq_2."""
        names, joints_xyz = self._labels(split)
        stems = [name.removesuffix(_PNG) for name in names]
        folder = self._depth_folder(split)
        table = FrameTable(
            image=np.array([f"{folder}/{name}" for name in names], dtype=np.str_),
            frame_key=np.array([f"{split}/{stem}" for stem in stems], dtype=np.str_),
            subject=np.full(len(names), "", dtype=np.str_),
            sequence=np.array([f"/{stem}".split("/")[-2] for stem in stems], dtype=np.str_),
            view=np.ones(len(names), dtype=np.uint8),
            joints_xyz=joints_xyz,
        )
        return table.with_flaws(self.flagged(split, table))

    def depth(self, image: str) -> npt.NDArray[np.uint16]:
        """One frame, (240, 320) mm; background becomes 0."""
        folder, _, name = image.partition(f"{_DEPTH}/")
        path, camera = inside(self.root / folder / _DEPTH, name), self.spec.camera
        raw = read_png(path, (camera.height, camera.width), np.dtype(np.uint16), "a 16-bit gray image")
        if name == f"{_WITHOUT_IMAGE}{_PNG}" and self.release != SYNTHETIC:
            raise FrameError(f"{path}: published loaders agree that this image is unusable", FrameStatus.IMAGE_CORRUPT)
        depth: npt.NDArray[np.uint16] = np.where(raw > _FARTHEST, np.uint16(0), raw)
        return depth

    def flagged(self, split: str, table: FrameTable) -> dict[int, str]:
        """Rows of a table, or of a part of it, that published loaders skip -> who does."""
        flags: dict[int, str] = {}
        if self.release == SYNTHETIC:
            return flags
        for row, key in enumerate(table.frame_key.tolist()):
            *above, sequence, image = key.split("/")
            rotated, frame = len(above) == 2, f"{sequence}/{image}"
            if frame in _SKIPPED_WITH_COPIES or (frame in _SKIPPED and not rotated):
                flags[row] = f"published list of skipped frames ({'A2J' if rotated else 'TriHorn-Net'})"
        return flags

    def remarks(self, split: str, table: FrameTable) -> list[str]:
        """What is odd about the tree: a line if a test sequence is missing or frames are not as many as published."""
        remarks = []
        if split == "test" and (absent := set(_TEST_SEQUENCES) - set(table.sequence.tolist())):
            remarks.append(f"{split}: there is no {' and no '.join(sorted(absent))}; the test set is both sequences")
        elif self.release == SYNTHETIC:
            return remarks
        elif len(table) != (published := self.spec.split(split).frames[self.release]):
            remarks.append(f"{split}: {len(table):,} frames, published are {published:,}")
        return remarks

    def unlabelled(self, split: str, table: FrameTable) -> int:
        """How many images the table does not name; rotated copies count where they are read."""
        known = set(table.image.tolist())
        top = self.root / self._depth_folder(split)
        extra = 0
        for folder, folders, files in os.walk(top):
            if Path(folder) == top:
                folders[:] = [name for name in folders if self._is_of(split, name)]
            below = Path(folder).relative_to(self.root).as_posix()
            extra += sum(name.endswith(_PNG) and f"{below}/{name}" not in known for name in files)
        return extra

    def fingerprints(self, split: str) -> Mapping[str, Any]:
        """Size and checksum of each label file."""
        return {path.relative_to(self.root).as_posix(): fingerprint(path) for path in self._label_files(split)}

    def _labels(self, split: str) -> tuple[list[str], npt.NDArray[np.float32]]:
        """Names below Depth/, and (N, 16, 3) mm in the camera frame, of the frames that are asked for."""
        keep = None if self.options["rotated"] else is_original
        count = len(self.spec.joints)
        names: list[str] = []
        joints_xyz = [np.empty((0, count, 3), np.float32)]
        for path in self._label_files(split):
            for block, uvd in label_blocks(path, 3 * count, keep):
                names += block
                joints_xyz.append(_joints_xyz(uvd.reshape(-1, count, 3), self.spec.camera))
        if len(set(names)) != len(names):
            twice, times = Counter(names).most_common(1)[0]
            raise HandbenchError(f"the labels of {self.root / self._folder(split)} name {twice} {times} times")
        return names, np.concatenate(joints_xyz)

    def _label_files(self, split: str) -> list[Path]:
        folder = self.root / self._folder(split)
        present = folder_names(folder)
        found = [folder / name for name in _LABELS[split] if name in present]
        if not found and any(present.intersection(names) for names in _LABELS.values()):
            folders = " and ".join(f"{each}/" for each in _FOLDERS.values())
            raise HandbenchError(f"{folder} holds the labels of the other split: {folders} are swapped, rename them")
        if not found:
            raise HandbenchError(f"{folder} has no labels: none of {', '.join(_LABELS[split])}")
        return found if split == "test" else found[:1]

    def _folder(self, split: str) -> str:
        """Training, Testing, or "." in the layout of 2014."""
        if split not in self._folders:
            raise HandbenchError(f"{self.root} has no split {split!r}, only {', '.join(self.splits)}")
        return self._folders[split]

    def _depth_folder(self, split: str) -> str:
        return (PurePosixPath(self._folder(split)) / _DEPTH).as_posix()

    def _is_of(self, split: str, folder: str) -> bool:
        """Whether a folder in Depth/ holds images of that split which are asked for."""
        if split == "test" or folder in _TEST_SEQUENCES:
            return (split == "test") == (folder in _TEST_SEQUENCES)
        return self.options["rotated"] or not _ROTATION.fullmatch(folder)


class IcvlWriter:
    """Writes a raw ICVL tree in the layout of the new release. The background is 32001.

    Args:
        root: the folder to hold Training/ and Testing/; made if need be.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spec: DatasetSpec = dataset("icvl")

    def write_split(self, split: str, table: FrameTable, depths: Iterable[npt.NDArray[Any] | None]) -> None:
        """Write images and labels; see `protocol.Writer`."""
        self.write_frames(table, depths)
        self.write_labels(split, table)

    def write_frames(self, table: FrameTable, depths: Iterable[npt.NDArray[Any] | None]) -> None:
        """Write images alone; see `protocol.Writer`."""
        for image, depth in zip(image_names(table.frame_key).tolist(), depths, strict=True):
            if depth is not None:
                self.write_image(image, depth)

    def write_image(self, image: str, depth: npt.NDArray[Any]) -> None:
        """Write one frame.

        Args:
            image: its place in the tree, of `image_names`.
            depth: (240, 320) whole mm, 0 = missing, which becomes the background value.

        Raises:
            HandbenchError: if it cannot be written, or has depths that the raw format takes for background.
        """
        if depth.max() > _FARTHEST:
            raise HandbenchError(
                f"{image}: a depth of {depth.max():g} mm; ICVL takes all beyond {_FARTHEST} for nothing"
            )
        folder, _, name = image.partition(f"{_DEPTH}/")
        raw = np.where(depth == 0, self.spec.background or 0, depth).astype(np.uint16)
        encoded, data = cv2.imencode(_PNG, raw)
        if not encoded:
            raise HandbenchError(f"{image} cannot be encoded as PNG")
        write_raw(inside(self.root / folder / _DEPTH, name), data.tobytes())

    def write_labels(self, split: str, table: FrameTable) -> None:
        """Write the label files: labels.txt, or test_seq_1.txt and test_seq_2.txt as far as the table has them.

        Args:
            split: "train" or "test".
            table: the frames, in the order of the files.

        Raises:
            HandbenchError: if a test frame is of no test sequence, or a file cannot be written.
        """
        sequence = table.sequence.tolist()
        if split == "test" and (foreign := set(sequence) - set(_TEST_SEQUENCES)):
            raise HandbenchError(
                f"ICVL tests on {' and '.join(_TEST_SEQUENCES)}, not on {min(foreign) or 'no sequence'}"
            )
        files = [f"{name}.txt" for name in sequence] if split == "test" else [_LABELS[split][0]] * len(table)
        line_end = " \r\r\n" if split == "test" else "\n"  # as the authors' files have it
        lines: dict[str, list[str]] = {}
        for file, line in zip(files, _label_lines(table, self.spec.camera), strict=True):
            lines.setdefault(file, []).append(line)
        for file, texts in lines.items():
            write_raw(self.root / _FOLDERS[split] / file, line_end.join((*texts, "")).encode())

    def mark_synthetic(self, facts: Mapping[str, Any]) -> None:
        """Say in the tree that its hands are rendered; see `protocol.Writer`."""
        write_marker(self.root, self.spec.title, facts)


def is_original(name: str) -> bool:
    """Whether a name of a label file is no rotated copy (rotation/sequence/image)."""
    first, *rest = name.split("/")
    return len(rest) != 2 or _ROTATION.fullmatch(first) is None


def image_names(frame_key: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Where the images lie in the tree: test/test_seq_1/image_0000 is Testing/Depth/test_seq_1/image_0000.png.

    Raises:
        HandbenchError: if a key is not of ICVL.
    """
    keys = [key.partition("/") for key in frame_key.tolist()]
    for split, slash, stem in keys:
        if split not in _FOLDERS or not stem or stem.split() != [stem]:
            raise HandbenchError(f"{split}{slash}{stem} is no frame key of ICVL, as test/test_seq_1/image_0000")
    return np.array([f"{_FOLDERS[split]}/{_DEPTH}/{stem}{_PNG}" for split, _, stem in keys], dtype=np.str_)


def _find_splits(root: Path) -> dict[str, str]:
    """Split -> its folder, as far as they are there."""
    names = folder_names(root)
    found = {}
    for split, folder in _FOLDERS.items():
        if folder in names:
            found[split] = folder
        elif _DEPTH in names and names.intersection(_LABELS[split]):
            found[split] = "."
    return found


def _joints_xyz(uvd: npt.NDArray[np.float64], camera: Camera) -> npt.NDArray[np.float32]:
    """(N, 16, 3) px and mm to mm in the camera frame; NaN for a joint that is not in front of the camera."""
    seen = np.where(uvd[..., 2:] > 0, uvd, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # numbers that no label has become NaN
        return stored_joints(uvd_to_xyz(seen, camera))


def _label_lines(table: FrameTable, camera: Camera) -> Iterator[str]:
    """A line for each frame, as the authors print it, without its end."""
    xyz = np.where(table.joints_xyz[..., 2:] > 0, table.joints_xyz, np.nan).astype(np.float64)
    uvd = np.round(xyz_to_uvd(xyz, camera), 3) + 0.0  # + 0: no "-0.000"
    numbers = " %.3f" * uvd[0].size if len(uvd) else ""
    for key, row in zip(table.frame_key.tolist(), uvd, strict=True):
        yield f"{key.partition('/')[2]}{_PNG}{numbers % tuple(row.ravel().tolist())}"
