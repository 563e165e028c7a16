"""`handbench inspect`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from click.exceptions import Exit

from handbench.console import echo_json, json_option

if TYPE_CHECKING:
    from handbench.converters.inspection import Inspection

_LISTED = 24  # names of sequences shown; the seventeen gestures of MSRA and the twelve days of ICVL fit


@click.command()
@click.argument("raw", type=click.Path(path_type=Path))
@json_option
def inspect(raw: Path, as_json: bool) -> None:
    """Say which data set the folder RAW holds, how much of it, and what is missing or odd.

    Exit code 0: nothing is; 1: something is; 2: RAW is nothing that handbench knows.
    """
    from handbench.converters.inspect import inspect as look

    inspection = look(raw)
    if as_json:
        echo_json(inspection.to_dict())
    else:
        click.echo("\n".join(text(inspection)))
    if inspection.findings:
        raise Exit(1)


def text(inspection: Inspection) -> Iterator[str]:
    """The inspection in lines for a person."""
    release = f", release: {inspection.release}" if inspection.release else ""
    yield f"{inspection.path}: {inspection.title} ({inspection.dataset}){release}"
    yield f"layout  {inspection.layout}"
    for name, split in inspection.splits.items():
        if inspection.dataset == "frames":
            yield f"{split.images:,} images, no labels"
            continue
        yield f"{name}: {split.frames:,} frames, {split.images:,} of their images"
        for kind, counts in (("subjects", split.subjects), ("sequences", split.sequences)):
            if counts:
                yield f"  {kind:9}  {_counts(counts)}"
    yield ""
    if inspection.findings:
        yield "missing or odd:"
        yield from (f"- {finding}" for finding in inspection.findings)
    else:
        yield "nothing is missing or odd"


def _counts(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name}: {count:,}" for name, count in list(counts.items())[:_LISTED])
    return shown if len(counts) <= _LISTED else f"{shown} and {len(counts) - _LISTED:,} more"
