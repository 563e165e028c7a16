"""Conversion and its store against what they stand in for: bare decoding and encoding, and PNG files.

    python benchmarks/convert.py [--real FOLDER] [--frames 1024] [--speed 20000] [--many 20000] [--rounds 3]

FOLDER holds nyu_one_frame/ (a raw NYU tree of one test frame) and kinect2/ (16-bit PNG files). The tree that is
converted repeats that frame, each time moved by another step, packed as tightly as the original; without FOLDER its
frames are rendered (`handbench synth`). Rounds alternate between the sides and figures are medians. It takes some
minutes and 2 GB of disk.

- Speed: frames a second of a conversion by two processes, with their start, as a share of two running processes that
  only decode and encode: for the tree, and once for a longer one that repeats its files.
- Memory: the sum of the peaks of all processes of a conversion, which is never less than the peak of the sum.
- Size: all files of a store against the raw images.
- Random frames: batches by two threads, from the store and through OpenCV from PNG files.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numcodecs
import numpy as np
import numpy.typing as npt

from handbench.converters import synthetic
from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.nyu import NyuReader, NyuWriter, image_names
from handbench.store import Store
from handbench.store.writer import SHARD_FRAMES
from handbench.synth.config import SynthConfig

WORKERS, BATCH, BATCHES, GRID = 2, 32, 8, 32
PNG_LEVEL = 6  # gives the size of the authors' file; OpenCV's own default is half as large again
PROCESSES = ("--scheduler", "processes", "--workers", WORKERS)
NYU, KINECT = "nyu_one_frame", "kinect2"


@dataclass(frozen=True)
class Bare:
    """What a conversion cannot do without: decode some PNG files to mm and compress them."""

    paths: Sequence[Path]

    def __call__(self) -> int:
        """How many files they were."""
        cv2.setNumThreads(1)
        numcodecs.blosc.use_threads = False  # the processes are the threads
        blosc = numcodecs.Blosc(cname="zstd", clevel=3, shuffle=numcodecs.Blosc.SHUFFLE)
        for path in self.paths:
            depth = np.empty((480, 640), dtype="<u2")
            cv2.mixChannels([decoded(path)], [depth.view(np.uint8).reshape(480, 640, 2)], [0, 0, 1, 1])
            depth *= depth != 2001
            blosc.encode(depth)
        return len(self.paths)


def decoded(path: Path) -> npt.NDArray[Any]:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None, path
    return np.asarray(image)


def write_tree(root: Path, real: Path | None, frames: int) -> None:
    """A raw NYU tree of one split, no two frames the same."""
    if real is None:
        synthetic.write_tree(SynthConfig("nyu", 1, test_frames=frames), root)
        return
    if frames > GRID * GRID:
        raise SystemExit(f"--frames {frames}: one frame gives at most {GRID * GRID}")
    original = decoded(real / NYU / "test" / "depth_1_0000001.png")
    (root / "test").mkdir(parents=True)
    for i, image in enumerate(images_of(frames)):
        moved = np.roll(original, divmod(i, GRID), axis=(0, 1))
        cv2.imwrite(str(root / image), moved, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])
    joints = NyuReader(real / NYU).table("test").joints_xyz.astype(np.float64)
    NyuWriter(root).write_labels("test", {1: np.repeat(joints, frames, axis=0)})


def link_tree(root: Path, tree: Path, frames: int) -> None:
    """A raw NYU tree of many frames that repeats the files of another."""
    files = images_of(len(NyuReader(tree).table("test")))
    (root / "test").mkdir(parents=True)
    for i, image in enumerate(images_of(frames)):
        (root / image).hardlink_to(tree / files[i % len(files)])
    joints = NyuReader(tree).table("test").joints_xyz[:1].astype(np.float64)
    NyuWriter(root).write_labels("test", {1: np.repeat(joints, frames, axis=0)})


def images_of(frames: int) -> list[str]:
    keys = np.array([f"test/1/{number:07d}" for number in range(1, frames + 1)])
    return [str(image) for image in image_names(keys)]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "handbench", "convert", *map(str, arguments)]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def alternate(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every side in every round, each round beginning with another side."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for i in range(rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            times[name].append(seconds(sides[name]))
    return times


def measure_speed(tree: Path, out: Path, rounds: int) -> None:
    """Frames a second of the bare limit, of `convert()` and of the command, by turns."""
    paths = [tree / image for image in images_of(len(NyuReader(tree).table("test")))]
    tasks = [Bare(paths[start : start + SHARD_FRAMES]) for start in range(0, len(paths), SHARD_FRAMES)]
    config = ConvertConfig(scheduler="processes", workers=WORKERS, overwrite=True)
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        sides: dict[str, Callable[[], object]] = {
            "bare": lambda: list(pool.map(_call, tasks)),
            "convert()": lambda: convert(NyuReader(tree), out, config),
            "handbench convert": lambda: quietly(command("nyu", tree, out, "--overwrite", *PROCESSES)),
        }
        list(pool.map(_call, tasks[:WORKERS]))  # modules into the processes; the files were just written or read
        times = alternate(sides, rounds)
    for name, values in times.items():
        ratio = statistics.median(b / v for b, v in zip(times["bare"], values, strict=True))
        print(f"{name:24} {len(paths) / statistics.median(values):6.0f} frames/s   {ratio:6.1%}")


def _call(task: Bare) -> int:
    return task()


def quietly(arguments: Sequence[str]) -> None:
    """Run a command that must succeed, and say nothing of what it prints."""
    subprocess.run(arguments, check=True, capture_output=True)


def measure_memory(tree: Path, folder: Path, counts: Sequence[int]) -> None:
    """Peak memory at several numbers of frames, which are links to those of the tree."""
    for frames in counts:
        root, out = folder / f"links{frames}", folder / "links.zarr"
        link_tree(root, tree, frames)
        for options in (PROCESSES, ("--scheduler", "threads", "--workers", WORKERS)):
            start = time.perf_counter()
            peak = peak_bytes(command("nyu", root, out, "--overwrite", *options))
            rate = frames / (time.perf_counter() - start)
            print(f"{frames:6} frames, {options[1]:9}: at most {peak / 2**20:5.0f} MiB   {rate:6.0f} frames/s")


def peak_bytes(arguments: Sequence[str], may_find: bool = False) -> int:
    """Sum over a process and its children of the most memory that each held; missing frames (exit 1) if they may be.

    The kernel keeps that maximum (VmHWM, in KiB), so that looking every 20 ms misses only what a process took in its
    last moment.
    """
    peaks: dict[int, int] = {}
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for pid in family(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), high_water(pid))
            time.sleep(0.02)
    if process.returncode > may_find:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return sum(peaks.values())


def family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(one for child in children for one in family(int(child)))]


def high_water(pid: int) -> int:
    """The most memory that a process has held so far, bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def measure_raw(dataset: str, raw: Path, folder: Path) -> None:
    """Peak memory of converting a raw tree that is there, such as one with all its labels and hardly an image."""
    for options in (PROCESSES, ("--scheduler", "threads", "--workers", WORKERS)):
        arguments = command(dataset, raw, folder / "raw.zarr", "--overwrite", "--codec", "shuffle", *options)
        peak = peak_bytes(arguments, may_find=True)
        print(f"{dataset}, {options[1]:9}: at most {peak / 2**20:5.0f} MiB")


def measure_size(store: Path, images: Sequence[Path], name: str) -> None:
    """Bytes of a store and of its depth against those of the raw images."""
    raw = sum(path.stat().st_size for path in images)
    files = [path for path in store.rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    depth = sum(path.stat().st_size for path in files if "depth" in path.relative_to(store).parts[:2])
    print(
        f"{name:24} {len(images):5} frames: {raw / len(images):8.0f} bytes a PNG, store {total / raw:.3f} times, "
        f"its depth {depth / raw:.3f} times"
    )


def measure_sizes(tree: Path, store: Path, real: Path | None, folder: Path) -> None:
    """The same for the tree of the benchmark and for real frames, if there are any."""
    measure_size(store, sorted(tree.glob("test/*.png")), "the tree of above")
    if real is None:
        return
    nyu, kinect, sixteen = folder / "nyu1.zarr", folder / "kinect.zarr", folder / KINECT
    sixteen.mkdir()
    for path in (real / KINECT).glob("*.png"):
        if decoded(path).dtype == np.uint16:  # there are pictures of 8 bits among them
            (sixteen / path.name).symlink_to(path.resolve())
    quietly(command("nyu", real / NYU, nyu))
    quietly(command("frames", sixteen, kinect, "--camera", KINECT))
    measure_size(nyu, sorted((real / NYU).glob("test/depth_*.png")), "real NYU")
    measure_size(kinect, sorted(sixteen.glob("*.png")), "real Kinect v2")


def measure_random(tree: Path, store: Path, rounds: int) -> None:
    """Frames in random order from the store and from PNG files, in batches and threads, by turns."""
    split = Store(store)["test"]
    paths = [tree / image for image in images_of(len(split))]
    rows = np.random.default_rng(0).permutation(len(split))[: BATCH * min(BATCHES, len(split) // BATCH)]

    def through(pool: ThreadPoolExecutor, read: Callable[[int], npt.NDArray[Any]]) -> None:
        for batch in rows.reshape(-1, BATCH).tolist():
            np.stack(list(pool.map(read, batch)))

    with ThreadPoolExecutor(WORKERS) as pool:
        sides: dict[str, Callable[[], object]] = {
            "PNG through OpenCV": lambda: through(pool, lambda row: decoded(paths[row])),
            "store": lambda: through(pool, split.depth),
        }
        for work in sides.values():
            work()
        times = alternate(sides, 3 * rounds)
    png = times["PNG through OpenCV"]
    for name, values in times.items():
        ratio = statistics.median(b / v for b, v in zip(png, values, strict=True))
        print(f"{name:24} {statistics.median(values) / len(rows) * 1e3:5.2f} ms a frame   {ratio:4.1f} x")


def main() -> None:
    """Print everything, in one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, help=f"folder with {NYU}/ and {KINECT}/")
    parser.add_argument("--frames", type=int, default=GRID * GRID, help="frames of the tree")
    parser.add_argument("--speed", type=int, default=20000, help="frames of a longer conversion, timed once")
    parser.add_argument("--many", type=int, default=20000, help="frames of the large tree; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--raw", nargs=2, metavar=("DATASET", "FOLDER"), help="only the memory that this tree takes")
    options = parser.parse_args()
    if options.raw:
        with tempfile.TemporaryDirectory() as name:
            measure_raw(options.raw[0], Path(options.raw[1]), Path(name))
        return
    print(f"{os.cpu_count()} cores, {'real' if options.real else 'rendered'} frames")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree, store = folder / "tree", folder / "tree.zarr"
        write_tree(tree, options.real, options.frames)
        quietly(command("nyu", tree, store))
        link_tree(folder / "links", tree, options.speed)
        measure_speed(tree, folder / "timed.zarr", options.rounds)
        measure_speed(folder / "links", folder / "timed.zarr", 1)
        measure_sizes(tree, store, options.real, folder)
        measure_random(tree, store, options.rounds)
        measure_memory(tree, folder, [2000, *filter(None, [options.many])])


if __name__ == "__main__":
    main()
