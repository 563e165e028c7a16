"""Comparison of stores: equal is equal, and each difference is named with its first frame."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result

from handbench.converters.store_commands import compare_stores
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.store import Store, StoreWriter
from tests.tiny_store import CAMERA, write_tiny_store

FRAMES = 140  # two shards


def run(*args: object) -> Result:
    return CliRunner().invoke(compare_stores, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("good") / "a.zarr", train=2, test=FRAMES, bad_rows=(1,))


@pytest.fixture
def other(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "b.zarr"))


def table(store: Path, name: str) -> Any:
    return zarr.open_array(str(store / "test" / name), mode="r+")


def root(store: Path) -> Any:
    return zarr.open_group(str(store), mode="r+", use_consolidated=False).attrs


def test_a_copy_is_equal(good: Path, other: Path) -> None:
    result = run(good, other)
    assert result.exit_code == 0
    compared = "2 train + 140 test frames in both: facts, tables, every pixel"
    assert result.stdout == f"{good} and {other}: equal ({compared})\n"
    assert result.stderr == ""
    assert json.loads(run(good, other, "--json").stdout)["equal"]


def reconsolidate(store: Path) -> None:
    with pytest.warns(UserWarning, match="Consolidated"):
        zarr.consolidate_metadata(str(store))


def changed(name: str, rows: Any, value: Any) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        table(store, name)[rows] = value

    return change


def attribute(name: str, key: str, value: Any) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        attributes = root(store)
        attributes[name] = {**attributes[name], key: value} if key else value

    return change


def center_method(store: Path) -> None:
    table(store, "center_xyz").attrs["center_method"] = "com"
    reconsolidate(store)


def pixels(store: Path) -> None:
    depth = table(store, "depth")
    depth[4, 0, 0] = depth[4, 0, 0] + 3
    depth[139, 5, 5] = depth[139, 5, 5] + 7


def key(row: int) -> str:
    return f"test/1/{row + 1:07d}"


DIFFERENT = [
    (pixels, "test/depth", "2 frames differ by 7 at most from test/1/0000005 on", key(4), 2, 7),
    (changed("view", [3, 9], 2), "test/view", "2 frames differ by 1 at most from", key(3), 2, 1),
    (changed("sequence", 138, "x"), "test/sequence", "1 frames differ from test/1/0000139 on", key(138), 1, None),
    (
        changed("joints_xyz", (6, 5), np.nan),
        "test/joints_xyz",
        "1 frames differ, NaN against a number,",
        key(6),
        1,
        None,
    ),
    (changed("cube", (7, 1), 260.5), "test/cube", "1 frames differ by 10.5 at most", key(7), 1, 10.5),
    (changed("status", 139, 3), "test/status", "1 frames differ by 3 at most", key(139), 1, 3),
    (attribute("camera", "fx", 61.0), "root", "camera.fx: 60.0 / 61.0", "", 0, None),
    (attribute("dataset", "handedness", "left"), "root", "dataset.handedness: right / left", "", 0, None),
    (attribute("release", "", "new"), "root", "release:  / new", "", 0, None),
    (center_method, "test/center_xyz", "attribute center_method: gt-mean / com", "", 0, None),
]


@pytest.mark.parametrize(("change", "where", "what", "first", "frames", "largest"), DIFFERENT)
def test_each_difference_is_named(
    good: Path,
    other: Path,
    change: Callable[[Path], None],
    where: str,
    what: str,
    first: str,
    frames: int,
    largest: float | None,
) -> None:
    change(other)
    result = run(good, other, "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert not data["equal"]
    (difference,) = data["differences"]
    assert difference["where"] == where
    assert what in difference["what"]
    assert (difference["first"], difference["frames"], difference["largest"]) == (first, frames, largest)
    text = run(good, other)
    assert text.exit_code == 1
    assert f"{where}: {difference['what']}\n" in text.stdout
    assert ": 1 difference (" in text.stdout
    assert run(other, good).exit_code == 1


@pytest.mark.parametrize(
    ("change", "remark"),
    [
        (attribute("provenance", "maker", "another"), "differs and changes no frame: provenance.maker"),
        (attribute("codec", "", "bitshuffle"), "differs and changes no frame: codec"),
        (attribute("handbench_version", "", "9.9"), "differs and changes no frame: handbench_version"),
        (attribute("dataset", "notes", ["other"]), "differs and changes no frame: dataset.notes"),
    ],
)
def test_what_changes_no_frame_is_said_and_counts_as_equal(
    good: Path, other: Path, change: Callable[[Path], None], remark: str
) -> None:
    change(other)
    result = run(good, other)
    assert result.exit_code == 0
    assert result.stderr.strip() == remark
    assert json.loads(run(good, other, "--json").stdout)["remarks"] == [remark]


def test_another_packing_is_equal(tmp_path: Path, good: Path) -> None:
    copy_rows(good, tmp_path / "b.zarr", np.arange(FRAMES), codec="bitshuffle")
    shutil.rmtree(copied := Path(shutil.copytree(good, tmp_path / "a.zarr")) / "train")
    reconsolidate(copied.parent)
    result = run(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert result.exit_code == 0, result.stdout
    assert "codec" in result.stderr


def copy_rows(source: Path, out: Path, rows: np.ndarray, codec: str = "shuffle") -> Path:
    """A store of the test frames of another in a given order."""
    split = Store(source)["test"]
    writer = StoreWriter(out, dataset("nyu"), CAMERA, "", Store(source).provenance, codec)
    writer.create_split("test", len(rows), split.image)
    writer.write_depth("test", np.stack([split.depth(row) for row in rows.tolist()]))
    names = ("frame_key", "subject", "sequence", "view", "joints_xyz", "center_xyz", "cube", "status")
    columns = {name: getattr(split, name)[rows] for name in names}
    writer.write_columns("test", columns, {"center_xyz": {"center_method": split.center_method}})
    writer.finish()
    return out


def test_another_order_is_told_apart_from_other_values(tmp_path: Path, good: Path) -> None:
    first = copy_rows(good, tmp_path / "a.zarr", np.arange(FRAMES))
    shuffled = copy_rows(good, tmp_path / "b.zarr", np.random.default_rng(0).permutation(FRAMES))
    data = json.loads(run(first, shuffled, "--json").stdout)
    (difference,) = data["differences"]
    assert difference["what"].startswith("the same frames stand in another order, from test/1/")
    assert data["frames"] == {"test": FRAMES}
    array = table(shuffled, "view")
    row = Store(shuffled)["test"].frame_key.tolist().index(key(17))
    array[row] = 3
    data = json.loads(run(first, shuffled, "--json").stdout)
    assert [(d["where"], d["first"]) for d in data["differences"][1:]] == [("test/view", key(17))]


def test_frames_that_only_one_has(tmp_path: Path, good: Path) -> None:
    first = copy_rows(good, tmp_path / "a.zarr", np.arange(20))
    second = copy_rows(good, tmp_path / "b.zarr", np.arange(15, 21))
    data = json.loads(run(first, second, "--json").stdout)
    assert data["frames"] == {"test": 5}
    alone_a, alone_b = data["differences"]
    assert alone_a["what"] == f"15 frames only in {first} ({key(0)}, {key(1)}, {key(2)}, ...)"
    assert alone_b["what"] == f"1 frames only in {second} ({key(20)})"


def test_a_split_and_a_table_that_only_one_has(tmp_path: Path, good: Path, other: Path) -> None:
    only_test = copy_rows(good, tmp_path / "a.zarr", np.arange(FRAMES))
    data = json.loads(run(good, only_test, "--json").stdout)
    assert [(d["where"], d["what"]) for d in data["differences"]] == [("train", f"only {good} has this split")]
    zarr.open_group(str(other / "test"), mode="r+").create_array("bbox", shape=(FRAMES, 4), dtype="f4")
    reconsolidate(other)
    data = json.loads(run(good, other, "--json").stdout)
    assert [(d["where"], d["what"]) for d in data["differences"]] == [("test/bbox", f"only {other} has it")]


def test_images_of_another_size_or_type(tmp_path: Path, good: Path) -> None:
    split = Store(good)["test"]
    names = ("frame_key", "subject", "sequence", "view", "joints_xyz", "center_xyz", "cube", "status")
    for name, depth in (
        ("small", np.zeros((3, 4, 5), np.uint16)),
        ("float", np.stack([split.depth(row) for row in range(3)]).astype(np.float32)),
    ):
        writer = StoreWriter(tmp_path / name, dataset("nyu"), CAMERA, "", {})
        writer.create_split("test", 3, (depth.shape[1], depth.shape[2]), depth.dtype)
        writer.write_depth("test", depth)
        columns = {name: getattr(split, name)[:3] for name in names}
        writer.write_columns("test", columns, {"center_xyz": {"center_method": "gt-mean"}})
        writer.finish()
    first = copy_rows(good, tmp_path / "a.zarr", np.arange(3))
    small = json.loads(run(first, tmp_path / "small", "--json").stdout)["differences"]
    assert [d["what"] for d in small] == ["images of 64 x 48 / 5 x 4 pixels"]
    floats = json.loads(run(first, tmp_path / "float", "--json").stdout)["differences"]
    assert [d["what"] for d in floats] == ["stored as uint16 / float32"]


def test_damage_is_one_line_and_no_difference(good: Path, other: Path) -> None:
    shard = other / "test/depth/c/1/0/0"
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    with pytest.raises(HandbenchError, match=r"b\.zarr: depth of frame test/1/0000129 \(row 128\) is damaged"):
        CliRunner().invoke(compare_stores, [str(good), str(other)], catch_exceptions=False)


def test_bad_input_is_one_line(tmp_path: Path, good: Path, other: Path) -> None:
    (tmp_path / "labels.txt").write_text("1 2 3\n")
    for path, message in ((tmp_path / "none", "there is no store"), (tmp_path / "labels.txt", "not a Zarr group")):
        with pytest.raises(HandbenchError, match=message):
            CliRunner().invoke(compare_stores, [str(good), str(path)], catch_exceptions=False)
    table(other, "frame_key")[5] = key(0)
    with pytest.raises(HandbenchError, match="stands for two frames; run handbench validate"):
        CliRunner().invoke(compare_stores, [str(good), str(other)], catch_exceptions=False)
