"""`handbench convert`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from handbench.console import F, note, overwrite_option
from handbench.converters import reader_names

if TYPE_CHECKING:
    from handbench.converters.journal import Summary
    from handbench.converters.protocol import Reader

NO_FAR = (
    "no --far was given: all depth up to {:g} mm counts for the centre, and a body or wall behind the hand moves it; "
    "give the largest depth of the hand, or --center com-iterated"
)
_LISTED = 20  # problems shown before "and so on"; all of them are in the store's `status`


def _names(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(",")))) if text else ()


def _views(_: click.Context, parameter: click.Parameter, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(view) for view in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers as 1,2,3", param=parameter) from None


READER_OPTIONS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "nyu": {
        "views": click.option("--views", default="1", show_default=True, callback=_views, help="Cameras, as 1,2,3."),
        "synth": click.option("--synth", is_flag=True, help="Read synthdepth, the fitted model's render."),
    },
    "icvl": {"rotated": click.option("--rotated", is_flag=True, help="Read the 14 rotated copies of each frame, too.")},
    "msra": {
        "drop_invalid": click.option(
            "--drop-invalid", is_flag=True, help="Leave out what published lists call invalid (old release only)."
        )
    },
    "hands17": {
        "bbox_form": click.option(
            "--bbox-form",
            type=click.Choice(("auto", "xywh", "corners")),
            default="auto",
            show_default=True,
            help="What the four numbers of BoundingBox.txt are.",
        )
    },
}
"""What a reader asks beyond its folder: keyword -> click option."""


@click.group()
def convert() -> None:
    """Turn a raw data set into a store."""


def _converter(name: str) -> click.Command:
    """The command that converts one data set."""

    @click.command(name, help=f"Convert the raw {name.upper()} tree RAW into the store OUT.")
    @click.argument("raw", type=click.Path(path_type=Path))
    @click.argument("out", type=click.Path(path_type=Path))
    @convert_options
    def command(raw: Path, out: Path, **options: Any) -> None:
        from handbench.converters import open_raw

        reading = {key: options.pop(key) for key in READER_OPTIONS.get(name, {})}
        run_conversion(open_raw(name, raw, **reading), out, options)

    for option in READER_OPTIONS.get(name, {}).values():
        command = option(command)
    return command


def run_conversion(reader: Reader, out: Path, options: dict[str, Any], hints: Sequence[str] = ()) -> None:
    """Convert, and say what became of it (`report`), the hints before what is odd about the tree."""
    from handbench.converters.convert import ConvertConfig, convert

    def make() -> Summary:
        summary = convert(reader, out, ConvertConfig(**options))
        summary.remarks[:0] = hints
        return summary

    report(make)


def report(make: Callable[[], Summary]) -> None:
    """Make a store, and say what became of it; exit code 1 if a frame is not OK, 130 after Ctrl-C."""
    from handbench.converters.journal import Interrupted

    try:
        summary = make()
    except Interrupted as stop:
        note(str(stop))
        raise Exit(130) from None
    for remark in summary.remarks:
        note(remark)
    for problem in summary.problems[:_LISTED]:
        note(f"{problem.frame_key}: {problem.status.title}: {problem.message}")
    if (more := summary.wrong.total() - _LISTED) > 0:
        note(f"and {more:,} more; the array `status` of the store has them all")
    click.echo(summary.one_line())
    if summary.problems:
        raise Exit(1)


def convert_options(command: F) -> F:
    """The options that every conversion takes, in the order of the help."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS: list[Callable[[Any], Any]] = [
    click.option("--split", "splits", multiple=True, help="Only this split; may be repeated. Default: all there are."),
    click.option("--subjects", callback=_names, help="Only these subjects, as 1,2. Default: all."),
    click.option("--limit", type=int, help="At most so many frames of each split."),
    click.option(
        "--center",
        type=click.Choice(("com", "com-iterated", "gt-mean")),
        default="com",
        show_default=True,
        help="Centre of the box: centre of mass of the depth from --near to --far; the same inside the cube around the "
        "nearest surface; or mean of the true joints.",
    ),
    click.option("--near", type=float, help="Smallest depth of a hand, mm. Default: the data set's."),
    click.option("--far", type=float, help="Largest depth of a hand, mm. Default: the data set's."),
    click.option(
        "--codec",
        type=click.Choice(("auto", "shuffle", "bitshuffle")),
        default="auto",
        show_default=True,
        help="auto: the smaller on a sample.",
    ),
    click.option("--scheduler", default="threads", show_default=True, help="threads, processes, or tcp://host:8786."),
    click.option("--workers", type=int, default=0, help="Threads or processes; 0 means one a core.", show_default=True),
    click.option(
        "--resume",
        is_flag=True,
        help="Go on with an interrupted conversion, if there is one. With --overwrite: the finished store, if there is "
        "one, is replaced when the new one is whole.",
    ),
    overwrite_option,
]


@convert.command("frames")
@click.argument("raw", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--camera", required=True, help="A preset as kinect2, a JSON file, or fx,fy,cx,cy,width,height (px).")
@click.option("--depth-unit", type=float, default=1.0, show_default=True, help="mm of a step of the pixel values.")
@click.option("--pattern", default="*", show_default=True, help="Which files, as *_depth.png.")
@click.option("--cube", "cube_mm", type=float, default=250.0, show_default=True, help="Full side of the box, mm.")
@convert_options
def frames(raw: Path, out: Path, camera: str, depth_unit: float, pattern: str, cube_mm: float, **options: Any) -> None:
    """Convert the folder RAW of depth images (16-bit PNG, TIFF, NPY) into the store OUT."""
    from handbench.camera import parse_camera
    from handbench.converters.frames import DEPTH_RANGE_MM, FramesReader

    told = options["far"] is not None or options["center"] != "com"
    hints = () if told else (NO_FAR.format(DEPTH_RANGE_MM[1]),)
    run_conversion(FramesReader(raw, parse_camera(camera), depth_unit, pattern, cube_mm), out, options, hints)


for _name in reader_names():
    convert.add_command(_converter(_name))
