"""Crops and targets of a store, the order of frames and what is held out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handbench.preprocess import AugmentConfig
from handbench.srn.data import EpochOrder, HandCrops, batches, croppable_rows, hold_out, labelled_rows, stored_box
from handbench.store import Store
from tests.tiny_store import write_tiny_store

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr", train=12, bad_rows=(3,))


def test_the_target_is_where_the_joint_is_seen(store: Path) -> None:
    """Under every target of an augmented crop lies the front of a sphere of 18 mm, or of one nearer to the camera."""
    crops = HandCrops(store, "train", 128, AugmentConfig(), seed=1)
    for row in (0, 1, 2):
        sample = crops[1, row]
        depth, target = sample["depth"][0].numpy(), sample["target"].numpy()
        column, line = (np.rint(target[:, axis] * 64 + 63.5).astype(int) for axis in (0, 1))
        inside = (np.abs(target) < 0.95).all(axis=1)
        assert inside.sum() >= 10
        seen = depth[line[inside], column[inside]]
        assert np.all((target[inside, 2] - seen) * 125 > 10)


def test_the_target_goes_back_to_the_label(store: Path) -> None:
    split = Store(store)["train"]
    sample = HandCrops(store, "train", 64)[0, 5]
    box = stored_box(split, 5)
    xyz = box.bb_to_xyz(box.si_norm_to_bb(sample["target"].numpy().astype(np.float64)))
    scored = list(Store(store).spec.joints.scored)
    assert_allclose(xyz, split.joints_xyz[5, scored], atol=1e-3)


def test_a_sample_depends_on_seed_epoch_and_row_alone(store: Path) -> None:
    def sample(seed: int, epoch: int, row: int) -> np.ndarray:
        return HandCrops(store, "train", 64, AugmentConfig(), seed)[epoch, row]["target"].numpy()

    crops = HandCrops(store, "train", 64, AugmentConfig(), seed=0)
    _ = crops[1, 7], crops[2, 8]
    assert_array_equal(crops[1, 0]["target"], sample(0, 1, 0))
    for other in (sample(1, 1, 0), sample(0, 2, 0)):
        assert np.abs(other - sample(0, 1, 0)).max() > 0.01


def test_workers_and_cache_change_nothing(store: Path) -> None:
    rows = croppable_rows(Store(store)["train"])
    found = []
    for workers, cache in ((0, False), (2, False), (0, True)):
        crops, order = HandCrops(store, "train", 64, AugmentConfig(), 3, cache), EpochOrder(rows, 3)
        loader = batches(crops, order, 4, workers, CPU)
        runs = []
        for epoch in (1, 2):
            order.epoch = epoch
            runs += [batch["depth"] for batch in loader]
        found.append(torch.cat(runs))
    assert not torch.equal(found[0][:11], found[0][11:])
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_every_epoch_has_every_row_once_in_another_order() -> None:
    order = EpochOrder(np.arange(10, 60), seed=0)
    epochs = []
    for order.epoch in (1, 2):
        epochs.append(list(order))
    assert [sorted(row for _, row in keys) for keys in epochs] == [list(range(10, 60))] * 2
    assert [row for _, row in epochs[0]] != [row for _, row in epochs[1]]
    assert {epoch for epoch, _ in epochs[1]} == {2}
    order.epoch = 1
    assert list(order) == epochs[0]


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
    assert_array_equal(croppable_rows(Store(store)["train"]), [0, 1, 2, *range(4, 12)])
    unlabelled = Store(write_tiny_store(tmp_path / "unlabelled.zarr", labelled=False))
    assert len(labelled_rows(unlabelled["train"], unlabelled.spec.joints.scored)) == 0
    assert len(croppable_rows(unlabelled["train"])) == 24
