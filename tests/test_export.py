"""Export: the raw tree and back, HDF5 value by value, label text that scores as the store does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.cli import main
from handbench.converters import export_hdf5
from handbench.converters.compare import compare
from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.hands17 import Hands17Reader
from handbench.converters.icvl import IcvlReader
from handbench.converters.msra import MsraReader
from handbench.converters.nyu import NyuReader, NyuWriter
from handbench.converters.protocol import Reader
from handbench.converters.store_commands import export
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.predictions import Predictions, write_predictions
from handbench.store import FrameStatus, Store, StoreWriter
from handbench.store.layout import COLUMNS
from tests.raw import hands17, icvl, msra, nyu
from tests.tiny_store import CAMERA, write_tiny_store

SPEC = dataset("nyu")
SCORED = list(SPEC.joints.scored)
DIMENSIONS = {name: column.dims for name, column in COLUMNS.items()} | {
    "depth": ("frame", "v", "u"),
    "joint": ("joint",),
    "xyz": ("xyz",),
}


def run(*args: object) -> Result:
    return CliRunner().invoke(export, [str(arg) for arg in args])


def refused(*args: object) -> str:
    """The one line that a command ends with."""
    error = run(*args).exception
    assert isinstance(error, HandbenchError)
    assert "\n" not in str(error)
    return str(error)


def nyu_tree(root: Path) -> None:
    nyu.write_tree(root, {"train": 3, "test": 4})
    nyu.write_other_images(root / "train", 3)
    nyu.write_other_images(root / "test", 4)
    (root / "test" / "depth_1_0000002.png").unlink()


def synthetic_tree(root: Path) -> None:
    nyu.write_tree(root, {"train": 3, "test": 4})
    NyuWriter(root).mark_synthetic({"subjects": {"train": {"1": 3}, "test": {"1": 1, "2": 3}}})


def icvl_tree(root: Path) -> None:
    # image_-001 is corrupt by its name, so that its image is not written and then missing
    icvl.write_new(root, train=tuple(name for name in icvl.TRAIN if "image_-001" not in name))
    (root / "Testing" / "Depth" / "test_seq_1" / "image_0001.png").unlink()


def msra_tree(root: Path) -> None:
    msra.write_gesture(root / "P0" / "1", 4)
    msra.write_gesture(root / "P3" / "TIP", 3, seed=1)
    (root / "P3" / "TIP" / "000000_depth.bin").unlink()


def hands17_tree(root: Path) -> None:
    hands17.write_tree(root, train=3, test=2)
    (root / "training" / "images" / "image_D00000002.png").unlink()


TREES: list[tuple[Callable[[Path], None], Callable[..., Reader], dict[str, Any]]] = [
    (nyu_tree, NyuReader, {}),
    (nyu_tree, NyuReader, {"views": (2, 1)}),
    (nyu_tree, NyuReader, {"views": (3,), "synth": True}),
    (synthetic_tree, NyuReader, {}),
    (icvl_tree, IcvlReader, {}),
    (icvl_tree, IcvlReader, {"rotated": True}),
    (msra_tree, MsraReader, {}),
    (hands17_tree, Hands17Reader, {}),
]


@pytest.mark.parametrize(("write", "reader", "options"), TREES)
def test_raw_to_store_to_raw_to_store_is_equal(
    tmp_path: Path, write: Callable[[Path], None], reader: Callable[..., Reader], options: dict[str, Any]
) -> None:
    write(tmp_path / "raw")
    convert(reader(tmp_path / "raw", **options), tmp_path / "a.zarr", ConvertConfig())
    result = run("raw", tmp_path / "a.zarr", tmp_path / "again")
    assert result.exit_code == 0, result.exception
    convert(reader(tmp_path / "again", **options), tmp_path / "b.zarr", ConvertConfig())
    a, b = Store(tmp_path / "a.zarr"), Store(tmp_path / "b.zarr")
    result_of_compare = compare(a, b)
    assert result_of_compare.differences == []
    assert result_of_compare.frames == {name: len(a[name]) for name in a.splits}
    without = sum(int((a[name].status == FrameStatus.IMAGE_MISSING).sum()) for name in a.splits)
    assert (f"{without} of them without an image" in result.stdout) == (without > 0)


def test_a_synthetic_store_keeps_its_marker(tmp_path: Path) -> None:
    synthetic_tree(tmp_path / "raw")
    convert(NyuReader(tmp_path / "raw"), tmp_path / "s.zarr", ConvertConfig())
    run("raw", tmp_path / "s.zarr", tmp_path / "again")
    marker = json.loads((tmp_path / "again" / "synthetic.json").read_text())
    assert marker["subjects"] == {"train": {"1": 3}, "test": {"1": 1, "2": 3}}


def test_frames_that_do_not_fit_the_raw_layout_leave_nothing_behind(tmp_path: Path) -> None:
    synthetic_tree(tmp_path / "raw")
    config = ConvertConfig(splits=("test",), subjects=("2",))
    convert(NyuReader(tmp_path / "raw"), tmp_path / "s.zarr", config)
    before = set(tmp_path.iterdir())
    assert "numbers its frames from 1 without gaps" in refused("raw", tmp_path / "s.zarr", tmp_path / "again")
    assert set(tmp_path.iterdir()) == before


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_tiny_store(tmp_path / "s.zarr", train=3, test=140, bad_rows=(2,))


def test_hdf5_holds_every_value_and_name(tmp_path: Path, store: Path) -> None:
    result = run("hdf5", store, tmp_path / "s.h5")
    assert result.exit_code == 0, result.exception
    assert result.stdout.startswith(f"{tmp_path / 's.h5'}: 3 train + 140 test frames, ")
    root = zarr.open_group(str(store), mode="r")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file.attrs["handbench_format"] == 1
        assert json.loads(file.attrs["dataset"])["name"] == "nyu"
        assert json.loads(file.attrs["camera"])["fx"] == CAMERA.fx
        assert set(file) == {"train", "test"}
        for split in ("train", "test"):
            group = root[split]
            assert isinstance(group, zarr.Group)
            arrays = dict(group.arrays())
            assert set(file[split]) == set(arrays)
            for name, array in arrays.items():
                data = file[split][name]
                values = data.asstr()[...] if data.dtype.kind == "O" else data[...]
                assert_array_equal(values, np.asarray(array[...]))
                assert set(data.attrs) - {"DIMENSION_LABELS"} == set(array.attrs)
                assert [dim.label for dim in data.dims] == list(DIMENSIONS[name])
        depth = file["test/depth"]
        assert depth.chunks == (1, 48, 64)
        assert (depth.compression, depth.compression_opts, depth.shuffle) == ("gzip", 4, True)
        assert file["test/center_xyz"].attrs["center_method"] == "gt-mean"
        assert file["test/frame_key"].asstr()[5] == "test/1/0000006"


def test_hdf5_keeps_fractions_and_names_that_are_not_ascii(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path / "s.zarr", SPEC, CAMERA, "", {"note": "é"})
    writer.create_split("test", 2, (4, 5), np.dtype(np.float32))
    depth = np.arange(40, dtype=np.float32).reshape(2, 4, 5) / 3
    writer.write_depth("test", depth)
    columns = {
        "frame_key": np.array(["test/é", "test/手"]),
        "subject": np.array(["", ""]),
        "sequence": np.array(["", ""]),
        "view": np.ones(2),
        "joints_xyz": np.full((2, 36, 3), np.nan),
        "center_xyz": np.zeros((2, 3)),
        "cube": np.ones((2, 3)),
        "status": np.zeros(2),
    }
    writer.write_columns("test", columns, {})
    writer.finish()
    assert run("hdf5", tmp_path / "s.zarr", tmp_path / "s.h5").exit_code == 0
    with h5py.File(tmp_path / "s.h5") as file:
        assert_array_equal(file["test/depth"][...], depth)
        assert file["test/frame_key"].asstr()[...].tolist() == ["test/é", "test/手"]
        assert json.loads(file.attrs["provenance"]) == {"note": "é"}


def test_an_interrupted_hdf5_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.h5").write_text("old")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_hdf5, "_copy_table", full_disk)
    message = refused("hdf5", store, tmp_path / "s.h5", "--overwrite")
    assert message == f"cannot write {tmp_path / 's.h5'}: No space left on device; nothing of it was kept"
    assert (tmp_path / "s.h5").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.h5", "s.zarr"]


def test_damage_stops_an_export_and_names_the_frame(tmp_path: Path, store: Path) -> None:
    shard = store / "test/depth/c/0/0/0"
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    assert "depth of frame test/1/0000001 (row 0) is damaged" in refused("hdf5", store, tmp_path / "s.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.zarr"]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A store with NYU's camera, so that a text of it is scored in the same millimetres; with holes."""
    path = write_tiny_store(tmp_path / "labelled.zarr", train=0, test=20, bad_rows=(4,))
    root = zarr.open_group(str(path), mode="r+", use_consolidated=False)
    camera = SPEC.camera
    root.attrs["camera"] = {name: getattr(camera, name) for name in ("fx", "fy", "cx", "cy", "width", "height")}
    joints = zarr.open_array(str(path / "test" / "joints_xyz"), mode="r+")
    joints[7, SCORED[3]] = np.nan
    joints[9] = np.nan
    return path


def test_label_text_has_the_layout_of_the_literature(tmp_path: Path, labelled: Path) -> None:
    out = tmp_path / "labels.txt"
    result = run("labels", labelled, out)
    assert result.exit_code == 0, result.exception
    assert result.stdout == f"{out}: 20 lines, 18 with labels of 14 joints; frame keys in labels.keys.txt\n"
    lines = out.read_bytes().decode().split("\n")
    assert (len(lines), lines[-1]) == (21, "")
    split = Store(labelled)["test"]
    for row, line in enumerate(lines[:-1]):
        uvd = xyz_to_uvd(split.joints_xyz[row, SCORED].astype(float), SPEC.camera)
        if row in (4, 9):
            uvd[:] = np.nan
        assert line == " ".join(f"{number:.3f}" for number in uvd.ravel())
    assert lines[7].split()[9:12] == ["nan"] * 3
    assert (tmp_path / "labels.keys.txt").read_text() == "".join(f"{key}\n" for key in split.frame_key)


def test_a_label_text_scores_a_prediction_as_the_store_does(tmp_path: Path, labelled: Path) -> None:
    run("labels", labelled, tmp_path / "labels.txt")
    split = Store(labelled)["test"]
    noise = np.random.default_rng(3).normal(0, 9, (20, 14, 3))
    uvd = xyz_to_uvd(np.nan_to_num(split.joints_xyz[:, SCORED].astype(float), nan=600.0) + noise, SPEC.camera)
    write_predictions(tmp_path / "method.txt", Predictions("method", uvd))
    numbers, errors = [], []
    for truth in ([labelled], [tmp_path / "labels.txt", "--dataset", "nyu"]):
        args = ["eval", tmp_path / "method.txt", "--json", "--truth", *truth]
        result = CliRunner().invoke(main, [str(arg) for arg in args])
        assert result.exit_code == 0, result.stderr
        (scores,) = json.loads(result.stdout)["results"]
        printed = [f"{scores[name]:.2f}" for name in ("mean_error_mm", "joint_success_auc_0_50")]
        curves = {name: scores[name] for name in scores if name.endswith("_success_percent")}
        numbers.append((scores["frames"], scores["labelled_joints"], printed, curves))
        errors.append(list(scores["mean_error_mm_by_joint"].values()))
    assert numbers[0] == numbers[1]
    assert numbers[0][:2] == (18, 18 * 14 - 1)
    assert 10 < float(numbers[0][2][0]) < 20
    assert_allclose(errors[0], errors[1], atol=1e-3)  # three decimals in the text, and the camera of the literature


def test_a_camera_that_texts_are_not_scored_with_is_said(tmp_path: Path, store: Path, labelled: Path) -> None:
    assert run("labels", labelled, tmp_path / "b.txt").stderr == ""
    result = run("labels", store, tmp_path / "a.txt", "--split", "train")
    assert "fx 588.03 px; this store has fx 60" in result.stderr
    assert result.stdout.startswith(f"{tmp_path / 'a.txt'}: 3 lines, 2 with labels")


@pytest.mark.parametrize(("kind", "name"), [("raw", "out"), ("hdf5", "out.h5"), ("labels", "out.txt")])
def test_outputs_that_exist_and_inputs_that_are_none(tmp_path: Path, store: Path, kind: str, name: str) -> None:
    out = tmp_path / name
    assert "there is no store" in refused(kind, tmp_path / "none.zarr", out)
    writer = StoreWriter(tmp_path / "half.zarr", SPEC, CAMERA, "", {})
    writer.create_split("test", 2, (48, 64))
    assert "is not finished" in refused(kind, tmp_path / "half.zarr", out)
    assert "not a Zarr group" in refused(kind, tmp_path / "half.zarr" / "zarr.json", out)
    assert "does not exist; create it first" in refused(kind, store, tmp_path / "no" / name)
    assert not out.exists()
    out.write_text("mine")
    assert "exists already; name another output or pass --overwrite" in refused(kind, store, out)
    assert out.read_text() == "mine"
    assert run(kind, store, out, "--overwrite").exit_code == 0
    assert out.is_dir() or out.read_bytes() != b"mine"


@pytest.mark.parametrize("kind", ["raw", "hdf5", "labels"])
def test_an_export_never_replaces_its_store(tmp_path: Path, store: Path, kind: str) -> None:
    (tmp_path / "link").symlink_to(store)
    for out in (store, tmp_path, tmp_path / "link", store / "test", store / "more"):
        assert "would be written over the store" in refused(kind, store, out, "--overwrite")
    assert len(Store(store)["test"]) == 140


def test_the_keys_beside_a_label_text_are_not_overwritten_either(tmp_path: Path, labelled: Path) -> None:
    (tmp_path / "a.keys.txt").write_text("mine")
    assert "a.keys.txt exists already" in refused("labels", labelled, tmp_path / "a.txt")
    assert not (tmp_path / "a.txt").exists()


def test_labels_that_are_not_there(tmp_path: Path, store: Path) -> None:
    assert "no split 'val', only train, test" in refused("labels", store, tmp_path / "a.txt", "--split", "val")
    bare = write_tiny_store(tmp_path / "bare.zarr", train=0, test=2, labelled=False)
    assert "no frame of split test is labelled and ok" in refused("labels", bare, tmp_path / "a.txt")
    assert not list(tmp_path.glob("a.*"))


def test_a_data_set_without_a_writer(tmp_path: Path, store: Path) -> None:
    root = zarr.open_group(str(store), mode="r+", use_consolidated=False)
    root.attrs["dataset"] = {**root.attrs["dataset"], "name": "mine"}  # type: ignore[dict-item]  # JSON, a mapping here
    assert "no writer for the raw layout of mine; there are nyu, icvl, msra, hands17" in refused(
        "raw", store, tmp_path / "out"
    )
