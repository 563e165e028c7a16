"""An audit as tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from handbench.eval.table import new_table, print_whole
from handbench.findings import Findings


def print_audit(findings: Findings, top: int) -> None:
    """Print what was looked for and found, the worst frames, and what they do to the methods' means, on stdout.

    Args:
        findings: of an audit.
        top: how many findings to list.
    """
    console = Console(highlight=False)
    table = new_table("check", "frames", "share")
    table.add_column("what it says")
    for check, meaning in findings.checked.items():
        frames = len(findings.rows(check))
        table.add_row(check, f"{frames:,}", f"{frames / findings.frames:.2%}", meaning)
    table.add_row("any", f"{len(findings.rows()):,}", f"{len(findings.rows()) / findings.frames:.2%}", "")
    print_whole(console, table)
    if findings.suspects and top:
        console.print()
        _print_worst(console, findings, top)
    if findings.suspects and findings.methods:
        console.print()
        _print_means(console, findings)
    for line in _footnotes(findings):
        console.print(line, style="dim", soft_wrap=True, markup=False)


def _print_worst(console: Console, findings: Findings, top: int) -> None:
    table = new_table("frame")
    table.add_column("in")
    table.add_column("check")
    table.add_column("joint")
    for heading in ("mm", "severity"):
        table.add_column(heading, justify="right")
    for suspect in findings.suspects[:top]:
        table.add_row(
            escape(suspect.frame),
            escape(suspect.group),
            suspect.check,
            escape(suspect.joint),
            f"{suspect.mm:.1f}",
            f"{suspect.severity:.2f}",
        )
    print_whole(console, table)


def _print_means(console: Console, findings: Findings) -> None:
    columns = ["all", *(f"without {name}" for name in (*findings.checked, "any"))]
    table = new_table("mean error, mm", *columns)
    for name, means in sorted(findings.mean_error_mm.items(), key=lambda item: item[1]["all"]):
        table.add_row(escape(name), *("" if means[c] != means[c] else f"{means[c]:.3f}" for c in columns))
    print_whole(console, table)


def _footnotes(findings: Findings) -> list[str]:
    limits = ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in findings.limits.items())
    lines = [f"{findings.frames:,} frames of {findings.labels['file']}; limits: {limits}"]
    if "consensus" not in findings.checked:
        lines.append("no consensus: that needs the predictions of three methods or more")
    if findings.suspects:
        lines.append("severity: mm over what the check lets pass; a finding is a suspicion, look at it before you act")
    return lines
