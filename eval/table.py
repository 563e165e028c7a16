"""Scores as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from handbench.scores import Scores


def print_table(results: list[Scores]) -> None:
    """Print scores of one protocol on stdout, best first, and under them what they mean.

    Args:
        results: scores of one protocol, at least one.
    """
    console = Console(highlight=False)
    table = _table(results)
    natural = console.measure(table, options=console.options.update(width=10_000)).maximum
    console.width = max(console.width, natural)  # a narrow terminal wraps the lines, but no number is cut
    console.print(table)
    for line in _footnotes(results):
        console.print(line, style="dim", soft_wrap=True, markup=False)


def _table(results: list[Scores]) -> Table:
    protocol = results[0].protocol
    table = Table(title=None, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("method", no_wrap=True)
    groups = [f"{protocol.group_kind} {name}".replace(" (", "\n(") for name, _ in protocol.groups]
    for heading in ("mean error", "max-frame\n<= 20 mm", "max-frame\n<= 40 mm", *groups):
        table.add_column(heading, justify="right")
    for scores in sorted(results, key=lambda scores: scores.whole.mean_error_mm):
        success = scores.whole.max_frame_success_percent
        by_group = [f"{scores.groups[name].mean_error_mm:.3f}" for name, _ in protocol.groups]
        table.add_row(
            escape(scores.name),
            f"{scores.whole.mean_error_mm:.3f}",
            f"{success[20]:.2f}",
            f"{success[40]:.2f}",
            *by_group,
        )
    return table


def _footnotes(results: list[Scores]) -> list[str]:
    first = results[0]
    protocol, camera = first.protocol, first.camera
    note = f" ({protocol.note})" if protocol.note else ""
    lines = [
        "errors in mm; max-frame: percent of frames whose worst joint is within the distance",
        f"protocol {protocol.name}: {protocol.frames:,} frames, {len(first.joint_labels)} joints{note}",
        f"intrinsics fx {camera.fx:g}, fy {camera.fy:g}, cx {camera.cx:g}, cy {camera.cy:g} px",
        f"labels {_source(first.truth)}",
    ]
    for method in dict.fromkeys(scores.center_method for scores in results if scores.center_method):
        names = ", ".join(scores.name for scores in results if scores.center_method == method)
        lines.append(f"centres of {names}: {method}" + (" (uses the true joints)" if method == "gt-mean" else ""))
    for reason, frames in first.left_out.items():
        named = ", ".join(frames[:3]) + (", ..." if len(frames) > 3 else "")
        lines.append(f"left out {len(frames):,} frame{'s' * (len(frames) != 1)}, {reason}: {named}")
    return lines


def _source(source: Mapping[str, Any]) -> str:
    if source["kind"] == "store":
        release = f", release {source['release']}" if source.get("release") else ""
        return f"store {source['file']}, split {source['split']}{release}"
    return f"{source['file']} (sha256 {source['sha256'][:12]})"
