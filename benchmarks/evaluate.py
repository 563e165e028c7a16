"""Scoring and drawing published predictions, process starts included; and reading them against a loop over `float`.

python benchmarks/evaluate.py PREDICTIONS_FOLDER LABELS.txt [--dataset nyu] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handbench.datasets import dataset
from handbench.predictions import parse_uvd_text


def naive(data: bytes) -> npt.NDArray[np.float64]:
    return np.array([[float(word) for word in line.split()] for line in data.splitlines()])


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare_parsers(files: list[Path], joints: int, repeats: int) -> None:
    """Both ways in turn, so that a slow moment of the machine meets both."""
    texts = [file.read_bytes() for file in files]
    for text in texts:
        frames = parse_uvd_text(text, joints, "text")
        np.testing.assert_array_equal(frames.reshape(len(frames), -1), naive(text))
    ours, loop = [], []
    for _ in range(repeats):
        ours.append(seconds(lambda: [parse_uvd_text(text, joints, "text") for text in texts]))
        loop.append(seconds(lambda: [naive(text) for text in texts]))
    megabytes = sum(map(len, texts)) / 1e6
    print(f"reading {len(texts)} files, {megabytes:.1f} MB: {min(ours):.3f} s, {megabytes / min(ours):.0f} MB/s")
    print(f"  a loop over float: {min(loop):.3f} s; ratio {min(loop) / min(ours):.1f}")


def time_commands(files: list[Path], labels: Path, data_set: str, repeats: int) -> None:
    """`handbench eval -o` and `handbench plot curves`, each in its own process."""
    totals = []
    before = used()
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            scores, figure = f"{folder}/scores", f"{folder}/curves.pdf"
            evaluate = partial(run, "eval", *files, "--truth", labels, "--dataset", data_set, "-o", scores)
            plot = partial(run, "plot", "curves", scores, "-o", figure)
            totals.append((seconds(evaluate), seconds(plot)))
    best = min(totals, key=sum)
    print(f"eval and plot of {len(files)} files: {sum(best):.2f} s ({best[0]:.2f} + {best[1]:.2f}), best of {repeats}")
    print(f"  worst of {repeats}: {max(map(sum, totals)):.2f} s; processor time {(used() - before) / repeats:.2f} s")


def used() -> float:
    """Processor time of all child processes so far: what a busy machine does not change much."""
    times = os.times()
    return times.children_user + times.children_system


def run(*args: object) -> None:
    subprocess.run([sys.executable, "-m", "handbench", *map(str, args)], check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path, help="folder of uvd texts")
    parser.add_argument("labels", type=Path)
    parser.add_argument("--dataset", default="nyu")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    files = sorted(options.predictions.glob("*.txt"))
    if not files:
        parser.error(f"{options.predictions} holds no .txt files")
    compare_parsers(files, len(dataset(options.dataset).joints.scored), options.repeats)
    time_commands(files, options.labels, options.dataset, options.repeats)


if __name__ == "__main__":
    main()
