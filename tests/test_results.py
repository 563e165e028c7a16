"""Published results, places among them, and what is stated of a method."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose

from handbench.cli import main
from handbench.conditions import Conditions
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.eval.published import place, published, results_of
from handbench.eval.viewpoint import viewpoint_curves, viewpoints, yaw_pitch
from handbench.frame_errors import FrameErrors
from handbench.scores import Scores
from tests.test_scores import scores_of_offset_3_4_0


def run(*args: object) -> Result:
    return CliRunner().invoke(main, list(map(str, args)))


def test_every_entry_names_its_source_and_a_known_protocol() -> None:
    protocols = {p.name: p for name in ("nyu", "icvl", "msra", "hands17") for p in dataset(name).protocols}
    seen = set()
    for entry in published():
        assert entry.protocol in protocols
        assert entry.source.url.startswith("https://")
        assert 3 < entry.mean_error_mm < 25
        assert float(entry.printed) == entry.mean_error_mm
        assert 2013 < entry.year < 2027
        assert (entry.protocol, entry.method) not in seen
        seen.add((entry.protocol, entry.method))
    assert {protocol.split("/")[0] for protocol, _ in seen} == {"nyu", "icvl", "msra", "hands17"}


def test_published_files_score_what_is_registered(real: Path) -> None:
    expected = json.loads((real / "expected.json").read_text())
    for name in ("nyu", "icvl"):
        registered = {entry.method: entry.mean_error_mm for entry in results_of(name)}
        for method, numbers in expected[name].items():
            assert registered[method] == numbers["mean_error_mm"], (name, method)


def nyu_scores(mean: float, name: str = "Mine", frames: int = 8252) -> Scores:
    """Scores with that mean on NYU's whole test set."""
    scores = scores_of_offset_3_4_0()
    return replace(
        scores,
        name=name,
        protocol=dataset("nyu").protocol,
        whole=replace(scores.whole, mean_error_mm=mean, frames=frames),
        conditions=Conditions(),
    )


def test_places() -> None:
    of = len([entry for entry in results_of("nyu")])
    first, last = place(nyu_scores(1.0)), place(nyu_scores(99.0))
    assert first is not None
    assert last is not None
    assert (first.rank, first.of, first.ahead) == (1, of + 1, ())
    assert last.rank == last.of == of + 1
    again = place(nyu_scores(7.788, "srn"))  # the published SRN is not counted against itself
    assert again is not None
    assert again.of == of
    assert "SRN" not in again.ahead
    marked = place(replace(nyu_scores(5.0), conditions=Conditions(center_method="gt-mean")))
    assert marked is not None
    assert marked.unequal > first.unequal  # unlike nearly all others
    assert place(nyu_scores(5.0, frames=100)) is None
    assert place(replace(nyu_scores(5.0), dataset="hands17")) is None


def test_the_command_prints_numbers_as_their_sources_do() -> None:
    out = run("results", "nyu").stdout
    assert "20.750" in out
    assert "V2V-PoseNet §" in out
    assert "VirtualView (best file) †" in out
    assert "§ ensemble of models" in out
    assert "source 1: " in out
    listed = json.loads(run("results", "hands17", "--json").stdout)
    assert listed["dataset"] == "hands17"
    assert [entry["seen_mm"] for entry in listed["results"] if entry["method"] == "A2J"] == [6.92]
    refused = run("results", "nyv")
    assert refused.exit_code == 2
    assert refused.stderr == "Error: unknown data set 'nyv'; did you mean nyu? known are nyu, icvl, msra, hands17\n"


def test_what_is_stated_goes_over_what_is_recorded() -> None:
    recorded = {"center_method": "com", "epoch_rule": "val", "other": 1}
    assert Conditions.from_provenance(recorded, {}) == Conditions("com", None, "val", None)
    over = Conditions.from_provenance(recorded, {"center_method": "gt-mean", "epoch_rule": None, "ensemble": True})
    assert over == Conditions("gt-mean", None, "val", True)
    assert over.marks == "†§"
    assert over.unstated == ("cube",)
    assert Conditions(epoch_rule="test-best").marks == "‡"
    with pytest.raises(HandbenchError, match="epoch rule 'best' is none of last, val, test-best"):
        Conditions(epoch_rule="best")
    with pytest.raises(HandbenchError, match="record cube_rule = 250, which is no text"):
        Conditions.from_provenance({"cube_rule": 250}, {})
    with pytest.raises(HandbenchError, match="record ensemble = 'yes'"):
        Conditions.from_provenance({"ensemble": "yes"}, {})


# ---- viewpoints


def test_viewpoint_of_hands_that_anyone_can_check() -> None:
    wrist = np.zeros((5, 3))
    up, right, towards, between = [0, -1, 0], [1, 0, 0], [0, 0, -1], [1, -1, 0]  # y points down, z away
    palm = np.array([up, right, towards, between, [0, -1, -1]], np.float64) * 80
    assert_allclose(yaw_pitch(wrist, palm), [[0, 0], [90, 0], [0, 90], [45, 0], [0, 45]], atol=1e-12)
    assert np.isnan(yaw_pitch(wrist, np.full((5, 3), np.nan))).all()


def test_viewpoint_bins_are_ratios_of_sums() -> None:
    errors = FrameErrors(np.array([21.0, 4.0, 5.0, 6.0]), np.array([21.0, 1.0, 1.0, 1.0]))
    angles = np.array([[0.9, 10.0], [-0.9, 10.0], [1.1, -20.0], [np.nan, np.nan]])
    curves = viewpoint_curves(errors, angles)
    assert list(curves["yaw"]) == [0, 2]
    assert curves["yaw"][0].frames == 2
    assert curves["yaw"][0].mean_error_mm == 25 / 22  # not the mean of the frames' means, 2.5
    assert curves["yaw"][2].mean_error_mm == 5.0
    assert list(curves["pitch"]) == [10]  # -20 is outside of what is drawn


def test_viewpoints_have_the_form_of_the_published_list(real: Path) -> None:
    lines = (real / "msra" / "viewpoint_yaw_pitch.txt").read_text().splitlines()
    spec = dataset("msra")
    assert len(lines) == spec.protocols[0].frames
    published_angles = np.array([line.split() for line in lines], np.float64)
    # a palm that is turned so is found to be turned so, to the printed digit
    yaw, pitch = np.radians(published_angles[:500]).T
    axis = np.stack((np.sin(yaw) * np.cos(pitch), -np.cos(yaw) * np.cos(pitch), -np.sin(pitch)), axis=1)
    joints = np.zeros((500, 21, 3)) + np.array([5.0, 6.0, 300.0])
    joints[:, spec.joints.names.index("middle_mcp")] += 70 * axis
    found = viewpoints(joints, spec.joints)
    assert found is not None
    assert [f"{a:.3f} {b:.3f}" for a, b in found] == lines[:500]
    assert np.abs(published_angles).max() <= 90
    assert viewpoints(np.zeros((1, 14, 3)), dataset("nyu").joints) is None
