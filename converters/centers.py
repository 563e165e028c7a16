"""Hand centres of a store: imports the files in circulation, or computes them from depth or labels.

The work is done first and then written at once (`handbench.store.edit`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.console import progress
from handbench.converters.center_change import Change, put_centers, true_means
from handbench.converters.center_files import (
    SPACES,
    Points,
    Reading,
    Reference,
    all_readings,
    check_reading,
    find_shift,
    follows,
    read_center_file,
)
from handbench.converters.shard import thresholds_of
from handbench.errors import HandbenchError
from handbench.preprocess.center import bbox_xyz, box_holds_depth, com_iterated_xyz, com_xyz
from handbench.store import Split, Store
from handbench.store.blocks import BLOCK_FRAMES, map_blocks, read_block
from handbench.store.edit import predicted_method, require_frames

METHODS = ("com", "com-iterated", "bbox", "gt-mean")
_SEEN_FRAMES = 2048  # what is read of a split without labels; block by block, to see the hand move
_HINTS = 4  # meanings of a number of lines that a message names

Rows = npt.NDArray[np.intp]
Finder = Callable[[int, npt.NDArray[Any]], Points]
"""From a row and its depth (H, W) mm to its centre (3,) mm."""


@dataclass(frozen=True)
class ComputeConfig:
    """How centres are computed.

    Attributes:
        method: "com", centre of mass of the depth between `near` and `far`; "com-iterated", the same in a cube that
            follows it from the nearest surface; "bbox", that of the depth inside the frame's bounding box alone; or
            "gt-mean", mean of the true scored joints.
        splits: which splits; empty for all.
        near: smallest depth of a hand, mm; None for the data set's.
        far: largest depth of a hand, mm; None for the data set's.

    Raises:
        HandbenchError: if the method does not exist, or takes no thresholds.
    """

    method: str
    splits: tuple[str, ...] = ()
    near: float | None = None
    far: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise HandbenchError(f"unknown centre method {self.method!r}; there are {', '.join(METHODS)}")
        if self.method == "gt-mean" and (self.near is not None or self.far is not None):
            raise HandbenchError("--near and --far are thresholds of depth; --method gt-mean reads none")


def import_centers(
    path: Path, files: Sequence[Path], split: str | None = None, space: str = "auto", model: str | None = None
) -> Change:
    """Put the centres of text files into a store.

    Args:
        path: of the store.
        files: one for all frames of the split; or several that together are: subject after subject, or the training
            and test file of a fold of MSRA. Each has a line for each frame, in the order of the store.
        split: which split; None for the one that has as many frames.
        space: one of `SPACES`: what the numbers may be. What they are, and which way the axes point, is told by what
            fits the labels or, in a split without labels, the depth.
        model: name of the network that predicted them; None = nobody says, `center_method` then has the checksum.

    Returns:
        What became of the centres.

    Raises:
        HandbenchError: if a file cannot be read, has the wrong number of lines, fits no reading or more than one, or
            is shifted against the store; or the store cannot be opened or written. The store is then as it was.
    """
    if space not in SPACES:
        raise HandbenchError(f"unknown space {space!r}; there are {', '.join(SPACES)}")
    store = Store(path, recentering=True)
    require_frames(store)
    texts = [read_center_file(file) for file in files]
    lengths = [len(values) for values, _ in texts]
    name = ", ".join(file.name for file in files)
    frames = store[split or _split_of(store, sum(lengths), name)]
    if sum(lengths) != len(frames):
        raise _wrong_count(store, frames.name, sum(lengths), name)
    reference = _reference(store, frames)
    values = np.concatenate([values for values, _ in texts])
    orders = [all_readings(values[order], store.camera, space) for order in _line_orders(frames, lengths)]
    readings = min(orders, key=lambda reads: min(map(reference.median, reads)))
    best = min(readings, key=reference.median)
    _check_place(best.center_xyz, reference, frames, name)
    check_reading(best, readings, reference, name)
    data = b"".join(data for _, data in texts)
    attributes = _import_attributes(files, data, best.reading, model)
    empty = {frames.name: _empty_boxes(store, frames, best.center_xyz)}
    return put_centers(store, {frames.name: best.center_xyz}, attributes, empty, best.reading.name)[0]


def compute_centers(path: Path, config: ComputeConfig) -> list[Change]:
    """Compute the centres of a store from its own depth or labels.

    Args:
        path: of the store.
        config: how, and of which splits.

    Returns:
        What became of the centres of each split.

    Raises:
        HandbenchError: if a split does not exist or has no labels for "gt-mean" or no boxes for "bbox"; a frame is
            damaged; or the store cannot be opened or written. The store is then as it was.
    """
    store = Store(path, recentering=True)
    require_frames(store)
    thresholds = thresholds_of(store.spec, config.near, config.far)
    splits = [store[name] for name in dict.fromkeys(config.splits or store.splits)]
    attributes: dict[str, Any] = {"center_method": config.method}
    if config.method == "gt-mean":
        new = {split.name: true_means(store, split) for split in splits}
        empty = {split.name: _empty_boxes(store, split, new[split.name]) for split in splits}
    else:
        attributes |= {"near_mm": thresholds[0], "far_mm": thresholds[1]}
        finders = {split.name: _center_finder(store, split, config.method, thresholds) for split in splits}
        empty = {split.name: np.zeros(len(split), np.bool_) for split in splits}
        with progress(f"centres ({config.method})", sum(map(len, splits)), "frames") as advance:
            new = {
                split.name: _from_depth(split, _looking(store, split, finders[split.name], empty[split.name]), advance)
                for split in splits
            }
    for name, xyz in new.items():
        if not np.isfinite(xyz).any():
            what = "label" if config.method == "gt-mean" else "depth from {:g} to {:g} mm".format(*thresholds)
            raise HandbenchError(f"{path}: no frame of split {name} has a {what}, so there is no centre to compute")
    return put_centers(store, new, attributes, empty)


def _center_finder(store: Store, split: Split, method: str, thresholds: tuple[float, float]) -> Finder:
    """What finds the centre of a row (3,) mm in its depth (H, W).

    Raises:
        HandbenchError: if it needs boxes and the split has none.
    """
    if method == "com":
        return lambda _, depth: com_xyz(depth, store.camera, *thresholds)
    cube, bbox = split.cube, split.bbox  # read here, once, and not in every thread
    if method == "com-iterated":
        return lambda row, depth: com_iterated_xyz(depth, store.camera, *thresholds, cube[row])
    if bbox is None:
        boxed = ", ".join(name for name in store.splits if store[name].bbox is not None)
        hint = f"name those that have with --split: {boxed}" if boxed else "no split has; use com-iterated"
        raise HandbenchError(f"{store.path}: split {split.name} has no bounding boxes; {hint}")
    return lambda row, depth: bbox_xyz(depth, store.camera, *thresholds, cube[row], bbox[row])


def _looking(store: Store, split: Split, center_of: Finder, empty: npt.NDArray[np.bool_]) -> Finder:
    """The same finder; writes into `empty` (N,) whether the box about what it found holds no depth."""
    cube = split.cube

    def look(row: int, depth: npt.NDArray[Any]) -> Points:
        center = center_of(row, depth)
        empty[row] = not box_holds_depth(depth, center, cube[row], store.camera)
        return center

    return look


def _empty_boxes(store: Store, split: Split, center_xyz: Points) -> npt.NDArray[np.bool_]:
    """(N,) whether the box about a centre that did not come from the depth holds none: a crop of it would be black."""
    empty = np.zeros(len(split), np.bool_)
    with progress(f"look into the boxes of {split.name}", len(split), "frames") as advance:
        _from_depth(split, _looking(store, split, lambda row, _: center_xyz[row], empty), advance)
    return empty


def _from_depth(split: Split, center_of: Finder, advance: Callable[[int], None], every: int = 1) -> Points:
    """(N, 3) mm, camera frame: centres of the frames of every so many blocks, read in threads; NaN for the others."""
    centers = np.full((len(split), 3), np.nan)

    def work(rows: range) -> int:
        if rows.start // BLOCK_FRAMES % every:
            return 0
        block = read_block(split, rows)
        if block.damaged:
            split.depth(next(iter(block.damaged)))  # raises, naming the frame
        for row, depth in zip(rows, block.depth, strict=True):
            centers[row] = center_of(row, depth)
        return len(rows)

    for count in map_blocks(work, len(split)):
        advance(count)
    return centers


def _reference(store: Store, split: Split) -> Reference:
    """Where the hands of a split are: the labels say it, else the depth of some runs of frames.

    Raises:
        HandbenchError: if neither does.
    """
    plausible = float(np.median(split.cube[:, 0])) / 4  # half of half a cube
    means = true_means(store, split)
    if np.isfinite(means).any():
        return Reference(means, "the mean of the true joints", plausible)
    every, range_mm = -(-len(split) // _SEEN_FRAMES), store.spec.depth_range_mm
    with progress("look at the depth", -(-len(split) // every), "frames") as advance:
        method = "com-iterated" if split.bbox is None else "bbox"
        seen = _from_depth(split, _center_finder(store, split, method, range_mm), advance, every)
    if not np.isfinite(seen).any():
        raise HandbenchError(f"{store.path}: split {split.name} has neither labels nor depth to check centres against")
    return Reference(seen, "the hand in the depth", plausible)


def _check_place(center_xyz: Points, reference: Reference, split: Split, name: str) -> None:
    """Refuse centres of other frames.

    Raises:
        HandbenchError: saying by how many lines the file is shifted, and from where.
    """
    shift = find_shift(center_xyz, reference.xyz)
    if shift is not None:
        place = f"around frame {split.frame_key[shift.row]}" if shift.row else "from the first frame on"
        way = "later" if shift.offset > 0 else "earlier"
        raise HandbenchError(
            f"{name} is shifted against the store: {place} the centre of each frame stands {abs(shift.offset):,} "
            f"line{'s' * (abs(shift.offset) > 1)} {way} than it should; it is of another release or list of frames"
        )
    if not follows(center_xyz, reference.xyz):
        raise HandbenchError(
            f"{name} is of other frames: its centres do not move as the hands of split {split.name} do; "
            "it is of another subject, release or list of frames"
        )


def _line_orders(split: Split, lengths: Sequence[int]) -> list[Rows]:
    """For each row the line of the files one after the other; every way in which these files may cover the split.

    Two files may be those of a fold: all subjects but one, and that one.
    """
    orders = [np.arange(len(split))]
    if len(lengths) == 2:
        for subject in dict.fromkeys(split.subject.tolist()):
            own = split.subject == subject
            for last in (own, ~own):
                if np.count_nonzero(~last) == lengths[0]:
                    orders.append(np.argsort(np.concatenate((np.flatnonzero(~last), np.flatnonzero(last)))))
    return orders


def _split_of(store: Store, lines: int, name: str) -> str:
    """The only split with so many frames.

    Raises:
        HandbenchError: if there is none, or more than one.
    """
    fitting = [split for split in store.splits if len(store[split]) == lines]
    if len(fitting) == 1:
        return fitting[0]
    if len(store.splits) == 1:
        raise _wrong_count(store, store.splits[0], lines, name)
    if fitting:
        raise HandbenchError(f"{name} has {lines:,} lines, as many as {' and '.join(fitting)}; say which with --split")
    counts = ", ".join(f"{len(store[split]):,} of {split}" for split in store.splits)
    raise HandbenchError(f"{name} has {lines:,} lines{_meaning(store, lines)}; {store.path} has {counts}")


def _wrong_count(store: Store, split: str, lines: int, name: str) -> HandbenchError:
    release = f" (release {store.release})" if store.release else ""
    return HandbenchError(
        f"{name} has {lines:,} lines{_meaning(store, lines)}; "
        f"split {split} of {store.path} has {len(store[split]):,} frames{release}, and each needs a line"
    )


def _meaning(store: Store, lines: int) -> str:
    """What has so many frames, as a part of a sentence; "" if nothing known has."""
    meanings = []
    for split in store.spec.splits:
        for release, frames in split.frames.items():
            whose = f" of {split.name}" + (f", release {release}" if len(split.frames) > 1 else "")
            if frames == lines:
                meanings.append(f"all{whose}")
            for subject, count in split.subjects.get(release, {}).items():
                if lines == count != frames:
                    meanings.append(f"subject {subject}{whose}")
                elif lines == frames - count and len(split.subjects[release]) > 2:
                    meanings.append(f"all subjects but {subject}{whose}")
    more = f" or {len(meanings) - _HINTS} more" if len(meanings) > _HINTS else ""
    return f" ({' or '.join(meanings[:_HINTS])}{more})" if meanings else ""


def _import_attributes(files: Sequence[Path], data: bytes, reading: Reading, model: str | None) -> dict[str, Any]:
    """What the store says of imported centres; the checksum is that of the files one after the other."""
    checksum = hashlib.sha256(data).hexdigest()
    by_model = {} if model is None else {"center_method": predicted_method(model), "center_sha256": checksum}
    return {
        "center_method": f"refined:{checksum}",
        **by_model,
        "center_file": ", ".join(file.name for file in files),
        "center_space": reading.space,
        "center_axes": reading.axes,
    }
