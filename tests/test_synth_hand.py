from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handbench.errors import ShapeError
from handbench.synth.gestures import POSES_DEG, gesture_names, random_pose
from handbench.synth.hand import BONES, CHAINS, Floats, Hand, hand_model
from handbench.synth.joints import ANGLES, LIMITS_DEG, TIP_OF_MIDDLE, Joints

MEAN = hand_model().shape(np.zeros(20))
JOINTS = Joints.of(MEAN)
STILL = np.broadcast_to(np.eye(3), (BONES, 3, 3))


def pose(angles_deg: Floats) -> tuple[Floats, Floats]:
    return MEAN.pose(JOINTS.rotations(angles_deg))


def naive_pose(hand: Hand, rotations: Floats) -> Floats:
    """Linear blend skinning as the textbook has it: 4x4 matrices, vertex by vertex."""
    moves: list[Floats] = []
    for bone, parent in enumerate(hand.mesh.parents):
        to_head, turn, back = np.eye(4), np.eye(4), np.eye(4)
        back[:3, 3], turn[:3, :3], to_head[:3, 3] = -hand.heads[bone], rotations[bone], hand.heads[bone]
        own = to_head @ turn @ back
        moves.append(own if parent < 0 else moves[parent] @ own)
    posed = [
        sum(w * (moves[bone] @ [*vertex, 1])[:3] for w, bone in zip(weights, bones, strict=True))
        for vertex, weights, bones in zip(hand.vertices, hand.mesh.weights, hand.mesh.bones, strict=True)
    ]
    return np.array(posed)


def test_the_mesh_with_its_forearm_is_closed_and_faces_outwards() -> None:
    mesh = MEAN.mesh
    edges = [tuple(edge) for edge in mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()]
    assert len(set(edges)) == len(edges)
    assert {(b, a) for a, b in edges} == set(edges)
    a, b, c = np.moveaxis(MEAN.vertices[mesh.faces], 1, 0)
    assert np.einsum("fi,fi->", a, np.cross(b, c)) / 6 > 300_000  # mm3 enclosed: hand and forearm together


def test_weights_of_every_vertex_add_up_to_one() -> None:
    assert_allclose(MEAN.mesh.weights.sum(axis=1), 1)
    assert (MEAN.mesh.weights >= 0).all()


def test_shape_adds_components_and_scales() -> None:
    model = hand_model()
    beta = np.zeros(20)
    beta[3] = 2.0
    assert_allclose(model.shape(beta).heads, model.mean[-BONES:] + 2 * model.basis[3, -BONES:])
    assert_allclose(model.shape(beta, 0.5).vertices, model.shape(beta).vertices / 2)
    with pytest.raises(ShapeError, match="beta"):
        model.shape(np.zeros(10))


def test_no_turn_is_the_rest_pose() -> None:
    vertices, heads = MEAN.pose(STILL)
    assert_allclose(vertices, MEAN.vertices, atol=1e-9)
    assert_allclose(heads, MEAN.heads, atol=1e-9)


def test_pose_equals_its_naive_twin() -> None:
    rotations = JOINTS.rotations(POSES_DEG["point"])
    assert_allclose(MEAN.pose(rotations)[0], naive_pose(MEAN, rotations), atol=1e-9)


def test_many_poses_at_once_equal_each_alone() -> None:
    angles = np.stack([POSES_DEG["fist"], POSES_DEG["open"]])
    vertices, heads = pose(angles)
    assert vertices.shape == (2, *MEAN.vertices.shape)
    assert_allclose(vertices[1], pose(angles[1])[0], atol=1e-9)
    assert_allclose(heads[0], pose(angles[0])[1], atol=1e-9)


def test_pose_and_rotations_refuse_other_shapes() -> None:
    with pytest.raises(ShapeError, match="rotations"):
        MEAN.pose(np.eye(3))
    with pytest.raises(ShapeError, match="angles_deg"):
        JOINTS.rotations(np.zeros(3))


def test_it_is_a_right_hand_with_its_palm_to_the_camera() -> None:
    tips = MEAN.vertices[MEAN.mesh.tips]
    assert_array_equal(np.argsort(-tips[:, 0]), np.arange(5))  # thumb towards x, pinky last
    assert (tips[1:, 1] < -120).all()  # fingers up, away from the wrist
    fist = POSES_DEG["fist"].copy()
    fist[:2] = 0  # wrist straight
    vertices, _ = pose(fist)
    assert (vertices[MEAN.mesh.tips[1:], 2] < -12).all()  # closed before the palm, not behind the back


def test_tips_are_where_fingers_end() -> None:
    for tip, (_, before, last) in zip(MEAN.mesh.tips, CHAINS.values(), strict=True):
        along = MEAN.heads[last] - MEAN.heads[before]
        skin = MEAN.vertices[MEAN.mesh.owners() == last]
        assert (MEAN.vertices[tip] @ along) == pytest.approx((skin @ along).max())


def bends(heads: Floats, vertices: Floats) -> dict[str, list[float]]:
    """Degrees between neighbouring segments of each finger, from the palm outwards."""
    found = {}
    for tip, (finger, chain) in zip(MEAN.mesh.tips, CHAINS.items(), strict=True):
        points = [*heads[list(chain)], vertices[tip]]
        steps = np.diff(points, axis=0)
        steps /= np.linalg.norm(steps, axis=1, keepdims=True)
        found[finger] = [float(np.degrees(np.arccos(a @ b))) for a, b in pairwise(steps)]
    return found


def test_angles_are_the_angles_between_the_bones() -> None:
    angles = POSES_DEG["relaxed"].copy()
    angles[ANGLES.index("ring_middle")] = 60
    vertices, heads = pose(angles)
    assert bends(heads, vertices)["ring"] == pytest.approx(
        [60, 60 * TIP_OF_MIDDLE], abs=1.5
    )  # axes are not quite normal


def test_straight_wrist_lines_up_forearm_and_middle_metacarpal() -> None:
    _, heads = pose(np.zeros(len(ANGLES)))
    vertices, _ = pose(np.zeros(len(ANGLES)))
    forearm = heads[1] - vertices[-1]
    hand = heads[CHAINS["middle"][0]] - heads[1]
    assert np.degrees(np.arccos(forearm @ hand / np.linalg.norm(forearm) / np.linalg.norm(hand))) < 3


def test_more_flexion_brings_each_fingertip_nearer_to_the_palm() -> None:
    for finger, tip in zip(("index", "middle", "ring", "pinky"), MEAN.mesh.tips[1:], strict=True):
        angles = np.repeat(POSES_DEG["flat"][None], 3, axis=0)
        angles[:, ANGLES.index(f"{finger}_flexion")] = (0, 30, 60)
        depth = pose(angles)[0][:, tip, 2]
        assert depth[0] > depth[1] + 10 > depth[2] + 20


def test_named_and_random_poses_keep_to_the_limits() -> None:
    rng = np.random.default_rng(0)
    poses = np.stack([*POSES_DEG.values(), *(random_pose(rng, gesture_names("nyu"))[1] for _ in range(500))])
    low, high = LIMITS_DEG.T
    assert (poses >= low).all()
    assert (poses <= high).all()
    assert (poses.std(axis=0) > 2).all()  # every joint moves


def test_no_finger_of_a_random_pose_bends_backwards() -> None:
    rng = np.random.default_rng(1)
    angles = np.stack([random_pose(rng, gesture_names("nyu"))[1] for _ in range(200)])
    _, heads = pose(angles)
    for first, middle, last in list(CHAINS.values())[1:]:
        base, end = heads[:, middle] - heads[:, first], heads[:, last] - heads[:, middle]
        side = np.cross(base, end)[:, 0]  # about x: positive where the bend goes to the palm
        size = np.linalg.norm(base, axis=1) * np.linalg.norm(end, axis=1)
        assert (np.degrees(np.arcsin(side / size)) > -8).all()
