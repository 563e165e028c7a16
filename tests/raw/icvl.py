"""A raw ICVL tree after the authors' test files, independent of handbench.converters.icvl."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.raw.nyu import png
from tests.raw.plate import Truth, plates

F, CX, CY = 241.42, 160, 120
BACKGROUND = 32001
TEST_END = b" \r\r\n"

# A date, rotated copies with two spellings, five digits, the negative number, first of each sequence not 0.
TRAIN = (
    "45/201403121135/image_0002.png",
    "67-5/201403121135/image_0002.png",
    "-122-5/201403121135/image_14080.png",
    "201403121135/image_0002.png",
    "201403121135/image_14080.png",
    "201406030937/image_-001.png",
    "201406030937/image_0036.png",
)
TEST = ("test_seq_1/image_0000.png", "test_seq_1/image_0001.png", "test_seq_2/image_0000.png")


def uvd(count: int, seed: int = 0) -> np.ndarray:
    """(N, 16, 3) px and mm in three decimals, some of them left of or above the image."""
    rng = np.random.default_rng(seed)
    low, high = np.array([-20.0, -20.0, 180.0]), np.array([340.0, 260.0, 480.0])
    return np.round(rng.uniform(low, high, (count, 16, 3)), 3)


def xyz(labels: np.ndarray) -> np.ndarray:
    """Labels in px and mm to mm, joint by joint."""
    u, v, d = np.moveaxis(labels, -1, 0)
    return np.stack(((u - CX) * d / F, (v - CY) * d / F, d), axis=-1)


def lines(names: tuple[str, ...], labels: np.ndarray, end: bytes = b"\n") -> bytes:
    """A label file: name, then 48 numbers in three decimals."""
    rows = (f"{name} {' '.join(f'{x:.3f}' for x in row.ravel())}" for name, row in zip(names, labels, strict=True))
    return b"".join(row.encode() + end for row in rows)


def write_images(folder: Path, names: tuple[str, ...], seed: int = 0) -> np.ndarray:
    """Small blobs before all three kinds of nothing.

    Returns:
        (N, 240, 320) mm, 0 = missing.
    """
    rng = np.random.default_rng(seed)
    depth = np.zeros((len(names), 240, 320), np.uint16)
    for i, name in enumerate(names):
        depth[i, 80:130, 140 + i : 200 + i] = rng.integers(300, 420, (50, 60))
        raw = np.where(depth[i] == 0, BACKGROUND, depth[i]).astype(np.uint16)
        raw[0, :3] = 0, 30001, 65535
        raw[0, 3] = depth[i, 0, 3] = 30000  # the last that is a depth
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(raw))
    return depth


def write_new(root: Path, train: tuple[str, ...] = TRAIN, test: tuple[str, ...] = TEST) -> dict[str, np.ndarray]:
    """The new release: Training/ and Testing/.

    Returns:
        Depth of each split (N, 240, 320) in the order of the label files.
    """
    depth = {"train": write_images(root / "Training/Depth", train), "test": write_images(root / "Testing/Depth", test)}
    (root / "Training/labels.txt").write_bytes(lines(train, uvd(len(train))))
    _write_test_labels(root / "Testing", test, uvd(len(test), seed=1))
    return depth


def write_old(root: Path, labels: str = "train.txt") -> dict[str, np.ndarray]:
    """The release of 2014: one Depth/ for all."""
    depth = {"train": write_images(root / "Depth", TRAIN), "test": write_images(root / "Depth", TEST)}
    (root / labels).write_bytes(lines(TRAIN, uvd(len(TRAIN))))
    _write_test_labels(root, TEST, uvd(len(TEST), seed=1))
    return depth


def _write_test_labels(folder: Path, names: tuple[str, ...], labels: np.ndarray) -> None:
    for sequence in ("test_seq_1", "test_seq_2"):
        rows = [i for i, name in enumerate(names) if name.startswith(sequence)]
        text = lines(tuple(names[i] for i in rows), labels[rows], TEST_END)
        (folder / f"{sequence}.txt").write_bytes(text)


def conformance_tree(root: Path) -> dict[str, Truth]:
    """A small tree that is in order, and what it holds, by split."""
    names = {"train": [name for name in TRAIN if name.startswith("201403")], "test": list(TEST)}
    truth = {}
    for split, folder in (("train", root / "Training"), ("test", root / "Testing")):
        truth[split] = depth, joints = plates(len(names[split]), 16, (F, F), (CX, CY), (240, 320))
        labels = np.concatenate((joints[..., :2] * F / joints[..., 2:] + [CX, CY], joints[..., 2:]), axis=-1)
        for name, frame in zip(names[split], depth, strict=True):
            (folder / "Depth" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "Depth" / name).write_bytes(png(np.where(frame == 0, BACKGROUND, frame).astype(np.uint16)))
        if split == "test":
            _write_test_labels(folder, TEST, labels)
        else:
            (folder / "labels.txt").write_bytes(lines(tuple(names[split]), labels))
    return truth
