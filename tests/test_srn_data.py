"""Which frames of a store a network learns from, and which are held out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from handbench.errors import HandbenchError
from handbench.srn.config import TrainConfig, load_config
from handbench.srn.data import choose_rows, held_blocks, labelled_rows
from handbench.store import Store
from tests.tiny_store import write_tiny_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr", train=12, bad_rows=(3,))


@given(st.integers(0, 300), st.floats(0, 0.99), st.integers(1, 12))
def test_held_out_frames_are_a_share_in_runs(count: int, fraction: float, blocks: int) -> None:
    held = np.flatnonzero(held_blocks(count, fraction, blocks))
    assert len(held) == round(fraction * count)
    assert len(held) < count or count <= 50
    runs = 1 + np.count_nonzero(np.diff(held) > 1) if len(held) else 0
    assert runs <= blocks


def test_held_out_frames_by_hand() -> None:
    assert_array_equal(np.flatnonzero(held_blocks(20, 0.2, 2)), [8, 9, 18, 19])


def test_rows_without_image_or_label_are_left_out(store: Path, tmp_path: Path) -> None:
    opened = Store(store)
    assert_array_equal(labelled_rows(opened, opened["train"]), [0, 1, 2, *range(4, 12)])
    unlabelled = Store(write_tiny_store(tmp_path / "unlabelled.zarr", labelled=False))
    assert len(labelled_rows(unlabelled, unlabelled["train"])) == 0


def config(*sets: str) -> TrainConfig:
    return load_config("paper-nyu", sets=sets)


@pytest.fixture(scope="module")
def by_turns(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Subjects P8, P0, P1 of 4, 4 and 2 frames in that order, gestures a, b by turns; frame 1 has no image."""
    subject = ["P8"] * 4 + ["P0"] * 4 + ["P1"] * 2
    path = tmp_path_factory.mktemp("by_turns") / "msra.zarr"
    return Store(
        write_tiny_store(
            path, splits={"all": 10}, bad_rows=(1,), columns={"subject": subject, "sequence": ["a", "b"] * 5}
        )
    )


ALL = "data.split=all"


@pytest.mark.parametrize(
    ("sets", "held"),
    [
        (["data.validation_by=subject"], [8, 9]),  # 2 of 9 frames are nearer to a tenth than 6
        (["data.validation_by=subject", "data.validation_fraction=0.6"], [4, 5, 6, 7, 8, 9]),
        (["data.validation_by=subject", "data.validation_fraction=0.95"], [4, 5, 6, 7, 8, 9]),  # never all of them
        (["data.validation_by=sequence"], [3, 5, 7, 9]),
        (["data.validation_by=blocks", "data.validation_fraction=0.3", "data.validation_blocks=1"], [7, 8, 9]),
        (["data.validation_by=subject", "data.validation_fraction=0"], []),
    ],
)
def test_frames_are_held_out_in_whole_groups(by_turns: Store, sets: list[str], held: list[int]) -> None:
    train, found = choose_rows(by_turns, config(ALL, *sets))
    assert_array_equal(found, held)
    assert_array_equal(np.sort(np.concatenate((train, found))), [0, *range(2, 10)])


def test_excluded_subjects_are_neither_trained_nor_validated_on(by_turns: Store) -> None:
    train, held = choose_rows(by_turns, config(ALL, 'data.exclude_subjects=["P1"]', "data.validation_by=subject"))
    assert_array_equal(train, [0, 2, 3])
    assert_array_equal(held, [4, 5, 6, 7])
    train, held = choose_rows(by_turns, config(ALL, 'data.exclude_subjects=["P8", "P0"]', "data.validation_fraction=0"))
    assert_array_equal(train, [8, 9])
    assert len(held) == 0


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([], r"no split 'train', only 'all'.*data.split=all and data.exclude_subjects=.*handbench loso"),
        (["data.split=val"], "no split 'val', only 'all'"),
        ([ALL, 'data.exclude_subjects=["P9"]'], "names 'P9', which is no subject of split all.*there are P0, P1, P8"),
        ([ALL, 'data.exclude_subjects=["P0", "P1", "P8"]'], "no labelled frames.*without the subjects left out"),
        (
            [ALL, 'data.exclude_subjects=["P0", "P1"]', "data.validation_by=subject"],
            "has only the subject 'P8' to train on.*data.validation_by=blocks",
        ),
    ],
)
def test_what_cannot_be_chosen_is_one_line(by_turns: Store, sets: list[str], message: str) -> None:
    with pytest.raises(HandbenchError, match=message) as caught:
        choose_rows(by_turns, config(*sets))
    assert "\n" not in str(caught.value)


def test_without_names_nothing_is_held_out_by_them(store: Path) -> None:
    with pytest.raises(HandbenchError, match="11 of 11 frames have no sequence"):
        choose_rows(Store(store), config("data.validation_by=sequence"))


def test_nothing_is_trained_on_the_test_split() -> None:
    with pytest.raises(HandbenchError, match="nothing is trained on a test split"):
        config("data.split=test")
