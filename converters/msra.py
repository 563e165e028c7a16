"""MSRA Hand Gesture: its bytes. Its facts are in `handbench.datasets.msra`.

    P0/ ... P8/, each with the gestures 1/ ... 9/, I/, IP/, L/, MP/, RP/, T/, TIP/, Y/, each with
        000000_depth.bin   little-endian: u32 width, height, left, top, right, bottom; f32 depth in mm of the box,
                           row by row. The box ends before right and bottom. 0 = no hand
        joint.txt          the number of frames; then a line of 21 x (x y z) mm for each, y up and z negative

A key is subject/gesture/number, as P3/TIP/000123. The pictures (*.jpg) beside the frames are not read.

Source: the authors' read-me, cvpr15_MSRAHandGestureDB_readme.txt.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.converters.files import folder_names, names_in, read_frame, write_raw
from handbench.converters.labels import numbers, stored_joints, token_grid
from handbench.converters.marker import SYNTHETIC, read_marker, write_marker
from handbench.converters.msra_invalid import INVALID, invalid_frames
from handbench.datasets import dataset
from handbench.datasets.spec import DatasetSpec
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus, FrameTable

SUBJECTS = tuple(f"P{i}" for i in range(9))
GESTURES = (*"123456789", "I", "IP", "L", "MP", "RP", "T", "TIP", "Y")
"""In the order of every published list of frames."""
_SPLIT = "all"
_ARCHIVE = "cvpr15_MSRAHandGestureDB"
_LABELS = "joint.txt"
_FIRST_LINE = 64  # bytes; enough for the number of frames
_HEADER = struct.Struct("<6I")
_Y_UP_Z_BACK = np.array([1.0, -1.0, -1.0])  # raw axes to ours; its own inverse
_KEY = re.compile(rf"(?:{'|'.join(SUBJECTS)})/(?:{'|'.join(GESTURES)})/[0-9]{{6}}")


class MsraReader:
    """A raw MSRA tree, whole or some subjects and gestures of it.

    Args:
        root: the folder that holds P0/ to P8/, or the folder above it.
        drop_invalid: leave out the frames that the published lists call invalid, instead of flagging them.

    Raises:
        HandbenchError: if there is no subject, a joint.txt cannot be read, or `drop_invalid` meets a tree that the
            lists do not number.
    """

    def __init__(self, root: Path, drop_invalid: bool = False) -> None:
        self.root = root / _ARCHIVE if _ARCHIVE in folder_names(root) else root
        self.spec: DatasetSpec = dataset("msra")
        self.splits = (_SPLIT,)
        self.options: Mapping[str, Any] = {"drop_invalid": drop_invalid}
        self.depth_dtype = np.dtype(np.float32)
        release = self._release()
        self.release = SYNTHETIC if read_marker(self.root) else release
        if drop_invalid and self.release != "old":
            raise HandbenchError(
                f"the published lists of invalid frames number the old release; {self.root} is "
                f"{f'the {self.release} one' if self.release else 'not known to be it'}, so none can be dropped"
            )

    def table(self, split: str) -> FrameTable:
        """All labelled frames in the order of the published lists: by subject, gesture and number."""
        self._only(split)
        joints_xyz, keys = [], []
        for folder in self._folders():
            joints_xyz.append(_read_joints(self.root / folder / _LABELS, len(self.spec.joints)))
            keys += [f"{folder}/{number:06d}" for number in range(len(joints_xyz[-1]))]
        frame_key = np.array(keys, dtype=np.str_)
        table = FrameTable(
            image=image_names(frame_key),
            frame_key=frame_key,
            subject=np.array([key.split("/")[0] for key in keys], dtype=np.str_),
            sequence=np.array([key.split("/")[1] for key in keys], dtype=np.str_),
            view=np.ones(len(keys), dtype=np.uint8),
            joints_xyz=np.concatenate(joints_xyz),
        )
        if self.options["drop_invalid"]:
            return table[~np.isin(frame_key, sorted(INVALID))]
        return table.with_flaws(self.flagged(split, table))

    def depth(self, image: str) -> npt.NDArray[np.float32]:
        """One frame, (240, 320) mm: the box at its place, 0 around it."""
        path, camera = self.root / image, self.spec.camera
        data = read_frame(path)
        if len(data) < _HEADER.size:
            raise FrameError(f"{path} is truncated ({len(data)} bytes)", FrameStatus.IMAGE_CORRUPT)
        width, height, left, top, right, bottom = _HEADER.unpack_from(data)
        if (width, height) != (camera.width, camera.height):
            raise _corrupt(path, f"is of {width} x {height} pixels, not {camera.width} x {camera.height}")
        if not (left <= right <= width and top <= bottom <= height):
            raise _corrupt(path, f"has a box from ({left}, {top}) to ({right}, {bottom}), which leaves the image")
        pixels = (right - left) * (bottom - top)
        if len(data) != _HEADER.size + 4 * pixels:
            raise _corrupt(path, f"has {len(data)} bytes, its box asks for {_HEADER.size + 4 * pixels}")
        box = np.frombuffer(data, "<f4", offset=_HEADER.size).reshape(bottom - top, right - left)
        if not (np.isfinite(box) & (box >= 0)).all():
            raise _corrupt(path, "has depths that are negative or no numbers")
        depth = np.zeros((height, width), np.float32)
        depth[top:bottom, left:right] = box
        return depth

    def flagged(self, split: str, table: FrameTable) -> dict[int, str]:
        """Rows of a table, or of a part of it, that a published list calls invalid -> who says so."""
        invalid = invalid_frames(self.release)
        keys = enumerate(table.frame_key.tolist())
        return {row: f"published list of invalid frames ({INVALID[key]})" for row, key in keys if key in invalid}

    def remarks(self, split: str, table: FrameTable) -> list[str]:
        """What is odd about the tree: a line if its numbers of frames are those of neither release."""
        remarks: list[str] = []
        if self.release == SYNTHETIC:
            return remarks
        if not self.release:
            found = Counter(table.subject.tolist())
            releases = self.spec.split(_SPLIT).subjects
            known = "; ".join(f"{name}: {', '.join(map(str, n.values()))}" for name, n in releases.items())
            counts = ", ".join(f"{subject} {found[subject]}" for subject in SUBJECTS)
            remarks.append(f"{split}: neither release has these frames: {counts} ({known})")
        if self.release != "old":
            remarks.append(f"{split}: no frame is flagged as invalid; the published lists number the old release")
        return remarks

    def unlabelled(self, split: str, table: FrameTable) -> int:
        """How many frames lie on disk beyond the number that joint.txt says."""
        pattern = re.compile(r"([0-9]{6,9})_depth\.bin")
        extra = 0
        for folder, count in self._counts().items():
            matches = map(pattern.fullmatch, names_in(self.root / folder))
            extra += sum(match is not None and int(match[1]) >= count for match in matches)
        return extra

    def fingerprints(self, split: str) -> Mapping[str, Any]:
        """Number, bytes and one checksum of all joint.txt, in their order with their names."""
        digest, size, folders = hashlib.sha256(), 0, list(self._folders())
        for folder in folders:
            text = _read_text(self.root / folder / _LABELS)
            digest.update(f"{folder}/{_LABELS} {len(text)}\n".encode() + text)
            size += len(text)
        return {f"P*/*/{_LABELS}": {"files": len(folders), "bytes": size, "sha256": digest.hexdigest()}}

    def _only(self, split: str) -> None:
        if split not in self.splits:
            raise HandbenchError(f"MSRA has no split {split!r}, only {_SPLIT!r}: each subject is tested once")

    def _folders(self) -> Iterator[str]:
        """Folders of gestures that are there, in the order of the published lists."""
        subjects = folder_names(self.root)
        for subject in SUBJECTS:
            gestures = folder_names(self.root / subject) if subject in subjects else frozenset()
            yield from (f"{subject}/{gesture}" for gesture in GESTURES if gesture in gestures)

    def _counts(self) -> dict[str, int]:
        """Number of frames of each folder by the first line of its joint.txt."""
        paths = {folder: self.root / folder / _LABELS for folder in self._folders()}
        counts = {folder: _split_count(_read_text(path, _FIRST_LINE), path)[0] for folder, path in paths.items()}
        if not counts:
            raise HandbenchError(f"{self.root} has no P0/1/ or the like; give the folder of the raw MSRA tree")
        return counts

    def _release(self) -> str:
        """The release whose subjects have exactly these numbers of frames, or ""."""
        frames: Counter[str] = Counter()
        for folder, count in self._counts().items():
            frames[folder.partition("/")[0]] += count
        releases = self.spec.split(_SPLIT).subjects
        return next((name for name, subjects in releases.items() if dict(subjects) == frames), "")


class MsraWriter:
    """Writes a raw MSRA tree. The box of a frame is the smallest that holds its depth.

    Args:
        root: the folder to hold P0/ to P8/; made if need be.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spec: DatasetSpec = dataset("msra")

    def write_split(self, split: str, table: FrameTable, depths: Iterable[npt.NDArray[Any] | None]) -> None:
        """Write frames and labels; see `protocol.Writer`. Each gesture must be whole: numbered from 0, no gaps."""
        rows: dict[str, list[int]] = {}
        for row, key in enumerate(table.frame_key.tolist()):
            folder, _, number = key.rpartition("/")
            if _KEY.fullmatch(key) is None or int(number) != len(rows.setdefault(folder, [])):
                raise HandbenchError(f"MSRA numbers the frames of a gesture from 0 without gaps; {key} does not fit")
            rows[folder].append(row)
        self.write_frames(table, depths)
        for folder, members in rows.items():
            self.write_labels(folder, table.joints_xyz[members])

    def write_frames(self, table: FrameTable, depths: Iterable[npt.NDArray[Any] | None]) -> None:
        """Write images alone; see `protocol.Writer`."""
        for image, depth in zip(image_names(table.frame_key).tolist(), depths, strict=True):
            if depth is not None:
                self.write_image(image, depth)

    def write_image(self, image: str, depth: npt.NDArray[Any]) -> None:
        """Write one frame.

        Args:
            image: its place in the tree, of `image_names`.
            depth: (240, 320) mm, 0 = missing.

        Raises:
            HandbenchError: if it cannot be written or is of another size.
        """
        height, width = depth.shape
        if (width, height) != (self.spec.camera.width, self.spec.camera.height):
            raise HandbenchError(f"a frame of MSRA is 320 x 240, not {width} x {height} as the one for {image}")
        rows, columns = np.nonzero(depth)
        left, right = _extent(columns)
        top, bottom = _extent(rows)
        box = depth[top:bottom, left:right].astype("<f4")
        header = _HEADER.pack(width, height, left, top, right, bottom)
        write_raw(self.root / image, header + box.tobytes())

    def write_labels(self, folder: str, joints_xyz: npt.NDArray[np.float32]) -> None:
        """Write joint.txt of one gesture.

        Args:
            folder: as "P3/TIP".
            joints_xyz: (N, 21, 3) mm, camera frame, y down; NaN = not labelled.
        """
        rows = (joints_xyz * _Y_UP_Z_BACK).reshape(len(joints_xyz), -1)
        line = " ".join(["%.7g"] * rows.shape[1])  # 7 digits: all that float32 keeps of what was printed
        lines = (line % tuple(row) for row in rows.tolist())
        write_raw(self.root / folder / _LABELS, "\n".join((str(len(rows)), *lines, "")).encode())

    def mark_synthetic(self, facts: Mapping[str, Any]) -> None:
        """Say in the tree that its hands are rendered; see `protocol.Writer`."""
        write_marker(self.root, self.spec.title, facts)


def image_names(frame_key: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Where the frames lie in the tree: P3/TIP/000123 is P3/TIP/000123_depth.bin."""
    return np.array([f"{key}_depth.bin" for key in frame_key.tolist()], dtype=np.str_)


def _extent(filled: npt.NDArray[np.intp]) -> tuple[int, int]:
    """The first and one past the last; a single pixel where none is filled, as an empty box chokes loaders."""
    return (int(filled.min()), int(filled.max()) + 1) if len(filled) else (0, 1)


def _corrupt(path: Path, what: str) -> FrameError:
    return FrameError(f"{path} {what}", FrameStatus.IMAGE_CORRUPT)


def _read_text(path: Path, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error


def _split_count(text: bytes, path: Path) -> tuple[int, bytes]:
    """The number of frames in the first line, and the lines after it."""
    head, _, lines = text.partition(b"\n")
    if not re.fullmatch(rb"[0-9]{1,9}", head.strip()):
        shown = head.strip()[:30].decode(errors="backslashreplace")
        raise HandbenchError(f"{path}, line 1: {shown!r} is not the number of frames")
    return int(head), lines


def _read_joints(path: Path, joints: int) -> npt.NDArray[np.float32]:
    """All joints of a gesture, (N, J, 3) mm in the camera frame, y down."""
    count, lines = _split_count(_read_text(path), path)
    starts, ends = token_grid(lines, 3 * joints, path, line=2)
    if len(starts) != count:
        raise HandbenchError(f"{path} says {count} frames in its first line and has joints of {len(starts)}")
    xyz = numbers(lines, starts, ends, path, line=2).reshape(-1, joints, 3)
    return stored_joints(xyz * _Y_UP_Z_BACK)
