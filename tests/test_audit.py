"""The audit: each check on labels that are wrong by design, the real wrong ones, the command, the gallery."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.cli import main
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.eval.audit import AuditConfig, Labels, audit, bones, disagreements, jumps, repeats
from handbench.eval.audit_run import rigid_edges
from handbench.eval.surface import surface_distance
from handbench.findings import read_findings
from tests.tiny_store import CAMERA, write_tiny_store

ICVL = dataset("icvl")
CONFIG = AuditConfig()


def hand(frames: int = 40) -> np.ndarray:
    """(N, 16, 3) mm: one rigid hand that drifts by a millimetre a frame."""
    shape = np.random.default_rng(0).uniform(-80, 80, (16, 3))
    drift = np.arange(frames)[:, None, None] * np.array([0.6, 0.8, 0.0])
    hands: np.ndarray = shape + drift + np.array([0.0, 0.0, 400.0])
    return hands


def labels_of(joints_xyz: np.ndarray, methods: int = 5, noise: float = 3.0, **changes: Any) -> Labels:
    """Labels beside predictions of the right hand."""
    rng = np.random.default_rng(1)
    right = hand(len(joints_xyz))
    predictions = right + rng.normal(0, noise, (methods, *right.shape))
    whole = Labels(
        joints_xyz=joints_xyz,
        counts=np.ones(len(joints_xyz), np.bool_),
        group=np.full(len(joints_xyz), "a"),
        edges=ICVL.joints.scored_edges,
        predictions=predictions,
    )
    return replace(whole, **changes)


def test_right_labels_raise_no_suspicion() -> None:
    assert audit(labels_of(hand()), CONFIG) == []
    assert audit(labels_of(hand(), methods=0), CONFIG) == []


def test_methods_that_agree_outvote_a_label() -> None:
    truth = hand()
    truth[7, 9] += [60, 0, 0]
    truth[9, 2] += [0, 30, 0]  # far, but not far enough
    truth[11, 3] = np.nan  # not labelled
    (found,) = disagreements(labels_of(truth), CONFIG)
    assert (found.row, found.joint) == (7, 9)
    assert found.mm == pytest.approx(60, abs=8)
    assert found.severity == found.mm / 40
    assert disagreements(labels_of(truth, noise=20.0), CONFIG) == []  # they do not agree
    assert disagreements(labels_of(truth, methods=2), CONFIG) == []  # two cannot outvote one
    out = labels_of(truth, counts=np.arange(40) != 7)
    assert disagreements(out, CONFIG) == []  # a frame that is not scored


def test_one_wild_method_does_not_break_a_consensus() -> None:
    truth = hand()
    truth[7, 9] += [60, 0, 0]
    labels = labels_of(truth)
    labels.predictions[0] += 300
    assert [f.row for f in disagreements(labels, CONFIG)] == [7]


def test_a_bone_of_another_length() -> None:
    truth = hand()
    tip, middle = ICVL.joints.scored_edges[2]
    along = truth[20, tip] - truth[20, middle]
    truth[20, tip] += 25 * along / np.linalg.norm(along)
    (found,) = bones(labels_of(truth), CONFIG)
    assert (found.row, found.joint) == (20, tip)
    assert found.mm == pytest.approx(25)
    grown = hand()
    grown[25:] *= 1.4  # another person: every bone longer, in a group of their own
    assert len(bones(labels_of(grown), CONFIG)) > 0
    assert bones(labels_of(grown, group=np.array(["a"] * 25 + ["b"] * 15)), CONFIG) == []


def test_a_label_jumps_while_the_hand_stays() -> None:
    truth = hand()
    truth[15:] += [50, 0, 0]
    assert [f.row for f in jumps(labels_of(truth, noise=0.5), CONFIG)] == [15]
    group = np.array(["a"] * 15 + ["b"] * 25)
    assert jumps(labels_of(truth, noise=0.5, group=group), CONFIG) == []  # between two sequences all may jump
    moving = labels_of(truth, noise=0.5)
    moving.predictions[:, 15:] += [50, 0, 0]
    assert jumps(moving, CONFIG) == []


def test_without_methods_a_jump_is_one_that_comes_back() -> None:
    truth = hand()
    truth[15, 4] += [0, 60, 0]
    (found,) = jumps(labels_of(truth, methods=0), CONFIG)
    assert (found.row, found.joint) == (15, 4)
    stays = hand()
    stays[15:] += [0, 60, 0]
    assert jumps(labels_of(stays, methods=0), CONFIG) == []


def test_a_repeated_label() -> None:
    truth = hand()
    truth[31] = truth[30]
    (found,) = repeats(labels_of(truth, noise=0.0), CONFIG)
    assert found.row == 31
    assert found.mm == pytest.approx(1.0)  # how far the hand went meanwhile
    assert [(f.row, f.joint) for f in repeats(labels_of(truth, methods=0), CONFIG)] == [(31, -1)]


def test_only_bones_that_no_joint_bends_are_measured() -> None:
    assert rigid_edges(ICVL.joints) == ICVL.joints.scored_edges
    nyu = dataset("nyu").joints
    names = {tuple(nyu.labels[j] for j in edge) for edge in rigid_edges(nyu)}
    assert names == {("Thumb.T", "Thumb.R2"), ("Wrist2", "Palm"), ("Wrist1", "Palm")}


def test_distance_from_the_surface() -> None:
    depth = np.zeros((48, 64), np.uint16)
    depth[10:30, 20:40] = 600
    on = np.array([(30 - 31.5) * 10, (20 - 23.5) * 10, 600.0])  # fx = fy = 60: 10 mm a pixel at 600 mm
    joints = np.array([on, on - [0, 0, -25], on - [0, 0, 55], on - [200, 0, 0], [np.nan] * 3])
    away = surface_distance(joints, depth, CAMERA, reach=100.0)
    assert_allclose(away[:3], [0, 25, 55], atol=1e-9)
    assert_allclose(away[3], 100)  # 100 mm to the edge of the plate; no farther than it looks
    assert np.isnan(away[4])
    assert surface_distance(joints[:1], np.zeros_like(depth), CAMERA, 100.0)[0] == 100


def test_limits_are_positive() -> None:
    with pytest.raises(HandbenchError, match="--bone-mad 0 is not positive"):
        AuditConfig(bone_mad=0)


# ---- the command


def run(*args: object) -> Result:
    return CliRunner().invoke(main, list(map(str, args)))


def refusal(*args: object) -> str:
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_the_wrong_labels_of_icvl_are_found(real: Path, tmp_path: Path) -> None:
    files = sorted((real / "icvl" / "predictions").glob("*.txt"))
    out = tmp_path / "findings.json"
    done = run("audit", real / "icvl" / "groundtruth.txt", *files, "--dataset", "icvl", "-o", out, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["counts"]["repeat"] == 45
    consensus = {s["row"]: s for s in found["suspects"] if s["check"] == "consensus"}
    assert {197, 198, 199, 200, 201, 202} <= set(consensus)
    assert max(consensus[row]["mm"] for row in range(197, 203)) > 80
    assert consensus[201]["frame"] == "line 202"
    assert len(consensus) < 32  # and next to nothing else
    means = found["mean_error_mm"]["SRN"]
    assert round(means["all"], 3) == 6.271
    assert means["without any"] < means["without consensus"] < means["all"]
    assert read_findings(out).to_dict() == found
    gallery = tmp_path / "gallery.png"
    drawn = run("plot", "audit", out, "-o", gallery, "--count", 5)
    assert drawn.exit_code == 0, drawn.output
    assert gallery.read_bytes().startswith(b"\x89PNG")
    rows = gallery.with_suffix(".csv").read_text().splitlines()
    assert len(rows) == 6
    assert rows[1].startswith("line 197,test_seq_1,consensus,Mid.T,85.")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder with right labels of 40 frames, three methods, and labels with a joint 60 mm off in frame 8."""
    rng = np.random.default_rng(2)
    wrong = hand()
    wrong[7, 9] += [60, 0, 0]
    made = {"right": hand(), "wrong": wrong} | {name: hand() + rng.normal(0, 2, (40, 16, 3)) for name in "ABC"}
    for name, xyz in made.items():
        np.savetxt(tmp_path / f"{name}.txt", xyz_to_uvd(xyz, ICVL.scoring_camera).reshape(40, -1), fmt="%.6f")
    return tmp_path


def test_exit_code_and_table_say_what_was_found(texts: Path) -> None:
    methods = [texts / f"{name}.txt" for name in "ABC"]
    clean = run("audit", texts / "right.txt", *methods, "--dataset", "icvl")
    assert clean.exit_code == 0, clean.output
    found = run("audit", texts / "wrong.txt", *methods, "--dataset", "icvl", "--top", 3)
    assert found.exit_code == 1
    assert "line 8" in found.stdout
    assert "without consensus" in found.stdout
    alone = run("audit", texts / "wrong.txt", "--dataset", "icvl")
    assert alone.exit_code == 1
    assert "no consensus: that needs the predictions of three methods or more" in alone.stdout
    strict = run(
        "audit", texts / "wrong.txt", *methods, "--dataset", "icvl", "--far", 100, "--bone", 100, "--jump", 100
    )
    assert strict.exit_code == 0, strict.output


def test_a_store_is_looked_at(tmp_path: Path) -> None:
    spec = dataset("icvl")
    store = write_tiny_store(tmp_path / "tiny.zarr", train=0, test=6, spec=spec)
    limits = ("--bone", 200, "--jump", 500, "--surface", 60)
    clean = run("audit", store, *limits)
    assert clean.exit_code == 0, clean.output
    assert "surface" in clean.stdout
    from handbench.store import Store

    uvd = xyz_to_uvd(Store(store)["test"].joints_xyz.astype(np.float64), CAMERA)
    assert_array_equal(np.isfinite(uvd), True)
    near = run("audit", store, "--bone", 200, "--jump", 500, "--surface", 1, "-o", tmp_path / "f.json")
    assert near.exit_code == 1  # joints lie inside of the spheres, so a millimetre is too strict
    drawn = run("plot", "audit", tmp_path / "f.json", "-o", tmp_path / "g.svg", "--apart", 1)
    assert drawn.exit_code == 0, drawn.output
    assert "6 frames of icvl" in drawn.stderr
    without = run("audit", store, "--no-images", *limits, "--json")
    assert "surface" not in json.loads(without.stdout)["checked"]
    store.rename(tmp_path / "gone.zarr")
    again = ("plot", "audit", tmp_path / "f.json", "-o", tmp_path / "h.png")
    assert "is not there any more; pass --no-images" in refusal(*again)
    assert run(*again, "--no-images").exit_code == 0


def test_what_audit_and_its_gallery_refuse(texts: Path, tmp_path: Path) -> None:
    right, a = texts / "right.txt", texts / "A.txt"
    assert "pass --dataset" in refusal("audit", right, a)
    assert "No such file" in refusal("audit", texts / "none.txt", "--dataset", "icvl")
    assert "does not end in .json" in refusal("audit", right, a, "--dataset", "icvl", "-o", texts / "f.txt")
    assert "--far -1 is not positive" in refusal("audit", right, a, "--dataset", "icvl", "--far", -1)
    short = texts / "Short.txt"
    short.write_text("".join(a.read_text().splitlines(keepends=True)[:39]))
    assert "Short has 39 frames, expected 40" in refusal("audit", right, short, "--dataset", "icvl")
    clean = texts / "clean.json"
    assert run("audit", right, "--dataset", "icvl", "-o", clean).exit_code == 0
    assert "exists already" in refusal("audit", right, "--dataset", "icvl", "-o", clean)
    assert "has no findings to draw" in refusal("plot", "audit", clean, "-o", tmp_path / "g.png")
    assert "No such file" in refusal("plot", "audit", texts / "none.json", "-o", tmp_path / "g.png")
    assert "is not a findings file" in refusal("plot", "audit", right, "-o", tmp_path / "g.png")
    data = json.loads(clean.read_text())
    clean.write_text(json.dumps({**data, "format_version": 9}))
    assert "has findings format 9" in refusal("plot", "audit", clean, "-o", tmp_path / "g.png")
    clean.write_text(json.dumps({**data, "edges": None}))
    assert "is a damaged findings file" in refusal("plot", "audit", clean, "-o", tmp_path / "g.png")
