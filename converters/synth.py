"""The command `handbench synth`: synthetic hands as the raw tree of a data set, or straight as a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from handbench.console import claim_output, note, overwrite_option
from handbench.errors import HandbenchError
from handbench.synth.config import BACKGROUNDS, NAMES, SynthConfig


@click.command()
@click.argument("dataset", type=click.Choice(NAMES))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--frames", required=True, type=int, help="Frames of the training split; of MSRA all.")
@click.option("--test-frames", type=int, help="Frames of the test split; a tenth of --frames if not given, at least 2.")
@click.option("--subjects", type=int, default=0, help="Hands to train with. Default: as many as the data set has.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed, the same frames.")
@click.option(
    "--key-frames",
    type=int,
    default=20,
    show_default=True,
    help="Frames from one random pose to the next; 1 makes every frame a pose of its own.",
)
@click.option("--gesture", default="", help="Hold this gesture all the time. Default: all in turn.")
@click.option(
    "--background",
    type=click.Choice(BACKGROUNDS),
    help="What stands behind the hand. Default: as the data set shows it.",
)
@click.option("--distance", type=float, nargs=2, help="Nearest and farthest middle of the palm, mm.")
@click.option(
    "--label-noise",
    type=float,
    default=0.0,
    show_default=True,
    help="Standard deviation of an error on each coordinate of each label, mm; 1.1 imitates ICVL's.",
)
@click.option("--direct", is_flag=True, help="OUT is a store: no raw tree, no second pass.")
@click.option("--scheduler", default="threads", show_default=True, help="threads, processes, or tcp://host:8786.")
@click.option("--workers", type=int, default=0, show_default=True, help="Threads or processes; 0 means one a core.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted --direct.")
@overwrite_option
def synth(dataset: str, out: Path, direct: bool, resume: bool, overwrite: bool, **options: Any) -> None:
    """Write synthetic hands into OUT, laid out like the raw tree of DATASET, or as a store with --direct.

    The frames are rendered from a parametric hand and seen by a model of the data set's sensor: for trying handbench
    out, for tests and for pre-training. They are no data of DATASET, and results on them compare with no published
    number.
    """
    from handbench.converters.schedule import check_scheduler

    scheduler, workers = options.pop("scheduler"), options.pop("workers")
    check_scheduler(scheduler)
    if resume and not direct:
        raise HandbenchError("--resume goes on with a store; a raw tree appears when it is whole, or not at all")
    if options["test_frames"] == 0:
        raise HandbenchError("--test-frames 0 cannot be; it must be 1 or more")
    config = SynthConfig(
        name=dataset,
        test_frames=options.pop("test_frames") or 0,
        background=options.pop("background") or "",
        distance_mm=options.pop("distance"),
        label_noise_mm=options.pop("label_noise"),
        **options,
    )
    claim_output(out, overwrite or resume)
    if direct:
        _write_store(config, out, scheduler=scheduler, workers=workers, resume=resume, overwrite=overwrite)
    else:
        from handbench.converters.synthetic import write_tree

        counts = write_tree(config, out, scheduler, workers)
        frames = " + ".join(f"{count:,}" for count in counts.values())
        click.echo(f"{out}: {frames} synthetic frames, rendered from a parametric hand: not {dataset.upper()} data")


def _write_store(config: SynthConfig, out: Path, **how: Any) -> None:
    """The frames as a store; the centres are the means of the true joints, as a person stands behind the hand."""
    from handbench.converters.command import run_conversion
    from handbench.converters.synthetic import SyntheticReader

    note("full frames; centres are the means of the joints")
    run_conversion(
        SyntheticReader(config),
        out,
        {**dict(splits=(), subjects=(), limit=None, center="gt-mean", near=None, far=None, codec="auto"), **how},
    )
