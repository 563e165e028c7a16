"""NumPy files: the keyed NPZ that handbench writes, and bare arrays of others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from handbench.errors import HandbenchError
from handbench.predictions.matlab import as_points
from handbench.predictions.model import Predictions, RawPoints

_POINTS = ("uvd", "xyz")
_KEYS = "frame_key"


def parse_npz(data: bytes, where: str, joints: tuple[int, ...] = (), variable: str | None = None) -> RawPoints:
    """The points of an NPZ: `uvd` or `xyz` (frames, joints, 3) with or without `frame_key` and `provenance`.

    Args:
        data: the bytes of the file.
        where: name of the file for messages.
        joints: how many joints the points may have; empty if that is not known.
        variable: the array to take; `uvd`, `xyz` or the only one if not said.

    Raises:
        HandbenchError: if it is damaged, pickled, or holds no such array.
    """
    try:
        with np.load(BytesIO(data), allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: np.asarray(file[name]) for name in file.files}
        provenance = dict(json.loads(str(arrays.pop("provenance", "{}"))))
    except Exception as error:  # zip, zlib and header parser raise whatever a damaged byte leads them to
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise HandbenchError(f"{where} is not a keyed predictions file (uvd, frame_key, provenance): {said}") from error
    keys = arrays.pop(_KEYS, None)
    if keys is not None and keys.dtype.kind not in "US":
        raise HandbenchError(f"{where}: frame_key holds {keys.dtype}, not text")
    names = None if keys is None else tuple(map(str, keys.astype(np.str_).reshape(-1).tolist()))
    name = _choose(arrays, where, variable)
    return RawPoints(
        "npz", _points(arrays[name], f"{where}: {name}", joints), name if name in _POINTS else "", names, (), provenance
    )


def parse_npy(data: bytes, where: str, joints: tuple[int, ...] = ()) -> RawPoints:
    """The points of a single NumPy array, (frames, joints, 3) or (frames, 3 joints).

    Raises:
        HandbenchError: if it is damaged, pickled, or of another shape.
    """
    try:
        array = np.load(BytesIO(data), allow_pickle=False)
    except Exception as error:  # as above
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise HandbenchError(f"{where} is a damaged NumPy file: {said}") from error
    return RawPoints("npy", _points(array, where, joints))


def write_npz(path: Path, where: str, predictions: Predictions) -> None:
    """Write keys, all digits and the provenance in one file called `where` for messages.

    Raises:
        HandbenchError: without frame keys.
    """
    if predictions.frame_key is None:
        raise HandbenchError(f"{where}: a keyed file needs frame keys; write uvd text (.txt) instead")
    arrays: Mapping[str, Any] = {
        "uvd": predictions.uvd,
        _KEYS: np.array(predictions.frame_key, dtype=np.str_),
        "provenance": np.array(json.dumps(dict(predictions.provenance))),
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _choose(arrays: Mapping[str, Any], where: str, variable: str | None) -> str:
    if variable is not None:
        if variable not in arrays:
            raise HandbenchError(f"{where} has no array {variable}; it has {', '.join(arrays) or 'none'}")
        return variable
    named = [name for name in _POINTS if name in arrays] or list(arrays)
    if len(named) == 1:
        return named[0]
    raise HandbenchError(
        f"{where} is not a keyed predictions file (uvd, frame_key, provenance): it holds "
        + (", ".join(arrays) or "nothing")
        + ("; name one array with --variable" if arrays else "")
    )


def _points(array: Any, where: str, joints: tuple[int, ...]) -> Any:
    if array.dtype.kind not in "fiu":
        raise HandbenchError(f"{where} holds {array.dtype}, not numbers")
    points = as_points(array.astype(np.float64), joints)
    if points is None:
        wanted = f"(frames, {' or '.join(map(str, joints)) or 'joints'}, 3)"
        raise HandbenchError(f"{where} has shape {array.shape}, expected {wanted}")
    return points
