"""Real matrices in MATLAB files of version 5, such as the labels of NYU.

SciPy reads such files too, but a damaged one can end the whole process in it (SciPy 1.17), and labels come by download.
Here every length is checked against what is there.

Source: MathWorks, "MAT-File Format", level 5.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

_HEADER = 128  # bytes, the last two tell the byte order
_ORDERS = {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15
_INT8, _INT32, _UINT32 = 1, 5, 6
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double to uint64; before them cells, structures, objects, text and sparse matrices
_IS_COMPLEX = 0x0800


def read_matrix(path: Path, name: str) -> npt.NDArray[np.float64]:
    """One real matrix of a file.

    Args:
        path: of the file.
        name: of the variable.

    Returns:
        The numbers, in the shape that MATLAB says.

    Raises:
        OSError: if the file cannot be read.
        ValueError: of one line, if it is damaged, of another format, or has no such variable.
    """
    with path.open("rb") as file:
        order = _ORDERS.get(file.read(_HEADER)[-2:], "")
        if not order or file.tell() != _HEADER:
            raise ValueError("it is no MATLAB file of version 5")
        for content in _matrices(file, order):
            variable, matrix = _read(content, order, name)
            if variable == name and matrix is not None:
                return matrix
    raise ValueError(f"it has no {name}")


def _matrices(file: BinaryIO, order: str) -> Iterator[bytes]:
    """The content of each variable.

    Raises:
        ValueError: if one is cut off or cannot be unpacked.
    """
    end = os.fstat(file.fileno()).st_size
    while tag := file.read(8):
        kind, size = struct.unpack(f"{order}II", tag) if len(tag) == 8 else (0, end)
        if size > end - file.tell():
            raise ValueError("it is truncated")
        content = file.read(size)
        if kind == _COMPRESSED:
            try:
                content = zlib.decompress(content)
            except zlib.error as error:
                raise ValueError(f"it is damaged ({error})") from error
            kind, content, _ = _element(content, 0, order)
        if kind == _MATRIX:
            yield content


def _read(content: bytes, order: str, wanted: str) -> tuple[str, npt.NDArray[np.float64] | None]:
    """Name and numbers of a variable; no numbers if it is not the one that is wanted.

    Raises:
        ValueError: if it is damaged, or is wanted and holds no real numbers.
    """
    kind, flags, at = _element(content, 0, order)
    if kind != _UINT32 or len(flags) != 8:
        raise ValueError("it is damaged (flags of a variable)")
    kind, sides, at = _element(content, at, order)
    if kind != _INT32 or len(sides) % 4:
        raise ValueError("it is damaged (shape of a variable)")
    kind, name, at = _element(content, at, order)
    if kind != _INT8:
        raise ValueError("it is damaged (name of a variable)")
    if name != wanted.encode():
        return name.decode(errors="replace"), None
    (flag,) = struct.unpack_from(f"{order}I", flags)
    if flag & 0xFF not in _NUMERIC_CLASSES or flag & _IS_COMPLEX:
        raise ValueError(f"{wanted} holds no real numbers")
    shape = struct.unpack(f"{order}{len(sides) // 4}i", sides)
    kind, data, _ = _element(content, at, order)
    dtype = np.dtype(f"{order}{_NUMBERS.get(kind, 'u1')}")
    if kind not in _NUMBERS or min(shape, default=-1) < 0 or len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"it is damaged ({len(data)} bytes for {wanted} of shape {shape})")
    with np.errstate(invalid="ignore"):  # a damaged float32 can be a signalling NaN
        return wanted, np.frombuffer(data, dtype).reshape(shape, order="F").astype(np.float64)


def _element(data: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """One element of a variable: its kind, its content, and where the next begins.

    Raises:
        ValueError: if it is longer than the variable.
    """
    if at + 8 > len(data):
        raise ValueError("it is truncated within a variable")
    kind, size = struct.unpack_from(f"{order}II", data, at)
    start, following = at + 8, at + 8 + (size + 7) // 8 * 8
    if kind >> 16:  # a small one has length and kind in one word and its content in the next
        kind, size, start, following = kind & 0xFFFF, kind >> 16, at + 4, at + 8
    if start + size > len(data) or (start == at + 4 and size > 4):
        raise ValueError("it is truncated within a variable")
    return kind, data[start : start + size], following
