"""Poses a hand may take, and a motion that goes through them in front of a camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from handbench.camera import Camera, uvd_to_xyz
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.synth.hand import WRIST, Floats, Side
from handbench.synth.joints import ANGLES, LIMITS_DEG, within_limits
from handbench.synth.subject import Subject

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

MSRA_POSES_DEG: dict[str, Floats] = {
    "1": _pose((8, 30, 40, 50), (2, 0, 4), (0, 74, 91), (-1, 73, 89), (-3, 74, 88)),
    "2": _pose((8, 30, 34, 56), (12, 0, 4), (-7, 0, 4), (-2, 72, 88), (-4, 73, 87)),
    "3": _pose((50, 16, 0, -5), (10, 0, 4), (-5, 0, 4), (-3, 72, 88), (-5, 73, 87)),
    "4": _pose((0, 30, 42, 55), (9, 0, 4), (2, -2, 3), (-6, 0, 4), (-14, 2, 5)),
    "5": _pose((52, 18, 0, -5), (13, -4, 3), (2, -6, 2), (-8, -4, 3), (-18, -4, 4)),
    "6": _pose((20, 55, 40, 30), (9, 0, 4), (1, 0, 4), (-6, 4, 8), (-4, 60, 60)),
    "7": _pose((20, 52, 36, 25), (9, 0, 4), (1, 2, 4), (-2, 58, 58), (-14, 4, 6)),
    "8": _pose((20, 48, 30, 22), (9, 0, 4), (0, 56, 54), (-6, 2, 5), (-14, 2, 5)),
    "9": _pose((20, 46, 28, 12), (0, 54, 46), (0, 4, 6), (-5, 2, 5), (-13, 2, 5)),
    "I": _pose((8, 30, 36, 50), (1, 71, 89), (0, 75, 92), (-1, 73, 89), (-8, 2, 5)),
    "IP": _pose((8, 30, 36, 50), (5, 0, 4), (0, 74, 91), (-2, 72, 88), (-10, 2, 5)),
    "L": _pose((55, 5, 0, -8), (2, 0, 4), (0, 74, 91), (-1, 73, 89), (-3, 74, 88)),
    "MP": _pose((8, 30, 30, 40), (1, 71, 89), (0, 0, 4), (-1, 73, 89), (-10, 2, 5)),
    "RP": _pose((8, 30, 30, 40), (1, 71, 89), (0, 74, 91), (-2, 4, 6), (-10, 2, 5)),
    "T": _pose((52, 5, 0, -8), (1, 71, 89), (0, 75, 92), (-1, 73, 89), (-3, 74, 88)),
    "TIP": _pose((52, 8, 0, -8), (6, 0, 4), (0, 74, 91), (-2, 72, 88), (-12, 2, 5)),
    "Y": _pose((55, 5, 0, -8), (1, 71, 89), (0, 75, 92), (-1, 73, 89), (-12, 2, 5)),
}
"""MSRA's 17 gestures. The authors name them and no more. We take 1 to 9 and I, L, Y as in American Sign Language, and
the others by the fingers that are stretched: T thumb, I index, M middle, R ring, P pinky."""
MSRA_GESTURES = tuple(MSRA_POSES_DEG)
ALL_POSES_DEG = POSES_DEG | MSRA_POSES_DEG

_HELD_NOISE = 0.6  # how much of the noise a gesture that is held has
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


@dataclass(frozen=True)
class View:
    """How a data set's camera sees hands.

    Attributes:
        side: which hand.
        depth_mm: nearest and farthest middle of the palm.
        aside: (2,) of half the image, how far the middle of the palm goes from its middle.
        turn_deg: (3, 2) mean and standard deviation of the turn about the hand's own axis, of leaning with the fingers
            towards the camera, and of the turn in the image (positive: clockwise).
        back_share: how often the back of the hand faces the camera.
    """

    side: Side
    depth_mm: tuple[float, float]
    aside: tuple[float, float]
    turn_deg: tuple[tuple[float, float], ...]
    back_share: float


VIEWS: dict[str, View] = {
    "nyu": View("right", (550, 900), (0.47, 0.35), ((0, 20), (20, 18), (8, 25)), 0.27),
    "icvl": View("left", (280, 420), (0.15, 0.12), ((0, 12), (11, 15), (-14, 16)), 0.0),
    "msra": View("right", (270, 420), (0.2, 0.15), ((5, 40), (36, 25), (0, 15)), 0.0),
    "hands17": View("right", (350, 750), (0.4, 0.3), ((0, 50), (10, 30), (0, 45)), 0.5),
}


@dataclass(frozen=True)
class PoseSequence:
    """N poses of one subject before a camera.

    Attributes:
        angles_deg: (N, 18) in the order of `ANGLES`.
        rotations: (N, 21, 3, 3) for `Hand.pose`.
        turn: (N, 3, 3) from the hand frame to the axes of the camera frame.
        position_xyz: (N, 3) mm, camera frame, of the middle of the palm.
        gestures: N names, of the key pose that is nearest in time.
    """

    angles_deg: Floats
    rotations: Floats
    turn: Floats
    position_xyz: Floats
    gestures: tuple[str, ...]


def gesture_names(name: str) -> tuple[str, ...]:
    """The gestures that hands of a data set make: MSRA's own 17, and the poses of our prior for the others."""
    return MSRA_GESTURES if name == "msra" else tuple(POSES_DEG)


def sequence(
    name: str,
    frames: range,
    seed: tuple[int, ...],
    subject: Subject,
    *,
    key_frames: int = KEY_FRAMES,
    gesture: str | None = None,
) -> PoseSequence:
    """A slow motion through random poses, as a data set's camera would see it.

    The hand is still at every key pose and fastest half way to the next. A frame depends on its number, the seed, the
    subject and the options, never on the other frames asked for.

    Args:
        name: of the data set: its camera, its side, its way to look at hands.
        frames: numbers of the frames wanted, from 0.
        seed: the same seed gives the same motion.
        subject: whose hand; its side should be that of the data set.
        key_frames: frames from one key pose to the next; 1 makes every frame a pose of its own.
        gesture: one of `gesture_names(name)`, held all the time with little variation; None for all of them in turn.

    Returns:
        The poses, in the order of `frames`.

    Raises:
        HandbenchError: if the data set or the gesture is unknown, or `key_frames` is not positive.
    """
    view = _view(name, gesture, key_frames)
    camera = dataset(name).camera
    wanted = np.array(frames, dtype=np.int64)
    first, step = np.divmod(wanted, key_frames)
    share = step / key_frames
    share = (share * share * (3 - 2 * share))[:, None]
    numbers = sorted({*first.tolist(), *(first + 1)[step > 0].tolist()})
    keys = [_key(view, camera, (*seed, number), gesture_names(name), gesture) for number in numbers]
    row = {number: index for index, number in enumerate(numbers)}
    before = np.array([row[k] for k in first.tolist()], dtype=np.intp)
    after = np.array([row.get(k + 1, 0) for k in first.tolist()], dtype=np.intp)  # unused where share is 0
    state = np.stack([key.state for key in keys]) if keys else np.empty((0, len(ANGLES) + 6))
    now = (1 - share) * state[before] + share * state[after]
    angles = subject.relaxed(within_limits(now[:, : len(ANGLES)]))
    rotations = subject.joints.rotations(angles)
    turn = turn_matrices(now[:, -6:-3]) @ rotations[:, WRIST].swapaxes(-1, -2)  # the palm, not the forearm, is turned
    nearest = np.where(share[:, 0] < 0.5, before, after)
    gestures = tuple(keys[key].gesture for key in nearest.tolist())
    return PoseSequence(angles, rotations, turn, uvd_to_xyz(now[:, -3:], camera), gestures)


@dataclass(frozen=True)
class _Key:
    """A key pose: its name, and (24,) its 18 angles, 3 turns in degrees, and u, v, d of the middle of the palm."""

    gesture: str
    state: Floats


def _view(name: str, gesture: str | None, key_frames: int) -> View:
    if name not in VIEWS:
        raise HandbenchError(f"no synthetic hands for data set {name}; there are {', '.join(VIEWS)}")
    if gesture is not None and gesture not in gesture_names(name):
        raise HandbenchError(f"{name} has no gesture {gesture!r}; there are {', '.join(gesture_names(name))}")
    if key_frames < 1:
        raise HandbenchError(f"{key_frames} frames from one key pose to the next; it must be 1 or more")
    return VIEWS[name]


def _key(view: View, camera: Camera, seed: tuple[int, ...], names: tuple[str, ...], gesture: str | None) -> _Key:
    """The key pose that belongs to a seed whose last number counts key poses."""
    *before, number = seed
    rng = np.random.default_rng((*before, 0, number))
    back = np.random.default_rng((*before, 1, number // _FACING_KEYS)).random() < view.back_share
    mean, spread = np.array(view.turn_deg).T
    turn = mean + spread * np.clip(rng.standard_normal(3), -2.2, 2.2) + [180 if back else 0, 0, 0]
    half = np.array([camera.width, camera.height]) / 2
    u, v = half + rng.uniform(-1, 1, 2) * view.aside * half
    place = np.array([u, v, rng.uniform(*view.depth_mm)])
    shown, angles = _random_pose(rng, names) if gesture is None else (gesture, _held(rng, gesture))
    return _Key(shown, np.concatenate((angles, turn, place)))


def _random_pose(rng: np.random.Generator, names: tuple[str, ...]) -> tuple[str, Floats]:
    """A pose somewhere between two of the named ones, and the name of the nearer one."""
    first, second = rng.choice(len(names), size=2, replace=False).tolist()
    share = rng.beta(0.5, 0.5)  # mostly near one of the two
    mixed = (1 - share) * ALL_POSES_DEG[names[first]] + share * ALL_POSES_DEG[names[second]]
    return names[first if share < 0.5 else second], mixed + rng.standard_normal(len(ANGLES)) * _NOISE_DEG


def _held(rng: np.random.Generator, gesture: str) -> Floats:
    """A named pose as it is held twice: nearly the same."""
    return np.asarray(ALL_POSES_DEG[gesture] + rng.standard_normal(len(ANGLES)) * _NOISE_DEG * _HELD_NOISE)


def turn_matrices(turn_deg: Floats) -> Floats:
    """(..., 3, 3) from (..., 3) degrees about the hand's y, the camera's x and the line of sight, in this order."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    (cy, cx, cz), (sy, sx, sz) = np.moveaxis(c, -1, 0), np.moveaxis(s, -1, 0)
    rows = (
        (cz * cy - sz * sx * sy, -sz * cx, cz * sy + sz * sx * cy),
        (sz * cy + cz * sx * sy, cz * cx, sz * sy - cz * sx * cy),
        (-cx * sy, sx, cx * cy),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
