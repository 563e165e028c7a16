"""The command `handbench eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from handbench.console import claim_output, echo_json, json_option, note, overwrite_option
from handbench.errors import HandbenchError

if TYPE_CHECKING:
    from handbench.scores import Scores


@click.command()
@click.argument("pred", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--truth", required=True, type=click.Path(path_type=Path), help="Label text in uvd, or a store.")
@click.option("--dataset", "dataset_name", help="Whose labels a text holds: nyu, icvl, ... A store knows.")
@click.option("--split", help="Split of a store; test if not said.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for one scores file a method.")
@overwrite_option
@json_option
def evaluate(
    pred: tuple[Path, ...],
    truth: Path,
    dataset_name: str | None,
    split: str | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Score the predictions files PRED as the literature does.

    A file is uvd text, one frame a line, or a keyed NPZ as written by `handbench predict`.
    The method is named after the file.
    """
    from handbench.datasets import dataset
    from handbench.eval.score import score
    from handbench.eval.truth import read_truth
    from handbench.predictions import read_predictions
    from handbench.scores import write_scores

    files = _claim_outputs(pred, out, overwrite)
    labels = read_truth(truth, dataset(dataset_name) if dataset_name else None, split)
    joints = len(labels.spec.joints.scored)
    results = [score(read_predictions(path, joints), labels) for path in pred]
    if out is not None:
        out.mkdir(exist_ok=True)
        for path, scores in zip(files, results, strict=True):
            write_scores(path, scores)
    if as_json:
        echo_json({"results": [scores.to_dict() for scores in results]})
    else:
        _print_tables(results)
    if out is not None:
        note(f"wrote {len(files)} scores file{'s' * (len(files) != 1)} to {out}")


def _claim_outputs(pred: tuple[Path, ...], out: Path | None, overwrite: bool) -> list[Path]:
    """Where the scores files go, in the order of `pred`; nothing is read or computed before these are clear."""
    from handbench.scores import SUFFIX

    by_name: dict[str, Path] = {}
    for path in pred:
        if path.stem in by_name:
            raise HandbenchError(f"{by_name[path.stem]} and {path} would both be called {path.stem}; rename one")
        by_name[path.stem] = path
    if out is None:
        return []
    if out.exists() and not out.is_dir():
        raise HandbenchError(f"{out} is a file; -o names a folder for the scores files")
    files = [out / f"{path.stem}{SUFFIX}" for path in pred]
    for target in files if out.exists() else [out]:
        claim_output(target, overwrite)
    return files


def _print_tables(results: list[Scores]) -> None:
    """One table a protocol: numbers of different protocols are never ranked against each other."""
    from handbench.eval.table import print_table

    protocols = dict.fromkeys(scores.comparable for scores in results)
    for protocol in protocols:
        print_table([scores for scores in results if scores.comparable == protocol])
