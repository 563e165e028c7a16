"""The commands `handbench predictions convert` and `handbench predictions check`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from handbench.console import claim_output, echo_json, json_option, note, overwrite_option
from handbench.errors import HandbenchError

if TYPE_CHECKING:
    from handbench.datasets import DatasetSpec
    from handbench.predictions import Predictions, Reading

F = TypeVar("F", bound=Callable[..., Any])

dataset_option = click.option("--dataset", "dataset_name", help="Whose hands these are: nyu, icvl, msra, hands17.")

_READING_OPTIONS = (
    click.option("--space", type=click.Choice(["uvd", "xyz"]), help="What the numbers of A are."),
    click.option("--flip", help="Axes of A that point the other way, of x, y, z (y up: y); none for none."),
    click.option("--swap", is_flag=True, help="A has rows before columns: v, u, d or y, x, z."),
    click.option("--unit", type=click.Choice(["mm", "cm", "m"]), default="mm", help="Of lengths in A; mm if not said."),
    click.option("--camera", help="That A was projected with, if it is not the data set's: its name, or fx,fy,cx,cy."),
    click.option(
        "--order", help="Joint order of A: lie-x, authors, ... or a place in A for each scored joint, from 0."
    ),
    click.option("--frames", help="Lines of A in the order of the labels, from 1: 895-1596,1-894; or @FILE with them."),
    click.option("--list", "names", type=click.Path(path_type=Path), help="Text with the name of each line of A."),
    click.option("--variable", help="Of a MATLAB or NumPy file A."),
)


def reading_options(command: F) -> F:
    """The options that say how to read A."""
    for option in reversed(_READING_OPTIONS):
        command = option(command)
    return command


@click.group()
def predictions() -> None:
    """Convert predictions files between layouts, and find out why one scores badly."""


@predictions.command()
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@dataset_option
@click.option("--from", "from_layout", help="Layout that A must have; if not said, its content tells.")
@click.option("--to", "to_layout", help="Layout of B; if not said, the suffix of B tells. Unknown names list them all.")
@reading_options
@click.option("--out-flip", help="Axes to turn in the xyz of B, of x, y, z; none for x right, y down, z forward.")
@overwrite_option
def convert(
    a: Path,
    b: Path,
    dataset_name: str | None,
    from_layout: str | None,
    to_layout: str | None,
    names: Path | None,
    out_flip: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Convert the predictions file A into the layout of B.

    uvd, xyz, named-uvd, named-xyz, hands17 (.zip too), matlab, matlab73, npz, csv, csv-xyz, parquet, parquet-xyz.
    """
    from handbench.predictions import layout_of, read_predictions, write_predictions
    from handbench.predictions.write import require_layout

    claim_output(b, overwrite)
    layout = to_layout or layout_of(b)
    require_layout(layout)
    spec = _dataset_of(a, dataset_name)
    reading = _reading(spec, from_layout, **options)
    given = read_predictions(a, len(spec.joints.scored), spec, reading=reading)
    _require_from(a, given, from_layout)
    if names is not None:
        given = _with_names(given, names, spec)
    write_predictions(b, given, layout, spec, flip=_flip(out_flip))
    read_as = given.source.get("read_as", "uvd")
    click.echo(f"{b}: {len(given):,} frames of {spec.name} as {layout}; {a.name} was read as {read_as}")


@predictions.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--truth", required=True, type=click.Path(path_type=Path), help="Label text, or a store.")
@dataset_option
@click.option("--split", help="Split of a store; test if not said.")
@click.option("--frames-to", type=click.Path(path_type=Path), help="Where to write the order of lines, if that is it.")
@overwrite_option
@json_option
def check(
    file: Path,
    truth: Path,
    dataset_name: str | None,
    split: str | None,
    frames_to: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Say whether FILE would score better if it were read in another way; exit with 1 if so.

    Tries joint orders, axes, units, uvd and xyz, intrinsics of other cameras, frames shifted or in blocks out of order.
    """
    from handbench.datasets import dataset
    from handbench.eval.check import check_file
    from handbench.eval.truth import read_truth

    if frames_to is not None:
        claim_output(frames_to, overwrite)
    labels = read_truth(truth, dataset(dataset_name) if dataset_name else None, split)
    report = check_file(file, labels)
    if frames_to is not None and report.frames:
        frames_to.write_text(report.frames.replace(",", "\n") + "\n", encoding="utf-8")
        note(f"wrote the order of lines to {frames_to}")
    if as_json:
        echo_json(report.to_dict())
    else:
        for line in report.lines(frames_to):
            click.echo(line)
    raise SystemExit(1 if report.found else 0)


def _dataset_of(path: Path, name: str | None) -> DatasetSpec:
    """The data set by its name, or by the names or joints of a file."""
    from handbench.datasets import dataset
    from handbench.predictions.read import guess_dataset

    if name is not None:
        return dataset(name)
    spec = guess_dataset(path)
    if spec is None:
        raise HandbenchError(f"{path} does not say of which data set it is; pass --dataset")
    return spec


def _reading(
    spec: DatasetSpec,
    from_layout: str | None,
    space: str | None,
    flip: str | None,
    swap: bool,
    unit: str,
    camera: str | None,
    order: str | None,
    frames: str | None,
    variable: str | None,
) -> Reading:
    from handbench.predictions import Reading
    from handbench.predictions.orders import parse_order
    from handbench.predictions.write import require_layout

    if from_layout is not None:
        require_layout(from_layout)
        meant = from_layout.rpartition("-")[2]
        if meant in ("uvd", "xyz") and space not in (None, meant):
            raise HandbenchError(f"--from {from_layout} and --space {space} contradict each other")
        space = meant if meant in ("uvd", "xyz") else space
    return Reading(
        space=space,
        flip=_flip(flip),
        swap=swap,
        unit=unit,
        camera=_camera(camera) if camera else None,
        order=parse_order(order, spec) if order else None,
        frames=_frames(frames) if frames else None,
        variable=variable,
    )


def _flip(text: str | None) -> str | None:
    """Axes as a user names them; "none" is no axis."""
    if text is not None and text != "none" and not (text and set(text) <= set("xyz")):
        raise HandbenchError(f"unknown axes to flip {text!r}; name some of x, y, z (as yz), or none")
    return "" if text == "none" else text


def _camera(text: str) -> Any:
    """A camera by the name of a data set, or as `parse_camera` has it."""
    from handbench.camera import parse_camera
    from handbench.datasets import dataset, dataset_names

    return dataset(text).scoring_camera if text in dataset_names() else parse_camera(text)


def _frames(text: str) -> tuple[tuple[int, int], ...]:
    """Ranges of lines, from 1, both ends included."""
    if text.startswith("@"):
        path = Path(text[1:])
        try:
            text = ",".join(path.read_text(encoding="utf-8").split())
        except (OSError, UnicodeDecodeError) as error:
            raise HandbenchError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    ranges = []
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        if not (first.isascii() and first.isdigit()) or (dash and not (last.isascii() and last.isdigit())):
            raise HandbenchError(f"--frames: {word!r} is no range of lines; give them as 895-1596,1-894")
        ranges.append((int(first), int(last or first)))
    return tuple(ranges)


def _require_from(path: Path, given: Predictions, from_layout: str | None) -> None:
    """Refuse a file that is not what it is said to be."""
    if from_layout is None:
        return
    kind = {"uvd": "text", "xyz": "text", "hands17": "named"}.get(from_layout, from_layout.partition("-")[0])
    found = given.source.get("layout", "text")
    if found != kind:
        raise HandbenchError(f"{path} is not {from_layout}: by its content it is {found}; leave --from out")


def _with_names(given: Predictions, path: Path, spec: DatasetSpec) -> Predictions:
    """The predictions with the frame names of a list, line by line."""
    from dataclasses import replace

    from handbench.predictions import read_bytes
    from handbench.predictions.names import frame_keys

    names = [line.split()[0] for line in read_bytes(path).decode("utf-8", "replace").splitlines() if line.strip()]
    if given.frame_key is not None:
        raise HandbenchError(f"{given.name} names its frames itself; leave --list out")
    if len(names) != len(given):
        raise HandbenchError(f"{path} names {len(names):,} frames, {given.name} has {len(given):,}")
    return replace(given, frame_key=frame_keys(spec.name, names, str(path)))
