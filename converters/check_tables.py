"""Checks of a store that read its tables alone: counts, keys, centres, cubes, labels, bones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, xyz_to_uvd
from handbench.converters.validate import Finding, Report, keys_of, scored_xyz
from handbench.errors import HandbenchError
from handbench.store import FrameStatus, Split, Store
from handbench.store.layout import COLUMNS

MOST_OUTSIDE_IMAGE = 0.01
"""Share of labels outside the image above which camera or axes are wrong; the test sets of NYU and ICVL have none."""
MOST_OUTSIDE_CUBE = 0.02
"""Share of labels outside the cube above which centres or cubes are wrong; the test set of NYU has 0.002 around the
mean of its joints as around the refined centres of V2V-PoseNet, that of ICVL 0."""
_BONE_CHANGE = 0.2
_SHORTEST_BONE = 10.0  # mm; the label noise of shorter ones is a large part of them
_SUBSET = ("limit", "subjects", "drop_invalid")  # options of a conversion that leave frames out
_ROWS = 1 << 14  # frames at a time, so that what is computed does not grow with their number


def damaged_tables(split: Split) -> Iterator[Finding]:
    """A finding for each table that cannot be read or has another length than the depth."""
    for name, column in COLUMNS.items():
        try:
            values = getattr(split, name)
        except HandbenchError as error:
            yield Finding("table damaged", split.name, str(error), "restore the store from a copy, or convert again")
            continue
        if values is None and column.optional:
            continue
        if len(values) != len(split):
            what = f"table {name} has {len(values):,} rows, depth has {len(split):,}"
            yield Finding("table damaged", split.name, what, "convert the raw data again")


def check_tables(store: Store, split: Split, facts: dict[str, Any], report: Report) -> None:
    """All checks of this module on one split whose tables can be read; adds to `facts` and `report`."""
    _check_counts(store, split, report)
    report.findings += [*_keys(split), *_subjects(store, split), *_status(split), *_boxes(store, split)]
    report.findings += _labels(store, split, facts)
    report.remarks += _bones(store, split)


def _check_counts(store: Store, split: Split, report: Report) -> None:
    """Compare the number of frames of each view and subject with the published ones, where the store claims them."""
    if not store.spec.splits:
        return  # a data set that nobody published
    if store.release == "synthetic":
        report.remarks.append(f"{split.name}: synthetic hands, no published number of frames to compare with")
        return
    options = store.provenance.get("options", {})
    if "limit" not in options or any(options.get(name) for name in _SUBSET):
        report.remarks.append(f"{split.name}: {len(split):,} frames; the store does not claim to be the whole split")
        return
    try:
        published = store.spec.split(split.name)
    except HandbenchError as error:
        advice = "convert again with the splits that there are"
        report.findings.append(Finding("counts", split.name, str(error), advice))
        return
    releases = {r: n for r, n in published.frames.items() if r == store.release} or dict(published.frames)
    for view in np.unique(split.view).tolist():
        rows = split.view == view
        counts = Counter(split.subject[rows].tolist())
        if any(_is_release(counts, frames, published.subjects.get(r, {})) for r, frames in releases.items()):
            continue
        known = " or ".join(_count_text(r, n, published.subjects.get(r, {})) for r, n in releases.items())
        what = f"view {view} has {_count_text('', counts.total(), counts)}; published are {known}"
        advice = "compare the raw tree with the authors' archive, or convert a subset with --limit or --subjects"
        report.findings.append(Finding("counts", split.name, what, advice))


def _is_release(counts: Counter[str], frames: int, subjects: Mapping[str, int]) -> bool:
    return counts.total() == frames and (not subjects or dict(counts) == dict(subjects))


def _count_text(release: str, frames: int, subjects: Mapping[str, int]) -> str:
    named = ", ".join(f"{name} {count:,}" for name, count in subjects.items() if name)
    label = "" if release in ("", "only") else f" (release {release})"
    return f"{frames:,} frames{label}{f' (subjects {named})' if named else ''}"


def _keys(split: Split) -> Iterator[Finding]:
    keys, first, counts = np.unique(split.frame_key, return_index=True, return_counts=True)
    if (counts > 1).any():
        repeated = tuple(keys[counts > 1][np.argsort(first[counts > 1])].tolist())
        what = f"{len(repeated):,} frame keys stand for more than one frame"
        yield Finding("keys", split.name, what, "convert again; predictions cannot be joined by such keys", repeated)
    if (split.frame_key == "").any():
        what = f"{int((split.frame_key == '').sum()):,} frames have no key"
        yield Finding("keys", split.name, what, "convert again; the table is not what a converter writes")


def _subjects(store: Store, split: Split) -> Iterator[Finding]:
    published = next((s for s in store.spec.splits if s.name == split.name), None)
    named = {name for release in published.subjects.values() for name in release} if published else set()
    if not named:
        return
    strange = ~np.isin(split.subject, [*sorted(named), ""])  # "" = not known, which a store may say
    if strange.any():
        found = ", ".join(repr(name) for name in np.unique(split.subject[strange]).tolist())
        what = f"{int(strange.sum()):,} frames of subject {found}; {store.spec.name} has {', '.join(sorted(named))}"
        yield Finding("subjects", split.name, what, "convert again from the authors' folders", keys_of(split, strange))


def _status(split: Split) -> Iterator[Finding]:
    unknown = ~np.isin(split.status, [int(status) for status in FrameStatus])
    if unknown.any():
        what = f"{int(unknown.sum()):,} frames have a status that format 1 does not know"
        yield Finding("status", split.name, what, "convert again", keys_of(split, unknown))
    labelled = np.isfinite(split.joints_xyz).all(axis=-1).any(axis=-1)
    bare = (split.status == FrameStatus.OK) & ~labelled
    if labelled.any() and bare.any():
        what = f"{int(bare.sum()):,} frames are ok and have no label, in a split that has labels"
        yield Finding("status", split.name, what, "convert again, or leave them out of training", keys_of(split, bare))


def _boxes(store: Store, split: Split) -> Iterator[Finding]:
    """Centres and cubes of the frames that are OK."""
    ok, center = split.status == FrameStatus.OK, split.center_xyz
    known = np.isfinite(center).all(axis=-1)
    ahead = known & (np.nan_to_num(center[:, 2]) > 0)
    advice = "compute the centres again, or convert with other --center, --near and --far"
    cases = [
        ("centre", "have no centre (NaN)", ok & ~known, advice),
        ("centre", "have their centre behind the camera", ok & known & ~ahead, advice),
        ("centre", "have their centre outside the image", ok & ahead & ~_inside(center, store.camera), advice),
        ("cube", "have a cube that is not positive", ok & ~(split.cube > 0).all(axis=-1), "convert again"),
    ]
    for check, what, rows, todo in cases:
        if rows.any():
            yield Finding(check, split.name, f"{int(rows.sum()):,} ok frames {what}", todo, keys_of(split, rows))


def _inside(xyz: npt.NDArray[Any], camera: Camera) -> npt.NDArray[np.bool_]:
    """(...) whether points (..., 3) mm lie before the camera and project onto a pixel; False for NaN."""
    with np.errstate(all="ignore"):  # z of 0 and NaN; the comparisons below are False for them
        u, v, z = np.moveaxis(xyz_to_uvd(xyz.astype(np.float64), camera), -1, 0)
        across, down = (u >= -0.5) & (u < camera.width - 0.5), (v >= -0.5) & (v < camera.height - 0.5)
        inside: npt.NDArray[np.bool_] = (z > 0) & across & down
    return inside


def _labels(store: Store, split: Split, facts: dict[str, Any]) -> Iterator[Finding]:
    """Whether the labels of ok frames project into the image and lie in the cube; measures into `facts`."""
    labelled, outside_image = (np.zeros(len(split), np.int64) for _ in range(2))
    excess = np.zeros((len(split), len(store.spec.joints.scored)), np.float32)
    for start in range(0, len(split), _ROWS):
        rows = slice(start, start + _ROWS)
        joints = scored_xyz(store, split, rows)
        there = np.isfinite(joints[..., 0])
        labelled[rows] = there.sum(axis=1)
        outside_image[rows] = (there & ~_inside(joints, store.camera)).sum(axis=1)
        half = np.where(split.cube[rows, None] > 0, split.cube[rows, None] / 2, np.nan)  # no cube, nothing outside it
        beyond = np.abs(joints - split.center_xyz[rows, None]) - half
        excess[rows] = np.nan_to_num(beyond.max(axis=-1), nan=0.0)
    total, outside_cube = int(labelled.sum()), (excess > 0).sum(axis=1)
    if not total:
        return
    worst = max(float(excess.max()), 0.0)
    facts |= {
        "labelled_joints": total,
        "outside_image_percent": 100 * int(outside_image.sum()) / total,
        "outside_cube_percent": 100 * int(outside_cube.sum()) / total,
        "worst_outside_cube_mm": worst,
    }
    if outside_image.sum() > MOST_OUTSIDE_IMAGE * total:
        what = f"{facts['outside_image_percent']:.1f} % of the labels project outside the image"
        yield Finding("image", split.name, what, "check camera and axes", keys_of(split, outside_image > 0))
    if outside_cube.sum() > MOST_OUTSIDE_CUBE * total:
        what = f"{facts['outside_cube_percent']:.1f} % of the labels lie outside the cube, by {worst:.1f} mm at most"
        advice = f"the centres ({split.center_method}) miss the hand or the cube is too small: use other centres"
        yield Finding("cube", split.name, what, advice, keys_of(split, outside_cube > 0))


def _bones(store: Store, split: Split) -> Iterator[str]:
    """A remark for each subject that has a bone of changing length, which a real hand has not."""
    joints = store.spec.joints
    bones = [(joint, parent) for joint, parent in enumerate(joints.parents) if parent != -1]
    for subject in np.unique(split.subject).tolist():
        rows = np.flatnonzero((split.subject == subject) & (split.status == FrameStatus.OK))
        worst, name = 0.0, ""
        changed = np.zeros(len(rows), np.bool_)
        for joint, parent in bones:
            length = np.linalg.norm(split.joints_xyz[rows, joint] - split.joints_xyz[rows, parent], axis=-1)
            if not np.isfinite(length).any() or (usual := float(np.nanmedian(length))) < _SHORTEST_BONE:
                continue
            change = np.abs(np.nan_to_num(length, nan=usual) / usual - 1)
            changed |= change > _BONE_CHANGE
            if change.max() > worst:
                worst, name = float(change.max()), f"{joints.names[joint]} to {joints.names[parent]}"
        if changed.any():
            whose = f"subject {subject}: " if subject else ""
            yield (
                f"{split.name}: {whose}{int(changed.sum()):,} of {len(rows):,} frames have a bone that is more than "
                f"{100 * _BONE_CHANGE:.0f} % off its median length; the worst, {name}, by {100 * worst:.0f} %"
            )
