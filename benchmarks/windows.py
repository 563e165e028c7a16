"""What windows save against whole frames: bytes on disk and in memory, and the time to read a random one.

    python benchmarks/windows.py STORE... [--reads 400] [--rounds 7]

Makes windows of each store of frames for the paper's augmentation, and for none, in a temporary folder. Reads are
single, in random order, by one thread, from files that the system has in memory; rounds alternate between the sides and
figures are medians. Disk is the depth alone, for tables are the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from handbench.converters.windows import WindowsConfig, make_windows
from handbench.preprocess import AugmentConfig
from handbench.store import Split, Store

MARGINS = {"paper": AugmentConfig(), "none": None}


def depth_bytes(store: Store) -> int:
    return sum(path.stat().st_size for path in store.path.glob("*/depth/c/**/*") if path.is_file())


def read_seconds(split: Split, rows: list[int]) -> float:
    start = time.perf_counter()
    for row in rows:
        split.window(row)
    return (time.perf_counter() - start) / len(rows)


def measure(path: Path, folder: Path, reads: int, rounds: int) -> None:
    sides = {"frames": Store(path)}
    for name, augment in MARGINS.items():
        out = folder / f"{path.name}.{name}.zarr"
        start = time.perf_counter()
        summary = make_windows(path, out, WindowsConfig(augment=augment))
        print(f"{summary.one_line()}; made in {time.perf_counter() - start:.1f} s")
        for remark in summary.remarks:
            print(f"  {remark}")
        sides[name] = Store(out)
    splits = {name: max((store[each] for each in store.splits), key=len) for name, store in sides.items()}
    rng, seconds = np.random.default_rng(0), {name: list[float]() for name in splits}
    for round_ in range(rounds + 1):
        rows = rng.integers(0, len(splits["frames"]), reads).tolist()
        for name, split in splits.items():
            took = read_seconds(split, rows)
            seconds[name] += [took] if round_ else []  # the first opens files
    median = {name: statistics.median(some) for name, some in seconds.items()}
    height, width = splits["frames"].image
    print(f"| {path.name} | side | memory | disk | one random read | times as fast |\n|---|---|---|---|---|---|")
    for name, store in sides.items():
        across, down = (store.windows.side,) * 2 if store.windows else (width, height)
        memory, disk = across * down / (height * width), depth_bytes(store) / depth_bytes(sides["frames"])
        cells = f"{across} x {down} | {memory:.0%} | {disk:.0%} | {median[name] * 1e6:.0f} us"
        print(f"| {name} | {cells} | {median['frames'] / median[name]:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+", type=Path, metavar="STORE")
    parser.add_argument("--reads", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path in options.stores:
            measure(path, Path(folder), options.reads, options.rounds)


if __name__ == "__main__":
    main()
