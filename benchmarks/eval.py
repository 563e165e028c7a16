"""Scoring: against a plain loop, as commands, a whole HANDS17 submission, and resampling.

python benchmarks/eval.py PREDICTIONS_FOLDER LABELS.txt [--dataset nyu] [--repeats 5]
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.datasets import dataset
from handbench.eval.bootstrap import block_means
from handbench.eval.inputs import read_labels
from handbench.eval.score import score_files
from handbench.eval.truth import Truth
from handbench.predictions import parse_uvd_text
from handbench.store import StoreWriter

Floats = npt.NDArray[np.float64]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# ---- nine files against a loop


def plain_uvd(path: Path) -> list[list[float]]:
    return [[float(word) for word in line.split()] for line in path.read_text().splitlines()]


def plain_xyz(row: list[float], camera: Camera) -> list[tuple[float, float, float]]:
    joints = zip(row[::3], row[1::3], row[2::3], strict=True)
    return [((u - camera.cx) * d / camera.fx, (v - camera.cy) * d / camera.fy, d) for u, v, d in joints]


def plain_scores(
    path: Path, labels: list[list[tuple[float, float, float]]], camera: Camera
) -> tuple[float, list[float]]:
    """Mean error and max-frame success at 0 to 80 mm, as a script without NumPy would."""
    errors = [
        [math.dist(p, t) for p, t in zip(plain_xyz(row, camera), true, strict=True)]
        for row, true in zip(plain_uvd(path), labels, strict=True)
    ]
    worst = [max(row) for row in errors]
    curve = [100 * sum(error <= t for error in worst) / len(worst) for t in range(81)]
    return sum(map(sum, errors)) / sum(map(len, errors)), curve


def array_scores(path: Path, truth: Truth) -> tuple[float, list[float]]:
    """The same with `float` for parsing and NumPy for the rest, a loop over thresholds: how most scripts do it."""
    camera, uvd = truth.camera, np.array(plain_uvd(path)).reshape(truth.joints_xyz.shape)
    x, y = (
        (uvd[..., i] - c) * uvd[..., 2] / f for i, (c, f) in enumerate(((camera.cx, camera.fx), (camera.cy, camera.fy)))
    )
    error = np.linalg.norm(np.stack((x, y, uvd[..., 2]), axis=-1) - truth.joints_xyz, axis=-1)
    return float(error.mean()), [100 * float(np.mean(error.max(axis=1) <= t)) for t in range(81)]


def against_loops(files: list[Path], labels: Path, data_set: str, repeats: int) -> None:
    """All ways in turn, so that a slow moment of the machine meets all."""
    camera = dataset(data_set).scoring_camera
    truth = read_labels(labels, data_set, None)
    plain_labels = [plain_xyz(row, camera) for row in plain_uvd(labels)]
    ours, arrays = [], []
    for _ in range(repeats):
        ours.append(seconds(lambda: score_files(files, truth)))
        arrays.append(seconds(lambda: [array_scores(path, truth) for path in files]))
    plain: list[tuple[float, list[float]]] = []
    loop = seconds(lambda: plain.extend(plain_scores(path, plain_labels, camera) for path in files))
    for scored, (mean, curve) in zip(score_files(files, truth), plain, strict=True):
        np.testing.assert_allclose(scored.scores.whole.mean_error_mm, mean, rtol=1e-12)
        np.testing.assert_allclose(scored.scores.whole.max_frame_success_percent, curve, rtol=1e-12)
    print(f"scoring {len(files)} files, all numbers: {min(ours):.2f} s")
    print(f"  plain loop, mean and one curve alone: {loop:.2f} s; ratio {loop / min(ours):.1f}")
    print(f"  `float` and NumPy, mean and one curve alone: {min(arrays):.2f} s; ratio {min(arrays) / min(ours):.1f}")


def parsing(files: list[Path], joints: int, repeats: int) -> None:
    texts = [file.read_bytes() for file in files]
    ours, loop = [], []
    for _ in range(repeats):
        ours.append(seconds(lambda: [parse_uvd_text(text, joints, "text") for text in texts]))
        loop.append(seconds(lambda: [plain_uvd(path) for path in files]))
    megabytes = sum(map(len, texts)) / 1e6
    print(f"reading {len(texts)} files, {megabytes:.1f} MB: {min(ours):.3f} s, {megabytes / min(ours):.0f} MB/s")
    print(f"  a loop over float: {min(loop):.3f} s; ratio {min(loop) / min(ours):.1f}")


# ---- commands, process starts included


def time_commands(files: list[Path], labels: Path, data_set: str, repeats: int) -> None:
    """`handbench eval -o`, `handbench plot curves` and `handbench compare`, each in its own process."""
    totals = []
    with tempfile.TemporaryDirectory() as folder:
        scores, figure = f"{folder}/scores", f"{folder}/curves.pdf"
        score = partial(run, "eval", *files, "--truth", labels, "--dataset", data_set, "-o", scores, "--overwrite")
        plot = partial(run, "plot", "curves", scores, "-o", figure, "--overwrite")
        for _ in range(repeats):
            totals.append((seconds(score), seconds(plot), seconds(partial(run, "compare", scores))))
    best = min(totals, key=sum)
    print(f"eval and plot of {len(files)} files: {best[0] + best[1]:.2f} s ({best[0]:.2f} + {best[1]:.2f})")
    print(f"  compare all pairs of them, 2,000 resamples: {best[2]:.2f} s; best of {repeats}")


def run(*args: object) -> None:
    subprocess.run([sys.executable, "-m", "handbench", *map(str, args)], check=True, capture_output=True)


# ---- a whole submission of HANDS17


def time_hands17(folder: Path) -> None:
    """A submission of 295,510 frames, xyz after names, against a store; the frames are copies of 1,000."""
    spec = dataset("hands17")
    frames = spec.protocols[0].frames
    rng = np.random.default_rng(0)
    some = rng.uniform(-90, 90, (1000, 21, 3)) + np.array([0.0, 0.0, 500.0])
    xyz = np.resize(some, (frames, 21, 3)).astype(np.float32)
    rows = [
        "\t".join(f"{value:.4f}" for value in row) for row in (some + rng.normal(0, 5, some.shape)).reshape(1000, -1)
    ]
    prediction = folder / "Mine.txt"
    with prediction.open("w") as file:
        for i in range(frames):
            file.write(f"frame/images/image_D{i + 1:08d}.png\t{rows[i % 1000]}\t\n")
    writer = StoreWriter(folder / "hands17.zarr", spec, spec.camera, "", {})
    writer.create_split("test", frames, (480, 640))
    text = np.full(frames, "")
    columns: dict[str, npt.NDArray[np.generic]] = {
        "frame_key": np.array([f"test/image_D{i + 1:08d}" for i in range(frames)]),
        "subject": text,
        "sequence": text,
        "view": np.ones(frames, np.uint8),
        "joints_xyz": xyz,
        "center_xyz": np.zeros((frames, 3), np.float32),
        "cube": np.full((frames, 3), 200, np.float32),
        "status": np.zeros(frames, np.uint8),
    }
    writer.write_columns("test", columns, {"center_xyz": {"center_method": "com"}})
    writer.finish()
    taken = seconds(partial(run, "eval", prediction, "--truth", folder / "hands17.zarr"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    megabytes = prediction.stat().st_size / 1e6
    print(
        f"{frames:,} x 21 joints, submission of {megabytes:.0f} MB: {taken:.2f} s, peak {peak:.0f} MiB, start included"
    )


# ---- resampling


def time_bootstrap(repeats: int) -> None:
    """2,000 resamples of a pair, 8,252 frames."""
    rng = np.random.default_rng(0)
    sums, counts = rng.uniform(50, 300, (2, 8252)), np.full((2, 8252), 14.0)
    for block in (1, 100):
        best = min(seconds(partial(block_means, sums, counts, block, 2000)) for _ in range(repeats))
        print(f"2,000 resamples of a pair, blocks of {block}: {best:.3f} s")


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
    with tempfile.TemporaryDirectory() as folder:  # first: the peak of child processes is that of the largest one
        time_hands17(Path(folder))
    parsing(files, len(dataset(options.dataset).joints.scored), options.repeats)
    against_loops(files, options.labels, options.dataset, options.repeats)
    time_commands(files, options.labels, options.dataset, options.repeats)
    time_bootstrap(options.repeats)


if __name__ == "__main__":
    main()
