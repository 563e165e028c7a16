"""One step: precision, translation, shares of a batch, memory."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch.nn.parallel import DistributedDataParallel

from handbench.cli import main
from handbench.errors import HandbenchError
from handbench.loading import Sample
from handbench.srn.config import TrainConfig, load_config
from handbench.srn.distributed import Processes
from handbench.srn.memory import advice, batch_that_fits, is_out_of_memory
from handbench.srn.model import SmallCNN
from handbench.srn.run import RunFolder
from handbench.srn.steps import Learner, Sums
from handbench.srn.train import train
from tests.tiny_store import write_tiny_store

CPU = torch.device("cpu")
SMALL = (
    *("model.backbone=small", "model.stages=1", "model.crop_size=48"),
    *("optim.batch_size=8", "optim.epochs=1", "data.cache=true"),
)


def small(*sets: str) -> TrainConfig:
    return load_config("paper-nyu", sets=[*SMALL, *sets])


def batch(frames: int, side: int = 48) -> Sample:
    """Random crops and targets."""
    random = torch.Generator().manual_seed(1)
    sample: Sample = {  # type: ignore[typeddict-item]  # what a step looks at
        "depth": torch.rand(frames, 1, side, side, generator=random) * 2 - 1,
        "target": torch.rand(frames, 14, 3, generator=random) - 0.5,
    }
    return sample


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr")


@pytest.mark.parametrize(
    "model", [SMALL, ("model.backbone=resnet18", "model.crop_size=36", "model.stages=2")], ids=["small", "srn"]
)
def test_a_step_in_bf16_is_finite_and_near_one_in_float32(model: tuple[str, ...]) -> None:
    side = int(dict(text.split("=") for text in model)["model.crop_size"])
    losses = {}
    for precision in ("float32", "bf16"):
        learner = Learner.start(small(*model, f"compute.precision={precision}"), 14, CPU)
        losses[precision] = learner.step(batch(2, side), 0.01)
        assert all(p.dtype == torch.float32 and p.isfinite().all() for p in learner.model.parameters())
    assert not torch.equal(losses["bf16"], losses["float32"])
    torch.testing.assert_close(losses["bf16"], losses["float32"], rtol=0.02, atol=0)


@pytest.mark.parametrize(
    "model", [SMALL, ("model.backbone=resnet18", "model.crop_size=36", "model.stages=2")], ids=["small", "srn"]
)
def test_poses_are_never_rounded_to_bf16(model: tuple[str, ...]) -> None:
    side = int(dict(text.split("=") for text in model)["model.crop_size"])
    learner = Learner.start(small(*model), 14, CPU)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        poses = learner.model.eval()(batch(2, side)["depth"])
    for pose in poses:
        assert pose.dtype == torch.float32
        assert (pose != pose.bfloat16().float()).any()


def test_a_translated_network_keeps_its_names_and_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, real = [], torch.compile

    def eager(network: torch.nn.Module) -> object:
        compiled.append(network)
        return real(network, backend="eager")

    monkeypatch.setattr(torch, "compile", eager)
    learners = [Learner.start(small(f"compute.compile={flag}"), 14, CPU) for flag in ("false", "true")]
    assert compiled == [learners[1].model]
    assert learners[1].network is not learners[1].model
    for learner in learners:
        learner.network.train()
        learner.step(batch(4), 0.1)
    expected, found = (learner.model.state_dict() for learner in learners)
    assert list(found) == list(expected)
    assert not any("_orig_mod" in name for name in found)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])
    learners[1].network.eval()
    assert not learners[1].model.training


def test_where_nothing_can_be_compiled_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    learner = Learner.start(small("compute.compile=true"), 14, CPU)
    message = r"torch cannot compile the network here \(\w+: No working C\+\+ compiler .*set compute.compile=false"
    without = torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)})
    with without, pytest.raises(HandbenchError, match=message) as caught:
        learner.step(batch(2), 0.1)
    assert "\n" not in str(caught.value)


def too_small(monkeypatch: pytest.MonkeyPatch, most: int, error: BaseException) -> list[int]:
    """Memory for so many frames; the list is of those that were tried."""
    tried: list[int] = []
    forward = SmallCNN.forward

    def limited(self: SmallCNN, depth: torch.Tensor) -> list[torch.Tensor]:
        tried.append(len(depth))
        if len(depth) > most:
            raise error
        return forward(self, depth)

    monkeypatch.setattr(SmallCNN, "forward", limited)
    return tried


CPU_ERROR = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), CPU_ERROR])
def test_out_of_memory_says_which_batch_fits(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    tried = too_small(monkeypatch, 3, error)
    options = [part for text in (*SMALL, "optim.batch_size=16") for part in ("--set", text)]
    result = CliRunner().invoke(
        main, ["train", str(store), "--out", str(tmp_path / "run"), "--device", "cpu", *options]
    )
    assert result.exit_code == 2, result.output
    assert result.stderr.endswith(
        "Error: out of memory on cpu with optim.batch_size 16; set optim.batch_size=2, which fits, or a smaller "
        "model.crop_size\n"
    )
    assert tried == [16, 8, 4, 2]


def test_out_of_memory_for_a_single_frame_and_in_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    too_small(monkeypatch, 0, CPU_ERROR)
    with pytest.raises(HandbenchError, match="a batch of one frame is too large too; take a smaller"):
        Learner.start(small(), 14, CPU).step(batch(4), 0.1)
    assert "set optim.batch_size=6, which fits" in str(advice(16, 3, 2, CPU))


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert is_out_of_memory(MemoryError())

    def step(frames: int) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        batch_that_fits(step, 8)


def test_the_gradients_of_two_processes_make_that_of_the_whole_batch() -> None:
    """Batch norm at rest, so that frames do not see each other: 3 and 2 frames of a batch of 5."""

    def gradients(sample: Sample, weight: float) -> list[torch.Tensor]:
        learner = Learner.start(small("model.crop_size=36"), 14, CPU)
        learner.network.eval()
        learner.step(sample, 0.0, weight)
        return [p.grad.clone() for p in learner.model.parameters() if p.grad is not None]

    whole = batch(5, 36)
    first, second = (
        gradients({"depth": whole["depth"][rank::2], "target": whole["target"][rank::2]}, weight)  # type: ignore[typeddict-item]  # what a step looks at
        for rank, weight in ((0, 3 * 2 / 5), (1, 2 * 2 / 5))
    )
    for one, other, expected in zip(first, second, gradients(whole, 1.0), strict=True):
        torch.testing.assert_close((one + other) / 2, expected, rtol=1e-4, atol=1e-6)


def test_alone_nothing_is_wrapped() -> None:
    learner = Learner.start(small(), 14, CPU)
    assert learner.network is learner.model
    assert not isinstance(learner.network, DistributedDataParallel)
    assert Processes().any(True)
    assert not Processes().any(False)


def test_the_first_bad_step_is_named() -> None:
    sums = Sums.zero(1, CPU)
    for value in (1.0, 2.0, float("nan"), 3.0):
        sums.add(torch.tensor([value]), 4)
    assert sums.first_bad_step(Processes()) == 3
    assert sums.steps == 4
    good = Sums.zero(1, CPU)
    good.add(torch.tensor([2.0]), 4)
    assert good.first_bad_step(Processes()) is None
    assert good.loss.item() == 8.0


@pytest.mark.slow
def test_training_in_bf16_and_translated_to_the_end(store: Path, tmp_path: Path) -> None:
    config = small("compute.precision=bf16", "compute.compile=true", "optim.epochs=2", "optim.lr=0.03")
    log = train(store, RunFolder(tmp_path / "run"), config, CPU)
    assert log[1].loss < log[0].loss
