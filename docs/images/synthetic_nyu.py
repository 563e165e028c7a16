"""Draws synthetic_nyu.png beside this file: 25 synthetic test frames, 40 apart, and their scored joints."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from handbench.camera import xyz_to_uvd
from handbench.datasets import dataset
from handbench.synth.hand import Floats
from handbench.synth.nyu import nyu_frames

NYU = dataset("nyu")
SIDE, APART = 5, 40
HALF_MM = 135.0  # half of what a tile shows
COLOURS = {"thumb": "C0", "index": "C1", "middle": "C2", "ring": "teal", "pinky": "C4", "palm": "black"}


def draw_frame(axes: Axes, depth: Floats, joints_xyz: Floats) -> None:
    """One hand in grey, near is dark, with the skeleton of the scored joints in one colour a finger."""
    uvd = xyz_to_uvd(joints_xyz[list(NYU.joints.scored)], NYU.camera)
    u, v, z = uvd.mean(axis=0)
    half_px = HALF_MM * NYU.camera.fx / z
    axes.imshow(np.where(depth > 0, depth, np.nan), cmap="gray", vmin=z - 200, vmax=z + 130)
    fingers = NYU.joints.scored_fingers
    for child, parent in NYU.joints.scored_edges:
        axes.plot(*uvd[[child, parent], :2].T, color=COLOURS[fingers[child]], linewidth=1, marker="o", markersize=1.8)
    axes.set(xlim=(u - half_px, u + half_px), ylim=(v + half_px, v - half_px), xticks=[], yticks=[])


def main() -> None:
    """Draw the sheet."""
    plt.style.use("petroff10")
    figure, grid = plt.subplots(SIDE, SIDE, figsize=(7, 7), layout="constrained")
    frames = [frame for i, frame in enumerate(nyu_frames("test", SIDE * SIDE * APART, seed=0)) if i % APART == 0]
    for axes, (depth, joints_xyz) in zip(grid.flat, frames, strict=True):
        draw_frame(axes, depth.astype(np.float64), joints_xyz)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    main()
