"""A table or figure of the paper as runs of ours: which they are, what came out, and how rows compare."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from handbench._version import __version__
from handbench.errors import HandbenchError
from handbench.eval.compare import CompareConfig, compare
from handbench.eval.published import Published, published
from handbench.eval.score import Scored
from handbench.srn.config import TrainConfig, load_config
from handbench.srn.presets import Experiment, ExperimentRow, experiment

CHOICES = ("last", "best")
"""Which epoch of a run: the last, and the one with the smallest error on held-out training frames."""

SUCCESS_MM = 20
"""Max-frame success is printed at this threshold."""


@dataclass(frozen=True)
class AblationConfig:
    """What is to be run.

    Attributes:
        experiment: one of `handbench.srn.presets.experiment_names`.
        store: with splits to train and to test on.
        out: folder of all runs and of the table.
        sets: "table.key=value" each, for all rows.
        rows: names of some rows; empty = all.
        localizer: a run of `train-localizer` or a checkpoint; None = train one in `out`.
        localizer_sets: "table.key=value" each, for that training.
        device: "auto", "cpu" or "cuda".
    """

    experiment: str
    store: Path
    out: Path
    sets: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    localizer: Path | None = None
    localizer_sets: tuple[str, ...] = ()
    device: str = "auto"

    @property
    def localizer_path(self) -> Path:
        """Where the localiser is or will be."""
        return (self.localizer or self.out / "localizer").resolve()


@dataclass(frozen=True)
class PlannedRow:
    """A row and the run behind it.

    Attributes:
        row: of the experiment.
        config: of the run.
        run: name of its folder: the first row of the experiment that has the same configuration.
    """

    row: ExperimentRow
    config: TrainConfig
    run: str


@dataclass(frozen=True)
class Outcome:
    """What came out of a run.

    Attributes:
        parameters: of the network.
        seconds: of all epochs.
        epochs: choice of `CHOICES` -> number of the epoch; without held-out frames there is no "best".
        scored: the same choices -> the test split, scored.
    """

    parameters: int
    seconds: float
    epochs: Mapping[str, int]
    scored: Mapping[str, Scored]


@dataclass(frozen=True)
class Result:
    """A row of the table. Errors in mm, on the test split.

    Attributes:
        name, title: of the row.
        settings: what sets it apart.
        run: folder of the run in the folder of the experiment.
        parameters: of the network; None if it failed.
        last_epoch, last_mm: the last epoch and its mean error.
        best_epoch, best_mm: the epoch with the smallest validation error, and its mean error on the test split.
        success_20mm_percent: share of frames whose worst joint is within 20 mm, last epoch.
        compared_with: the row that it is compared with; "" if none.
        difference_mm: mean error of this row less that of the other, last epochs; negative where this one is better.
        low, high: interval of that difference.
        p: how often chance alone strays as far.
        seconds: of training.
        error: why there are no numbers.
    """

    name: str
    title: str
    settings: Mapping[str, Any]
    run: str
    parameters: int | None = None
    last_epoch: int | None = None
    last_mm: float | None = None
    best_epoch: int | None = None
    best_mm: float | None = None
    success_20mm_percent: float | None = None
    compared_with: str = ""
    difference_mm: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    seconds: float | None = None
    error: str = ""

    @property
    def paper(self) -> Published | None:
        """What the paper has here, if a source that can be named says it."""
        return paper_value(self.name)


@dataclass(frozen=True)
class Report:
    """The whole table, and what it rests on.

    Attributes:
        experiment, title: what it is.
        results: the rows.
        facts: what a reader must know to judge the numbers, as plain data.
        compare: how differences were resampled.
        version: handbench that made it.
    """

    experiment: str
    title: str
    results: tuple[Result, ...]
    facts: Mapping[str, Any]
    compare: CompareConfig = field(default_factory=CompareConfig)
    version: str = __version__

    @property
    def failed(self) -> tuple[Result, ...]:
        """Rows without numbers."""
        return tuple(result for result in self.results if result.error)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        rows = [
            {**asdict(result), "paper": result.paper.to_dict() if result.paper else None} for result in self.results
        ]
        return {
            "experiment": self.experiment,
            "title": self.title,
            "rows": rows,
            **self.facts,
            "resamples": self.compare.resamples,
            "confidence": self.compare.confidence,
            "handbench_version": self.version,
        }


def plan(config: AblationConfig) -> tuple[PlannedRow, ...]:
    """The rows that are asked for, each with its run.

    Raises:
        HandbenchError: if there is no such experiment or row, `sets` change what the rows differ in, or as
            `load_config`.
    """
    whole = experiment(config.experiment)
    for text in config.sets:
        if (key := text.partition("=")[0].strip()) in whole.varied:
            raise HandbenchError(
                f"--set {key} would change what the rows of {whole.name} differ in; leave it out, or train such a run "
                "with handbench train"
            )
    wanted = tuple(dict.fromkeys(whole.row(name).name for name in config.rows))
    runs: dict[TrainConfig, str] = {}
    planned = []
    for row in whole.rows:
        loaded = _with_localizer(load_config(f"{whole.name}.{row.name}", sets=config.sets), config)
        planned.append(PlannedRow(row, loaded, runs.setdefault(loaded, row.name)))
    return tuple(each for each in planned if not wanted or each.row.name in wanted)


def _with_localizer(config: TrainConfig, ablation: AblationConfig) -> TrainConfig:
    if config.data.localization == "off":
        return config
    return replace(config, data=replace(config.data, localizer=str(ablation.localizer_path)))


def results_of(
    name: str, rows: Sequence[PlannedRow], outcomes: Mapping[str, Outcome | str], config: CompareConfig
) -> tuple[Result, ...]:
    """The rows of the table.

    Args:
        name: of the experiment.
        rows: planned.
        outcomes: name of a run -> what came out, or why nothing did.
        config: how to resample differences.
    """
    whole = experiment(name)
    results = []
    for place, planned in enumerate(rows):
        outcome = outcomes[planned.run]
        shown = Result(planned.row.name, planned.row.title, planned.row.settings, planned.run)
        if isinstance(outcome, str):
            results.append(replace(shown, error=outcome))
            continue
        other = _reference(whole, rows, place)
        compared = {} if other is None else _difference(planned, outcome, other, outcomes[other.run], config)
        results.append(replace(shown, **_numbers(outcome), **compared))
    return tuple(results)


def _numbers(outcome: Outcome) -> dict[str, Any]:
    last, best = outcome.scored["last"].scores.whole, outcome.scored.get("best")
    return {
        "parameters": outcome.parameters,
        "last_epoch": outcome.epochs["last"],
        "last_mm": last.mean_error_mm,
        "best_epoch": outcome.epochs.get("best"),
        "best_mm": None if best is None else best.scores.whole.mean_error_mm,
        "success_20mm_percent": last.max_frame_success_percent[SUCCESS_MM],
        "seconds": outcome.seconds,
    }


def _reference(whole: Experiment, rows: Sequence[PlannedRow], place: int) -> PlannedRow | None:
    """The row to compare with: the one above in a ladder, else the reference; None for that one itself."""
    if whole.is_ladder:
        return rows[place - 1] if place else None
    found = (row for row in rows if row.row.name == whole.reference)
    other = next(found, None)
    return None if other is None or other.run == rows[place].run else other


def _difference(
    row: PlannedRow, outcome: Outcome, other: PlannedRow, reference: Outcome | str, config: CompareConfig
) -> dict[str, Any]:
    if isinstance(reference, str):
        return {"compared_with": other.row.name}
    pair = [(row.row.name, outcome), (other.row.name, reference)]
    named = [Scored(replace(each.scored["last"].scores, name=name), each.scored["last"].frames) for name, each in pair]
    (found,) = compare(named, config).differences
    sign = 1 if found.a == row.row.name else -1
    low, high = sorted((sign * found.low, sign * found.high))
    return {
        "compared_with": other.row.name,
        "difference_mm": sign * found.difference_mm,
        "low": low,
        "high": high,
        "p": found.p,
    }


@cache
def _paper() -> Mapping[str, Published]:
    table = tomllib.loads(files("handbench.eval").joinpath("paper.toml").read_text(encoding="utf-8"))
    known = {(entry.protocol, entry.method): entry for entry in published()}
    return {row: known[value["protocol"], value["method"]] for row, value in table["row"].items()}


def paper_value(row: str) -> Published | None:
    """What the paper has for a row (of any experiment: names of rows are different), if a named source says it."""
    return _paper().get(row)
