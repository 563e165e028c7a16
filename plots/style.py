"""How figures look: sizes of the author kits, one style file, one line style for each method."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

_STYLE_FILE = Path(__file__).with_name("handbench.mplstyle")

# Petroff (2021), "Accessible color sequences for data visualization", the ten-colour cycle without its red: that is
# kept for the own method.
_COLORS = ("#3f90da", "#ffa90e", "#832db6", "#92dadd", "#a96b59", "#e76300", "#b9ac70", "#717581", "#94a4a2")
_OWN_COLOR = "#bd1f01"
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1.2, 1, 1.2)))  # solid and dashed alternate before the others come
_HATCHES = ("", "/////", "xxxxx", ".....")


@dataclass(frozen=True)
class MethodStyle:
    """How one method is drawn in every figure.

    Attributes:
        color: of line and bar.
        dash: line style as matplotlib takes it.
        width: of the line, pt.
        hatch: of the bar.
        is_own: whether this is the method that the figure is about.
    """

    color: str
    dash: str | tuple[int, tuple[float, ...]]
    width: float
    hatch: str
    is_own: bool


def method_styles(names: list[str], own: str | None) -> dict[str, MethodStyle]:
    """A style for each method; of the others 36 in a row differ in colour or dash, and in colour or hatch."""
    styles: dict[str, MethodStyle] = {}
    for i, name in enumerate(name for name in names if name != own):
        turn, color = divmod(i, len(_COLORS))  # each time round the colours meet other dashes
        dash = (color + turn // 2) % 2 + 2 * (turn % 2)
        styles[name] = MethodStyle(_COLORS[color], _DASHES[dash], 1.0, _HATCHES[turn % len(_HATCHES)], False)
    if own in names:
        styles[own] = MethodStyle(_OWN_COLOR, "-", 1.7, "", True)
    return styles


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw and save figures in handbench's style; matplotlib's settings are as before at the end."""
    with mpl.rc_context(mpl.rc_params_from_file(_STYLE_FILE, use_default_template=False)):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches; call it inside `paper_style`."""
    return Figure(figsize=(width, height))


def legend_above(figure: Figure, **options: float) -> None:
    """A legend over the panel in as many columns as the width has room for; the figure grows by its height.

    Args:
        figure: with one panel whose artists have labels.
        options: for `Figure.legend`.
    """
    handles, labels = figure.axes[0].get_legend_handles_labels()
    for rows in range(1, len(labels) + 1):
        columns = -(-len(labels) // rows)
        legend = figure.legend(handles, labels, loc="outside upper center", ncols=columns, **options)
        extent = legend.get_window_extent()
        if columns == 1 or extent.width < figure.bbox.width:
            break
        legend.remove()
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + extent.height / figure.dpi)


def save_figure(figure: Figure, path: Path, suffix: str) -> None:
    """Save a figure without a date, so that the same scores give the same bytes.

    Args:
        figure: inside `paper_style`.
        path: where to.
        suffix: ".pdf", ".png" or ".svg".
    """
    dates = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}
    figure.savefig(path, format=suffix.removeprefix("."), metadata=dates[suffix])
