"""How fast do augmented training samples come, against the usual chain? Ratios, measured side by side in one run.

    python benchmarks/preprocess.py [--real FOLDER] [--frames 512] [--rounds 9] [--keep FOLDER]

FOLDER of --real holds nyu_one_frame/, a raw NYU tree of one frame, which is repeated, each time moved by another step;
without it frames are rendered (`handbench synth`). They are converted to a store and to windows for the paper's
augmentation. --keep names a folder for all that, which a later run takes as it finds it.

- One core: a raw PNG file to a sample by the usual chain (`usual_chain.py`), against samples from windows, on disk and
  in memory. OpenCV, torch and Blosc get one thread.
- Two cores: `ResidentBatches`, samples a second.
- Memory: the growth of a process that holds all windows and goes through two epochs, against the windows.
- GPU, where there is one: crops a second in batches of 1,024, and the share of the bandwidth of a plain copy.

The rounds alternate between the sides, so that a busy machine slows all; figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numcodecs
import numpy as np
import torch
from convert import decoded, images_of, write_tree
from usual_chain import usual_chain

from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.nyu import NyuReader
from handbench.converters.windows import WindowsConfig, make_windows
from handbench.loading import EpochOrder, HandDataset, ResidentBatches, croppable_rows, stored_box
from handbench.loading.samples import plan
from handbench.preprocess import AugmentConfig, HandBox, crop, perturb
from handbench.preprocess.torch_crop import crop_tensor
from handbench.store import Store

SIZE, BATCH, LARGE, SPLIT = 128, 32, 1024, "test"
PAPER = AugmentConfig()
ALL = AugmentConfig(mirror=0.5, noise_mm=(0, 5), dropout=(0, 0.1), occluders=2)


def prepare(folder: Path, real: Path | None, frames: int) -> None:
    """Raw tree, store and windows, unless they are there."""
    if (folder / "windows.zarr").exists():
        return
    write_tree(folder / "raw", real, frames)
    convert(NyuReader(folder / "raw"), folder / "store.zarr", ConvertConfig(center="gt-mean"))
    make_windows(folder / "store.zarr", folder / "windows.zarr", WindowsConfig(augment=PAPER))


def from_png(folder: Path) -> Iterator[None]:
    """The usual chain, a sample a step."""
    store, rng = Store(folder / "store.zarr"), np.random.default_rng(0)
    split, scored = store[SPLIT], list(store.spec.joints.scored)
    rows = croppable_rows(store, split)
    images = images_of(len(split))
    for row in itertools.cycle(rng.permutation(rows)):
        image = decoded(folder / "raw" / images[row])
        depth = (image[:, :, 0] + image[:, :, 1].astype(np.uint16) * 256).astype(np.float32)
        usual_chain(
            depth, split.center_xyz[row], split.cube[row], split.joints_xyz[row, scored], store.camera, SIZE, rng
        )
        yield


def from_disk(folder: Path, name: str) -> Iterator[None]:
    """`HandDataset` in the order of streaming, a batch a step."""
    frames = HandDataset(folder / name, SPLIT, SIZE, augment=PAPER)
    order = EpochOrder(frames.rows, 0, frames.shard_frames)
    for order.epoch in itertools.count(1):
        keys = list(order)
        for start in range(0, len(keys) - BATCH + 1, BATCH):
            frames.__getitems__(keys[start : start + BATCH])
            yield


def in_memory(folder: Path, augment: AugmentConfig, threads: int, batch: int = BATCH) -> Iterator[None]:
    """`ResidentBatches`, a batch a step."""
    resident = ResidentBatches(
        folder / "windows.zarr", SPLIT, SIZE, batch, augment=augment, drop_last=True, threads=threads
    )
    for resident.epoch in itertools.count(1):
        for _ in resident:
            yield


def in_torch(folder: Path, augment: AugmentConfig, batch: int, device: str = "cpu") -> Iterator[None]:
    """The crop in torch from the same windows, a batch a step."""
    resident = ResidentBatches(folder / "windows.zarr", SPLIT, SIZE, batch, augment=augment)
    windows, rng = resident.windows.to(device), np.random.default_rng(0)
    for epoch in itertools.count(1):
        places = rng.integers(0, len(windows), batch)
        crop_tensor(windows, places, **plan(resident._labels, places, resident._recipe, epoch).crop)
        yield


def one_at_a_time(folder: Path) -> Iterator[None]:
    """`perturb`, `crop` and the labels of single whole frames in memory, a sample a step."""
    store, rng = Store(folder / "store.zarr"), np.random.default_rng(0)
    split, scored = store[SPLIT], list(store.spec.joints.scored)
    rows = croppable_rows(store, split)[:64]
    frames, joints, boxes = (
        [split.depth(row) for row in rows],
        split.joints_xyz[rows][:, scored],
        stored_box(split, rows),
    )
    for i in itertools.cycle(range(len(rows))):
        box = perturb(HandBox(boxes.center_xyz[i], boxes.cube[i], boxes.roll[i]), PAPER, rng)
        crop(frames[i], box, store.camera, SIZE)
        box.bb_to_si_norm(box.xyz_to_bb(joints[i]))
        yield


def measure(steps: dict[str, tuple[Iterator[None], int]], rounds: int) -> dict[str, list[float]]:
    """Seconds a sample of every side in every round, each round beginning with another side."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for work, _ in steps.values():
        next(work)  # files into the cache, windows into memory
    names = list(steps)
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            work, samples = steps[name]
            repeats = 96 if samples == 1 else 768 // samples
            start = time.perf_counter()
            for _ in range(repeats):
                next(work)
            times[name].append((time.perf_counter() - start) / repeats / samples)
    return times


def show(times: dict[str, list[float]], base: str) -> None:
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(times[base], values, strict=True))
        middle = statistics.median(values)
        print(f"{name:42} {middle * 1e6:8.1f} us a sample  {1 / middle:9,.0f} a second  {ratio:6.2f} x")


def threads(count: int) -> None:
    cv2.setNumThreads(count if count > 1 else 0)
    torch.set_num_threads(count)
    numcodecs.blosc.use_threads = count > 1


def memory(folder: Path) -> None:
    """Print the growth of this process; called in a process of its own."""
    resident = ResidentBatches(folder / "windows.zarr", SPLIT, SIZE, BATCH, rows=np.arange(2), augment=PAPER)
    next(iter(resident))  # what any batch needs besides windows
    before = peak()
    resident = ResidentBatches(folder / "windows.zarr", SPLIT, SIZE, BATCH, augment=PAPER)
    for resident.epoch in (1, 2):
        for _ in resident:
            pass
    grown, windows = peak() - before, resident.windows.nbytes
    print(f"{len(resident.rows)} windows of {resident.windows.shape[1]} px: {windows / 2**20:.0f} MiB; ", end="")
    print(f"the process grew by {grown / 2**20:.0f} MiB, {grown / windows:.3f} times that")


def peak() -> int:
    """Largest resident memory of this process so far, bytes (Linux)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def gpu(folder: Path, rounds: int) -> None:
    """Crops a second, and the bytes that they read and write against those of a plain copy."""
    print(f"\n{torch.cuda.get_device_name()}, batches of {LARGE}")
    source = torch.empty(2**28, dtype=torch.float32, device="cuda")
    target = torch.empty_like(source)

    def timed(work: Callable[[], object], repeats: int = 20) -> float:
        work()
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / repeats

    bandwidth = 2 * source.nbytes / timed(lambda: target.copy_(source))
    for name, augment in (("roll, scale, translation", PAPER), ("all options", ALL)):
        steps = in_torch(folder, augment, LARGE, "cuda")
        a_batch = statistics.median(timed(functools.partial(next, steps)) for _ in range(rounds))
        least = LARGE * SIZE**2 * (2 + 4)  # a pixel in, a float out
        share = least / a_batch / bandwidth
        print(f"{name:42} {LARGE / a_batch:12,.0f} a second, {share:.1%} of {bandwidth / 1e9:,.0f} GB/s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--real", type=Path)
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        if options.memory:
            memory(folder)
            return
        prepare(folder, options.real, options.frames)
        threads(1)
        print("One core")
        steps = {
            "usual chain from PNG": (from_png(folder), 1),
            "store on disk, HandDataset": (from_disk(folder, "store.zarr"), BATCH),
            "windows on disk, HandDataset": (from_disk(folder, "windows.zarr"), BATCH),
            "windows in memory": (in_memory(folder, PAPER, 1), BATCH),
            "windows in memory, all options": (in_memory(folder, ALL, 1), BATCH),
            "windows in memory, torch": (in_torch(folder, PAPER, BATCH), BATCH),
            "windows in memory, torch, all options": (in_torch(folder, ALL, BATCH), BATCH),
            "frames in memory, one at a time": (one_at_a_time(folder), 1),
        }
        show(measure(steps, options.rounds), "usual chain from PNG")
        cores = min(2, os.cpu_count() or 1)
        threads(cores)
        print(f"\n{cores} cores, ratio to batches of {BATCH}")
        steps = {
            f"ResidentBatches of {BATCH}": (in_memory(folder, PAPER, 1), BATCH),
            "ResidentBatches of 128": (in_memory(folder, PAPER, 1, 128), 128),
            f"ResidentBatches of {BATCH}, all options": (in_memory(folder, ALL, cores), BATCH),
            f"torch, batches of {BATCH}": (in_torch(folder, PAPER, BATCH), BATCH),
        }
        show(measure(steps, options.rounds), f"ResidentBatches of {BATCH}")
        print("\nMemory")
        subprocess.run([sys.executable, __file__, "--memory", "--keep", str(folder)], check=True)
        if torch.cuda.is_available():
            gpu(folder, options.rounds)
        else:
            print("\nNo GPU here: nothing is measured on one")


if __name__ == "__main__":
    main()
