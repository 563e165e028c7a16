"""How much of a training step is the loader's, and how fast is a step? Ratios, measured side by side in one run.

    python benchmarks/train.py [--frames 256] [--steps 12] [--rounds 5] [--keep FOLDER]

Synthetic NYU frames are rendered straight into windows for the paper's augmentation; preset paper-nyu (SRN, T = 2,
crops of 128 px, 22.3 million parameters). --keep names a folder for them, which a later run takes as it finds it.

- CPU: batches of 32, two threads: seconds that the loader takes for a batch (`HandDataset` through `batches()`, in the
  training process), from windows in the cache of the data set and from windows on disk, and seconds of a whole step.
- GPU, where there is one: samples a second at batches of 32 and 256, float32 with windows from the cache of the data
  set against bf16, compiled, with `ResidentBatches`; and the share of the time that the GPU waits for data: 1 - (steps
  on a batch that lies there already) / (steps on new batches).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from click.testing import CliRunner

from handbench.cli import main as handbench
from handbench.loading import BatchOrder, EpochOrder, HandDataset, ResidentBatches, Sample
from handbench.srn.config import TrainConfig, load_config
from handbench.srn.data import batches
from handbench.srn.steps import Learner

JOINTS, LR = 14, 1e-3
CPU = torch.device("cpu")


def prepare(folder: Path, frames: int) -> Path:
    """Windows of synthetic frames, unless they are there."""
    store = folder / f"windows{frames}.zarr"
    if not store.exists():
        options = ["--direct", "--windows", "--frames", str(frames), "--test-frames", "2"]
        result = CliRunner().invoke(handbench, ["synth", "nyu", str(store), *options])
        if result.exit_code:
            raise SystemExit(result.output)
    return store


def from_disk(store: Path, config: TrainConfig, device: torch.device, cache: bool) -> Iterator[Sample]:
    """Batches without end, as a run brings them."""
    frames = HandDataset(store, "train", config.model.crop_size, None, config.augment, 0, cache)
    order = EpochOrder(frames.rows, 0)
    loader = batches(frames, BatchOrder(order, config.optim.batch_size), 0, config.data.workers, device)
    for order.epoch in itertools.count(1):
        yield from itertools.islice(loader, len(frames) // config.optim.batch_size)  # whole ones


def resident(store: Path, config: TrainConfig, device: torch.device) -> Iterator[Sample]:
    """The same from windows in the memory of the device."""
    size, batch = config.model.crop_size, config.optim.batch_size
    source = ResidentBatches(store, "train", size, batch, augment=config.augment, drop_last=True, device=device)
    for source.epoch in itertools.count(1):
        yield from source


def seconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Of one repeat."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def on_cpu(store: Path, steps: int, rounds: int) -> None:
    """Print the share of the loader. The rounds alternate, so that a busy machine slows all."""
    torch.set_num_threads(2)
    config = load_config("paper-nyu")
    learner = Learner.start(config, JOINTS, CPU)
    learner.network.train()
    sources = {
        "windows in the cache": from_disk(store, config, CPU, cache=True),
        "windows on disk": from_disk(store, config, CPU, cache=False),
    }
    for source in sources.values():  # files into the system's memory, windows into the cache: an epoch and a bit
        for _ in range(1 + len(HandDataset(store, "train", 128)) // config.optim.batch_size):
            batch = next(source)
    learner.step(batch, LR)
    loading: dict[str, list[float]] = {name: [] for name in sources}
    learning = []
    for _ in range(rounds):
        for name, source in sources.items():
            loading[name].append(seconds(lambda source=source: next(source), steps, CPU))  # type: ignore[misc]  # bound now
        learning.append(seconds(lambda: learner.step(batch, LR), max(1, steps // 4), CPU))
    print(f"CPU, two threads, batches of {config.optim.batch_size}, medians of {rounds} rounds")
    step = statistics.median(learning)
    print(f"{'forward, backward, optimiser':30} {step * 1e3:9.1f} ms")
    for name, times in loading.items():
        shares = [load / (load + learn) for load, learn in zip(times, learning, strict=True)]
        print(f"{name:30} {statistics.median(times) * 1e3:9.1f} ms  {statistics.median(shares):6.2%} of a step")


def on_gpu(store: Path, steps: int, rounds: int) -> None:
    """Print samples a second, and the share of waiting."""
    device = torch.device("cuda")
    print(f"\n{torch.cuda.get_device_name()}, medians of {rounds} rounds of {steps} steps")
    best = ("compute.precision=bf16", "compute.compile=true")
    for size, (name, sets) in itertools.product(
        (32, 256), (("float32, eager, cache", ()), ("bf16, compiled, resident", best))
    ):
        config = load_config("paper-nyu", sets=[*sets, f"optim.batch_size={size}"])
        learner = Learner.start(config, JOINTS, device)
        learner.network.train()
        source = resident(store, config, device) if sets else from_disk(store, config, device, cache=True)
        batch = next(source)
        for _ in range(3):
            learner.step(batch, LR)
            learner.step(next(source), LR)
        pairs = [
            (
                seconds(lambda: learner.step(batch, LR), steps, device),  # noqa: B023  # called in this round
                seconds(lambda: learner.step(next(source), LR), steps, device),  # noqa: B023  # as above
            )
            for _ in range(rounds)
        ]
        rate = size / statistics.median(whole for _, whole in pairs)
        waits = statistics.median(max(0.0, 1 - still / whole) for still, whole in pairs)
        print(f"batches of {size:3}  {name:28} {rate:9,.0f} samples a second, waits {waits:6.2%}")


def main() -> None:
    """Print everything, in one run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = prepare(options.keep or Path(scratch), max(options.frames, 256))
        on_cpu(store, options.steps, options.rounds)
        if torch.cuda.is_available():
            on_gpu(store, options.steps, options.rounds)
        else:
            print("\nNo GPU here: nothing is measured on one")


if __name__ == "__main__":
    main()
