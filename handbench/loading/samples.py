"""What a sample is, but for where its pixels come from: which rows, which boxes, which labels. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.preprocess import AugmentConfig, HandBox, crop_batch
from handbench.preprocess.augment import Augmented, augment, mirror_box, mirror_xyz
from handbench.store import Split, Store
from handbench.store.windows import covered_rows

Rows = npt.NDArray[np.int64]
Points = npt.NDArray[np.floating]
HANDS = {"right": 1, "left": -1}
"""What `hand` of a sample is; 0 where the data set has both or does not say."""


@dataclass(frozen=True)
class Recipe:
    """How samples are made.

    Attributes:
        size: side S of the crop, px.
        augment: ranges of the random boxes; None = the box of the store, upright.
        seed: of the augmentation, which depends on (seed, epoch, row) alone: not on workers, order or history.
    """

    size: int
    augment: AugmentConfig | None = None
    seed: int = 0


@dataclass(frozen=True)
class Labels:
    """The tables of some rows of a split.

    Attributes:
        camera: of the frames.
        hand: a value of `HANDS`, or 0.
        row: (n,) of the split.
        frame_key: (n,) names.
        joints_xyz: (n, J, 3) mm, scored joints; NaN = not labelled.
        box: upright, float64.
        origin_uv: (n, 2) where the windows begin in the frame.
    """

    camera: Camera
    hand: int
    row: Rows
    frame_key: npt.NDArray[np.str_]
    joints_xyz: npt.NDArray[np.float32]
    box: HandBox[npt.NDArray[Any]]
    origin_uv: npt.NDArray[np.int32]

    @classmethod
    def of(cls, store: Store, split: Split, rows: Rows, center_xyz: Points | None = None) -> Labels:
        """Read them; `center_xyz` (N, 3) mm takes the place of the split's centres."""
        scored = list(store.spec.joints.scored)
        hand = HANDS.get(store.spec.handedness, 0)
        origin_uv, joints_xyz = split.origin_uv[rows], split.joints_xyz[rows][:, scored]
        box = stored_box(split, rows, center_xyz)
        return cls(store.camera, hand, rows, split.frame_key[rows], joints_xyz, box, origin_uv)

    def __len__(self) -> int:
        return len(self.row)

    def with_origins(self, origin_uv: npt.NDArray[np.int32]) -> Labels:
        """The same for other windows."""
        return replace(self, origin_uv=origin_uv)


@dataclass(frozen=True)
class Batch:
    """B samples without their pixels.

    Attributes:
        crop: everything that `crop_batch` and `crop_tensor` ask for besides the depth, by the names of its arguments.
        tables: the labels that a sample has besides its depth, by name (`dataset.Sample`).
    """

    crop: dict[str, Any]
    tables: dict[str, npt.NDArray[Any]]

    def cut(
        self, windows: Sequence[npt.NDArray[Any]], dtype: type[np.floating] = np.float32, threads: int = 1
    ) -> npt.NDArray[np.floating]:
        """The crops (B, S, S) of B windows, in OpenCV."""
        out = np.empty((len(windows), self.crop["size"], self.crop["size"]), dtype)
        return crop_batch(windows, **self.crop, out=out, threads=threads)


def plan(labels: Labels, at: Rows, recipe: Recipe, epoch: int) -> Batch:
    """The boxes, the labels and the random numbers of a batch.

    Args:
        labels: of all rows.
        at: (B,) places in `labels`.
        recipe: how to make them.
        epoch: not negative; only seeds the augmentation.
    """
    rows = labels.row[at]
    box = HandBox(labels.box.center_xyz[at], labels.box.cube[at], labels.box.roll[at])
    if recipe.augment is None:
        moved = Augmented(box, np.zeros(len(at), dtype=bool), None)
    else:
        moved = augment(box, recipe.augment, recipe.size, recipe.seed, epoch, rows)
    seen = mirror_box(moved.box, moved.mirrored)
    joints_xyz = mirror_xyz(labels.joints_xyz[at], moved.mirrored)
    crop = {
        "boxes": moved.box,
        "camera": labels.camera,
        "size": recipe.size,
        "origin": labels.origin_uv[at],
        "names": [f"frame {key}" for key in labels.frame_key[at].tolist()],
        "mirrored": moved.mirrored,
        "disturbance": moved.disturbance,
    }
    tables: dict[str, npt.NDArray[Any]] = {
        "target": seen.bb_to_si_norm(seen.xyz_to_bb(joints_xyz)).astype(np.float32),
        "joints_xyz": joints_xyz.astype(np.float32),
        "center_xyz": seen.center_xyz.astype(np.float32),
        "cube": seen.cube.astype(np.float32),
        "roll": seen.roll.astype(np.float32),
        "mirrored": moved.mirrored,
        "hand": np.where(moved.mirrored, -labels.hand, labels.hand).astype(np.int8),
        "row": rows,
    }
    return Batch(crop, tables)


def croppable_rows(
    store: Store, split: Split, augment: AugmentConfig | None = None, center_xyz: Points | None = None
) -> Rows:
    """Rows whose frame is good, whose centre lies in front of the camera, and whose window holds every crop of it.

    Args:
        store: of windows or of whole frames.
        split: of the store.
        augment: ranges of the augmentation; None = the upright box alone.
        center_xyz: (N, 3) mm, camera frame, centres in place of the split's; NaN = none.
    """
    return np.flatnonzero(split.usable & covered_rows(store, split, augment, center_xyz))


def stored_box(split: Split, rows: Rows, center_xyz: Points | None = None) -> HandBox[npt.NDArray[Any]]:
    """The boxes of the store, upright, float64, a batch; `center_xyz` (N, 3) mm takes the place of its centres."""
    center_xyz = split.center_xyz if center_xyz is None else center_xyz
    return HandBox.upright(center_xyz[rows].astype(np.float64), split.cube[rows].astype(np.float64))
