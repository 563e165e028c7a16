"""Carries out an ablation: every run once, whatever is there already left alone.

OUT/<run>/             a folder of `handbench train`, and besides
    predictions-last.npz, predictions-best.npz
    last.scores.json, last.frames.npz, best.scores.json, best.frames.npz
    outcome.json       written last: the run is done and scored
OUT/localizer/         the localiser, where rows need one and none was named
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from handbench.console import note, whole_or_nothing
from handbench.errors import HandbenchError
from handbench.eval.ablation import CHOICES, AblationConfig, Outcome, PlannedRow, Report, plan, results_of
from handbench.eval.compare import CompareConfig
from handbench.eval.runs import (
    is_trained,
    localizer_config,
    require_same_run,
    settings_of,
    train_to_the_end,
)
from handbench.eval.saved import read_scored
from handbench.eval.score import Scored, score_frames
from handbench.eval.truth import Truth, read_truth
from handbench.frame_errors import frames_file, write_frame_errors
from handbench.scores import SUFFIX, write_scores
from handbench.srn.config import TrainConfig
from handbench.srn.presets import experiment
from handbench.store import Store
from handbench.store.fingerprint import fingerprint

_SPLIT = "test"
_BATCH = 64  # frames predicted at once


def run_ablation(config: AblationConfig, compare: CompareConfig, train: bool = True) -> Report:
    """Train, predict and score what is not there yet, and put the table together.

    A run that fails has its reason in its row, and the others go on.

    Args:
        config: what is to be run.
        compare: how to resample differences.
        train: False = nothing is run; rows that are not there say so.

    Raises:
        HandbenchError: if the rows cannot be planned, the store cannot serve them, or the folder holds runs of another
            configuration or another store.
    """
    rows, _ = plan(config), Store(config.store)  # a wrong path is told as such before anything else
    truth, mark = read_truth(config.store, split=_SPLIT), fingerprint(config.store)
    runs = {row.run: row.config for row in rows}
    for name, run in runs.items():
        require_same_run(config.out / name, run)
        _require_same_store(config.out / name, mark)
    if train:
        _require_trainable(config.store, [run for name, run in runs.items() if _saved(config.out / name) is None])
        config.out.mkdir(exist_ok=True)
    outcomes = {name: _outcome_or_reason(config, name, run, truth, mark, train) for name, run in runs.items()}
    whole = experiment(config.experiment)
    results = results_of(whole.name, rows, outcomes, compare)
    return Report(whole.name, whole.title, results, _facts(config, rows, truth, mark), compare)


def _require_trainable(store: Path, configs: Sequence[TrainConfig]) -> None:
    """Find out what every run would stumble over before the first begins."""
    if not configs:
        return
    from handbench.srn.data import choose_rows

    opened = Store(store)
    for data in {config.data: config for config in configs}.values():
        choose_rows(opened, data)


def _require_same_store(folder: Path, mark: str) -> None:
    saved = _saved(folder)
    if saved is not None and saved["store_sha256"] != mark:
        raise HandbenchError(
            f"{folder} was made from another store, or its centres have been replaced since; name another --out"
        )


def _outcome_or_reason(
    config: AblationConfig, name: str, run: TrainConfig, truth: Truth, mark: str, train: bool
) -> Outcome | str:
    folder = config.out / name
    if (saved := _saved(folder)) is not None:
        return _read_outcome(folder, saved)
    if not train:
        return "not run yet" if not is_trained(folder, run) else "trained, not scored yet"
    try:
        if run.data.localization != "off":
            _require_localizer(config, run)
        train_to_the_end(config.store, folder, run, config.device)
        return _score_run(config, folder, run, truth, mark)
    except HandbenchError as error:
        note(f"{folder}: {error}")
        return str(error)


def _require_localizer(config: AblationConfig, run: TrainConfig) -> None:
    """Train the localiser if none was named and none is there."""
    if config.localizer is None:
        train_to_the_end(
            config.store, config.localizer_path, localizer_config(run, config.localizer_sets), config.device
        )


def _score_run(config: AblationConfig, folder: Path, run: TrainConfig, truth: Truth, mark: str) -> Outcome:
    """Predict and score the test split with the last and the best checkpoint, and write down that it is done."""
    from handbench.srn.checkpoint import read_card
    from handbench.srn.cost import cost_of
    from handbench.srn.run import RunFolder

    checkpoints = {choice: RunFolder(folder).checkpoint(choice) for choice in CHOICES}
    cards = {choice: read_card(path) for choice, path in checkpoints.items() if path.is_file()}
    for choice in cards:
        _score_checkpoint(config, folder, checkpoints[choice], choice, truth)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    saved = {
        "settings": settings_of(run),
        "store_sha256": mark,
        "parameters": cost_of(run.model, len(cards["last"].joints)).parameters,
        "seconds": sum(line["seconds"] for line in lines),
        "epochs": {choice: card.epoch for choice, card in cards.items()},
    }
    with whole_or_nothing(_file(folder)) as partial:
        partial.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
    return _read_outcome(folder, saved)


def _score_checkpoint(config: AblationConfig, folder: Path, checkpoint: Path, choice: str, truth: Truth) -> None:
    from handbench.predictions import write_predictions
    from handbench.srn.predict import choose_device, predict

    note(f"predicting {_SPLIT} with {checkpoint}")
    predictions = predict(checkpoint, config.store, _SPLIT, choose_device(config.device), _BATCH, 0)
    write_predictions(folder / f"predictions-{choice}.npz", predictions)
    scored = score_frames(predictions, truth)
    named = Scored(replace(scored.scores, name=folder.name), scored.frames)
    file = folder / f"{choice}{SUFFIX}"
    write_frame_errors(frames_file(file), named.frames)
    write_scores(file, named.scores)


def _file(folder: Path) -> Path:
    return folder / "outcome.json"


def _saved(folder: Path) -> dict[str, Any] | None:
    """What `_score_run` wrote last, or None."""
    file = _file(folder)
    if not file.is_file():
        return None
    try:
        saved: dict[str, Any] = json.loads(file.read_bytes())
        return saved if saved["store_sha256"] and saved["epochs"]["last"] else None
    except (ValueError, KeyError, TypeError) as error:
        raise HandbenchError(f"{file} is damaged; remove it, and the run is scored again") from error


def _read_outcome(folder: Path, saved: Mapping[str, Any]) -> Outcome:
    scored = {choice: read_scored(folder / f"{choice}{SUFFIX}")[0] for choice in saved["epochs"]}
    return Outcome(saved["parameters"], saved["seconds"], saved["epochs"], scored)


def _facts(config: AblationConfig, rows: Sequence[PlannedRow], truth: Truth, mark: str) -> dict[str, Any]:
    """What the numbers rest on."""
    store = Store(config.store)
    first = rows[0].config
    localised = any(row.config.data.localization != "off" for row in rows)
    return {
        "store": config.store.name,
        "store_sha256": mark,
        "dataset": store.spec.name,
        "synthetic": bool(store.provenance.get("synthetic")) or store.release == "synthetic",
        "train_split": first.data.split,
        "train_frames": len(store[first.data.split]),
        "test_frames": int(truth.counts.sum()),
        "test_joints": len(truth.spec.joints.scored),
        "center_method": store[_SPLIT].center_method,
        "localizer": config.localizer_path.name if localised else None,
        "localizer_set": list(config.localizer_sets),
        "set": list(config.sets),
        "seed": first.seed,
        "epochs": first.optim.epochs,
        "batch_size": first.optim.batch_size,
        "crop_size": first.model.crop_size,
    }
