"""Named poses of the hand, and random ones between them."""

from __future__ import annotations

import numpy as np

from handbench.synth.hand import Floats
from handbench.synth.joints import ANGLES, FINGERS, within_limits

Digit = tuple[float, float, float]


def _pose(
    thumb: tuple[float, float, float, float],
    index: Digit,
    middle: Digit,
    ring: Digit,
    pinky: Digit,
    wrist: tuple[float, float] = (0, -15),
) -> Floats:
    """(18,) degrees in the order of `ANGLES`: fingers (spread, flexion, middle), the thumb with its tip besides."""
    return np.array([*wrist, *thumb, *index, *middle, *ring, *pinky], dtype=np.float64)


POSES_DEG: dict[str, Floats] = {
    "open": _pose((40, 20, 5, 0), (6, 2, 5), (0, 0, 4), (-5, 2, 5), (-12, 4, 6)),
    "spread": _pose((52, 18, 0, -5), (13, -4, 3), (2, -6, 2), (-8, -4, 3), (-18, -4, 4)),
    "flat": _pose((20, 12, 10, 5), (2, 0, 3), (0, 0, 2), (-1, 0, 3), (-3, 0, 4)),
    "relaxed": _pose((34, 30, 15, 15), (4, 18, 25), (0, 24, 32), (-4, 28, 35), (-9, 28, 35)),
    "claw": _pose((42, 28, 10, 35), (8, 0, 65), (0, 0, 68), (-6, 0, 68), (-13, 0, 62)),
    "grasp": _pose((32, 48, 18, 18), (5, 38, 38), (0, 42, 42), (-4, 44, 42), (-9, 44, 38)),
    "hook": _pose((30, 24, 10, 10), (3, 5, 88), (0, 5, 92), (-3, 5, 92), (-7, 5, 86)),
    "fist": _pose((24, 31, 20, 68), (1, 78, 98), (0, 82, 100), (-1, 80, 98), (-3, 81, 97)),
    "thumb up": _pose((52, 5, 0, -8), (1, 78, 98), (0, 82, 100), (-1, 80, 98), (-3, 81, 97)),
    "point": _pose((20, 14, 34, 56), (2, 2, 6), (0, 81, 100), (-1, 80, 98), (-3, 81, 97)),
    "victory": _pose((8, 12, 24, 66), (12, 2, 5), (-7, 0, 4), (-2, 79, 97), (-4, 80, 96)),
    "three": _pose((50, 16, 0, -5), (10, 0, 4), (-3, 0, 4), (-3, 79, 97), (-5, 80, 96)),
    "four": _pose((8, 18, 34, 60), (8, 0, 4), (1, -2, 3), (-5, 0, 4), (-13, 2, 5)),
    "pinch": _pose((31, 55, 37, 16), (1, 63, 45), (0, 26, 20), (-5, 18, 16), (-11, 12, 14)),
    "horns": _pose((20, 16, 32, 58), (5, 2, 5), (0, 81, 100), (-2, 79, 97), (-12, 4, 6)),
}
"""The prior of hands that do anything: (18,) degrees in the order of `ANGLES`. `Subject.relaxed` sees to contacts."""

MSRA_POSES_DEG: dict[str, Floats] = {
    "1": _pose((8, 30, 40, 50), (2, 0, 4), (0, 81, 100), (-1, 80, 98), (-3, 81, 97)),
    "2": _pose((8, 30, 34, 56), (12, 0, 4), (-7, 0, 4), (-2, 79, 97), (-4, 80, 96)),
    "3": _pose((50, 16, 0, -5), (10, 0, 4), (-5, 0, 4), (-3, 79, 97), (-5, 80, 96)),
    "4": _pose((0, 30, 42, 55), (9, 0, 4), (2, -2, 3), (-6, 0, 4), (-14, 2, 5)),
    "5": _pose((52, 18, 0, -5), (13, -4, 3), (2, -6, 2), (-8, -4, 3), (-18, -4, 4)),
    "6": _pose((26, 64, 52, 36), (9, 0, 4), (1, 0, 4), (-4, 8, 10), (14, 74, 38)),
    "7": _pose((26, 63, 48, 30), (9, 0, 4), (1, 2, 4), (-2, 66, 62), (-14, 8, 10)),
    "8": _pose((26, 60, 36, 25), (9, 0, 4), (1, 58, 58), (-6, 2, 5), (-14, 2, 5)),
    "9": _pose((31, 55, 38, 16), (1, 63, 46), (0, 4, 6), (-5, 2, 5), (-13, 2, 5)),
    "I": _pose((8, 30, 36, 50), (1, 78, 98), (0, 82, 100), (-1, 80, 98), (-8, 2, 5)),
    "IP": _pose((8, 30, 36, 50), (5, 0, 4), (0, 81, 100), (-2, 79, 97), (-10, 2, 5)),
    "L": _pose((55, 5, 0, -8), (2, 0, 4), (0, 81, 100), (-1, 80, 98), (-3, 81, 97)),
    "MP": _pose((8, 30, 30, 40), (1, 78, 98), (0, 0, 4), (-1, 80, 98), (-10, 2, 5)),
    "RP": _pose((8, 30, 30, 40), (1, 78, 98), (0, 81, 100), (-2, 4, 6), (-10, 2, 5)),
    "T": _pose((52, 5, 0, -8), (1, 78, 98), (0, 82, 100), (-1, 80, 98), (-3, 81, 97)),
    "TIP": _pose((52, 8, 0, -8), (6, 0, 4), (0, 81, 100), (-2, 79, 97), (-12, 2, 5)),
    "Y": _pose((55, 5, 0, -8), (1, 78, 98), (0, 82, 100), (-1, 80, 98), (-12, 2, 5)),
}
"""MSRA's 17 gestures, the same way. The authors name them and no more. We take 1 to 9 and I, L, Y as in American Sign
Language, and the others by the fingers that are stretched: T thumb, I index, M middle, R ring, P pinky."""

_ALL_DEG = POSES_DEG | MSRA_POSES_DEG
_HELD = 0.6  # how much of the noise a gesture has that is held on purpose
_OWN_WAY = 0.15  # standard deviation of a finger's share of the way between two poses
_NOISE_DEG = np.array([1.5 if name.endswith("spread") else 5.0 for name in ANGLES])
_NOISE_DEG[:4] = (5, 10, 4, 4)  # the wrist moves freely, the thumb less
# A finger that bends takes its neighbours along: Haeger-Ross & Schieber, "Quantifying the independence of human finger
# movements", 2000. How much of the noise of bending each neighbour takes over is our choice.
_ALONG = 0.3
_ROWS_OF_DIGITS = [slice(0, 2), slice(2, 6), *(slice(6 + 3 * k, 9 + 3 * k) for k in range(len(FINGERS)))]


def gesture_names(name: str) -> tuple[str, ...]:
    """The gestures that hands of a data set make: MSRA's own 17, and the poses of our prior for the others."""
    return tuple(MSRA_POSES_DEG if name == "msra" else POSES_DEG)


def held_pose(rng: np.random.Generator, gesture: str) -> Floats:
    """(18,) degrees: a named pose as it is held twice, nearly the same."""
    return within_limits(_ALL_DEG[gesture] + _HELD * _noise(rng))


def random_pose(rng: np.random.Generator, names: tuple[str, ...]) -> tuple[str, Floats]:
    """A pose somewhere between two of the named ones.

    Args:
        rng: source of the pose.
        names: two or more gestures.

    Returns:
        The name of the nearer one, and (18,) degrees within the limits.
    """
    first, second = rng.choice(len(names), size=2, replace=False).tolist()
    share = float(rng.beta(0.5, 0.5))  # mostly near one of the two
    shares = np.empty(len(ANGLES))
    for rows in _ROWS_OF_DIGITS:
        shares[rows] = np.clip(share + _OWN_WAY * rng.standard_normal(), 0, 1)
    mixed = (1 - shares) * _ALL_DEG[names[first]] + shares * _ALL_DEG[names[second]]
    return names[first if share < 0.5 else second], within_limits(mixed + _noise(rng))


def _noise(rng: np.random.Generator) -> Floats:
    """(18,) degrees: how a pose differs from its name."""
    noise = rng.standard_normal(len(ANGLES))
    bending = noise[6:].reshape(len(FINGERS), 3)[:, 1:]
    before = bending.copy()
    bending[1:] += _ALONG * before[:-1]
    bending[:-1] += _ALONG * before[1:]
    return np.asarray(noise * _NOISE_DEG)
