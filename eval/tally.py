"""Sums that every number of the evaluation is a ratio of, frame by frame: statistics first, ratios last."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, uvd_to_xyz
from handbench.datasets import JointSet
from handbench.eval import metrics
from handbench.frame_errors import FrameErrors
from handbench.scores import THRESHOLDS_MM, GroupMean, Summary, joint_error

AUC_MM = 50
_BLOCK = 1 << 13  # frames at a time, so that what lies between stays in the processor's cache
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FrameTally:
    """One method against the labels, before any mean. The arrays lie frame by frame last, which sums them fastest.

    Attributes:
        error: (F, J) mm, NaN = not labelled; every frame has a label.
        axis_sum: (F, 3) mm, sum over labelled joints of prediction minus label, along x, y, z.
        abs_axis_sum: (F, 3) mm, sum of its absolute values.
        bone_sum: (F, 3) sums over labelled bones: how many; length differences; absolute length differences, mm.
    """

    error: Floats
    axis_sum: Floats
    abs_axis_sum: Floats
    bone_sum: Floats

    def __getitem__(self, rows: npt.NDArray[np.bool_]) -> FrameTally:
        """The frames of a mask (F,)."""
        error, axes, abs_axes, bones = (
            values.T[:, rows].T for values in (self.error, self.axis_sum, self.abs_axis_sum, self.bone_sum)
        )
        return FrameTally(error, axes, abs_axes, bones)

    def frame_errors(self) -> FrameErrors:
        """The sums that comparisons resample."""
        labelled = ~np.isnan(self.error)
        return FrameErrors(np.where(labelled, self.error, 0.0).sum(axis=1), labelled.sum(axis=1).astype(np.float64))


def tally(uvd: Floats, camera: Camera, joints_xyz: Floats, edges: tuple[tuple[int, int], ...]) -> FrameTally:
    """Compare every joint and bone of every frame.

    Args:
        uvd: (F, J, 3) predictions: column px, row px, depth mm.
        camera: that they are read with.
        joints_xyz: (F, J, 3) mm, camera frame; NaN = not labelled. Each frame has a label.
        edges: bones as pairs of joints.
    """
    frames, joints, _ = uvd.shape
    whole = FrameTally(np.empty((joints, frames)).T, *(np.empty((3, frames)).T for _ in range(3)))

    def count(first: int) -> None:
        rows = slice(first, first + _BLOCK)
        pred_xyz, labels = uvd_to_xyz(uvd[rows], camera), joints_xyz[rows]
        whole.error[rows] = joint_error(pred_xyz, labels)
        pred, label = np.ascontiguousarray(pred_xyz.T), np.ascontiguousarray(labels.T)
        difference = np.nan_to_num(pred - label, copy=False, nan=0.0)
        whole.axis_sum[rows] = difference.sum(axis=1).T
        whole.abs_axis_sum[rows] = np.abs(difference, out=difference).sum(axis=1).T
        whole.bone_sum[rows] = _bones(pred, label, edges).T

    if frames <= 2 * _BLOCK:  # as fast in a row as on threads
        for first in range(0, frames, _BLOCK):
            count(first)
    else:
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            list(pool.map(count, range(0, frames, _BLOCK)))
    return whole


def _bones(pred: Floats, label: Floats, edges: tuple[tuple[int, int], ...]) -> Floats:
    """(3, F): as `FrameTally.bone_sum`, of points (3, J, F)."""
    sums = np.zeros((3, pred.shape[2]))
    for a, b in edges:
        length, labelled = (np.sqrt(((points[:, a] - points[:, b]) ** 2).sum(axis=0)) for points in (pred, label))
        longer = length - labelled
        missing = np.isnan(longer)
        longer[missing] = 0.0
        sums += (~missing, longer, np.abs(longer))
    return sums


def summarize(counted: FrameTally, joints: JointSet) -> Summary:
    """Every number of a set of frames.

    Args:
        counted: of those frames, at least one.
        joints: whose scored joints these are.
    """
    error = counted.error
    labelled = int((~np.isnan(error)).sum())
    bones, longer, off = counted.bone_sum.sum(axis=0).tolist()
    joint_success = metrics.joint_success(error, THRESHOLDS_MM)
    return Summary(
        frames=len(error),
        labelled_joints=labelled,
        masked_joints=error.size - labelled,
        mean_error_mm=metrics.mean_error(error),
        median_error_mm=metrics.median_error(error),
        mean_axis_error_mm=_three(counted.axis_sum.sum(axis=0) / labelled),
        mean_abs_axis_error_mm=_three(counted.abs_axis_sum.sum(axis=0) / labelled),
        mean_error_mm_by_joint=tuple(metrics.mean_error_by_joint(error).tolist()),
        mean_error_mm_by_finger=metrics.mean_error_by_finger(error, joints.scored_fingers),
        mean_bone_error_mm=off / bones if bones else float("nan"),
        mean_bone_bias_mm=longer / bones if bones else float("nan"),
        max_frame_success_percent=_percent(metrics.max_frame_success(error, THRESHOLDS_MM)),
        mean_frame_success_percent=_percent(metrics.mean_frame_success(error, THRESHOLDS_MM)),
        joint_success_percent=_percent(joint_success),
        joint_success_auc_0_50=metrics.area_under_curve(joint_success[: AUC_MM + 1], THRESHOLDS_MM[: AUC_MM + 1]),
    )


def group_means(errors: FrameErrors, group: npt.NDArray[np.str_]) -> dict[str, GroupMean]:
    """The mean over the frames of each group, by name in the order of first appearance; "" is no group.

    Args:
        errors: of F frames.
        group: (F,) names.
    """
    names, first, index = np.unique(group, return_index=True, return_inverse=True)
    frames = np.bincount(index, minlength=len(names))
    sums = np.bincount(index, errors.error_sum, len(names))
    joints = np.bincount(index, errors.labelled, len(names))
    order = [i for i in np.argsort(first) if names[i]]
    return {str(names[i]): GroupMean(int(frames[i]), int(joints[i]), float(sums[i] / joints[i])) for i in order}


def _three(values: Floats) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z


def _percent(shares: Floats) -> tuple[float, ...]:
    return tuple((100 * shares).tolist())
