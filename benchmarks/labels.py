"""Reading the label files of ICVL and HANDS17 at their full size, against a loop over `float`.

python benchmarks/labels.py [--share 1.0] [--repeats 2]

Writes made-up labels of the published number of lines into a temporary folder, 140 and 640 MB. Both ways give names
and an array of float32.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handbench.converters.labels import label_blocks
from handbench.datasets import dataset

ICVL_LINES = dataset("icvl").split("train").frames["rotated"]
HANDS17_LINES = dataset("hands17").split("train").frames["only"]


def write_labels(path: Path, lines: int, columns: int, number: str) -> None:
    """A thousand different lines over and over; the names count on."""
    rng = np.random.default_rng(0)
    texts = [number * columns % tuple(row) for row in rng.uniform(-300, 300, (1000, columns))]
    with path.open("w", encoding="ascii") as file:
        for i in range(lines):
            file.write(f"201403121135/image_{i:04d}.png{texts[i % 1000]}\n")


def read_ours(path: Path, lines: int, columns: int) -> npt.NDArray[np.float32]:
    values = np.empty((lines, columns), np.float32)
    first = 0
    for names, block in label_blocks(path, columns):
        values[first : first + len(names)] = block
        first += len(names)
    return values


def read_loop(path: Path, lines: int, columns: int) -> npt.NDArray[np.float32]:
    values = np.empty((lines, columns), np.float32)
    names = []
    with path.open(encoding="ascii") as file:
        for i, line in enumerate(file):
            name, *words = line.split()
            names.append(name)
            values[i] = [float(word) for word in words]
    return values


def seconds(work: Callable[[Path, int, int], object], path: Path, lines: int, columns: int) -> float:
    start = time.perf_counter()
    work(path, lines, columns)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of the published number of lines")
    parser.add_argument("--repeats", type=int, default=2, help="rounds; the best of each counts")
    options = parser.parse_args()
    cases = (("icvl", ICVL_LINES, 48, " %.3f"), ("hands17", HANDS17_LINES, 63, "\t %.4f"))
    with tempfile.TemporaryDirectory() as folder:
        for name, published, columns, number in cases:
            path, lines = Path(folder) / f"{name}.txt", int(published * options.share)
            write_labels(path, lines, columns, number)
            np.testing.assert_array_equal(read_ours(path, lines, columns), read_loop(path, lines, columns))
            rounds = [
                [seconds(work, path, lines, columns) for work in (read_ours, read_loop)] for _ in range(options.repeats)
            ]
            ours, loop = map(min, zip(*rounds, strict=True))
            size = path.stat().st_size / 1e6
            print(f"{name}: {lines:,} lines, {size:.0f} MB: {ours:.2f} s, {size / ours:.0f} MB/s")
            print(f"  a loop over float: {loop:.2f} s; ratio {loop / ours:.1f}")
            path.unlink()
    print(f"largest memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
