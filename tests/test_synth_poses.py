import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.synth.gestures import MSRA_POSES_DEG, POSES_DEG
from handbench.synth.hand import CHAINS, WRIST, Floats
from handbench.synth.joint_sets import joint_set
from handbench.synth.joints import ANGLES
from handbench.synth.poses import VIEWS, PoseSequence, gesture_names, sequence, turn_matrices
from handbench.synth.subject import Subject, palm_middle, subject_of

RIGHT, LEFT = subject_of((0, 1)), subject_of((0, 1), side="left")


def of(name: str) -> Subject:
    return LEFT if VIEWS[name].side == "left" else RIGHT


def joints(name: str, poses: PoseSequence) -> Floats:
    return joint_set(name)(*of(name).place(poses))


def test_any_frames_equal_the_same_frames_of_a_longer_motion() -> None:
    whole = sequence("nyu", range(70), (3,), RIGHT)
    vertices, _ = RIGHT.place(whole)
    for part in (range(33, 47), range(0, 70, 9), range(41, 42)):
        some = sequence("nyu", part, (3,), RIGHT)
        for field in ("angles_deg", "rotations", "turn", "position_xyz"):
            assert_array_equal(getattr(some, field), getattr(whole, field)[list(part)])
        assert_array_equal(RIGHT.place(some)[0], vertices[list(part)])
        assert some.gestures == tuple(whole.gestures[frame] for frame in part)


def test_seeds_and_subjects_differ() -> None:
    first, other = (sequence("nyu", range(3), seed, RIGHT, key_frames=1) for seed in ((3,), (4,)))
    assert np.abs(first.angles_deg - other.angles_deg).max() > 5
    nobody = sequence("nyu", range(0), (3,), RIGHT)
    assert nobody.rotations.shape == (0, 21, 3, 3)
    assert nobody.gestures == ()


@pytest.mark.parametrize("name", VIEWS)
def test_hands_stay_in_the_image_and_at_their_distance(name: str) -> None:
    camera, (near, far) = dataset(name).camera, VIEWS[name].depth_mm
    person = subject_of((0, 2), side=VIEWS[name].side, palm_mm=70.0)
    poses = sequence(name, range(400), (5,), person, key_frames=1)
    uvd = xyz_to_uvd(joint_set(name)(*person.place(poses)), camera)
    assert (uvd[..., :2] > 0).all()
    assert (uvd[..., :2] < [camera.width - 1, camera.height - 1]).all()
    assert poses.position_xyz[:, 2].min() >= near
    assert poses.position_xyz[:, 2].max() <= far
    assert np.ptp(poses.position_xyz[:, 2]) > 0.8 * (far - near)


def test_the_palm_is_where_the_poses_say() -> None:
    poses = sequence("hands17", range(5), (1,), RIGHT, key_frames=1)
    _, heads = RIGHT.place(poses)
    assert_allclose(palm_middle(heads), poses.position_xyz, atol=1e-9)


def facing(name: str, count: int = 300) -> Floats:
    """(N, 3, 3) columns x, y, z of the palm in the camera frame."""
    poses = sequence(name, range(count), (6,), of(name), key_frames=1)
    return np.asarray(poses.turn @ poses.rotations[:, WRIST])


def test_hands_are_seen_as_the_data_sets_see_them() -> None:
    palm_shows = {name: float((facing(name)[:, 2, 2] > 0).mean()) for name in VIEWS}  # z of the hand: to its back
    assert palm_shows["icvl"] == 1.0
    assert 0.55 < palm_shows["nyu"] < 0.95
    assert 0.3 < palm_shows["hands17"] < 0.7
    leaning = {name: float(np.median(np.degrees(np.arcsin(facing(name)[:, 2, 1])))) for name in VIEWS}
    assert leaning["msra"] > leaning["icvl"] > 0  # fingers towards the camera
    spread = {name: float(facing(name)[:, 2].std(axis=0).sum()) for name in VIEWS}
    assert spread["hands17"] > spread["nyu"] > spread["icvl"]


def test_motion_is_slow_and_still_at_key_poses() -> None:
    xyz = joints("nyu", sequence("nyu", range(400), (2,), RIGHT))
    step = np.linalg.norm(np.diff(xyz, axis=0), axis=-1)
    assert 1 < np.median(step) < 15
    assert step.max() < 75  # a fingertip of a hand that turns round: 2.2 m/s at 30 frames a second
    for number in range(5):
        assert step[20 * number].max() < 10


def test_turns_go_the_way_they_say() -> None:
    yaw, lean, clockwise = (turn_matrices(np.array(turn, dtype=float)) for turn in ((90, 0, 0), (0, 30, 0), (0, 0, 90)))
    fingers = np.array([0.0, -1.0, 0.0])
    assert_allclose(yaw @ fingers, fingers, atol=1e-12)
    assert_allclose(lean @ fingers, [0, -np.cos(np.pi / 6), -0.5])  # towards the camera
    assert_allclose(clockwise @ fingers, [1, 0, 0], atol=1e-12)
    both = turn_matrices(np.array([20.0, 30.0, 40.0]))
    each = [turn_matrices(np.array(turn, dtype=float)) for turn in ((0, 0, 40), (0, 30, 0), (20, 0, 0))]
    assert_allclose(both, each[0] @ each[1] @ each[2])


STRETCHED = {
    "1": "index", "2": "index middle", "3": "thumb index middle", "4": "index middle ring pinky",
    "5": "thumb index middle ring pinky", "6": "index middle ring", "7": "index middle pinky",
    "8": "index ring pinky", "9": "middle ring pinky", "I": "pinky", "IP": "index pinky", "L": "thumb index",
    "MP": "middle pinky", "RP": "ring pinky", "T": "thumb", "TIP": "thumb index pinky", "Y": "thumb pinky",
}  # fmt: skip


def test_msra_has_its_17_gestures_in_the_order_of_its_folders() -> None:
    assert gesture_names("msra") == tuple(
        ["1", "2", "3", "4", "5", "6", "7", "8", "9", "I", "IP", "L", "MP", "RP", "T", "TIP", "Y"]
    )
    assert gesture_names("nyu") == tuple(POSES_DEG)


@pytest.mark.parametrize("gesture", STRETCHED)
def test_a_held_gesture_stretches_its_fingers_and_no_others(gesture: str) -> None:
    poses = sequence("msra", range(10), (8,), RIGHT, gesture=gesture, key_frames=1)
    assert poses.gestures == (gesture,) * 10
    _, heads = RIGHT.hand.pose(poses.rotations)
    ends, _ = RIGHT.skeleton.pose(poses.rotations)
    for number, (finger, bones) in enumerate(CHAINS.items()):
        reach = np.linalg.norm(ends[:, number] - heads[:, bones[0]], axis=-1)
        rest = RIGHT.hand.heads[list(bones)], RIGHT.hand.vertices[RIGHT.hand.mesh.tips[number]]
        whole = np.linalg.norm(np.diff([*rest[0], rest[1]], axis=0), axis=1).sum()
        if finger == "thumb":  # bent or not, it is long; what counts is whether it points away from the fingers
            aside = ends[:, 0, 0] - heads[:, CHAINS["index"][0], 0]
            assert ((aside > 20) == ("thumb" in STRETCHED[gesture])).all()
        elif finger in STRETCHED[gesture]:
            assert (reach > 0.93 * whole).all(), finger
        else:
            assert (reach < 0.9 * whole).all(), finger


@pytest.mark.parametrize(("gesture", "finger"), [("6", "pinky"), ("7", "ring"), ("8", "middle"), ("9", "index")])
def test_6_to_9_bring_the_thumb_to_a_finger(gesture: str, finger: str) -> None:
    ends, _ = RIGHT.skeleton.pose(RIGHT.joints.rotations(RIGHT.relaxed(MSRA_POSES_DEG[gesture])))
    assert np.linalg.norm(ends[0] - ends[list(CHAINS).index(finger)]) < 36
    away = [np.linalg.norm(ends[0] - ends[k]) for k in range(1, 5)]
    assert np.argmin(away) == list(CHAINS).index(finger) - 1


def test_held_poses_vary_little_and_random_ones_much() -> None:
    held = sequence("msra", range(60), (1,), RIGHT, gesture="5", key_frames=1).angles_deg
    free = sequence("msra", range(60), (1,), RIGHT, key_frames=1).angles_deg
    flexion = [ANGLES.index(f"{finger}_flexion") for finger in ("index", "middle", "ring", "pinky")]
    assert (held[:, flexion].std(axis=0) < 6).all()
    assert (free[:, flexion].std(axis=0) > 20).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "bighand"}, "no synthetic hands for data set bighand; there are nyu"),
        ({"gesture": "Z"}, "msra has no gesture 'Z'; there are 1, 2"),
        ({"key_frames": 0}, "0 frames from one key pose to the next"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"name": "msra"} | options
    with pytest.raises(HandbenchError, match=message):
        sequence(given.pop("name"), range(1), (0,), RIGHT, **given)  # type: ignore[arg-type]  # wrong on purpose
