"""`handbench validate`, `handbench compare-stores` and `handbench export`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click
from click.exceptions import Exit

from handbench.console import echo_json, json_option, note, overwrite_option

_path = click.Path(path_type=Path)


@click.command()
@click.argument("store", type=_path)
@click.option("--quick", is_flag=True, help="Check the tables alone and leave the depth unread.")
@json_option
def validate(store: Path, quick: bool, as_json: bool) -> None:
    """Check the store STORE: counts, keys, labels, centres, and every byte of it; exit code 1 if something is wrong."""
    from handbench.converters.validate import fact_lines
    from handbench.converters.validate import validate as check
    from handbench.store import Store

    report = check(Store(store), quick)
    if as_json:
        echo_json(report.to_dict())
    else:
        for remark in report.remarks:
            note(remark)
        for line in (*fact_lines(report.facts), *(f"FINDING {f.line()}" for f in report.findings)):
            click.echo(line)
        click.echo(report.one_line())
    if report.findings:
        raise Exit(1)


@click.command("compare-stores")
@click.argument("a", type=_path)
@click.argument("b", type=_path)
@json_option
def compare_stores(a: Path, b: Path, as_json: bool) -> None:
    """Compare the stores A and B: facts, keys, tables and every pixel; exit code 1 if they hold different things.

    What differs only in where it comes from or how it is packed is said, and counts as equal.
    """
    from handbench.converters.compare import compare
    from handbench.store import Store

    result = compare(Store(a), Store(b))
    if as_json:
        echo_json(result.to_dict())
    else:
        for remark in result.remarks:
            note(remark)
        for difference in result.differences:
            click.echo(difference.line())
        click.echo(result.one_line())
    if not result.equal:
        raise Exit(1)


@click.group()
def export() -> None:
    """Write a store in another form: the raw tree, one HDF5 file, or a label text."""


@export.command("raw")
@click.argument("store", type=_path)
@click.argument("out", type=_path)
@overwrite_option
def export_raw(store: Path, out: Path, overwrite: bool) -> None:
    """Write the store STORE back as the raw tree OUT of its data set."""
    from handbench.converters.export import write_raw_tree
    from handbench.store import Store

    click.echo(write_raw_tree(Store(store), out, overwrite))


@export.command("hdf5")
@click.argument("store", type=_path)
@click.argument("out", type=_path)
@overwrite_option
def export_hdf5(store: Path, out: Path, overwrite: bool) -> None:
    """Write the store STORE into the one HDF5 file OUT: same groups, arrays and attributes."""
    from handbench.converters.export_hdf5 import write_hdf5
    from handbench.store import Store

    click.echo(write_hdf5(Store(store), out, overwrite))


@export.command("labels")
@click.argument("store", type=_path)
@click.argument("out", type=_path)
@click.option("--split", default="test", show_default=True, help="Which split.")
@overwrite_option
def export_labels(store: Path, out: Path, split: str, overwrite: bool) -> None:
    """Write the labels of STORE as the uvd text OUT of the literature, and the frame keys beside it."""
    from handbench.converters.export import write_labels
    from handbench.store import Store

    click.echo(write_labels(Store(store), split, out, overwrite))
