"""What `eval`, `compare` and `audit` share on the command line: files of methods, labels, options."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from handbench.errors import HandbenchError

if TYPE_CHECKING:
    from handbench.eval.truth import Truth

F = TypeVar("F", bound=Callable[..., Any])


def truth_options(command: F) -> F:
    """`--dataset` and `--split`: how to read labels."""
    for decorate in (
        click.option("--split", help="Split of a store; test (MSRA: all) if not said."),
        click.option(
            "--dataset", "dataset_name", help="Whose labels a text holds: nyu, icvl, msra, hands17. A store knows."
        ),
    ):
        command = decorate(command)
    return command


def read_labels(path: Path, dataset_name: str | None, split: str | None, by: Iterable[str] = ()) -> Truth:
    """The labels of a command line.

    Args:
        path: a label text or a store.
        dataset_name: whose labels a text holds.
        split: of a store.
        by: "kind=file" each, further ways to tell the frames apart.

    Raises:
        HandbenchError: as `read_truth` and `with_breakdown`, or if an entry of `by` is of another form.
    """
    from handbench.datasets import dataset
    from handbench.eval.truth import read_truth, with_breakdown

    truth = read_truth(path, dataset(dataset_name) if dataset_name else None, split)
    for entry in by:
        kind, equals, file = entry.partition("=")
        if not (kind and equals and file):
            raise HandbenchError(f"--by {entry!r} is not of the form KIND=FILE, for example seen=subjects.txt")
        truth = with_breakdown(truth, kind, Path(file))
    return truth


def require_distinct_names(paths: Iterable[Path]) -> None:
    """Refuse two files of one name: a method is called after its file.

    Raises:
        HandbenchError: naming both.
    """
    by_name: dict[str, Path] = {}
    for path in paths:
        if path.stem in by_name:
            raise HandbenchError(f"{by_name[path.stem]} and {path} would both be called {path.stem}; rename one")
        by_name[path.stem] = path
