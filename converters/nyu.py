"""NYU Hand Pose: its bytes. Its facts are in `handbench.datasets.nyu`.

    train/ and test/, each with
        depth_1_0000001.png   8-bit RGB, red 0, depth in mm = green * 256 + blue, 2001 = background; numbers from 1
        joint_data.mat        MAT v5: joint_names (1, 36), joint_uvd and joint_xyz (3 views, N, 36, 3), y up in xyz

Sources: the authors' visualize_example.m and calculate_coords.m; a real frame.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import scipy.io

from handbench.camera import xyz_to_uvd
from handbench.converters.files import fingerprint, read_png
from handbench.datasets import dataset
from handbench.datasets.spec import DatasetSpec
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus, FrameTable

VIEW = 1  # frontal; the literature trains and tests on it alone
_VIEWS = 3
_SPLITS = ("train", "test")
_LABELS = "joint_data.mat"
_MARKER = "synthetic.json"
_MAT_HEADER = b"MATLAB 5.0 MAT-file, written by handbench".ljust(116)  # scipy puts the time here
_Y_UP = np.array([1.0, -1.0, 1.0])  # raw xyz has y up; its own inverse


class NyuReader:
    """A raw NYU tree.

    Args:
        root: the folder that holds train/ and test/, or the folder above it ("dataset" in the authors' archive).

    Raises:
        HandbenchError: if neither is there.
    """

    def __init__(self, root: Path) -> None:
        inside = root / "dataset"
        self.root = inside if not _splits_in(root) and _splits_in(inside) else root
        self.spec: DatasetSpec = dataset("nyu")
        self.splits = _splits_in(self.root)
        if not self.splits:
            raise HandbenchError(f"{root} has neither train/ nor test/; give the folder of the raw NYU tree")
        self._marker = _read_marker(self.root / _MARKER)
        self.release = "synthetic" if self._marker else ""
        self.depth_dtype = np.dtype(np.uint16)

    def table(self, split: str) -> FrameTable:
        """All labelled frames of view 1."""
        joints = _read_joints(self._folder(split) / _LABELS, self.spec)
        count = len(joints)
        keys = np.array([f"{split}/{VIEW}/{number:07d}" for number in range(1, count + 1)], dtype=np.str_)
        return FrameTable(
            image=np.array([f"{split}/{_image_name(number)}" for number in range(1, count + 1)], dtype=np.str_),
            frame_key=keys,
            subject=self._subjects(split, count),
            sequence=np.full(count, "", dtype=np.str_),
            view=np.full(count, VIEW, dtype=np.uint8),
            joints_xyz=(joints * _Y_UP).astype(np.float32),
        )

    def depth(self, image: str) -> npt.NDArray[np.uint16]:
        """One frame, (480, 640) mm; background becomes 0."""
        path = self.root / image
        camera = self.spec.camera
        bgr = read_png(path, (camera.height, camera.width, 3), np.dtype(np.uint8), "an 8-bit RGB image")
        if bgr[..., 2].any():
            raise FrameError(f"{path}: the red channel is not 0, so this is no depth image", FrameStatus.IMAGE_CORRUPT)
        depth: npt.NDArray[np.uint16] = bgr[..., 1].astype(np.uint16) << 8 | bgr[..., 0]
        depth[depth == self.spec.background] = 0
        return depth

    def unlabelled(self, split: str, table: FrameTable) -> int:
        """Images of view 1 with a number above the last label."""
        pattern = re.compile(rf"depth_{VIEW}_(\d{{7}})\.png")
        matches = (pattern.fullmatch(path.name) for path in self._folder(split).iterdir())
        return sum(match is not None and not 1 <= int(match[1]) <= len(table) for match in matches)

    def fingerprints(self, split: str) -> Mapping[str, Any]:
        """Size and checksum of the label file."""
        return {f"{split}/{_LABELS}": fingerprint(self._folder(split) / _LABELS)}

    def _folder(self, split: str) -> Path:
        if split not in self.splits:
            raise HandbenchError(f"{self.root} has no {split}/, only {', '.join(self.splits)}")
        return self.root / split

    def _subjects(self, split: str, count: int) -> npt.NDArray[np.str_]:
        """Subjects in file order: told by a synthetic tree, else by the published counts."""
        counts = self._marker.get(split) or self.spec.split(split).subjects["only"]
        names = [name for name, frames in counts.items() for _ in range(frames)]
        return np.array((names + [names[-1]] * count)[:count], dtype=np.str_)


class NyuWriter:
    """Writes a raw NYU tree of view 1. The labels of views 2 and 3 are NaN.

    Args:
        root: the folder to hold train/ and test/; made if need be.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spec: DatasetSpec = dataset("nyu")

    def write_split(
        self,
        split: str,
        frames: Iterable[tuple[npt.NDArray[np.uint16], npt.NDArray[np.float64]]],
        count: int,
    ) -> None:
        """Write images and labels of a split.

        Args:
            split: "train" or "test".
            frames: depth (480, 640) mm with 0 = missing, and joints (36, 3) mm in the camera frame, y down.
            count: how many frames there are.

        Raises:
            HandbenchError: if there are not `count` frames or an image cannot be written.
        """
        folder = self.root / split
        folder.mkdir(parents=True, exist_ok=True)
        joints_xyz = np.full((count, len(self.spec.joints), 3), np.nan)
        number = 0
        for number, (depth, joints) in enumerate(frames, start=1):
            if number > count:
                break
            write_depth(folder / _image_name(number), depth, self.spec)
            joints_xyz[number - 1] = joints
        if number != count:
            raise HandbenchError(f"{folder}: {count} frames were announced, not {number}")
        self.write_labels(split, joints_xyz)

    def write_labels(self, split: str, joints_xyz: npt.NDArray[np.float64]) -> None:
        """Write joint_data.mat, the same bytes for the same labels.

        Args:
            split: "train" or "test".
            joints_xyz: (N, 36, 3) mm, camera frame, y down; NaN = not labelled.
        """
        raw = np.full((2, _VIEWS, *joints_xyz.shape), np.nan)
        raw[0, VIEW - 1] = xyz_to_uvd(joints_xyz, self.spec.camera)
        raw[1, VIEW - 1] = joints_xyz * _Y_UP
        names = np.array([self.spec.joints.names], dtype=object)
        path = self.root / split / _LABELS
        scipy.io.savemat(path, {"joint_names": names, "joint_uvd": raw[0], "joint_xyz": raw[1]})
        with path.open("r+b") as file:
            file.write(_MAT_HEADER)

    def mark_synthetic(self, subjects: Mapping[str, Mapping[str, int]]) -> None:
        """Say in the tree that its hands are rendered, and whose they are, which the raw layout cannot tell.

        Args:
            subjects: number of frames of each subject in file order, for each split.
        """
        text = json.dumps({"note": "rendered hands, not NYU data", "subjects": subjects}, indent=2)
        (self.root / _MARKER).write_text(f"{text}\n", encoding="utf-8")


def write_depth(path: Path, depth: npt.NDArray[np.uint16], spec: DatasetSpec) -> None:
    """Write one frame as NYU packs it.

    Args:
        path: of the PNG.
        depth: (H, W) mm, 0 = missing, which becomes the background value.
        spec: facts of NYU.

    Raises:
        HandbenchError: if the image cannot be written.
    """
    raw = np.where(depth == 0, np.uint16(spec.background or 0), depth)
    bgr = np.stack(((raw & 255), raw >> 8, np.zeros_like(raw)), axis=-1).astype(np.uint8)
    if not cv2.imwrite(str(path), bgr):
        raise HandbenchError(f"{path} cannot be written")


def _image_name(number: int) -> str:
    return f"depth_{VIEW}_{number:07d}.png"


def _splits_in(root: Path) -> tuple[str, ...]:
    return tuple(split for split in _SPLITS if (root / split).is_dir())


def _read_joints(path: Path, spec: DatasetSpec) -> npt.NDArray[np.float64]:
    """Raw joint_xyz of view 1, (N, 36, 3) mm, y up."""
    if not path.is_file():
        raise HandbenchError(
            f"{path} is missing; the labels lie inside train/ and test/ of the full archive (about 92 GB), "
            "a smaller archive without them is not enough"
        )
    try:
        joints = scipy.io.loadmat(path, variable_names=["joint_xyz"])["joint_xyz"]
    except (KeyError, ValueError, NotImplementedError, OSError, TypeError) as error:
        raise HandbenchError(f"{path} is not the labels of NYU (MATLAB v5 with joint_xyz): {error}") from error
    if joints.ndim != 4 or joints.shape[0] < VIEW or joints.shape[2:] != (len(spec.joints), 3):
        raise HandbenchError(f"{path}: joint_xyz has shape {joints.shape}, not (3 views, frames, 36, 3)")
    view: npt.NDArray[np.float64] = joints[VIEW - 1].astype(np.float64)
    return view


def _read_marker(path: Path) -> Mapping[str, Mapping[str, int]]:
    """Subjects of a synthetic tree by split; empty for real data."""
    if not path.is_file():
        return {}
    try:
        subjects: Mapping[str, Mapping[str, int]] = json.loads(path.read_text(encoding="utf-8"))["subjects"]
    except (ValueError, KeyError, TypeError) as error:
        raise HandbenchError(f"{path} does not say whose hands these are ({error}); write the tree again") from error
    return subjects
