"""The commands `handbench train` and `handbench predict`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import rich_click as click

from handbench.console import claim_output, note, overwrite_option
from handbench.errors import HandbenchError

_device_option = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="auto: GPU if any."
)


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--out", "out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--preset", help="paper-nyu (default), quick, table1.baseline, ...")
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file instead of a preset.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One value, as optim.lr=0.1; may be repeated.")
@click.option("--resume", is_flag=True, help="Go on with the run in --out.")
@overwrite_option
@_device_option
def train(
    store: Path,
    out: Path,
    preset: str | None,
    config: Path | None,
    sets: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    device: str,
) -> None:
    """Train SRN on a split of STORE, "train" if data.split is not set."""
    require_train_extra()
    from handbench.srn.predict import choose_device
    from handbench.srn.run import RunFolder, resolve_config
    from handbench.srn.train import summary
    from handbench.srn.train import train as train_run

    run = RunFolder(out)
    resolved = resolve_config(run, preset, config, sets, resume, overwrite)
    try:
        log = train_run(store, run, resolved, choose_device(device), resume, overwrite)
    except KeyboardInterrupt:
        note(f"stopped; `handbench train {store} --out {out} --resume` goes on after the last whole epoch")
        raise SystemExit(130) from None
    click.echo(f"{out}: {summary(log)}")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("store", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Predictions, .txt or .npz.")
@click.option("--split", default="test", show_default=True, help="Split of the store.")
@click.option(
    "--checkpoint", type=click.Choice(["last", "best"]), default="last", show_default=True, help="Which of the run's."
)
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that read frames.")
@overwrite_option
@_device_option
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
