"""Puts the centres of a network into a store, and says how much nearer to the hand they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.console import progress
from handbench.errors import HandbenchError
from handbench.loading import croppable_rows
from handbench.preprocess import mean_joint_xyz
from handbench.preprocess.center import box_holds_depth
from handbench.srn.localizer import Centers, Localizer
from handbench.store import FrameStatus, Split, Store
from handbench.store.blocks import depth_blocks
from handbench.store.edit import NewCenters, center_status, replace_centers, require_frames


@dataclass(frozen=True)
class Distance:
    """How far centres are from the mean of the true scored joints, mm, over the frames that have labels.

    Attributes:
        mean: over those frames.
        median: over those frames.
    """

    mean: float
    median: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} mm (median {self.median:.1f})"


@dataclass(frozen=True)
class Localized:
    """What became of the centres of one split.

    Attributes:
        split: its name.
        frames: N.
        localized: frames that got a centre; the others had none to start from, or no image.
        outside: of those, frames whose new centre does not project into the image.
        empty: of those, frames whose box about the new centre holds no depth.
        method: `center_method` now.
        old_method: `center_method` before.
        before: of the old centres; None without labels.
        after: of the new centres, on the same frames.
    """

    split: str
    frames: int
    localized: int
    outside: int
    empty: int
    method: str
    old_method: str
    before: Distance | None
    after: Distance | None

    def one_line(self) -> str:
        """For a person."""
        parts = [f"{self.localized:,} of {self.frames:,} frames, {self.method} in the place of {self.old_method}"]
        if self.before and self.after:
            parts.append(f"from the mean of the true joints {self.before} before, {self.after} now")
        parts += [f"{count:,} {what}" for count, what in ((self.outside, "outside the image"),) if count]
        parts += [f"{self.empty:,} with no depth in their box"] if self.empty else []
        return f"{self.split}: {'; '.join(parts)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def localize(
    localizer: Localizer,
    store_path: Path,
    splits: Sequence[str] = (),
    iterations: int = 1,
    batch_size: int = 64,
    workers: int = 0,
) -> list[Localized]:
    """Predict the centres of all usable frames from those of a store, and put them into it.

    Nothing is written before all are predicted. A frame without a usable centre or image has none afterwards.

    Args:
        localizer: the network.
        store_path: a store of whole frames.
        splits: their names; none = all.
        iterations: how often, each time about the centre of the time before.
        batch_size: frames at once.
        workers: processes that read and crop; 0 = this one.

    Raises:
        HandbenchError: if the store holds windows, its centres are predicted ones already, there is no such split, or
            it cannot be written.
    """
    store = Store(store_path)
    require_frames(store)
    chosen = [store[name] for name in splits or store.splits]
    for split in chosen:
        _require_other_centers(store, split)
    new, told = {}, []
    for split in chosen:
        centers = localizer.centers(store, split, croppable_rows(store, split), iterations, batch_size, workers)
        new[split.name] = _to_be_written(localizer, store, split, centers, iterations)
        told.append(_told(store, split, new[split.name]))
    replace_centers(store_path, new)
    return told


def _require_other_centers(store: Store, split: Split) -> None:
    """Refuse to start from what a network has predicted.

    Raises:
        HandbenchError: saying how to go on.
    """
    if split.center_method.startswith("predicted:"):
        raise HandbenchError(
            f"{store.path}: the centres of split {split.name} are {split.center_method} already; put others there "
            "first ('handbench centers compute'), and ask for --iterations if they are to be refined several times"
        )


def _to_be_written(localizer: Localizer, store: Store, split: Split, centers: Centers, iterations: int) -> NewCenters:
    """The centres with their status, and what is to be said of them."""
    status = center_status(split.status, centers, store.camera, _empty_boxes(store, split, centers))
    facts = {
        "center_method": localizer.center_method,
        "center_sha256": localizer.sha256,
        "center_from": split.center_method,
        "center_iterations": iterations,
    }
    return NewCenters(centers, status, facts)


def _empty_boxes(store: Store, split: Split, centers: Centers) -> npt.NDArray[np.bool_]:
    """(N,) whether the box about a centre holds no depth."""
    empty = np.zeros(len(split), np.bool_)
    with progress(f"look into the boxes of {split.name}", len(split), "frames") as advance:
        for block in depth_blocks(split):
            for row, depth in zip(block.rows, block.depth, strict=True):
                empty[row] = not box_holds_depth(depth, centers[row], split.cube[row], store.camera)
            advance(len(block.rows))
    return empty


def _told(store: Store, split: Split, new: NewCenters) -> Localized:
    there = np.isfinite(new.center_xyz).all(axis=-1)
    true_xyz = mean_joint_xyz(split.joints_xyz[:, list(store.spec.joints.scored)])
    before, after = (np.linalg.norm(xyz - true_xyz, axis=-1) for xyz in (split.center_xyz, new.center_xyz))
    compared = np.isfinite(before) & np.isfinite(after)
    return Localized(
        split=split.name,
        frames=len(split),
        localized=int(there.sum()),
        outside=int((there & (new.status == FrameStatus.OUTSIDE_IMAGE)).sum()),
        empty=int((there & (new.status == FrameStatus.BOX_EMPTY)).sum()),
        method=str(new.attributes["center_method"]),
        old_method=split.center_method,
        before=_distance(before[compared]),
        after=_distance(after[compared]),
    )


def _distance(mm: npt.NDArray[np.float64]) -> Distance | None:
    return Distance(float(mm.mean()), float(np.median(mm))) if len(mm) else None
