"""A raw MSRA tree after the authors' read-me, independent of handbench.converters.msra."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.raw.plate import Truth, plates

GESTURES = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "I", "IP", "L", "MP", "RP", "T", "TIP", "Y"]
_COUNT = 500  # frames of a gesture of the old release, but for these
_FEWER = {
    "P0": {"T": 499},
    "P1": {"4": 499, "6": 498, "9": 499, "L": 498, "Y": 498},
    "P2": {"MP": 417, "RP": 498, "T": 497},
    "P3": {"5": 499, "6": 497, "7": 499, "8": 497, "9": 498, "I": 499, "Y": 499},
    "P4": {},
    "P5": {"1": 499, "3": 499, "T": 499},
    "P6": {"2": 499, "4": 499, "Y": 499},
    "P7": {"1": 498},
    "P8": {"2": 497, "3": 498, "4": 499, "5": 499, "Y": 499},
}
OLD = {f"{subject}/{gesture}": fewer.get(gesture, _COUNT) for subject, fewer in _FEWER.items() for gesture in GESTURES}
_NEW = (8499, 8499, 8406, 8498, 8500, 8497, 8498, 8498, 8496)  # of the subjects; the gestures' are not published
NEW = {
    f"P{subject}/{gesture}": min(_COUNT, total - _COUNT * i) if gesture != "Y" else total - _COUNT * 16
    for subject, total in enumerate(_NEW)
    for i, gesture in enumerate(GESTURES)
}


def frame_bytes(left: int, top: int, crop: np.ndarray) -> bytes:
    """A .bin file of a crop whose first pixel lies at (left, top)."""
    height, width = crop.shape
    return struct.pack("<6I", 320, 240, left, top, left + width, top + height) + crop.astype("<f4").tobytes()


def joint_text(raw_xyz: np.ndarray) -> str:
    """joint.txt of (N, 21, 3) mm with y up and z negative."""
    rows = (" ".join(f"{x:.6g}" for x in row.ravel()) for row in raw_xyz)
    return "\n".join((str(len(raw_xyz)), *rows, ""))


def joints(count: int, seed: int = 0) -> np.ndarray:
    """(N, 21, 3) mm, y up, z negative, in six significant digits."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform([-80, -80, -450], [80, 80, -250], (count, 21, 3))
    return np.array([float(f"{x:.6g}") for x in raw.flat]).reshape(raw.shape)


def write_gesture(folder: Path, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A gesture whose second frame is empty and whose third starts in the corner.

    Returns:
        depth (N, 240, 320) mm, 0 = missing; joints (N, 21, 3) mm with y DOWN and z forward.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    depth = np.zeros((count, 240, 320), np.float32)
    for i in range(count):
        left, top = (0, 0) if i == 2 else (130 + i, 90)
        crop = rng.uniform(250, 450, (40, 60)).astype(np.float32)
        crop[:, -1] = crop[0] = 0  # a box that is larger than the hand
        if i == 1:
            crop[:] = 0
        depth[i, top : top + 40, left : left + 60] = crop
        (folder / f"{i:06d}_depth.bin").write_bytes(frame_bytes(left, top, crop))
    raw_xyz = joints(count, seed)
    (folder / "joint.txt").write_text(joint_text(raw_xyz), newline="")
    return depth, raw_xyz * [1, -1, -1]


def write_labels_only(root: Path, counts: Mapping[str, int]) -> None:
    """joint.txt of every gesture, the same pose in all lines; no frames."""
    line = joint_text(joints(1)).partition("\n")[2]
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        (root / folder / "joint.txt").write_text(f"{count}\n{line * count}", newline="")


def conformance_tree(root: Path) -> dict[str, Truth]:
    """A small tree that is in order, and what it holds, by split."""
    focal = 241.42  # authors' read-me
    depth, joints = plates(5, 21, (focal, focal), (160, 120), (240, 320))
    for folder, frames in (("P0/1", slice(0, 2)), ("P3/TIP", slice(2, 5))):
        (root / folder).mkdir(parents=True)
        for number, frame in enumerate(depth[frames]):
            (root / folder / f"{number:06d}_depth.bin").write_bytes(frame_bytes(100, 50, frame[50:190, 100:220]))
        (root / folder / "joint.txt").write_text(joint_text(joints[frames] * [1, -1, -1]), newline="")
    return {"all": (depth, joints)}
