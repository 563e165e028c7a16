"""Facts of the data sets against the lists of their authors and against real files; the command `datasets`."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose

from handbench.camera import uvd_to_xyz
from handbench.cli import main
from handbench.datasets import DatasetSpec, dataset, dataset_names
from handbench.datasets.maps import joint_order
from handbench.datasets.spec import FINGERS, JointSet
from handbench.errors import HandbenchError

OWN = ("nyu", "icvl", "msra", "hands17")

# The skeletons as published; an edge has no direction here.
EDGES = {
    "nyu": "(0,1)(2,3)(4,5)(6,7)(8,9)(9,10)(1,13)(3,13)(5,13)(7,13)(10,13)(11,13)(12,13)",
    "icvl": "(0,1)(1,2)(2,3)(0,4)(4,5)(5,6)(0,7)(7,8)(8,9)(0,10)(10,11)(11,12)(0,13)(13,14)(14,15)",
    "msra": "(0,1)(1,2)(2,3)(3,4)(0,5)(5,6)(6,7)(7,8)(0,9)(9,10)(10,11)(11,12)(0,13)(13,14)(14,15)(15,16)"
    "(0,17)(17,18)(18,19)(19,20)",
    "hands17": "(0,1)(0,2)(0,3)(0,4)(0,5)(1,6)(6,7)(7,8)(2,9)(9,10)(10,11)(3,12)(12,13)(13,14)"
    "(4,15)(15,16)(16,17)(5,18)(18,19)(19,20)",
}
# SRN realtime/realtime.py: joints of MSRA = joints of HANDS17 at these indices.
MSRA_OF_HANDS17 = (0, 2, 9, 10, 11, 3, 12, 13, 14, 4, 15, 16, 17, 5, 18, 19, 20, 1, 6, 7, 8)
HANDS17_OF_MSRA = (0, 17, 1, 5, 9, 13, 18, 19, 20, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16)


@pytest.fixture(params=OWN)
def spec(request: pytest.FixtureRequest) -> DatasetSpec:
    return dataset(request.param)


def unordered(edges: object) -> set[frozenset[int]]:
    return {frozenset(map(int, pair)) for pair in re.findall(r"(\d+), ?(\d+)", str(edges))}


def test_the_table_knows_the_four() -> None:
    assert dataset_names()[:4] == OWN


def test_skeleton_of_scored_joints_is_the_published_one(spec: DatasetSpec) -> None:
    assert unordered(spec.joints.scored_edges) == unordered(EDGES[spec.name])
    assert len(spec.joints.scored_edges) == len(spec.joints.scored) - 1


def test_joints_have_distinct_names_and_labels_and_known_fingers(spec: DatasetSpec) -> None:
    joints = spec.joints
    assert len(set(joints.names)) == len(joints)
    assert len(set(joints.labels)) == len(joints.scored)
    assert set(joints.fingers) == {*FINGERS, "palm"}
    assert joints.parents.count(-1) == 1


def test_a_finger_hangs_together_and_its_labels_name_it(spec: DatasetSpec) -> None:
    joints = spec.joints
    for finger, parent in zip(joints.fingers, joints.parents, strict=True):
        assert parent == -1 or joints.fingers[parent] in (finger, "palm")
    for finger, label in zip(joints.scored_fingers, joints.labels, strict=True):
        shown = {"middle": "Mid"}.get(finger, finger.capitalize())
        assert label.startswith((shown, "Wrist", "Palm") if finger == "palm" else f"{shown}.")


def test_counts_are_the_published_ones() -> None:
    frames = {name: {s.name: dict(s.frames) for s in dataset(name).splits} for name in OWN}
    assert frames["nyu"] == {"train": {"only": 72757}, "test": {"only": 8252}}
    assert frames["icvl"]["train"] == {"rotated": 331006, "originals": 22068}
    assert frames["msra"] == {"all": {"old": 76375, "new": 76391}}
    assert frames["hands17"] == {"train": {"only": 957032}, "test": {"only": 295510}}
    assert frames["icvl"]["train"]["rotated"] == 22068 * 15 - 14  # image_-001.png has no rotated copies


def test_subjects_and_protocols_add_up_to_the_split(spec: DatasetSpec) -> None:
    for split in spec.splits:
        for release, subjects in split.subjects.items():
            assert sum(subjects.values()) == split.frames[release]
    for protocol in spec.protocols:
        whole = protocol.name != "icvl/seq1-16j"
        assert (protocol.frames in spec.split(protocol.split).frames.values()) is whole


def test_every_subject_has_a_cube(spec: DatasetSpec) -> None:
    for split in spec.splits:
        for subjects in split.subjects.values():
            assert all(100 < spec.cube_of(subject) <= 300 for subject in subjects)


def test_cubes_of_nyu_and_msra() -> None:
    assert dataset("nyu").cube_of("2") == pytest.approx(dataset("nyu").cube_of("1") * 5 / 6)
    msra = [dataset("msra").cube_of(f"P{i}") for i in range(9)]
    assert msra == [200, 200, 200, 180, 180, 180, 170, 160, 150]
    assert dataset("icvl").cube_of("whoever") == 200
    with pytest.raises(HandbenchError, match="no cube for subject 'P9'"):
        dataset("msra").cube_of("P9")


def test_a_spec_survives_json(spec: DatasetSpec) -> None:
    assert DatasetSpec.from_dict(spec.to_dict()) == spec
    assert DatasetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_from_dict_refuses_what_it_does_not_know() -> None:
    facts = dataset("icvl").to_dict()
    for wrong in ({**facts, "colour": "blue"}, {k: v for k, v in facts.items() if k != "camera"}):
        with pytest.raises(HandbenchError, match="not the facts of a data set"):
            DatasetSpec.from_dict(wrong)


def test_citations_are_bibtex_on_several_lines(spec: DatasetSpec) -> None:
    for entry in spec.citation.split("\n\n"):
        assert re.fullmatch(r"@\w+\{\w+,\n(  \w+ += \{.+\},?\n)+\}", entry)
        assert entry.count("{") == entry.count("}")


def test_a_joint_set_refuses_a_loop_and_odd_lengths() -> None:
    with pytest.raises(HandbenchError, match="own ancestor"):
        JointSet(("a", "b"), (1, 0), ("palm", "palm"), (0,), ("A",))
    with pytest.raises(HandbenchError, match="one name, one parent and one finger"):
        replace(dataset("icvl").joints, parents=(-1,))
    with pytest.raises(HandbenchError, match="one label for each scored joint"):
        replace(dataset("icvl").joints, labels=("Palm",))


def test_a_data_set_may_have_no_joints_and_no_protocol() -> None:
    nothing = JointSet((), (), (), (), ())
    assert (len(nothing), nothing.scored_edges, nothing.scored_fingers) == (0, (), ())
    spec = replace(dataset("icvl"), name="mine", joints=nothing, protocols=())
    assert DatasetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    with pytest.raises(HandbenchError, match="mine has no protocol: nothing says how to score it"):
        _ = spec.protocol


def test_joint_order_between_hands17_and_msra() -> None:
    hands17, msra = dataset("hands17").joints, dataset("msra").joints
    assert joint_order(hands17, msra) == MSRA_OF_HANDS17
    assert joint_order(msra, hands17) == HANDS17_OF_MSRA
    assert [hands17.names[i] for i in joint_order(hands17, msra)] == list(msra.names)
    with pytest.raises(HandbenchError, match="no joints named palm, thumb_root"):
        joint_order(msra, dataset("icvl").joints)


def uvd_labels(path: Path, spec: DatasetSpec) -> npt.NDArray[np.float64]:
    return np.loadtxt(path).reshape(-1, len(spec.joints.scored), 3)


def test_nyu_changes_hands_at_frame_2441(real: Path) -> None:
    spec = dataset("nyu")
    xyz = uvd_to_xyz(uvd_labels(real / "nyu/groundtruth.txt", spec), spec.scoring_camera)
    palm_2, palm_3 = (spec.joints.scored.index(spec.joints.names.index(name)) for name in ("PALM_2", "PALM_3"))
    bone = np.linalg.norm(xyz[:, palm_2] - xyz[:, palm_3], axis=-1)
    first = spec.split("test").subjects["only"]["1"]
    assert np.flatnonzero(np.abs(np.diff(bone)) > 1)[0] + 1 == first == 2440  # 0-based: frame 2441
    assert_allclose(bone[[first - 1, first]], [81.32, 70.59], atol=0.05)
    assert len(xyz) == spec.protocol.frames


def curl(joints: JointSet, xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N,) mm: how far the thumb's and the index' tip lie off the palm, positive on the side of a right hand's palm."""
    label = {name: xyz[:, i] for i, name in enumerate(joints.labels)}
    wrist = label["Palm"] if "Wrist1" not in label else (label["Wrist1"] + label["Wrist2"]) / 2
    index, pinky = label["Index.R"], label["Pinky.R"]
    normal = np.cross((index + pinky) / 2 - wrist, pinky - index)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    tips = (label["Thumb.T"] + label["Index.T"]) / 2
    off: npt.NDArray[np.float64] = np.einsum("nk,nk->n", normal, tips - wrist)
    return off


def test_nyu_shows_right_hands_and_icvl_left_hands(real: Path) -> None:
    for name, side in (("nyu", 1), ("icvl", -1)):
        spec = dataset(name)
        xyz = uvd_to_xyz(uvd_labels(real / name / "groundtruth.txt", spec), spec.scoring_camera)
        if name == "icvl":
            assert len(xyz) == spec.protocol.frames
        assert np.mean(side * curl(spec.joints, xyz) > 0) > 0.85
        assert spec.handedness == ("right" if side > 0 else "left")


def test_icvl_lists_have_the_lines_of_the_protocol(real: Path) -> None:
    groups = dict(dataset("icvl").protocol.groups)
    for sequence, frames in groups.items():
        lines = (real / f"icvl/{sequence}.txt").read_bytes().split(b"\r\r\n")
        assert lines.pop() == b""
        assert len(lines) == frames
        assert all(len(line.split()) == 1 + 3 * 16 and line.startswith(f"{sequence}/".encode()) for line in lines)
    assert dict(dataset("icvl").protocols[1].groups) == {"test_seq_1": groups["test_seq_1"]}


def test_msra_lists_have_the_lines_of_their_releases(real: Path) -> None:
    subjects = dataset("msra").split("all").subjects
    old = Counter(line.partition("/")[0] for line in (real / "msra/test_list.txt").read_text().split())
    assert old == subjects["old"]
    assert len((real / "msra/center_test_0_refined.txt").read_text().splitlines()) == subjects["new"]["P0"] == 8499
    others = sum(subjects["new"].values()) - subjects["new"]["P0"]
    assert len((real / "msra/center_train_0_refined.txt").read_text().splitlines()) == others


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["datasets", *arguments], env={"COLUMNS": "80"})


def test_the_table_shows_all_data_sets_uncut() -> None:
    result = run()
    assert result.exit_code == 0
    for name in dataset_names():
        spec = dataset(name)
        for fact in (name, spec.sensor, f"{spec.camera.fx:.10g}", f"{spec.camera.width} x {spec.camera.height}"):
            assert fact in result.stdout
        for split in spec.splits:
            assert all(f"{split.name} {frames:,}" in result.stdout for frames in split.frames.values())
    assert "…" not in result.stdout


def test_one_data_set_shows_every_fact_uncut(spec: DatasetSpec) -> None:
    result = run(spec.name)
    assert result.exit_code == 0
    facts = [spec.title, spec.sensor, spec.raw_axes, spec.handedness, spec.licence, spec.obtain, *spec.notes]
    facts += [text for protocol in spec.protocols for text in (protocol.name, f"{protocol.frames:,}", protocol.note)]
    facts += [f"{group}: {count:,}" for protocol in spec.protocols for group, count in protocol.groups]
    facts += [f"{side:.6g} mm" for side in spec.cube_mm.values()] + [f"{spec.scoring_camera.fy:.10g}"]
    assert [fact for fact in facts if fact not in result.stdout] == []
    assert spec.citation in result.stdout


def test_one_data_set_shows_its_joints_with_parent_finger_and_score() -> None:
    rows = [line.split() for line in run("nyu").stdout.splitlines()]
    assert ["0", "F1_KNU3_A", "F1_KNU3_B", "pinky", "0", "Pinky.T"] in rows
    assert ["1", "F1_KNU3_B", "F1_KNU2_A", "pinky"] in rows
    assert ["32", "PALM_3", "root", "palm", "13", "Palm"] in rows


def test_json_is_the_spec_and_nothing_else(spec: DatasetSpec) -> None:
    assert DatasetSpec.from_dict(json.loads(run(spec.name, "--json").stdout)) == spec
    assert DatasetSpec.from_dict(json.loads(run("--json").stdout)[spec.name]) == spec


@pytest.mark.parametrize(
    ("name", "answer"),
    [("hand17", "did you mean hands17?"), ("NYU", "did you mean nyu?"), ("mnist3d", "known are nyu, icvl, msra")],
)
def test_an_unknown_name_gets_the_names_there_are(name: str, answer: str) -> None:
    for arguments in ([name], [name, "--json"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert answer in " ".join(result.stderr.split())
    with pytest.raises(HandbenchError, match="known are nyu, icvl, msra, hands17"):
        dataset(name)


def test_no_suggestion_where_nothing_is_near() -> None:
    with pytest.raises(HandbenchError) as caught:
        dataset("zzz")
    assert "did you mean" not in str(caught.value)
