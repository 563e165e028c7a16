"""The command `handbench synth`: synthetic hands as the raw tree of a data set, or straight as a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from handbench.console import claim_output, note, overwrite_option
from handbench.errors import HandbenchError
from handbench.synth.config import BACKGROUNDS, NAMES, SynthConfig

_CENTERS = "centres are the means of the joints"
_MARGIN = "paper-nyu"


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
@click.option("--windows", is_flag=True, help="With --direct: keep of each frame the window around the hand alone.")
@click.option(
    "--margin",
    help=f"Whose augmentation the windows have room for, as for handbench windows. Default: {_MARGIN}.",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One range, as augment.scale=[0.8,1.2].")
@click.option("--side", type=int, help="Side of the windows, px. Default: the smallest that covers every hand.")
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

    how = {name: options.pop(name) for name in ("scheduler", "workers")}
    check_scheduler(how["scheduler"])
    cut = {name: options.pop(name) for name in ("windows", "margin", "sets", "side")}
    _check_cut(direct, **cut)
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
    how |= {"resume": resume, "overwrite": overwrite}
    if cut.pop("windows"):
        _write_windows(config, out, how, **cut)
    elif direct:
        _write_store(config, out, how)
    else:
        from handbench.converters.synthetic import write_tree

        counts = write_tree(config, out, how["scheduler"], how["workers"])
        frames = " + ".join(f"{count:,}" for count in counts.values())
        click.echo(f"{out}: {frames} synthetic frames, rendered from a parametric hand: not {dataset.upper()} data")


def _check_cut(direct: bool, windows: bool, margin: str | None, sets: tuple[str, ...], side: int | None) -> None:
    """Refuse options of windows where none are made.

    Raises:
        HandbenchError: naming what is missing.
    """
    if windows and not direct:
        raise HandbenchError("--windows makes a store, and a raw tree has whole frames; add --direct, or leave it out")
    given = {"--margin": margin is not None, "--set": bool(sets), "--side": side is not None}
    if not windows and any(given.values()):
        names = ", ".join(name for name, told in given.items() if told)
        raise HandbenchError(f"{names} would do nothing: it is about windows; add --direct --windows")


def _write_windows(
    config: SynthConfig, out: Path, how: dict[str, Any], margin: str | None, sets: tuple[str, ...], side: int | None
) -> None:
    """Their windows as a store, cut as they are rendered."""
    from handbench.converters.command import report
    from handbench.converters.synth_windows import synthetic_windows
    from handbench.converters.windows import WindowsConfig
    from handbench.converters.windows_command import margin_ranges

    windows = WindowsConfig(augment=margin_ranges(margin or _MARGIN, sets), side=side, **how)
    note(_CENTERS)
    report(lambda: synthetic_windows(config, out, windows))


def _write_store(config: SynthConfig, out: Path, how: dict[str, Any]) -> None:
    """The frames as a store; the centres are the means of the true joints, as a person stands behind the hand."""
    from handbench.converters.command import run_conversion
    from handbench.converters.synthetic import SyntheticReader

    note(f"full frames; {_CENTERS}")
    run_conversion(
        SyntheticReader(config),
        out,
        {**dict(splits=(), subjects=(), limit=None, center="gt-mean", near=None, far=None, codec="auto"), **how},
    )
