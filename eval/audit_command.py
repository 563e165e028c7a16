"""The command `handbench audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from handbench.console import claim_output, echo_json, json_option, note, overwrite_option, progress
from handbench.errors import HandbenchError
from handbench.eval.inputs import read_labels, require_distinct_names, truth_options


@click.command()
@click.argument("truth", type=click.Path(path_type=Path))
@click.argument("pred", nargs=-1, type=click.Path(path_type=Path))
@truth_options
@click.option("--far", type=float, default=40, show_default=True, help="Label from the consensus of methods, mm.")
@click.option("--agreement", type=float, default=6, show_default=True, help="... as a multiple of their own spread.")
@click.option("--bone", type=float, default=15, show_default=True, help="Bone off its median length, mm.")
@click.option("--bone-mad", type=float, default=6, show_default=True, help="... in median absolute deviations.")
@click.option("--jump", type=float, default=40, show_default=True, help="Label from one frame to the next, mm ...")
@click.option("--still", type=float, default=10, show_default=True, help="... while the consensus moves less, mm.")
@click.option("--surface", type=float, default=40, show_default=True, help="Joint from the depth surface, mm.")
@click.option("--images/--no-images", default=True, show_default=True, help="Look at the depth images of a store.")
@click.option("--top", type=click.IntRange(0), default=20, show_default=True, help="How many findings to list.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Findings file, for handbench plot audit.")
@overwrite_option
@json_option
def audit(
    truth: Path,
    pred: tuple[Path, ...],
    dataset_name: str | None,
    split: str | None,
    images: bool,
    top: int,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
    **limits: Any,
) -> None:
    """Find labels of TRUTH that are wrong, by what the predictions PRED and the labels themselves say.

    TRUTH is a label text or a store; a store's depth images are looked at as well. With three or more methods, frames
    are found where these agree with each other and disagree with the label. Exit code 1 = something was found.
    """
    from handbench.eval.audit import AuditConfig
    from handbench.eval.audit_run import run_audit
    from handbench.eval.audit_table import print_audit
    from handbench.findings import write_findings
    from handbench.predictions import read_predictions

    config = AuditConfig(**limits)
    require_distinct_names(pred)
    if out is not None:
        _claim(out, overwrite)
    labels = read_labels(truth, dataset_name, split)
    joints = len(labels.spec.joints.scored)
    predictions = [read_predictions(path, joints, labels.spec, camera=labels.camera) for path in pred]
    store = truth if images and truth.is_dir() else None
    with progress("looking", int(labels.counts.sum()) if store else 0, "frames") as advance:
        findings = run_audit(labels, predictions, config, store, advance)
    if out is not None:
        write_findings(out, findings)
    if as_json:
        echo_json(findings.to_dict())
    else:
        print_audit(findings, top)
    if out is not None:
        note(f"wrote {out}; draw it with handbench plot audit {out} -o gallery.png")
    raise SystemExit(1 if findings.suspects else 0)


def _claim(out: Path, overwrite: bool) -> None:
    if out.suffix != ".json":
        raise HandbenchError(f"{out} does not end in .json; -o names the findings file")
    claim_output(out, overwrite)
