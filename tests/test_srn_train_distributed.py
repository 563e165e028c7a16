"""Two processes that train together, as torchrun starts them, on the CPU."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from handbench.errors import HandbenchError
from handbench.loading import BatchOrder, EpochOrder
from handbench.srn.checkpoint import load_checkpoint
from handbench.srn.config import load_config
from handbench.srn.distributed import Processes
from handbench.srn.run import RunFolder
from handbench.srn.steps import Learner
from handbench.srn.train import train
from tests.tiny_store import write_tiny_store

CPU = torch.device("cpu")
SETS = (
    *("model.backbone=small", "model.stages=1", "model.crop_size=36"),
    *("optim.batch_size=7", "optim.epochs=2", "data.cache=true"),
)
OPTIONS = ("--device", "cpu", *(part for text in SETS for part in ("--set", text)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr")


def torchrun(*arguments: object) -> subprocess.Popen[str]:
    """Two processes of a program; `-m handbench ...` for the command."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = [*launcher, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def orders(frames: int, batch_size: int, processes: int) -> list[BatchOrder]:
    order = EpochOrder(np.arange(frames), 3)
    return [BatchOrder(order, batch_size, rank, processes) for rank in range(processes)]


def test_the_shares_of_the_processes_make_the_batches() -> None:
    """22 frames in batches of 7 for 3 processes: shares of 3, 2, 2; in the last batch, of a single frame, 1, 0, 0."""
    (alone,), shares = orders(22, 7, 1), orders(22, 7, 3)
    batches = list(alone)
    assert [len(batch) for batch in batches] == [7, 7, 7, 1]
    assert [key for batch in batches for key in batch] == list(alone.order)
    for step, (batch, *parts) in enumerate(zip(batches, *shares, strict=True)):
        sizes = [order.share_of(step) for order in shares]
        assert sizes == [(len(batch[rank::3]), len(batch)) for rank in range(3)]
        real = [key for part, (own, _) in zip(parts, sizes, strict=True) for key in part[:own]]
        assert sorted(real) == sorted(batch)
        assert all(parts)  # nobody hangs: a process without a frame repeats one, of weight 0
    assert [order.share_of(3) for order in shares] == [(1, 1), (0, 1), (0, 1)]
    assert list(shares[2])[3] == batches[3]


def test_batches_that_are_done_are_passed_over() -> None:
    (order,) = orders(22, 7, 1)
    batches = list(order)
    order.first_step = 2
    assert list(order) == batches[2:]
    assert len(order) == 2
    order.first_step = 4
    assert list(order) == []
    assert len(order) == 0


def test_a_batch_of_fewer_frames_than_processes_is_refused() -> None:
    with pytest.raises(HandbenchError, match=r"optim\.batch_size is 2, which is less than a frame for each of 3"):
        orders(22, 2, 3)


WORKER = """
import sys
from pathlib import Path
import torch
from handbench.loading import Sample
from handbench.srn.config import load_config
from handbench.srn.distributed import processes
from handbench.srn.steps import Learner

torch.set_num_threads(1)
random = torch.Generator().manual_seed(1)
depth = torch.rand(5, 1, 36, 36, generator=random) * 2 - 1
target = torch.rand(5, 14, 3, generator=random) - 0.5
with processes(cuda=False) as together:
    learner = Learner.start(load_config(sets=sys.argv[2:]), 14, torch.device("cpu"), together)
    learner.network.eval()
    own = slice(together.rank, None, together.count)
    for _ in range(3):
        learner.step({"depth": depth[own], "target": target[own]}, 0.1, len(depth[own]) * together.count / 5)
    torch.save(learner.model.state_dict(), Path(sys.argv[1]) / f"{together.rank}_of_{together.count}.pt")
"""


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Batch norm at rest: 5 frames, 3 in one process and 2 in the other. Real processes, gradients over Gloo."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    code, _, err = finished(torchrun(script, tmp_path, *SETS))
    assert code == 0, err
    random = torch.Generator().manual_seed(1)
    depth = torch.rand(5, 1, 36, 36, generator=random) * 2 - 1
    target = torch.rand(5, 14, 3, generator=random) - 0.5
    alone = Learner.start(load_config(sets=SETS), 14, CPU)
    begun = {name: value.clone() for name, value in alone.model.state_dict().items()}
    alone.network.eval()
    for _ in range(3):
        alone.step({"depth": depth, "target": target}, 0.1)  # type: ignore[typeddict-item]  # what a step looks at
    first, second, expected = (*(torch.load(tmp_path / f"{rank}_of_2.pt") for rank in (0, 1)), alone.model.state_dict())
    assert expected.keys() == first.keys()
    assert not torch.equal(begun["fcs.0.weight"], expected["fcs.0.weight"])
    for name, value in expected.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_command_in_two_processes_stops_and_goes_on(store: Path, tmp_path: Path) -> None:
    """Batch norm looks at the frames of its own process here, so a run of one process comes near, and no nearer."""
    out = tmp_path / "run"
    arguments = ("-m", "handbench", "train", store, "--out", out, *OPTIONS, "--resume", "auto", "--set")
    lines = []
    with torchrun(*arguments, "optim.epochs=5000") as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if line.startswith("epoch 2/"):
                process.send_signal(signal.SIGTERM)
    text = "".join(lines)
    assert process.returncode != 0
    assert text.count("22 frames to train on, 2 held out") == 1
    assert ", 2 processes" in text
    assert text.count("epoch 2/") == 1
    assert text.count("stopped; the same command with --resume goes on after step") == 1
    assert not list(out.glob("*.partial"))
    assert len(list(out.glob("events.*"))) == 1
    state = RunFolder(out).load_state()
    assert state is not None
    done = len(state["log"])
    if "sums" in state:
        assert state["sums"]["frames"] == min(7 * state["sums"]["steps"], 22)
    log = train(store, RunFolder(tmp_path / "alone"), load_config(sets=SETS), CPU)
    assert state["log"][0]["loss"] == pytest.approx(log[0].loss, rel=0.3)
    code, stdout, err = finished(torchrun(*arguments, f"optim.epochs={done + 1}"))
    assert code == 0, err
    assert stdout.count("validation") == 1
    found = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in found] == list(range(1, done + 2))
    weights = load_checkpoint(out / "last.safetensors", CPU)[0].state_dict()
    assert all(value.isfinite().all() for value in weights.values())


def test_an_error_ends_all_processes(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    code, _, err = finished(
        torchrun("-m", "handbench", "train", store, "--out", out, *OPTIONS, "--set", "optim.lr=1e30")
    )
    assert code == 1  # torchrun's own, whatever the processes end with
    assert "the loss of epoch 1 is not finite, from step " in err
    assert "Traceback" not in err.split("ChildFailedError")[0].split("torch/distributed")[0]
    assert not (out / "last.safetensors").exists()


def test_one_process_of_many_is_alone_without_torchrun() -> None:
    assert Processes().is_first
    assert Processes().largest(-3) == -3
    values = torch.ones(2)
    assert Processes().sum(values) is values
    assert Processes(1, 2, 1).device(torch.device("cuda")) == torch.device("cuda", 1)
    assert Processes(1, 2, 1).device(CPU) == CPU
