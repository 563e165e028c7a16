"""Leave one subject out: a fold for each subject, trained on the others and tested on it; then all frames together.

OUT/<subject>/run/             a folder of `handbench train`
OUT/<subject>/localizer/       the localiser of the fold, if asked for: it has not seen the subject either
OUT/<subject>/predictions.npz  of the subject's frames, written last: the fold is done
OUT/predictions.npz, .txt      of all frames in the order of the store, when all folds are done
OUT/loso.json                  the table
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from handbench._version import __version__
from handbench.console import note
from handbench.errors import HandbenchError
from handbench.eval.runs import localizer_config, require_same_run, train_to_the_end
from handbench.eval.score import score_frames
from handbench.eval.truth import read_truth
from handbench.predictions import Predictions, read_predictions, write_predictions
from handbench.srn.config import TrainConfig
from handbench.store import Store

_BATCH = 64  # frames predicted at once


@dataclass(frozen=True)
class Fold:
    """One subject tested, all others trained on. Called, it does what is left to do; it can be pickled.

    Attributes:
        number: from 0, in the order of the store.
        subject: that is left out and tested.
        store: of all frames.
        folder: of the fold.
        config: of its run.
        localizer: of its localiser; None = the centres of the store.
        device: "auto", "cpu" or "cuda".
    """

    number: int
    subject: str
    store: Path
    folder: Path
    config: TrainConfig
    localizer: TrainConfig | None = None
    device: str = "auto"

    @property
    def run(self) -> Path:
        """Folder of its training."""
        return self.folder / "run"

    @property
    def predictions(self) -> Path:
        """What comes out."""
        return self.folder / "predictions.npz"

    @property
    def is_done(self) -> bool:
        """Whether all of it has come out."""
        return self.predictions.is_file()

    def __call__(self) -> str:
        """Train and predict what is not there yet.

        Returns:
            Why it failed; "" if it did not.
        """
        try:
            self._work()
        except HandbenchError as error:
            note(f"{self.folder}: {error}")
            return str(error)
        return ""

    def _work(self) -> None:
        if self.is_done:
            return
        self.folder.mkdir(exist_ok=True)
        if self.localizer is not None:
            train_to_the_end(self.store, self.folder / "localizer", self.localizer, self.device)
        train_to_the_end(self.store, self.run, self.config, self.device)
        from handbench.srn.predict import choose_device, predict
        from handbench.srn.run import RunFolder

        split = self.config.data.split
        rows = np.flatnonzero(Store(self.store)[split].subject == self.subject)
        checkpoint = RunFolder(self.run).checkpoint("last")
        note(f"predicting {len(rows):,} frames of {self.subject} with {checkpoint}")
        found = predict(checkpoint, self.store, split, choose_device(self.device), _BATCH, 0, only=rows)
        write_predictions(self.predictions, found)


@dataclass(frozen=True)
class FoldResult:
    """What came out of a fold. Errors in mm.

    Attributes:
        fold: its number.
        subject: that was tested.
        frames: of the subject that count.
        mean_error_mm: over all labelled joints of them.
    """

    fold: int
    subject: str
    frames: int
    mean_error_mm: float


@dataclass(frozen=True)
class LosoReport:
    """All folds together.

    Attributes:
        protocol: what was scored.
        folds: one by one.
        frames: of all folds that count.
        labelled_joints: of those frames.
        mean_error_mm: over all labelled joints of all frames, which is what the literature prints.
        mean_of_folds_mm: mean of the folds' means, which it is not.
        store: name of the store.
        center_method: of the crops that were tested.
        version: handbench that made it.
    """

    protocol: str
    folds: tuple[FoldResult, ...]
    frames: int
    labelled_joints: int
    mean_error_mm: float
    mean_of_folds_mm: float
    store: str
    center_method: str | None
    version: str = __version__

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def plan_folds(
    store: Path,
    out: Path,
    config: TrainConfig,
    localize: bool = False,
    localizer_sets: Sequence[str] = (),
    device: str = "auto",
) -> tuple[Fold, ...]:
    """A fold for each subject of the split, in the order of the store.

    Args:
        store: of all frames.
        out: folder of all folds.
        config: of every run; its split is the one that is left out of by turns.
        localize: train a localiser in every fold, and use its centres.
        localizer_sets: "table.key=value" each, for those trainings.
        device: "auto", "cpu" or "cuda".

    Raises:
        HandbenchError: if there is no such split, its frames do not name at least two subjects, or a fold in `out`
            began with another configuration.
    """
    folds = []
    for number, subject in enumerate(_subjects(store, config.data.split)):
        folder = out / subject
        data = replace(config.data, exclude_subjects=(subject,))
        run, localizer = replace(config, data=data), None
        if localize:
            localizer = localizer_config(run, localizer_sets)
            data = replace(data, localization="train+test", localizer=str(folder / "localizer"))
            run = replace(config, data=data)
            require_same_run(folder / "localizer", localizer)
        require_same_run(folder / "run", run)
        folds.append(Fold(number, subject, store, folder, run, localizer, device))
    return tuple(folds)


def _subjects(store: Path, split: str) -> tuple[str, ...]:
    names: list[str] = Store(store)[split].subject.tolist()
    if unnamed := names.count(""):
        raise HandbenchError(
            f"{store}: {unnamed:,} of {len(names):,} frames of split {split} have no subject, so none can be left out"
        )
    subjects = tuple(dict.fromkeys(names))
    if len(subjects) < 2:
        raise HandbenchError(
            f"{store}: split {split} has only the subject {subjects[0]!r}; without it there is nothing to train on"
        )
    if odd := [name for name in subjects if Path(name).name != name]:
        raise HandbenchError(f"{store}: the subject {odd[0]!r} cannot be the name of a folder")
    return subjects


def merge(folds: Sequence[Fold], out: Path) -> LosoReport:
    """Put the predictions of all folds together, in the order of the store, and score them.

    Writes `predictions.npz` and `predictions.txt`, which older ones give way to.

    Raises:
        HandbenchError: if a fold is not done, or was made from another store.
    """
    if missing := [fold.subject for fold in folds if not fold.is_done]:
        raise HandbenchError(f"{len(missing)} of {len(folds)} folds are not done: {', '.join(missing)}")
    store = Store(folds[0].store)
    name = folds[0].config.data.split
    split = store[name]
    merged = _merged(folds, store, split.frame_key.tolist())
    for suffix in (".npz", ".txt"):
        write_predictions(out / f"predictions{suffix}", merged)
    truth = read_truth(folds[0].store, split=name)
    scored = score_frames(merged, truth)
    subject = split.subject[truth.counts]
    results = [_fold_result(fold, scored.frames.error_sum, scored.frames.labelled, subject) for fold in folds]
    whole = scored.scores.whole
    return LosoReport(
        protocol=scored.scores.protocol.name,
        folds=tuple(results),
        frames=whole.frames,
        labelled_joints=whole.labelled_joints,
        mean_error_mm=whole.mean_error_mm,
        mean_of_folds_mm=float(np.nanmean([result.mean_error_mm for result in results])),
        store=folds[0].store.name,
        center_method=scored.scores.conditions.center_method,
    )


def _merged(folds: Sequence[Fold], store: Store, keys: Sequence[str]) -> Predictions:
    joints = len(store.spec.joints.scored)
    uvd = np.full((len(keys), joints, 3), np.nan)
    row_of = {key: row for row, key in enumerate(keys)}
    parts = [read_predictions(fold.predictions, joints, store.spec, camera=store.camera) for fold in folds]
    for fold, part in zip(folds, parts, strict=True):
        keys_of_fold = part.frame_key or ()
        if part.provenance.get("store") != _plain(store.provenance) or not row_of.keys() >= set(keys_of_fold):
            raise HandbenchError(
                f"{fold.predictions} was made from another store than {fold.store}; name another --out, or remove that "
                "file"
            )
        uvd[[row_of[key] for key in keys_of_fold]] = part.uvd
    return Predictions("loso", uvd, tuple(keys), _provenance(folds, parts))


def _provenance(folds: Sequence[Fold], parts: Sequence[Predictions]) -> dict[str, Any]:
    """What all folds record alike, "one a fold" for what they do not, and the checkpoint of each."""
    common = {}
    for key, first in parts[0].provenance.items():
        same = all(part.provenance.get(key) == first for part in parts)
        common[key] = first if same else f"{_kind(first)}one a fold"
    checkpoints = {fold.subject: part.provenance["checkpoint"] for fold, part in zip(folds, parts, strict=True)}
    return {**common, "checkpoint": checkpoints}


def _kind(value: Any) -> str:
    """Of a centre method its kind, as "predicted:"."""
    kind, colon, _ = str(value).partition(":")
    return f"{kind}:" if colon and isinstance(value, str) else ""


def _fold_result(fold: Fold, error_sum: Any, labelled: Any, subject: Any) -> FoldResult:
    of_fold = subject == fold.subject
    joints = float(labelled[of_fold].sum())
    mean = float(error_sum[of_fold].sum() / joints) if joints else float("nan")
    return FoldResult(fold.number, fold.subject, int(of_fold.sum()), mean)


def _plain(provenance: Any) -> Any:
    """As it looks after a trip through a file."""
    return json.loads(json.dumps(provenance, default=str))
