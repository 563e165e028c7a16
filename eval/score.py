"""Predictions against a truth: joined, checked, measured."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handbench.conditions import Conditions
from handbench.eval.join import join
from handbench.eval.tally import group_means, summarize, tally
from handbench.eval.truth import Truth, drawing_order
from handbench.eval.viewpoint import viewpoint_curves, viewpoints
from handbench.frame_errors import FrameErrors
from handbench.predictions import Predictions, read_predictions
from handbench.scores import Scores

_WORKERS = min(4, os.cpu_count() or 1)  # more would hold more files of 300,000 frames in memory than a laptop has


@dataclass(frozen=True)
class Scored:
    """One method, measured.

    Attributes:
        scores: every number.
        frames: the error of each frame that counts, in the order of the truth.
    """

    scores: Scores
    frames: FrameErrors


def score_files(
    paths: Sequence[Path], truth: Truth, stated: Mapping[str, Any] | None = None, workers: int = _WORKERS
) -> list[Scored]:
    """Read and score predictions files, a few at a time: NumPy leaves the interpreter free while it works.

    Args:
        paths: of the files.
        truth: the labels.
        stated: as in `score_frames`, of all of them.
        workers: threads.

    Raises:
        HandbenchError: as `read_predictions` and `score_frames`, for the first bad file.
    """
    joints = len(truth.spec.joints.scored)

    def work(path: Path) -> Scored:
        return score_frames(read_predictions(path, joints, truth.spec, camera=truth.camera), truth, stated)

    if len(paths) == 1:
        return [work(paths[0])]
    truth.prepare()
    with ThreadPoolExecutor(min(workers, len(paths))) as pool:
        return list(pool.map(work, paths))


def score(predictions: Predictions, truth: Truth, stated: Mapping[str, Any] | None = None) -> Scores:
    """The scores alone of `score_frames`."""
    return score_frames(predictions, truth, stated).scores


def score_frames(predictions: Predictions, truth: Truth, stated: Mapping[str, Any] | None = None) -> Scored:
    """Score one method.

    Args:
        predictions: in uvd of the image that `truth.camera` belongs to.
        truth: the labels; a file as long as one of its groups is scored on that group alone.
        stated: attributes of `Conditions` that the user says, over what the predictions record.

    Returns:
        All numbers, over all frames that count and over each group; and the errors of the frames.

    Raises:
        HandbenchError: if frames are missing, too many or unknown, a label has no prediction, or the points are xyz.
    """
    conditions = Conditions.from_provenance(predictions.provenance, stated or {})
    joined = join(predictions, truth)
    truth, spec = joined.truth, joined.truth.spec
    counts = slice(None) if truth.counts.all() else truth.counts  # a slice spares two copies of all joints
    labels = truth.joints_xyz[counts]
    counted = tally(joined.uvd[counts], truth.camera, labels, spec.joints.scored_edges)
    frames = counted.frame_errors()
    angles = viewpoints(labels, spec.joints)
    group = truth.group[counts]
    scores = Scores(
        name=predictions.name,
        dataset=spec.name,
        protocol=truth.protocol,
        joint_labels=spec.joints.labels,
        joint_order=drawing_order(spec.joints),
        whole=summarize(counted, spec.joints),
        groups={name: summarize(counted[group == name], spec.joints) for name, _ in truth.protocol.groups},
        breakdowns={kind: group_means(frames, names[counts]) for kind, names in truth.breakdowns.items()},
        viewpoint={} if angles is None else viewpoint_curves(frames, angles),
        camera=truth.camera,
        conditions=conditions,
        truth=truth.source,
        prediction={
            **predictions.source,
            "joined_by": joined.joined_by,
            "provenance": dict(predictions.provenance),
        },
        left_out=truth.left_out,
    )
    return Scored(scores, frames)
