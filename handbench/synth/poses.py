"""A hand that moves through random poses before the camera of a data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.synth.gestures import gesture_names, held_pose, random_pose
from handbench.synth.hand import WRIST, Floats, Side
from handbench.synth.joints import ANGLES, within_limits
from handbench.synth.subject import Subject, palm_middle

__all__ = ["KEY_FRAMES", "VIEWS", "PoseSequence", "View", "gesture_names", "sequence", "turn_matrices"]

KEY_FRAMES = 20
"""Frames from one key pose to the next: two thirds of a second at 30 frames a second."""
_FACING_KEYS = 5  # the hand shows the same side for so many key poses
_FARTHEST_SD = 2.2  # turns farther from their mean are drawn in
_MARGIN = 0.02  # of the image's side, between its border and the hand's joints


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
    # Frontal, view 1. Turns and share of backs as on the 8,252 test labels (wrist to palm, wrist side to side).
    "nyu": View("right", (550, 900), (0.47, 0.35), ((-15, 22), (22, 18), (12, 28)), 0.22),
    # As on the 1,596 test labels: the palm always shows, fingers up and a little to the left, 280 to 420 mm away.
    "icvl": View("left", (280, 420), (0.15, 0.12), ((0, 12), (11, 15), (-14, 16)), 0.0),
    # Yaw and pitch as in the published viewpoints of the old release: medians -8 and 36, quartiles -26 to 9, 21 to 52.
    "msra": View("right", (270, 420), (0.2, 0.15), ((-8, 30), (36, 22), (0, 15)), 0.0),
    # Close and from all sides (Yuan et al., CVPR 2017); joints of the training set are 139 to 907 mm away, mean 547.
    "hands17": View("right", (350, 750), (0.4, 0.3), ((0, 50), (10, 30), (0, 45)), 0.5),
}
"""By data set. Distances agree with the joint depths that V2V-PoseNet's code lists (means 701, 345, 329, 547 mm)."""


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
        name: of the data set: its camera, its way to look at hands.
        frames: numbers of the frames wanted, from 0.
        seed: the same seed gives the same motion.
        subject: whose hand; its side should be that of `VIEWS`.
        key_frames: frames from one key pose to the next; 1 makes every frame a pose of its own.
        gesture: one of `gesture_names(name)`, held all the time with little variation; None for all of them in turn.

    Returns:
        The poses, in the order of `frames`. Joints stay in the image where the hand is not too near for that.

    Raises:
        HandbenchError: if the data set or the gesture is unknown, or `key_frames` is not positive.
    """
    _check(name, gesture, key_frames)
    camera = dataset(name).camera
    keys, before, after, share = _keys(name, frames, seed, key_frames, gesture)
    states = np.array([key.state for key in keys]).reshape(-1, len(ANGLES) + 6)
    state = (1 - share) * states[before] + share * states[after]
    angles = subject.relaxed(within_limits(state[:, :-6]))
    rotations = subject.joints.rotations(angles)
    turn = turn_matrices(state[:, -6:-3]) @ rotations[:, WRIST].swapaxes(-1, -2)  # turns the palm, not the forearm
    position = uvd_to_xyz(state[:, -3:], camera)
    position = _inside_image(subject, PoseSequence(angles, rotations, turn, position, ()), camera)
    nearest = np.where(share[:, 0] < 0.5, before, after)
    return PoseSequence(angles, rotations, turn, position, tuple(keys[key].gesture for key in nearest.tolist()))


def _check(name: str, gesture: str | None, key_frames: int) -> None:
    if name not in VIEWS:
        raise HandbenchError(f"no synthetic hands for data set {name}; there are {', '.join(VIEWS)}")
    if gesture is not None and gesture not in gesture_names(name):
        raise HandbenchError(f"{name} has no gesture {gesture!r}; there are {', '.join(gesture_names(name))}")
    if key_frames < 1:
        raise HandbenchError(f"{key_frames} frames from one key pose to the next; it must be 1 or more")


@dataclass(frozen=True)
class _Key:
    """A key pose: its name, and (24,) its 18 angles, 3 turns in degrees, and u, v, d of the middle of the palm."""

    gesture: str
    state: Floats


def _keys(
    name: str, frames: range, seed: tuple[int, ...], key_frames: int, gesture: str | None
) -> tuple[list[_Key], npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
    """Key poses; for each frame which comes before it and which after, and (N, 1) its share of the way."""
    first, step = np.divmod(np.array(frames, dtype=np.intp), key_frames)
    share = (step / key_frames)[:, None]
    numbers, rows = np.unique(np.stack((first, first + (step > 0))), return_inverse=True)
    keys = [_key(name, (*seed, 0, number), (*seed, 1, number // _FACING_KEYS), gesture) for number in numbers.tolist()]
    before, after = rows.reshape(2, len(frames))
    return keys, before, after, share * share * (3 - 2 * share)


def _key(name: str, seed: tuple[int, ...], facing_seed: tuple[int, ...], gesture: str | None) -> _Key:
    """The key pose of a seed; the side that it shows has a seed of its own."""
    view, camera = VIEWS[name], dataset(name).camera
    rng = np.random.default_rng(seed)
    back = np.random.default_rng(facing_seed).random() < view.back_share
    mean, spread = np.array(view.turn_deg).T
    turn = mean + spread * np.clip(rng.standard_normal(3), -_FARTHEST_SD, _FARTHEST_SD) + [180 if back else 0, 0, 0]
    half = np.array([camera.width, camera.height]) / 2
    u, v = half + rng.uniform(-1, 1, 2) * view.aside * half
    place = (u, v, rng.uniform(*view.depth_mm))
    shown, angles = random_pose(rng, gesture_names(name)) if gesture is None else (gesture, held_pose(rng, gesture))
    return _Key(shown, np.concatenate((angles, turn, place)))


def _inside_image(subject: Subject, poses: PoseSequence, camera: Camera) -> Floats:
    """Positions (N, 3) mm, moved in parallel to the image until all joints lie in it, or the hand in its middle."""
    ends, heads = subject.skeleton.pose(poses.rotations)
    points = np.concatenate((ends, heads[:, WRIST:]), axis=1) - palm_middle(heads)[:, None]
    uvd = xyz_to_uvd(points @ poses.turn.swapaxes(-1, -2) + poses.position_xyz[:, None], camera)
    side = np.array([camera.width - 1, camera.height - 1])
    margin = _MARGIN * side
    reach = (
        uvd[..., 2:] / poses.position_xyz[:, None, 2:]
    )  # so much of the palm's way does it take to move a joint by 1
    inwards = (np.maximum(margin - uvd[..., :2], 0) * reach).max(axis=1)
    back = (np.minimum(side - margin - uvd[..., :2], 0) * reach).min(axis=1)
    shift = inwards + back
    moved = xyz_to_uvd(poses.position_xyz, camera)
    moved[:, :2] += shift
    return uvd_to_xyz(moved, camera)


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
