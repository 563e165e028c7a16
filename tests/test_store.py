"""The store: round trip, what it refuses, damage, and that others can open it."""

from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from numpy.testing import assert_array_equal

from handbench.datasets import dataset
from handbench.errors import HandbenchError, ShapeError
from handbench.store import FrameStatus, FrameTable, Store, StoreWriter
from handbench.store import writer as writer_module
from handbench.store.describe import describe, text
from handbench.store.shards import ShardReader
from handbench.store.writer import CODECS, SHARD_FRAMES, write_depth

SPEC = dataset("nyu")
FRAMES = SHARD_FRAMES + 3


def columns(frames: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    joints = rng.normal(0, 50, (frames, 36, 3)).astype(np.float32)
    joints[0, 1] = np.nan
    return {
        "frame_key": np.array([f"test/1/{i:07d}" for i in range(1, frames + 1)]),
        "subject": np.array(["1"] * (frames - 1) + ["2"]),
        "sequence": np.array([""] * frames),
        "view": np.ones(frames, np.uint8),
        "joints_xyz": joints,
        "center_xyz": rng.normal(0, 50, (frames, 3)).astype(np.float32),
        "cube": np.full((frames, 3), 250, np.float32),
        "status": np.zeros(frames, np.uint8),
    }


def write(path: Path, depth: np.ndarray, finish: bool = True) -> dict[str, np.ndarray]:
    writer = StoreWriter(path, SPEC, SPEC.camera, "", {"converter": "nyu", "raw": {}})
    writer.create_split("test", len(depth), (depth.shape[1], depth.shape[2]))
    writer.write_depth("test", depth)
    table = columns(len(depth))
    writer.write_columns("test", table, {"center_xyz": {"center_method": "com"}})
    if finish:
        writer.finish()
    return table


@pytest.fixture
def depth() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2000, (FRAMES, 6, 8)).astype(np.uint16)


def test_round_trip(tmp_path: Path, depth: np.ndarray) -> None:
    table = write(tmp_path / "s.zarr", depth)
    store = Store(tmp_path / "s.zarr")
    split = store["test"]
    assert store.spec == SPEC
    assert store.camera == SPEC.camera
    assert store.splits == ("test",)
    assert len(split) == FRAMES
    assert split.center_method == "com"
    for row in (0, 1, SHARD_FRAMES - 1, SHARD_FRAMES, FRAMES - 1):
        assert_array_equal(split.depth(row), depth[row])
    for name, values in table.items():
        assert_array_equal(getattr(split, name), values)
    assert split.usable.all()


def test_xarray_opens_it_with_names(tmp_path: Path, depth: np.ndarray) -> None:
    table = write(tmp_path / "s.zarr", depth)
    with xarray.open_zarr(tmp_path / "s.zarr", group="test") as data:
        assert data["depth"].dims == ("frame", "v", "u")
        assert data["joints_xyz"].attrs["units"] == "mm"
        palm = data["joints_xyz"].sel(joint="PALM_3", xyz="y").to_numpy()
        assert_array_equal(palm, table["joints_xyz"][:, 32, 1])
        assert_array_equal(data["depth"][5].to_numpy(), depth[5])


def test_an_unfinished_store_is_refused_by_name(tmp_path: Path, depth: np.ndarray) -> None:
    write(tmp_path / "s.zarr", depth, finish=False)
    with pytest.raises(HandbenchError, match=r"s\.zarr is not finished"):
        Store(tmp_path / "s.zarr")


def test_a_newer_format_is_refused(tmp_path: Path, depth: np.ndarray) -> None:
    write(tmp_path / "s.zarr", depth)
    zarr.open_group(str(tmp_path / "s.zarr"), use_consolidated=False).attrs["handbench_format"] = 2
    with pytest.raises(HandbenchError, match="store format 2, this handbench reads up to 1: upgrade"):
        Store(tmp_path / "s.zarr")


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match="there is no store"):
        Store(tmp_path / "nothing.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(HandbenchError, match="not a Zarr group"):
        Store(tmp_path / "folder")
    (tmp_path / "file.zarr").write_text("x")
    with pytest.raises(HandbenchError, match="not a Zarr group"):
        Store(tmp_path / "file.zarr")
    zarr.create_group(str(tmp_path / "other.zarr"))
    with pytest.raises(HandbenchError, match="no handbench store"):
        Store(tmp_path / "other.zarr")


def test_a_missing_split_names_those_there_are(tmp_path: Path, depth: np.ndarray) -> None:
    write(tmp_path / "s.zarr", depth)
    with pytest.raises(HandbenchError, match="no split 'train', only test"):
        Store(tmp_path / "s.zarr")["train"]
    with pytest.raises(HandbenchError, match=f"no frame {FRAMES}"):
        Store(tmp_path / "s.zarr")["test"].depth(FRAMES)


def test_a_flipped_bit_is_found_and_named(tmp_path: Path, depth: np.ndarray) -> None:
    write(tmp_path / "s.zarr", depth)
    shard = tmp_path / "s.zarr" / "test" / "depth" / "c" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[30] ^= 1  # inside the first frame
    shard.write_bytes(data)
    split = Store(tmp_path / "s.zarr")["test"]
    with pytest.raises(HandbenchError, match=r"test/1/0000001 \(row 0\) is damaged"):
        split.depth(0)
    assert_array_equal(split.depth(1), depth[1])


def test_single_frames_come_straight_from_their_shard(tmp_path: Path, depth: np.ndarray) -> None:
    depth[FRAMES - 1] = 0  # not stored at all, so that Zarr has to say what it is
    write(tmp_path / "s.zarr", depth)
    split = Store(tmp_path / "s.zarr")["test"]
    straight = [split._shards.read(row) for row in range(FRAMES)]
    assert straight.pop() is None
    assert_array_equal(np.array(straight), depth[:-1])
    assert_array_equal(split.depth(FRAMES - 1), depth[-1])


def test_a_damaged_index_of_a_shard_is_found(tmp_path: Path, depth: np.ndarray) -> None:
    write(tmp_path / "s.zarr", depth)
    shard = tmp_path / "s.zarr" / "test" / "depth" / "c" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1
    shard.write_bytes(data)
    split = Store(tmp_path / "s.zarr")["test"]
    with pytest.raises(HandbenchError, match=r"test/1/0000004 \(row 3\) is damaged"):
        split.depth(3)
    assert_array_equal(split.depth(SHARD_FRAMES), depth[SHARD_FRAMES])


def test_an_array_packed_otherwise_is_left_to_zarr(tmp_path: Path, depth: np.ndarray) -> None:
    array = zarr.create_array(str(tmp_path / "a"), data=depth, chunks=(1, 6, 8), shards=(4, 6, 8))
    assert ShardReader(array, tmp_path / "a").read(0) is None


def test_a_writer_fills_its_shard_and_no_other(tmp_path: Path, depth: np.ndarray) -> None:
    writer = StoreWriter(tmp_path / "s.zarr", SPEC, SPEC.camera, "", {})
    writer.create_split("test", FRAMES, (6, 8))
    with pytest.raises(ValueError, match="frame 1 of test begins no shard"):
        write_depth(tmp_path / "s.zarr", "test", 1, depth[:SHARD_FRAMES])
    with pytest.raises(ValueError, match="5 frames from 0 of test do not fill a shard, which needs 128"):
        write_depth(tmp_path / "s.zarr", "test", 0, depth[:5])
    with pytest.raises(ValueError, match=r"frame 0 of test is \(6, 8\) float32"):
        write_depth(tmp_path / "s.zarr", "test", 0, depth.astype(np.float32))
    assert not (tmp_path / "s.zarr" / "test" / "depth" / "c").exists()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("frames", [1, 5, SHARD_FRAMES, FRAMES])
def test_shards_are_the_bytes_that_zarr_writes(tmp_path: Path, codec: str, dtype: type, frames: int) -> None:
    depth: np.ndarray = np.random.default_rng(0).integers(300, 900, (frames, 24, 32)).astype(dtype)
    depth[3::4] = 0  # empty frames, and the last shard of 131 frames is not full
    for name in ("ours", "zarr"):
        writer = StoreWriter(tmp_path / name, SPEC, SPEC.camera, "", {}, codec)
        writer.create_split("test", frames, (24, 32), np.dtype(dtype))
    ours_writer = StoreWriter.resume(tmp_path / "ours")
    ours_writer.write_depth("test", depth)
    zarr.open_array(str(tmp_path / "zarr" / "test" / "depth"))[...] = depth
    ours, theirs = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("c/*/0/0")}
        for name in ("ours", "zarr")
    )
    assert list(ours.values()) == list(theirs.values())
    assert len(ours) == -(-frames // SHARD_FRAMES)


def test_long_tables_are_written_piece_by_piece(
    tmp_path: Path, depth: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "COLUMN_ROWS", 50)
    table = write(tmp_path / "s.zarr", depth)
    split = Store(tmp_path / "s.zarr")["test"]
    assert zarr.open_array(str(tmp_path / "s.zarr" / "test" / "joints_xyz"), mode="r").chunks[0] == 50
    for name in ("frame_key", "joints_xyz", "center_xyz", "status"):
        assert_array_equal(getattr(split, name), table[name])


def test_a_shard_of_empty_frames_takes_no_file(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "s.zarr", SPEC, SPEC.camera, "", {})
    writer.create_split("test", 3, (6, 8))
    writer.write_depth("test", np.zeros((3, 6, 8), np.uint16))
    assert not (tmp_path / "s.zarr" / "test" / "depth" / "c").exists()


def table_of(values: dict[str, np.ndarray]) -> FrameTable:
    return FrameTable(
        image=values["frame_key"],
        frame_key=values["frame_key"],
        subject=values["subject"],
        sequence=values["sequence"],
        view=values["view"],
        joints_xyz=values["joints_xyz"],
    )


def test_a_table_of_frames_can_be_cut_and_has_columns_of_one_length() -> None:
    values = columns(3)
    table = table_of(values)
    assert (len(table), len(table[:2]), table[1:].frame_key.tolist()) == (3, 2, ["test/1/0000002", "test/1/0000003"])
    assert sorted(table.stored()) == ["frame_key", "joints_xyz", "sequence", "subject", "view"]
    with pytest.raises(ShapeError, match="disagree"):
        table_of({**values, "view": values["view"][:2]})


def test_description_counts_what_is_there(tmp_path: Path, depth: np.ndarray) -> None:
    write(tmp_path / "s.zarr", depth)
    facts = describe(Store(tmp_path / "s.zarr"))
    split = facts["splits"]["test"]
    assert split["frames"] == FRAMES
    assert split["subjects"] == {"1": FRAMES - 1, "2": 1}
    assert split["status"] == {"ok": FRAMES}
    assert split["labelled_scored_joints"] == FRAMES * 14  # joint 1 is not scored
    assert split["bytes"] > depth.nbytes / 4
    lines = "\n".join(text(facts))
    assert f"test: {FRAMES} frames, test/1/0000001 to test/1/{FRAMES:07d}" in lines
    assert "synthetic" not in lines


def test_titles_of_the_status() -> None:
    assert [status.title for status in FrameStatus] == [
        "ok",
        "image missing",
        "image corrupt",
        "label invalid",
        "outside image",
        "box empty",
    ]
