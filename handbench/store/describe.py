"""What a store holds, as plain data and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from handbench.store.layout import FORMAT, FrameStatus
from handbench.store.reader import Split, Store


def describe(store: Store) -> dict[str, Any]:
    """Everything that a person, or a script, asks of a store first.

    Reads the tables but no depth.

    Returns:
        Plain data: format, data set, release, camera (px), provenance, and for each split its frames, image size,
        status counts, subjects, centre method, cube sides (mm), labelled scored joints and bytes on disk.
    """
    return {
        "path": str(store.path),
        "format": FORMAT,
        "handbench_version": store.version,
        "dataset": store.spec.name,
        "title": store.spec.title,
        "release": store.release,
        "handedness": store.spec.handedness,
        "camera": asdict(store.camera),
        "windows": asdict(store.windows) if store.windows else None,
        "splits": {name: _describe_split(store, store[name]) for name in store.splits},
        "provenance": dict(store.provenance),
    }


def _describe_split(store: Store, split: Split) -> dict[str, Any]:
    subjects, frames = np.unique(split.subject, return_counts=True)
    scored = split.joints_xyz[:, list(store.spec.joints.scored)]
    counts = np.bincount(split.status, minlength=len(FrameStatus))
    files = [path for path in (store.path / split.name).rglob("*") if path.is_file()]
    return {
        "frames": len(split),
        "image": {"width": split.image[1], "height": split.image[0]},
        "status": {status.title: int(counts[status]) for status in FrameStatus if counts[status]},
        "subjects": dict(zip(subjects.tolist(), frames.tolist(), strict=True)),
        "views": np.unique(split.view).tolist(),
        "center_method": split.center_method,
        "cube_mm": np.unique(split.cube[:, 0]).tolist(),
        "joints": split.joints_xyz.shape[1],
        "scored_joints": scored.shape[1],
        "labelled_scored_joints": int(np.isfinite(scored).all(axis=-1).sum()),
        "first_frame": str(split.frame_key[0]),
        "last_frame": str(split.frame_key[-1]),
        "bytes": sum(path.stat().st_size for path in files),
        "files": len(files),
    }


def text(facts: dict[str, Any]) -> Iterator[str]:
    """The facts of `describe` in lines for a person."""
    camera, provenance = facts["camera"], facts["provenance"]
    release = f", release {facts['release']}" if facts["release"] else ""
    yield f"{facts['path']}: {facts['title']}{release}; store format {facts['format']}"
    if provenance.get("synthetic"):
        yield "synthetic hands, not data of a camera"
    yield (
        f"camera   fx {camera['fx']:g}, fy {camera['fy']:g}, cx {camera['cx']:g}, cy {camera['cy']:g} px; "
        f"{camera['width']} x {camera['height']} px; {facts['handedness']} hands"
    )
    if facts["windows"]:
        ranges = (f"{name} {low:g} to {high:g}" for name, (low, high) in facts["windows"]["margin"].items())
        yield f"windows  {facts['windows']['side']} px square, for {', '.join(ranges)}"
        for name, count in facts["windows"]["beyond"].items():
            yield from [f"         {count:,} frames of {name} reach beyond theirs"] if count else []
    for name, split in facts["splits"].items():
        yield ""
        yield f"{name}: {split['frames']:,} frames, {split['first_frame']} to {split['last_frame']}"
        yield f"  status    {_counts(split['status'])}"
        yield f"  subjects  {_counts(split['subjects'])}"
        yield f"  centre    {split['center_method']}"
        yield f"  cube      {', '.join(f'{side:g}' for side in split['cube_mm'])} mm"
        labelled, all_joints = split["labelled_scored_joints"], split["frames"] * split["scored_joints"]
        yield f"  joints    {split['joints']}, {split['scored_joints']} scored; {labelled:,} of {all_joints:,} labelled"
        yield f"  on disk   {split['bytes'] / 1e6:,.1f} MB in {split['files']:,} files"
    yield ""
    options = ", ".join(f"{key} {value}" for key, value in provenance.get("options", {}).items() if value)
    yield f"made by handbench {facts['handbench_version']}, converter {provenance['converter']} ({options})"
    for raw, print_ in provenance.get("raw", {}).items():
        if not isinstance(print_, Mapping) or "sha256" not in print_:
            continue  # of synthetic frames, which come from no file
        yield f"  from {raw}: {print_['bytes']:,} bytes, sha256 {print_['sha256'][:16]}…"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name or 'unknown'} {count:,}" for name, count in counts.items())
