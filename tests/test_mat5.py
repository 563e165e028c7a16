"""MATLAB files of version 5: what SciPy writes in all its ways, and bytes that are none of it."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from handbench.mat5 import real_matrices, real_matrix

NUMBERS = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")


@pytest.mark.parametrize("compressed", [False, True])
@given(matrix=hnp.arrays(st.sampled_from(NUMBERS), hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4)))
def test_what_scipy_writes(tmp_path_factory: pytest.TempPathFactory, compressed: bool, matrix: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    names = np.array([["left", "right"]], dtype=object)
    variables = {"names": names, "x_before": np.ones((2, 2)), "x": matrix, "x_after": np.zeros((3, 1))}
    scipy.io.savemat(path, variables, do_compression=compressed)
    read = real_matrix(path.read_bytes(), "x")
    assert set(real_matrices(path.read_bytes())) == {"x_before", "x", "x_after"}
    assert read.dtype == np.float64
    assert read.shape == matrix.shape
    with np.errstate(invalid="ignore"):
        assert_array_equal(read, matrix.astype(np.float64))


def test_big_endian_and_narrow_storage(tmp_path: Path) -> None:
    """A double matrix of small whole numbers, which MATLAB stores as bytes, by a machine that is big-endian."""
    body = struct.pack(">IIII", 6, 8, 6, 0) + struct.pack(">IIii", 5, 8, 2, 3)
    body += struct.pack(">HH4s", 3, 1, b"xyz\0") + struct.pack(">II8B", 2, 6, 1, 2, 3, 4, 5, 250, 0, 0)
    (tmp_path / "a.mat").write_bytes(b" " * 124 + b"\1\0MI" + struct.pack(">II", 14, len(body)) + body)
    assert real_matrix((tmp_path / "a.mat").read_bytes(), "xyz").tolist() == [[1, 3, 5], [2, 4, 250]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([[1 + 2j]]), "x holds no real numbers"),
        (np.array([["a"]], dtype=object), "x holds no real numbers"),
        ("text", "x holds no real numbers"),
        ({"field": 3.0}, "x holds no real numbers"),
    ],
)
def test_other_variables_are_no_matrix(tmp_path: Path, value: object, message: str) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"x": value})
    with pytest.raises(ValueError, match=message):
        real_matrix((tmp_path / "a.mat").read_bytes(), "x")
    with pytest.raises(ValueError, match="it has no y"):
        real_matrix((tmp_path / "a.mat").read_bytes(), "y")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "no MATLAB file of version 5"),
        (lambda data: data[:127], "no MATLAB file of version 5"),
        (lambda data: b"\x89HDF\r\n\x1a\n" + bytes(512), "no MATLAB file of version 5"),  # 7.3 without its user block
        (lambda data: data[:-1], "truncated"),
        (lambda data: data[:132], "truncated"),
        (lambda data: data[:128], "it has no x"),
        (lambda data: data[:132] + b"\xff\xff\xff\xff" + data[136:], "truncated"),
        (lambda data: data[:160] + struct.pack("<i", 4) + data[164:], "damaged .24 bytes for 'x' of shape"),
        (lambda data: data[:160] + struct.pack("<i", -1) + data[164:], "damaged"),
        (lambda data: data[:136] + b"\x07" + data[137:], "damaged .flags"),
    ],
)
def test_damage_is_named(tmp_path: Path, change: Callable[[bytes], bytes], message: str) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.array([[1.0, 2.5, 3.0]])})
    (tmp_path / "a.mat").write_bytes(change((tmp_path / "a.mat").read_bytes()))
    with pytest.raises(ValueError, match=message):
        real_matrix((tmp_path / "a.mat").read_bytes(), "x")


def test_a_damaged_packed_variable(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.ones((9, 9))}, do_compression=True)
    data = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(data[:-3] + b"abc")
    with pytest.raises(ValueError, match=r"it is damaged .*incorrect data check"):
        real_matrix((tmp_path / "a.mat").read_bytes(), "x")
