"""The gallery of suspected labels: what the label says, what the methods say, and the depth image if there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from handbench.findings import Findings, Pictured, Suspect
from handbench.plots.style import new_figure

_LABEL, _METHOD = "#bd1f01", "#3f90da"  # the red of the own method and the first of the others
_TITLE = 0.32  # inches above a panel for its two lines
_MARGIN = 1.25  # of the window around all joints
Depth = npt.NDArray[np.number]


def gallery_rows(findings: Findings, count: int, check: str | None, apart: int) -> list[Suspect]:
    """The worst findings that can be drawn, no two of them within `apart` frames: a wrong label rarely comes alone."""
    chosen: list[Suspect] = []
    for suspect in findings.suspects:
        fits = check in (None, suspect.check) and suspect.row in findings.pictures
        if fits and all(abs(suspect.row - other.row) >= apart for other in chosen):
            chosen.append(suspect)
    return chosen[:count]


def gallery_table(suspects: Iterable[Suspect]) -> list[list[str]]:
    """What is drawn, as rows for the CSV beside the picture."""
    head = ["frame", "group", "check", "joint", "mm", "severity"]
    return [head, *([s.frame, s.group, s.check, s.joint, repr(s.mm), repr(s.severity)] for s in suspects)]


def draw_gallery(
    findings: Findings, suspects: list[Suspect], width: float, depth: Callable[[int], Depth] | None = None
) -> Figure:
    """A panel for each suspected frame.

    Args:
        findings: with the pictures of these frames.
        suspects: one a frame, at least one.
        width: of the figure, inches.
        depth: gives the depth image of a row, (H, W) mm, 0 = missing; None draws none.

    Returns:
        The figure; save it inside `paper_style`.
    """
    columns = min(len(suspects), max(2, round(width / 1.6)))
    rows = -(-len(suspects) // columns)
    side = width / columns
    figure = new_figure(width, rows * (side + _TITLE) + 0.25)
    for i, suspect in enumerate(suspects):
        axes = figure.add_subplot(rows, columns, i + 1)
        picture = findings.pictures[suspect.row]
        _window(axes, picture)
        if depth is not None:
            _draw_depth(axes, depth(suspect.row), picture)
        for uvd in picture.pred_uvd.values():
            _draw_hand(axes, uvd, findings.edges, _METHOD, 0.5, 0.7)
        _draw_hand(axes, picture.label_uvd, findings.edges, _LABEL, 1.2, 1.0)
        if suspect.joint in findings.joint_labels:
            u, v, _ = picture.label_uvd[findings.joint_labels.index(suspect.joint)]
            axes.plot(u, v, "o", color=_LABEL, markersize=6, markerfacecolor="none", markeredgewidth=0.9)
        axes.set_title(_title(suspect), fontsize=6, pad=2)
    handles = [Line2D([], [], color=_LABEL, linewidth=1.2, label="label")]
    if findings.methods:
        handles.append(Line2D([], [], color=_METHOD, linewidth=0.7, label=f"{len(findings.methods)} methods"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _title(suspect: Suspect) -> str:
    where = f"{suspect.frame}, {suspect.group}" if suspect.group else suspect.frame
    what = f"{suspect.joint} {suspect.mm:.0f} mm" if suspect.joint else "whole frame"
    return f"{where}\n{suspect.check}: {what}"


def _window(axes: Axes, picture: Pictured) -> None:
    """A square around everything that is drawn; rows of the image run downwards."""
    points = np.concatenate([picture.label_uvd, *picture.pred_uvd.values()])[:, :2]
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    (u, v), half = (low + high) / 2, _MARGIN * max(*(high - low), 1.0) / 2
    axes.set(xlim=(u - half, u + half), ylim=(v + half, v - half), xticks=[], yticks=[], aspect="equal")


def _draw_depth(axes: Axes, depth: Depth, picture: Pictured) -> None:
    """Gray, dark is near; the range is that of the hand, and what is missing is white."""
    z = np.concatenate([picture.label_uvd[:, 2], *(uvd[:, 2] for uvd in picture.pred_uvd.values())])
    shown = np.ma.masked_equal(depth, 0)
    axes.imshow(shown, cmap="gray", vmin=np.nanmin(z) - 60, vmax=np.nanmax(z) + 60, interpolation="nearest", zorder=0)


def _draw_hand(
    axes: Axes,
    uvd: npt.NDArray[np.float64],
    edges: tuple[tuple[int, int], ...],
    color: str,
    width: float,
    alpha: float,
) -> None:
    for a, b in edges:
        axes.plot(uvd[[a, b], 0], uvd[[a, b], 1], color=color, linewidth=width, alpha=alpha, solid_capstyle="round")
