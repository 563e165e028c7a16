"""How much faster is the one warp than the usual chain? Ratios, measured side by side in one run.

    python benchmarks/preprocess.py

Both sides start from the same decoded frame (uint16 mm, 640 x 480, a hand-sized blob before nothing) and make one
augmented training sample, image and joints. The rounds alternate between the sides, so that a busy machine slows both;
the figures are medians over the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from usual_chain import usual_chain

from handbench.datasets import dataset
from handbench.preprocess import AugmentConfig, HandBox, crop, crop_batch, perturb
from handbench.preprocess.crop import dyadic

SIZE, BATCH, ROUNDS, REPEATS = 128, 32, 30, 64


def hand_like_frame(rng: np.random.Generator) -> np.ndarray:
    frame = np.zeros((480, 640), np.uint16)
    rows, columns = np.mgrid[:480, :640]
    blob = (rows - 240) ** 2 + (columns - 220) ** 2 < 85**2
    frame[blob] = rng.integers(700, 820, blob.sum())
    return frame


def seconds(work: Callable[[], object], samples: int) -> float:
    start = time.perf_counter()
    for _ in range(REPEATS // samples):
        work()
    return (time.perf_counter() - start) / REPEATS


def main() -> None:
    rng = np.random.default_rng(0)
    camera, frame, config = dataset("nyu").camera, hand_like_frame(rng), AugmentConfig()
    center, cube = np.array([-130.0, 0.0, 760.0]), np.full(3, 250.0)
    joints = center + rng.normal(0, 40, (14, 3))
    box = HandBox.upright(center, cube)
    boxes = HandBox.upright(np.tile(center, (BATCH, 1)), np.tile(cube, (BATCH, 1)))
    matrix = dyadic(box.image_from_crop(camera, SIZE))
    frames, many_joints = [frame] * BATCH, np.tile(joints, (BATCH, 1, 1))

    def usual() -> object:
        return usual_chain(frame.astype(np.float32), center, cube, joints, camera, SIZE, rng)

    def single() -> object:
        turned = perturb(box, config, rng)
        return crop(frame, turned, camera, SIZE), turned.bb_to_si_norm(turned.xyz_to_bb(joints))

    def batched() -> object:
        turned = perturb(boxes, config, rng)
        return crop_batch(frames, turned, camera, SIZE), turned.bb_to_si_norm(turned.xyz_to_bb(many_joints))

    def warp() -> object:
        return cv2.warpAffine(frame, matrix, (SIZE, SIZE), flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)

    sides = {
        "usual chain": (usual, 1),
        "one at a time": (single, 1),
        f"batch of {BATCH}": (batched, BATCH),
        "warp alone": (warp, 1),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, (work, samples) in sides.items():
            times[name].append(seconds(work, samples))
    base = times["usual chain"]
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(base, values, strict=True))
        print(f"{name:15} {statistics.median(values) * 1e6:7.1f} us a sample   {ratio:5.1f} x")


if __name__ == "__main__":
    main()
