"""The panel with the success curves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from handbench.plots.style import legend_above, method_styles, new_figure
from handbench.scores import THRESHOLDS_MM, Scores


@dataclass(frozen=True)
class Metric:
    """One family of curves.

    Attributes:
        key: attribute of `handbench.scores.Summary`.
        x_label: what the threshold is.
        y_label: what is counted.
    """

    key: str
    x_label: str
    y_label: str


METRICS = {
    "max-frame": Metric(
        "max_frame_success_percent", "Maximum allowed distance to GT (mm)", "Fraction of frames within distance (%)"
    ),
    "mean-frame": Metric(
        "mean_frame_success_percent", "Mean distance threshold (mm)", "Fraction of frames within distance (%)"
    ),
    "joint": Metric("joint_success_percent", "Distance threshold (mm)", "Fraction of joints within distance (%)"),
}


def label_of(scores: Scores) -> str:
    """A method as the legends of the literature write it: "SRN (7.79 mm)"; marks of unequal terms stand in between."""
    name = scores.name.replace("$", r"\$")  # no mathematics
    visible = f" {name}" if name.startswith("_") else name  # matplotlib leaves labels with an underscore in front out
    marked = f"{visible} {scores.conditions.marks}".rstrip()
    return f"{marked} ({scores.whole.mean_error_mm:.2f} mm)"


def curve_rows(results: list[Scores], metric: str) -> list[list[str]]:
    """The numbers behind the figure: a head, then one row a threshold; percent, unrounded."""
    curves = [getattr(scores.whole, METRICS[metric].key) for scores in results]
    head = ["threshold_mm", *(scores.name for scores in results)]
    return [head, *([str(t), *(repr(curve[t]) for curve in curves)] for t in THRESHOLDS_MM)]


def draw_curves(results: list[Scores], own: str | None, metric: str, width: float) -> Figure:
    """Share of frames or joints within a distance, against the distance.

    Args:
        results: scores of one protocol in the order of the legend.
        own: name of the method that the figure is about, or None.
        metric: a key of `METRICS`.
        width: of the figure, inches.

    Returns:
        The figure; save it inside `paper_style`.
    """
    figure = new_figure(width, min(0.9 * width, 3.5))
    axes = figure.add_subplot()
    styles = method_styles([scores.name for scores in results], own)
    for scores in results:
        style = styles[scores.name]
        axes.plot(
            THRESHOLDS_MM,
            getattr(scores.whole, METRICS[metric].key),
            color=style.color,
            linestyle=style.dash,
            linewidth=style.width,
            zorder=3 if style.is_own else 2,
            label=label_of(scores),
        )
    _dress(axes, METRICS[metric])
    _place_legend(figure, axes)
    return figure


def _dress(axes: Axes, metric: Metric) -> None:
    axes.set(xlabel=metric.x_label, ylabel=metric.y_label, xlim=(0, THRESHOLDS_MM[-1]), ylim=(0, 100))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(10))
        axis.set_minor_locator(MultipleLocator(5))
    axes.grid(which="major")


def _place_legend(figure: Figure, axes: Axes) -> None:
    """Lower right, as readers expect; above the panel where it would lie on a curve there."""
    legend = axes.legend(loc="lower right")
    figure.draw_without_rendering()
    box = legend.get_window_extent().transformed(axes.transData.inverted())
    beside = np.asarray(THRESHOLDS_MM) >= math.floor(box.x0)  # the curves rise, so its left edge is where they are near
    lowest = min(np.asarray(line.get_ydata())[beside].min() for line in axes.get_lines())
    if lowest < box.y1 or box.x0 < 0:
        legend.remove()
        legend_above(figure)
    else:
        figure.set_layout_engine("none")  # the panel lies where it will: spares saving a second layout
