"""`handbench centers`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from handbench.console import echo_json, json_option, note

if TYPE_CHECKING:
    from handbench.converters.center_change import Change

_SPACES = ("auto", "uvd", "xyz", "xyz-y-down", "xyz-y-up", "xyz-y-up-z-back")  # center_files.SPACES, without NumPy


@click.group()
def centers() -> None:
    """Replace the hand centres of a store: from a file, or computed."""


@centers.command("import")
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--split", help="Which split. Default: the one with as many frames.")
@click.option(
    "--space",
    type=click.Choice(_SPACES),
    default="auto",
    show_default=True,
    help="What the numbers are: column, row, depth or a point in mm. auto: what fits labels or depth.",
)
@click.option("--model", help="The network that predicted them; recorded as predicted:MODEL, else by checksum.")
@json_option
def import_(
    store: Path, files: tuple[Path, ...], split: str | None, space: str, model: str | None, as_json: bool
) -> None:
    """Put the centres of text files into the store STORE.

    Several FILEs are one after the other: subject by subject, or training and test file of a fold.
    """
    from handbench.converters.centers import import_centers

    with _interruptible(store):
        _say([import_centers(store, files, split, space, model)], as_json)


@centers.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--method",
    type=click.Choice(("com", "com-iterated", "bbox", "gt-mean")),
    required=True,
    help="com: centre of mass of the depth from --near to --far. com-iterated: of what lies in a cube that follows "
    "it from the nearest surface. bbox: that, inside the frame's bounding box alone. gt-mean: mean of the true joints.",
)
@click.option("--split", "splits", multiple=True, help="Only this split; may be repeated. Default: all.")
@click.option("--near", type=float, help="Smallest depth of a hand, mm. Default: the data set's.")
@click.option("--far", type=float, help="Largest depth of a hand, mm. Default: the data set's.")
@json_option
def compute(store: Path, as_json: bool, **options: Any) -> None:
    """Compute the centres of the store STORE from its depth or labels."""
    from handbench.converters.centers import ComputeConfig, compute_centers

    with _interruptible(store):
        _say(compute_centers(store, ComputeConfig(**options)), as_json)


def _say(changes: list[Change], as_json: bool) -> None:
    if as_json:
        echo_json({"splits": {change.split: asdict(change) for change in changes}})
    for change in () if as_json else changes:
        click.echo(change.one_line())


@contextmanager
def _interruptible(store: Path) -> Iterator[None]:
    """After Ctrl-C, say in which state the store is; exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        from handbench.store import Store

        Store(store)  # says so itself if the interruption hit the writing
        note(f"stopped; {store} has the centres it had")
        raise Exit(130) from None
