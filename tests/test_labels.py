"""Raw label files: every line end in circulation, blocks, lines that are of another form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from handbench.converters.labels import label_blocks, stored_joints
from handbench.errors import HandbenchError

NAMES = ["test_seq_1/image_0000.png", "test_seq_1/image_0001.png"]


def text(names: list[str], values: np.ndarray, end: bytes = b"\n", blank: str = " ") -> bytes:
    rows = (blank.join((name, *(f"{x:.3f}" for x in row))) for name, row in zip(names, values, strict=True))
    return b"".join(row.encode() + end for row in rows)


def values(count: int, columns: int = 6) -> np.ndarray:
    return np.round(np.random.default_rng(count).uniform(-300, 300, (count, columns)), 3)


def read(path: Path, columns: int = 6) -> tuple[list[str], np.ndarray]:
    blocks = list(label_blocks(path, columns))
    return [name for names, _ in blocks for name in names], np.concatenate([numbers for _, numbers in blocks])


@pytest.mark.parametrize("end", [b" \r\r\n", b"\r\r\n", b"\r\n", b"\n", b"\t \n\n\n"])
@pytest.mark.parametrize("blank", [" ", "\t", "\t ", "   "])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\r\r\n\n"])
def test_blanks_and_line_ends_read_the_same(tmp_path: Path, end: bytes, blank: str, start: bytes) -> None:
    file, truth = tmp_path / "labels.txt", values(2)
    file.write_bytes(start + text(NAMES, truth, end, blank))
    for data in (file.read_bytes(), file.read_bytes().rstrip()):
        file.write_bytes(data)
        names, numbers = read(file)
        assert names == NAMES
        assert_array_equal(numbers, truth)


def test_blocks_are_cut_at_lines_and_only_what_is_kept_is_read(tmp_path: Path) -> None:
    names = [f"201403121135/image_{i:04d}.png" for i in range(40_000)]  # 3.1 MB
    truth = values(40_000)
    (tmp_path / "labels.txt").write_bytes(text(names, truth, b" \r\r\n"))
    blocks = list(label_blocks(tmp_path / "labels.txt", 6, lambda name: name.endswith("5.png")))
    assert len(blocks) > 2
    assert [name for block, _ in blocks for name in block] == names[5::10]
    assert_array_equal(np.concatenate([numbers for _, numbers in blocks]), truth[5::10])


def test_a_bad_line_in_a_later_block_has_its_number_in_the_file(tmp_path: Path) -> None:
    names = [f"image_{i:04d}.png" for i in range(40_000)]
    lines = text(names, values(40_000)).splitlines(keepends=True)
    for change, message in ((b" 1\n", "8 words, there must be 7"), (b"x\n", "'[0-9.-]+x' is not a number")):
        bad = [*lines[:33_332], lines[33_332].rstrip() + change, *lines[33_333:]]
        (tmp_path / "labels.txt").write_bytes(b"".join(bad))
        with pytest.raises(HandbenchError, match=f"line 33333: {message}"):
            read(tmp_path / "labels.txt")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a.png 1 2\n", "line 1: 3 words, there must be 7"),
        (b"\n\na.png 1 2 3 4 5 6 7\n", "line 3: 8 words"),
        (b"a.png 1 2 3 4 5 thumb\n", "line 1: 'thumb' is not a number"),
        (b"a.png 1 2 3 4 5 6\nb.png 1,5 2 3 4 5 6\n", "line 2: '1,5' is not a number"),
        (b"a.png 1 2 3 4 5 \xff\n", r"line 1: '\\\\xff' is not a number"),
        (b"a" * 256 + b" 1 2 3 4 5 6\n", "a name of 256 bytes, at most 255 can be"),
        (b"x" * 3_000_000, "a line of more than 65,536 bytes"),
    ],
)
def test_a_file_of_another_form_is_refused_in_one_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "labels.txt").write_bytes(data)
    with pytest.raises(HandbenchError, match=message) as caught:
        read(tmp_path / "labels.txt")
    assert "labels.txt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_file_has_no_lines_and_a_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"")
    assert list(label_blocks(tmp_path / "labels.txt", 6)) == []
    with pytest.raises(HandbenchError, match=r"cannot read .*: Is a directory"):
        list(label_blocks(tmp_path, 6))


def test_a_joint_with_a_number_that_is_not_finite_is_no_label() -> None:
    xyz = np.array([[1.0, 2, 3], [np.nan, 2, 3], [1, np.inf, 3], [1, 2, 1e300]])
    stored = stored_joints(xyz)
    assert stored.dtype == np.float32
    assert_array_equal(stored, [[1, 2, 3], [np.nan] * 3, [np.nan] * 3, [np.nan] * 3])
