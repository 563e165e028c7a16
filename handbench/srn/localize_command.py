"""The commands `handbench train-localizer` and `handbench localize`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click
from click.exceptions import Exit

from handbench.console import echo_json, json_option, note
from handbench.srn.command import batch_options, device_option, require_train_extra, run_options, start_training


@click.command("train-localizer")
@run_options
def train_localizer(**options: Any) -> None:
    """Train a network that finds the centre of the hand in crops about the centres of STORE.

    Its target is the mean of the true joints. The preset is "localizer" where none is named. It is trained, stopped and
    resumed as `handbench train` does it.
    """
    start_training(**options, default="localizer", predicts="center")


@click.command()
@click.argument("localizer", type=click.Path(path_type=Path))
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--split", "splits", multiple=True, help="Only this split; may be repeated. Default: all.")
@click.option(
    "--iterations", type=click.IntRange(min=1), default=1, show_default=True, help="Each about the centre found before."
)
@click.option("--model", "name", help="Recorded as predicted:MODEL. Default: the name of the folder LOCALIZER.")
@batch_options
@json_option
@device_option
def localize(
    localizer: Path,
    store: Path,
    splits: tuple[str, ...],
    iterations: int,
    name: str | None,
    checkpoint: str,
    batch_size: int,
    workers: int,
    as_json: bool,
    device: str,
) -> None:
    """Replace the centres of STORE by those that LOCALIZER finds from them.

    LOCALIZER is a folder of `handbench train-localizer`, or a checkpoint file. Says how far the centres are from the
    mean of the true joints, before and after, where there are labels.
    """
    require_train_extra()
    from handbench.srn.localize import localize as localize_store
    from handbench.srn.localizer import Localizer
    from handbench.srn.predict import choose_device, find_checkpoint

    loaded = Localizer.load(find_checkpoint(localizer, checkpoint), choose_device(device), name)
    try:
        told = localize_store(loaded, store, splits, iterations, batch_size, workers)
    except KeyboardInterrupt:
        from handbench.store import Store

        Store(store)  # says so itself if the interruption hit the writing
        note(f"stopped; {store} has the centres it had")
        raise Exit(130) from None
    if as_json:
        echo_json({"store": str(store), "splits": {split.split: split.to_dict() for split in told}})
        return
    for split in told:
        click.echo(f"{store} {split.one_line()}")
