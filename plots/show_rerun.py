"""Frames in the viewer of rerun: point cloud, box and joints in 3D."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera_check import cloud
from handbench.console import whole_or_nothing
from handbench.datasets import JointSet
from handbench.errors import HandbenchError
from handbench.plots.show import PRED_COLOR, skeleton
from handbench.store import Split, Store

_AROUND = 2.0  # of half the box: points that far out are shown, gray
_GRAY, _HAND = (190, 190, 190), (70, 110, 150)
Floats = npt.NDArray[np.float64]
Joints = Callable[[int], Floats | None]


def require_rerun() -> Any:
    """The module of rerun.

    Raises:
        HandbenchError: naming the extra, if it is not installed.
    """
    try:
        import rerun
    except ImportError as error:
        raise HandbenchError('--rerun needs rerun-sdk; pip install "handbench[view]"') from error
    return rerun


def show_frames(
    store: Store, split: Split, rows: npt.NDArray[np.int64], joints: Joints, predictions: Joints, out: Path | None
) -> None:
    """Open the viewer with some frames on a time line, or write what it would show.

    Args:
        store: whose frames they are.
        split: of the store.
        rows: of the split.
        joints: gives the labels (J, 3) mm of a row, NaN = none.
        predictions: gives the predictions (J, 3) mm of a row, or None.
        out: an .rrd file for `rerun FILE`; None = open the viewer.

    Raises:
        HandbenchError: if rerun-sdk is not installed, or its viewer does not start.
    """
    rerun = require_rerun()
    rerun.init("handbench show")
    if out is None:
        try:
            rerun.spawn()
        except RuntimeError as error:
            why = str(error).partition("\n")[0].rstrip(".")
            raise HandbenchError(f"the viewer of rerun does not start ({why}); pass -o FILE.rrd to save") from error
        _log_frames(rerun, store, split, rows, joints, predictions)
        return
    with whole_or_nothing(out) as partial:
        rerun.save(str(partial))
        _log_frames(rerun, store, split, rows, joints, predictions)
        rerun.disconnect()  # writes the end of the file


def _log_frames(
    rerun: Any, store: Store, split: Split, rows: npt.NDArray[np.int64], joints: Joints, predictions: Joints
) -> None:
    """One step of the time line a frame; mm in the camera frame, which the viewer is told is x right, y down."""
    rerun.log("camera", rerun.ViewCoordinates.RDF, static=True)
    for step, row in enumerate(rows.tolist()):
        rerun.set_time("frame", sequence=step)
        rerun.log("camera/key", rerun.TextDocument(str(split.frame_key[row])))
        _log_cloud(rerun, store, split, row)
        _log_hand(rerun, "camera/label", joints(row), store.spec.joints, None)
        _log_hand(rerun, "camera/prediction", predictions(row), store.spec.joints, PRED_COLOR)


def _log_cloud(rerun: Any, store: Store, split: Split, row: int) -> None:
    """The box, the points in it, and those around it in gray; without a centre every point."""
    depth, origin = split.window(row)
    center, half = split.center_xyz[row].astype(np.float64), split.cube[row].astype(np.float64) / 2
    xyz = cloud(depth, origin, store.camera)[depth > 0]
    if not np.isfinite(center).all():
        rerun.log("camera/cloud", rerun.Points3D(xyz, colors=_GRAY, radii=1.0))
        rerun.log("camera/box", rerun.Clear(recursive=False))
        return
    offset = np.abs(xyz - center)
    near = (offset <= _AROUND * half).all(axis=1)
    inside = (offset[near] <= half).all(axis=1)
    colors = np.where(inside[:, None], *np.array([_HAND, _GRAY], dtype=np.uint8))
    rerun.log("camera/cloud", rerun.Points3D(xyz[near], colors=colors, radii=float(center[2] / store.camera.fx / 2)))
    rerun.log("camera/box", rerun.Boxes3D(centers=[center], half_sizes=[half], colors=[_rgb(PRED_COLOR)]))


def _log_hand(rerun: Any, path: str, xyz: Floats | None, joints: JointSet, color: str | None) -> None:
    """Joints and bones that are there; what the frame before had goes."""
    there = np.asarray(np.isfinite(np.full((1, 3), np.nan) if xyz is None else xyz).all(axis=1))
    if xyz is None or not there.any():
        rerun.log(path, rerun.Clear(recursive=True))
        return
    labels = [label for label, is_there in zip(joints.labels, there, strict=True) if is_there]
    point = _rgb(color or "#222222")
    rerun.log(f"{path}/joints", rerun.Points3D(xyz[there], colors=point, radii=3.0, labels=labels, show_labels=False))
    bones = [(edge, _rgb(color or own)) for edge, own in skeleton(joints) if there[list(edge)].all()]
    strips = [xyz[list(edge)] for edge, _ in bones]
    rerun.log(f"{path}/bones", rerun.LineStrips3D(strips, colors=[rgb for _, rgb in bones], radii=1.5))


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue
