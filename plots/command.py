"""The command `handbench plot`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from handbench.console import claim_output, note, overwrite_option, whole_or_nothing
from handbench.errors import HandbenchError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handbench.scores import Scores

SUFFIXES = (".pdf", ".png", ".svg")

# Widths in inches. BMVC: 410 pt of paper less two margins of 15 mm; CVPR: text of 6.875 with a gap of 0.3125.
SIZES = {"bmvc": 5.08, "bmvc-half": 2.48, "cvpr-column": 3.281, "cvpr-width": 6.875}


def figure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What every figure takes."""
    for decorate in (
        overwrite_option,
        click.option(
            "--size", type=click.Choice(list(SIZES)), default="cvpr-column", show_default=True, help="Width in print."
        ),
        click.option("--own", help="Name of your own method: drawn last and strongest."),
        click.option(
            "-o", "--out", required=True, type=click.Path(path_type=Path), help="fig.pdf, fig.png or fig.svg."
        ),
        click.argument("scores", nargs=-1, required=True, type=click.Path(path_type=Path)),
    ):
        command = decorate(command)
    return command


@click.group()
def plot() -> None:
    """Draw the figures of a paper from scores files.

    SCORES are files that `handbench eval -o DIR` wrote, or folders of them. The numbers behind a figure go beside it
    as CSV.
    """


@plot.command()
@figure_options
@click.option(
    "--metric",
    type=click.Choice(["max-frame", "mean-frame", "joint"]),
    default="max-frame",
    show_default=True,
    help="What must be within the distance: the worst joint of a frame, the mean of its joints, each joint.",
)
def curves(scores: tuple[Path, ...], out: Path, own: str | None, size: str, overwrite: bool, metric: str) -> None:
    """Success curves: the share of frames within a distance."""
    _claim(out, overwrite)
    from handbench.plots.curves import curve_rows, draw_curves
    from handbench.plots.select import read_results
    from handbench.plots.style import paper_style

    results = read_results(scores, own)
    with paper_style():
        _save(draw_curves(results, own, metric, SIZES[size]), curve_rows(results, metric), results, out)


@plot.command()
@figure_options
def joints(scores: tuple[Path, ...], out: Path, own: str | None, size: str, overwrite: bool) -> None:
    """Mean error of each joint, as bars."""
    _claim(out, overwrite)
    from handbench.plots.joints import draw_joints, joint_rows
    from handbench.plots.select import read_results
    from handbench.plots.style import paper_style

    results = read_results(scores, own)
    with paper_style():
        _save(draw_joints(results, own, SIZES[size]), joint_rows(results), results, out)


def _claim(out: Path, overwrite: bool) -> None:
    if out.suffix not in SUFFIXES:
        raise HandbenchError(f"{out} is none of {', '.join(SUFFIXES)}; the suffix says which kind of figure to draw")
    claim_output(out, overwrite)
    claim_output(out.with_suffix(".csv"), overwrite)


def _save(figure: Figure, rows: list[list[str]], results: list[Scores], out: Path) -> None:
    """The figure and its numbers, both or neither."""
    import csv

    from handbench.plots.style import save_figure

    table = out.with_suffix(".csv")
    with whole_or_nothing(table) as partial_table, whole_or_nothing(out) as partial:
        with partial_table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        save_figure(figure, partial, out.suffix)
    note(f"wrote {out} and {table.name}: {len(results)} methods on {results[0].protocol.name}")
