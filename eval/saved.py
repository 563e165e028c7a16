"""What `handbench eval -o` wrote, read back with the errors of the frames."""

from __future__ import annotations

import math
from pathlib import Path

from handbench.errors import HandbenchError
from handbench.eval.score import Scored
from handbench.frame_errors import frames_file, read_frame_errors
from handbench.scores import SUFFIX, read_scores


def read_scored(path: Path) -> list[Scored]:
    """The scores in a file, or in all scores files of a folder.

    Raises:
        HandbenchError: if there are none, or a file and its frame errors do not belong together.
    """
    if not path.is_dir() and not path.name.endswith(SUFFIX):
        raise HandbenchError(f"{path} is no scores file (*{SUFFIX}); for predictions name their labels with --truth")
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise HandbenchError(f"{path} holds no scores files (*{SUFFIX}); make them with handbench eval ... -o {path}")
    return [_read(file) for file in files]


def _read(path: Path) -> Scored:
    scores = read_scores(path)
    frames = read_frame_errors(frames_file(path))
    same = math.isclose(frames.mean_error, scores.whole.mean_error_mm, rel_tol=1e-9)
    if len(frames) != scores.whole.frames or not same:
        raise HandbenchError(f"{frames_file(path)} is not of the same run as {path.name}; score again")
    return Scored(scores, frames)
