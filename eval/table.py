"""Scores as a table for people."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from handbench.conditions import MARKS
from handbench.eval.published import place
from handbench.scores import GroupMean, Scores

_SEEN = ("seen", "unseen")  # the two groups of HANDS17, printed as its papers do


def print_table(results: list[Scores]) -> None:
    """Print scores of one protocol on stdout, best first, and under them what they mean.

    Args:
        results: scores of one protocol, at least one.
    """
    ranked = sorted(results, key=lambda scores: scores.whole.mean_error_mm)
    console = Console(highlight=False)
    print_whole(console, _table(ranked))
    for line in _footnotes(ranked):
        console.print(line, style="dim", soft_wrap=True, markup=False)


def print_whole(console: Console, table: Table) -> None:
    """Print a table so that no number is cut: a narrow terminal wraps the lines."""
    natural = console.measure(table, options=console.options.update(width=10_000)).maximum
    console.width = max(console.width, natural)
    console.print(table)


def print_details(results: list[Scores]) -> None:
    """Print what the short table leaves out, a row a number and a column a method.

    Args:
        results: scores of one protocol, at least one.
    """
    ranked = sorted(results, key=lambda scores: scores.whole.mean_error_mm)
    table = new_table("mm", *(marked_name(scores) for scores in ranked))
    rows = [_details(scores) for scores in ranked]
    for label in rows[0]:
        table.add_row(escape(label), *(row[label] for row in rows))
    print_whole(Console(highlight=False), table)


def new_table(first: str, *others: str) -> Table:
    """An empty table in our style: names to the left, numbers to the right."""
    table = Table(title=None, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right")
    return table


def marked_name(scores: Scores) -> str:
    """The method with the signs that say why it does not rank on equal terms."""
    return f"{escape(scores.name)} {scores.conditions.marks}".rstrip()


def _table(ranked: list[Scores]) -> Table:
    protocol = ranked[0].protocol
    groups = [f"{protocol.group_kind} {name}".replace(" (", "\n(") for name, _ in protocol.groups]
    seen = _has_seen(ranked)
    places = {scores.name: place(scores) for scores in ranked}
    published = any(places.values())
    headings = ["mean error", "median", "max-frame\n<= 20 mm", "max-frame\n<= 40 mm", "AUC\n0-50 mm", *groups]
    table = new_table("method", *headings, *(("SEEN", "UNSEEN", "AVG") if seen else ()), *["place"] * published)
    for scores in ranked:
        whole, found = scores.whole, places[scores.name]
        cells = [f"{whole.mean_error_mm:.3f}", f"{whole.median_error_mm:.3f}"]
        cells += [f"{whole.max_frame_success_percent[t]:.2f}" for t in (20, 40)]
        cells += [f"{whole.joint_success_auc_0_50:.3f}"]
        cells += [f"{scores.groups[name].mean_error_mm:.3f}" for name, _ in protocol.groups]
        cells += [_mm(scores.breakdowns["seen"][name]) for name in _SEEN] if seen else []
        cells += [f"{whole.mean_error_mm:.3f}"] if seen else []
        cells += [f"{found.rank} of {found.of}" if found else ""] if published else []
        table.add_row(marked_name(scores), *cells)
    return table


def _has_seen(ranked: list[Scores]) -> bool:
    return all(set(scores.breakdowns.get("seen", ())) == set(_SEEN) for scores in ranked)


def _mm(mean: GroupMean) -> str:
    return f"{mean.mean_error_mm:.3f}"


def _details(scores: Scores) -> dict[str, str]:
    whole = scores.whole
    rows = {f"finger {name}": f"{error:.3f}" for name, error in whole.mean_error_mm_by_finger.items()}
    for axis, bias, off in zip("xyz", whole.mean_axis_error_mm, whole.mean_abs_axis_error_mm, strict=True):
        rows[f"{axis}: bias, absolute"] = f"{bias:+.3f}, {off:.3f}"
    rows["bone length: bias, absolute"] = f"{whole.mean_bone_bias_mm:+.3f}, {whole.mean_bone_error_mm:.3f}"
    for kind, means in scores.breakdowns.items():
        rows |= {f"{kind} {name} ({mean.frames:,} frames)": _mm(mean) for name, mean in means.items()}
    return rows


def _footnotes(ranked: list[Scores]) -> list[str]:
    first = ranked[0]
    protocol, camera, whole = first.protocol, first.camera, first.whole
    note = f" ({protocol.note})" if protocol.note else ""
    lines = [
        "errors in mm; max-frame: percent of frames whose worst joint is within the distance; AUC: of joints, 3D PCK",
        f"protocol {protocol.name}: {protocol.frames:,} frames, {len(first.joint_labels)} joints{note}",
        f"intrinsics fx {camera.fx:g}, fy {camera.fy:g}, cx {camera.cx:g}, cy {camera.cy:g} px",
        f"labels {first.label_source}",
    ]
    if whole.masked_joints:
        lines.append(f"{whole.masked_joints:,} joints of these frames have no label and take no part")
    for read_as in dict.fromkeys(scores.prediction.get("read_as", "uvd") for scores in ranked):
        if read_as != "uvd":
            names = [scores.name for scores in ranked if scores.prediction.get("read_as") == read_as]
            lines.append(f"read as {read_as}: {', '.join(names)}")
    lines += _conditions(ranked)
    for reason, frames in first.left_out.items():
        named = ", ".join(frames[:3]) + (", ..." if len(frames) > 3 else "")
        lines.append(f"left out {len(frames):,} frame{'s' * (len(frames) != 1)}, {reason}: {named}")
    return lines + _places(ranked)


def _conditions(ranked: list[Scores]) -> list[str]:
    """What is stated of the methods, whom a mark is on, and of whom nothing is known."""
    lines = []
    for key, word in (("center_method", "centres"), ("cube_rule", "cube"), ("epoch_rule", "epoch")):
        said = {scores.name: getattr(scores.conditions, key) for scores in ranked if getattr(scores.conditions, key)}
        for value in dict.fromkeys(said.values()):
            lines.append(f"{word} of {', '.join(name for name in said if said[name] == value)}: {value}")
    for mark, meaning in MARKS.items():
        if any(mark in scores.conditions.marks for scores in ranked):
            lines.append(f"{mark} {meaning}: does not rank on equal terms with rows without {mark}")
    for unstated in dict.fromkeys(scores.conditions.unstated for scores in ranked):
        names = [scores.name for scores in ranked if scores.conditions.unstated == unstated]
        if unstated:
            who = "all" if len(names) == len(ranked) else ", ".join(names)
            lines.append(f"not stated for {who}: {', '.join(unstated)}")
    return lines


def _places(ranked: list[Scores]) -> list[str]:
    places = {scores.name: found for scores in ranked if (found := place(scores))}
    lines = []
    for of, unequal in dict.fromkeys((found.of, found.unequal) for found in places.values()):
        names = [name for name, found in places.items() if (found.of, found.unequal) == (of, unequal)]
        who = "" if len(names) == len(ranked) else f" of {', '.join(names)}"
        marked = f", {unequal} of which do not carry the same marks" if unequal else ""
        lines.append(f"place{who}: among {of - 1} published results, their own left out{marked}")
    return [*lines, f"published results: handbench results {ranked[0].dataset}"] if lines else []
