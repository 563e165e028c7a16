"""The commands `handbench train` and `handbench predict`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import rich_click as click

from handbench.console import F, claim_output, note, overwrite_option
from handbench.errors import HandbenchError

device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="auto: GPU if any."
)


_RUN_OPTIONS = (
    click.argument("store", type=click.Path(path_type=Path)),
    click.option("--out", "out", required=True, type=click.Path(path_type=Path), help="Folder of the run."),
    click.option("--preset", help="paper-nyu, quick, table1.baseline, ... (docs/training.md)."),
    click.option("--config", type=click.Path(path_type=Path), help="A TOML file instead of a preset."),
    click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One value, as optim.lr=0.1; repeatable."),
    click.option(
        "--resume",
        is_flag=False,
        flag_value="required",
        type=click.Choice(["required", "auto"]),
        metavar="[auto]",
        help="Go on with the run in --out; auto: or start it, if there is none.",
    ),
    overwrite_option,
    device_option,
)


_BATCH_OPTIONS = (
    click.option(
        "--checkpoint",
        type=click.Choice(["last", "best"]),
        default="last",
        show_default=True,
        help="Which of the run's.",
    ),
    click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Frames at once."),
    click.option(
        "--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that read frames."
    ),
)


def run_options(command: F) -> F:
    """The argument and options of a command that trains: those of `start_training`."""
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command


def batch_options(command: F) -> F:
    """The options of a command that runs a trained network over frames."""
    for option in reversed(_BATCH_OPTIONS):
        command = option(command)
    return command


@click.command()
@run_options
def train(**options: Any) -> None:
    """Train SRN on a split of STORE, "train" if data.split is not set.

    Ctrl-C stops after the step in hand; --resume goes on there. With several GPUs: torchrun --nproc-per-node 4 -m
    handbench train ...
    """
    start_training(**options)


def start_training(
    store: Path,
    out: Path,
    preset: str | None,
    config: Path | None,
    sets: tuple[str, ...],
    resume: str | None,
    overwrite: bool,
    device: str,
    default: str = "paper-nyu",
    predicts: str | None = None,
) -> None:
    """Train as the options of `run_options` say, and print one line.

    Args:
        store: path of the store.
        out: folder of the run.
        preset: name of a preset.
        config: a TOML file instead.
        sets: single values over it.
        resume: one of `run.RESUME`, or None.
        overwrite: replace the run that is there.
        device: "auto", "cpu" or "cuda".
        default: the preset where none is named.
        predicts: what `model.predicts` must be; None = anything.

    Raises:
        HandbenchError: as `resolve_config` and `train.train`, or if the network predicts something else.
        SystemExit: with 130, when it was stopped by a signal.
    """
    require_train_extra()
    from handbench.srn.distributed import processes
    from handbench.srn.predict import choose_device
    from handbench.srn.run import RunFolder, resolve_config
    from handbench.srn.train import summary
    from handbench.srn.train import train as train_run

    run, chosen = RunFolder(out), choose_device(device)
    with processes(chosen.type == "cuda") as together:
        resolved, go_on = resolve_config(run, preset, config, sets, resume, overwrite, default)
        if predicts not in (None, resolved.model.predicts):
            raise HandbenchError(
                f"model.predicts is {resolved.model.predicts!r}, here it must be {predicts!r}, as in preset {default}"
            )
        try:
            log = train_run(store, run, resolved, chosen, go_on, overwrite, together)
        except KeyboardInterrupt as stopped:
            where = str(stopped) or "after the last whole epoch"
            if together.is_first:
                note(f"stopped; the same command with --resume goes on {where}")
            raise SystemExit(130) from None
    if together.is_first:
        click.echo(f"{out}: {summary(log)}")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("store", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Predictions, .txt or .npz.")
@click.option("--split", default="test", show_default=True, help="Split of the store.")
@batch_options
@overwrite_option
@device_option
def predict(
    run: Path,
    store: Path,
    out: Path,
    split: str,
    checkpoint: str,
    batch_size: int,
    workers: int,
    overwrite: bool,
    device: str,
) -> None:
    """Predict every frame of STORE with the model of RUN.

    RUN is a folder of `handbench train`, or a checkpoint file.
    """
    require_train_extra()
    from handbench.predictions import SUFFIXES, write_predictions
    from handbench.srn.predict import choose_device, find_checkpoint
    from handbench.srn.predict import predict as predict_split

    if out.suffix not in SUFFIXES:
        raise HandbenchError(f"predictions are written as {' or '.join(SUFFIXES)}, not as {out.name}")
    claim_output(out, overwrite)
    found = find_checkpoint(run, checkpoint)
    predictions = predict_split(found, store, split, choose_device(device), batch_size, workers)
    write_predictions(out, predictions)
    click.echo(f"{out}: {len(predictions)} frames, {predictions.uvd.shape[1]} joints, by {found}")


def require_train_extra() -> None:
    """Refuse to go on without PyTorch and what belongs to it.

    Raises:
        HandbenchError: naming what is missing and how to install it.
    """
    missing = [name for name in ("torch", "torchvision", "safetensors", "tensorboard") if find_spec(name) is None]
    if missing:
        raise HandbenchError(f'{", ".join(missing)} not installed; pip install "handbench[train]"')
