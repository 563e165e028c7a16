"""Prediction files: uvd text, one frame a line, as it circulates in the literature; and keyed NPZ, our own.

Text carries no frame keys, so its lines are the frames of the test list in order; a keyed file is joined by key.
Label files of the same form read the same way.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from handbench.console import whole_or_nothing
from handbench.decimals import parse_decimals, tokens
from handbench.errors import HandbenchError, ShapeError

SUFFIXES = (".txt", ".npz")

_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?nan", re.IGNORECASE)
_NUMBER_BYTES = b"0123456789+-.eEnNaA \t\n\v\f"  # all that a good file holds, once its line ends are LF


@dataclass(frozen=True)
class Predictions:
    """What one method says about the scored joints of a run of frames.

    Attributes:
        name: of the method; for a file, its name without the suffix.
        uvd: (N, J, 3) float64, column px, row px, depth mm in the full image; J the scored joints in the order of
            `JointSet.scored`. NaN = not predicted.
        frame_key: N keys as in the store, or None where the file has only an order.
        provenance: what the maker recorded (model, options, `center_method`, ...), plain data for JSON.
        source: "file" and "sha256" of the file it was read from; empty if it was not read from one.

    Raises:
        ShapeError: if `uvd` is not (N, J, 3), or the keys are not N.
        HandbenchError: if a key comes twice.
    """

    name: str
    uvd: npt.NDArray[np.float64]
    frame_key: tuple[str, ...] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.uvd.ndim != 3 or self.uvd.shape[-1] != 3:
            raise ShapeError(f"predictions of {self.name} have shape {self.uvd.shape}, not (frames, joints, 3)")
        if self.frame_key is None:
            return
        if len(self.frame_key) != len(self.uvd):
            raise ShapeError(f"predictions of {self.name}: {len(self.frame_key)} frame keys, {len(self.uvd)} frames")
        if len(set(self.frame_key)) != len(self.frame_key):
            seen: set[str] = set()
            twice = next(key for key in self.frame_key if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add() gives None: falsy
            raise HandbenchError(f"predictions of {self.name}: the frame key {twice} comes twice")

    def __len__(self) -> int:
        return len(self.uvd)


def read_predictions(path: Path, joints: int) -> Predictions:
    """Read a predictions file, or a label file of the same form.

    Args:
        path: `.npz` is a keyed file; everything else is read as uvd text.
        joints: J, how many joints a frame must have.

    Returns:
        The predictions, named after the file. `provenance` comes out of the NPZ, or from `<file>.json` beside a text.

    Raises:
        HandbenchError: naming the file, and the line where there is one, if it is missing, empty, not text, or not J
            numbers triples a line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error
    source = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    if path.suffix == ".npz":
        return _read_npz(path, data, joints, source)
    uvd = parse_uvd_text(data, joints, str(path))
    return Predictions(path.stem, uvd, None, _read_sidecar(path, source["sha256"]), source)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions, whole or not at all; an older file of that name is replaced.

    Args:
        path: `.txt` writes uvd text (three decimals, one space, LF, rows of `nan` for frames without a prediction)
            and the provenance to `<file>.json` beside it; `.npz` keeps keys, all digits and the provenance in one file.
        predictions: what to write.

    Raises:
        HandbenchError: on another suffix, or for an NPZ without frame keys.
    """
    if path.suffix == ".txt":
        _write_text(path, predictions)
    elif path.suffix == ".npz":
        _write_npz(path, predictions)
    else:
        raise HandbenchError(f"predictions are written as {' or '.join(SUFFIXES)}, not as {path.name}")


def sidecar(path: Path) -> Path:
    """Where the provenance of a text file lies: `<file>.json`."""
    return path.with_name(f"{path.name}.json")


def parse_uvd_text(data: bytes, joints: int, where: str) -> npt.NDArray[np.float64]:
    """Numbers of a uvd text: one frame a line, three a joint, between any blanks.

    Blanks at line ends, CR LF, CR CR LF and a mixture of them are all in circulation and read the same.

    Args:
        data: the bytes of the file.
        joints: J, how many joints a line must have.
        where: name of the file for messages.

    Returns:
        (N, J, 3) float64 as written; NaN where the text says `nan`.

    Raises:
        HandbenchError: naming the first bad line.
    """
    if b"\0" in data:
        raise HandbenchError(f"{where} is a binary file, not uvd text; only uvd text and NPZ files are read")
    text = data.removeprefix(b"\xef\xbb\xbf").rstrip()
    if b"\r" in text:
        text = re.sub(rb"\r+\n?", b"\n", text)
    if not text:
        raise HandbenchError(f"{where} is empty; expected one frame a line, {3 * joints} numbers each")
    starts, ends = tokens(text)
    line_ends = np.append(np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")), len(text))
    per_line = np.diff(np.searchsorted(starts, line_ends), prepend=0)
    if text.translate(None, _NUMBER_BYTES) or not np.all(per_line == 3 * joints):
        raise _first_bad_line(text, joints, where)
    try:
        return parse_decimals(text, starts, ends).reshape(-1, joints, 3)
    except ValueError:
        raise _first_bad_line(text, joints, where) from None


def _first_bad_line(text: bytes, joints: int, where: str) -> HandbenchError:
    """The message for a text that the fast way refused; lines count from 1."""
    for number, line in enumerate(text.split(b"\n"), start=1):
        tokens = line.split()
        bad = next((token for token in tokens if not _NUMBER.fullmatch(token)), None)
        if bad is not None:
            word = ascii(bad.decode("utf-8", "backslashreplace"))
            hint = (
                "; uvd text has no names in front: cut that column off, and check that the rest is uvd, not xyz"
                if bad is tokens[0] and len(tokens) % 3 == 1
                else ""
            )
            return HandbenchError(f"{where}, line {number}: {word} is not a number{hint}")
        if len(tokens) != 3 * joints:
            found = f"{len(tokens)} number{'s' * (len(tokens) != 1)}" if tokens else "an empty line"
            return HandbenchError(f"{where}, line {number}: {found}, expected {3 * joints} ({joints} joints x 3)")
    raise AssertionError(f"{where} was refused, but every line of it is good")


def _read_sidecar(path: Path, sha256: str) -> dict[str, Any]:
    """Provenance beside a text file; empty if there is none."""
    beside = sidecar(path)
    if not beside.is_file():
        return {}
    try:
        record = json.loads(beside.read_bytes())
        described, provenance = record["sha256"], dict(record["provenance"])
    except (ValueError, KeyError, TypeError) as error:
        raise HandbenchError(f"{beside} is not the provenance of a predictions file; remove it to go on") from error
    if described != sha256:
        raise HandbenchError(f"{beside} describes another {path.name} (its sha256 differs); remove it to go on")
    return provenance


def _write_text(path: Path, predictions: Predictions) -> None:
    with whole_or_nothing(path) as partial:
        rows = predictions.uvd.reshape(len(predictions), -1)
        np.savetxt(partial, rows, fmt="%.3f", delimiter=" ", newline="\n")
        sha256 = hashlib.sha256(partial.read_bytes()).hexdigest()
        with whole_or_nothing(sidecar(path)) as partial_sidecar:
            record = {"file": path.name, "sha256": sha256, "provenance": dict(predictions.provenance)}
            partial_sidecar.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _read_npz(path: Path, data: bytes, joints: int, source: Mapping[str, str]) -> Predictions:
    try:
        with np.load(BytesIO(data), allow_pickle=False) as arrays:
            uvd = np.asarray(arrays["uvd"], np.float64)
            keys = tuple(str(key) for key in arrays["frame_key"])
            provenance = dict(json.loads(str(arrays["provenance"])))
    except (BadZipFile, ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise HandbenchError(f"{path} is not a keyed predictions file (uvd, frame_key, provenance): {error}") from error
    if uvd.ndim != 3 or uvd.shape[1:] != (joints, 3):
        raise HandbenchError(f"{path}: uvd has shape {uvd.shape}, expected (frames, {joints}, 3)")
    return Predictions(path.stem, uvd, keys, provenance, source)


def _write_npz(path: Path, predictions: Predictions) -> None:
    if predictions.frame_key is None:
        raise HandbenchError(f"{path.name}: a keyed file needs frame keys; write uvd text (.txt) instead")
    with whole_or_nothing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            uvd=predictions.uvd,
            frame_key=np.array(predictions.frame_key, dtype=np.str_),
            provenance=np.array(json.dumps(dict(predictions.provenance))),
        )
