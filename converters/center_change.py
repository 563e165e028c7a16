"""Puts centres into a store, with the status that goes with them, and says what that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.converters.center_files import Points
from handbench.preprocess.center import in_image, mean_joint_xyz
from handbench.store import FrameStatus, Split, Store
from handbench.store.edit import NewCenters, center_status, replace_centers

_FOR_WANT = (FrameStatus.OUTSIDE_IMAGE, FrameStatus.BOX_EMPTY)  # of a good centre


@dataclass(frozen=True)
class Change:
    """What became of the centres of one split. Distances in mm; NaN where there is nothing to compare.

    Attributes:
        store: where it lies.
        split: its name.
        frames: N.
        method: `center_method` now.
        old_method: `center_method` before; "interrupted" if another change of it was.
        read_as: which reading of a file fitted; "" if the centres were computed.
        invalid: frames without a centre.
        unusable: frames whose centre does not project into the image, besides the invalid.
        moved: (median, 95th percentile) of the distance from the old centres.
        from_truth: median distance from the mean of the true scored joints.
        outside: share of labelled frames in which that is more than half the cube.
        mended: frames that were of no use for want of a centre, and now have one.
        empty: frames whose box about the new centre holds no depth.
    """

    store: str
    split: str
    frames: int
    method: str
    old_method: str
    read_as: str
    invalid: int
    unusable: int
    moved: tuple[float, float]
    from_truth: float
    outside: float
    mended: int
    empty: int

    def one_line(self) -> str:
        """For a person."""
        method, _, sha256 = self.method.partition(":")
        parts = [
            f"{self.frames:,} frames, centre {method}{f':{sha256[:8]}…' if sha256 else ''}"
            f"{f' read as {self.read_as}' if self.read_as else ''} in the place of {self.old_method.partition(':')[0]}"
        ]
        if np.isfinite(self.moved[0]):
            parts.append(f"moved {self.moved[0]:.1f} mm (95 %: {self.moved[1]:.1f})")
        if np.isfinite(self.from_truth):
            parts.append(
                f"{self.from_truth:.1f} mm from the mean of the true joints, "
                f"{self.outside:.2%} further than half the cube"
            )
        parts.append(f"{self.invalid:,} invalid")
        if self.unusable:
            parts.append(f"{self.unusable:,} outside the image")
        if self.empty:
            parts.append(f"{self.empty:,} with no depth in their box")
        if self.mended:
            parts.append(f"{self.mended:,} frames usable again")
        return f"{self.store} {self.split}: {'; '.join(parts)}"


def put_centers(
    store: Store,
    new: dict[str, Points],
    attributes: dict[str, Any],
    empty: dict[str, npt.NDArray[np.bool_]],
    read_as: str = "",
) -> list[Change]:
    """Write the centres of some splits, all or none, and say what that changes.

    Args:
        store: opened with `recentering`.
        new: for each split (N, 3) mm, camera frame, NaN = none.
        attributes: of `center_xyz`.
        empty: for each split (N,) where the box about the centre holds no depth.
        read_as: which reading of a file it was; "" for computed centres.

    Raises:
        HandbenchError: if the store cannot be written (`replace_centers`).
    """
    made, changes = {}, []
    for name, xyz in new.items():
        split = store[name]
        status = center_status(split.status, xyz, store.camera, empty[name])
        made[name] = NewCenters(xyz, status, attributes)
        changes.append(_change(store, split, made[name], read_as))
    replace_centers(store.path, made)
    return changes


def _change(store: Store, split: Split, new: NewCenters, read_as: str) -> Change:
    interrupted = split.name in store.interrupted  # then nobody knows whose centres those are
    old = np.full_like(split.center_xyz, np.nan) if interrupted else split.center_xyz
    moved = np.linalg.norm(new.center_xyz - old, axis=1)
    from_truth = np.linalg.norm(new.center_xyz - true_means(store, split), axis=1)
    compared = np.isfinite(from_truth)
    invalid = ~np.isfinite(new.center_xyz).all(axis=1)
    outside = from_truth[compared] > split.cube[compared, 0] / 2
    return Change(
        store=str(store.path),
        split=split.name,
        frames=len(split),
        method=str(new.attributes["center_method"]),
        old_method="interrupted" if interrupted else split.center_method,
        read_as=read_as,
        invalid=int(invalid.sum()),
        unusable=int((~in_image(new.center_xyz, store.camera) & ~invalid).sum()),
        moved=(_percentile(moved, 50), _percentile(moved, 95)),
        from_truth=_percentile(from_truth, 50),
        outside=float(outside.mean()) if compared.any() else float("nan"),
        mended=int((np.isin(split.status, _FOR_WANT) & (new.status == FrameStatus.OK)).sum()),
        empty=int((new.status == FrameStatus.BOX_EMPTY).sum()),
    )


def _percentile(distance: Points, percent: float) -> float:
    """Of the finite ones; NaN if there are none."""
    finite = distance[np.isfinite(distance)]
    return float(np.percentile(finite, percent)) if len(finite) else float("nan")


def true_means(store: Store, split: Split) -> Points:
    """(N, 3) mm: mean of the true scored joints; NaN where none is labelled."""
    return mean_joint_xyz(split.joints_xyz[:, list(store.spec.joints.scored)])
