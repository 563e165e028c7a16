"""`handbench camera`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from click.exceptions import Exit

from handbench.console import (
    claim_output,
    echo_json,
    json_option,
    note,
    overwrite_option,
    progress,
    whole_or_nothing,
)
from handbench.errors import HandbenchError

if TYPE_CHECKING:
    from handbench.camera_check import CameraCheck
    from handbench.store import Split, Store

SUFFIXES = (".png", ".pdf", ".svg")
_WIDTH = 6.875  # inches, two columns of CVPR


@click.group()
def camera() -> None:
    """Find out whether depth unit and camera of a store can be right."""


@camera.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--split", help="Which split. Default: test, or the only one.")
@click.option("--frames", type=click.IntRange(1), default=100, show_default=True, help="How many frames to look at.")
@click.option("--index", type=click.IntRange(0), help="Row that -o draws. Default: median number of pixels.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Draw a point cloud: cloud.png, .pdf or .svg.")
@json_option
@overwrite_option
def check(
    store: Path, split: str | None, frames: int, index: int | None, out: Path | None, as_json: bool, overwrite: bool
) -> None:
    """Measure depth and hands of STORE in mm, and warn about what cannot be right.

    Exit code 1: there are warnings.
    """
    if out is not None:
        _claim(out, overwrite)
    from handbench.camera_check import check_camera, check_text
    from handbench.plots.show_rows import default_split
    from handbench.store import Store

    opened = Store(store)
    frames_of = opened[split or default_split(opened)]
    with progress("camera check", min(frames, len(frames_of)), "frames") as advance:
        found = check_camera(opened, frames_of, frames, advance)
    if out is not None:
        _draw(opened, frames_of, found, index, out)
    if as_json:
        echo_json({"store": str(store), "split": frames_of.name, **found.to_dict()})
    else:
        click.echo(f"{store}, {frames_of.name}: {found.frames:,} of {len(frames_of):,} frames looked at, medians")
        click.echo("\n".join(check_text(found, opened.camera)))
        for warning in found.warnings:
            click.echo(f"warning: {warning}")
    if found.warnings:
        raise Exit(1)


def _claim(out: Path, overwrite: bool) -> None:
    if out.suffix not in SUFFIXES:
        raise HandbenchError(f"{out} is none of {', '.join(SUFFIXES)}; the suffix says which kind of picture to draw")
    claim_output(out, overwrite)


def _draw(store: Store, split: Split, found: CameraCheck, index: int | None, out: Path) -> None:
    """The cloud of one frame; none, with a note, where no box holds anything."""
    import numpy as np

    from handbench.plots.cloud import cloud_view, draw_cloud
    from handbench.plots.style import paper_style, save_figure

    row = _usual_row(found) if index is None else index
    if row is None:
        note(f"no picture {out}: no box of these frames holds any depth")
        return
    depth, origin = split.window(row)
    center, cube, key = split.center_xyz[row], split.cube[row], split.frame_key[row]
    if not np.isfinite(center).all():
        raise HandbenchError(f"frame {key} (row {row}) has no centre to draw a cloud about; take another --index")
    with paper_style(), whole_or_nothing(out) as partial:
        title = f"{key}: {cube[0]:g} mm box, centre {split.center_method}, {center[2]:,.0f} mm away"
        save_figure(
            draw_cloud(cloud_view(title, depth, origin, center, cube, store.camera), _WIDTH), partial, out.suffix
        )
    note(f"wrote {out}: frame {key} (row {row})")


def _usual_row(found: CameraCheck) -> int | None:
    """The row whose hand has the median number of pixels."""
    hands = sorted(found.hands, key=lambda hand: (hand.pixels, hand.row))
    return hands[len(hands) // 2].row if hands else None
