"""Leave one subject out: three subjects of different size, a tiny network."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose

import handbench.srn.train
from handbench.camera import uvd_to_xyz
from handbench.cli import main
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.eval.loso import plan_folds
from handbench.eval.loso_run import run_folds
from handbench.predictions import read_predictions
from handbench.scores import joint_error
from handbench.srn.checkpoint import read_card
from handbench.srn.config import load_config
from handbench.srn.run import RunFolder
from handbench.store import Store
from tests.tiny_store import write_tiny_store

SUBJECTS = ["P8"] * 10 + ["P0"] * 8 + ["P1"] * 3  # in the order of the store, which is not that of the alphabet
TINY = ("model.backbone=small", "model.stages=1", "model.crop_size=36", "optim.epochs=1", "optim.batch_size=8")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows 2 of each split have no image: of P8."""
    path = tmp_path_factory.mktemp("store") / "msra.zarr"
    return write_tiny_store(
        path, spec=dataset("msra"), splits={"all": len(SUBJECTS)}, bad_rows=(2,), columns={"subject": SUBJECTS}
    )


def loso(store: Path, out: Path, *args: object) -> Result:
    options = [part for text in TINY for part in ("--set", text)]
    return CliRunner().invoke(
        main, ["loso", str(store), "--out", str(out), *options, "--device", "cpu", *map(str, args)]
    )


@pytest.fixture(scope="module")
def done(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("loso") / "out"
    result = loso(store, out, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((out / "loso.json").read_text())
    return out


def test_a_fold_has_never_seen_its_subject_and_predicts_no_other(store: Path, done: Path) -> None:
    split = Store(store)["all"]
    for subject in ("P8", "P0", "P1"):
        config = read_card(done / subject / "run" / "last.safetensors").config
        assert config.data.exclude_subjects == (subject,)
        assert (config.data.split, config.optim.epochs) == ("all", 1)
        found = read_predictions(done / subject / "predictions.npz", 21)
        assert found.frame_key == tuple(split.frame_key[split.subject == subject].tolist())


def test_merged_predictions_are_in_the_order_of_the_store(store: Path, done: Path) -> None:
    merged = read_predictions(done / "predictions.npz", 21)
    assert merged.frame_key == tuple(Store(store)["all"].frame_key.tolist())
    parts = [read_predictions(done / subject / "predictions.npz", 21).uvd for subject in ("P8", "P0", "P1")]
    assert_allclose(merged.uvd, np.concatenate(parts))
    assert np.flatnonzero(np.isnan(merged.uvd).any(axis=(1, 2))).tolist() == [2]
    assert set(merged.provenance["checkpoint"]) == {"P0", "P1", "P8"}
    assert (merged.provenance["center_method"], merged.provenance["epoch_rule"]) == ("gt-mean", "last")
    text = read_predictions(done / "predictions.txt", 21)
    assert_allclose(text.uvd, merged.uvd, atol=6e-4)


def test_the_mean_is_over_all_frames_and_not_over_folds(store: Path, done: Path) -> None:
    """By plain arithmetic, and by `handbench eval`."""
    opened = Store(store)
    xyz = uvd_to_xyz(read_predictions(done / "predictions.npz", 21).uvd, opened.camera)
    errors = joint_error(xyz, opened["all"].joints_xyz)
    of_subject = {name: errors[np.array(SUBJECTS) == name] for name in ("P8", "P0", "P1")}
    table = json.loads((done / "loso.json").read_text())
    assert [(fold["subject"], fold["frames"]) for fold in table["folds"]] == [("P8", 9), ("P0", 8), ("P1", 3)]
    means = [fold["mean_error_mm"] for fold in table["folds"]]
    assert means == pytest.approx([np.nanmean(of_subject[name]) for name in ("P8", "P0", "P1")])
    assert table["mean_error_mm"] == pytest.approx(np.nanmean(errors))
    assert table["mean_of_folds_mm"] == pytest.approx(np.mean(means))
    assert abs(table["mean_error_mm"] - table["mean_of_folds_mm"]) > 1e-3
    result = CliRunner().invoke(main, ["eval", str(done / "predictions.npz"), "--truth", str(store), "--json"])
    scored = json.loads(result.stdout)["results"][0]
    assert scored["mean_error_mm"] == table["mean_error_mm"]
    assert scored["mean_error_mm_by_subject"] == pytest.approx(dict(zip(("P8", "P0", "P1"), means, strict=True)))
    assert scored["protocol"]["split"] == "all"


def test_only_what_is_missing_is_done_again(store: Path, done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train_again(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("every fold is trained")

    monkeypatch.setattr(handbench.srn.train, "train", train_again)
    whole = (done / "P0" / "predictions.npz").read_bytes()
    kept = (done / "P1" / "predictions.npz").stat().st_mtime_ns
    (done / "P0" / "predictions.npz").unlink()
    result = loso(store, done)
    assert result.exit_code == 0, result.output
    assert (done / "P0" / "predictions.npz").read_bytes() == whole
    assert (done / "P1" / "predictions.npz").stat().st_mtime_ns == kept
    table = json.loads((done / "loso.json").read_text())
    assert f"{table['mean_error_mm']:.3f}" in result.stdout
    assert f"the mean of the 3 folds would be {table['mean_of_folds_mm']:.3f}" in result.stdout


def test_folds_one_by_one_and_one_that_fails(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, whole = tmp_path / "out", handbench.srn.train.train
    result = loso(store, out, "--fold", 2)
    assert (result.exit_code, result.stdout) == (0, "1 of 3 folds are done; not done: P8, P0\n")

    def fail_first(store: Path, run: RunFolder, *args: Any, **kwargs: Any) -> Any:
        if run.path.parent.name == "P8":
            raise HandbenchError("the loss of epoch 1 is not finite, from step 2 on")
        return whole(store, run, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(handbench.srn.train, "train", fail_first)
        result = loso(store, out, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["done"], told["missing"]) == (["P0", "P1"], ["P8"])
    assert told["failed"] == {"P8": "the loss of epoch 1 is not finite, from step 2 on"}
    assert not (out / "predictions.npz").exists()
    assert loso(store, out).exit_code == 0
    assert (out / "predictions.txt").is_file()


def test_a_localiser_of_each_fold_has_not_seen_its_subject_either(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--localize", "--localizer-set", "optim.epochs=1", "--localizer-set", "model.crop_size=36")
    result = loso(store, out, "--fold", 1, *options)
    assert result.exit_code == 0, result.output
    localizer = read_card(out / "P0" / "localizer" / "last.safetensors").config
    assert (localizer.model.predicts, localizer.data.exclude_subjects) == ("center", ("P0",))
    found = read_predictions(out / "P0" / "predictions.npz", 21)
    assert found.provenance["center_method"] == "predicted:localizer"
    assert len(found) == 8


def test_the_job_array_calls_a_fold_each(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "a folder"
    result = loso(store, out, "--job-array", "slurm", "--localize", "--split", "all")
    assert result.exit_code == 0
    assert "#SBATCH --array=0-2\n" in result.stdout
    assert f"loso {store} --out '{out}' --split all --device cpu --set model.backbone=small" in result.stdout
    assert result.stdout.endswith('--localize --fold "$SLURM_ARRAY_TASK_ID"\n')
    assert subprocess.run(["bash", "-n"], input=result.stdout, text=True, check=False).returncode == 0
    assert not out.exists()


def test_folds_run_on_a_cluster_that_offers_gpus(store: Path, tmp_path: Path) -> None:
    from distributed import LocalCluster

    config = load_config("paper-msra", sets=TINY)
    folds = plan_folds(store, tmp_path, config, device="cpu")
    options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    no_gpu = r"no worker at tcp://.* offers a GPU.*--resources GPU=1"
    with LocalCluster(protocol="tcp://", **options) as cluster, pytest.raises(HandbenchError, match=no_gpu):
        run_folds(folds, cluster.scheduler_address, 1)
    with LocalCluster(protocol="tcp://", resources={"GPU": 1}, **options) as cluster:
        assert run_folds(folds[1:], cluster.scheduler_address, 1) == {}
    assert [fold.is_done for fold in folds] == [False, True, True]
    assert run_folds(folds[1:], "tcp://127.0.0.1:1", 1) == {}  # nothing is left to do, so nobody is asked


@pytest.mark.slow
def test_folds_run_in_processes(store: Path, done: Path, tmp_path: Path) -> None:
    folds = plan_folds(store, tmp_path, load_config("paper-msra", sets=TINY), device="cpu")[1:]
    assert run_folds(folds, "processes", 2) == {}
    for fold in folds:
        expected = read_predictions(done / fold.subject / "predictions.npz", 21)
        assert_allclose(read_predictions(fold.predictions, 21).uvd, expected.uvd, atol=0.01)


def test_bad_input_is_one_line(store: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handbench.eval.loso_run._PATIENCE", "0.2s")
    out = tmp_path / "out"
    nameless = write_tiny_store(tmp_path / "nameless.zarr", splits={"all": 4})
    alone = write_tiny_store(tmp_path / "alone.zarr", splits={"all": 4}, columns={"subject": ["1"] * 4})
    odd = write_tiny_store(tmp_path / "odd.zarr", splits={"all": 4}, columns={"subject": ["a/b", "a/b", "c", "c"]})
    cases: list[tuple[Result, str]] = [
        (loso(tmp_path / "none.zarr", out), "there is no store"),
        (loso(store, out, "--split", "train"), "has no split 'train', only all"),
        (loso(nameless, out), "4 of 4 frames of split all have no subject"),
        (loso(alone, out), "has only the subject '1'"),
        (loso(odd, out), "the subject 'a/b' cannot be the name of a folder"),
        (loso(store, out, "--fold", 3), "there are 3, 0 to 2"),
        (loso(store, out, "--set", "data.exclude_subjects=[]"), "is what loso itself sets"),
        (loso(store, out, "--set", "optim.lrr=1"), "unknown key 'optim.lrr'"),
        (loso(store, out, "--localizer-set", "optim.epochs=1"), "goes with --localize"),
        (loso(store, out, "--scheduler", "slurm"), "unknown scheduler 'slurm'"),
        (loso(store, out, "--scheduler", "tcp://127.0.0.1:1"), "no Dask scheduler answers at tcp://127.0.0.1:1"),
        (loso(store, tmp_path / "a" / "b"), "create it first"),
        (loso(store, done, "--set", "optim.epochs=2"), "began with optim.epochs = 1, now it is 2"),
    ]
    for result, message in cases:
        assert result.exit_code == 2, result.output
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


def test_a_fold_of_another_store_is_not_merged(store: Path, done: Path, tmp_path: Path) -> None:
    """Another store of the same frames: its seed differs."""
    other = write_tiny_store(
        tmp_path / "msra.zarr", spec=dataset("msra"), splits={"all": 21}, columns={"subject": SUBJECTS}, seed=3
    )
    result = loso(other, done)
    assert result.exit_code == 2
    assert "was made from another store than" in result.stderr
