"""The command `handbench ablation`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from handbench.console import echo_json, note, whole_or_nothing, without_nan
from handbench.errors import HandbenchError

if TYPE_CHECKING:
    from handbench.eval.ablation import Report

_FORMATS = ("markdown", "latex", "json")


@click.command()
@click.argument("name", metavar="table1|table2|figure2")
@click.option("--data", "store", required=True, type=click.Path(path_type=Path), help="Store to train and test on.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the runs and of the table.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One value for all rows; may be repeated.")
@click.option("--rows", help="Some rows, separated by commas. Default: all.")
@click.option("--localizer", type=click.Path(path_type=Path), help="A run of train-localizer. Default: train one.")
@click.option("--localizer-set", "localizer_sets", multiple=True, metavar="KEY=VALUE", help="One value of that run.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--print-only", is_flag=True, help="Run nothing: the table of what is there.")
@click.option("--format", "kind", type=click.Choice(_FORMATS), default="markdown", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def ablation(
    name: str,
    store: Path,
    out: Path,
    sets: tuple[str, ...],
    rows: str | None,
    localizer: Path | None,
    localizer_sets: tuple[str, ...],
    device: str,
    print_only: bool,
    kind: str,
    as_json: bool,
) -> None:
    """Train every row of a table of the SRN paper, score it and print the table.

    Runs that are done are left alone and interrupted ones gone on with: call it again to see the table at once.
    The table is written to --out as .md, .tex and .json.
    """
    from handbench.console import claim_output
    from handbench.eval.ablation import AblationConfig
    from handbench.eval.ablation_run import run_ablation
    from handbench.eval.compare import CompareConfig
    from handbench.srn.command import require_train_extra
    from handbench.srn.stopping import Stopped

    claim_output(out, overwrite=True)
    if out.exists() and not out.is_dir():
        raise HandbenchError(f"{out} is a file; --out names a folder")
    chosen = tuple(row.strip() for row in (rows or "").split(",") if row.strip())
    config = AblationConfig(name, store, out, sets, chosen, localizer, localizer_sets, device)
    if not print_only:
        require_train_extra()
    try:
        report = run_ablation(config, CompareConfig(), train=not print_only)
    except (KeyboardInterrupt, Stopped):
        note("stopped; the same command goes on from here")
        raise SystemExit(130) from None
    _show(report, out, "json" if as_json else kind, write=not print_only)
    if report.failed:
        raise SystemExit(1)


def _show(report: Report, out: Path, kind: str, write: bool) -> None:
    """Print the table in one form, and write it in all."""
    from handbench.eval.ablation_table import to_latex, to_markdown

    facts = without_nan(report.to_dict())
    texts = {".md": to_markdown(report), ".tex": to_latex(report), ".json": json.dumps(facts, indent=1) + "\n"}
    for suffix, text in texts.items() if write else ():
        with whole_or_nothing(out / f"{report.experiment}{suffix}") as partial:
            partial.write_text(text, encoding="utf-8")
    if kind == "json":
        echo_json(facts)
    else:
        click.echo(texts[".md" if kind == "markdown" else ".tex"], nl=False)
