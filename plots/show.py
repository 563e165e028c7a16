"""The contact sheet: frames or crops side by side, with skeletons."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from handbench.datasets import JointSet
from handbench.plots.show_panels import Panel
from handbench.plots.style import new_figure

FINGER_COLORS = {
    "palm": "#b9ac70",
    "thumb": "#3f90da",
    "index": "#ffa90e",
    "middle": "#832db6",
    "ring": "#92dadd",
    "pinky": "#a96b59",
}
"""Colours of the methods (`style`) for the fingers; the red is kept for predictions and boxes."""
PRED_COLOR = "#bd1f01"
_CAPTION = 0.105  # inches a line
_FOOT = 0.38
_WIDEST = 12  # panels beside each other

Floats = npt.NDArray[np.float64]


def columns_of(panels: int, beside: int) -> int:
    """How many panels stand beside each other: all of a frame's, or as many as rows."""
    return beside if beside > 1 else max(1, min(_WIDEST, math.ceil(math.sqrt(panels))))


def draw_sheet(panels: Sequence[Panel], joints: JointSet, columns: int, width: float, title: str) -> Figure:
    """A panel for each picture.

    Args:
        panels: at least one.
        joints: of the data set; its scored skeleton is drawn.
        columns: how many panels stand beside each other.
        width: of the figure, inches.
        title: a line below it: which store, which frames.

    Returns:
        The figure; save it inside `paper_style`.
    """
    rows = -(-len(panels) // columns)
    lines = max(panel.caption.count("\n") + 1 for panel in panels)
    height, broad = max(panel.image.shape[0] / panel.image.shape[1] for panel in panels), width / columns
    figure = new_figure(width, rows * (broad * height + _CAPTION * lines + 0.05) + _FOOT)
    for i, panel in enumerate(panels):
        _draw_panel(figure.add_subplot(rows, columns, i + 1), panel, joints, broad)
    _draw_legend(figure, panels, joints, title)
    return figure


def _draw_panel(axes: Axes, panel: Panel, joints: JointSet, broad: float) -> None:
    height, width = panel.image.shape
    axes.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal")
    axes.set_title(_fitted(panel.caption, broad), fontsize=6, pad=2, linespacing=1.1)
    if panel.problem:
        axes.text(0.5, 0.5, panel.problem, transform=axes.transAxes, ha="center", va="center", fontsize=6, wrap=True)
    else:
        low, high = panel.limits
        top = high + 0.25 * (high - low)  # what is there is never as light as what is missing
        image = np.ma.masked_invalid(panel.image)
        axes.imshow(np.ma.clip(image, low, high), cmap="gray", vmin=low, vmax=top, interpolation="nearest", zorder=0)
    if panel.box_uv is not None:
        corners = panel.box_uv[[0, 1, 2, 3, 0]]
        axes.plot(corners[:, 0], corners[:, 1], color=PRED_COLOR, linewidth=0.5, zorder=1)
    scale = min(1.0, broad / 1.7)
    for edge, color in skeleton(joints):
        _draw_bone(axes, panel.joints_uv, edge, color, 1.4 * scale)
    if panel.pred_uv is not None:
        for edge, _ in skeleton(joints):
            _draw_bone(axes, panel.pred_uv, edge, PRED_COLOR, 0.8 * scale)


def skeleton(joints: JointSet) -> list[tuple[tuple[int, int], str]]:
    """The bones between scored joints, each with the colour of the finger that its far joint belongs to."""
    fingers = joints.scored_fingers
    return [(edge, FINGER_COLORS.get(fingers[edge[0]], FINGER_COLORS["palm"])) for edge in joints.scored_edges]


def _draw_bone(axes: Axes, uv: Floats, edge: tuple[int, int], color: str, width: float) -> None:
    if max(edge) < len(uv):
        a, b = edge
        axes.plot(uv[[a, b], 0], uv[[a, b], 1], color=color, linewidth=width, marker="o", markersize=1.3 * width)


def _fitted(caption: str, broad: float) -> str:
    """Lines that fit over a panel; the end of a key tells frames apart, so its beginning goes."""
    most = max(8, int(broad / 0.042))
    lines = [line if len(line) <= most else f"…{line[1 - most :]}" for line in caption.split("\n")]
    return "\n".join(line.replace("$", r"\$") for line in lines)


def _draw_legend(figure: Figure, panels: Sequence[Panel], joints: JointSet, title: str) -> None:
    labelled = any(np.isfinite(panel.joints_uv).any() for panel in panels)
    shown = {color for _, color in skeleton(joints)} if labelled else set()
    handles = [
        Line2D([], [], color=color, linewidth=1.4, label=finger)
        for finger, color in FINGER_COLORS.items()
        if color in shown
    ]
    if any(panel.pred_uv is not None for panel in panels):
        handles.append(Line2D([], [], color=PRED_COLOR, linewidth=0.9, label="prediction"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=max(1, len(handles)),
        frameon=False,
        title=title.replace("$", r"\$"),
        title_fontsize=7,
    )
