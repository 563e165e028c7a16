"""The panel with the mean error of each joint."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from handbench.plots.curves import label_of
from handbench.plots.style import legend_above, method_styles, new_figure
from handbench.scores import Scores

MEAN = "Mean"
_GROUP = 0.86  # how much of the room of a joint its bars take


def joint_rows(results: list[Scores]) -> list[list[str]]:
    """The numbers behind the figure: a head, one row a joint, a last row with the mean; mm, unrounded.

    The mean is the one over all frames and labelled joints. A joint that is never labelled has an empty cell.
    """
    first = results[0]
    rows = [["joint", *(scores.name for scores in results)]]
    for joint in first.joint_order:
        errors = [scores.whole.mean_error_mm_by_joint[joint] for scores in results]
        rows.append([first.joint_labels[joint], *("" if math.isnan(error) else repr(error) for error in errors)])
    rows.append([MEAN, *(repr(scores.whole.mean_error_mm) for scores in results)])
    return rows


def draw_joints(results: list[Scores], own: str | None, width: float) -> Figure:
    """Mean error of each joint as grouped bars, the last group the mean over all.

    Args:
        results: scores of one protocol in the order of the legend.
        own: name of the method that the figure is about, or None.
        width: of the figure, inches.

    Returns:
        The figure; save it inside `paper_style`.
    """
    figure = new_figure(width, max(1.9, 0.36 * width))
    axes = figure.add_subplot()
    order = list(results[0].joint_order)
    places = np.arange(len(order) + 1)
    bar = _GROUP / len(results)
    styles = method_styles([scores.name for scores in results], own)
    for i, scores in enumerate(results):
        errors = [scores.whole.mean_error_mm_by_joint[joint] for joint in order]
        axes.bar(
            places + (i - (len(results) - 1) / 2) * bar,
            [*errors, scores.whole.mean_error_mm],
            width=bar,
            color=styles[scores.name].color,
            hatch=styles[scores.name].hatch,
            label=label_of(scores),
        )
    _dress(axes, [*(results[0].joint_labels[joint] for joint in order), MEAN])
    legend_above(figure, handlelength=1.0)
    return figure


def _dress(axes: Axes, names: list[str]) -> None:
    axes.set_ylabel("Mean Error (mm)")
    axes.set_xticks(np.arange(len(names)), names, rotation=90)
    axes.tick_params(axis="x", which="both", top=False, length=0)
    axes.set_xlim(-0.6, len(names) - 0.4)
    top = axes.get_ylim()[1]
    axes.yaxis.set_major_locator(MultipleLocator(5 if top <= 45 else 10))
    axes.grid(axis="y", which="major")
    axes.axvline(len(names) - 1.5, color="0.5", linewidth=0.5)
