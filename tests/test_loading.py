"""Samples of a store: what they hold, that only (seed, epoch, row) change them, and the three ways to get them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.utils.data import DataLoader

from handbench.errors import HandbenchError
from handbench.loading import EpochOrder, HandDataset, ResidentBatches, Sample, croppable_rows, stored_box
from handbench.preprocess import AugmentConfig, HandBox
from handbench.preprocess.windows import Margin, Reach, cut_window
from handbench.store import Store, StoreWriter
from handbench.store.layout import COLUMNS, WindowFacts
from tests.tiny_store import write_tiny_store

ALL = AugmentConfig(mirror=0.5, noise_mm=(0, 4), dropout=(0, 0.3), occluders=2)
FORKING = "ignore:.*fork:DeprecationWarning"  # Python 3.12 and newer warn of every fork beside a thread


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("store") / "tiny.zarr", train=12, test=0, bad_rows=(3,))


@pytest.fixture(scope="module")
def windows(store: Path) -> Path:
    """The same as windows for the paper's augmentation; row 7 does not fit into them."""
    source, path = Store(store), store.parent / "windows.zarr"
    split, margin = source["train"], Margin.of(AugmentConfig())
    cube = split.cube.copy()
    cube[7] = 600
    reach = Reach.of(split.center_xyz, split.cube, source.camera, margin)
    side = int(reach.side(source.camera).max())
    origin = reach.origins(side, source.camera)
    facts = WindowFacts(side, margin.to_dict())
    writer = StoreWriter(path, source.spec, source.camera, "", {"maker": "test"}, windows=facts)
    writer.create_split("train", len(split), (side, side))
    writer.write_depth("train", np.stack([cut_window(split.depth(i), origin[i], side) for i in range(len(split))]))
    columns = {name: getattr(split, name) for name in COLUMNS if name != "origin_uv"}
    there = {name: column for name, column in columns.items() if column is not None}
    method = {"center_xyz": {"center_method": "gt-mean"}}
    writer.write_columns("train", {**there, "cube": cube, "origin_uv": origin}, method)
    writer.finish()
    return path


def same(found: Sample, expected: Sample) -> bool:
    """Whether two batches hold the same under the same names, NaN for NaN."""
    a, b = dict[str, Any](found), dict[str, Any](expected)
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and np.array_equal(a[name].float(), b[name].float(), equal_nan=True)
        for name in a
    )


# -- a sample --------------------------------------------------------------------------------------------------------


def test_the_target_is_where_the_joint_is_seen(store: Path) -> None:
    """Under every target of an augmented crop lies the front of a sphere of 18 mm, or of one nearer to the camera."""
    frames = HandDataset(store, "train", 128, augment=AugmentConfig(mirror=0.5), seed=1)
    mirrored = 0
    for place in range(6):
        sample = frames[1, place]
        mirrored += int(sample["mirrored"])
        depth, target = sample["depth"][0].numpy(), sample["target"].numpy()
        column, line = (np.rint(target[:, axis] * 64 + 63.5).astype(int) for axis in (0, 1))
        inside = (np.abs(target) < 0.95).all(axis=1)
        assert inside.sum() >= 10
        assert np.all((target[inside, 2] - depth[line[inside], column[inside]]) * 125 > 10)
    assert 0 < mirrored < 6


def test_the_target_goes_back_to_the_label(store: Path) -> None:
    split, scored = Store(store)["train"], list(Store(store).spec.joints.scored)
    frames = HandDataset(store, "train", 64, augment=ALL, seed=2)
    batch = next(iter(DataLoader(frames, batch_size=11)))
    box = HandBox(*(batch[name].double().numpy() for name in ("center_xyz", "cube", "roll")))
    xyz = box.bb_to_xyz(box.si_norm_to_bb(batch["target"].double().numpy()))
    assert_allclose(xyz, batch["joints_xyz"], atol=1e-3)
    mirrored = batch["mirrored"].numpy()
    assert 0 < mirrored.sum() < 11
    assert_array_equal(batch["row"], [0, 1, 2, *range(4, 12)])
    xyz[mirrored, :, 0] *= -1
    assert_allclose(xyz, split.joints_xyz[batch["row"]][:, scored], atol=1e-3)
    assert_array_equal(batch["hand"], np.where(mirrored, -1, 1))  # NYU shows right hands


def test_without_augmentation_the_box_is_that_of_the_store(store: Path) -> None:
    split = Store(store)["train"]
    sample = HandDataset(store, "train", 64, rows=np.array([5]))[0]
    box = stored_box(split, np.array([5]))
    assert_array_equal(sample["center_xyz"], box.center_xyz[0].astype(np.float32))
    assert_array_equal(sample["cube"], box.cube[0].astype(np.float32))
    assert (float(sample["roll"]), bool(sample["mirrored"]), int(sample["row"])) == (0.0, False, 5)


def test_a_sample_depends_on_seed_epoch_and_row_alone(store: Path) -> None:
    def sample(seed: int, epoch: int, rows: list[int], place: int) -> Sample:
        return HandDataset(store, "train", 64, np.array(rows), ALL, seed)[epoch, place]

    frames = HandDataset(store, "train", 64, augment=ALL)
    _ = frames[1, 7], frames[2, 8]
    many = frames.__getitems__([(1, 4), (2, 4), (1, 0)])
    assert same(frames[1, 4], sample(0, 1, [9, 5], 1))  # place 4 is row 5: row 3 is bad
    assert same(many[0], frames[1, 4])
    assert same(many[1], frames[2, 4])
    for other in (sample(1, 1, [5], 0), sample(0, 2, [5], 0), sample(0, 1, [4], 0)):
        assert not same(other, many[0])


def test_depth_comes_in_half_precision(store: Path) -> None:
    full, half = (HandDataset(store, "train", 64, dtype=dtype)[2]["depth"] for dtype in (torch.float32, torch.bfloat16))
    assert torch.equal(half, full.to(torch.bfloat16))


# -- the three ways --------------------------------------------------------------------------------------------------


def batches_of(store: Path, workers: int, method: str | None, cache: bool = False) -> list[Sample]:
    """Two epochs in a stock loader whose workers live on."""
    frames = HandDataset(store, "train", 32, augment=ALL, seed=3, cache=cache)
    order = EpochOrder(frames.rows, 3)
    loader = DataLoader(
        frames, 4, sampler=order, num_workers=workers, multiprocessing_context=method, persistent_workers=workers > 0
    )
    found = []
    for order.epoch in (1, 2):
        found += list(loader)
    return found


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.slow
@pytest.mark.filterwarnings(FORKING)
def test_workers_of_every_start_method_change_nothing(store: Path, method: str) -> None:
    if method not in torch.multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    expected, found = batches_of(store, 0, None), batches_of(store, 2, method)
    assert len(expected) == 6
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))
    assert not same(expected[0], expected[3])


@pytest.mark.filterwarnings(FORKING)
def test_the_epoch_reaches_workers_that_run_already(store: Path) -> None:
    frames = HandDataset(store, "train", 32, augment=AugmentConfig(), seed=3)
    loader = DataLoader(frames, 11, num_workers=1, multiprocessing_context="fork", persistent_workers=True)
    for epoch in (4, 9):
        frames.set_epoch(epoch)
        assert same(next(iter(loader)), torch.utils.data.default_collate([frames[epoch, i] for i in range(11)]))


def test_a_cache_changes_nothing(store: Path) -> None:
    assert all(same(*pair) for pair in zip(batches_of(store, 0, None, True), batches_of(store, 0, None), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_resident_batches_are_those_of_the_dataset(store: Path, dtype: torch.dtype) -> None:
    frames = HandDataset(store, "train", 32, augment=ALL, seed=3, dtype=dtype)
    order = EpochOrder(frames.rows, 3)
    resident = ResidentBatches(store, "train", 32, 4, augment=ALL, seed=3, dtype=dtype)
    assert len(resident) == 3
    for epoch in (1, 2):
        order.epoch = resident.epoch = epoch
        assert all(same(*pair) for pair in zip(resident, DataLoader(frames, 4, sampler=order), strict=True))


def test_resident_batches_may_keep_their_order_and_drop_the_last(store: Path) -> None:
    resident = ResidentBatches(store, "train", 32, 4, shuffle=False, drop_last=True)
    rows = [batch["row"].tolist() for batch in resident]
    assert rows == [[0, 1, 2, 4], [5, 6, 7, 8]]
    assert len(resident) == 2


def test_whole_frames_are_cut_to_windows_in_memory(store: Path) -> None:
    upright = ResidentBatches(store, "train", 32, 4)
    turned = ResidentBatches(store, "train", 32, 4, augment=AugmentConfig())
    split = Store(store)["train"]
    for resident, margin in ((upright, Margin()), (turned, Margin.of(AugmentConfig()))):
        reach = Reach.of(split.center_xyz[resident.rows], split.cube[resident.rows], Store(store).camera, margin)
        assert resident.windows.shape == (11, *[int(reach.side(Store(store).camera).max())] * 2)
    assert upright.windows.shape[1] < turned.windows.shape[1] < 64


def test_windows_give_the_samples_of_the_frames(store: Path, windows: Path) -> None:
    rows = croppable_rows(Store(windows), Store(windows)["train"], AugmentConfig())
    assert_array_equal(rows, [0, 1, 2, 4, 5, 6, 8, 9, 10, 11])
    expected = HandDataset(store, "train", 32, rows, AugmentConfig(), 5).__getitems__([(1, i) for i in range(10)])
    frames = HandDataset(windows, "train", 32, augment=AugmentConfig(), seed=5)
    assert all(same(*pair) for pair in zip(frames.__getitems__([(1, i) for i in range(10)]), expected, strict=True))
    resident = ResidentBatches(windows, "train", 32, 10, augment=AugmentConfig(), seed=5, shuffle=False)
    resident.epoch = 1
    assert same(next(iter(resident)), torch.utils.data.default_collate(expected))


def test_windows_without_room_are_refused(windows: Path) -> None:
    wider = AugmentConfig(scale=(0.9, 1.3))
    for make in (HandDataset, ResidentBatches):
        with pytest.raises(HandbenchError, match=r"scale 0\.9 to 1\.3"):
            make(windows, "train", 32, 4, augment=wider)  # type: ignore[arg-type]  # 4 rows are never looked at
    with pytest.raises(HandbenchError, match="frame train/1/0000008 reaches beyond its window"):
        _ = HandDataset(windows, "train", 32, np.array([7]))[0]


# -- the order -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard_frames", [None, 8])
def test_every_epoch_has_every_place_once_in_another_order(shard_frames: int | None) -> None:
    order = EpochOrder(np.arange(10, 60), 0, shard_frames, buffer=2)
    epochs = []
    for order.epoch in (1, 2):
        epochs.append(list(order))
    assert [sorted(place for _, place in keys) for keys in epochs] == [list(range(50))] * 2
    assert [place for _, place in epochs[0]] != [place for _, place in epochs[1]]
    assert {epoch for epoch, _ in epochs[1]} == {2}
    order.epoch = 1
    assert list(order) == epochs[0]


def test_streaming_opens_few_shards_at_a_time_and_mixes_them() -> None:
    rows = np.setdiff1d(np.arange(1000), [3, 17, 400])
    shards = rows[EpochOrder(rows, 1, shard_frames=50, buffer=4).places()] // 50
    runs = np.split(shards, np.flatnonzero(~np.isin(shards[1:], shards[:1])) + 1)
    assert len(runs) > 20  # mixed
    seen: set[int] = set()
    for start in range(0, 20, 4):
        count = int(sum(np.count_nonzero(rows // 50 == shard) for shard in range(20) if shard not in seen))
        now = set(shards[len(shards) - count :][:150].tolist())
        assert len(now) == 4
        assert not now & seen
        seen |= now
        assert len(seen) == start + 4
    assert shards[:200].tolist() != sorted(shards[:200].tolist())


def test_an_order_without_shards_is_refused() -> None:
    with pytest.raises(HandbenchError, match="at least 1"):
        EpochOrder(np.arange(4), 0, shard_frames=0)


def test_streaming_from_disk_gives_every_row_once(store: Path) -> None:
    frames = HandDataset(store, "train", 32, augment=AugmentConfig())
    order = EpochOrder(frames.rows, 0, frames.shard_frames)
    batches = list(DataLoader(frames, 4, sampler=order))
    assert sorted(torch.cat([batch["row"] for batch in batches]).tolist()) == frames.rows.tolist()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_batches_on_a_gpu_are_those_on_the_host(store: Path) -> None:
    host, device = (
        ResidentBatches(store, "train", 32, 4, augment=ALL, seed=3, device=torch.device(name))
        for name in ("cpu", "cuda")
    )
    for expected, found in zip(host, device, strict=True):
        assert found["depth"].device.type == "cuda"
        assert same({name: value.cpu() for name, value in found.items()}, expected)  # type: ignore[arg-type, attr-defined]  # a Sample
