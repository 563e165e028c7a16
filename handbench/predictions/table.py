"""Tables with a header: CSV and Parquet, one row a frame, a column of frame keys and three columns a joint."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from handbench.errors import HandbenchError
from handbench.predictions.columns import read_columns
from handbench.predictions.model import Floats, RawPoints

if TYPE_CHECKING:
    import pandas as pd


def parse_parquet(data: bytes, where: str) -> RawPoints:
    """The points of a Parquet file; columns as in a CSV file.

    Raises:
        HandbenchError: if it is damaged, or pyarrow is not installed.
    """
    _require_pyarrow(where)
    try:
        return _points_of(data, where)
    except HandbenchError:
        raise
    except Exception as error:  # Arrow raises whatever a damaged byte leads it to, and not only when it reads
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise HandbenchError(f"{where} is a damaged Parquet file: {said!a}") from error


def _points_of(data: bytes, where: str) -> RawPoints:
    import pandas as pd

    frame = pd.read_parquet(BytesIO(data))
    if frame.index.name is not None and str(frame.index.name) not in map(str, frame.columns):
        frame = frame.reset_index()
    if not len(frame):
        raise HandbenchError(f"{where} is empty; expected one frame a row")
    columns = read_columns([str(name) for name in frame.columns], where)
    points = frame.iloc[:, list(columns.numbers)]
    wrong = next((str(name) for name, kind in points.dtypes.items() if kind.kind not in "fiu"), None)
    if wrong is not None:
        raise HandbenchError(f"{where}: the column {wrong!r} holds no numbers")
    values = points.to_numpy(np.float64).reshape(len(frame), -1, 3)
    aside = columns.key if columns.key is not None else columns.number
    names = None if aside is None else tuple(map(str, frame.iloc[:, aside].tolist()))
    if names is not None and all(name.isdigit() for name in names):
        if names not in (tuple(map(str, range(first, first + len(names)))) for first in (0, 1)):
            raise HandbenchError(f"{where}: the column of row numbers does not count from 0 or 1 on")
        names = None
    return RawPoints("parquet", values, columns.space, names, columns.joints)


def write_csv(path: Path, points: Floats, keys: tuple[str, ...] | None, labels: tuple[str, ...], axes: str) -> None:
    """Write a header and one line a frame, all digits, nothing for NaN."""
    _frame(points, keys, labels, axes).to_csv(path, index=False, lineterminator="\n")


def write_parquet(path: Path, points: Floats, keys: tuple[str, ...] | None, labels: tuple[str, ...], axes: str) -> None:
    """Write the same columns as Parquet.

    Raises:
        HandbenchError: if pyarrow is not installed.
    """
    _require_pyarrow(path.name.removesuffix(".partial"))
    _frame(points, keys, labels, axes).to_parquet(path, index=False)


def _frame(points: Floats, keys: tuple[str, ...] | None, labels: tuple[str, ...], axes: str) -> pd.DataFrame:
    import pandas as pd

    rows: Any = range(1, len(points) + 1) if keys is None else list(keys)
    numbers = pd.DataFrame(
        points.reshape(len(points), -1), columns=[f"{label}_{axis}" for label in labels for axis in axes]
    )
    numbers.insert(0, "frame" if keys is None else "frame_key", rows)
    return numbers


def _require_pyarrow(where: str) -> None:
    try:
        import pyarrow  # type: ignore[import-untyped]  # noqa: F401  # ships no types; pandas reads Parquet through it
    except ImportError as error:
        raise HandbenchError(f"{where}: Parquet needs pyarrow; pip install pyarrow, or use CSV") from error
