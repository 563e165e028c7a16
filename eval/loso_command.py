"""The command `handbench loso`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from handbench.console import claim_output, echo_json, json_option, note, whole_or_nothing, without_nan
from handbench.errors import HandbenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handbench.eval.loso import Fold, LosoReport
    from handbench.srn.config import TrainConfig

_PER_FOLD = ("data.split", "data.exclude_subjects", "data.localization", "data.localizer")
"""Keys that are the command's own."""


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of all folds.")
@click.option("--split", default="all", show_default=True, help="Split of the store.")
@click.option("--preset", help="paper-msra (default) or another.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="A TOML file instead of a preset.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One value, as optim.lr=0.1; may be repeated.")
@click.option("--localize", is_flag=True, help="Train a localiser in every fold, and use its centres.")
@click.option("--localizer-set", "localizer_sets", multiple=True, metavar="KEY=VALUE", help="One value of those.")
@click.option("--fold", type=click.IntRange(min=0), help="Run this one alone, from 0.")
@click.option("--scheduler", default="sequential", show_default=True, help="Or processes, or tcp://host:8786 of Dask.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Processes.")
@click.option("--job-array", type=click.Choice(["slurm"]), help="Run nothing: print a job script.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@json_option
def loso(
    store: Path,
    out: Path,
    split: str,
    preset: str | None,
    file: Path | None,
    sets: tuple[str, ...],
    localize: bool,
    localizer_sets: tuple[str, ...],
    fold: int | None,
    scheduler: str,
    workers: int,
    job_array: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Leave one subject out: train a model for each subject of STORE on all the others, and test it on that one.

    Folds that are done are left alone and interrupted ones gone on with. When all are done their predictions are merged
    and scored over all frames.
    """
    from handbench.eval.loso import plan_folds
    from handbench.eval.loso_run import check_scheduler, run_folds, slurm_script
    from handbench.srn.command import require_train_extra
    from handbench.srn.stopping import Stopped

    check_scheduler(scheduler)
    if localizer_sets and not localize:
        raise HandbenchError("--localizer-set goes with --localize")
    config = _config(preset, file, sets, split)
    folds = plan_folds(store.resolve(), out.resolve(), config, localize, localizer_sets, device)
    chosen = _chosen(folds, fold)
    if job_array:
        options = _options(store, out, split, preset, file, sets, localize, localizer_sets, device)
        click.echo(slurm_script(folds, options), nl=False)
        return
    require_train_extra()
    claim_output(out, overwrite=True)
    out.mkdir(exist_ok=True)
    try:
        failed = run_folds(chosen, scheduler, workers)
    except (KeyboardInterrupt, Stopped):
        note("stopped; the same command goes on from here")
        raise SystemExit(130) from None
    _report(folds, out, failed, alone=fold is not None, as_json=as_json)


def _config(preset: str | None, file: Path | None, sets: Sequence[str], split: str) -> TrainConfig:
    from dataclasses import replace

    from handbench.srn.config import load_config

    for text in sets:
        if (key := text.partition("=")[0].strip()) in _PER_FOLD:
            raise HandbenchError(f"--set {key} is what loso itself sets in every fold; see --split and --localize")
    config = load_config(preset if preset or file else "paper-msra", file, sets)
    return replace(config, data=replace(config.data, split=split))


def _chosen(folds: Sequence[Fold], number: int | None) -> Sequence[Fold]:
    if number is None:
        return folds
    if number >= len(folds):
        raise HandbenchError(f"--fold {number}: there are {len(folds)}, 0 to {len(folds) - 1}")
    return folds[number : number + 1]


def _options(
    store: Path,
    out: Path,
    split: str,
    preset: str | None,
    file: Path | None,
    sets: Sequence[str],
    localize: bool,
    localizer_sets: Sequence[str],
    device: str,
) -> list[str]:
    """The command line again, with whole paths."""
    options = [str(store.resolve()), "--out", str(out.resolve()), "--split", split, "--device", device]
    options += ["--preset", preset] if preset else []
    options += ["--config", str(file.resolve())] if file else []
    options += [part for text in sets for part in ("--set", text)]
    options += ["--localize"] if localize else []
    return options + [part for text in localizer_sets for part in ("--localizer-set", text)]


def _report(folds: Sequence[Fold], out: Path, failed: dict[str, str], alone: bool, as_json: bool) -> None:
    """The table if all folds are done; else what is missing."""
    from handbench.eval.loso import merge
    from handbench.eval.loso_table import print_loso

    for subject, reason in failed.items():
        note(f"the fold of {subject} failed: {reason}")
    missing = [fold.subject for fold in folds if not fold.is_done]
    if alone or missing:
        done = {"done": [fold.subject for fold in folds if fold.is_done], "missing": missing, "failed": failed}
        if as_json:
            echo_json(done)
        else:
            click.echo(f"{len(done['done'])} of {len(folds)} folds are done" + _listed(missing))
    else:
        report = merge(folds, out)
        _write(report, out)
        if as_json:
            echo_json(report.to_dict())
        else:
            print_loso(report)
            note(f"wrote {out / 'predictions.npz'}, {out / 'predictions.txt'} and {out / 'loso.json'}")
    if failed:
        raise SystemExit(1)


def _listed(missing: Sequence[str]) -> str:
    return f"; not done: {', '.join(missing)}" if missing else ""


def _write(report: LosoReport, out: Path) -> None:
    with whole_or_nothing(out / "loso.json") as partial:
        partial.write_text(json.dumps(without_nan(report.to_dict()), indent=1) + "\n", encoding="utf-8")
