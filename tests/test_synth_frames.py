import pickle

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.errors import HandbenchError
from handbench.synth.config import NAMES, SUBJECTS, SynthConfig, evenly, subject_frames
from handbench.synth.frames import SyntheticFrames


def frames_of(name: str, frames: int = 34, **options: object) -> SyntheticFrames:
    return SyntheticFrames(SynthConfig(name, frames, key_frames=1, **options))  # type: ignore[arg-type]  # of SynthConfig


@pytest.mark.parametrize("name", NAMES)
def test_joints_fall_on_the_rendered_hand_and_lie_inside_it(name: str) -> None:
    frames = frames_of(name, background="empty")
    split = frames.splits[0]
    joints = frames.joints_xyz(split)[:, list(frames.spec.joints.scored)].astype(np.float64)
    camera = frames.spec.camera
    behind = []
    for row in range(0, len(joints), 2):
        depth = frames.exact_depth(split, row)
        uvd = xyz_to_uvd(joints[row], camera)
        u, v = np.rint(uvd[:, :2]).astype(int).T
        shown = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
        away = cv2.distanceTransform((depth == 0).astype(np.uint8), cv2.DIST_L2, 5)
        assert away[v[shown], u[shown]].max() <= 2
        at = depth[v[shown], u[shown]]
        behind.append((uvd[shown, 2] - at)[at > 0])
    below = np.concatenate(behind)
    assert below.min() > 0
    assert np.median(below) < 20
    assert (below < 35).mean() > 0.7  # the others are hidden by another finger or the palm


@pytest.mark.parametrize(
    ("name", "bone"),  # ICVL's joints lie half way along bones, so what is between two of them bends
    [
        ("nyu", ("F3_KNU2_B", "F3_KNU1_B")),
        ("msra", ("middle_dip", "middle_pip")),
        ("hands17", ("ring_dip", "ring_pip")),
    ],
)
def test_bones_keep_their_length_within_a_subject_and_differ_between_two(name: str, bone: tuple[str, str]) -> None:
    frames = frames_of(name, subjects=min(2, SUBJECTS[name]))
    far, near = (frames.spec.joints.names.index(joint) for joint in bone)
    lengths: dict[int, list[float]] = {}
    for split in frames.splits:
        joints = frames.joints_xyz(split)
        people = [run.person for run in frames.runs[split] for _ in range(run.frames)]
        for person, along in zip(people, joints[:, far] - joints[:, near], strict=True):
            lengths.setdefault(person, []).append(float(np.linalg.norm(along)))
    assert len(lengths) >= 2
    for found in lengths.values():
        assert max(found) - min(found) < 0.01
    means = [np.mean(found) for found in lengths.values()]
    assert max(means) - min(means) > 0.3


def test_nyus_second_test_subject_is_smaller() -> None:
    joints = frames_of("nyu", 2, test_frames=4).joints_xyz("test")
    names = frames_of("nyu", 2).spec.joints.names
    palm = np.linalg.norm(joints[:, names.index("PALM_2")] - joints[:, names.index("PALM_3")], axis=1)
    assert_allclose(palm, [81.3, 81.3, 67.8, 67.8], atol=2.5)


def test_frames_repeat_by_seed_alone_and_in_any_order() -> None:
    first, again, other = frames_of("nyu", 5), frames_of("nyu", 40), frames_of("nyu", 5, seed=1)
    assert_array_equal(first.joints_xyz("train"), again.joints_xyz("train")[:5])
    for row in (4, 0):
        assert_array_equal(first.depth("train", row), again.depth("train", row))
    assert (first.depth("train", 0) != other.depth("train", 0)).any()
    assert (first.depth("train", 0) != first.depth("test", 0)).any()
    copy = pickle.loads(pickle.dumps(first))
    assert_array_equal(copy.depth("train", 3), again.depth("train", 3))


def test_the_sensor_leaves_the_hand_where_it_is() -> None:
    for name in NAMES:
        frames = frames_of(name, 17)
        split = frames.splits[0]
        exact, seen = frames.exact_depth(split, 3), frames.depth(split, 3)
        both = (exact > 0) & (seen > 0)
        assert both.sum() > 0.6 * (exact > 0).sum()
        assert np.median(np.abs(seen - exact)[both]) < 4


def test_backgrounds_stand_behind_the_hand() -> None:
    shown = {kind: frames_of("nyu", 2, background=kind).exact_depth("train", 0) for kind in ("empty", "person", "wall")}
    hand = shown["empty"] > 0
    assert 3_000 < hand.sum() < 100_000
    assert (shown["person"] > 0).sum() > hand.sum() + 10_000
    assert (shown["wall"] > 0).all()
    middle = frames_of("nyu", 2).joints_xyz("train")[0].mean(axis=0)
    for kind in ("person", "wall"):
        behind = shown[kind][~hand]
        assert behind[behind > 0].min() > middle[2]


def test_msra_shows_the_hand_without_its_forearm() -> None:
    frames = frames_of("msra", 17)
    joints = frames.joints_xyz("all")
    for row in range(0, 17, 3):
        depth = frames.exact_depth("all", row)
        v, u = np.nonzero(depth)
        uvd = xyz_to_uvd(joints[row].astype(np.float64), frames.spec.camera)
        across = np.hypot(*(np.stack((u, v)) - uvd[0, :2, None])) * depth[v, u] / frames.spec.camera.fx
        nearest = np.hypot(*(np.stack((u, v))[:, :, None] - uvd[:, :2].T[:, None])).min(axis=1)
        assert (nearest * depth[v, u] / frames.spec.camera.fx).max() < 60  # a forearm would reach 200 mm
        assert across.min() < 40


def test_distance_moves_the_hands_and_keeps_their_place_in_the_image() -> None:
    usual, far = frames_of("nyu", 8), frames_of("nyu", 8, distance_mm=(1000.0, 1200.0))
    palm = usual.spec.joints.names.index("PALM_3")
    before, after = (xyz_to_uvd(f.joints_xyz("train")[:, palm].astype(float), f.spec.camera) for f in (usual, far))
    assert after[:, 2].min() > 990
    assert after[:, 2].max() < 1210
    assert_allclose(after[:, :2], before[:, :2], atol=0.5)


def test_label_noise_moves_labels_alone_and_by_as_much_as_is_said() -> None:
    exact, noisy = frames_of("icvl", 60), frames_of("icvl", 60, label_noise_mm=2.0)
    error = noisy.joints_xyz("train") - exact.joints_xyz("train")
    assert error.std() == pytest.approx(2.0, rel=0.05)
    assert abs(error.mean()) < 0.1
    assert_array_equal(noisy.joints_xyz("train"), frames_of("icvl", 60, label_noise_mm=2.0).joints_xyz("train"))
    assert_array_equal(noisy.depth("train", 7), exact.depth("train", 7))


def test_runs_are_arranged_as_each_data_set_is() -> None:
    nyu = SynthConfig("nyu", 10, test_frames=5)
    assert subject_frames(nyu.runs()) == {"train": {"1": 10}, "test": {"1": 2, "2": 3}}
    assert subject_frames(SynthConfig("nyu", 10, test_frames=8252).runs())["test"] == {"1": 2440, "2": 5812}
    assert [key for run in nyu.runs()["test"] for key in run.frame_keys()][1:3] == ["test/1/0000002", "test/1/0000003"]
    icvl = SynthConfig("icvl", 24).runs()
    assert [run.frames for run in icvl["train"]] == [2] * 12
    assert {run.person for run in icvl["train"]}.isdisjoint({run.person for run in icvl["test"]})
    assert [run.sequence for run in icvl["test"]] == ["test_seq_1", "test_seq_2"]
    msra = SynthConfig("msra", 306).runs()["all"]
    assert [run.frames for run in msra] == [2] * (9 * 17)
    assert len({run.gesture for run in msra}) == 17
    assert list(msra[18].frame_keys()) == ["P1/2/000000", "P1/2/000001"]
    hands17 = SynthConfig("hands17", 10, test_frames=20)
    counts = subject_frames(hands17.runs())
    assert counts["train"] == {f"seen-{i}": 2 for i in range(1, 6)}
    assert counts["test"] == counts["train"] | {f"unseen-{i}": 2 for i in range(1, 6)}
    assert [key for run in hands17.runs()["test"] for key in run.frame_keys()][-1] == "test/image_D00000020"


def test_runs_lose_no_frame_and_none_is_empty() -> None:
    assert evenly(7, 3) == [2, 2, 3]
    for name in NAMES:
        for frames in (1, 5, 200):
            runs = SynthConfig(name, frames, subjects=1).runs()
            assert sum(run.frames for run in next(iter(runs.values()))) == frames
            keys = [key for some in runs.values() for run in some for key in run.frame_keys()]
            assert len(set(keys)) == len(keys)
            assert all(run.frames for some in runs.values() for run in some)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "coco"}, "there are nyu, icvl"),
        ({"frames": 0}, "--frames 0 cannot be"),
        ({"frames": -3}, "--frames -3 cannot be"),
        ({"test_frames": -1}, "--test-frames -1"),
        ({"key_frames": 0}, "--key-frames 0"),
        ({"seed": -1}, "--seed -1"),
        ({"subjects": 2}, "names for 1"),
        ({"name": "msra", "subjects": 10}, "names for 9"),
        ({"name": "msra", "test_frames": 3}, "MSRA tests each subject"),
        ({"gesture": "fits"}, "did you mean 'fist'"),
        ({"background": "beach"}, "there are person"),
        ({"distance_mm": (-600.0, -400.0)}, "the camera is in or behind it"),
        ({"distance_mm": (600.0, 400.0)}, "near comes before far"),
        ({"distance_mm": (float("nan"), 400.0)}, "cannot be"),
        ({"label_noise_mm": -1.0}, "--label-noise -1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options: dict[str, object], words: str) -> None:
    with pytest.raises(HandbenchError) as error:
        SynthConfig(**{"name": "nyu", "frames": 2, **options})  # type: ignore[arg-type]  # some of them on purpose
    assert words in str(error.value)
    assert "\n" not in str(error.value)
