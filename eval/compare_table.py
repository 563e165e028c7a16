"""A comparison as tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from handbench.conditions import MARKS
from handbench.eval.compare import Comparison, Difference
from handbench.eval.table import new_table, print_whole


def print_comparison(result: Comparison) -> None:
    """Print the means with their intervals, the pairs, and what they rest on, on stdout."""
    console = Console(highlight=False)
    _print_means(console, result)
    console.print()
    if len(result.means) == 2:
        console.print(_sentence(result, result.differences[0]), soft_wrap=True, markup=False)
    else:
        _print_matrix(console, result)
    for line in _footnotes(result):
        console.print(line, style="dim", soft_wrap=True, markup=False)


def _print_means(console: Console, result: Comparison) -> None:
    table = new_table("method", "mean error", f"{_percent(result)} interval")
    for mean in result.means:
        interval = f"{mean.low:.3f} to {mean.high:.3f}"
        table.add_row(f"{escape(mean.name)} {mean.marks}".rstrip(), f"{mean.mean_error_mm:.3f}", interval)
    print_whole(console, table)


def _sentence(result: Comparison, pair: Difference) -> str:
    interval = f"{_percent(result)} interval {-pair.high:.3f} to {-pair.low:.3f}, p = {pair.p:.2g}"
    sure = f"{pair.a} is better by {-pair.difference_mm:.3f} mm ({interval})"
    unsure = f"no difference can be told: {pair.a} is lower by {-pair.difference_mm:.3f} mm ({interval})"
    frames = f"{pair.a} has the lower error in {pair.a_better:.1%} of the frames, {pair.b} in {pair.b_better:.1%}"
    return f"{sure if pair.p < _level(result) else unsure}; {frames}"


def _print_matrix(console: Console, result: Comparison) -> None:
    """Row less column, mm; below it the share of frames where the row is better."""
    names = [mean.name for mean in result.means]
    pairs = {(pair.a, pair.b): pair for pair in result.differences}
    table = new_table("better by, mm", *(escape(name) for name in names[1:]))
    for row, name in enumerate(names[:-1]):
        cells = [
            _cell(pairs[name, other], _level(result)) if column > row else ""
            for column, other in enumerate(names)
            if column
        ]
        table.add_row(escape(name), *cells, end_section=True)
    print_whole(console, table)


def _cell(pair: Difference, level: float) -> str:
    star = "*" if pair.p_holm < level else " "
    return f"{-pair.difference_mm:.2f}{star}\n{-pair.high:.2f} to {-pair.low:.2f} \n{pair.a_better:.0%} of frames "


def _percent(result: Comparison) -> str:
    return f"{100 * result.config.confidence:.4g} %"


def _level(result: Comparison) -> float:
    """The p below which a difference is called sure: what the intervals leave out."""
    return 1 - result.config.confidence


def _footnotes(result: Comparison) -> list[str]:
    chosen = "chosen by Politis and White's rule" if result.block_was_chosen else "as asked for"
    blocks = "frame by frame" if result.block == 1 else f"in blocks of {result.block:,} frames"
    lines = [
        "mean errors in mm, over all labelled joints of all frames",
        f"protocol {result.protocol}: {result.frames:,} frames, {result.config.resamples:,} resamples {blocks} "
        f"({chosen}), the same for all methods; seed {result.config.seed}",
    ]
    if len(result.means) > 2:
        lines.append(
            "each cell: by how much the row is better than the column, its interval, the share of frames where it is; "
            f"* sure: p < {_level(result):.3g} after Holm's correction for {len(result.differences)} pairs"
        )
    for mark, meaning in MARKS.items():
        if any(mark in mean.marks for mean in result.means):
            lines.append(f"{mark} {meaning}: does not rank on equal terms with rows without {mark}")
    return lines
