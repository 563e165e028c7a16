"""Real matrices in MATLAB files of version 5: predictions and labels as others publish them.

SciPy reads such files too, but a damaged one can end the whole process in it (SciPy 1.17), and these come by download.
Here every length is checked against what is there.

Source: MathWorks, "MAT-File Format", level 5.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_HEADER = 128  # bytes, the last two tell the byte order
_ORDERS = {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15
_INT8, _INT32, _UINT32 = 1, 5, 6
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double to uint64; before them cells, structures, objects, text and sparse matrices
_IS_COMPLEX = 0x0800


def real_matrices(data: bytes) -> dict[str, npt.NDArray[np.float64]]:
    """All real matrices of a file, by name; cells, structures, text and complex or sparse matrices are passed over.

    Args:
        data: the bytes of the file.

    Returns:
        The numbers, in the shape that MATLAB says.

    Raises:
        ValueError: of one line, if the file is damaged or of another format.
    """
    found: dict[str, npt.NDArray[np.float64]] = {}
    for content, order in _variables(data):
        variable = _Variable.of(content, order)
        if variable.name in found:
            raise ValueError(f"it has two variables called {variable.name}")
        if variable.is_real:
            found[variable.name] = variable.numbers()
    return found


def real_matrix(data: bytes, name: str) -> npt.NDArray[np.float64]:
    """One real matrix of a file; the numbers of others are not read.

    Args:
        data: the bytes of the file.
        name: of the variable.

    Returns:
        The numbers, in the shape that MATLAB says.

    Raises:
        ValueError: of one line, if the file is damaged, of another format, or has no such variable.
    """
    for content, order in _variables(data):
        variable = _Variable.of(content, order)
        if variable.name == name:
            if not variable.is_real:
                raise ValueError(f"{name} holds no real numbers")
            return variable.numbers()
    raise ValueError(f"it has no {name}")


def _variables(data: bytes) -> Iterator[tuple[bytes, str]]:
    """The content of each variable, and the byte order.

    Raises:
        ValueError: if the file is of another format, or a variable is cut off or cannot be unpacked.
    """
    at, order = _HEADER, _ORDERS.get(data[_HEADER - 2 : _HEADER], "")
    if not order:
        raise ValueError("it is no MATLAB file of version 5")
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it is truncated")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if size > len(data) - at - 8:
            raise ValueError("it is truncated")
        content, at = data[at + 8 : at + 8 + size], at + 8 + size
        if kind == _COMPRESSED:
            try:
                content = zlib.decompress(content)
            except zlib.error as error:
                raise ValueError(f"it is damaged ({error})") from error
            kind, content, _ = _element(content, 0, order)
        if kind != _MATRIX:
            raise ValueError(f"it is damaged (an element of kind {kind} in the place of a variable)")
        yield content, order


@dataclass(frozen=True)
class _Variable:
    """One variable, whose numbers are not looked at yet."""

    name: str
    is_real: bool
    shape: tuple[int, ...]
    rest: bytes  # where its numbers are
    order: str

    @classmethod
    def of(cls, content: bytes, order: str) -> _Variable:
        """Read what stands before the numbers.

        Raises:
            ValueError: if it is damaged.
        """
        kind, flags, at = _element(content, 0, order)
        if kind != _UINT32 or len(flags) != 8:
            raise ValueError("it is damaged (flags of a variable)")
        kind, sides, at = _element(content, at, order)
        if kind != _INT32 or len(sides) % 4:
            raise ValueError("it is damaged (shape of a variable)")
        kind, name, at = _element(content, at, order)
        if kind != _INT8 or not name.isascii():
            raise ValueError("it is damaged (name of a variable)")
        (flag,) = struct.unpack_from(f"{order}I", flags)
        is_real = flag & 0xFF in _NUMERIC_CLASSES and not flag & _IS_COMPLEX
        shape = struct.unpack(f"{order}{len(sides) // 4}i", sides)
        return cls(name.decode(), is_real, shape, content[at:], order)

    def numbers(self) -> npt.NDArray[np.float64]:
        """Its numbers.

        Raises:
            ValueError: if they are not as many as its shape says.
        """
        kind, numbers, _ = _element(self.rest, 0, self.order)
        dtype = np.dtype(f"{self.order}{_NUMBERS.get(kind, 'u1')}")
        expected = math.prod(self.shape) * dtype.itemsize
        if kind not in _NUMBERS or min(self.shape, default=-1) < 0 or len(numbers) != expected:
            raise ValueError(f"it is damaged ({len(numbers)} bytes for {self.name!a} of shape {self.shape})")
        with np.errstate(invalid="ignore"):  # a damaged float32 can be a signalling NaN
            return np.frombuffer(numbers, dtype).reshape(self.shape, order="F").astype(np.float64)


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
