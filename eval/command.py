"""The command `handbench eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from handbench.console import claim_output, echo_json, json_option, note, overwrite_option
from handbench.errors import HandbenchError
from handbench.eval.inputs import read_labels, require_distinct_names, truth_options

if TYPE_CHECKING:
    from handbench.eval.score import Scored
    from handbench.scores import Scores


@click.command()
@click.argument("pred", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--truth", required=True, type=click.Path(path_type=Path), help="Label text in uvd, or a store.")
@truth_options
@click.option("--by", multiple=True, metavar="KIND=FILE", help="Means by the names in FILE, one a line and frame.")
@click.option("--center-method", help="State where the hand centres came from: com, gt-mean, refined:..., ...")
@click.option("--cube", "cube_rule", help="State the sides of the crop cube, as text.")
@click.option("--epoch-rule", help="State how the epoch was chosen: last, val (held out), test-best.")
@click.option("--ensemble/--single", default=None, help="State whether several models were averaged.")
@click.option("--details", is_flag=True, help="Print fingers, axes, bones and breakdowns as well.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for one scores file a method.")
@overwrite_option
@json_option
def evaluate(
    pred: tuple[Path, ...],
    truth: Path,
    dataset_name: str | None,
    split: str | None,
    by: tuple[str, ...],
    details: bool,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
    **stated: Any,
) -> None:
    """Score the predictions files PRED as the literature does.

    The method is named after the file. What a file does not record of its protocol can be stated; it goes into the
    scores file, and marks rows that do not rank on equal terms.
    """
    from handbench.eval.score import score_files

    files = _claim_outputs(pred, out, overwrite)
    labels = read_labels(truth, dataset_name, split, by)
    results = score_files(pred, labels, stated)
    if out is not None:
        out.mkdir(exist_ok=True)
        _write(files, results)
    scores = [result.scores for result in results]
    if as_json:
        echo_json({"results": [_with_place(each) for each in scores]})
    else:
        _print_tables(scores, details)
    if out is not None:
        note(f"wrote {len(files)} scores file{'s' * (len(files) != 1)} to {out}")


def _claim_outputs(pred: tuple[Path, ...], out: Path | None, overwrite: bool) -> list[Path]:
    """Where the scores files go, in the order of `pred`; nothing is read or computed before these are clear."""
    from handbench.frame_errors import frames_file
    from handbench.scores import SUFFIX

    require_distinct_names(pred)
    if out is None:
        return []
    if out.exists() and not out.is_dir():
        raise HandbenchError(f"{out} is a file; -o names a folder for the scores files")
    files = [out / f"{path.stem}{SUFFIX}" for path in pred]
    for target in [f for file in files for f in (file, frames_file(file))] if out.exists() else [out]:
        claim_output(target, overwrite)
    return files


def _write(files: list[Path], results: list[Scored]) -> None:
    from handbench.frame_errors import frames_file, write_frame_errors
    from handbench.scores import write_scores

    for path, result in zip(files, results, strict=True):
        write_frame_errors(frames_file(path), result.frames)
        write_scores(path, result.scores)


def _with_place(scores: Scores) -> dict[str, Any]:
    from handbench.eval.published import place

    found = place(scores)
    return {**scores.to_dict(), "published": None if found is None else found.to_dict()}


def _print_tables(results: list[Scores], details: bool) -> None:
    """One table a protocol: numbers of different protocols are never ranked against each other."""
    from handbench.eval.table import print_details, print_table

    protocols = dict.fromkeys(scores.comparable for scores in results)
    for protocol in protocols:
        together = [scores for scores in results if scores.comparable == protocol]
        print_table(together)
        if details:
            print_details(together)
