"""What a scores file and a predictions file say of the frames of a split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handbench.errors import HandbenchError
from handbench.frame_errors import FrameErrors, frames_file, read_frame_errors
from handbench.predictions import read_predictions
from handbench.scores import SUFFIX, Scores, read_scores
from handbench.store import Split, Store

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoredFrames:
    """The errors of one method.

    Attributes:
        name: of the method.
        split: that was scored.
        errors: of the frames that count.
        left_out: names of the frames that do not: keys, or "line 5" where a text was scored against.
        prediction: "file" and "sha256" of the predictions.
        folder: where the scores lie.
        data_set: its name.
        by_key: whether `left_out` are keys.
    """

    name: str
    split: str
    errors: FrameErrors
    left_out: frozenset[str]
    prediction: dict[str, str]
    folder: Path
    data_set: str
    by_key: bool

    def error_mm(self, split: Split) -> Floats:
        """(N,) mean error of each frame of the split, mm; NaN = not scored.

        Raises:
            HandbenchError: if another split or other frames were scored.
        """
        if self.by_key and split.name != self.split:
            raise HandbenchError(f"{self.name} was scored on split {self.split}, not on {split.name}")
        names = split.frame_key.tolist() if self.by_key else [f"line {row + 1}" for row in range(len(split))]
        rows = [row for row, name in enumerate(names) if name not in self.left_out]
        if len(rows) != len(self.errors):
            raise HandbenchError(
                f"{self.name} was scored on {len(self.errors):,} frames, split {split.name} has {len(rows):,} that "
                f"count; score against this store: handbench eval ... --truth STORE --split {split.name}"
            )
        error = np.full(len(split), np.nan)
        error[rows] = self.errors.frame_mean
        return error

    def find_predictions(self) -> Path | None:
        """The predictions that were scored: beside the scores, above them, in predictions/ there, or here; or None."""
        name, sha256 = self.prediction.get("file", ""), self.prediction.get("sha256", "")
        for folder in (self.folder, self.folder.parent, self.folder.parent / "predictions", Path()):
            path = folder / name
            if name and path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
                return path
        return None


def read_scored(path: Path, store: Store) -> ScoredFrames:
    """A scores file and the frame errors beside it.

    Args:
        path: of the scores file, or of a folder with a single one.
        store: whose frames are to be shown.

    Raises:
        HandbenchError: if one cannot be read, or they are of another data set.
    """
    path = _only_file(path)
    scores: Scores = read_scores(path)
    if scores.dataset != store.spec.name:
        raise HandbenchError(f"{path} are scores on {scores.dataset}, {store.path} is a store of {store.spec.name}")
    return ScoredFrames(
        name=scores.name,
        split=str(scores.truth.get("split", scores.protocol.split)),
        errors=read_frame_errors(frames_file(path)),
        left_out=frozenset(name for names in scores.left_out.values() for name in names),
        prediction={key: str(scores.prediction[key]) for key in ("file", "sha256") if key in scores.prediction},
        folder=path.parent,
        data_set=scores.dataset,
        by_key=scores.truth.get("kind") == "store",
    )


def _only_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob(f"*{SUFFIX}"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or f"no *{SUFFIX}"
        raise HandbenchError(f"{path} holds {names}; name the one whose worst frames to show")
    return files[0]


def read_pred_uvd(path: Path, store: Store, split: Split) -> Floats:
    """(N, J, 3) column px, row px, depth mm of the scored joints of every frame of a split; NaN = not predicted.

    Args:
        path: of a predictions file of any layout.
        store: whose frames are to be shown.
        split: of the store.

    Raises:
        HandbenchError: if it cannot be read, or its frames are not those of the split.
    """
    predictions = read_predictions(path, len(store.spec.joints.scored), store.spec, camera=store.camera)
    if predictions.frame_key is None:
        if len(predictions) != len(split):
            raise HandbenchError(f"{path} has {len(predictions):,} frames, split {split.name} has {len(split):,}")
        return predictions.uvd
    row_of = {key: row for row, key in enumerate(split.frame_key.tolist())}
    known = [i for i, key in enumerate(predictions.frame_key) if key in row_of]
    if not known:
        raise HandbenchError(f"{path} predicts no frame of split {split.name}; is it another split?")
    uvd = np.full((len(split), *predictions.uvd.shape[1:]), np.nan)
    uvd[[row_of[predictions.frame_key[i]] for i in known]] = predictions.uvd[known]
    return uvd
