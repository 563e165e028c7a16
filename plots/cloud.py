"""Three views of one frame's point cloud, in mm, with the box and a bar to measure by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from handbench.camera import Camera
from handbench.camera_check import cloud
from handbench.plots.style import new_figure

BAR_MM = 200.0  # about the length of an adult hand
_REACH = 1.35  # of half the box: how far the views go, with room for the bar below
_POINTS = 40_000  # a view of 2 inches shows no more
_VIEW = 1.85  # inches, about the side of one of three views in two columns
_DOT = (0.7, 6.0)  # pt
_BOX, _OUTSIDE = "#bd1f01", "0.75"
_AXES = {"front": (0, 1), "top": (0, 2), "side": (2, 1)}
"""View -> the axes of the camera frame that run right and down in it; from the top, far is up."""

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CloudView:
    """The points about one box.

    Attributes:
        title: what to call the frame.
        xyz: (n, 3) mm, camera frame.
        inside: (n,) which of them the box holds.
        center_xyz: (3,) mm.
        cube: (3,) full sides, mm.
        pitch_mm: what a pixel is broad at the centre.
    """

    title: str
    xyz: Points
    inside: npt.NDArray[np.bool_]
    center_xyz: Points
    cube: Points
    pitch_mm: float

    @property
    def reach_mm(self) -> float:
        """How far the views go to each side of the centre: beyond the box, and beyond the bar."""
        return max(_REACH * float(self.cube.max()) / 2, 0.62 * BAR_MM)


def cloud_view(
    title: str,
    depth: npt.NDArray[Any],
    origin: npt.NDArray[Any],
    center_xyz: npt.NDArray[Any],
    cube: npt.NDArray[Any],
    camera: Camera,
) -> CloudView:
    """The points of a frame in and about its box.

    Args:
        title: what to call the frame.
        depth: (H, W) mm, 0 = missing: a frame or a window.
        origin: (2,) u, v of its first pixel in the frame.
        center_xyz: (3,) mm, camera frame.
        cube: (3,) full sides, mm.
        camera: of the frame.
    """
    center, sides = center_xyz.astype(np.float64), cube.astype(np.float64)
    xyz = cloud(depth, origin, camera)[depth > 0]
    offset = np.abs(xyz - center)
    inside = np.asarray((offset <= sides / 2).all(axis=1))
    view = CloudView(title, xyz, inside, center, sides, float(center[2]) / camera.fx)
    near = (offset <= view.reach_mm).all(axis=1)
    return replace(view, xyz=xyz[near], inside=inside[near])


def draw_cloud(view: CloudView, width: float) -> Figure:
    """Front, top and side, orthographic, one scale for all.

    Args:
        view: the points.
        width: of the figure, inches.

    Returns:
        The figure; save it inside `paper_style`.
    """
    figure = new_figure(width, 0.375 * width)
    step = max(1, len(view.xyz) // _POINTS)
    for i, (name, axes_xyz) in enumerate(_AXES.items()):
        axes = figure.add_subplot(1, 3, i + 1)
        _draw_points(axes, view, axes_xyz, step)
        _frame(axes, view, axes_xyz)
        axes.set_title(name, fontsize=8, pad=3)
    _draw_bar(figure.axes[0], view)
    figure.suptitle(view.title, fontsize=7)
    return figure


def _draw_points(axes: Axes, view: CloudView, across_down: tuple[int, int], step: int) -> None:
    """Gray outside the box; inside by depth, dark is near."""
    right, down = across_down
    depth = view.xyz[:, 2] - view.center_xyz[2]
    outside, inside = view.xyz[~view.inside][::step], view.xyz[view.inside][::step]
    size = np.clip(view.pitch_mm * _VIEW * 72 / (2 * view.reach_mm), *_DOT) ** 2
    dots: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}
    axes.scatter(outside[:, right], outside[:, down], color=_OUTSIDE, **dots)
    half = view.cube[2] / 2
    shades = depth[view.inside][::step]
    axes.scatter(inside[:, right], inside[:, down], c=shades, cmap="viridis", vmin=-half, vmax=half, **dots)


def _frame(axes: Axes, view: CloudView, across_down: tuple[int, int]) -> None:
    """Equal axes about the box, its outline and centre."""
    right, down = across_down
    x, y = view.center_xyz[[right, down]]
    sides, reach = view.cube[[right, down]], view.reach_mm
    corner = (x - sides[0] / 2, y - sides[1] / 2)
    axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=_BOX, linewidth=0.8))
    axes.plot(x, y, "+", color=_BOX, markersize=5, markeredgewidth=0.8)
    upward = down == 2  # seen from the top, far is up
    axes.set(xlim=(x - reach, x + reach), ylim=(y - reach, y + reach) if upward else (y + reach, y - reach))
    axes.set(aspect="equal", xlabel=f"{'xyz'[right]} (mm)", ylabel=f"{'xyz'[down]} (mm)")
    axes.locator_params(nbins=4)


def _draw_bar(axes: Axes, view: CloudView) -> None:
    """A bar of a known length below the box."""
    x, y = view.center_xyz[0] - BAR_MM / 2, view.center_xyz[1] + 0.95 * view.reach_mm
    axes.plot([x, x + BAR_MM], [y, y], color="black", linewidth=2.0, solid_capstyle="butt")
    text = axes.text(x + BAR_MM / 2, y - 0.04 * view.reach_mm, f"{BAR_MM:.0f} mm", ha="center", va="bottom", fontsize=7)
    text.set_bbox({"facecolor": "white", "alpha": 0.8, "pad": 0.5, "linewidth": 0})
