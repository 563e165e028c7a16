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

Step = tuple[str, list[str]]
"""A sentence about a step, and its command line after `handbench`."""


@dataclass(frozen=True)
class Size:
    """How much the demo does.

    Attributes:
        train_frames, test_frames: synthetic frames of NYU.
        other_frames: of the training split of each other data set.
        training: options of the training on NYU.
        short_training: of the one on HANDS17.
    """

    train_frames: int
    test_frames: int
    other_frames: int
    training: tuple[str, ...]
    short_training: tuple[str, ...]


_PRESET = ("--preset", "quick")
FULL = Size(1200, 200, 153, _PRESET, (*_PRESET, "--set", "model.stages=1"))
QUICK = Size(200, 60, 153, _PRESET, (*_PRESET, "--set", "model.stages=1"))


def steps(out: Path, size: Size) -> list[Step]:
    """What the demo does, in order.

    Args:
        out: the folder of the demo.
        size: how much of everything.
    """
    return [*_nyu(out, size), *_icvl(out, size), *_msra(out, size), *_hands17(out, size)]


def _nyu(out: Path, size: Size) -> list[Step]:
    """The whole way, from raw files to figures."""
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


def _icvl(out: Path, size: Size) -> list[Step]:
    """A raw tree looked at before it is converted."""
    raw, store = str(out / "raw-icvl"), str(out / "icvl.zarr")
    return [
        (
            "ICVL: left hands, another sensor, labels that are a little off as ICVL's are.",
            ["synth", "icvl", raw, "--frames", str(size.other_frames), "--key-frames", "2", "--label-noise", "1.1"],
        ),
        ("Ask what that folder is, and what it lacks.", ["inspect", raw]),
        ("Convert it.", ["convert", "icvl", raw, store, "--center", "gt-mean"]),
    ]


def _msra(out: Path, size: Size) -> list[Step]:
    """A store checked down to every byte."""
    raw, store = str(out / "raw-msra"), str(out / "msra.zarr")
    return [
        (
            "MSRA: nine subjects with seventeen gestures each, cut out of the image.",
            ["synth", "msra", raw, "--frames", str(size.other_frames)],
        ),
        ("Convert it.", ["convert", "msra", raw, store, "--center", "gt-mean"]),
        ("Check the store down to every byte.", ["validate", store]),
    ]


def _hands17(out: Path, size: Size) -> list[Step]:
    """Straight to a store, and a score for hands that were seen in training and hands that were not."""
    store, run = str(out / "hands17.zarr"), str(out / "run-hands17")
    predictions, scores = str(out / "predictions" / "SRN-hands17.txt"), str(out / "scores-hands17")
    frames = ["--frames", str(size.other_frames), "--test-frames", "50", "--key-frames", "2"]
    return [
        (
            "HANDS17, straight into a store: its test split shows five hands of the training split and five others.",
            ["synth", "hands17", store, "--direct", *frames],
        ),
        ("Train on it, for an even shorter time.", ["train", store, "--out", run, *size.short_training]),
        ("Predict its test split.", ["predict", run, store, "-o", predictions]),
        (
            "Score it, each hand by itself: what HANDS17 itself tells nobody, these synthetic hands do.",
            ["eval", predictions, "--truth", store, "-o", scores],
        ),
    ]


@click.command()
@click.argument("out", type=click.Path(path_type=Path), default=Path("handbench-demo"))
@click.option("--quick", is_flag=True, help="Less of everything: under a minute on two cores.")
@overwrite_option
def demo(out: Path, quick: bool, overwrite: bool) -> None:
    """Run the whole way once on synthetic hands: raw files, store, training, prediction, scores, figures.

    Everything goes into the folder OUT: the whole way as for NYU, then a little of each other data set. It takes some
    three minutes on two cores, no GPU and no download.
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
        (out / "raw-icvl", "synthetic hands, laid out like raw ICVL"),
        (out / "icvl.zarr", "their store"),
        (out / "raw-msra", "synthetic hands, laid out like raw MSRA"),
        (out / "msra.zarr", "their store, checked"),
        (out / "hands17.zarr", "a store of synthetic hands as of HANDS17, with the labels of its test split"),
        (out / "scores-hands17", "mean errors of each seen and each unseen hand"),
    ]
