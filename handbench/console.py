"""What the commands share: progress bars, notes on stderr, JSON on stdout, outputs that may exist already."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from handbench.errors import HandbenchError

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, nothing else there.")
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")


@contextmanager
def progress(description: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr with rate and time left; silent where stderr is not a terminal.

    Args:
        description: what is going on, a few words.
        total: how many units there are.
        unit: the name of what is counted, in the plural ("frames").

    Yields:
        A function that moves the bar on by so many units.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit}  {{task.fields[rate]}}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        task = bars.add_task(description, total=total, rate="")

        def advance(count: int = 1) -> None:
            speed = bars.tasks[0].speed
            bars.update(task, advance=count, rate=f"{speed:,.0f}/s" if speed else "")

        yield advance


def note(message: str) -> None:
    """Say something to the person at the terminal: on stderr, so that stdout stays data."""
    click.echo(message, err=True)


def echo_json(value: Any) -> None:
    """Print one JSON object on stdout. NaN becomes null, as JSON has no NaN."""
    click.echo(json.dumps(without_nan(value), indent=2))


def without_nan(value: Any) -> Any:
    """The same plain data with None for every NaN."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def claim_output(path: Path, overwrite: bool) -> None:
    """Refuse to write over something, unless asked to. Nothing is removed here.

    Raises:
        HandbenchError: if `path` exists and `overwrite` is not set, or its folder does not exist.
    """
    if path.exists() and not overwrite:
        raise HandbenchError(f"{path} exists already; name another output or pass --overwrite to replace it")
    if not path.parent.exists():
        raise HandbenchError(f"the folder {path.parent} for the output {path.name} does not exist; create it first")


@contextmanager
def whole_or_nothing(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; it takes the place of `path` at the end, and is removed on any error.

    Works for a file and for a folder. An older `path` is there until the new one is whole.
    """
    partial = path.with_name(f"{path.name}.partial")
    remove(partial)
    try:
        yield partial
        take_place(partial, path)
    except BaseException:
        remove(partial)
        raise


def take_place(partial: Path, path: Path) -> None:
    """Put what is whole where it belongs; a folder that is there steps aside, for half removed it could pass for whole.

    Args:
        partial: a file or folder that is whole.
        path: its place beside it; a kill loses neither, in the moment between the older one is `<path>.old`.
    """
    old = path.with_name(f"{path.name}.old")
    if path.exists() and (path.is_dir() or partial.is_dir()):
        remove(old)
        path.rename(old)
    partial.replace(path)
    remove(old)


def remove(path: Path) -> None:
    """Remove a file or a folder with all in it; nothing happens if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
