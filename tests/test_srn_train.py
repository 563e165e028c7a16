"""Training and prediction from end to end, on a store of drawn spheres."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose

from handbench.camera import uvd_to_xyz
from handbench.cli import main
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.loading import HandDataset
from handbench.predictions import Reading, read_predictions
from handbench.scores import joint_error
from handbench.srn.checkpoint import load_checkpoint, read_card
from handbench.srn.config import TrainConfig, load_config
from handbench.srn.loss import stage_losses
from handbench.srn.run import Epoch, RunFolder
from handbench.srn.steps import Learner
from handbench.srn.train import best_epoch, train
from handbench.store import Store
from tests.tiny_store import write_tiny_store

CPU = torch.device("cpu")
SMALL = (
    *("model.backbone=small", "model.stages=1", "model.crop_size=48"),
    *("optim.batch_size=8", "optim.epochs=2", "data.cache=true"),
)


def small(*sets: str) -> TrainConfig:
    return load_config("paper-nyu", sets=[*SMALL, *sets])


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def set_options(*sets: str) -> list[str]:
    return [part for text in sets for part in ("--set", text)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr", bad_rows=(2,))


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    result = call("train", store, "--out", out, "--device", "cpu", *set_options(*SMALL))
    assert result.exit_code == 0, result.output
    return out


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "last.safetensors", CPU)[0].state_dict()


def test_a_run_leaves_config_checkpoints_log_and_events(store: Path, run: Path) -> None:
    names = {path.name.split(".")[0] for path in run.iterdir()}
    assert names == {"config", "last", "best", "resume", "log", "events"}
    assert load_config(file=run / "config.toml") == small()
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2]
    card = read_card(run / "last.safetensors")
    assert (card.epoch, card.dataset, len(card.joints)) == (2, "nyu", 14)
    assert card.validation_error_mm == log[-1]["validation_error_mm"]
    assert card.store == Store(store).provenance
    assert read_card(run / "best.safetensors").epoch == min(log, key=lambda line: line["validation_error_mm"])["epoch"]


def test_resume_equals_never_having_stopped(store: Path, tmp_path: Path) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    train(store, RunFolder(straight), small("optim.epochs=4", "optim.lr_step=3"), CPU)
    train(store, RunFolder(resumed), small("optim.epochs=2", "optim.lr_step=3"), CPU)
    result = call("train", store, "--out", resumed, "--device", "cpu", "--resume", "--set", "optim.epochs=4")
    assert result.exit_code == 0, result.output
    expected, found = weights(straight), weights(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert read_card(resumed / "last.safetensors") == read_card(straight / "last.safetensors")


def test_stopping_in_the_middle_of_an_epoch_leaves_a_run_to_go_on_with(
    store: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, losses, steps = tmp_path / "run", stage_losses, 0

    def interrupt(*args: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == 5:  # 20 frames to train on, batches of 8: the second step of the second epoch
            raise KeyboardInterrupt
        return losses(*args)

    with monkeypatch.context() as patch:
        patch.setattr("handbench.srn.steps.stage_losses", interrupt)
        result = call("train", store, "--out", out, "--device", "cpu", *set_options(*SMALL))
    assert result.exit_code == 130
    assert "--resume goes on after the last whole epoch" in result.stderr
    assert read_card(out / "last.safetensors").epoch == 1
    assert call("train", store, "--out", out, "--device", "cpu", "--resume").exit_code == 0
    expected, found = weights(run), weights(out)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.slow
def test_one_batch_is_learnt_by_heart(store: Path) -> None:
    """Eight hands turned at random, to a third of the loss of their mean pose: that takes looking at the images."""
    config = small("optim.lr=0.03")
    frames = HandDataset(store, "train", 48, augment=config.augment)
    batch = torch.utils.data.default_collate([frames[1, place] for place in range(8)])
    mean_pose = batch["target"].mean(dim=0).expand(8, -1, -1)
    learner = Learner.start(config, 14, CPU)
    learner.model.train()
    for _ in range(50):
        (loss,) = learner.step(batch, config.optim.lr)
    assert loss < 0.4 * stage_losses([mean_pose], batch["target"]).item()


def test_the_validation_error_is_the_mean_error_of_the_held_out_frames(store: Path, tmp_path: Path) -> None:
    """Predicted through the command, scored by hand: rows 11 and 23 of the 23 good ones are held out in two blocks."""
    run, file = tmp_path / "run", tmp_path / "train.npz"
    log = train(store, RunFolder(run), small("optim.epochs=1", "data.validation_blocks=2"), CPU)
    assert call("predict", run, store, "-o", file, "--split", "train", "--device", "cpu").exit_code == 0
    held = [11, 23]
    split, scored = Store(store)["train"], list(dataset("nyu").joints.scored)
    pred_xyz = uvd_to_xyz(read_predictions(file, 14).uvd[held], Store(store).camera)
    expected = joint_error(pred_xyz, split.joints_xyz[held][:, scored]).mean()
    assert log[0].validation_error_mm == pytest.approx(expected, abs=1e-2)


def test_without_held_out_frames_there_is_no_best(store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = set_options(*SMALL, "optim.epochs=1", "data.validation_fraction=0")
    result = call("train", store, "--out", run, "--device", "cpu", *options)
    assert "no frames held out" in result.stdout
    assert "23 frames to train on, 0 held out" in result.stderr
    result = call("predict", run, store, "-o", tmp_path / "p.txt", "--checkpoint", "best")
    assert result.exit_code == 2
    assert "best.safetensors; it has last" in result.stderr


def test_best_epoch_is_the_first_smallest_error() -> None:
    log = [Epoch(i, 0.1, 1.0, (1.0,), error, 0.0) for i, error in enumerate((5.0, 3.0, 3.0, 4.0), start=1)]
    assert best_epoch(log) is log[1]
    assert best_epoch([]) is None


def test_predictions_are_keyed_and_bad_frames_are_nan_and_counted(store: Path, run: Path, tmp_path: Path) -> None:
    keyed, text = tmp_path / "p.npz", tmp_path / "p.txt"
    result = call("predict", run, store, "-o", keyed, "--device", "cpu", "--batch-size", 2)
    assert result.exit_code == 0, result.output
    assert "1 of 6 frames have no usable image or centre" in result.stderr
    found = read_predictions(keyed, 14)
    assert found.frame_key == tuple(Store(store)["test"].frame_key)
    assert np.isnan(found.uvd[2]).all()
    assert np.isfinite(np.delete(found.uvd, 2, axis=0)).all()
    assert found.provenance["checkpoint"]["epoch"] == 2
    assert found.provenance["center_method"] == "gt-mean"
    assert call("predict", run / "last.safetensors", store, "-o", text, "--device", "cpu").exit_code == 0
    # Said to be uvd: many joints of an untrained network lie left of the image, as those of xyz do.
    assert_allclose(read_predictions(text, 14, reading=Reading(space="uvd")).uvd, found.uvd, atol=6e-4)


def refused(result: Result, message: str) -> None:
    assert result.exit_code == 2, result.output
    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output


def test_train_refuses_what_cannot_be_trained_on(store: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    no_train = write_tiny_store(tmp_path / "no_train.zarr", train=0)
    unlabelled = write_tiny_store(tmp_path / "unlabelled.zarr", labelled=False)
    refused(call("train", tmp_path / "none.zarr", "--out", out), "there is no store at")
    refused(call("train", no_train, "--out", out), "has no split 'train', only test")
    refused(call("train", unlabelled, "--out", out), "no labelled frames to train on in split train (24 frames)")
    refused(call("train", store, "--out", out, "--preset", "huge"), "unknown preset 'huge'")
    refused(call("train", store, "--out", out, "--set", "optim.rate=1"), "unknown key 'optim.rate'")
    refused(call("train", store, "--out", tmp_path / "a" / "b"), "does not exist")
    assert not out.exists()
    refused(call("train", store, "--out", run), "pass --resume to go on with that run, or --overwrite")


def test_overwrite_replaces_a_run_and_nothing_else(store: Path, tmp_path: Path) -> None:
    photos, run = tmp_path / "photos", tmp_path / "run"
    photos.mkdir()
    (photos / "cat.png").write_text("")
    refused(call("train", store, "--out", photos, "--overwrite"), "is not the folder of a run, it will not be replaced")
    assert (photos / "cat.png").is_file()
    config = small("optim.epochs=1")
    train(store, RunFolder(run), config, CPU)
    (run / "best.safetensors").write_text("old")
    train(store, RunFolder(run), config, CPU, overwrite=True)
    assert read_card(run / "best.safetensors").epoch == 1


def test_resume_refuses_another_run_than_the_one_that_began(store: Path, run: Path, tmp_path: Path) -> None:
    other = write_tiny_store(tmp_path / "other.zarr", seed=9)
    resume = ("--out", run, "--resume", "--device", "cpu")
    refused(call("train", store, "--out", tmp_path, "--resume"), "is not the folder of a run; leave out --resume")
    refused(
        call("train", store, *resume, "--preset", "quick"), 'is a run with model.backbone = "small", not "resnet18"; '
    )
    refused(
        call("train", store, *resume, "--set", "optim.lr=1"),
        "is a run with optim.lr = 0.3, not 1.0: --resume cannot change that, only optim.epochs",
    )
    refused(call("train", other, *resume), "was trained on another store")
    assert read_card(run / "last.safetensors").epoch == 2


def test_a_damaged_state_is_one_line(store: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_config(small())
    run.resume.write_bytes(b"PK\x03\x04 cut short")
    refused(call("train", store, "--out", tmp_path, "--resume"), "resume.pt is damaged")
    run.save_state({"store": 1})
    refused(call("train", store, "--out", tmp_path, "--resume"), "was trained on another store")


def test_a_loss_that_is_not_finite_says_what_to_do(store: Path, tmp_path: Path) -> None:
    with pytest.raises(
        HandbenchError, match=r"the loss of epoch 1 is not finite, from step \d on; lower optim\.lr, which is 1e\+30"
    ):
        train(store, RunFolder(tmp_path / "run"), small("optim.lr=1e30"), CPU)
    assert not (tmp_path / "run" / "last.safetensors").exists()


def test_predict_refuses_what_does_not_fit(store: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.txt"
    icvl = write_tiny_store(tmp_path / "icvl.zarr", spec=dataset("icvl"))
    damaged = tmp_path / "cut.safetensors"
    damaged.write_bytes((run / "last.safetensors").read_bytes()[:999])
    refused(call("predict", run, icvl, "-o", out), "predicts 14 joints of nyu")
    refused(call("predict", run, store, "-o", out, "--split", "val"), "has no split 'val', only train, test")
    refused(call("predict", run, store, "-o", tmp_path / "p.csv"), "written as .txt or .npz, not as p.csv")
    refused(call("predict", tmp_path / "none", store, "-o", out), "there is no run")
    refused(call("predict", tmp_path, store, "-o", out), "it is not the folder of a run that has finished an epoch")
    refused(call("predict", damaged, store, "-o", out), "damaged")
    assert not out.exists()
    out.write_text("mine")
    refused(call("predict", run, store, "-o", out), "--overwrite")
    assert out.read_text() == "mine"
    assert call("predict", run, store, "-o", out, "--overwrite", "--device", "cpu").exit_code == 0


def test_without_torch_the_commands_say_how_to_install_it(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for args in (("train", store, "--out", tmp_path / "run"), ("predict", tmp_path, store, "-o", tmp_path / "p.txt")):
        refused(call(*args), 'torch not installed; pip install "handbench[train]"')


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused(store: Path, tmp_path: Path) -> None:
    refused(call("train", store, "--out", tmp_path / "run", "--device", "cuda"), "finds no CUDA device")
