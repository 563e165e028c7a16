"""Reading and writing predictions files: every variant in circulation, and a clear line for every bad one."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from handbench.decimals import parse_decimals, tokens
from handbench.errors import HandbenchError, ShapeError
from handbench.predictions import Predictions, parse_uvd_text, read_predictions, sidecar, write_predictions

GOOD = b"1.5 2 3 -4 5.25 6\n7 8 9 10 11 12\n"
VALUES = np.array([[[1.5, 2, 3], [-4, 5.25, 6]], [[7, 8, 9], [10, 11, 12]]])

JOINTS = {"nyu": 14, "icvl": 16}


def naive(text: bytes) -> np.ndarray:
    return np.array([[float(word) for word in line.split()] for line in text.decode().splitlines()])


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.rstrip() + b" ",
        GOOD.replace(b"\n", b" \n"),
        GOOD.replace(b"\n", b" \r\n"),
        GOOD.replace(b"\n", b" \r\r\n"),
        GOOD.replace(b"\n", b"\r"),
        GOOD.replace(b"\n", b" \n", 1),
        GOOD + b"\n \n",
        GOOD.replace(b" ", b"\t"),
        GOOD.replace(b" ", b"   "),
        b"  " + GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"5.25", b"5.25000000000000000001"),
        GOOD.replace(b"5.25", b"525e-2"),
        GOOD.replace(b"5.25", b"+5.25"),
        GOOD.replace(b"2 3", b"2. 3.0"),
        GOOD.replace(b" ", b","),
        GOOD.replace(b" ", b", "),
        GOOD.replace(b" ", b";"),
        GOOD.replace(b" ", b",").replace(b"\n", b",\n"),
        b"# u v d of two joints\n" + GOOD,
        b"0 1.5 2 3 -4 5.25 6\n1 7 8 9 10 11 12\n",
        b"0 1 2 3 4 5\n" + GOOD,
        b",0,1,2,3,4,5\n0,1.5,2,3,-4,5.25,6\n1,7,8,9,10,11,12\n",
        GOOD.decode().encode("utf-16"),
        GOOD.replace(b"12\n", b"12.00"),
    ],
)
def test_every_variant_of_uvd_text_reads_the_same(text: bytes) -> None:
    assert_array_equal(parse_uvd_text(text, 2, "a.txt"), VALUES)


def test_nan_in_text_is_nan() -> None:
    uvd = parse_uvd_text(b"nan NaN nan\n1 2 3\n", 1, "a.txt")
    assert_array_equal(uvd, [[[np.nan] * 3], [[1, 2, 3]]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "a.txt is empty; expected one frame a line, 6 numbers each"),
        (b" \r\n\n", "a.txt is empty"),
        (b"MATLAB 5.0\0\0\0", "a.txt is a binary file"),
        (GOOD.replace(b" 11", b""), "a.txt, line 2: 5 numbers, expected 6 (2 joints x 3)"),
        (GOOD.replace(b"9 10", b"9 10 10"), "a.txt, line 2: 7 numbers, expected 6 (2 joints x 3)"),
        (b"1\n", "a.txt, line 1: 1 number, expected 6"),
        (b"\n" + GOOD, "a.txt, line 1: an empty line, expected"),
        (GOOD.replace(b"\n7", b"\n\n7"), "a.txt, line 2: an empty line, expected 6"),
        (GOOD.replace(b"8", b"eight"), "a.txt, line 2: 'eight' is not a number"),
        (GOOD.replace(b"8", b"1-2"), "a.txt, line 2: '1-2' is not a number"),
        (GOOD.replace(b"8", b"1.2.3"), "a.txt, line 2: '1.2.3' is not a number"),
        (GOOD.replace(b"8", b"."), "a.txt, line 2: '.' is not a number"),
        (GOOD.replace(b"8", b"1_000"), "a.txt, line 2: '1_000' is not a number"),
        (GOOD.replace(b"8", b"inf"), "a.txt, line 2: 'inf' is not a number"),
        (GOOD.replace(b"8", b"\xff"), "a.txt, line 2: '\\\\xff' is not a number"),
        (GOOD.replace(b" 11", b",11"), "a.txt, line 2: '10,11' is not a number"),
        (GOOD.replace(b" ", b",").replace(b"11,", b"11 "), "a.txt, line 2: '11 12' is not a number"),
        (GOOD.replace(b" ", b",").replace(b"11", b""), "a.txt, line 2: '' is not a number"),
        (b"x.png " + GOOD, "a.txt, line 2: 5 numbers, expected 6 (2 joints x 3) beside the name"),
        (GOOD.rstrip(), "a.txt ends within its last line, after '12', which may be cut short"),
        (GOOD.replace(b"12\n", b"12.5"), "a.txt ends within its last line, after '12.5'"),
        (GOOD.rstrip()[:-1], "a.txt ends within its last line, after '1'"),
    ],
)
def test_bad_text_is_named_with_its_line(text: bytes, message: str) -> None:
    with pytest.raises(HandbenchError) as caught:
        parse_uvd_text(text, 2, "a.txt")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_word_late_in_a_long_file_is_found() -> None:
    lines = ["1 2 3 4 5 6"] * 3000
    lines[2345] = "1 2 3 4 none 6"
    with pytest.raises(HandbenchError, match=r"a.txt, line 2346: 'none' is not a number"):
        parse_uvd_text("\n".join(lines).encode(), 2, "a.txt")


numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-1e6, 1e6).map("{:.3f}".format),
    st.floats(-1e6, 1e6).map("{:.14f}".format),
    st.integers(-(10**25), 10**25).map(str),
    st.sampled_from(["+0.1", "-.5", "7.", "-0.0", "1E3", "9007199254740993", "0." + "0" * 30 + "1", "1" + "0" * 40]),
)


@given(st.lists(numbers, min_size=1, max_size=30))
def test_decimals_are_bit_for_bit_what_float_says(words: list[str]) -> None:
    text = "  ".join(words).encode()
    values = parse_decimals(text, *tokens(text))
    assert_array_equal(values.view(np.int64), np.array([float(word) for word in words]).view(np.int64))


def test_published_files_read_as_a_naive_reader_reads_them(real: Path) -> None:
    paths = sorted(real.glob("*/predictions/*.txt"))
    assert len(paths) == 16
    for path in paths:
        predictions = read_predictions(path, JOINTS[path.parts[-3]])
        assert_array_equal(predictions.uvd.reshape(len(predictions), -1), naive(path.read_bytes()))
        assert predictions.name == path.name.removesuffix(".txt")
        assert predictions.frame_key is None


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match="No such file"):
        read_predictions(tmp_path / "none.txt", 14)
    with pytest.raises(HandbenchError, match="Is a directory"):
        read_predictions(tmp_path, 14)


def predictions_of(uvd: np.ndarray, keys: tuple[str, ...] | None = None) -> Predictions:
    return Predictions("SRN", uvd, keys, {"model": "srn", "center_method": "com"})


def test_text_has_three_decimals_single_spaces_lf_and_its_provenance_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "SRN.txt"
    write_predictions(path, predictions_of(np.array([[[1.0, 2.34567, -3.0]], [[np.nan] * 3]])))
    assert path.read_bytes() == b"1.000 2.346 -3.000\nnan nan nan\n"
    again = read_predictions(path, 1)
    assert again.provenance == {"model": "srn", "center_method": "com"}
    assert again.source["file"] == "SRN.txt"
    assert_array_equal(again.uvd, [[[1.0, 2.346, -3.0]], [[np.nan] * 3]])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["SRN.txt", "SRN.txt.json"]


def test_text_without_provenance_reads(tmp_path: Path) -> None:
    path = tmp_path / "SRN.txt"
    path.write_bytes(GOOD)
    assert read_predictions(path, 2).provenance == {}


def test_provenance_of_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "SRN.txt"
    write_predictions(path, predictions_of(VALUES))
    path.write_bytes(path.read_bytes() + b"1 2 3 4 5 6\n")
    with pytest.raises(HandbenchError, match=r"describes another SRN\.txt"):
        read_predictions(path, 2)
    sidecar(path).write_text("[]")
    with pytest.raises(HandbenchError, match="is not the provenance of a predictions file"):
        read_predictions(path, 2)


def test_keyed_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "SRN.npz"
    uvd = np.random.default_rng(0).normal(200, 50, (3, 2, 3))
    uvd[1, 0] = np.nan
    keys = ("test/1/0000001", "test/1/0000002", "seq\\ä")
    write_predictions(path, predictions_of(uvd, keys))
    again = read_predictions(path, 2)
    assert_array_equal(again.uvd, uvd)
    assert again.frame_key == keys
    assert again.provenance == {"model": "srn", "center_method": "com"}


def test_bad_keyed_files(tmp_path: Path) -> None:
    path = tmp_path / "SRN.npz"
    path.write_bytes(b"PK\3\4 cut short")
    with pytest.raises(HandbenchError, match="is not a keyed predictions file"):
        read_predictions(path, 2)
    np.savez(path, uvd=VALUES, other=VALUES, frame_key=np.array([1, 2]))
    with pytest.raises(HandbenchError, match="frame_key holds int64, not text"):
        read_predictions(path, 2)
    np.savez(path, one=VALUES, other=VALUES)
    with pytest.raises(HandbenchError, match=r"is not a keyed predictions file .*it holds one, other; name one array"):
        read_predictions(path, 2)
    np.savez(path, uvd=VALUES, frame_key=np.array([{}, 1], dtype=object), provenance=np.array("{}"))
    with pytest.raises(HandbenchError, match="is not a keyed predictions file"):
        read_predictions(path, 2)
    write_predictions(path, predictions_of(VALUES, ("a", "b")))
    with pytest.raises(HandbenchError, match=r"uvd has shape \(2, 2, 3\), expected \(frames, 14 or 36 or 23, 3\)"):
        read_predictions(path, 14)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match="needs frame keys"):
        write_predictions(tmp_path / "SRN.npz", predictions_of(VALUES))
    with pytest.raises(HandbenchError, match=r"written as \.txt or \.npz, not as SRN\.csv"):
        write_predictions(tmp_path / "SRN.csv", predictions_of(VALUES))
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_predictions(tmp_path / "SRN.txt", Predictions("SRN", VALUES, None, {"model": object()}))
    assert list(tmp_path.iterdir()) == []


def test_predictions_that_contradict_themselves() -> None:
    with pytest.raises(ShapeError, match="not \\(frames, joints, 3\\)"):
        Predictions("SRN", np.zeros((2, 6)))
    with pytest.raises(ShapeError, match="3 frame keys, 2 frames"):
        predictions_of(VALUES, ("a", "b", "c"))
    with pytest.raises(HandbenchError, match="the frame key a comes twice"):
        predictions_of(VALUES, ("a", "a"))


def test_sidecar_is_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "SRN.txt"
    write_predictions(path, predictions_of(VALUES))
    record = json.loads((tmp_path / "SRN.txt.json").read_text())
    assert record["file"] == "SRN.txt"
    assert record["sha256"] == read_predictions(path, 2).source["sha256"]
