"""Published results as a table for people."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from handbench.conditions import MARKS
from handbench.eval.published import Published, Source
from handbench.eval.table import new_table, print_whole


def print_results(title: str, entries: tuple[Published, ...]) -> None:
    """Print published results on stdout, a table a protocol.

    Args:
        title: of the data set.
        entries: its results, the best first; none gets a line that says so.
    """
    console = Console(highlight=False)
    if not entries:
        console.print(f"no published results of {escape(title)} are known here")
    for protocol in dict.fromkeys(entry.protocol for entry in entries):
        _print_protocol(console, protocol, [entry for entry in entries if entry.protocol == protocol])


def _print_protocol(console: Console, protocol: str, entries: list[Published]) -> None:
    seen = any(entry.seen_mm or entry.unseen_mm for entry in entries)
    table = new_table(protocol, *(("SEEN", "UNSEEN", "AVG") if seen else ("mean error",)))
    table.add_column("paper")
    table.add_column("centres")
    table.add_column("source", justify="right")
    sources = list(dict.fromkeys(entry.source for entry in entries))
    for entry in entries:
        table.add_row(
            f"{escape(entry.method)} {entry.conditions.marks}".rstrip(),
            *((f"{value:.2f}" if value else "" for value in (entry.seen_mm, entry.unseen_mm)) if seen else ()),
            entry.printed,
            f"{entry.venue} {entry.year}",
            escape(entry.conditions.center_method or ""),
            str(1 + sources.index(entry.source)),
        )
    print_whole(console, table)
    for line in _footnotes(entries, sources):
        console.print(line, style="dim", soft_wrap=True, markup=False)


def _footnotes(entries: list[Published], sources: list[Source]) -> list[str]:
    lines = ["mean errors in mm, as printed by the source; an empty cell is not known"]
    for mark, meaning in MARKS.items():
        if any(mark in entry.conditions.marks for entry in entries):
            lines.append(f"{mark} {meaning}: does not rank on equal terms with rows without {mark}")
    for note in dict.fromkeys(entry.note for entry in entries if entry.note):
        lines.append(f"{', '.join(entry.method for entry in entries if entry.note == note)}: {note}")
    return lines + [f"source {i}: {source.title}, {source.url}" for i, source in enumerate(sources, start=1)]
