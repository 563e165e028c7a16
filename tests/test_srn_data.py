"""Which frames of a store a network learns from, and which are held out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from handbench.srn.data import hold_out, labelled_rows
from handbench.store import Store
from tests.tiny_store import write_tiny_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr", train=12, bad_rows=(3,))


@given(st.integers(0, 300), st.floats(0, 0.99), st.integers(1, 12))
def test_held_out_rows_are_a_share_in_runs(count: int, fraction: float, blocks: int) -> None:
    rows = np.arange(count) * 3
    train, held = hold_out(rows, fraction, blocks)
    assert_array_equal(np.sort(np.concatenate((train, held))), rows)
    assert len(held) == round(fraction * count)
    assert len(train) > 0 or count <= 50
    runs = 1 + np.count_nonzero(np.diff(held) > 3) if len(held) else 0
    assert runs <= blocks


def test_held_out_rows_by_hand() -> None:
    train, held = hold_out(np.arange(20), 0.2, 2)
    assert_array_equal(held, [8, 9, 18, 19])
    assert_array_equal(train, [*range(8), *range(10, 18)])


def test_rows_without_image_or_label_are_left_out(store: Path, tmp_path: Path) -> None:
    opened = Store(store)
    assert_array_equal(labelled_rows(opened, opened["train"]), [0, 1, 2, *range(4, 12)])
    unlabelled = Store(write_tiny_store(tmp_path / "unlabelled.zarr", labelled=False))
    assert len(labelled_rows(unlabelled, unlabelled["train"])) == 0
