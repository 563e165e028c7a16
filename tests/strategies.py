"""Hypothesis strategies for boxes, points and frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from handbench.preprocess import HandBox

seeds = st.integers(0, 2**32 - 1)


@st.composite
def boxes(draw: st.DrawFn) -> HandBox[npt.NDArray[Any]]:
    """One box whose centre is in the image; special rolls, where rows and columns line up, come up often."""
    z = draw(st.floats(300, 1500))
    center = [z * draw(st.floats(-0.53, 0.53)), z * draw(st.floats(-0.4, 0.4)), z]
    cube = [draw(st.floats(50, 400)) for _ in range(3)]
    roll = draw(st.one_of(st.floats(-10, 10), st.sampled_from([0.0, np.pi / 2, np.pi, -np.pi / 4])))
    return HandBox(np.array(center), np.array(cube), np.array(roll))


@st.composite
def points_in(draw: st.DrawFn, spread: float = 150.0) -> npt.NDArray[np.float64]:
    """(P, 3) mm in a box's own C.S."""
    rng = np.random.default_rng(draw(seeds))
    return rng.uniform(-spread, spread, (draw(st.integers(1, 8)), 3))


@st.composite
def frames(draw: st.DrawFn, height: int = 48, width: int = 64) -> npt.NDArray[np.uint16]:
    """A small noisy frame; about a third of its pixels are missing."""
    rng = np.random.default_rng(draw(seeds))
    depth = rng.integers(1, 2000, (height, width))
    return np.where(rng.random(depth.shape) < 0.3, 0, depth).astype(np.uint16)
