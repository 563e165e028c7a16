"""The command `handbench plot`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from handbench.conditions import MARKS
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
    """Draw the figures of a paper from scores files, or the findings of an audit.

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


@plot.command()
@figure_options
@click.option("--angle", type=click.Choice(["yaw", "pitch"]), default="yaw", show_default=True, help="Of the palm.")
def viewpoint(scores: tuple[Path, ...], out: Path, own: str | None, size: str, overwrite: bool, angle: str) -> None:
    """Mean error against the viewpoint, where labels tell one (MSRA, HANDS17)."""
    _claim(out, overwrite)
    from handbench.plots.select import read_results
    from handbench.plots.style import paper_style
    from handbench.plots.viewpoint import draw_viewpoint, viewpoint_rows

    results = read_results(scores, own)
    rows = viewpoint_rows(results, angle)
    with paper_style():
        _save(draw_viewpoint(results, own, angle, SIZES[size]), rows, results, out)


@plot.command("audit")
@click.argument("findings", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="fig.png, fig.pdf or fig.svg.")
@click.option("--count", type=click.IntRange(1, 48), default=12, show_default=True, help="How many frames.")
@click.option("--apart", type=click.IntRange(1), default=10, show_default=True, help="Frames between two drawn ones.")
@click.option("--check", help="Only of this check: consensus, bone, jump, repeat, surface.")
@click.option("--size", type=click.Choice(list(SIZES)), default="cvpr-width", show_default=True, help="Width in print.")
@click.option("--images/--no-images", default=True, show_default=True, help="Draw the depth images of a store.")
@overwrite_option
def audit_gallery(
    findings: Path, out: Path, count: int, apart: int, check: str | None, size: str, images: bool, overwrite: bool
) -> None:
    """A gallery of the worst frames in FINDINGS, the file that `handbench audit -o` wrote."""
    _claim(out, overwrite)
    from handbench.findings import read_findings
    from handbench.plots.gallery import draw_gallery, gallery_rows, gallery_table
    from handbench.plots.style import paper_style

    found = read_findings(findings)
    suspects = gallery_rows(found, count, check, apart)
    if not suspects:
        of_check = f" of check {check!r}; it has {', '.join(found.checked)}" if check else ""
        raise HandbenchError(f"{findings} has no findings to draw{of_check}")
    depth = _depth_of(found.store) if images and found.store else None
    with paper_style():
        _write(draw_gallery(found, suspects, SIZES[size], depth), gallery_table(suspects), out)
    note(f"wrote {out} and {out.with_suffix('.csv').name}: {len(suspects)} frames of {found.dataset}")


def _depth_of(store: tuple[str, str]) -> Callable[[int], Any]:
    from handbench.store import Store

    path, split = store
    if not Path(path).exists():
        raise HandbenchError(f"the store {path} is not there any more; pass --no-images to draw without its depth")
    return Store(Path(path))[split].depth


def _claim(out: Path, overwrite: bool) -> None:
    if out.suffix not in SUFFIXES:
        raise HandbenchError(f"{out} is none of {', '.join(SUFFIXES)}; the suffix says which kind of figure to draw")
    claim_output(out, overwrite)
    claim_output(out.with_suffix(".csv"), overwrite)


def _save(figure: Figure, rows: list[list[str]], results: list[Scores], out: Path) -> None:
    """The figure and its numbers; and what stands for the marks in its legend."""
    _write(figure, rows, out)
    note(f"wrote {out} and {out.with_suffix('.csv').name}: {len(results)} methods on {results[0].protocol.name}")
    for mark, meaning in MARKS.items():
        if names := [scores.name for scores in results if mark in scores.conditions.marks]:
            note(f"{mark} {meaning}: {', '.join(names)}; say so in the caption")
    sources = dict.fromkeys(scores.label_source for scores in results)
    for source in sources if len(sources) > 1 else ():
        names = [scores.name for scores in results if scores.label_source == source]
        note(f"scored against {source}: {', '.join(names)}; the labels are not of one file, say so in the caption")


def _write(figure: Figure, rows: list[list[str]], out: Path) -> None:
    """The figure and its numbers, both or neither."""
    import csv

    from handbench.plots.style import save_figure

    table = out.with_suffix(".csv")
    with whole_or_nothing(table) as partial_table, whole_or_nothing(out) as partial:
        with partial_table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        save_figure(figure, partial, out.suffix)
