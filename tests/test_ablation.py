"""The tables of the paper as runs of ours: which they are, how rows compare, and the command from end to end."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import handbench.srn.train
from handbench.camera import xyz_to_uvd
from handbench.cli import main
from handbench.errors import HandbenchError
from handbench.eval.ablation import AblationConfig, Outcome, PlannedRow, Report, plan, results_of
from handbench.eval.ablation_table import to_latex, to_markdown
from handbench.eval.compare import CompareConfig
from handbench.eval.published import published
from handbench.eval.score import score_frames
from handbench.eval.truth import Truth, read_truth
from handbench.predictions import Predictions
from handbench.srn.config import load_config
from handbench.srn.presets import ROW_ABOVE, experiment, experiment_names, preset_names
from handbench.srn.run import RunFolder
from tests.tiny_store import write_tiny_store

TINY = ("model.backbone=small", "model.crop_size=36", "optim.epochs=1", "optim.batch_size=8", "data.cache=true")
FACTS: dict[str, Any] = {
    "store": "tiny_store.zarr",
    "store_sha256": "0123456789abcdef",
    "dataset": "nyu",
    "synthetic": False,
    "train_split": "train",
    "train_frames": 24,
    "test_frames": 6,
    "test_joints": 14,
    "center_method": "com",
    "localizer": None,
    "localizer_set": [],
    "set": ["optim.epochs=3"],
    "seed": 0,
    "epochs": 3,
    "batch_size": 32,
    "crop_size": 128,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr", test=12)


def sets_of(*sets: str, option: str = "--set") -> list[str]:
    return [part for text in sets for part in (option, text)]


def ablation(name: str, store: Path, out: Path, *args: object) -> Result:
    options = [*sets_of(*TINY), "--device", "cpu", *map(str, args)]
    return CliRunner().invoke(main, ["ablation", name, "--data", str(store), "--out", str(out), *options])


# -- which runs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", experiment_names())
def test_every_row_is_a_preset_and_says_what_it_is(name: str) -> None:
    whole = experiment(name)
    for row in whole.rows:
        config = load_config(f"{name}.{row.name}")
        assert f"{name}.{row.name}" in preset_names()
        assert row.settings
        assert row.title
        assert (config.optim.epochs, config.optim.lr, config.model.crop_size) == (80, 0.3, 128)
    assert whole.reference == ROW_ABOVE or whole.row(whole.reference)


def test_each_row_of_the_ladder_adds_to_the_one_above() -> None:
    whole = experiment("table1")
    configs = [load_config(f"table1.{row.name}") for row in whole.rows]
    assert [config.optim.loss for config in configs] == ["l2"] + ["smooth-l1"] * 5
    assert [config.augment.roll_deg[1] for config in configs] == [0.0] * 2 + [180.0] * 4
    assert [config.model.coordinates for config in configs] == ["xyz"] * 3 + ["uvd"] * 3
    assert [config.data.localization for config in configs] == ["off"] * 4 + ["test", "train+test"]
    assert {config.model.stages for config in configs} == {1}


def test_rows_of_the_other_experiments_differ_from_the_reference_in_their_settings_alone() -> None:
    for name in ("table2", "figure2"):
        whole = experiment(name)
        reference = load_config(f"{name}.{whole.reference}")
        for row in whole.rows:
            sets = [f"{key}={json.dumps(value)}" for key, value in row.settings.items()]
            assert load_config(f"{name}.{whole.reference}", sets=sets) == load_config(f"{name}.{row.name}")
        assert (reference.model.stages, reference.model.representation) == (2, "heatmaps-3d-field")


def test_equal_configurations_share_a_run(tmp_path: Path) -> None:
    rows = {row.row.name: row.run for row in plan(AblationConfig("figure2", tmp_path, tmp_path))}
    assert (rows["resnet18"], rows["theta-0.4"]) == ("srn-1", "srn-2")
    assert {name for name, run in rows.items() if name != run} == {"resnet18", "theta-0.4"}


def test_rows_with_refined_centres_get_the_localiser(tmp_path: Path) -> None:
    rows = plan(AblationConfig("table1", tmp_path, tmp_path / "out", sets=("seed=3",)))
    asked = {row.row.name: (row.config.data.localizer, row.config.seed) for row in rows}
    assert asked["decoupling"] == ("", 3)
    assert asked["localization"] == (str(tmp_path / "out" / "localizer"), 3)
    named = plan(AblationConfig("table2", tmp_path, tmp_path, rows=("none",), localizer=tmp_path / "mine"))
    assert [row.config.data.localizer for row in named] == [str(tmp_path / "mine")]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("table3", {}, "unknown experiment 'table3'; there are figure2, table1, table2"),
        ("table2", {"rows": ("srn",)}, "table2 has no row 'srn'; there are none, deconvolution"),
        ("table2", {"sets": ("model.representation=none",)}, "--set model.representation would change what the rows"),
        ("table1", {"sets": ("optim.lrr=1",)}, "unknown key 'optim.lrr'"),
    ],
)
def test_a_plan_that_cannot_be_is_one_line(name: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match=message):
        plan(AblationConfig(name, tmp_path, tmp_path, **options))


# -- how rows compare ------------------------------------------------------------------------------------------------


def outcome(truth: Truth, off_mm: Sequence[float]) -> Outcome:
    """Predictions that are off by so many mm in depth, frame by frame."""
    moved = truth.joints_xyz.copy()
    moved[..., 2] += np.asarray(off_mm)[:, None]
    uvd = np.asarray(xyz_to_uvd(moved, truth.camera))
    scored = score_frames(Predictions("run", uvd, truth.frame_key), truth)
    return Outcome(1000, 2.5, {"last": 3}, {"last": scored})


def rows_of(name: str, *names: str) -> list[PlannedRow]:
    planned = plan(AblationConfig(name, Path(), Path(), sets=("data.localization=off",) if name != "table1" else ()))
    return [row for row in planned if row.row.name in names]


def test_a_row_of_a_ladder_is_compared_with_the_one_above(store: Path) -> None:
    truth = read_truth(store)
    rows = rows_of("table1", "baseline", "smooth-l1", "augmentation")
    outcomes = {"baseline": outcome(truth, [10] * 12), "smooth-l1": outcome(truth, [6] * 12)}
    results = results_of("table1", rows, {**outcomes, "augmentation": outcome(truth, [6, 8] * 6)}, CompareConfig())
    assert [result.last_mm for result in results] == pytest.approx([10, 6, 7])
    assert [result.compared_with for result in results] == ["", "baseline", "smooth-l1"]
    assert results[0].difference_mm is None
    smooth, augmented = results[1:]
    assert [smooth.difference_mm, smooth.low, smooth.high] == pytest.approx([-4, -4, -4])
    assert augmented.difference_mm == pytest.approx(1)
    assert augmented.low is not None
    assert augmented.high is not None
    assert augmented.low <= 1 <= augmented.high
    assert [result.success_20mm_percent for result in results] == [100.0] * 3


def test_other_rows_are_compared_with_the_reference(store: Path) -> None:
    truth = read_truth(store)
    rows = rows_of("figure2", "srn-1", "srn-2", "theta-0.4", "theta-0.8")
    outcomes: dict[str, Outcome | str] = {
        "srn-1": outcome(truth, [9] * 12),
        "srn-2": outcome(truth, [30] * 6 + [2] * 6),
        "theta-0.8": "the loss of epoch 1 is not finite",
    }
    results = {result.name: result for result in results_of("figure2", rows, outcomes, CompareConfig())}
    assert results["srn-1"].difference_mm == pytest.approx(9 - 16)
    assert (results["srn-2"].difference_mm, results["srn-2"].success_20mm_percent) == (None, 50.0)
    assert results["theta-0.4"].last_mm == results["srn-2"].last_mm
    assert results["theta-0.4"].difference_mm is None
    assert results["theta-0.8"].error == "the loss of epoch 1 is not finite"
    assert results["srn-2"].paper is next(e for e in published() if (e.method, e.protocol[:3]) == ("SRN", "nyu"))
    assert results["srn-1"].paper is None


def test_a_row_whose_reference_failed_has_no_difference_and_the_table_says_why(store: Path) -> None:
    truth = read_truth(store)
    rows = rows_of("table1", "baseline", "smooth-l1")
    results = results_of(
        "table1", rows, {"baseline": "no_memory", "smooth-l1": outcome(truth, [5] * 12)}, CompareConfig()
    )
    report = Report("table1", "training practices", results, FACTS)
    markdown, latex = to_markdown(report), to_latex(report)
    assert "- smooth-l1 has no difference, for baseline failed" in markdown
    assert "- baseline failed: no_memory" in markdown
    assert "baseline failed: no\\_memory" in latex
    assert [result.name for result in report.failed] == ["baseline"]
    assert report.to_dict()["rows"][0]["error"] == "no_memory"


def test_every_line_of_the_tables_has_the_same_cells(store: Path) -> None:
    truth = read_truth(store)
    rows = rows_of("table2", "none", "heatmaps-3d-field")
    outcomes = {"none": outcome(truth, [4] * 12), "heatmaps-3d-field": outcome(truth, [7] * 12)}
    report = Report("table2", "representations", results_of("table2", rows, outcomes, CompareConfig()), FACTS)
    lines = [line for line in to_markdown(report).splitlines() if line.startswith("|")]
    assert {(line.count("|"), len(line)) for line in lines} == {(10, len(lines[0]))}
    assert "-3.00 (-3.00 to -3.00)" in lines[2]
    assert "7.788" in lines[3]
    latex = [line for line in to_latex(report).splitlines() if line.endswith("\\\\")]
    assert {line.count(" & ") for line in latex} == {8}
    assert "$-$3.00 ($-$3.00 to $-$3.00)" in latex[1]
    text = to_markdown(report)
    for fact in (
        "nyu: 24 frames in split train, 6 test frames",
        "0123456789ab",
        "optim.epochs=3",
        "seed 0",
        "centres com",
    ):
        assert fact in text
    assert "2 of 6 rows were asked for" in text


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rows of table 1, trained."""
    out = tmp_path_factory.mktemp("ablation") / "out"
    result = ablation("table1", store, out, "--rows", "smooth-l1,augmentation", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((out / "table1.json").read_text())
    return out


def test_the_table_has_the_numbers_of_eval(store: Path, done: Path) -> None:
    table = json.loads((done / "table1.json").read_text())
    assert [row["name"] for row in table["rows"]] == ["smooth-l1", "augmentation"]
    assert table["set"] == list(TINY)
    assert (table["train_frames"], table["test_frames"], table["center_method"]) == (24, 12, "gt-mean")
    for row in table["rows"]:
        pred = done / row["run"] / "predictions-last.npz"
        scored = json.loads(CliRunner().invoke(main, ["eval", str(pred), "--truth", str(store), "--json"]).stdout)
        assert row["last_mm"] == scored["results"][0]["mean_error_mm"]
        assert row["success_20mm_percent"] == scored["results"][0]["max_frame_success_percent"]["20"]
        assert row["parameters"] == sum(p.numel() for p in _network(done / row["run"]).parameters())
    assert table["rows"][1]["difference_mm"] == pytest.approx(table["rows"][1]["last_mm"] - table["rows"][0]["last_mm"])
    assert (done / "table1.tex").read_text().startswith("% table1")


def _network(run: Path) -> torch.nn.Module:
    from handbench.srn.checkpoint import load_checkpoint

    return load_checkpoint(RunFolder(run).checkpoint("last"), torch.device("cpu"))[0]


def test_a_second_call_trains_nothing(store: Path, done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train_again(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("this run is done")

    monkeypatch.setattr(handbench.srn.train, "train", train_again)
    for kind in ("markdown", "latex"):
        result = ablation("table1", store, done, "--rows", "smooth-l1,augmentation", "--format", kind)
        assert result.exit_code == 0, result.output
        assert result.stdout == (done / f"table1.{'md' if kind == 'markdown' else 'tex'}").read_text()
    result = ablation("table1", store, done, "--print-only")
    assert result.exit_code == 1
    assert "baseline failed: not run yet" in result.stdout
    assert "6 rows" not in result.stdout


def test_another_configuration_or_store_is_refused(store: Path, done: Path, tmp_path: Path) -> None:
    result = ablation("table1", store, done, "--rows", "smooth-l1", "--set", "optim.epochs=2")
    assert result.exit_code == 2
    assert "began with optim.epochs = 1, now it is 2; name another --out" in result.stderr
    other = write_tiny_store(tmp_path / "other.zarr", test=12, seed=5)
    result = ablation("table1", other, done, "--rows", "smooth-l1")
    assert result.exit_code == 2
    assert "smooth-l1 was made from another store" in result.stderr


def test_a_row_that_fails_does_not_stop_the_others(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = handbench.srn.train.train

    def fail_first(store: Path, run: RunFolder, *args: Any, **kwargs: Any) -> Any:
        if run.path.name == "smooth-l1":
            raise HandbenchError("the loss of epoch 1 is not finite, from step 4 on")
        return whole(store, run, *args, **kwargs)

    monkeypatch.setattr(handbench.srn.train, "train", fail_first)
    result = ablation("table1", store, tmp_path / "out", "--rows", "smooth-l1,augmentation")
    assert result.exit_code == 1
    assert "smooth-l1 failed: the loss of epoch 1 is not finite" in result.stdout
    assert "augmentation has no difference, for smooth-l1 failed" in result.stdout
    rows = json.loads((tmp_path / "out" / "table1.json").read_text())["rows"]
    assert (rows[0]["last_mm"], rows[1]["last_mm"] > 0) == (None, True)


def test_an_interrupted_run_is_gone_on_with(
    store: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after the first of two rows: the second is trained then, and the first is left alone."""
    out, whole = tmp_path / "out", handbench.srn.train.train

    def stop_second(store: Path, run: RunFolder, *args: Any, **kwargs: Any) -> Any:
        if run.path.name == "augmentation":
            raise KeyboardInterrupt
        return whole(store, run, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(handbench.srn.train, "train", stop_second)
        result = ablation("table1", store, out, "--rows", "smooth-l1,augmentation")
    assert result.exit_code == 130
    assert "the same command goes on from here" in result.stderr
    assert not (out / "table1.md").exists()
    before = (out / "smooth-l1" / "last.safetensors").stat().st_mtime_ns
    assert ablation("table1", store, out, "--rows", "smooth-l1,augmentation").exit_code == 0
    assert (out / "smooth-l1" / "last.safetensors").stat().st_mtime_ns == before
    assert (out / "table1.md").read_text() == (done / "table1.md").read_text()


def test_a_localiser_is_trained_where_rows_need_one(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--rows", "localization", "--localizer-set", "optim.epochs=1", "--localizer-set", "model.crop_size=36")
    result = ablation("table1", store, out, *options)
    assert result.exit_code == 0, result.output
    assert load_config(file=out / "localizer" / "config.toml").model.predicts == "center"
    provenance = json.loads((out / "localization" / "last.scores.json").read_text())["prediction"]["provenance"]
    assert provenance["center_method"] == "predicted:localizer"
    assert "refined centres: those of localizer (optim.epochs=1, model.crop_size=36)" in result.stdout


def test_bad_input_is_one_line(store: Path, tmp_path: Path) -> None:
    no_train = write_tiny_store(tmp_path / "no_train.zarr", train=0)
    photos = tmp_path / "photos"
    (photos / "smooth-l1").mkdir(parents=True)
    (photos / "smooth-l1" / "cat.png").write_text("")
    out = tmp_path / "out"
    cases: list[tuple[Result, str]] = [
        (ablation("table4", store, out), "unknown experiment 'table4'"),
        (ablation("table1", tmp_path / "none.zarr", out), "there is no store"),
        (ablation("table1", no_train, out), "has no split 'train', only test"),
        (ablation("table1", store, tmp_path / "a" / "b"), "create it first"),
        (ablation("table1", store, photos, "--rows", "smooth-l1"), "is not the folder of a run"),
        (ablation("table1", store, photos / "smooth-l1" / "cat.png"), "is a file"),
        (ablation("table1", store, out, "--rows", "x"), "has no row 'x'"),
    ]
    for result, message in cases:
        assert result.exit_code == 2, result.output
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    assert not out.exists()
