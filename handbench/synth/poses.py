"""Poses a hand may take, and a motion that goes through them in front of a camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from handbench.camera import Camera, uvd_to_xyz
from handbench.synth.hand import Floats
from handbench.synth.joints import ANGLES, LIMITS_DEG

KEY_FRAMES = 20
"""Frames from one key pose to the next: two thirds of a second at NYU's 30 frames a second."""
_FACING_KEYS = 5  # the hand shows the same side for so many key poses
_BACK_SHARE = 0.25
_TILT_DEG = np.array([40.0, 30.0, 35.0])  # greatest turn about the hand's own y, the camera's x and the line of sight
_NEAR_MM, _FAR_MM = 550.0, 900.0
_ASIDE = np.array(
    [0.47, 0.35]
)  # of half the image: with the hand's middle so far off, its tips stay inside even when near

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
    "fist": _pose((24, 31, 20, 68), (1, 71, 89), (0, 75, 92), (-1, 73, 89), (-3, 74, 88)),
    "thumb up": _pose((52, 5, 0, -8), (1, 71, 89), (0, 75, 92), (-1, 73, 89), (-3, 74, 88)),
    "point": _pose((20, 14, 34, 56), (2, 2, 6), (0, 74, 91), (-1, 73, 89), (-3, 74, 88)),
    "victory": _pose((8, 12, 24, 66), (12, 2, 5), (-7, 0, 4), (-2, 72, 88), (-4, 73, 87)),
    "three": _pose((50, 16, 0, -5), (10, 0, 4), (-3, 0, 4), (-3, 72, 88), (-5, 73, 87)),
    "four": _pose((8, 18, 34, 60), (8, 0, 4), (1, -2, 3), (-5, 0, 4), (-13, 2, 5)),
    "pinch": _pose((20, 46, 28, 12), (0, 52, 42), (0, 26, 20), (-5, 18, 16), (-11, 12, 14)),
    "horns": _pose((20, 16, 32, 58), (5, 2, 5), (0, 74, 91), (-2, 72, 88), (-12, 4, 6)),
}
"""Named poses, degrees in the order of `ANGLES`."""

_NOISE_DEG = np.array([1.5 if name.endswith("spread") else 5.0 for name in ANGLES])
_NOISE_DEG[:4] = (5, 10, 4, 4)  # the wrist moves freely, the thumb less


@dataclass(frozen=True)
class Placement:
    """A pose and where it is held.

    Attributes:
        angles_deg: (18,) in the order of `ANGLES`.
        turn_deg: (3,) about the hand's y (0 = palm to the camera, 180 = back), the camera's x, the line of sight;
            in this order.
        position_xyz: (3,) mm, camera frame, of the middle of the hand.
    """

    angles_deg: Floats
    turn_deg: Floats
    position_xyz: Floats

    def towards(self, other: Placement, share: float) -> Placement:
        """The placement at a share of the way to another one."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Placement(*((1 - share) * mine + share * theirs for mine, theirs in pairs))

    def rotation(self) -> Floats:
        """(3, 3) from the hand frame to the axes of the camera frame."""
        (cy, cx, cz), (sy, sx, sz) = np.cos(np.radians(self.turn_deg)), np.sin(np.radians(self.turn_deg))
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        return np.asarray(about_z @ about_x @ about_y)


@dataclass(frozen=True)
class Motion:
    """An endless slow motion through random poses in front of a camera. Any frame is had without the ones before it.

    Attributes:
        camera: the hand stays inside its image, 550 to 900 mm away.
        seed: the same seed gives the same motion.
        key_frames: frames from one key pose to the next; 1 makes every frame a pose of its own.
    """

    camera: Camera
    seed: tuple[int, ...]
    key_frames: int = KEY_FRAMES

    def at(self, frame: int) -> Placement:
        """Where the hand is at a frame, counted from 0; still at every key pose, fastest between two."""
        key, step = divmod(frame, self.key_frames)
        share = step / self.key_frames
        return _key_pose(self, key).towards(_key_pose(self, key + 1), share * share * (3 - 2 * share))


@lru_cache(maxsize=16)
def _key_pose(motion: Motion, number: int) -> Placement:
    """The key pose of that number, counted from 0; every frame between two keys asks for both."""
    rng = np.random.default_rng((*motion.seed, 0, number))
    back = np.random.default_rng((*motion.seed, 1, number // _FACING_KEYS)).random() < _BACK_SHARE
    turn = rng.uniform(-1, 1, 3) * _TILT_DEG + [180 if back else 0, 0, 0]
    half = np.array([motion.camera.width, motion.camera.height]) / 2
    u, v = half + rng.uniform(-1, 1, 2) * _ASIDE * half
    uvd = np.array([u, v, rng.uniform(_NEAR_MM, _FAR_MM)])
    return Placement(random_pose(rng), turn, uvd_to_xyz(uvd, motion.camera))


def random_pose(rng: np.random.Generator) -> Floats:
    """(18,) degrees: somewhere between two named poses, with a little noise, within the limits."""
    first, second = rng.choice(len(POSES_DEG), size=2, replace=False)
    poses = list(POSES_DEG.values())
    share = rng.beta(0.5, 0.5)  # mostly near one of the two
    mixed = (1 - share) * poses[first] + share * poses[second]
    return np.asarray(np.clip(mixed + rng.standard_normal(len(ANGLES)) * _NOISE_DEG, *LIMITS_DEG.T))
