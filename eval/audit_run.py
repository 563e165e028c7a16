"""An audit from labels and predictions to findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from handbench.camera import xyz_to_uvd
from handbench.datasets import JointSet
from handbench.errors import HandbenchError
from handbench.eval.audit import CHECKS, AuditConfig, Finding, Floats, Labels, audit, ranked
from handbench.eval.join import join
from handbench.eval.surface import surface_findings
from handbench.eval.truth import Truth
from handbench.findings import Findings, Pictured, Suspect
from handbench.frame_errors import FrameErrors
from handbench.predictions import Predictions
from handbench.scores import joint_error

_PICTURED = 200  # frames that can be drawn; a file with all of them would be as large as the predictions


def run_audit(
    truth: Truth,
    predictions: Sequence[Predictions],
    config: AuditConfig,
    store: Path | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Findings:
    """Audit labels.

    Args:
        truth: the labels.
        predictions: of methods, each on all of these frames; fewer than three have no say in what is a consensus.
        config: from where on a label is suspected.
        store: that `truth` was read from, to look at its depth images; None for a text.
        advance: told 1 after each depth image.

    Raises:
        HandbenchError: if predictions do not join to all of the labels, or a depth image is damaged.
    """
    methods = {each.name: _joined(each, truth) for each in predictions}
    labels = Labels(
        joints_xyz=truth.joints_xyz,
        counts=truth.counts,
        group=truth.group,
        edges=rigid_edges(truth.spec.joints),
        predictions=np.stack(list(methods.values())) if methods else np.empty((0, *truth.joints_xyz.shape)),
    )
    found = audit(labels, config)
    if store is not None:
        found = ranked((*found, *_look(labels, truth, config, store, advance)))
    made = [check for check in CHECKS if _is_made(check, labels, store)]
    return Findings(
        dataset=truth.spec.name,
        labels=truth.source,
        frames=int(truth.counts.sum()),
        methods=tuple(methods),
        checked={check: CHECKS[check] for check in made},
        limits=asdict(config),
        suspects=tuple(_suspect(finding, truth) for finding in found),
        mean_error_mm={name: _means(truth, pred_xyz, found, made) for name, pred_xyz in methods.items()},
        joint_labels=truth.spec.joints.labels,
        edges=truth.spec.joints.scored_edges,
        pictures=_pictures(found, truth, methods),
        store=None if store is None else (str(store), str(truth.source["split"])),
    )


def rigid_edges(joints: JointSet) -> tuple[tuple[int, int], ...]:
    """Bones whose length a pose cannot change: those that no joint between them can bend, scored or not."""
    return tuple(
        (joint, ancestor)
        for joint, ancestor in joints.scored_edges
        if joints.parents[joints.scored[joint]] == joints.scored[ancestor]
    )


def _joined(predictions: Predictions, truth: Truth) -> Floats:
    joined = join(predictions, truth)
    if len(joined.truth) != len(truth):
        raise HandbenchError(
            f"{predictions.name} has {len(joined.truth):,} frames, the labels have {len(truth):,}; "
            "an audit needs predictions of all of them"
        )
    return joined.pred_xyz


def _look(
    labels: Labels, truth: Truth, config: AuditConfig, store: Path, advance: Callable[[int], None]
) -> list[Finding]:
    from handbench.store import Store  # zarr takes half a second to import

    frames = Store(store)[str(truth.source["split"])]
    return surface_findings(labels, config, frames.depth, truth.camera, advance)


def _is_made(check: str, labels: Labels, store: Path | None) -> bool:
    return {"consensus": labels.consensus is not None, "surface": store is not None}.get(check, True)


def _suspect(finding: Finding, truth: Truth) -> Suspect:
    key = truth.frame_key[finding.row] if truth.frame_key else f"line {finding.row + 1}"
    joint = truth.spec.joints.labels[finding.joint] if finding.joint >= 0 else ""
    group = str(truth.group[finding.row]).split(" (")[0]
    if group and truth.published.group_kind == "subject":
        group = f"subject {group}"
    return Suspect(finding.check, key, finding.row, group, joint, finding.mm, finding.severity)


def _means(truth: Truth, pred_xyz: Floats, found: list[Finding], made: list[str]) -> dict[str, float]:
    """Mean error over all frames that count, and without those that a check suspects."""
    error = joint_error(pred_xyz, truth.joints_xyz)
    labelled = ~np.isnan(error)
    sums, joints = np.where(labelled, error, 0.0).sum(axis=1), labelled.sum(axis=1).astype(np.float64)
    means = {}
    for name in ("all", *made, "any"):
        rows = truth.counts.copy()
        rows[[f.row for f in found if name in ("any", f.check)]] = False
        left = FrameErrors(sums[rows], joints[rows])
        means[name if name == "all" else f"without {name}"] = left.mean_error if len(left) else float("nan")
    return means


def _pictures(found: list[Finding], truth: Truth, methods: dict[str, Floats]) -> dict[int, Pictured]:
    rows = list(dict.fromkeys(finding.row for finding in found))[:_PICTURED]
    return {
        row: Pictured(
            xyz_to_uvd(truth.joints_xyz[row], truth.camera).round(3),
            {name: xyz_to_uvd(pred_xyz[row], truth.camera).round(3) for name, pred_xyz in methods.items()},
        )
        for row in rows
    }
