"""`handbench windows`: crops as from frames on all data sets; labels and facts; bad input; going on."""

import json
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from handbench.cli import main
from handbench.converters import READERS, journal, open_raw, window_plan
from handbench.converters import windows as making
from handbench.converters.compare import compare
from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.windows import WindowsConfig, make_windows
from handbench.errors import HandbenchError
from handbench.preprocess import AugmentConfig, HandBox, crop, crop_batch, perturb
from handbench.preprocess.windows import Margin
from handbench.store import FrameStatus, Store, writer
from handbench.store.blocks import depth_blocks, read_rows
from handbench.store.edit import NewCenters, replace_centers
from handbench.store.fingerprint import fingerprint
from handbench.store.windows import check_margin, covered_rows
from tests.strategies import seeds
from tests.tiny_store import write_tiny_store

ROWS = st.integers(0, 10_000)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def rewrite(store: Path, table: str, row: int, value: object) -> None:
    """Change one row of a table of the split "train" behind the store's back."""
    array = zarr.open_array(str(store / "train" / table), mode="r+")
    values = np.asarray(array[...])
    values[row] = value
    array[...] = values


def files_of(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


@pytest.fixture(scope="module", params=[*READERS, "tiny"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    """A store of frames of each data set, and its windows; "tiny" has images smaller than the reach of a hand."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    if name == "tiny":
        write_tiny_store(folder / "s.zarr")
    else:
        import_module(f"tests.raw.{name}").conformance_tree(folder / "raw")
        convert(open_raw(name, folder / "raw"), folder / "s.zarr", ConvertConfig(limit=1000))
    make_windows(folder / "s.zarr", folder / "w.zarr", WindowsConfig())
    return Store(folder / "s.zarr"), Store(folder / "w.zarr")


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return write_tiny_store(tmp_path / "s.zarr", train=8, test=3)


# -- the same crops --------------------------------------------------------------------------------------------------


@given(seed=seeds, at=ROWS, size=st.integers(8, 160))
@settings(max_examples=25, deadline=None)
def test_crops_from_both_stores_are_the_same(pair: tuple[Store, Store], seed: int, at: int, size: int) -> None:
    whole, cut = pair
    for name in whole.splits:
        row = at % len(whole[name])
        center, cube = (table[row].astype(np.float64) for table in (whole[name].center_xyz, whole[name].cube))
        box = perturb(HandBox.upright(center, cube), AugmentConfig(), np.random.default_rng(seed))
        window, origin = cut[name].window(row)
        frame, zero = whole[name].window(row)
        expected = crop(frame, box, whole.camera, size, origin=zero)
        assert_array_equal(expected, crop(whole[name].depth(row), box, whole.camera, size))
        assert_array_equal(crop(window, box, cut.camera, size, origin=origin), expected)
        assert (expected < 1).any()


def test_every_label_and_fact_is_carried_along(pair: tuple[Store, Store]) -> None:
    whole, cut = pair
    result = compare(whole, cut)
    tables = {f"{name}/origin_uv" for name in whole.splits}
    depth = {f"{name}/depth" for name in whole.splits}  # where the window does not hold all that is there
    assert tables | {"root"} <= {each.where for each in result.differences} <= tables | depth | {"root"}
    assert [each.what.split(":")[0] for each in result.differences if each.where == "root"] == ["windows"]
    assert cut.windows is not None
    assert cut.windows.margin == Margin.of(AugmentConfig()).to_dict()
    made = cut.provenance["windows"]
    assert made["sha256"] == fingerprint(whole.path)
    assert {key: value for key, value in cut.provenance.items() if key != "windows"} == whole.provenance
    for name in whole.splits:
        assert cut[name].attributes("center_xyz") == whole[name].attributes("center_xyz")
        assert cut[name].image == whole[name].image


def test_a_window_lies_in_its_frame(pair: tuple[Store, Store]) -> None:
    whole, cut = pair
    for name in whole.splits:
        block = next(iter(depth_blocks(cut[name])))
        for row in range(len(whole[name])):
            frame, seen = whole[name].depth(row), cut[name].depth(row)
            assert seen.shape == frame.shape
            assert_array_equal(seen[seen > 0], frame[seen > 0])
            assert_array_equal(block.depth[row], seen)
            window, (u, v) = cut[name].window(row)
            assert cut.windows is not None
            assert window.shape == (cut.windows.side,) * 2
            assert np.count_nonzero(window) == np.count_nonzero(seen)
            assert window[max(-v, 0), max(-u, 0)] == frame[max(v, 0), max(u, 0)]
        rows = np.array([len(whole[name]) - 1, 0])
        assert_array_equal(read_rows(cut[name], rows)[1], cut[name].depth(0))


def test_windows_of_small_images_begin_outside_of_them(tmp_path: Path) -> None:
    make_windows(write_tiny_store(tmp_path / "s.zarr"), tmp_path / "w.zarr", WindowsConfig(side=60))
    assert (Store(tmp_path / "w.zarr")["train"].origin_uv < 0).any()


# -- near hands and margins ------------------------------------------------------------------------------------------


def test_a_near_hand_is_told_counted_and_refused_by_name(frames: Path, tmp_path: Path) -> None:
    rewrite(frames, "center_xyz", 3, [0, 0, 330])
    side = make_windows(frames, tmp_path / "all.zarr", WindowsConfig()).side
    result = run("windows", frames, tmp_path / "w.zarr", "--side", side - 4, "--json")
    assert result.exit_code == 2  # there is no --json
    result = run("windows", frames, tmp_path / "w.zarr", "--side", side - 4)
    assert "train: 1 frames reach beyond their window, the first train/1/0000004" in result.stderr
    store = Store(tmp_path / "w.zarr")
    split = store["train"]
    assert store.windows is not None
    assert store.windows.beyond == {"train": 1, "test": 0}
    assert "1 frames of train reach beyond theirs" in run("info", store.path).stdout
    covered = covered_rows(store, split, AugmentConfig())
    assert_array_equal(np.flatnonzero(~covered), [3])
    check_margin(store, AugmentConfig())
    rng, refused = np.random.default_rng(0), list[str]()
    for row in range(len(split)):
        window, origin = split.window(row)
        box = HandBox.upright(split.center_xyz[row].astype(np.float64), split.cube[row].astype(np.float64))
        for _ in range(20):
            turned = perturb(box, AugmentConfig(), rng)
            try:
                crop(window, turned, store.camera, 32, origin=origin, name=f"frame {split.frame_key[row]}")
            except HandbenchError as error:
                refused.append(str(error))
    assert refused
    assert all(each.startswith("frame train/1/0000004 reaches beyond its window: it needs col") for each in refused)


def test_a_few_near_hands_make_large_windows_and_that_is_said() -> None:
    (remark,) = window_plan.smaller_side(np.array([100] * 1997 + [110, 110, 300]), 300)
    assert "--side 110 would hold 99.9% of the frames, 300 px hold them all" in remark
    assert list(window_plan.smaller_side(np.array([100] * 1998 + [105, 105]), 105)) == []


def test_windows_for_less_than_training_asks_are_refused(frames: Path, tmp_path: Path) -> None:
    asked = AugmentConfig(scale=(0.8, 1.2))
    make_windows(frames, tmp_path / "w.zarr", WindowsConfig())
    make_windows(frames, tmp_path / "upright.zarr", WindowsConfig(augment=None))
    store = Store(tmp_path / "w.zarr")
    with pytest.raises(
        HandbenchError, match=r"scale 0.8 to 1.2, here 0.9 to 1.1; make windows .* --margin CONFIG.toml"
    ):
        check_margin(store, asked)
    check_margin(store, None)
    check_margin(Store(frames), asked)  # whole frames have room for all
    upright = Store(tmp_path / "upright.zarr")
    check_margin(upright, None)
    with pytest.raises(HandbenchError, match="roll_deg -180 to 180, here 0 to 0"):
        check_margin(upright, AugmentConfig())
    assert covered_rows(upright, upright["train"], None).all()
    with pytest.raises(HandbenchError, match="roll_deg -180 to 180, here 0 to 0"):
        covered_rows(upright, upright["train"], AugmentConfig())
    assert covered_rows(Store(frames), Store(frames)["train"], asked).all()


def test_a_batch_from_windows_names_its_frame(frames: Path, tmp_path: Path) -> None:
    make_windows(frames, tmp_path / "w.zarr", WindowsConfig(augment=None))
    store = Store(tmp_path / "w.zarr")
    split = store["train"]
    windows, origins = zip(*(split.window(row) for row in range(4)), strict=True)
    boxes = HandBox.upright(split.center_xyz[:4].astype(np.float64), split.cube[:4].astype(np.float64))
    names = [f"frame {key}" for key in split.frame_key[:4]]
    crop_batch(windows, boxes, store.camera, 32, origin=np.stack(origins), names=names)
    large = HandBox(boxes.center_xyz, boxes.cube * np.array([1, 1, 1.5, 1])[:, None], boxes.roll)
    with pytest.raises(HandbenchError, match=r"^frame train/1/0000003 reaches beyond its window"):
        crop_batch(windows, large, store.camera, 32, origin=np.stack(origins), names=names)


# -- frames that are not in order ------------------------------------------------------------------------------------


def test_bad_frames_keep_row_and_status(tmp_path: Path) -> None:
    frames = write_tiny_store(tmp_path / "s.zarr", train=8, test=3, bad_rows=(1,))
    rewrite(frames, "center_xyz", 2, [0, 0, 2000])
    rewrite(frames, "status", 4, FrameStatus.LABEL_INVALID)
    result = run("windows", frames, tmp_path / "w.zarr")
    assert result.exit_code == 1
    assert "train/1/0000003: box empty: the box around its centre holds no depth" in result.stderr
    verdict = "1 box empty, 2 image missing before, 1 label invalid before"
    assert f"8 train + 3 test frames, {verdict}; windows of" in result.stdout
    assert "image missing" not in result.stderr
    split = Store(tmp_path / "w.zarr")["train"]
    assert_array_equal(split.status, [0, 1, 5, 0, 4 - 1, 0, 0, 0])
    assert not split.window(1)[0].any()
    assert split.window(4)[0].any()


def test_damaged_depth_is_a_status(frames: Path, tmp_path: Path) -> None:
    shard = frames / "train" / "depth" / "c" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[200] ^= 1  # in the first frame
    shard.write_bytes(data)
    summary = make_windows(frames, tmp_path / "w.zarr", WindowsConfig())
    (problem,) = summary.problems
    assert (problem.frame_key, problem.status) == ("train/1/0000001", FrameStatus.IMAGE_CORRUPT)
    split = Store(tmp_path / "w.zarr")["train"]
    assert_array_equal(split.status, [FrameStatus.IMAGE_CORRUPT] + [0] * 7)
    assert not split.window(0)[0].any()
    assert split.window(1)[0].any()


@pytest.mark.parametrize(
    ("table", "value", "message"),
    [
        ("center_xyz", np.nan, "1 frames of status ok have no centre, the first train/1/0000006"),
        ("center_xyz", -10, "have their centre behind the camera, the first train/1/0000006"),
        ("cube", 0, "have a cube that is not positive, the first train/1/0000006"),
    ],
)
def test_boxes_that_cannot_be_are_refused_by_name(
    frames: Path, tmp_path: Path, table: str, value: float, message: str
) -> None:
    rewrite(frames, table, 5, value)
    with pytest.raises(HandbenchError, match=message):
        make_windows(frames, tmp_path / "w.zarr", WindowsConfig())
    assert {path.name for path in tmp_path.iterdir()} == {"s.zarr"}


def test_a_store_without_centres_is_refused(tmp_path: Path) -> None:
    frames = write_tiny_store(tmp_path / "s.zarr", train=3, test=2, bad_rows=(0, 1))
    with pytest.raises(HandbenchError, match=r"no frame of split test has a centre.*handbench centers compute"):
        make_windows(frames, tmp_path / "w.zarr", WindowsConfig())


# -- going on --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_every_scheduler_gives_the_same_bytes(frames: Path, tmp_path: Path, scheduler: str) -> None:
    make_windows(frames, tmp_path / "a.zarr", WindowsConfig(workers=1))
    make_windows(frames, tmp_path / "b.zarr", WindowsConfig(scheduler=scheduler, workers=2))
    assert files_of(tmp_path / "a.zarr") == files_of(tmp_path / "b.zarr")


def test_interrupted_and_gone_on_with(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (making, writer):
        monkeypatch.setattr(module, "SHARD_FRAMES", 2)
    make_windows(frames, tmp_path / "whole.zarr", WindowsConfig())
    work, done = making.WindowTask.__call__, list[str]()

    def until_the_third(task: making.WindowTask) -> int:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(task.entry.name)
        return work(task)

    out = tmp_path / "w.zarr"
    monkeypatch.setattr(making.WindowTask, "__call__", until_the_third)
    with pytest.raises(journal.Interrupted, match=r"stopped; [56] of 11 frames are done, .* --resume goes on"):
        make_windows(frames, out, WindowsConfig(workers=1))
    assert not out.exists()
    assert {path.name for path in tmp_path.iterdir()} >= {"w.zarr.partial", "w.zarr.journal"}
    with pytest.raises(HandbenchError, match="not finished"):
        Store(tmp_path / "w.zarr.partial")
    with pytest.raises(HandbenchError, match="pass --resume"):
        make_windows(frames, out, WindowsConfig())
    with pytest.raises(HandbenchError, match="begun with other options"):
        make_windows(frames, out, WindowsConfig(resume=True, augment=None))

    again: list[str] = []

    def counted(task: making.WindowTask) -> int:
        again.append(task.entry.name)
        return work(task)

    monkeypatch.setattr(making.WindowTask, "__call__", counted)
    make_windows(frames, out, WindowsConfig(resume=True))
    assert not set(done) & set(again)
    assert files_of(out) == files_of(tmp_path / "whole.zarr")
    assert {path.name for path in tmp_path.iterdir()} == {"s.zarr", "w.zarr", "whole.zarr"}


def test_windows_of_other_centres_are_not_gone_on_with(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: making.WindowTask) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(making.WindowTask, "__call__", stop)
    with pytest.raises(journal.Interrupted):
        make_windows(frames, tmp_path / "w.zarr", WindowsConfig(side=40))
    split = Store(frames)["train"]
    new = NewCenters(split.center_xyz + 1, split.status, {"center_method": "com"})
    replace_centers(frames, {"train": new})
    with pytest.raises(HandbenchError, match="begun with other options or from other"):
        make_windows(frames, tmp_path / "w.zarr", WindowsConfig(side=40, resume=True))


def test_the_fingerprint_sees_tables_and_depth(frames: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(frames, tmp_path / "copy.zarr")
    assert fingerprint(copy) == fingerprint(frames)
    rewrite(copy, "cube", 0, 251.0)
    other = fingerprint(copy)
    assert other != fingerprint(frames)
    with (copy / "test" / "depth" / "c" / "0" / "0" / "0").open("ab") as file:
        file.write(b"x")
    assert fingerprint(copy) != other


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_command_takes_margins_from_configurations(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[augment]\nroll_deg = [-20.0, 20.0]\n")
    cases = {
        "a": ((), Margin.of(AugmentConfig())),
        "b": (("--margin", "none"), Margin()),
        "c": (("--margin", tmp_path / "c.toml"), Margin.of(AugmentConfig(roll_deg=(-20, 20)))),
        "d": (("--set", "augment.scale=[0.7,1.3]"), Margin.of(AugmentConfig(scale=(0.7, 1.3)))),
    }
    sides = {}
    for name, (options, margin) in cases.items():
        result = run("windows", frames, tmp_path / f"{name}.zarr", *options, "--limit", 2)
        assert result.exit_code == 0, result.stderr
        assert "2 train + 2 test frames, all ok; windows of" in result.stdout
        store = Store(tmp_path / f"{name}.zarr")
        assert store.windows is not None
        assert store.windows.margin == margin.to_dict()
        assert store.provenance["options"]["limit"] == 2
        sides[name] = store.windows.side
    assert sides["b"] < sides["c"] < sides["a"] <= sides["d"]
    assert json.loads(run("info", tmp_path / "b.zarr", "--json").stdout)["windows"]["side"] == sides["b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--margin", "papr"), "'papr' is neither a file nor one of none, "),
        (("--margin", "none", "--set", "augment.scale=[1,2]"), "has no ranges to set"),
        (("--set", "augment.scale=[2,1]"), "augment.scale"),
        (("--side", 0), "--side 0 px holds nothing"),
        (("--limit", 0), "--limit 0 would leave no frame"),
        (("--workers", -1), "-1 workers cannot be"),
        (("--scheduler", "dask"), "unknown scheduler 'dask'"),
    ],
)
def test_impossible_options_are_refused(frames: Path, options: tuple[object, ...], message: str) -> None:
    result = run("windows", frames, frames.with_name("w.zarr"), *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not frames.with_name("w.zarr").exists()


def test_windows_are_not_frames(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "w.zarr"
    make_windows(frames, out, WindowsConfig())
    assert "exists already" in run("windows", frames, out).stderr
    assert "holds windows already" in run("windows", out, tmp_path / "x.zarr").stderr
    assert "written over the store" in run("windows", frames, frames, "--overwrite").stderr
    assert "written over the store" in run("windows", frames, frames / "w.zarr").stderr
    for command in (("centers", "compute", out, "--method", "gt-mean"), ("centers", "compute", out, "--method", "com")):
        assert "holds windows, cut about the centres that it has" in run(*command).stderr
    for form in ("raw", "hdf5"):
        assert "export the store of frames" in run("export", form, out, tmp_path / "x").stderr
    assert run("windows", frames, out, "--overwrite", "--margin", "none").exit_code == 0
    assert (
        "all fine" in run("validate", out).stdout or run("validate", out).exit_code == run("validate", frames).exit_code
    )
