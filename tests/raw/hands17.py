"""A raw HANDS17 tree after what its loaders expect, independent of handbench.converters.hands17."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.raw.nyu import png
from tests.raw.plate import Truth, plates

JOINTS = 21
Line = Callable[[str, list[str]], str]


def tab_blank(name: str, numbers: list[str]) -> str:
    """The inferred form of the organisers: TAB and blank before each number, TAB at the end."""
    return name + "".join(f"\t {number}" for number in numbers) + "\t\n"


def tabs(name: str, numbers: list[str]) -> str:
    return "\t".join((name, *numbers)) + "\n"


def blanks(name: str, numbers: list[str]) -> str:
    return " ".join((name, *numbers)) + "\n"


def image_name(number: int) -> str:
    return f"image_D{number:08d}.png"


def write_annotation(folder: Path, joints: np.ndarray, line: Line = tab_blank) -> None:
    """Training_Annotation.txt from (N, 21, 3) mm, y down."""
    rows = [[f"{value:.4f}" for value in row] for row in joints.reshape(len(joints), -1)]
    text = "".join(line(image_name(i), row) for i, row in enumerate(rows, start=1))
    (folder / "Training_Annotation.txt").write_bytes(text.encode("ascii"))


def write_boxes(folder: Path, boxes: np.ndarray, line: Line = tab_blank) -> None:
    """BoundingBox.txt from (N, 4) px, printed as they are."""
    rows = [[f"{value:g}" for value in row] for row in boxes]
    text = "".join(line(image_name(i), row) for i, row in enumerate(rows, start=1))
    (folder / "BoundingBox.txt").write_bytes(text.encode("ascii"))


def write_images(folder: Path, depth: np.ndarray) -> None:
    """images/ from (N, 480, 640) mm, 0 = missing."""
    (folder / "images").mkdir(parents=True)
    for i, frame in enumerate(depth, start=1):
        (folder / "images" / image_name(i)).write_bytes(png(frame.astype(np.uint16)))


def write_tree(root: Path, train: int, test: int, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A tree of small blobs before nothing.

    Returns:
        For each split: depth (N, 480, 640) mm, and joints (N, 21, 3) mm with four decimals or boxes (N, 4) as x, y,
        width, height in px.
    """
    rng = np.random.default_rng(seed)
    truth = {}
    for split, name, count in (("train", "training", train), ("test", "frame", test)):
        depth = np.zeros((count, 480, 640), np.uint16)
        for i in range(count):
            depth[i, 200:260, 300 + i : 360 + i] = rng.integers(450, 550, (60, 60))
        write_images(root / name, depth)
        joints = np.round(rng.uniform(-60, 60, (count, JOINTS, 3)) + np.array([0, 0, 500]), 4)
        boxes = np.array([[300 + i, 200, 60, 60] for i in range(count)], dtype=np.float64).reshape(-1, 4)
        if split == "train":
            write_annotation(root / name, joints)
        else:
            write_boxes(root / name, boxes)
        truth[split] = depth, joints if split == "train" else boxes
    return truth


def conformance_tree(root: Path) -> dict[str, Truth]:
    """A small tree that is in order, and what it holds, by split; NaN for the joints of test, which has boxes."""
    focal, center = (475.065948, 475.065857), (315.944855, 245.287079)  # the organisers' camera
    truth = {}
    for split, folder, count in (("train", root / "training", 3), ("test", root / "frame", 2)):
        depth, joints = plates(count, JOINTS, focal, center, (480, 640))
        write_images(folder, depth)
        if split == "train":
            write_annotation(folder, joints)
        else:
            write_boxes(folder, np.array([[270 + 3 * i, 200, 90, 90] for i in range(count)], dtype=np.float64))
        truth[split] = depth, joints if split == "train" else np.full_like(joints, np.nan)
    return truth
