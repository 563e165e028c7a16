"""NYU Hand Pose: its bytes. Its facts are in `handbench.datasets.nyu`.

    train/ and test/, each with
        depth_1_0000001.png       8-bit RGB, red 0, depth in mm = green * 256 + blue, 2001 = background
        synthdepth_1_0000001.png  the same packing of a fitted model's render, background 0
        joint_data.mat            MAT v5: joint_names (1, 36), joint_uvd and joint_xyz (3 views, N, 36, 3), y up in xyz

Views are 1 (frontal), 2 (top) and 3 (side); numbers start at 1. A key is split/view/number, as test/1/0000001.

Sources: the authors' visualize_example.m and calculate_coords.m; a real frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import scipy.io

from handbench.camera import xyz_to_uvd
from handbench.converters.files import fingerprint, folder_names, names_in, read_png
from handbench.converters.labels import stored_joints
from handbench.converters.marker import SYNTHETIC, in_order, read_marker, subjects_of, write_marker
from handbench.datasets import dataset
from handbench.datasets.spec import DatasetSpec
from handbench.errors import FrameError, HandbenchError
from handbench.mat5 import real_matrix
from handbench.store import FrameStatus, FrameTable

VIEWS = (1, 2, 3)
EXCHANGED_TRAIN_FRAMES = 29116
"""In train, views 2 and 3 of the frames up to here show what the other shows later (MURAUER, NyuHandPoseDataset)."""
_SPLITS = ("train", "test")
_ABOVE = "dataset"
_LABELS = "joint_data.mat"
_MAT_HEADER = b"MATLAB 5.0 MAT-file, written by handbench".ljust(116)  # scipy puts the time here
_Y_UP = np.array([1.0, -1.0, 1.0])  # raw xyz has y up; its own inverse


class NyuReader:
    """A raw NYU tree.

    Args:
        root: the folder that holds train/ and test/, or the folder above it ("dataset" in the authors' archive).
        views: which cameras, in this order; the literature trains and tests on view 1 alone.
        synth: read synthdepth, the fitted model's render, instead of the sensor's depth.

    Raises:
        HandbenchError: if neither split is there, or a view is not 1, 2 or 3.
    """

    def __init__(self, root: Path, views: Sequence[int] = (1,), synth: bool = False) -> None:
        self.root = root if _splits_in(root) or _ABOVE not in folder_names(root) else root / _ABOVE
        self.spec: DatasetSpec = dataset("nyu")
        self.splits = _splits_in(self.root)
        if not self.splits:
            raise HandbenchError(f"{root} has neither train/ nor test/; give the folder of the raw NYU tree")
        if not views or len(set(views)) != len(views) or not set(views) <= set(VIEWS):
            raise HandbenchError(f"views {', '.join(map(str, views))}: they must be some of 1, 2, 3, each once")
        self.views, self.synth = tuple(views), synth
        self.options: Mapping[str, Any] = {"views": list(views), "synth": synth}
        self.depth_dtype = np.dtype(np.uint16)
        self._marker = read_marker(self.root)
        self.release = SYNTHETIC if self._marker else ""

    def table(self, split: str) -> FrameTable:
        """All labelled frames, view by view."""
        joints = _read_joints(self._folder(split) / _LABELS, self.spec)
        if joints.shape[0] < max(self.views):
            raise HandbenchError(f"{self.root / split / _LABELS} labels {joints.shape[0]} views, not {max(self.views)}")
        count = joints.shape[1]
        numbers = np.tile(np.arange(1, count + 1), len(self.views))
        view = np.repeat(np.array(self.views, dtype=np.uint8), count)
        keys = [f"{split}/{v}/{number:07d}" for v, number in zip(view.tolist(), numbers.tolist(), strict=True)]
        frame_key = np.array(keys, dtype=np.str_)
        return FrameTable(
            image=image_names(frame_key, self.synth),
            frame_key=frame_key,
            subject=np.tile(self._subjects(split, count), len(self.views)),
            sequence=np.full(len(keys), "", dtype=np.str_),
            view=view,
            joints_xyz=_y_down(np.concatenate([joints[v - 1] for v in self.views])),
            viewpoint=_viewpoint(split, view, numbers) if set(self.views) & {2, 3} else None,
        )

    def depth(self, image: str) -> npt.NDArray[np.uint16]:
        """One frame, (480, 640) mm; background becomes 0."""
        path = self.root / image
        camera = self.spec.camera
        bgr = read_png(path, (camera.height, camera.width, 3), np.dtype(np.uint8), "an 8-bit RGB image")
        if cv2.sumElems(bgr)[2]:
            raise FrameError(f"{path}: the red channel is not 0, so this is no depth image", FrameStatus.IMAGE_CORRUPT)
        depth = np.empty(bgr.shape[:2], dtype="<u2")
        low_high = depth.view(np.uint8).reshape(*depth.shape, 2)
        cv2.mixChannels([bgr], [low_high], [0, 0, 1, 1])  # 5 times faster than shifting; blue is the low byte
        if not self.synth:
            depth *= depth != self.spec.background  # half the time of setting those pixels
        return depth

    def unlabelled(self, split: str, table: FrameTable) -> int:
        """Images of the views that are read whose number is beyond the labels."""
        pattern = re.compile(rf"{_kind(self.synth)}_[{''.join(map(str, self.views))}]_(\d{{7}})\.png")
        last = len(table) // len(self.views)
        matches = map(pattern.fullmatch, names_in(self._folder(split)))
        return sum(match is not None and not 1 <= int(match[1]) <= last for match in matches)

    def remarks(self, split: str, table: FrameTable) -> list[str]:
        """A line if the frames are not as many as published."""
        published = self.spec.split(split).frames["only"]
        frames = len(table) // len(self.views)
        if self.release == SYNTHETIC or frames == published:
            return []
        return [f"{split}: {frames:,} frames, published are {published:,}"]

    def fingerprints(self, split: str) -> Mapping[str, Any]:
        """Size and checksum of the label file."""
        return {f"{split}/{_LABELS}": fingerprint(self._folder(split) / _LABELS)}

    def _folder(self, split: str) -> Path:
        if split not in self.splits:
            raise HandbenchError(f"{self.root} has no {split}/, only {', '.join(self.splits)}")
        return self.root / split

    def _subjects(self, split: str, count: int) -> npt.NDArray[np.str_]:
        """Subjects in file order: told by a synthetic tree, else by the published counts."""
        told = subjects_of(self._marker, split, count)
        return in_order(self.spec.split(split).subjects["only"], count) if told is None else told


class NyuWriter:
    """Writes a raw NYU tree. Views that are not written have NaN for labels.

    Args:
        root: the folder to hold train/ and test/; made if need be.
        synth: write the images as synthdepth.
    """

    def __init__(self, root: Path, synth: bool = False) -> None:
        self.root = root
        self.spec: DatasetSpec = dataset("nyu")
        self._synth = synth

    def write_split(self, split: str, table: FrameTable, depths: Iterable[npt.NDArray[Any] | None]) -> None:
        """Write images and labels; see `protocol.Writer`."""
        joints_xyz = {}
        for view in np.unique(table.view).tolist():
            rows = table.view == view
            numbers = [int(key.rpartition("/")[2]) for key in table.frame_key[rows].tolist()]
            if numbers != list(range(1, len(numbers) + 1)):
                raise HandbenchError(
                    f"NYU numbers its frames from 1 without gaps; those of {split}, view {view}, do not"
                )
            joints_xyz[view] = table.joints_xyz[rows].astype(np.float64)
        self.write_frames(table, depths)
        self.write_labels(split, joints_xyz)

    def write_frames(self, table: FrameTable, depths: Iterable[npt.NDArray[Any] | None]) -> None:
        """Write images alone; see `protocol.Writer`."""
        names = image_names(table.frame_key, self._synth).tolist()
        for folder in {name.partition("/")[0] for name in names}:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for image, depth in zip(names, depths, strict=True):
            if depth is not None:
                self.write_image(image, depth)

    def write_image(self, image: str, depth: npt.NDArray[Any]) -> None:
        """Write one frame as NYU packs it.

        Args:
            image: its place in the tree, of `image_names`; its folder exists.
            depth: (H, W) mm, 0 = missing, which becomes the background value.

        Raises:
            HandbenchError: if the image cannot be written.
        """
        background = 0 if self._synth else np.uint16(self.spec.background or 0)
        raw = np.where(depth == 0, background, depth).astype(np.uint16)
        bgr = np.stack(((raw & 255), raw >> 8, np.zeros_like(raw)), axis=-1).astype(np.uint8)
        path = self.root / image
        if not cv2.imwrite(str(path), bgr):
            raise HandbenchError(f"{path} cannot be written")

    def write_labels(self, split: str, joints_xyz: Mapping[int, npt.NDArray[np.float64]]) -> None:
        """Write joint_data.mat, the same bytes for the same labels.

        Args:
            split: "train" or "test".
            joints_xyz: for each view (N, 36, 3) mm, camera frame, y down; NaN = not labelled.

        Raises:
            HandbenchError: if the views differ in their number of frames.
        """
        (self.root / split).mkdir(parents=True, exist_ok=True)
        shapes = {joints.shape for joints in joints_xyz.values()}
        if len(shapes) != 1:
            raise HandbenchError(f"the views of {split} must have equally many frames, not {sorted(shapes)}")
        raw = np.full((2, len(VIEWS), *shapes.pop()), np.nan)
        for view, joints in joints_xyz.items():
            raw[0, view - 1] = xyz_to_uvd(joints, self.spec.camera)
            raw[1, view - 1] = joints * _Y_UP
        names = np.array([self.spec.joints.names], dtype=object)
        path = self.root / split / _LABELS
        scipy.io.savemat(path, {"joint_names": names, "joint_uvd": raw[0], "joint_xyz": raw[1]})
        with path.open("r+b") as file:
            file.write(_MAT_HEADER)

    def mark_synthetic(self, facts: Mapping[str, Any]) -> None:
        """Say in the tree that its hands are rendered; see `protocol.Writer`."""
        write_marker(self.root, self.spec.title, facts)


def image_names(frame_key: npt.NDArray[np.str_], synth: bool = False) -> npt.NDArray[np.str_]:
    """Where the images of frames lie in the tree: test/1/0000001 is test/depth_1_0000001.png."""
    parts = (key.split("/") for key in frame_key.tolist())
    return np.array([f"{split}/{_kind(synth)}_{view}_{number}.png" for split, view, number in parts], dtype=np.str_)


def _kind(synth: bool) -> str:
    return "synthdepth" if synth else "depth"


def _splits_in(root: Path) -> tuple[str, ...]:
    names = folder_names(root)
    return tuple(split for split in _SPLITS if split in names)


def _viewpoint(split: str, view: npt.NDArray[np.uint8], number: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """(N,) where the camera of each frame stood, in the numbering of the test set."""
    exchanged = (split == "train") & (number <= EXCHANGED_TRAIN_FRAMES) & (view > 1)
    return np.where(exchanged, 5 - view, view).astype(np.uint8)


def _y_down(raw_xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """(N, 36, 3) mm with y up, to the camera frame; NaN for a joint that is not labelled."""
    with np.errstate(invalid="ignore"):  # a damaged file can hold signalling NaN
        return stored_joints(raw_xyz * _Y_UP)


def _read_joints(path: Path, spec: DatasetSpec) -> npt.NDArray[np.float64]:
    """Raw joint_xyz of all views, (V, N, 36, 3) mm, y up."""
    if path.name not in folder_names(path.parent):
        raise HandbenchError(
            f"{path} is missing; the labels lie inside train/ and test/ of the full archive (about 92 GB), "
            "a smaller archive without them is not enough"
        )
    try:
        joints = real_matrix(path.read_bytes(), "joint_xyz")
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise HandbenchError(
            f"{path} is not the labels of NYU (MATLAB v5 with joint_xyz): {error}; copy it again"
        ) from error
    if joints.ndim != 4 or joints.shape[0] < 1 or joints.shape[2:] != (len(spec.joints), 3):
        raise HandbenchError(f"{path}: joint_xyz has shape {joints.shape}, not (3 views, frames, 36, 3)")
    return joints
