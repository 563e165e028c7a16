"""Joint errors, and the scores file: one method on one protocol, written by eval and read by plots.

Beside `<name>.scores.json` lies `<name>.frames.npz` with the error of every frame, which comparisons resample.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench._version import __version__
from handbench.camera import Camera
from handbench.conditions import Conditions
from handbench.console import whole_or_nothing, without_nan
from handbench.datasets.spec import Protocol
from handbench.errors import HandbenchError, ShapeError

FORMAT = "handbench scores"
FORMAT_VERSION = 2
SUFFIX = ".scores.json"
THRESHOLDS_MM = tuple(range(81))  # 0-80 mm in steps of 1, the range that the literature draws
CURVES = ("max_frame_success_percent", "mean_frame_success_percent", "joint_success_percent")


def joint_error(pred_xyz: npt.NDArray[Any], joints_xyz: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Euclidean distance of each predicted joint to its label.

    Args:
        pred_xyz: (N, J, 3) mm, camera frame.
        joints_xyz: (N, J, 3) mm, same frame; NaN = not labelled.

    Returns:
        (N, J) mm, float64; NaN where a joint is not labelled.

    Raises:
        ShapeError: if the shapes differ or are not (N, J, 3).
    """
    if pred_xyz.shape != joints_xyz.shape or pred_xyz.ndim != 3 or pred_xyz.shape[-1] != 3:
        raise ShapeError(f"predictions {pred_xyz.shape} and labels {joints_xyz.shape} must both be (N, J, 3)")
    difference = pred_xyz.astype(np.float64, copy=False) - joints_xyz.astype(np.float64, copy=False)
    error: npt.NDArray[np.float64] = np.sqrt(np.einsum("...i,...i->...", difference, difference))
    return error


@dataclass(frozen=True)
class Summary:
    """Every number of one method on one set of frames; unrounded.

    Attributes:
        frames: how many frames count: those with at least one label.
        labelled_joints: how many joints of those frames have a label; the means run over these.
        masked_joints: how many joints of those frames have none, and take no part.
        mean_error_mm: mean joint error.
        median_error_mm: median joint error.
        mean_axis_error_mm: mean signed difference, prediction minus label, along x, y, z: the bias.
        mean_abs_axis_error_mm: mean absolute difference along x, y, z.
        mean_error_mm_by_joint: J means, in the order of the scored joints; NaN for a joint that is never labelled.
        mean_error_mm_by_finger: mean over the labelled joints of each finger and of the palm.
        mean_bone_error_mm: mean absolute difference of the lengths of bones, predicted and labelled; NaN without bones.
        mean_bone_bias_mm: mean signed difference: positive where predicted bones are too long.
        max_frame_success_percent: share of frames whose worst joint is within `THRESHOLDS_MM`.
        mean_frame_success_percent: share of frames whose mean joint error is within them.
        joint_success_percent: share of joints within them.
        joint_success_auc_0_50: area under joint success from 0 to 50 mm by the trapezoidal rule, in [0, 1].
    """

    frames: int
    labelled_joints: int
    masked_joints: int
    mean_error_mm: float
    median_error_mm: float
    mean_axis_error_mm: tuple[float, float, float]
    mean_abs_axis_error_mm: tuple[float, float, float]
    mean_error_mm_by_joint: tuple[float, ...]
    mean_error_mm_by_finger: Mapping[str, float]
    mean_bone_error_mm: float
    mean_bone_bias_mm: float
    max_frame_success_percent: tuple[float, ...]
    mean_frame_success_percent: tuple[float, ...]
    joint_success_percent: tuple[float, ...]
    joint_success_auc_0_50: float

    def to_dict(self, joint_labels: tuple[str, ...]) -> dict[str, Any]:
        """Plain data: joints by label, curves by threshold."""
        data = asdict(self)
        for axes in ("mean_axis_error_mm", "mean_abs_axis_error_mm"):
            data[axes] = list(data[axes])
        data["mean_error_mm_by_joint"] = dict(zip(joint_labels, self.mean_error_mm_by_joint, strict=True))
        for curve in CURVES:
            data[curve] = {str(t): percent for t, percent in zip(THRESHOLDS_MM, data[curve], strict=True)}
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], joint_labels: tuple[str, ...]) -> Summary:
        """The inverse of `to_dict`; keys that are not ours are passed over."""
        by_joint = data["mean_error_mm_by_joint"]
        return cls(
            frames=int(data["frames"]),
            labelled_joints=int(data["labelled_joints"]),
            masked_joints=int(data["masked_joints"]),
            mean_error_mm=float(data["mean_error_mm"]),
            median_error_mm=float(data["median_error_mm"]),
            mean_axis_error_mm=_three(data["mean_axis_error_mm"]),
            mean_abs_axis_error_mm=_three(data["mean_abs_axis_error_mm"]),
            mean_error_mm_by_joint=tuple(_float_or_nan(by_joint[label]) for label in joint_labels),
            mean_error_mm_by_finger={k: _float_or_nan(v) for k, v in data["mean_error_mm_by_finger"].items()},
            mean_bone_error_mm=_float_or_nan(data["mean_bone_error_mm"]),
            mean_bone_bias_mm=_float_or_nan(data["mean_bone_bias_mm"]),
            joint_success_auc_0_50=float(data["joint_success_auc_0_50"]),
            **{curve: tuple(float(data[curve][str(t)]) for t in THRESHOLDS_MM) for curve in CURVES},
        )


@dataclass(frozen=True)
class GroupMean:
    """The mean error over some frames.

    Attributes:
        frames: how many of them have a label.
        labelled_joints: over how many joints the mean runs.
        mean_error_mm: mean joint error.
    """

    frames: int
    labelled_joints: int
    mean_error_mm: float


@dataclass(frozen=True)
class Scores:
    """One method scored on one protocol, with all that a figure, a table or a sceptic needs.

    Attributes:
        name: of the method.
        dataset: name of the data set.
        protocol: what was scored; `frames` and `groups` are those that really were.
        joint_labels: the scored joints as papers print them, in the order of the prediction files.
        joint_order: indices into `joint_labels` in the order of figures: palm, then thumb to pinky, root to tip.
        whole: over all frames.
        groups: over the frames of each subject or sequence.
        camera: intrinsics that predictions and labels in uvd were back-projected with.
        conditions: what the numbers rest on and joints do not show: centres, cubes, choice of epoch, ensemble.
        breakdowns: kind ("gesture", "seen", ...) -> name -> the mean over the frames of that name.
        viewpoint: "yaw" and "pitch" -> degrees -> the mean over the frames seen from there; empty where the joints do
            not tell a palm.
        truth: "kind" (text or store), "file", "sha256" of the labels.
        prediction: "file", "sha256", "joined_by" (line or frame_key) and "provenance" of the predictions.
        left_out: frames of the split that do not count, by reason.
        handbench_version: of the program that scored.
    """

    name: str
    dataset: str
    protocol: Protocol
    joint_labels: tuple[str, ...]
    joint_order: tuple[int, ...]
    whole: Summary
    groups: Mapping[str, Summary]
    camera: Camera
    conditions: Conditions
    truth: Mapping[str, Any]
    prediction: Mapping[str, Any]
    breakdowns: Mapping[str, Mapping[str, GroupMean]] = field(default_factory=dict)
    viewpoint: Mapping[str, Mapping[int, GroupMean]] = field(default_factory=dict)
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    handbench_version: str = __version__

    @property
    def comparable(self) -> tuple[Any, ...]:
        """Equal for two scores exactly if their numbers may stand in one figure or table."""
        return (self.protocol.name, self.protocol.frames, self.protocol.groups, self.joint_labels)

    @property
    def label_source(self) -> str:
        """What the method was scored against, in a few words."""
        return _label_source(self.truth)

    def to_dict(self) -> dict[str, Any]:
        """Plain data as in the scores file (docs/evaluation.md), with None for NaN."""
        data = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "joints": len(self.joint_labels),
            **self.whole.to_dict(self.joint_labels),
        }
        if self.groups:
            data[f"mean_error_mm_by_{self.protocol.group_kind}"] = {n: g.mean_error_mm for n, g in self.groups.items()}
        data |= {
            "groups": {name: summary.to_dict(self.joint_labels) for name, summary in self.groups.items()},
            "dataset": self.dataset,
            "protocol": {
                **asdict(self.protocol),
                "joints": list(self.joint_labels),
                **asdict(self.conditions),
                "label_source": self.label_source,
            },
            "breakdowns": {
                kind: {name: asdict(mean) for name, mean in means.items()} for kind, means in self.breakdowns.items()
            },
            "viewpoint": {
                angle: {str(degrees): asdict(mean) for degrees, mean in means.items()}
                for angle, means in self.viewpoint.items()
            },
            "joint_labels": list(self.joint_labels),
            "joint_order": list(self.joint_order),
            "camera": asdict(self.camera),
            "center_method": self.conditions.center_method,
            "truth": dict(self.truth),
            "prediction": dict(self.prediction),
            "left_out": {reason: list(frames) for reason, frames in self.left_out.items()},
            "handbench_version": self.handbench_version,
        }
        return dict(without_nan(data))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scores:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError: if something is missing or of another kind.
        """
        labels = tuple(str(label) for label in data["joint_labels"])
        protocol = data["protocol"]
        groups = tuple((str(name), int(count)) for name, count in protocol["groups"])
        facts = {fact.name: protocol[fact.name] for fact in fields(Protocol)}
        return cls(
            name=str(data["name"]),
            dataset=str(data["dataset"]),
            protocol=Protocol(**{**facts, "groups": groups}),
            joint_labels=labels,
            joint_order=tuple(int(i) for i in data["joint_order"]),
            whole=Summary.from_dict(data, labels),
            groups={name: Summary.from_dict(group, labels) for name, group in data["groups"].items()},
            camera=Camera(**data["camera"]),
            conditions=Conditions(**{fact.name: protocol[fact.name] for fact in fields(Conditions)}),
            breakdowns={
                kind: {name: GroupMean(**mean) for name, mean in means.items()}
                for kind, means in data["breakdowns"].items()
            },
            viewpoint={
                angle: {int(degrees): GroupMean(**mean) for degrees, mean in means.items()}
                for angle, means in data["viewpoint"].items()
            },
            truth=dict(data["truth"]),
            prediction=dict(data["prediction"]),
            left_out={reason: tuple(frames) for reason, frames in data["left_out"].items()},
            handbench_version=str(data["handbench_version"]),
        )


def write_scores(path: Path, scores: Scores) -> None:
    """Write a scores file, whole or not at all; an older file of that name is replaced."""
    with whole_or_nothing(path) as partial:
        partial.write_text(json.dumps(scores.to_dict(), indent=1) + "\n", encoding="utf-8")


def read_scores(path: Path) -> Scores:
    """Read a scores file.

    Raises:
        HandbenchError: if it is missing, not a scores file, of a newer format or damaged.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise HandbenchError(f"{path} is not a scores file: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise HandbenchError(f"{path} is not a scores file; make one with handbench eval ... -o DIR")
    if data.get("format_version") != FORMAT_VERSION:
        found = data.get("format_version")
        raise HandbenchError(f"{path} has scores format {found}, this handbench reads {FORMAT_VERSION}; score again")
    try:
        return Scores.from_dict(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HandbenchError(
            f"{path} is a damaged scores file ({type(error).__name__}: {error}); score again"
        ) from error


def _label_source(truth: Mapping[str, Any]) -> str:
    if truth.get("kind") == "store":
        release = f", release {truth['release']}" if truth.get("release") else ""
        return f"store {truth['file']}, split {truth['split']}{release}"
    return f"{truth['file']} (sha256 {truth['sha256'][:12]})"


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _float_or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)
