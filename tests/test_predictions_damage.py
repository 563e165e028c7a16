"""Damaged files of every layout: a clear line, never a traceback, and never a number that a cut made."""

from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handbench.camera import uvd_to_xyz
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.predictions import LAYOUTS, read_predictions, write_predictions
from tests.hands_of_text import NYU, predictions
from tests.test_predictions_layouts import hands17_predictions

FRAMES = 3
CHECKED = ("npz", "hands17-zip", "matlab")  # formats with a sum over what they hold; MATLAB as we write it
EVERY = (*LAYOUTS, "hands17-zip")


@cache
def whole(layout: str) -> tuple[bytes, np.ndarray]:
    """The bytes of a good file, and what it says."""
    spec = dataset("hands17") if layout.startswith("hands17") else NYU
    kind = "hands17" if layout == "hands17-zip" else layout
    given = hands17_predictions(FRAMES) if spec.name == "hands17" else predictions(FRAMES)
    with TemporaryDirectory() as folder:
        path = Path(folder) / ("a.zip" if layout.endswith("zip") else "a.any")
        write_predictions(path, given, kind, spec)
        data = path.read_bytes()
        (path.parent / f"{path.name}.json").unlink(missing_ok=True)
        return data, read_predictions(path, len(spec.joints.scored), spec).uvd


def read(layout: str, data: bytes, folder: Path) -> np.ndarray | None:
    """What a file says, or None if it is refused; everything else than one clear line fails."""
    spec = dataset("hands17") if layout.startswith("hands17") else NYU
    path = folder / "a.any"
    path.write_bytes(data)
    try:
        uvd = read_predictions(path, len(spec.joints.scored), spec).uvd
    except HandbenchError as error:
        said = str(error)
        uvd = None
    if uvd is None:
        assert "\n" not in said
        assert "a.any" in said or "predictions of a" in said
        return None
    assert uvd.shape[1:] == (len(spec.joints.scored), 3)
    assert np.nanmax(np.abs(uvd_to_xyz(uvd, spec.scoring_camera)), initial=0) < 1e16
    return uvd


def skip_without_pyarrow(layout: str) -> None:
    if layout.startswith("parquet"):
        pytest.importorskip("pyarrow")


def damaged(data: bytes, seed: int) -> bytes:
    """One to three accidents to a file: bits flipped, bytes replaced, put in, left out, cut off, said twice."""
    chance = Random(seed)
    for _ in range(chance.randint(1, 3)):
        i = chance.randrange(len(data)) if data else 0
        end = i + chance.randint(1, 40)
        byte = bytes([chance.choice((chance.randrange(256), *b'0123456789.-,;\t\r\n eE#"_/'))])
        before, here, after = data[:i], data[i : i + 1], data[i + 1 :]
        kind = chance.choice(("flip", "set", "insert", "delete", "cut", "double"))
        if kind == "flip" and here:
            data = before + bytes([here[0] ^ (1 << chance.randrange(8))]) + after
        elif kind == "set":
            data = before + byte + after
        elif kind == "insert":
            data = before + byte + here + after
        elif kind == "delete":
            data = before + data[end:]
        elif kind == "cut":
            data = before
        elif kind == "double":
            data = data[:end] + here + after
    return data


@pytest.mark.filterwarnings("default")  # a warning from a reader of damaged bytes is no error of ours
@pytest.mark.parametrize("layout", EVERY)
def test_damage_is_refused_in_one_line(layout: str, tmp_path: Path) -> None:
    skip_without_pyarrow(layout)
    data, uvd = whole(layout)

    @settings(max_examples=1000, suppress_health_check=list(HealthCheck), database=None)
    @given(st.integers(0, 2**40))  # a seed: one draw an example, so that 1,000 take seconds
    def examine(seed: int) -> None:
        found = read(layout, damaged(data, seed), tmp_path)
        if found is not None and layout in CHECKED:
            assert np.array_equal(found, uvd, equal_nan=True)

    examine()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("layout", EVERY)
def test_no_cut_makes_a_number(layout: str, tmp_path: Path) -> None:
    """Wherever a file is cut, only whole frames can still be read, and their number tells that some lack."""
    skip_without_pyarrow(layout)
    data, uvd = whole(layout)
    last_line = max(0, len(data) - 60)
    for end in (*range(0, last_line, max(1, last_line // 200)), *range(last_line, len(data))):
        found = read(layout, data[:end], tmp_path)
        if found is not None:
            assert np.array_equal(found, uvd[: len(found)], equal_nan=True), end
