"""`handbench windows`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from handbench.console import overwrite_option
from handbench.converters.command import report

if TYPE_CHECKING:
    from handbench.preprocess import AugmentConfig


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--margin",
    default="paper-nyu",
    show_default=True,
    help="Whose augmentation the windows have room for: a training preset, a TOML file as run/config.toml, or none.",
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One range, as augment.scale=[0.8,1.2].")
@click.option("--side", type=int, help="Side of the windows, px. Default: the smallest that covers every hand.")
@click.option("--limit", type=int, help="At most so many frames of each split.")
@click.option("--scheduler", default="threads", show_default=True, help="threads, processes, or tcp://host:8786.")
@click.option("--workers", type=int, default=0, help="Threads or processes; 0 means one a core.", show_default=True)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run.")
@overwrite_option
def windows(store: Path, out: Path, margin: str, sets: tuple[str, ...], **options: Any) -> None:
    """Cut a window around the hand out of every frame of the store STORE, into the store OUT.

    A crop from a window is the crop from the frame, bit for bit, whatever the augmentation within the margin.
    """
    from handbench.converters.windows import WindowsConfig, make_windows

    config = WindowsConfig(augment=margin_ranges(margin, sets), **options)
    report(lambda: make_windows(store, out, config))


def margin_ranges(margin: str, sets: tuple[str, ...]) -> AugmentConfig | None:
    """The augmentation that `--margin` and `--set` name.

    Raises:
        HandbenchError: if there is no such preset or file, or ranges are set over none.
    """
    from handbench.errors import HandbenchError
    from handbench.srn.config import load_config, preset_names

    if margin == "none":
        if sets:
            raise HandbenchError("--margin none has no ranges to set; name a preset or a TOML file")
        return None
    if margin in preset_names():
        return load_config(preset=margin, sets=sets).augment
    if not Path(margin).is_file():
        raise HandbenchError(f"--margin {margin!r} is neither a file nor one of none, {', '.join(preset_names())}")
    return load_config(file=Path(margin), sets=sets).augment
