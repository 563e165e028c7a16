"""The demo, tiny: every step runs, says what it is, and leaves what it announces."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from handbench import demo
from handbench.cli import COMMANDS, main

TRAINING = ("--preset", "quick", "--set", "optim.epochs=1", "--set", "optim.batch_size=8", "--set", "model.stages=1")
TINY = demo.Size(24, 8, 34, TRAINING, TRAINING)


@pytest.mark.slow
def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    monkeypatch.setattr(demo, "QUICK", TINY)
    out = tmp_path / "demo"
    result = CliRunner().invoke(main, ["demo", str(out), "--quick"])
    assert result.exit_code == 0, result.stderr
    for place, _ in demo.contents(out):
        assert place.exists()
        assert str(place) in result.stdout
    for _, command in demo.steps(out, TINY):
        assert f"$ handbench {command[0]}" in result.stderr
    assert "not NYU data" in result.stdout
    scores = json.loads((out / "scores" / "SRN.scores.json").read_text())
    assert scores["frames"] == 8
    assert 5 < scores["mean_error_mm"] < 500
    groups = json.loads((out / "scores-hands17" / "SRN-hands17.scores.json").read_text())["groups"]
    assert set(groups) == {f"{kind}-{number}" for kind in ("seen", "unseen") for number in range(1, 6)}
    assert (out / "curves.csv").read_text().count("\n") >= 81
    again = CliRunner().invoke(main, ["demo", str(out), "--quick"])
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_its_steps_are_commands_of_the_table(tmp_path: Path) -> None:
    assert [command[0] for _, command in demo.steps(tmp_path, demo.FULL)] == [
        *("synth", "convert", "info", "train", "predict", "eval", "plot", "plot"),
        *("synth", "inspect", "convert"),
        *("synth", "convert", "validate"),
        *("synth", "train", "predict", "eval"),
    ]
    assert {command[0] for _, command in demo.steps(tmp_path, demo.FULL)} <= set(COMMANDS)


def test_a_step_that_fails_stops_the_demo(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["demo", str(tmp_path / "no" / "where")])
    assert result.exit_code == 2
    assert "create it first" in result.stderr
