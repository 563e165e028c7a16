"""The command `handbench synth`: synthetic hands as the raw tree of a data set."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from handbench.console import claim_output, overwrite_option, progress, whole_or_nothing


@click.command()
@click.argument("dataset", type=click.Choice(["nyu"]))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--frames", required=True, type=click.IntRange(min=1), help="Frames of the training split, one subject.")
@click.option(
    "--test-frames",
    type=click.IntRange(min=2),
    help="Frames of the test split, two subjects; a tenth of --frames if not given, at least 2.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same frames."
)
@click.option(
    "--key-frames",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Frames from one random pose to the next; 1 makes every frame a pose of its own.",
)
@overwrite_option
def synth(
    dataset: str, out: Path, frames: int, test_frames: int | None, seed: int, key_frames: int, overwrite: bool
) -> None:
    """Write synthetic hands into OUT, laid out like the raw tree of DATASET.

    The frames are rendered from a parametric hand: for trying handbench out, for tests and for pre-training.
    They are not NYU data, and results on them compare with no published number.
    """
    claim_output(out, overwrite)
    if test_frames is None:
        test_frames = max(frames // 10, 2)
    write_nyu(out, {"train": frames, "test": test_frames}, seed, key_frames)
    click.echo(f"{out}: {frames} + {test_frames} synthetic frames, rendered from a parametric hand: not NYU data")


def write_nyu(out: Path, counts: dict[str, int], seed: int, key_frames: int) -> None:
    """Write a raw NYU tree of synthetic frames; `out` appears when it is whole.

    Args:
        out: a folder, replaced if it exists.
        counts: frames of each split.
        seed: the same seed gives the same pixels and labels.
        key_frames: frames from one random pose to the next.

    Raises:
        HandbenchError: if numba is not installed.
    """
    import numpy as np

    from handbench.converters.nyu import NyuWriter, image_names
    from handbench.synth.nyu import nyu_frames, subject_frames

    with whole_or_nothing(out) as partial, progress("synthetic hands", sum(counts.values()), "frames") as advance:
        writer = NyuWriter(partial)
        for split, count in counts.items():
            (partial / split).mkdir(parents=True)
            images = image_names(np.array([f"{split}/1/{number:07d}" for number in range(1, count + 1)]))
            joints_xyz = []
            for image, (depth, joints) in zip(images.tolist(), nyu_frames(split, count, seed, key_frames), strict=True):
                writer.write_image(image, depth)
                joints_xyz.append(joints)
                advance(1)
            writer.write_labels(split, {1: np.stack(joints_xyz)})
        writer.mark_synthetic({"subjects": {split: subject_frames(split, count) for split, count in counts.items()}})
