"""What a synthetic frame costs on one core, stage by stage, and how many frames a second that makes.

    python benchmarks/synth.py [FRAMES]

Every frame is a pose of its own (`key_frames` 1), the dearest case. OpenCV is held to one thread.

pose     random poses, free of collisions
skin     vertices and labels
render   the exact depth, with the person behind the hand
sensor   its faults
file     encoding and writing the raw image
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from handbench.converters import open_writer
from handbench.converters.synthetic import SyntheticReader
from handbench.synth.config import NAMES, SynthConfig
from handbench.synth.frames import SyntheticFrames
from handbench.synth.joint_sets import joint_set
from handbench.synth.poses import VIEWS, sequence
from handbench.synth.subject import subject_of

STAGES = ("pose", "skin", "render", "sensor", "file")


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def stages(name: str, count: int, folder: Path) -> list[float]:
    """Seconds of each of `STAGES` for `count` frames."""
    subject = subject_of((0,), side=VIEWS[name].side)
    pose = seconds(lambda: sequence(name, range(count), (1,), subject, key_frames=1))
    poses = sequence(name, range(count), (1,), subject, key_frames=1)
    skin = seconds(lambda: [joint_set(name)(*subject.place(poses))])
    frames = SyntheticFrames(SynthConfig(name, count, key_frames=1))
    split = frames.splits[0]
    whole = seconds(lambda: [frames.exact_depth(split, row) for row in range(count)])
    seen = seconds(lambda: [frames.depth(split, row) for row in range(count)])
    reader = SyntheticReader(frames.config)
    table, depths = reader.table(split), [reader.depth(f"{split}/{row}") for row in range(count)]
    file = seconds(lambda: open_writer(name, folder).write_frames(table, depths))
    return [pose, skin, whole - pose - skin, seen - whole, file]


def main(count: int) -> None:
    """Print a line for each data set."""
    cv2.setNumThreads(1)
    print(f"ms a frame, {count} frames\n{'':8}" + "".join(f"{stage:>8}" for stage in STAGES) + "  labelled/s  files/s")
    with TemporaryDirectory() as folder:
        for name in NAMES:
            stages(name, 8, Path(folder))  # compiles
            ms = [1000 * s / count for s in stages(name, count, Path(folder))]
            print(
                f"{name:8}"
                + "".join(f"{value:8.2f}" for value in ms)
                + f"{1000 / sum(ms[:3]):12.0f}{1000 / sum(ms):9.0f}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
