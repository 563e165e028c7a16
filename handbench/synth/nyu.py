"""Synthetic frames as NYU would have them: its camera, its 36 joints, its subjects.

Joints are fixed mixtures of bone heads and vertices, so that they lie inside the hand as NYU's fitted ones do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from handbench.datasets.nyu import SPEC
from handbench.synth.hand import CHAINS, WRIST, Floats, Hand, Mesh, hand_model
from handbench.synth.joints import Joints
from handbench.synth.poses import KEY_FRAMES, Motion, Placement
from handbench.synth.render import render
from handbench.synth.sensor import structured_light

_FINGERS = ("pinky", "ring", "middle", "index", "thumb")  # F1 to F4, TH
_TIP_INSIDE = 0.2  # of the last segment, about 6 mm: where a real label lies behind the end of a finger
_SHORT_OF_JOINT = (
    0.25  # the far end of a segment lies so far before the next joint, where the near end of the next one is
)
_PALM_LENGTH_MM = 81.3  # from PALM_2 to PALM_3 in NYU's test frames 1-2440, measured on its labels
_SMALL = 5 / 6  # the second test subject's size, and the ratio of its crop cube
_PALM_2, _PALM_3 = (SPEC.joints.names.index(name) for name in ("PALM_2", "PALM_3"))
_NOISE, _SUBJECTS = 2, 1000  # streams of random numbers beside those of `Motion`
_SHAPE_SPREAD = 0.7  # standard deviations: adults of a middling build


def nyu_joints(mesh: Mesh, vertices: Floats, heads: Floats) -> Floats:
    """NYU's 36 joints of posed hands.

    Args:
        mesh: of the hand.
        vertices: (..., V, 3) mm, any frame.
        heads: (..., 21, 3) mm, same frame.

    Returns:
        (..., 36, 3) mm, same frame, in the order of `handbench.datasets.nyu`.

    Of each segment (KNU3 tip, KNU2, KNU1 base), B is the head of its bone and A lies short of the bone's far end, by a
    quarter of the bone; the tip's A by a fifth, inside the fingertip. PALM_1 and PALM_2 lie half way from the
    middle of the wrist to its little finger and thumb sides, PALM_3 at 0.7 of the way from the wrist to the mean of the
    four knuckles, PALM_4 half way to the little finger's knuckle, PALM_5 half way to PALM_3, PALM_6 in the middle of
    the wrist. What NYU's PALM_4 to PALM_6 mean is not published; nothing scores them.
    """
    tips = dict(zip(CHAINS, np.moveaxis(vertices[..., mesh.tips, :], -2, 0), strict=True))
    bones = np.moveaxis(heads, -2, 0)
    joints = []
    for finger in _FINGERS:
        base, middle, last = (bones[bone] for bone in CHAINS[finger])
        joints += [_between(tips[finger], last, _TIP_INSIDE), last]
        joints += [_between(last, middle, _SHORT_OF_JOINT), middle]
        joints += [_between(middle, base, _SHORT_OF_JOINT), base]
    return np.stack((*joints, *_palm(mesh, vertices, bones)), axis=-2)


def _between(start: Floats, end: Floats, share: float) -> Floats:
    """The point at a share of the way from `start` to `end`."""
    return start + share * (end - start)


def _palm(mesh: Mesh, vertices: Floats, bones: Floats) -> tuple[Floats, ...]:
    """PALM_1 to PALM_6, each (..., 3) mm; `bones` is (21, ..., 3)."""
    wrist = vertices[..., mesh.wrist_loop, :].mean(axis=-2)
    little_side, thumb_side = np.moveaxis(vertices[..., mesh.wrist_sides, :], -2, 0)
    knuckles = [bones[CHAINS[finger][0]] for finger in _FINGERS if finger != "thumb"]
    palm = 0.3 * bones[WRIST] + 0.7 * np.mean(knuckles, axis=0)
    sides = ((wrist + little_side) / 2, (wrist + thumb_side) / 2)
    return *sides, palm, (bones[WRIST] + knuckles[0]) / 2, (bones[WRIST] + palm) / 2, wrist


@dataclass(frozen=True)
class Subject:
    """One person's right hand, and how its bones turn."""

    hand: Hand
    joints: Joints

    def place(self, placement: Placement) -> tuple[Floats, Floats]:
        """Vertices (V, 3) and NYU's joints (36, 3), mm, camera frame; the middle of the hand is PALM_3."""
        vertices, heads = self.hand.pose(self.joints.rotations(placement.angles_deg))
        joints = nyu_joints(self.hand.mesh, vertices, heads)
        turn = placement.rotation()
        shift = placement.position_xyz - turn @ joints[_PALM_3]
        return vertices @ turn.T + shift, joints @ turn.T + shift


def nyu_subject(seed: int, number: int) -> Subject:
    """Subject 1 or 2: a random shape; 1 has the palm of NYU's first test subject, 2 is 5/6 of that.

    Args:
        seed: of the whole data set.
        number: 1 or 2.
    """
    beta = np.random.default_rng((seed, _SUBJECTS, number)).standard_normal(len(hand_model().basis)) * _SHAPE_SPREAD
    plain = hand_model().shape(beta)
    joints = nyu_joints(plain.mesh, plain.vertices, plain.heads)
    length = float(np.linalg.norm(joints[_PALM_3] - joints[_PALM_2]))
    hand = hand_model().shape(beta, _PALM_LENGTH_MM / length * (_SMALL if number == 2 else 1.0))
    return Subject(hand, Joints.of(hand))


def subject_frames(split: str, count: int) -> dict[str, int]:
    """How many frames of a split show which subject, in file order.

    All of train shows subject 1. Of test, the first half does; of a test split as long as NYU's own, NYU's 2440 frames.

    Raises:
        HandbenchError: if NYU has no such split.
    """
    own = SPEC.split(split)
    if count == own.frames["only"]:
        return dict(own.subjects["only"])
    return {"1": count} if split == "train" else {"1": count // 2, "2": count - count // 2}


def nyu_frames(
    split: str, count: int, seed: int, key_frames: int = KEY_FRAMES
) -> Iterator[tuple[npt.NDArray[np.uint16], Floats]]:
    """Frames of one split, one after the other.

    Args:
        split: "train" or "test".
        count: how many frames.
        seed: the same seed gives the same frames, and a longer split begins with the same motion.
        key_frames: frames from one key pose to the next.

    Yields:
        depth (480, 640) uint16 mm, 0 = missing; joints (36, 3) mm, camera frame, y down.

    Raises:
        HandbenchError: if NYU has no such split.
    """
    stream = [s.name for s in SPEC.splits].index(SPEC.split(split).name)
    motion = Motion(SPEC.camera, (seed, stream), key_frames)
    numbers = iter(range(count))
    for name, frames in subject_frames(split, count).items():
        subject = nyu_subject(seed, int(name))
        for frame in islice(numbers, frames):
            vertices, joints = subject.place(motion.at(frame))
            rng = np.random.default_rng((seed, stream, _NOISE, frame))
            yield structured_light(render(vertices, subject.hand.mesh.faces, SPEC.camera), rng), joints
