"""The command `handbench compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from handbench.console import echo_json, json_option
from handbench.errors import HandbenchError
from handbench.eval.inputs import read_labels, require_distinct_names, truth_options

if TYPE_CHECKING:
    from handbench.eval.score import Scored


class BlockLength(click.ParamType[int | None]):
    """A number of frames, or "auto" (None)."""

    name = "frames|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """The number, None for "auto"."""
        if value == "auto":
            return None
        try:
            return int(value)
        except ValueError:
            raise HandbenchError(f"--block {value!r} is neither a number of frames nor auto") from None


@click.command()
@click.argument("methods", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--truth", type=click.Path(path_type=Path), help="Labels, if METHODS are predictions: text or store.")
@truth_options
@click.option("--block", type=BlockLength(), default="auto", show_default=True, help="Frames in a block.")
@click.option("--resamples", type=int, default=2000, show_default=True, help="How many to draw.")
@click.option("--confidence", type=float, default=0.95, show_default=True, help="Of the intervals.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the drawing.")
@json_option
def compare(
    methods: tuple[Path, ...],
    truth: Path | None,
    dataset_name: str | None,
    split: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Say whether one method is better than another, and how sure that is.

    METHODS are predictions files, with --truth; or scores files of `handbench eval -o DIR`, or folders of them. Frames
    are resampled in blocks, the same for every method, because neighbouring frames of a video err alike.
    """
    from handbench.eval.compare import CompareConfig
    from handbench.eval.compare import compare as compare_methods
    from handbench.eval.compare_table import print_comparison

    config = CompareConfig(**options)
    scored = _of_scores_files(methods, dataset_name, split) if truth is None else []
    if truth is not None:
        scored = _of_predictions(methods, truth, dataset_name, split)
    result = compare_methods(scored, config)
    if as_json:
        echo_json(result.to_dict())
    else:
        print_comparison(result)


def _of_predictions(
    methods: tuple[Path, ...], truth: Path, dataset_name: str | None, split: str | None
) -> list[Scored]:
    from handbench.eval.score import score_files

    if scores := [path for path in methods if path.is_dir() or path.suffix == ".json"]:
        raise HandbenchError(
            f"{scores[0]} holds scores, which are made already; leave --truth out, or name predictions"
        )
    require_distinct_names(methods)
    labels = read_labels(truth, dataset_name, split)
    return score_files(methods, labels)


def _of_scores_files(methods: tuple[Path, ...], dataset_name: str | None, split: str | None) -> list[Scored]:
    from handbench.eval.saved import read_scored

    if dataset_name is not None or split is not None:
        raise HandbenchError("--dataset and --split go with --truth; scores files know their labels")
    return [scored for path in methods for scored in read_scored(path)]
