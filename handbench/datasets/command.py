"""`handbench datasets`: the facts of all data sets in a table, of one in sections, or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import rich_click as click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from handbench.camera import Camera
from handbench.console import echo_json, json_option
from handbench.datasets import DatasetSpec, SplitSpec, dataset, dataset_names

_WIDE = 1000  # columns off a terminal: more than any table or paragraph takes, so that nothing is wrapped or cut


@click.command()
@click.argument("name", required=False)
@json_option
def datasets(name: str | None, as_json: bool) -> None:
    """What is known of each data set, and where to ask for it; with NAME, all facts of that one.

    handbench redistributes no data. `handbench synth` writes look-alikes to try everything with.
    """
    specs = {each: dataset(each) for each in (dataset_names() if name is None else [name])}
    if as_json:
        echo_json({each: spec.to_dict() for each, spec in specs.items()} if name is None else specs[name].to_dict())
    elif name is None:
        console = _console()
        console.print(_overview(specs.values()))
        console.print("All facts of one: handbench datasets NAME")
    else:
        _print_facts(_console(), specs[name])


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=_WIDE)


def _overview(specs: Iterable[DatasetSpec]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, leading=1)
    table.add_column("name\nsensor", overflow="fold", min_width=12)
    for heading in ("image px", "joints\n(scored)", "frames", "cube mm", "fx, fy,\ncx, cy px"):
        table.add_column(heading, no_wrap=True)
    for spec in specs:
        camera = spec.camera
        table.add_row(
            Text.assemble((spec.name, "bold"), f"\n{spec.sensor}"),
            f"{camera.width} x {camera.height}",
            f"{len(spec.joints)} ({len(spec.joints.scored)})",
            "\n".join(line for split in spec.splits for line in _frames(split)),
            "\n".join(f"{side:.6g}" for side in dict.fromkeys(spec.cube_mm.values())),
            "\n".join(f"{value:.10g}" for value in (camera.fx, camera.fy, camera.cx, camera.cy)),
        )
    return table


def _print_facts(console: Console, spec: DatasetSpec) -> None:
    console.print(Text(f"{spec.title} ({spec.name})", style="bold"))
    console.print(_facts(spec))
    _section(console, "Frames", _split_table(spec))
    _section(console, "Protocols", _protocol_table(spec))
    _section(console, "Joints", _joint_table(spec))
    if spec.notes:
        _section(console, "Know before you start", _bullets(spec.notes))
    _section(console, "Citation", Text(spec.citation))


def _section(console: Console, title: str, body: Table | Text) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    console.print(body, soft_wrap=isinstance(body, Text))  # a citation keeps its lines in a narrow terminal


def _facts(spec: DatasetSpec) -> Table:
    near, far = spec.depth_range_mm
    rows = {
        "sensor": spec.sensor,
        "image": f"{spec.camera.width} x {spec.camera.height} px",
        "camera": _camera(spec.camera),
        "camera for scores": _camera(spec.scoring_camera),
        "raw axes": spec.raw_axes,
        "hands": spec.handedness,
        "background": "0" if spec.background is None else f"{spec.background} (and 0)",
        "depth of a hand": f"{near:g} to {far:g} mm",
        "crop cube": f"{_cubes(spec.cube_mm)}, full side",
        "licence": spec.licence,
        "where to ask": spec.obtain,
    }
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for key, value in rows.items():
        grid.add_row(key, value)
    return grid


def _split_table(spec: DatasetSpec) -> Table:
    table = Table("split", "release", box=box.SIMPLE_HEAD)
    table.add_column("frames", justify="right")
    table.add_column("frames by subject", overflow="fold")
    for split in spec.splits:
        for release, frames in split.frames.items():
            by_subject = _counts(split.subjects.get(release, {}).items())
            table.add_row(split.name, release, f"{frames:,}", by_subject or "not told apart")
    return table


def _protocol_table(spec: DatasetSpec) -> Table:
    table = Table("protocol", "split", box=box.SIMPLE_HEAD)
    table.add_column("frames", justify="right")
    table.add_column("groups", overflow="fold")
    table.add_column("note", overflow="fold")
    for protocol in spec.protocols:
        groups = f"{protocol.group_kind} {_counts(protocol.groups)}" if protocol.groups else "none"
        table.add_row(protocol.name, protocol.split, f"{protocol.frames:,}", groups, protocol.note)
    return table


def _joint_table(spec: DatasetSpec) -> Table:
    joints = spec.joints
    scored = {
        joint: f"{rank} {label}" for rank, (joint, label) in enumerate(zip(joints.scored, joints.labels, strict=True))
    }
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("index", justify="right")
    for heading in ("name", "parent", "finger", "scored as"):
        table.add_column(heading, overflow="fold")
    for index, (name, parent, finger) in enumerate(zip(joints.names, joints.parents, joints.fingers, strict=True)):
        above = "root" if parent == -1 else joints.names[parent]
        table.add_row(str(index), name, above, finger, scored.get(index, ""))
    return table


def _bullets(notes: Iterable[str]) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    for note in notes:
        grid.add_row("-", note)
    return grid


def _camera(camera: Camera) -> str:
    return f"fx {camera.fx:.10g}, fy {camera.fy:.10g}; cx {camera.cx:.10g}, cy {camera.cy:.10g}"


def _frames(split: SplitSpec) -> list[str]:
    if len(set(split.frames.values())) == 1:
        return [f"{split.name} {next(iter(split.frames.values())):,}"]
    return [f"{split.name} {frames:,} {release}" for release, frames in split.frames.items()]


def _counts(counts: Iterable[tuple[str, int]]) -> str:
    return "; ".join(f"{name}: {count:,}" for name, count in counts)


def _cubes(cube_mm: Mapping[str, float]) -> str:
    subjects: dict[float, list[str]] = {}
    for subject, side in cube_mm.items():
        subjects.setdefault(side, []).append("all others" if subject == "*" else subject)
    if len(subjects) == 1:
        return "".join(f"{side:.6g} mm" for side in subjects)
    return "; ".join(f"{side:.6g} mm ({', '.join(names)})" for side, names in subjects.items())
