"""The error of every frame of one method, beside its scores file: what comparisons resample."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from handbench.console import whole_or_nothing
from handbench.errors import HandbenchError, ShapeError
from handbench.scores import SUFFIX

FRAMES_SUFFIX = ".frames.npz"


@dataclass(frozen=True)
class FrameErrors:
    """Sums over the joints of each scored frame; means are made last.

    Attributes:
        error_sum: (F,) float64 mm, sum of the errors of the labelled joints; F the frames that count, in their order.
        labelled: (F,) float64, how many joints those are, at least 1.

    Raises:
        ShapeError: if the two are not equally long.
    """

    error_sum: npt.NDArray[np.float64]
    labelled: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.error_sum.ndim != 1 or self.error_sum.shape != self.labelled.shape:
            raise ShapeError(f"error sums {self.error_sum.shape} and counts {self.labelled.shape} must both be (F,)")

    def __len__(self) -> int:
        return len(self.error_sum)

    @property
    def frame_mean(self) -> npt.NDArray[np.float64]:
        """(F,) mean error of each frame, mm."""
        mean: npt.NDArray[np.float64] = self.error_sum / self.labelled
        return mean

    @property
    def mean_error(self) -> float:
        """Mean over all labelled joints of all frames, mm."""
        return float(self.error_sum.sum() / self.labelled.sum())


def frames_file(scores_file: Path) -> Path:
    """Where the frame errors that belong to a scores file lie: beside it."""
    return scores_file.with_name(scores_file.name.removesuffix(SUFFIX) + FRAMES_SUFFIX)


def write_frame_errors(path: Path, errors: FrameErrors) -> None:
    """Write them, whole or not at all; an older file of that name is replaced."""
    with whole_or_nothing(path) as partial, partial.open("wb") as file:
        np.savez(file, error_sum=errors.error_sum, labelled=errors.labelled)


def read_frame_errors(path: Path) -> FrameErrors:
    """Read what `write_frame_errors` wrote. Nothing in it is unpickled.

    Raises:
        HandbenchError: if it is missing or damaged.
    """
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            errors = FrameErrors(*(np.asarray(arrays[name], np.float64) for name in ("error_sum", "labelled")))
    except FileNotFoundError as error:
        raise HandbenchError(f"{path} is not there; it comes with the scores file: score again") from error
    except (BadZipFile, ValueError, KeyError, TypeError, EOFError, OSError, ShapeError) as error:
        raise HandbenchError(f"{path} is a damaged file of frame errors ({error}); score again") from error
    if not (np.isfinite(errors.error_sum).all() and len(errors) and errors.labelled.min() >= 1):
        raise HandbenchError(f"{path} holds frames without an error; score again")
    return errors
