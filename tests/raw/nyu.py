"""A raw NYU tree after the authors' own description, independent of handbench.converters.nyu."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import scipy.io

from tests.raw.plate import Truth, plates

FX, FY, CX, CY = 588.036865, 587.075073, 320, 240  # authors' convert_depth_to_uvd.m
BACKGROUND = 2001


def png(pixels: np.ndarray) -> bytes:
    """An 8-bit RGB or 16-bit gray PNG with stored (uncompressed) data: the same bytes on every machine."""
    height, width = pixels.shape[:2]
    gray16 = pixels.dtype == np.uint16
    header = struct.pack(">IIBBBBB", width, height, 16 if gray16 else 8, 0 if gray16 else 2, 0, 0, 0)
    rows = pixels.astype(">u2" if gray16 else np.uint8).reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data, 0)), (b"IEND", b""))
    body = b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def packed(depth: np.ndarray) -> np.ndarray:
    """Depth in mm to RGB: red 0, green the high byte, blue the low byte."""
    rgb = np.zeros((*depth.shape, 3), np.uint8)
    rgb[..., 1], rgb[..., 2] = depth // 256, depth % 256
    return rgb


def joint_names() -> list[str]:
    """The authors' 36 names."""
    parts = [f"{finger}_KNU{k}_{end}" for finger in ("F1", "F2", "F3", "F4", "TH") for k in (3, 2, 1) for end in "AB"]
    return parts + [f"PALM_{i}" for i in range(1, 7)]


def write_labels(folder: Path, xyz_y_up: np.ndarray) -> None:
    """joint_data.mat from (3, N, 36, 3) mm with y up."""
    x, y, z = np.moveaxis(xyz_y_up, -1, 0)
    uvd = np.stack((CX + FX * x / z, CY - FY * y / z, z), axis=-1)
    names = np.array([joint_names()], dtype=object)
    scipy.io.savemat(folder / "joint_data.mat", {"joint_names": names, "joint_uvd": uvd, "joint_xyz": xyz_y_up})


def write_other_images(folder: Path, count: int) -> None:
    """The images of views 2 and 3 and all synthdepth, small numbers in a corner."""
    for kind, views, background in (("depth", (2, 3), BACKGROUND), ("synthdepth", (1, 2, 3), 0)):
        for view in views:
            for number in range(1, count + 1):
                depth = np.full((480, 640), background, np.uint16)
                depth[: 10 * view, :number] = 600 + 10 * view + number
                (folder / f"{kind}_{view}_{number:07d}.png").write_bytes(png(packed(depth)))


def write_tree(root: Path, frames: dict[str, int], seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A tree of small blobs before the background.

    Returns:
        For each split: depth (N, 480, 640) mm with 0 = missing, joints (N, 36, 3) mm with y DOWN.
    """
    rng = np.random.default_rng(seed)
    truth = {}
    for split, count in frames.items():
        folder = root / split
        folder.mkdir(parents=True)
        xyz = np.concatenate((rng.uniform(-60, 60, (3, count, 36, 2)), rng.uniform(700, 800, (3, count, 36, 1))), -1)
        write_labels(folder, xyz)
        depth = np.full((count, 480, 640), BACKGROUND, np.uint16)
        for i in range(count):
            depth[i, 200:280, 300 + i : 380 + i] = rng.integers(690, 810, (80, 80))
            (folder / f"depth_1_{i + 1:07d}.png").write_bytes(png(packed(depth[i])))
        truth[split] = np.where(depth == BACKGROUND, 0, depth), xyz[0] * [1, -1, 1]
    return truth


def conformance_tree(root: Path) -> dict[str, Truth]:
    """A small tree that is in order, and what it holds, by split."""
    truth = {}
    for split, count in (("train", 3), ("test", 4)):
        truth[split] = depth, joints = plates(count, 36, (FX, FY), (CX, CY), (480, 640))
        (root / split).mkdir(parents=True)
        write_labels(root / split, np.stack([joints * [1, -1, 1]] * 3))
        for number, frame in enumerate(depth, start=1):
            pixels = packed(np.where(frame == 0, BACKGROUND, frame).astype(np.uint16))
            (root / split / f"depth_1_{number:07d}.png").write_bytes(png(pixels))
    return truth
