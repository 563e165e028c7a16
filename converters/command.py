"""`handbench convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Exit

from handbench.console import note, overwrite_option
from handbench.converters import reader_names

_LISTED = 20  # problems shown before "and so on"; all of them are in the store's `status`


@click.group()
def convert() -> None:
    """Turn a raw data set into a store."""


def _converter(name: str) -> click.Command:
    """The command that converts one data set."""

    @click.command(name, help=f"Convert the raw {name.upper()} tree RAW into the store OUT.")
    @click.argument("raw", type=click.Path(path_type=Path))
    @click.argument("out", type=click.Path(path_type=Path))
    @click.option("--split", "splits", multiple=True, help="Only this split; may be repeated. Default: all there are.")
    @click.option(
        "--center",
        type=click.Choice(("com", "gt-mean")),
        default="com",
        show_default=True,
        help="Centre of the box: centre of mass of the depth from --near to --far, or mean of the true joints.",
    )
    @click.option("--near", type=float, help="Smallest depth of a hand, mm. Default: the data set's.")
    @click.option("--far", type=float, help="Largest depth of a hand, mm. Default: the data set's.")
    @click.option("--workers", type=int, default=0, help="Threads; 0 means one a core.", show_default=True)
    @overwrite_option
    def command(raw: Path, out: Path, **options: Any) -> None:
        from handbench.converters import open_raw
        from handbench.converters.convert import ConvertConfig, convert

        summary = convert(open_raw(name, raw), out, ConvertConfig(**options))
        for remark in summary.remarks:
            note(remark)
        for problem in summary.problems[:_LISTED]:
            note(f"{problem.frame_key}: {problem.status.title}: {problem.message}")
        if len(summary.problems) > _LISTED:
            note(f"and {len(summary.problems) - _LISTED:,} more; the array `status` of the store has them all")
        click.echo(summary.one_line())
        if summary.problems:
            raise Exit(1)

    return command


for _name in reader_names():
    convert.add_command(_converter(_name))
