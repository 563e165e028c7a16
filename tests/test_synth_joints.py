"""Joint angles, joint sets, and contact between fingers."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import uvd_to_xyz, xyz_to_uvd
from handbench.datasets import dataset
from handbench.errors import HandbenchError, ShapeError
from handbench.synth.gestures import MSRA_POSES_DEG, POSES_DEG, gesture_names, random_pose
from handbench.synth.hand import CHAINS, Floats, hand_model
from handbench.synth.joint_sets import TABLES, joint_set
from handbench.synth.joints import ANGLES, LIMITS_DEG, Joints, within_limits
from handbench.synth.poses import VIEWS, sequence
from handbench.synth.render import render
from handbench.synth.subject import Subject, subject_of

NAMES = tuple(TABLES)
OPEN = POSES_DEG["open"]


@cache
def subject(seed: int = 0) -> Subject:
    return subject_of((seed, 1))


def joints_of(name: str, angles: Floats, person: Subject | None = None) -> Floats:
    person = person or subject()
    return joint_set(name)(*person.hand.pose(person.joints.rotations(angles)))


def random_poses(count: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return np.stack([random_pose(rng, gesture_names("nyu"))[1] for _ in range(count)])


def test_a_bent_finger_spreads_less() -> None:
    angles = np.zeros((3, len(ANGLES)))
    spread, flexion = ANGLES.index("index_spread"), ANGLES.index("index_flexion")
    angles[:, spread] = 40
    angles[:, flexion] = (0, 45, 85)
    found = within_limits(angles)[:, spread]
    highest = LIMITS_DEG[spread, 1]
    assert_allclose(found, highest * np.array([1, 0.6, 1 - 0.8 * 85 / 90]))
    assert_allclose(within_limits(-angles)[0, spread], -highest)


def test_the_palm_hollows_when_the_outer_fingers_close() -> None:
    heads = [
        subject().hand.pose(subject().joints.rotations(pose))[1] for pose in (POSES_DEG["flat"], POSES_DEG["fist"])
    ]
    index, pinky = CHAINS["index"][0], CHAINS["pinky"][0]
    sunk = [float(h[index, 2] - h[pinky, 2]) for h in heads]  # z goes to the back of the hand
    assert sunk[1] > sunk[0] + 5


def test_a_left_hand_is_the_mirror_image_in_every_pose() -> None:
    model, beta = hand_model(), np.linspace(-1, 1, 20)
    right, left = model.shape(beta), model.shape(beta, side="left")
    poses = random_poses(5)
    skin, heads = right.pose(Joints.of(right).rotations(poses))
    skin_left, heads_left = left.pose(Joints.of(left).rotations(poses))
    assert_allclose(skin_left, skin * [-1, 1, 1], atol=1e-9)
    assert_allclose(heads_left, heads * [-1, 1, 1], atol=1e-9)
    a, b, c = np.moveaxis(skin_left[0][left.mesh.faces], 1, 0)
    assert np.einsum("fi,fi->", a, np.cross(b, c)) > 0  # outside still outside


@pytest.mark.parametrize("name", NAMES)
def test_every_joint_of_the_data_set_is_a_mixture_that_adds_up(name: str) -> None:
    joints = joint_set(name)
    assert joints.names == dataset(name).joints.names
    assert set(TABLES[name]) == set(joints.names)
    assert_allclose(joints.shares.sum(axis=1), 1)


def test_joints_of_21_are_the_bones_themselves() -> None:
    hand = subject().hand
    joints = dict(zip(joint_set("msra").names, joint_set("msra")(hand.vertices, hand.heads), strict=True))
    assert_array_equal(joints["wrist"], hand.heads[1])
    assert_array_equal(joints["index_mcp"], hand.heads[6])
    assert_array_equal(joints["pinky_dip"], hand.heads[20])
    tip = hand.vertices[hand.mesh.tips[2]]
    assert_allclose(joints["middle_tip"], 0.25 * hand.heads[12] + 0.75 * tip)
    hands17 = joint_set("hands17")
    order = [hands17.names.index(joint) for joint in joint_set("msra").names]
    assert_array_equal(hands17(hand.vertices, hand.heads)[order], np.stack(list(joints.values())))


def test_unknown_data_sets_have_no_joints() -> None:
    with pytest.raises(HandbenchError, match="bighand"):
        joint_set("bighand")


@pytest.mark.parametrize("name", NAMES)
def test_bones_keep_their_length_in_every_pose_of_a_subject(name: str) -> None:
    joints = joints_of(name, random_poses(40))
    spec = dataset(name).joints
    moving = 0
    for child, parent in enumerate(spec.parents):
        a, b = spec.names[child], spec.names[parent]
        rigid = name in ("msra", "hands17") or (
            name == "nyu" and (a[:-1] == b[:-1] or b == "PALM_3") and a[-3:] != "1_B"
        )
        if parent < 0 or not rigid:  # NYU's A and B of a segment and its palm; bones of the sets of 21
            continue
        lengths = np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1)
        assert np.ptp(lengths) < (3.0 if "wrist" in b else 0.8), (a, b)  # the palm hollows; fingertips give a little
        assert lengths.min() > 8
        moving += 1
    assert moving >= (0 if name == "icvl" else 15)


def test_shapes_differ_between_subjects_and_sizes_scale() -> None:
    lengths = []
    for seed in range(3):
        joints = joints_of("msra", OPEN, subject(seed))
        lengths.append(np.linalg.norm(joints[8] - joints[5]) / np.linalg.norm(joints[5] - joints[0]))
    assert np.ptp(lengths) > 0.005
    small, large = (subject_of((4,), palm_mm=size) for size in (60.0, 80.0))
    assert_allclose(small.hand.vertices / 60, large.hand.vertices / 80, atol=1e-9)
    nyu = joint_set("nyu")(large.hand.vertices, large.hand.heads)
    palm = [nyu[joint_set("nyu").names.index(joint)] for joint in ("PALM_2", "PALM_3")]
    assert np.linalg.norm(palm[0] - palm[1]) == pytest.approx(80.0)


@pytest.mark.parametrize("name", NAMES)
def test_joints_lie_inside_the_hand_as_real_labels_do(name: str) -> None:
    view, spec = VIEWS[name], dataset(name)
    person = subject_of((7,), side=view.side)
    poses = sequence(name, range(40), (7,), person, key_frames=1)
    vertices, heads = person.place(poses)
    joints = joint_set(name)(vertices, heads)[:, list(spec.joints.scored)]
    behind = []
    for skin, xyz in zip(vertices, joints, strict=True):
        depth = render(skin, person.hand.mesh.faces, spec.camera)
        uvd = xyz_to_uvd(xyz, spec.camera)
        u, v = np.rint(uvd[:, :2]).astype(int).T
        away = cv2.distanceTransform((depth == 0).astype(np.uint8), cv2.DIST_L2, 5)
        assert away[v, u].max() <= 1
        behind.append((uvd[:, 2] - depth[v, u])[depth[v, u] > 0])
    below = np.concatenate(behind)
    assert below.min() > 0
    assert ((below >= 3) & (below <= 33)).mean() > 0.7  # the others are hidden by another finger, or near a bent joint
    assert np.percentile(below, 10) > 2


@pytest.mark.parametrize(
    ("name", "frames", "palm_mm", "within"), [("nyu", 2440, 81.3, 0.25), ("icvl", 1596, 52.0, 0.2)]
)
def test_a_hand_is_built_like_real_labels(real: Path, name: str, frames: int, palm_mm: float, within: float) -> None:
    spec = dataset(name)
    labels = np.loadtxt(real / name / "groundtruth.txt", max_rows=frames).reshape(frames, -1, 3)
    xyz = uvd_to_xyz(labels, spec.scoring_camera)
    ours = joints_of(name, OPEN, subject_of((0, 1), palm_mm=palm_mm))[list(spec.joints.scored)]
    for child, parent in spec.joints.scored_edges:
        length = np.median(np.linalg.norm(xyz[:, child] - xyz[:, parent], axis=-1))
        assert np.linalg.norm(ours[child] - ours[parent]) == pytest.approx(length, rel=within), spec.joints.labels[
            child
        ]


def test_poses_of_open_hands_are_left_as_they_are() -> None:
    assert_array_equal(subject().relaxed(POSES_DEG["spread"]), POSES_DEG["spread"])
    with pytest.raises(ShapeError, match="angles_deg"):
        subject().relaxed(np.zeros(3))


def test_relaxed_poses_only_touch_and_stay_near() -> None:
    person, poses = subject(), random_poses(300)
    freed = person.relaxed(poses)
    before, after = (person.capsules.overlaps(person.hand, person.joints, p).max(axis=1) for p in (poses, freed))
    assert (before > 2).mean() > 0.2
    assert (after > 2).mean() < 0.01
    assert np.median(np.abs(freed - poses).max(axis=1)[before > 0.3]) < 25
    assert_array_equal(freed[before <= 0.3], poses[before <= 0.3])
    assert (freed >= LIMITS_DEG[:, 0] - 1e-9).all()
    assert (freed <= LIMITS_DEG[:, 1] + 1e-9).all()


def test_pushing_goes_down_the_slope_of_the_overlap() -> None:
    """The change of each angle has the sign of what finite differences say frees the deepest contact."""
    person = subject()
    pose = POSES_DEG["victory"]  # the thumb alone enters the palm and the fingers
    capsules = person.capsules
    step = person.relaxed(pose) - pose
    start = capsules.overlaps(person.hand, person.joints, pose)
    nudged = capsules.overlaps(person.hand, person.joints, pose + 0.05 * step)
    deepest = start.argmax()
    assert start[deepest] > 3
    assert nudged[deepest] < start[deepest] - 0.1


def winding(points: Floats, vertices: Floats, faces: npt.NDArray[np.intp]) -> Floats:
    """How often a surface goes round each point (van Oosterom & Strackee, 1983): 1 inside, 0 outside."""
    a, b, c = np.moveaxis(vertices[faces][None] - points[:, None, None], 2, 0)
    la, lb, lc = (np.linalg.norm(p, axis=-1) for p in (a, b, c))
    volume = np.einsum("nfi,nfi->nf", a, np.cross(b, c))
    dots = [np.einsum("nfi,nfi->nf", p, q) for p, q in ((a, b), (b, c), (c, a))]
    return np.asarray(
        np.arctan2(volume, la * lb * lc + dots[0] * lc + dots[1] * la + dots[2] * lb).sum(axis=1) / (2 * np.pi)
    )


@pytest.mark.parametrize("gesture", ["1", "IP", "RP"])
def test_no_fingertip_is_inside_another_part_of_the_mesh(gesture: str) -> None:
    """The skin itself, not capsules: the thumb's end enters the fingers in these poses before, and not after."""
    person = subject_of((0, 1))
    owner = person.hand.mesh.owners()
    thumb = owner == CHAINS["thumb"][-1]
    others = person.hand.mesh.faces[~np.isin(owner, CHAINS["thumb"])[person.hand.mesh.faces].any(axis=1)]
    inside = []
    for pose in (MSRA_POSES_DEG[gesture], person.relaxed(MSRA_POSES_DEG[gesture])):
        skin, _ = person.hand.pose(person.joints.rotations(pose))
        inside.append(int((winding(skin[thumb], skin, others) > 0.5).sum()))
    assert inside[0] > 5
    assert inside[1] <= inside[0] / 3  # a few, less than a mm deep
