"""The panels of a sheet: what is seen of a frame, with joints in px of what is seen. No drawing here."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import uvd_to_xyz, xyz_to_uvd
from handbench.camera_check import spread
from handbench.errors import HandbenchError
from handbench.preprocess import AugmentConfig, HandBox, crop_batch
from handbench.preprocess.augment import Augmented, augment, mirror_box, mirror_xyz
from handbench.store import FrameStatus, Split, Store

Floats = npt.NDArray[np.float64]
_CORNERS = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype=np.float64)
_MARGIN_MM = 60.0  # of depth around the box that whole frames show in shades
_SAMPLE = 4096


@dataclass(frozen=True)
class Panel:
    """One picture of a sheet.

    Attributes:
        frame: its key.
        image: (h, w) depth in mm, or a normalised crop; NaN = missing or background.
        limits: what is black and what is the lightest gray.
        joints_uv: (J, 2) px of the image; NaN = no label.
        pred_uv: (J, 2), or None.
        box_uv: (4, 2) corners of the box in the plane of its centre, or None.
        caption: lines above it.
        problem: why there is nothing to see, "" = there is.
    """

    frame: str
    image: Floats
    limits: tuple[float, float]
    joints_uv: Floats
    pred_uv: Floats | None
    box_uv: Floats | None
    caption: str
    problem: str = ""


@dataclass(frozen=True)
class View:
    """How frames are shown.

    Attributes:
        crop: the crop of the box in place of the frame.
        augment: so many augmented crops beside the crop of each frame, those of the first epochs; implies `crop`.
        config: ranges of the augmentation.
        size: side of crops, px.
        seed: of the augmentation.
    """

    crop: bool = False
    augment: int = 0
    config: AugmentConfig = field(default_factory=AugmentConfig)
    size: int = 128
    seed: int = 0


class Panels:
    """Makes the panels of a store's frames.

    Args:
        store: of whole frames or windows.
        split: of the store.
        view: how to show them.
        pred_uvd: (N, J, 3) predictions of the scored joints, or None.
        error_mm: (N,) error of each frame for the captions, NaN = none; or None.
    """

    def __init__(
        self, store: Store, split: Split, view: View, pred_uvd: Floats | None = None, error_mm: Floats | None = None
    ) -> None:
        self._store, self._split, self._view = store, split, view
        self._pred_xyz = None if pred_uvd is None else uvd_to_xyz(pred_uvd, store.camera)
        self._error_mm = error_mm
        self._scored = list(store.spec.joints.scored)

    def of(self, row: int) -> Iterator[Panel]:
        """The panels of a frame: one, or with augmentations 1 + N."""
        if not (self._view.crop or self._view.augment):
            yield self._frame(row)
            return
        yield self._crop(row, self._as_it_is(row), self._caption(row))
        for epoch in range(1, self._view.augment + 1):  # as training counts them
            yield self._augmented(row, epoch)

    def joints_xyz(self, row: int) -> Floats:
        """(J, 3) mm, scored joints; NaN = no label."""
        return self._split.joints_xyz[row, self._scored].astype(np.float64).reshape(-1, 3)

    def pred_xyz(self, row: int) -> Floats | None:
        """(J, 3) mm, or None."""
        return None if self._pred_xyz is None else self._pred_xyz[row]

    def _frame(self, row: int) -> Panel:
        depth = self._split.depth(row).astype(np.float64)
        camera, box = self._store.camera, self._box(row)
        pred = self.pred_xyz(row)
        corners = None
        if _is_before_camera(box):
            plane = box.center_xyz + _CORNERS[None] * box.cube[:, None] / 2
            corners = xyz_to_uvd(plane[0], camera)[:, :2]
        return Panel(
            frame=str(self._split.frame_key[row]),
            image=np.where(depth > 0, depth, np.nan),
            limits=_shades(depth, box),
            joints_uv=_uv(self.joints_xyz(row), camera),
            pred_uv=None if pred is None else _uv(pred, camera),
            box_uv=corners,
            caption=self._caption(row),
            problem="" if depth.any() else "no depth",
        )

    def _box(self, row: int) -> HandBox[npt.NDArray[Any]]:
        """A batch of one."""
        center, cube = (
            column[row : row + 1].astype(np.float64) for column in (self._split.center_xyz, self._split.cube)
        )
        return HandBox.upright(center, cube)

    def _as_it_is(self, row: int) -> Augmented:
        return Augmented(self._box(row), np.zeros(1, dtype=bool), None)

    def _augmented(self, row: int, epoch: int) -> Panel:
        view = self._view
        box = self._box(row)
        moved = augment(box, view.config, view.size, view.seed, epoch, np.array([row]))
        scale = float(moved.box.cube[0, 0] / box.cube[0, 0])
        turn = math.degrees(float(moved.box.roll[0]))
        mirrored = "\nmirrored" if moved.mirrored[0] else ""
        return self._crop(row, moved, f"{turn:+.0f}°, x {scale:.2f}{mirrored}")

    def _crop(self, row: int, moved: Augmented, caption: str) -> Panel:
        """The crop of a box; a panel that says why, where there is none."""
        size = self._view.size
        depth, origin = self._split.window(row)
        nothing = np.full((size, size), np.nan)
        key = str(self._split.frame_key[row])
        empty = Panel(key, nothing, (-1, 1), np.full((1, 2), np.nan), None, None, caption)
        if not _is_before_camera(moved.box):
            return replace(empty, problem="no centre")
        try:
            image = crop_batch(
                [depth],
                moved.box,
                self._store.camera,
                size,
                origin=origin[None],
                names=["the box"],
                mirrored=moved.mirrored,
                disturbance=moved.disturbance,
            )[0]
        except HandbenchError as error:  # a sheet is for looking at what is wrong
            return replace(empty, problem=str(error).partition(":")[0])
        seen = mirror_box(moved.box, moved.mirrored)
        pred = self.pred_xyz(row)

        def in_crop(xyz: Floats) -> Floats:
            return _px(seen.bb_to_si(seen.xyz_to_bb(mirror_xyz(xyz[None], moved.mirrored)), size)[0], size)

        return Panel(
            frame=str(self._split.frame_key[row]),
            image=np.where(image < 1, image, np.nan).astype(np.float64),
            limits=(-1.0, 1.0),
            joints_uv=in_crop(self.joints_xyz(row)),
            pred_uv=None if pred is None else in_crop(pred),
            box_uv=None,
            caption=caption,
            problem="" if (image < 1).any() else "no depth in the box",
        )

    def _caption(self, row: int) -> str:
        """Key; below it status and error, where there is something to say."""
        status = FrameStatus(int(self._split.status[row]))
        facts = [] if status is FrameStatus.OK else [status.title]
        if self._error_mm is not None:
            error = float(self._error_mm[row])
            facts.append("not scored" if math.isnan(error) else f"{error:.1f} mm")
        return "\n".join(filter(None, (str(self._split.frame_key[row]), ", ".join(facts))))


def _px(uvd_si: Floats, size: int) -> Floats:
    """Columns and rows of a crop from its scaled-image C.S."""
    uv: Floats = uvd_si[:, :2] + (size - 1) / 2
    return uv


def _uv(xyz: Floats, camera: Any) -> Floats:
    """Columns and rows of a frame; NaN for what does not lie before the camera."""
    before = np.where(xyz[:, 2:] > 0, xyz, np.nan)
    return xyz_to_uvd(before, camera)[:, :2]


def _is_before_camera(box: HandBox[npt.NDArray[Any]]) -> bool:
    return bool(np.isfinite(box.center_xyz).all() and box.center_xyz[0, 2] > 0 and (box.cube > 0).all())


def _shades(depth: Floats, box: HandBox[npt.NDArray[Any]]) -> tuple[float, float]:
    """Depths that become black and light: those of the box, or without a box the middle 98 % of all."""
    if _is_before_camera(box):
        z, half = float(box.center_xyz[0, 2]), float(box.cube[0, 2]) / 2 + _MARGIN_MM
        return z - half, z + half
    valid = depth[depth > 0]
    if not len(valid):
        return 0.0, 1.0
    low, high = np.percentile(valid[spread(np.arange(len(valid)), _SAMPLE)], (1, 99)).tolist()
    return low, max(high, low + 1)
