"""A small store for the trainer's tests: spheres at the joints of one swaying hand, 64 x 48 px."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, xyz_to_uvd
from handbench.datasets import DatasetSpec, dataset
from handbench.store import FrameStatus, StoreWriter

CAMERA = Camera(60.0, 60.0, 31.5, 23.5, 64, 48)


def write_tiny_store(
    path: Path,
    train: int = 24,
    test: int = 6,
    spec: DatasetSpec | None = None,
    seed: int = 0,
    labelled: bool = True,
    bad_rows: tuple[int, ...] = (),
    splits: Mapping[str, int] | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write a store with the splits "train" and "test" (left out where it has no frames).

    Args:
        path: of the store.
        train: frames of that split.
        test: frames of that split.
        spec: the data set; NYU by default.
        seed: of the poses.
        labelled: False = all joints are NaN.
        bad_rows: rows of every split without an image.
        splits: names and frames of other splits, in place of `train` and `test`.
        columns: "subject" or "sequence" -> a name for each frame of a split, cut to its length.
    """
    spec = spec or dataset("nyu")
    writer = StoreWriter(path, spec, CAMERA, "", {"converter": "tiny_store", "maker": "tiny_store", "seed": seed})
    rng = np.random.default_rng(seed)
    for name, frames in (splits or {"train": train, "test": test}).items():
        if frames:
            _write_split(writer, name, frames, spec, rng, labelled, bad_rows, columns or {})
    writer.finish()
    return path


def _write_split(
    writer: StoreWriter,
    name: str,
    frames: int,
    spec: DatasetSpec,
    rng: np.random.Generator,
    labelled: bool,
    bad_rows: tuple[int, ...],
    columns: Mapping[str, Sequence[str]],
) -> None:
    shape = np.random.default_rng(1).uniform(-70, 70, (len(spec.joints), 3))  # one hand for all stores
    sway = rng.uniform(-25, 25, (frames, 1, 3)) * np.linspace(-1, 1, len(spec.joints))[:, None]
    center = rng.uniform((-40, -30, 580), (40, 30, 640), (frames, 3))
    joints = center[:, None] + shape + sway
    status = np.zeros(frames, np.uint8)
    depth = np.stack([_draw(pose) for pose in joints])
    for row in bad_rows:
        status[row], depth[row], center[row] = FrameStatus.IMAGE_MISSING, 0, np.nan
    writer.create_split(name, frames, (CAMERA.height, CAMERA.width))
    writer.write_depth(name, depth)
    text = [""] * frames
    writer.write_columns(
        name,
        {
            "frame_key": np.array([f"{name}/1/{row + 1:07d}" for row in range(frames)]),
            "subject": np.array(columns.get("subject", text)[:frames]),
            "sequence": np.array(columns.get("sequence", text)[:frames]),
            "view": np.ones(frames, np.uint8),
            "joints_xyz": joints if labelled else np.full_like(joints, np.nan),
            "center_xyz": center,
            "cube": np.full((frames, 3), 250.0),
            "status": status,
        },
        {"center_xyz": {"center_method": "gt-mean"}},
    )


def _draw(joints_xyz: npt.NDArray[np.float64], radius: float = 18.0) -> npt.NDArray[np.uint16]:
    """(H, W) mm: the nearest front of spheres of that radius, 0 elsewhere."""
    u, v, d = xyz_to_uvd(joints_xyz, CAMERA).T
    columns, rows = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    across = np.hypot(columns[..., None] - u, rows[..., None] - v) * d / CAMERA.fx
    front = np.where(across < radius, d - np.sqrt(np.clip(radius**2 - across**2, 0, None)), np.inf).min(axis=-1)
    return np.where(np.isfinite(front), front, 0).round().astype(np.uint16)
