"""Validation: a good store is fine, each fault is found where it is, damage is told frame by frame."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from handbench.camera import xyz_to_uvd
from handbench.cli import main
from handbench.converters.store_commands import validate
from handbench.converters.validate import validate as check
from handbench.datasets import dataset
from handbench.datasets.spec import SplitSpec
from handbench.errors import HandbenchError
from handbench.store import FrameStatus, Store, StoreWriter
from tests.tiny_store import CAMERA, write_tiny_store

SPEC = dataset("nyu")
SCORED = list(SPEC.joints.scored)
SHARD = Path("test/depth/c/0/0/0")


def run(*args: object) -> Result:
    return CliRunner().invoke(validate, [str(arg) for arg in args])


def findings(store: Path, *args: str) -> list[dict[str, Any]]:
    result = run(store, "--json", *args)
    data = json.loads(result.stdout)
    assert result.exit_code == (1 if data["findings"] else 0)
    found: list[dict[str, Any]] = data["findings"]
    return found


def table(store: Path, name: str, split: str = "test") -> Any:
    return zarr.open_array(str(store / split / name), mode="r+")


def keys(*rows: int) -> list[str]:
    return [f"test/1/{row + 1:07d}" for row in rows]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_store(tmp_path_factory.mktemp("good") / "s.zarr", train=0, test=40)


@pytest.fixture
def store(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "s.zarr"))


def test_a_good_store_is_fine_and_says_what_was_checked(tmp_path: Path) -> None:
    path = write_tiny_store(tmp_path / "s.zarr", train=3, test=40)
    result = run(path)
    assert result.exit_code == 0
    *facts, verdict = result.stdout.splitlines()
    assert verdict == f"{path}: all fine (3 train + 40 test frames, tables and every byte of depth)"
    assert facts[0].startswith("train: 3 frames; depth ")
    assert "560 labels, 0.00 % outside the image, 0.00 % outside the cube" in facts[1]
    assert "test: 40 frames; the store does not claim to be the whole split" in result.stderr


def test_the_facts_are_those_of_a_naive_count(tmp_path: Path) -> None:
    path = write_tiny_store(tmp_path / "s.zarr", train=0, test=40, bad_rows=(3, 35))
    joints = table(path, "joints_xyz")
    joints[1, SCORED[2]] = np.nan
    joints[2, SCORED[0]] = [0, 0, 1000]  # in the image, far from the hand
    facts = json.loads(run(path, "--json").stdout)["facts"]["test"]
    split = Store(path)["test"]
    labels = outside = over = 0
    seen, missing, worst = [], 0, 0.0
    for row in range(40):
        depth = split.depth(row)
        seen += depth[depth > 0].tolist()
        missing += int((depth == 0).sum())
        if split.status[row] != FrameStatus.OK:
            continue
        for joint in SCORED:
            x, y, z = split.joints_xyz[row, joint].astype(float)
            if np.isnan(x):
                continue
            labels += 1
            beyond = max(np.abs([x, y, z] - split.center_xyz[row]) - split.cube[row] / 2)
            outside, worst = outside + (beyond > 0), max(worst, beyond)
            u, v, _ = xyz_to_uvd(np.array([x, y, z]), CAMERA)
            pixel = float(depth[round(v), round(u)])
            over += pixel > 0 and abs(pixel - z) <= 125
    assert facts["labelled_joints"] == labels == 38 * 14 - 1
    assert facts["depth_mm"] == [min(seen), max(seen)]
    assert facts["missing_percent"] == pytest.approx(100 * missing / (40 * 48 * 64))
    assert facts["outside_cube_percent"] == pytest.approx(100 * outside / labels) == pytest.approx(100 / labels)
    assert facts["worst_outside_cube_mm"] == pytest.approx(worst, abs=1e-3)
    assert facts["over_depth_percent"] == pytest.approx(100 * over / labels)
    assert 90 < facts["over_depth_percent"] < 100


def set_to(name: str, rows: Any, value: Any) -> Callable[[Path], None]:
    def spoil(store: Path) -> None:
        table(store, name)[rows] = value

    return spoil


def mirrored(store: Path) -> None:
    for name in ("joints_xyz", "center_xyz"):
        array = table(store, name)
        array[...] = array[...] * np.array([-1, 1, 1], np.float32)


def shifted(store: Path) -> None:
    for name in ("joints_xyz", "center_xyz"):
        array = table(store, name)
        array[...] = array[...] + np.array([150, 0, 0], np.float32)


def beside_the_hand(store: Path) -> None:
    array = table(store, "center_xyz")
    array[5:8] = array[5:8] + np.array([0, 0, 400], np.float32)


def swapped_axes(store: Path) -> None:
    array = table(store, "joints_xyz")
    array[...] = array[...][..., [2, 0, 1]]


def image_without_status(store: Path) -> None:
    table(store, "status")[[1, 39]] = FrameStatus.IMAGE_MISSING


SPOILT = [
    (set_to("frame_key", 7, keys(4)[0]), "keys", "1 frame keys stand for more than one frame", keys(4)),
    (set_to("frame_key", 7, ""), "keys", "1 frames have no key", []),
    (set_to("subject", [2, 5], "7"), "subjects", "2 frames of subject '7'; nyu has 1, 2", keys(2, 5)),
    (set_to("center_xyz", 3, np.nan), "centre", "1 ok frames have no centre (NaN)", keys(3)),
    (set_to("center_xyz", (3, 2), -600), "centre", "1 ok frames have their centre behind the camera", keys(3)),
    (set_to("center_xyz", (4, 0), 900), "centre", "1 ok frames have their centre outside the image", keys(4)),
    (shifted, "labels", "% of the labels have depth of the hand at their pixel", []),
    (set_to("cube", (0, 1), 0), "cube", "1 ok frames have a cube that is not positive", keys(0)),
    (set_to("status", 6, 9), "status", "1 frames have a status that format 1 does not know", keys(6)),
    (set_to("joints_xyz", 8, np.nan), "status", "1 frames are ok and have no label, in a split", keys(8)),
    (set_to("center_xyz", (slice(0, 3), 1), 190), "cube", "% of the labels lie outside the cube, by", keys(0, 1, 2)),
    (swapped_axes, "image", "% of the labels project outside the image", keys(*range(40))),
    (set_to("depth", [0, 33], 0), "depth", "2 ok frames have no depth at all", keys(0, 33)),
    (image_without_status, "depth", "2 frames have depth, although their status says", keys(1, 39)),
    (beside_the_hand, "box", "3 ok frames have no depth inside their box", keys(5, 6, 7)),
]


@pytest.mark.parametrize(("spoil", "name", "what", "frames"), SPOILT)
def test_each_fault_is_found_where_it_is(
    store: Path, spoil: Callable[[Path], None], name: str, what: str, frames: list[str]
) -> None:
    spoil(store)
    every = findings(store)
    found = [finding for finding in every if what in finding["what"]]
    assert [(finding["check"], finding["split"], finding["frames"]) for finding in found] == [(name, "test", frames)]
    assert found[0]["advice"]
    text = run(store)
    assert text.exit_code == 1
    line = next(line for line in text.stdout.splitlines() if what in line)
    assert line.startswith("FINDING test: ")
    assert all(key in line for key in frames[:3])
    assert text.stdout.splitlines()[-1].startswith(f"{store}: {len(every)} finding")


def test_a_line_names_three_frames_and_counts_the_others(store: Path) -> None:
    table(store, "cube")[...] = 0
    assert f"not positive ({', '.join(keys(0, 1, 2))} and 37 more); convert again" in run(store).stdout


def test_frames_that_are_not_ok_are_not_blamed(tmp_path: Path) -> None:
    path = write_tiny_store(tmp_path / "s.zarr", train=0, test=40, bad_rows=(0, 7))
    assert findings(path) == []


def test_a_split_without_labels_is_fine(tmp_path: Path) -> None:
    path = write_tiny_store(tmp_path / "s.zarr", train=0, test=5, labelled=False)
    assert findings(path) == []
    assert " labels," not in run(path).stdout


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_tiny_store(tmp_path_factory.mktemp("small") / "s.zarr", train=0, test=8)
    shutil.copy(path / SHARD, path.with_name("good"))
    return path


@settings(max_examples=25, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_of_depth_escapes(small: Path, at: float, bit: int) -> None:
    bad = bytearray(small.with_name("good").read_bytes())
    bad[int(at * len(bad))] ^= 1 << bit
    (small / SHARD).write_bytes(bad)
    split = Store(small)["test"]
    damaged = []
    for row in range(8):
        try:
            split.depth(row)
        except HandbenchError:
            damaged.append(row)
    (found,) = check(Store(small)).findings
    assert (found.check, found.frames) == ("depth damaged", tuple(keys(*damaged)))
    assert len(damaged) in (1, 8)  # a frame, or the index of the shard


@pytest.mark.parametrize("size", [0, 5, 3000])
def test_a_truncated_shard_is_damage(store: Path, size: int) -> None:
    (store / SHARD).write_bytes((store / SHARD).read_bytes()[:size])
    (found,) = findings(store)
    assert (found["check"], found["frames"]) == ("depth damaged", keys(*range(40)))


def test_a_lost_shard_is_found_by_its_empty_frames(store: Path) -> None:
    (store / SHARD).unlink()
    assert "40 ok frames have no depth at all" in {finding["what"] for finding in findings(store)}


@pytest.mark.parametrize("name", ["frame_key", "center_xyz", "joints_xyz"])
def test_a_damaged_table_is_named_and_the_depth_is_read_all_the_same(store: Path, name: str) -> None:
    (chunk,) = (path for path in (store / "test" / name).rglob("*") if path.is_file() and path.name != "zarr.json")
    for path in (chunk, store / SHARD):
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 4
        path.write_bytes(data)
    found = findings(store)
    assert [finding["check"] for finding in found] == ["table damaged", "depth damaged"]
    assert f"table test/{name} is damaged" in found[0]["what"]
    assert found[1]["frames"][0].startswith("row ")


def test_a_table_of_another_length_is_named(store: Path) -> None:
    table(store, "cube").resize((39, 3))
    group = zarr.open_group(str(store), mode="r+", use_consolidated=False)
    with pytest.warns(UserWarning, match="Consolidated"):
        zarr.consolidate_metadata(group.store)
    assert [finding["what"] for finding in findings(store, "--quick")] == ["table cube has 39 rows, depth has 40"]


def test_quick_leaves_the_depth_unread(store: Path) -> None:
    (store / SHARD).write_bytes(b"")
    result = run(store, "--quick")
    assert result.exit_code == 0
    assert "all fine (40 test frames, tables alone: depth was not read)" in result.stdout
    table(store, "cube")[0] = 0
    assert [finding["check"] for finding in findings(store, "--quick")] == ["cube"]


def claim(store: Path, subjects: list[str], options: dict[str, Any], release: str = "") -> Path:
    """Make a tiny store of 6 frames say that it is a whole test split."""
    table(store, "subject")[...] = np.array(subjects, dtype=object)
    root = zarr.open_group(str(store), mode="r+", use_consolidated=False)
    root.attrs["provenance"] = {"converter": "nyu", "options": options}
    root.attrs["release"] = release
    return store


WHOLE: dict[str, Any] = {"limit": None, "subjects": []}
TWO_RELEASES = replace(
    SPEC,
    splits=(SplitSpec("test", {"old": 6, "new": 7}, {"old": {"1": 2, "2": 4}, "new": {"1": 3, "2": 4}}),),
)


@pytest.mark.parametrize(
    ("subjects", "options", "release", "what"),
    [
        ("112222", WHOLE, "old", ""),
        ("112222", WHOLE, "", ""),  # unknown which, but one of them
        (
            "111222",
            WHOLE,
            "old",
            "has 6 frames (subjects 1 3, 2 3); published are 6 frames (release old) (subjects 1 2",
        ),
        ("112222", WHOLE, "new", "published are 7 frames (release new) (subjects 1 3, 2 4)"),
        ("111222", WHOLE, "", "frames (release old) (subjects 1 2, 2 4) or 7 frames (release new)"),
        ("111222", {**WHOLE, "limit": 6}, "old", ""),
        ("111222", {**WHOLE, "subjects": ["1"]}, "old", ""),
        ("111222", {**WHOLE, "drop_invalid": True}, "old", ""),
        ("111222", WHOLE, "synthetic", ""),
        ("111222", {}, "old", ""),
    ],
)
def test_counts_are_those_of_the_release_where_the_store_claims_to_be_whole(
    tmp_path: Path, subjects: str, options: dict[str, Any], release: str, what: str
) -> None:
    path = write_tiny_store(tmp_path / "s.zarr", train=0, test=6, spec=TWO_RELEASES)
    claim(path, list(subjects), options, release)
    found = findings(path, "--quick")
    assert [finding["check"] for finding in found] == (["counts"] if what else [])
    assert not found or what in found[0]["what"]
    remarks = json.loads(run(path, "--quick", "--json").stdout)["remarks"]
    subset = options != WHOLE or release == "synthetic"
    assert sum("published number" in remark or "does not claim" in remark for remark in remarks) == subset


def test_each_view_is_counted(tmp_path: Path) -> None:
    spec = replace(SPEC, splits=(SplitSpec("test", {"only": 3}),))
    path = write_tiny_store(tmp_path / "s.zarr", train=0, test=6, spec=spec)
    claim(path, [""] * 6, {**WHOLE, "views": [1, 2]})
    table(path, "view")[...] = [1, 1, 1, 2, 2, 2]
    assert findings(path, "--quick") == []
    table(path, "view")[...] = [1, 1, 1, 1, 2, 2]
    assert [finding["what"][:6] for finding in findings(path, "--quick")] == ["view 1", "view 2"]


def test_a_split_that_the_data_set_does_not_have(tmp_path: Path) -> None:
    path = write_tiny_store(tmp_path / "s.zarr", train=2, test=6, spec=TWO_RELEASES)
    claim(path, list("112222"), WHOLE, "old")
    (found,) = findings(path)
    assert (found["check"], found["split"], found["what"]) == ("counts", "train", "nyu has no split 'train', only test")


def test_a_bone_that_changes_is_a_remark(store: Path) -> None:
    data = json.loads(run(store, "--quick", "--json").stdout)
    assert data["findings"] == []
    assert any("have a bone that is more than 20 % off its median length" in remark for remark in data["remarks"])
    joints = table(store, "joints_xyz")
    joints[...] = np.broadcast_to(joints[...][:1], joints.shape)
    table(store, "center_xyz")[...] = joints[...][:, SCORED].mean(axis=1)
    remarks = json.loads(run(store, "--quick", "--json").stdout)["remarks"]
    assert not any("bone" in remark for remark in remarks)
    moved = joints[...]
    parent = SPEC.joints.parents[0]
    rigid = moved[4, 0] - moved[4, parent]
    moved[4, 0] = moved[4, parent] + 1.3 * rigid
    joints[...] = moved
    remarks = json.loads(run(store, "--quick", "--json").stdout)["remarks"]
    (remark,) = (remark for remark in remarks if "bone" in remark)
    assert "1 of 40 frames" in remark
    assert remark.endswith(f"the worst, {SPEC.joints.names[0]} to {SPEC.joints.names[parent]}, by 30 %")


def test_values_that_are_no_depth(tmp_path: Path) -> None:
    good = write_tiny_store(tmp_path / "good.zarr", train=0, test=4)
    split = Store(good)["test"]
    depth = np.stack([split.depth(row) for row in range(4)]).astype(np.float32)
    depth[1, 0, 0], depth[2, 0, :2], depth[3, 1, 1] = np.nan, (np.inf, -1), 0.25
    writer = StoreWriter(tmp_path / "s.zarr", SPEC, CAMERA, "", {})
    writer.create_split("test", 4, (48, 64), np.dtype(np.float32))
    writer.write_depth("test", depth)
    names = ("frame_key", "subject", "sequence", "view", "joints_xyz", "center_xyz", "cube", "status")
    writer.write_columns(
        "test", {name: getattr(split, name) for name in names}, {"center_xyz": {"center_method": "gt-mean"}}
    )
    writer.finish()
    (found,) = findings(tmp_path / "s.zarr")
    assert (found["check"], found["frames"]) == ("depth", keys(1, 2))
    facts = json.loads(run(tmp_path / "s.zarr", "--json").stdout)["facts"]["test"]
    assert facts["depth_mm"] == [0.25, float(depth[np.isfinite(depth)].max())]


def test_a_split_without_frames(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "s.zarr", SPEC, CAMERA, "", {})
    writer.create_split("test", 0, (48, 64))
    shapes = {"joints_xyz": (0, 36, 3), "center_xyz": (0, 3), "cube": (0, 3)}
    names = ("frame_key", "subject", "sequence", "view", "joints_xyz", "center_xyz", "cube", "status")
    writer.write_columns("test", {name: np.zeros(shapes.get(name, (0,))) for name in names}, {})
    writer.finish()
    assert [finding["what"] for finding in findings(tmp_path / "s.zarr")] == ["there is no frame"]


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match="there is no store at"):
        CliRunner().invoke(validate, [str(tmp_path / "no.zarr")], catch_exceptions=False)
    writer = StoreWriter(tmp_path / "half.zarr", SPEC, CAMERA, "", {})
    writer.create_split("test", 4, (48, 64))
    with pytest.raises(HandbenchError, match="is not finished"):
        CliRunner().invoke(validate, [str(tmp_path / "half.zarr")], catch_exceptions=False)


def test_the_real_frame_lies_where_its_labels_say(tmp_path: Path, real: Path) -> None:
    args = ["convert", "nyu", str(real / "nyu_one_frame"), str(tmp_path / "s.zarr"), "--center", "gt-mean"]
    assert CliRunner().invoke(main, args).exit_code == 0
    data = json.loads(run(tmp_path / "s.zarr", "--json").stdout)
    assert [finding["check"] for finding in data["findings"]] == ["counts"]  # one frame is not the test set
    assert data["facts"]["test"]["over_depth_percent"] == 100
    mirrored(tmp_path / "s.zarr")
    assert "labels" in {finding["check"] for finding in findings(tmp_path / "s.zarr")}
