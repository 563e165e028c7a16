"""Predictions put beside the labels they belong to, frame by frame; or refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from handbench.camera import uvd_to_xyz
from handbench.errors import HandbenchError
from handbench.eval.truth import Truth, known_lengths
from handbench.predictions import Predictions
from handbench.scores import joint_error

_XYZ_AXES = {"y down": (1, 1, 1), "y up": (1, -1, 1), "y up, z negative": (1, -1, -1)}


@dataclass(frozen=True)
class Joined:
    """Predictions in the order of their labels.

    Attributes:
        truth: the labels; the part of them that the predictions are of.
        uvd: (N, J, 3) float64 column px, row px, depth mm, N the frames of `truth`; NaN = not predicted.
        joined_by: "frame_key" or "line".
    """

    truth: Truth
    uvd: npt.NDArray[np.float64]
    joined_by: str

    @property
    def pred_xyz(self) -> npt.NDArray[np.float64]:
        """(N, J, 3) float64 mm, camera frame."""
        return uvd_to_xyz(self.uvd, self.truth.camera)


def join(predictions: Predictions, truth: Truth) -> Joined:
    """Find the label of each prediction.

    Args:
        predictions: in uvd of the image that `truth.camera` belongs to.
        truth: the labels; a file as long as one of its groups is joined to that group alone.

    Raises:
        HandbenchError: if frames are missing, too many or unknown, a label has no prediction, or the points are xyz.
    """
    joined_by = "frame_key" if predictions.frame_key and truth.frame_key else "line"
    if joined_by == "frame_key":
        uvd = _join_by_key(predictions, truth)
    else:
        truth = _part_of_that_length(predictions, truth)
        uvd = predictions.uvd
    _require_uvd(predictions.name, uvd, truth)
    _require_no_gaps(predictions.name, uvd, truth)
    return Joined(truth, uvd, joined_by)


def _join_by_key(predictions: Predictions, truth: Truth) -> npt.NDArray[np.float64]:
    """(N, J, 3) uvd in the order of the truth; NaN for a frame that is not predicted."""
    assert predictions.frame_key is not None
    assert truth.frame_key is not None
    if predictions.frame_key == truth.frame_key:
        return predictions.uvd
    row_of = {key: row for row, key in enumerate(truth.frame_key)}
    unknown = [key for key in predictions.frame_key if key not in row_of]
    if unknown:
        raise HandbenchError(
            f"{predictions.name} predicts {_several(unknown, 'frame')} that the labels do not have; "
            "is it another split or data set?"
        )
    uvd = np.full((len(truth), *predictions.uvd.shape[1:]), np.nan)
    uvd[[row_of[key] for key in predictions.frame_key]] = predictions.uvd
    return uvd


def _part_of_that_length(predictions: Predictions, truth: Truth) -> Truth:
    """The truth whose lines the predictions' lines are: all of it, or one group."""
    lines = len(predictions)
    if lines == len(truth):
        return truth
    sizes = {name: int((truth.group == name).sum()) for name, _ in truth.protocol.groups}
    same = [name for name, size in sizes.items() if size == lines]
    if len(same) == 1:
        return truth.part(same[0])
    known = known_lengths(truth.spec).get(lines)
    kind = truth.protocol.group_kind
    raise HandbenchError(
        f"{predictions.name} has {lines:,} frames, expected {len(truth):,} (protocol {truth.protocol.name}"
        + "".join(f"; {size:,} for {kind} {name} alone" for name, size in sizes.items())
        + ")"
        + (f"; {lines:,} is the length of {known}" if known else "")
    )


def _require_uvd(name: str, uvd: npt.NDArray[np.float64], truth: Truth) -> None:
    """Refuse points that lie outside of the image but fit the labels when they are read as xyz."""
    camera = truth.camera
    u, v = uvd[truth.counts, :, 0], uvd[truth.counts, :, 1]
    outside = np.mean((u < 0) | (u >= camera.width) | (v < 0) | (v >= camera.height))
    if outside < 0.01:  # published uvd files have next to none; xyz has its origin in the middle of the hands
        return
    labels = truth.joints_xyz[truth.counts]
    as_uvd = np.nanmedian(joint_error(uvd_to_xyz(uvd[truth.counts], camera), labels))
    as_xyz = {axes: np.nanmedian(joint_error(uvd[truth.counts] * sign, labels)) for axes, sign in _XYZ_AXES.items()}
    axes = min(as_xyz, key=lambda name: as_xyz[name])
    if as_xyz[axes] < as_uvd / 2:
        raise HandbenchError(
            f"{name} looks like xyz in mm ({axes}), not uvd: {outside:.0%} of its points lie outside of the image, and "
            f"its median joint error is {as_xyz[axes]:.1f} mm read as xyz, {as_uvd:.1f} mm read as uvd; "
            "project it to uvd first (handbench.camera.xyz_to_uvd)"
        )


def _require_no_gaps(name: str, uvd: npt.NDArray[np.float64], truth: Truth) -> None:
    """Refuse predictions that leave out a joint with a label: a mean over the others would flatter the method."""
    if not np.isnan(uvd.sum()):
        return
    missing = np.isnan(uvd).any(axis=2) & truth.labelled & truth.counts[:, None]
    if not missing.any():
        return
    frames = missing.any(axis=1)
    joint = truth.spec.joints.labels[int(np.flatnonzero(missing[frames][0])[0])]
    raise HandbenchError(
        f"{name} has no prediction (nan) for {_several(list(truth.frames_named(frames)), 'frame')} with labels, "
        f"there for joint {joint}; every label needs a prediction"
    )


def _several(names: list[str], noun: str) -> str:
    """'3 frames (a first)', or 'the frame a'."""
    return f"the {noun} {names[0]}" if len(names) == 1 else f"{len(names):,} {noun}s (first {names[0]})"
