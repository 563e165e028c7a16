"""`handbench demo`: the whole way once, by the very commands that a user would type."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import rich_click as click

from handbench.cli import main
from handbench.console import claim_output, note, overwrite_option, remove
from handbench.errors import HandbenchError


@dataclass(frozen=True)
class Size:
    """How much the demo does: synthetic training and test frames, and the options of the training."""

    train_frames: int
    test_frames: int
    training: tuple[str, ...]


FULL = Size(1200, 200, ("--preset", "quick"))
QUICK = Size(240, 60, ("--preset", "quick"))


def steps(out: Path, size: Size) -> list[tuple[str, list[str]]]:
    """What the demo does, in order: a sentence about each step, and its command line after `handbench`.

    Args:
        out: the folder of the demo.
        size: how much of everything.
    """
    raw, store, run = str(out / "raw"), str(out / "nyu.zarr"), str(out / "run")
    predictions, scores = str(out / "predictions" / "SRN.txt"), str(out / "scores")
    frames = ["--frames", str(size.train_frames), "--test-frames", str(size.test_frames), "--key-frames", "2"]
    return [
        (
            "Render synthetic hands as a raw NYU tree. They stand in for 90 GB of real data.",
            ["synth", "nyu", raw, *frames],
        ),
        (
            "Convert the synthetic raw tree into a store. Its centres are the means of the true joints.",
            ["convert", "nyu", raw, store, "--center", "gt-mean"],
        ),
        ("Look into the store; it says that its hands are synthetic.", ["info", store]),
        (
            "Train SRN for a short time on a small synthetic set: no model to keep.",
            ["train", store, "--out", run, *size.training],
        ),
        (
            "Predict the synthetic test split, two hands of which one was never seen.",
            ["predict", run, store, "-o", predictions],
        ),
        (
            "Score it. These numbers are of a small synthetic set, no result on NYU.",
            [*("eval", predictions, "--truth", store, "-o", scores)],
        ),
        (
            "Draw the success-rate curve of the synthetic test split.",
            ["plot", "curves", scores, "-o", str(out / "curves.png")],
        ),
        (
            "Draw the error of each joint on the synthetic test split.",
            ["plot", "joints", scores, "-o", str(out / "joints.png")],
        ),
    ]


@click.command()
@click.argument("out", type=click.Path(path_type=Path), default=Path("handbench-demo"))
@click.option("--quick", is_flag=True, help="Less of everything: under a minute on two cores.")
@overwrite_option
def demo(out: Path, quick: bool, overwrite: bool) -> None:
    """Run the whole way once on synthetic hands: raw files, store, training, prediction, scores, figures.

    Everything goes into the folder OUT. It takes some two minutes on two cores, no GPU and no download.
    """
    claim_output(out, overwrite)
    remove(out)
    (out / "predictions").mkdir(parents=True)
    start = time.monotonic()
    plan = steps(out, QUICK if quick else FULL)
    for number, (sentence, command) in enumerate(plan, start=1):
        note(f"\n[{number}/{len(plan)}] {sentence}\n$ handbench {shlex.join(command)}")
        run_step(command)
    note(f"\nDone in {time.monotonic() - start:.0f} s. What lies where:")
    for place, meaning in contents(out):
        click.echo(f"{place!s:40} {meaning}")


def run_step(command: list[str]) -> None:
    """One command line, in this process.

    Raises:
        HandbenchError: if the command finds something wrong, which it must not on good data.
    """
    if code := main(command, prog_name="handbench", standalone_mode=False):
        raise HandbenchError(f"'handbench {shlex.join(command)}' ended with exit code {code}")


def contents(out: Path) -> list[tuple[Path, str]]:
    """What the demo leaves, for its last words."""
    return [
        (out / "raw", "synthetic hands, laid out like raw NYU"),
        (out / "nyu.zarr", "the store: depth, joints, centres, camera"),
        (out / "run", "the training run: config, checkpoints, TensorBoard events"),
        (out / "predictions", "predicted joints, one line a frame: u v d of each joint"),
        (out / "scores", "mean errors, success rates, per joint and subject"),
        (out / "curves.png", "success-rate curve, its numbers beside it as CSV"),
        (out / "joints.png", "mean error of each joint, its numbers beside it as CSV"),
    ]
