"""The panel with the mean error against the viewpoint."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from handbench.errors import HandbenchError
from handbench.plots.curves import label_of
from handbench.plots.style import legend_above, method_styles, new_figure
from handbench.scores import Scores

_RANGES = {"yaw": (-40, 40), "pitch": (-10, 90)}  # what the literature draws


def viewpoint_rows(results: list[Scores], angle: str) -> list[list[str]]:
    """The numbers behind the figure: a head, one row an angle; mm, unrounded. An angle without frames has empty cells.

    Raises:
        HandbenchError: if a method's scores tell no viewpoints.
    """
    for scores in results:
        if not scores.viewpoint.get(angle):
            raise HandbenchError(
                f"the scores of {scores.name} tell no {angle}: it comes from labels of a wrist and of the root of "
                "the middle finger, as MSRA and HANDS17 have them"
            )
    degrees = sorted({d for scores in results for d in scores.viewpoint[angle]})
    curves = [scores.viewpoint[angle] for scores in results]
    head = [f"{angle}_degrees", "frames", *(scores.name for scores in results)]
    rows = []
    for d in degrees:
        frames = next(curve[d].frames for curve in curves if d in curve)
        errors = [repr(curve[d].mean_error_mm) if d in curve else "" for curve in curves]
        rows.append([str(d), str(frames), *errors])
    return [head, *rows]


def draw_viewpoint(results: list[Scores], own: str | None, angle: str, width: float) -> Figure:
    """Mean error of the frames seen from each angle, in bins of two degrees.

    Args:
        results: scores of one protocol in the order of the legend, whose `viewpoint` holds the angle.
        own: name of the method that the figure is about, or None.
        angle: "yaw" or "pitch".
        width: of the figure, inches.

    Returns:
        The figure; save it inside `paper_style`.
    """
    figure = new_figure(width, min(0.75 * width, 3.0))
    axes = figure.add_subplot()
    low, high = _RANGES[angle]
    degrees = list(range(low, high + 1, 2))
    styles = method_styles([scores.name for scores in results], own)
    for scores in results:
        style, curve = styles[scores.name], scores.viewpoint[angle]
        errors = [curve[d].mean_error_mm if d in curve else math.nan for d in degrees]  # no line over what is missing
        axes.plot(
            degrees,
            errors,
            color=style.color,
            linestyle=style.dash,
            linewidth=style.width,
            zorder=3 if style.is_own else 2,
            label=label_of(scores),
        )
    axes.set(xlabel=f"{angle} angle (deg)", ylabel="Mean error distance (mm)", xlim=(low, high))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MultipleLocator(10))
    axes.grid(which="major")
    legend_above(figure)
    return figure
