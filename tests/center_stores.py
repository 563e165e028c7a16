"""Stores and centre files for the tests of hand centres."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from handbench.camera import Camera
from handbench.datasets import DatasetSpec, dataset
from handbench.store import FrameStatus, StoreWriter
from handbench.store.writer import SHARD_FRAMES, write_depth

NYU = dataset("nyu")
MSRA = dataset("msra")


def walk(frames: int, seed: int = 0) -> np.ndarray:
    """(N, 3) mm: a hand that wanders before the camera, up to some 100 mm from the optical axis."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 3, (frames, 3))
    path = np.empty((frames, 3))
    at = np.zeros(3)
    for i, step in enumerate(steps):
        at = 0.99 * at + step
        path[i] = at
    return path * [2, 2, 1] + [60, 45, 700]


def write_store(
    path: Path,
    mean: np.ndarray,
    spec: DatasetSpec = NYU,
    labelled: bool = True,
    depth: np.ndarray | None = None,
    camera: Camera | None = None,
    release: str = "",
    walls: bool = False,
    **columns: np.ndarray,
) -> Path:
    """A store of one split whose true joints have that mean; by default without images, or each before a wall."""
    frames, joints = len(mean), len(spec.joints)
    camera = camera or spec.camera
    shape = np.random.default_rng(9).uniform(-50, 50, (joints, 3))
    shape -= shape[list(spec.joints.scored)].mean(axis=0)
    split = spec.splits[-1].name
    writer = StoreWriter(path, spec, camera, release, {"converter": spec.name, "options": {}, "raw": {}})
    writer.create_split(split, frames, (camera.height, camera.width))
    if depth is not None:
        writer.write_depth(split, depth)
    for start in range(0, frames if walls else 0, SHARD_FRAMES):
        some = mean[start : start + SHARD_FRAMES, 2]
        write_depth(path, split, start, (np.full((camera.height, camera.width), z, np.uint16) for z in some))
    text = np.array([""] * frames)
    table = {
        "frame_key": np.array([f"{split}/1/{row + 1:07d}" for row in range(frames)]),
        "subject": text,
        "sequence": text,
        "view": np.ones(frames, np.uint8),
        "joints_xyz": mean[:, None] + shape if labelled else np.full((frames, joints, 3), np.nan),
        "center_xyz": np.full((frames, 3), np.nan),
        "cube": np.full((frames, 3), 250.0),
        "status": np.full(frames, FrameStatus.OUTSIDE_IMAGE, np.uint8),
    }
    old = {"center_method": "com", "near_mm": 300.0, "far_mm": 1200.0}
    writer.write_columns(split, {**table, **columns}, {"center_xyz": old})
    writer.finish()
    return path


def write_centers(path: Path, values: np.ndarray) -> Path:
    np.savetxt(path, values, fmt="%.6f")
    return path


def discs(path: np.ndarray, camera: Camera, radius: float = 40.0) -> np.ndarray:
    """(N, H, W) mm: a disc at each point, before a wall at 1,000 mm."""
    v, u = np.indices((camera.height, camera.width))
    depth = np.full((len(path), camera.height, camera.width), 1000, np.uint16)
    for i, (x, y, z) in enumerate(path):
        depth[i][np.hypot((u - camera.cx) * z / camera.fx - x, (v - camera.cy) * z / camera.fy - y) < radius] = z
    return depth
