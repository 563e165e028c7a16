"""Joint errors and the scores file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from handbench.camera import uvd_to_xyz, xyz_to_uvd
from handbench.datasets import dataset
from handbench.errors import HandbenchError, ShapeError
from handbench.eval.score import score
from handbench.eval.truth import Truth, drawing_order, known_lengths
from handbench.predictions import Predictions
from handbench.scores import Scores, joint_error, read_scores, write_scores

NYU = dataset("nyu")


def truth_of(joints_xyz: np.ndarray) -> Truth:
    """Labels of NYU's 14 joints for a few frames, the last two of them of another subject."""
    frames = len(joints_xyz)
    return Truth(
        spec=NYU,
        published=NYU.protocol,
        camera=NYU.scoring_camera,
        joints_xyz=joints_xyz,
        group=np.array(["1"] * (frames - 2) + ["2"] * 2),
        flaw=np.zeros(frames, np.str_),
        frame_key=None,
        source={"kind": "text", "file": "labels.txt", "sha256": "0" * 64},
    )


def hands(frames: int = 6) -> np.ndarray:
    """(N, 14, 3) mm, joints of a hand in front of the camera."""
    return np.array([0.0, 0.0, 700.0]) + np.random.default_rng(0).uniform(-90, 90, (frames, 14, 3))


def predictions_of(xyz: np.ndarray, keys: tuple[str, ...] | None = None) -> Predictions:
    return Predictions("SRN", xyz_to_uvd(xyz, NYU.scoring_camera), keys, {"center_method": "com"}, {"file": "SRN.txt"})


def scores_of_offset_3_4_0() -> Scores:
    return score(predictions_of(hands() + np.array([3.0, 4.0, 0.0])), truth_of(hands()))


def test_joint_error_equals_a_loop() -> None:
    rng = np.random.default_rng(1)
    pred, true = rng.normal(0, 50, (5, 4, 3)), rng.normal(0, 50, (5, 4, 3))
    true[2, 1, 0] = np.nan
    naive = [[sum((a - b) ** 2 for a, b in zip(p, t, strict=True)) ** 0.5 for p, t in zip(*frame, strict=True)]
             for frame in zip(pred.tolist(), true.tolist(), strict=True)]  # fmt: skip
    np.testing.assert_allclose(joint_error(pred, true), naive, rtol=1e-14)


def test_joint_error_refuses_other_shapes() -> None:
    with pytest.raises(ShapeError, match=r"must both be \(N, J, 3\)"):
        joint_error(np.zeros((2, 14, 3)), np.zeros((2, 16, 3)))
    with pytest.raises(ShapeError, match=r"must both be \(N, J, 3\)"):
        joint_error(np.zeros((14, 3)), np.zeros((14, 3)))


def test_scores_of_an_offset_of_3_4_0() -> None:
    scores = scores_of_offset_3_4_0()
    assert scores.whole.frames == 6
    assert scores.whole.labelled_joints == 84
    assert scores.whole.mean_error_mm == pytest.approx(5)
    assert scores.whole.mean_abs_axis_error_mm == pytest.approx((3, 4, 0))
    assert scores.whole.mean_error_mm_by_joint == pytest.approx([5] * 14)
    assert (
        scores.whole.max_frame_success_percent == (0,) * 5 + (scores.whole.max_frame_success_percent[5],) + (100,) * 75
    )
    assert scores.whole.joint_success_percent[4] == 0
    assert scores.whole.joint_success_percent[6] == 100
    assert scores.groups["1"].frames == 4
    assert scores.groups["2"].mean_error_mm == pytest.approx(5)
    assert scores.protocol.groups == (("1", 4), ("2", 2))
    assert scores.protocol.frames == 6


def test_success_of_a_whole_millimetre_includes_the_threshold() -> None:
    true = np.zeros((3, 14, 3)) + np.array([0.0, 0.0, 700.0])
    uvd = xyz_to_uvd(true, NYU.scoring_camera)
    off = uvd + np.array([0.0, 0.0, 10.0])  # on the principal axis 10 mm of depth are 10 mm
    whole = score(Predictions("SRN", off), truth_of(true)).whole
    assert whole.max_frame_success_percent[9:11] == (0.0, 100.0)
    assert whole.mean_frame_success_percent[9:11] == (0.0, 100.0)
    assert whole.joint_success_percent[9:11] == (0.0, 100.0)
    assert whole.joint_success_auc_0_50 == pytest.approx((40 + 0.5) / 50)  # a ramp from 9 to 10 mm, then 1


def test_the_mean_over_all_is_no_mean_of_groups() -> None:
    true = hands()
    pred = true.copy()
    pred[4:, :, 2] += 30  # the two frames of the second subject
    scores = score(predictions_of(pred), truth_of(true))
    assert scores.groups["1"].mean_error_mm == pytest.approx(0, abs=1e-9)
    assert scores.whole.mean_error_mm == pytest.approx(10)


def test_joints_without_label_do_not_count_and_are_counted() -> None:
    true = hands()
    true[0, 3] = np.nan
    true[:, 5] = np.nan
    true[2] = np.nan
    scores = score(predictions_of(hands() + np.array([3.0, 4.0, 0.0])), truth_of(true))
    assert scores.whole.frames == 5
    assert scores.whole.labelled_joints == 5 * 13 - 1
    assert scores.whole.mean_error_mm == pytest.approx(5)
    assert np.isnan(scores.whole.mean_error_mm_by_joint[5])
    assert scores.left_out == {"no label": ("line 3",)}
    assert scores.protocol.groups == (("1", 3), ("2", 2))


def test_frames_with_a_flaw_do_not_count() -> None:
    flaw = np.array(["", "image missing", "", "", "", ""])
    pred = hands()
    pred[1] = np.nan
    scores = score(predictions_of(pred), replace(truth_of(hands()), flaw=flaw))
    assert scores.whole.frames == 5
    assert scores.left_out == {"image missing": ("line 2",)}


def test_a_label_without_prediction_is_refused() -> None:
    pred = hands()
    pred[3, 8] = np.nan
    with pytest.raises(
        HandbenchError, match=r"no prediction \(nan\) for the frame line 4 with labels, there for joint Th"
    ):
        score(predictions_of(pred), truth_of(hands()))
    pred[4:] = np.nan
    with pytest.raises(HandbenchError, match=r"for 3 frames \(first line 4\) with labels"):
        score(predictions_of(pred), truth_of(hands()))


def test_keyed_predictions_are_joined_by_key() -> None:
    true = hands()
    keys = tuple(f"test/1/{i:07d}" for i in range(1, 7))
    order = [4, 2, 0, 5, 1, 3]
    keyed = replace(truth_of(true), frame_key=keys)
    shuffled = predictions_of(true[order] + np.array([0.0, 0.0, 1.0]), tuple(keys[i] for i in order))
    scores = score(shuffled, keyed)
    assert scores.prediction["joined_by"] == "frame_key"
    assert 1 <= scores.whole.mean_error_mm < 1.1
    with pytest.raises(HandbenchError, match=r"no prediction \(nan\) for the frame test/1/0000004"):
        score(Predictions("SRN", shuffled.uvd[:5], tuple(keys[i] for i in order[:5])), keyed)
    with pytest.raises(HandbenchError, match=r"predicts the frame test/2/0000001 that the labels do not have"):
        score(Predictions("SRN", shuffled.uvd, (*keys[:5], "test/2/0000001")), keyed)


@pytest.mark.parametrize(
    ("axes", "sign"), [("y down", (1, 1, 1)), ("y up", (1, -1, 1)), ("y up, z negative", (1, -1, -1))]
)
def test_xyz_is_recognised_and_never_converted(axes: str, sign: tuple[int, int, int]) -> None:
    xyz = (hands() + np.array([5.0, -5.0, 5.0])) * sign
    with pytest.raises(
        HandbenchError, match=rf"SRN looks like xyz in mm \({axes}\), not uvd: .* read as xyz, .* as uvd"
    ):
        score(Predictions("SRN", xyz), truth_of(hands()))


def test_bad_uvd_is_scored_not_suspected() -> None:
    uvd = predictions_of(hands()).uvd + np.array([400.0, 0.0, 0.0])  # beside the image, but no xyz either
    assert score(Predictions("SRN", uvd), truth_of(hands())).whole.mean_error_mm > 400


def test_scores_file_keeps_everything(tmp_path: Path) -> None:
    true = hands()
    true[:, 5] = np.nan
    scores = score(predictions_of(hands() + np.array([3.0, 4.0, 0.0])), truth_of(true))
    path = tmp_path / "SRN.scores.json"
    write_scores(path, scores)
    again = read_scores(path)
    assert np.isnan(again.whole.mean_error_mm_by_joint[5])
    assert again.to_dict() == scores.to_dict()
    assert again.comparable == scores.comparable
    assert again.conditions.center_method == "com"
    assert again.camera == NYU.scoring_camera
    assert again.whole.mean_error_mm == scores.whole.mean_error_mm  # unrounded


def test_only_one_protocol_is_comparable() -> None:
    scores = scores_of_offset_3_4_0()
    assert replace(scores, name="REN").comparable == scores.comparable
    assert replace(scores, protocol=replace(scores.protocol, frames=5, groups=())).comparable != scores.comparable
    assert replace(scores, protocol=replace(scores.protocol, name="other")).comparable != scores.comparable


def test_what_is_no_scores_file(tmp_path: Path) -> None:
    path = tmp_path / "SRN.scores.json"
    with pytest.raises(HandbenchError, match="No such file"):
        read_scores(path)
    path.write_text("{")
    with pytest.raises(HandbenchError, match="is not a scores file"):
        read_scores(path)
    path.write_text('{"results": []}')
    with pytest.raises(HandbenchError, match=r"is not a scores file; make one with handbench eval"):
        read_scores(path)
    data = scores_of_offset_3_4_0().to_dict()
    path.write_text(json.dumps({**data, "format_version": 3}))
    with pytest.raises(HandbenchError, match="has scores format 3, this handbench reads 2"):
        read_scores(path)
    del data["max_frame_success_percent"]["80"]
    path.write_text(json.dumps(data))
    with pytest.raises(HandbenchError, match=r"is a damaged scores file \(KeyError: '80'\)"):
        read_scores(path)


def test_figures_show_palm_first_and_fingers_from_root_to_tip() -> None:
    labels = [NYU.joints.labels[i] for i in drawing_order(NYU.joints)]
    assert labels == [
        *("Palm", "Wrist1", "Wrist2", "Thumb.R1", "Thumb.R2", "Thumb.T", "Index.R", "Index.T"),
        *("Mid.R", "Mid.T", "Ring.R", "Ring.T", "Pinky.R", "Pinky.T"),
    ]
    assert drawing_order(dataset("icvl").joints) == tuple(range(16))


def test_known_lengths_name_what_they_are() -> None:
    assert known_lengths(NYU)[5812] == "subject 2 (frames 2441-8252)"
    assert known_lengths(NYU)[72757] == "the train split of NYU Hand Pose"
    assert known_lengths(dataset("icvl"))[702] == "sequence test_seq_1"


def test_back_projection_is_the_inverse_of_projection() -> None:
    assert_array_equal(np.round(uvd_to_xyz(predictions_of(hands()).uvd, NYU.scoring_camera) - hands(), 9), 0)


def test_bias_bones_and_medians_of_an_offset_and_of_a_larger_hand() -> None:
    moved = scores_of_offset_3_4_0().whole
    assert moved.mean_axis_error_mm == pytest.approx((3, 4, 0))
    assert moved.median_error_mm == pytest.approx(5)
    assert moved.mean_bone_error_mm == pytest.approx(0, abs=1e-9)
    back = score(predictions_of(hands() - np.array([3.0, 4.0, 0.0])), truth_of(hands())).whole
    assert back.mean_axis_error_mm == pytest.approx((-3, -4, 0))
    assert back.mean_abs_axis_error_mm == pytest.approx((3, 4, 0))
    center = np.array([0.0, 0.0, 700.0])
    larger = score(predictions_of(center + (hands() - center) * 1.1), truth_of(hands())).whole
    ends = np.array(NYU.joints.scored_edges)
    lengths = np.linalg.norm(hands()[:, ends[:, 0]] - hands()[:, ends[:, 1]], axis=-1)
    assert larger.mean_bone_bias_mm == larger.mean_bone_error_mm == pytest.approx(0.1 * lengths.mean())


def test_bones_are_measured_where_both_ends_are_labelled() -> None:
    true = hands()
    true[:, 13] = np.nan  # the palm, to which seven bones lead
    whole = score(predictions_of(hands() * 1.1), truth_of(true)).whole
    assert whole.masked_joints == 6
    ends = np.array([edge for edge in NYU.joints.scored_edges if 13 not in edge])
    lengths = np.linalg.norm(true[:, ends[:, 0]] - true[:, ends[:, 1]], axis=-1)
    assert whole.mean_bone_error_mm == pytest.approx(0.1 * lengths.mean())
    nothing = np.full_like(true, np.nan)
    nothing[:, 0] = hands()[:, 0]
    assert np.isnan(score(predictions_of(hands()), truth_of(nothing)).whole.mean_bone_error_mm)


def test_breakdowns_and_what_is_stated_go_into_the_file(tmp_path: Path) -> None:
    true, pred = hands(), hands()
    pred[:2, :, 2] += 10
    true[1, 3] = np.nan
    seen = np.array(["seen", "seen", "unseen", "", "unseen", "unseen"])
    truth = replace(truth_of(true), breakdowns={"seen": seen})
    scores = score(predictions_of(pred), truth, {"cube_rule": "250 mm", "epoch_rule": "test-best"})
    assert scores.breakdowns["seen"]["seen"].frames == 2
    assert scores.breakdowns["seen"]["seen"].labelled_joints == 27
    assert scores.breakdowns["seen"]["seen"].mean_error_mm == pytest.approx(10)
    assert scores.breakdowns["seen"]["unseen"].mean_error_mm == pytest.approx(0, abs=1e-9)
    assert list(scores.breakdowns["seen"]) == ["seen", "unseen"]
    write_scores(tmp_path / "SRN.scores.json", scores)
    again = read_scores(tmp_path / "SRN.scores.json")
    assert again.to_dict() == scores.to_dict()
    assert again.conditions.marks == "‡"
    protocol = again.to_dict()["protocol"]
    assert protocol["joints"] == list(NYU.joints.labels)
    assert protocol["label_source"] == "labels.txt (sha256 000000000000)"
    keys = ("center_method", "cube_rule", "epoch_rule", "ensemble")
    assert [protocol[key] for key in keys] == ["com", "250 mm", "test-best", None]
