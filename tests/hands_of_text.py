"""Hands with fingers that bend the right way, for files in xyz; and predictions of them."""

import numpy as np

from handbench.camera import xyz_to_uvd
from handbench.datasets import dataset
from handbench.predictions import Predictions

NYU = dataset("nyu")
# A right hand, its palm to the camera, fingers up and bent towards the viewer; x right, y down, z forward, mm.
_FINGERS = [point for x in (-30, -10, 10, 30) for point in ((x, -80, 585), (x, -60, 600))]
_REST = [(70, -20, 590), (60, -5, 595), (50, 10, 600), (20, 60, 605), (-20, 60, 605), (0, 0, 600)]
RIGHT_HAND = np.array([*_FINGERS, *_REST], np.float64)


def hands(frames: int = 40, seed: int = 0) -> np.ndarray:
    """(N, 14, 3) mm: the hand wandering about within the image and turning, never the same twice."""
    random = np.random.default_rng(seed)
    pace, start = random.uniform(0.02, 0.3, (4, 1, 3)), random.uniform(0, 6, (4, 1, 3))
    shifts = 25 * np.sin(np.arange(frames)[:, None, None, None] * pace + start).sum(axis=1)
    angles = np.cumsum(random.normal(0, 0.05, frames))
    c, s, zero, one = np.cos(angles), np.sin(angles), np.zeros(frames), np.ones(frames)
    turns = np.moveaxis(np.array([[c, -s, zero], [s, c, zero], [zero, zero, one]]), 2, 0)
    centre = np.array([0, 0, 600.0])
    turned: np.ndarray = (RIGHT_HAND - centre) @ turns.transpose(0, 2, 1)
    wandering: np.ndarray = turned + centre + shifts + random.normal(0, 1, (frames, 14, 3))
    return wandering


def keys(frames: int) -> tuple[str, ...]:
    return tuple(f"test/1/{i + 1:07d}" for i in range(frames))


def predictions(frames: int = 40, named: bool = True) -> Predictions:
    uvd = xyz_to_uvd(hands(frames), NYU.scoring_camera)
    return Predictions("SRN", uvd, keys(frames) if named else None, {"model": "srn"} if named else {})
