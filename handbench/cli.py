"""The command `handbench`: a table of commands, each imported only when it is called.

`handbench --help` imports no command, hence neither torch nor matplotlib nor pandas nor dask.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import rich_click as click

from handbench._version import __version__
from handbench.errors import HandbenchError

# name -> (where the click command is, one line of help). In the order of the work.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("handbench.demo:demo", "Run the whole way once on synthetic hands."),
    "datasets": ("handbench.datasets.command:datasets", "What is known of each data set, and where to ask for it."),
    "synth": ("handbench.converters.synth:synth", "Write synthetic hands as a raw tree of a data set."),
    "convert": ("handbench.converters.command:convert", "Turn a raw data set into a store."),
    "inspect": ("handbench.converters.inspect_command:inspect", "Say what a raw folder is and what it lacks."),
    "info": ("handbench.store.command:info", "Say what a store holds."),
    "show": ("handbench.plots.show_command:show", "Draw frames, crops and augmentations of a store."),
    "camera": ("handbench.plots.cloud_command:camera", "Check depth unit and camera of a store."),
    "validate": ("handbench.converters.store_commands:validate", "Check a store, down to every byte."),
    "compare-stores": ("handbench.converters.store_commands:compare_stores", "Say whether two stores hold the same."),
    "export": ("handbench.converters.store_commands:export", "Write a store as raw tree, HDF5 or label text."),
    "centers": ("handbench.converters.centers_command:centers", "Replace the hand centres of a store."),
    "windows": ("handbench.converters.windows_command:windows", "Cut the frames of a store to windows for training."),
    "train-localizer": ("handbench.srn.localize_command:train_localizer", "Train a network that finds the hand."),
    "localize": ("handbench.srn.localize_command:localize", "Replace the centres of a store by those of a network."),
    "train": ("handbench.srn.command:train", "Train SRN on a store."),
    "predict": ("handbench.srn.command:predict", "Predict the joints of every frame of a store."),
    "model": ("handbench.srn.model_command:model", "Say what a network is and costs; import one."),
    "predictions": (
        "handbench.eval.predictions_command:predictions",
        "Convert predictions files; find out why one scores badly.",
    ),
    "eval": ("handbench.eval.command:evaluate", "Score predictions as the literature does."),
    "compare": ("handbench.eval.compare_command:compare", "Say whether one method is better, and how sure that is."),
    "audit": ("handbench.eval.audit_command:audit", "Find labels that are wrong."),
    "results": ("handbench.eval.results_command:results", "Print what papers have published."),
    "ablation": ("handbench.eval.ablation_command:ablation", "Train, score and print a table of the SRN paper."),
    "loso": ("handbench.eval.loso_command:loso", "Leave one subject out: train, predict and score every fold."),
    "plot": ("handbench.plots.command:plot", "Draw the figures of a paper from scores files."),
}


class LazyGroup(click.RichGroup):
    """A group that imports a command when it is called, and not to list it (after click's docs, 'Lazily Loading')."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A stand-in with the line of help, for listings and completion; `resolve_command` loads the real one."""
        return click.Command(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The real command; an unknown name gets click's own message with suggestions."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest

    def main(  # type: ignore[override]  # click's overloads differ by standalone_mode alone
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; a `HandbenchError` becomes one line on stderr and exit code 2.

        One line, whatever the width: a frame around it would break paths and hide them from grep.
        """
        try:
            return super().main(args, prog_name, standalone_mode=standalone_mode, **extra)
        except HandbenchError as error:
            if not standalone_mode:
                raise
            click.echo(f"Error: {error}", err=True)
            sys.exit(2)


def load_command(name: str) -> click.Command:
    """Import the click command of that name."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(import_module(module), attribute)
    if not isinstance(command, click.Command):
        raise TypeError(f"{COMMANDS[name][0]} is not a click command")
    return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="handbench")
def main() -> None:
    """3D hand pose from depth images: convert, crop, train, predict, score, plot.

    Start with `handbench demo`, or with `handbench convert nyu RAW OUT.zarr`.
    """
