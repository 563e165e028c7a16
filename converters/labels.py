"""Label files of raw data sets: numbers in lines, with or without the name of an image before them.

Read in blocks, so that a file of any size takes little memory and the columns stay in the processor's cache.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from handbench.decimals import Indices, parse_decimals, tokens
from handbench.errors import HandbenchError

_BLOCK = 1 << 20  # bytes; from 1/4 MB on the speed is the same
_LONGEST_LINE = 1 << 16  # bytes; the longest of the four data sets has fewer than 1,000
_LONGEST_NAME = 255  # bytes; names are kept side by side, each as wide as the longest
_BOM = b"\xef\xbb\xbf"
_THREADS = min(4, os.cpu_count() or 1)  # NumPy lets go of the interpreter's lock
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def label_blocks(
    path: Path, columns: int, keep: Callable[[str], bool] | None = None
) -> Iterator[tuple[list[str], npt.NDArray[np.float64]]]:
    """Read lines of a name and its numbers, a block of lines at a time.

    Any blanks separate, so CR LF, CR CR LF, tabs and blanks at line ends read the same; blank lines are skipped.

    Args:
        path: of the label file.
        columns: how many numbers follow the name.
        keep: which names are wanted; the numbers of others are not read.

    Yields:
        names of the n lines that are kept; (n, columns) their numbers, bit for bit what `float` says. Not finite
        where the text says `nan` or `inf`.

    Raises:
        HandbenchError: if the file cannot be read, or naming the first line that is not of this form.
    """

    def labels(numbered: tuple[int, bytes]) -> tuple[list[str], npt.NDArray[np.float64]]:
        line, text = numbered
        return _labels(text, columns, keep, path, line)

    yield from _in_threads(labels, _numbered(_blocks(path)))


def _labels(
    text: bytes, columns: int, keep: Callable[[str], bool] | None, path: Path, line: int
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Names and numbers of the lines of a text, the first of which is number `line`."""
    starts, ends = token_grid(text, 1 + columns, path, line)
    names = _names(text, starts[:, 0], ends[:, 0], path)
    if keep is not None:
        kept = np.array([keep(name) for name in names], dtype=np.bool_)
        names = [name for name, wanted in zip(names, kept.tolist(), strict=True) if wanted]
        starts, ends = starts[kept], ends[kept]
    return names, numbers(text, starts[:, 1:], ends[:, 1:], path, line)


def _numbered(blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each block of lines with the number of its first."""
    line = 1
    for text in blocks:
        yield line, text
        line += text.count(b"\n")


def _in_threads(work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> Iterator[ResultT]:
    """Results in order, each ready before it is asked for; only as many as there are threads wait."""
    with ThreadPoolExecutor(_THREADS) as pool:
        pending: deque[Future[ResultT]] = deque()
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > _THREADS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def token_grid(text: bytes, columns: int, path: Path, line: int) -> tuple[Indices, Indices]:
    """Where the words of a text lie whose lines have equally many.

    Args:
        text: whole lines.
        columns: words a line.
        path: of the file, for messages.
        line: number of the first line, for messages.

    Returns:
        starts, ends: (n, columns) each, for the n lines that are not blank; a word is `text[start:end]`.

    Raises:
        HandbenchError: naming the first line with more or fewer words.
    """
    starts, ends = tokens(text)
    line_ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    counts = np.diff(np.searchsorted(starts, line_ends), prepend=0, append=len(starts))
    if len(wrong := np.flatnonzero((counts != 0) & (counts != columns))):
        first = int(wrong[0])
        raise HandbenchError(f"{path}, line {line + first}: {counts[first]} words, there must be {columns}")
    return starts.reshape(-1, columns), ends.reshape(-1, columns)


def numbers(text: bytes, starts: Indices, ends: Indices, path: Path, line: int) -> npt.NDArray[np.float64]:
    """The numbers at the places of a grid.

    Args:
        text: whole lines.
        starts: (n, columns) as of `token_grid`.
        ends: (n, columns) likewise.
        path: of the file, for messages.
        line: number of the first line, for messages.

    Returns:
        (n, columns) float64.

    Raises:
        HandbenchError: naming the first word that is no number, and its line.
    """
    if not starts.size:
        return np.empty(starts.shape)
    try:
        return parse_decimals(text, starts.ravel(), ends.ravel()).reshape(starts.shape)
    except ValueError as error:
        at, word = next(
            (a, text[a:b]) for a, b in zip(starts.flat, ends.flat, strict=True) if not _is_number(text[a:b])
        )
        shown = word[:30].decode(errors="backslashreplace")
        line += text.count(b"\n", 0, at)
        raise HandbenchError(f"{path}, line {line}: {shown!r} is not a number") from error


def stored_joints(xyz: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Joints as a table of frames holds them.

    Args:
        xyz: (..., 3) mm.

    Returns:
        (..., 3) mm; NaN for the whole joint where one of its numbers is not finite.
    """
    with np.errstate(over="ignore"):  # a number beyond float32 is infinite, and so no label
        stored = xyz.astype(np.float32)
    return np.where(np.isfinite(stored).all(axis=-1, keepdims=True), stored, np.float32(np.nan))


def _names(text: bytes, starts: Indices, ends: Indices, path: Path) -> list[str]:
    if len(starts) and (longest := int((ends - starts).max())) > _LONGEST_NAME:
        raise HandbenchError(f"{path} is no label file: a name of {longest} bytes, at most {_LONGEST_NAME} can be")
    places = zip(starts.tolist(), ends.tolist(), strict=True)
    return [text[start:end].decode(errors="backslashreplace") for start, end in places]


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _blocks(path: Path) -> Iterator[bytes]:
    """The file in pieces of whole lines."""
    try:
        with path.open("rb") as file:
            if file.read(len(_BOM)) != _BOM:
                file.seek(0)
            yield from _whole_lines(file, path)
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error


def _whole_lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    rest = b""
    while block := file.read(_BLOCK):
        lines, newline, rest = (rest + block).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise HandbenchError(f"{path} is no label file: a line of more than {_LONGEST_LINE:,} bytes")
        yield lines + newline
    if rest:
        yield rest
