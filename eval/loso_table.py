"""Leave-one-subject-out as a table for people."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from handbench.eval.loso import LosoReport
from handbench.eval.table import new_table, print_whole


def print_loso(report: LosoReport) -> None:
    """Print a row a fold, all frames below them, and what the numbers mean, on stdout."""
    console = Console(highlight=False)
    table = new_table("subject left out", "frames", "mean error")
    for fold in report.folds:
        table.add_row(escape(fold.subject), f"{fold.frames:,}", f"{fold.mean_error_mm:.3f}")
    table.add_section()
    table.add_row("all frames", f"{report.frames:,}", f"{report.mean_error_mm:.3f}")
    print_whole(console, table)
    for line in _footnotes(report):
        console.print(line, style="dim", soft_wrap=True, markup=False)


def _footnotes(report: LosoReport) -> list[str]:
    return [
        f"mean error in mm over all {report.labelled_joints:,} labelled joints of all frames, as the literature "
        f"counts; the mean of the {len(report.folds)} folds would be {report.mean_of_folds_mm:.3f}",
        f"protocol {report.protocol}; last epoch of every fold; centres {report.center_method}; store {report.store}; "
        f"handbench {report.version}",
    ]
