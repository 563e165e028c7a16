"""Stopping a training in the middle of an epoch, and going on at the very step."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from handbench.cli import main
from handbench.srn.checkpoint import load_checkpoint, read_card
from handbench.srn.run import RunFolder
from handbench.srn.steps import Learner
from handbench.srn.stopping import Stopped, stop_on_signals
from handbench.srn.train import train
from handbench.store import Store
from handbench.store.edit import NewCenters, replace_centers
from tests.tiny_store import write_tiny_store

CPU = torch.device("cpu")
OPTIONS = (
    *("--device", "cpu", "--set", "model.backbone=small", "--set", "model.stages=1", "--set", "model.crop_size=48"),
    *("--set", "optim.batch_size=8", "--set", "optim.epochs=2", "--set", "data.cache=true"),
)
STEPS = 3  # in an epoch: 22 of 24 frames in batches of 8


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr")


def call(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def undisturbed(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert call("train", store, "--out", out, *OPTIONS).exit_code == 0
    return out


def same(one: Path, other: Path) -> bool:
    """Whether two runs have the same weights, momentum and losses, bit for bit."""
    states = [RunFolder(run).load_state() or {} for run in (one, other)]
    models = [load_checkpoint(run / "last.safetensors", CPU)[0].state_dict() for run in (one, other)]
    buffers = [[s["momentum_buffer"] for s in state["optimizer"]["state"].values()] for state in states]
    logs = [[{**epoch, "seconds": 0} for epoch in state["log"]] for state in states]
    equal = all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    return equal and all(map(torch.equal, *buffers)) and logs[0] == logs[1]


def signal_at(step: int, number: int, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """Have a signal sent to this process within a step, counted from 1 over all epochs."""
    learn, steps = Learner.step, 0

    def counted(self: Learner, *args: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == step:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return learn(self, *args)

    monkeypatch.setattr(Learner, "step", counted)


@pytest.mark.parametrize(
    ("number", "step", "where"),
    [
        (signal.SIGINT, 2, "after step 2 of epoch 1"),
        (signal.SIGTERM, STEPS, "after step 3 of epoch 1"),
        (signal.SIGTERM, STEPS + 1, "after step 1 of epoch 2"),
    ],
)
def test_a_signal_saves_and_resume_goes_on_at_the_very_step(
    store: Path, undisturbed: Path, tmp_path: Path, number: int, step: int, where: str
) -> None:
    out = tmp_path / "run"
    before = signal.getsignal(number)
    with pytest.MonkeyPatch.context() as patch:
        signal_at(step, number, patch)
        result = call("train", store, "--out", out, *OPTIONS)
    assert result.exit_code == 130, result.output
    assert "stopping after this step; another Ctrl-C stops at once" in result.stderr
    assert result.stderr.endswith(f"stopped; the same command with --resume goes on {where}\n")
    assert signal.getsignal(number) is before
    state = RunFolder(out).load_state()
    assert state is not None
    assert len(state["log"]) * STEPS + state["sums"]["steps"] == step
    taken: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        learn = Learner.step

        def counted(self: Learner, *args: Any) -> torch.Tensor:
            taken.append(1)
            return learn(self, *args)

        patch.setattr(Learner, "step", counted)
        result = call("train", store, "--out", out, "--resume", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert len(taken) == 2 * STEPS - step
    assert same(out, undisturbed)
    assert sorted(path.name for path in out.iterdir() if "tfevents" not in path.name) == sorted(
        path.name for path in undisturbed.iterdir() if "tfevents" not in path.name
    )


def test_a_second_ctrl_c_stops_at_once_and_leaves_the_last_whole_epoch(
    store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        signal_at(STEPS + 2, signal.SIGINT, patch, times=2)
        result = call("train", store, "--out", out, *OPTIONS)
    assert result.exit_code == 130
    assert "--resume goes on after the last whole epoch" in result.stderr
    assert not list(out.glob("*.partial"))
    assert read_card(out / "last.safetensors").epoch == 1
    assert "sums" not in (RunFolder(out).load_state() or {})
    assert call("train", store, "--out", out, "--resume", "--device", "cpu").exit_code == 0
    assert same(out, undisturbed)


def test_a_signal_while_the_held_out_frames_are_looked_at(store: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:

        def predict(model: object, loader: object, box: object, device: object, advance: Any) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            advance(2)

        patch.setattr("handbench.srn.train.predict_xyz", predict)
        result = call("train", store, "--out", out, *OPTIONS)
    assert result.exit_code == 130
    assert "goes on after step 3 of epoch 1" in result.stderr
    assert not (out / "last.safetensors").exists()
    assert call("train", store, "--out", out, "--resume", "--device", "cpu").exit_code == 0
    assert same(out, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("of", ["terminal", "cluster"])
def test_a_process_that_is_told_to_stop_ends_with_130_and_goes_on(
    store: Path, undisturbed: Path, tmp_path: Path, of: str
) -> None:
    """A real process, with workers that a Ctrl-C reaches as well: a signal to the whole group."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "handbench", "train", str(store), "--out", str(out), *OPTIONS]
    command += ["--set", "data.workers=1", "--set", "optim.epochs=5000"]
    number = signal.SIGINT if of == "terminal" else signal.SIGTERM
    lines = []
    # Dask leaves OMP_NUM_THREADS=1 behind, and another number of threads rounds otherwise.
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=env) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if line.startswith("epoch 2/"):
                os.killpg(process.pid, number)
    assert process.returncode == 130, "".join(lines)
    said = "".join(lines)
    assert "stopped; the same command with --resume goes on after step" in said
    assert "Traceback" not in said
    state = RunFolder(out).load_state()
    assert state is not None
    assert len(state["log"]) >= 2
    log = [{**json.loads(line), "seconds": 0} for line in (out / "log.jsonl").read_text().splitlines()]
    expected = [{**json.loads(line), "seconds": 0} for line in (undisturbed / "log.jsonl").read_text().splitlines()]
    assert log[:2] == expected


def test_signals_outside_the_main_thread_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with stop_on_signals() as request:
            seen.append((request.asked, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    before = signal.getsignal(signal.SIGINT)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_a_cluster_may_send_sigterm_twice() -> None:
    with stop_on_signals(say=False) as request:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert request.asked
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_whoever_calls_train_from_a_program_gets_an_interrupt(store: Path, tmp_path: Path) -> None:
    from handbench.srn.config import load_config

    config = load_config(sets=[text for text in OPTIONS[2:] if "=" in text])
    with pytest.MonkeyPatch.context() as patch:
        signal_at(1, signal.SIGINT, patch)
        with pytest.raises(Stopped, match="after step 1 of epoch 1"):
            train(store, RunFolder(tmp_path / "run"), config, CPU)
    assert issubclass(Stopped, KeyboardInterrupt)


def test_a_store_whose_centres_have_changed_is_another_store(undisturbed: Path, tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "tiny.zarr")
    resume = ("train", store, "--out", undisturbed, "--resume", "--device", "cpu")
    assert call(*resume).exit_code == 0
    split = Store(store)["train"]
    moved = NewCenters.predicted(split, split.center_xyz + 1.0, Store(store).camera, "elsewhere", {})
    replace_centers(store, {"train": moved})
    result = call(*resume)
    assert result.exit_code == 2
    assert "or labels or centres of this one have changed since" in result.stderr


@pytest.mark.parametrize("key", ["data.resident=true", "data.workers=1"])
def test_where_batches_come_from_changes_no_bit(store: Path, undisturbed: Path, tmp_path: Path, key: str) -> None:
    out = tmp_path / "run"
    assert call("train", store, "--out", out, *OPTIONS, "--set", key).exit_code == 0
    assert same(out, undisturbed)
