from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.datasets.nyu import SPEC
from handbench.errors import HandbenchError
from handbench.synth.hand import Floats
from handbench.synth.nyu import Subject, nyu_frames, nyu_subject, subject_frames
from handbench.synth.poses import POSES_DEG, Motion, Placement
from handbench.synth.render import render

NAMES = SPEC.joints.names
SCORED = list(SPEC.joints.scored)
MOTION = Motion(SPEC.camera, (5, 0))


def length(joints: Floats, a: str, b: str) -> float:
    return float(np.linalg.norm(joints[NAMES.index(a)] - joints[NAMES.index(b)]))


@cache
def subject(number: int = 1) -> Subject:
    return nyu_subject(0, number)


def test_palms_are_as_long_as_those_of_nyus_test_subjects() -> None:
    first, second = (subject(number).place(MOTION.at(0))[1] for number in (1, 2))
    assert length(first, "PALM_2", "PALM_3") == pytest.approx(
        81.3, abs=2
    )  # at rest exactly; the wrist's skin stretches
    assert length(second, "PALM_2", "PALM_3") == pytest.approx(81.3 * 5 / 6, abs=2)


def test_bones_keep_their_length_in_every_pose() -> None:
    poses = np.stack([subject().place(MOTION.at(frame))[1] for frame in range(0, 200, 10)])
    for segment in ("F1_KNU2", "F3_KNU3", "F4_KNU1", "TH_KNU3", "TH_KNU1"):
        lengths = [length(joints, f"{segment}_A", f"{segment}_B") for joints in poses]
        assert max(lengths) - min(lengths) < 0.7  # only the tip's skin gives a little
        assert min(lengths) > 10


def test_segments_follow_one_another_from_the_palm_to_the_tip() -> None:
    joints = subject().place(Placement(POSES_DEG["open"], np.zeros(3), np.array([0, 0, 700.0])))[1]
    for finger in ("F1", "F2", "F3", "F4"):
        rows = [joints[NAMES.index(f"{finger}_KNU{k}_{end}"), 1] for k in (1, 2, 3) for end in ("B", "A")]
        assert rows == sorted(rows, reverse=True)  # fingers up: rows fall
    across = [joints[NAMES.index(f"{finger}_KNU3_A"), 0] for finger in ("F1", "F2", "F3", "F4", "TH")]
    assert across == sorted(across)  # palm to the camera: a right hand's thumb is on the right
    assert length(joints, "PALM_1", "F1_KNU1_B") < length(joints, "PALM_2", "F1_KNU1_B")


def test_an_open_hand_is_built_like_the_one_in_a_real_frame(real: Path) -> None:
    labels = scipy.io.loadmat(real / "nyu_one_frame/test/joint_data.mat")["joint_xyz"][0, 0]
    joints = subject().place(Placement(POSES_DEG["open"], np.zeros(3), np.array([0, 0, 700.0])))[1]
    for child, parent in SPEC.joints.scored_edges:
        a, b = NAMES[SCORED[child]], NAMES[SCORED[parent]]
        assert length(joints, a, b) == pytest.approx(length(labels, a, b), rel=0.25)


def test_scored_joints_lie_inside_the_hand() -> None:
    behind = []
    for frame in range(0, 400, 8):
        vertices, joints = subject().place(MOTION.at(frame))
        depth = render(vertices, subject().hand.mesh.faces, SPEC.camera)
        uvd = xyz_to_uvd(joints[SCORED], SPEC.camera)
        u, v = np.rint(uvd[:, :2]).astype(int).T
        away = cv2.distanceTransform((depth == 0).astype(np.uint8), cv2.DIST_L2, 5)
        assert away[v, u].max() <= 1
        covered = depth[v, u] > 0
        behind.append((uvd[:, 2] - depth[v, u])[covered])
    below = np.concatenate(behind)
    assert below.min() > 0
    assert np.median(below) < 15
    assert (below < 35).mean() > 0.8  # the others are hidden by another finger or the palm


def test_the_hand_stays_in_the_image_and_in_reach() -> None:
    for frame in range(0, 2000, 5):
        _, joints = subject().place(MOTION.at(frame))
        uvd = xyz_to_uvd(joints, SPEC.camera)
        assert (uvd[:, :2] > 5).all()
        assert (uvd[:, :2] < [634, 474]).all()
        assert 550 <= joints[NAMES.index("PALM_3"), 2] <= 900


def test_motion_is_slow_and_passes_all_sides() -> None:
    joints = np.stack([subject().place(MOTION.at(frame))[1] for frame in range(400)])
    step = np.linalg.norm(np.diff(joints, axis=0), axis=-1)
    assert 1 < np.median(step) < 15
    assert step.max() < 60  # a fingertip of a hand that turns round: 1.8 m/s at 30 frames a second
    for number in range(3):  # still at a key pose
        assert step[20 * number].max() < 8
    turns = np.array([MOTION.at(20 * key).turn_deg for key in range(200)])
    assert 0.1 < (turns[:, 0] > 90).mean() < 0.5
    assert np.abs(turns[:, 1:]).max() <= 35


def test_frames_repeat_by_seed_and_a_longer_split_begins_alike() -> None:
    short, again = list(nyu_frames("train", 3, seed=4)), list(nyu_frames("train", 5, seed=4))
    for (depth, joints), (depth_again, joints_again) in zip(short, again, strict=False):
        assert_array_equal(depth, depth_again)
        assert_array_equal(joints, joints_again)
    for split, seed in (("test", 4), ("train", 5)):
        assert (next(nyu_frames(split, 2, seed))[0] != short[0][0]).any()


def test_a_frame_is_an_image_of_the_sensor_with_a_hand_in_it() -> None:
    depth, joints = next(nyu_frames("train", 1, seed=0))
    assert depth.dtype == np.uint16
    assert (depth.shape, joints.shape) == ((480, 640), (36, 3))
    assert depth[depth > 0].min() > 400
    assert 3_000 < np.count_nonzero(depth) < 100_000


def test_subjects_change_in_the_middle_of_test_and_where_nyus_do() -> None:
    assert subject_frames("train", 10) == {"1": 10}
    assert subject_frames("test", 5) == {"1": 2, "2": 3}
    assert subject_frames("test", 8252) == {"1": 2440, "2": 5812}
    sizes = [length(joints, "F3_KNU2_B", "F3_KNU1_B") for _, joints in nyu_frames("test", 4, seed=0)]
    assert_allclose(sizes[:2], sizes[0])
    assert sizes[2] < 0.95 * sizes[1]
    with pytest.raises(HandbenchError, match="no split 'val'"):
        next(nyu_frames("val", 4, seed=0))
