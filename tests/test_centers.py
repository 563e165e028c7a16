"""Hand centres of a store: computing and replacing them, what becomes of the frames, and the commands."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr.storage._local
from click.testing import CliRunner
from filelock import FileLock
from numpy.testing import assert_allclose

from handbench.camera import xyz_to_uvd
from handbench.converters.center_files import SPACES
from handbench.converters.centers import ComputeConfig, compute_centers, import_centers
from handbench.converters.centers_command import _SPACES, centers
from handbench.errors import HandbenchError, ShapeError
from handbench.preprocess.center import com_iterated_xyz, com_xyz
from handbench.store import FrameStatus, Store
from handbench.store.edit import NewCenters, replace_centers
from tests.center_stores import NYU, walk, write_centers, write_store
from tests.tiny_store import CAMERA, write_tiny_store


@pytest.fixture
def hand() -> np.ndarray:
    return walk(600)


@pytest.fixture
def store(tmp_path: Path, hand: np.ndarray) -> Path:
    return write_store(tmp_path / "s.zarr", hand)


# ----------------------------------------------------------------------------------------- status and attributes


def test_invalid_lines_and_frames_that_can_be_used_again(tmp_path: Path, hand: np.ndarray) -> None:
    status = np.zeros(len(hand), np.uint8)
    status[[0, 1]] = FrameStatus.OUTSIDE_IMAGE
    status[[2, 3]] = FrameStatus.IMAGE_MISSING
    store = write_store(tmp_path / "s.zarr", hand, walls=True, status=status, center_xyz=hand + np.array([30, 40, 0]))
    lines = [" ".join(map(repr, point)) for point in hand.tolist()]
    lines[1] = lines[3] = lines[4] = "invalid"
    lines[5] = "5000 0 700"  # far beyond the image
    (tmp_path / "c.txt").write_text("\n".join(lines))
    change = import_centers(store, [tmp_path / "c.txt"])
    split = Store(store)["test"]
    assert split.status[:7].tolist() == [0, 4, 1, 1, 4, 4, 0]
    assert np.flatnonzero(np.isnan(split.center_xyz).any(axis=1)).tolist() == [1, 3, 4]
    assert (change.invalid, change.unusable, change.mended) == (3, 1, 1)
    assert change.moved == pytest.approx((50, 50), abs=1e-3)
    assert change.from_truth < 1e-3
    assert change.outside == pytest.approx(1 / 597)


def test_attributes_are_those_of_the_new_centres_alone(tmp_path: Path, store: Path, hand: np.ndarray) -> None:
    file = write_centers(tmp_path / "c.txt", xyz_to_uvd(hand, NYU.camera))
    import_centers(store, [file])
    for group in (xarray.open_zarr(store, group="test"), xarray.open_zarr(store, group="test", consolidated=False)):
        with group as data:
            attributes = data["center_xyz"].attrs
            assert attributes["center_method"] == f"refined:{hashlib.sha256(file.read_bytes()).hexdigest()}"
            assert attributes["center_file"] == "c.txt"
            assert (attributes["center_space"], attributes["center_axes"]) == ("uvd", "rows downwards")
            assert attributes["units"] == "mm"
            assert "near_mm" not in attributes
            assert_allclose(data["center_xyz"].to_numpy(), hand, atol=1e-3)
    compute_centers(store, ComputeConfig("gt-mean"))
    with xarray.open_zarr(store, group="test") as data:
        assert set(data["center_xyz"].attrs) == {"units", "frame", "long_name", "center_method"}


# --------------------------------------------------------------------------------------------------- computing


def test_com_is_computed_from_the_depth_of_the_store(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=140, test=3, bad_rows=(1,))
    changes = compute_centers(store, ComputeConfig("com", near=500, far=700))
    assert [(change.split, change.frames, change.invalid) for change in changes] == [("train", 140, 1), ("test", 3, 1)]
    for name in ("train", "test"):
        split = Store(store)[name]
        expected = [com_xyz(split.depth(row), CAMERA, 500, 700) for row in range(len(split))]
        assert_allclose(split.center_xyz, expected, rtol=1e-6)
        assert split.center_method == "com"
        assert split.status[1] == FrameStatus.IMAGE_MISSING
    with xarray.open_zarr(store, group="train") as data:
        assert (data["center_xyz"].attrs["near_mm"], data["center_xyz"].attrs["far_mm"]) == (500, 700)


def test_com_iterated_takes_the_cube_of_each_frame(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=5, test=3)
    compute_centers(store, ComputeConfig("com-iterated", splits=("test",)))
    split = Store(store)["test"]
    near, far = NYU.depth_range_mm
    expected = [com_iterated_xyz(split.depth(i), CAMERA, near, far, split.cube[i]) for i in range(3)]
    assert_allclose(split.center_xyz, expected, rtol=1e-6)
    assert (split.center_method, Store(store)["train"].center_method) == ("com-iterated", "gt-mean")


def test_gt_mean_is_the_mean_of_the_scored_joints(store: Path, hand: np.ndarray) -> None:
    (change,) = compute_centers(store, ComputeConfig("gt-mean"))
    assert_allclose(Store(store)["test"].center_xyz, hand, atol=1e-3)
    assert change.from_truth < 1e-3
    assert change.outside == 0


def test_what_cannot_be_computed_is_refused_and_changes_nothing(tmp_path: Path, store: Path, hand: np.ndarray) -> None:
    blind = write_store(tmp_path / "b.zarr", hand, labelled=False)
    with pytest.raises(HandbenchError, match="no frame of split test has a label"):
        compute_centers(blind, ComputeConfig("gt-mean"))
    with pytest.raises(HandbenchError, match="no frame of split test has a depth from 300 to 1200 mm"):
        compute_centers(blind, ComputeConfig("com"))
    with pytest.raises(HandbenchError, match="unknown centre method 'mean'"):
        ComputeConfig("mean")
    with pytest.raises(HandbenchError, match="gt-mean reads none"):
        ComputeConfig("gt-mean", near=3)
    with pytest.raises(HandbenchError, match="near must be below far"):
        compute_centers(store, ComputeConfig("com", near=1300))
    with pytest.raises(HandbenchError, match="no split 'train', only test"):
        compute_centers(store, ComputeConfig("com", splits=("train",)))
    assert Store(store)["test"].center_method == Store(blind)["test"].center_method == "com"


def test_a_damaged_frame_stops_the_computing_by_name(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=0, test=3)
    shard = store / "test" / "depth" / "c" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[30] ^= 1
    shard.write_bytes(data)
    with pytest.raises(HandbenchError, match=r"depth of frame test/1/0000001 .*damaged"):
        compute_centers(store, ComputeConfig("com"))
    assert Store(store)["test"].center_method == "gt-mean"


# ---------------------------------------------------------------------------------------------- safe at any moment


class Killed(Exception):
    """The process ends here."""


def kill_at_write(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the number-th file that zarr writes, and all after it, not be written."""
    put, count = zarr.storage._local._put, 0

    def dying_put(*args: Any, **options: Any) -> int:
        nonlocal count
        count += 1
        if count >= number:
            raise Killed
        return int(put(*args, **options))

    monkeypatch.setattr(zarr.storage._local, "_put", dying_put)


def facts(store: Path) -> dict[str, tuple[str, bytes, bytes]]:
    splits = Store(store)
    return {
        name: (splits[name].center_method, splits[name].center_xyz.tobytes(), splits[name].status.tobytes())
        for name in splits.splits
    }


def outcome(store: Path, old: Any, new: Any) -> str:
    """What a reader of the store gets."""
    try:
        found = facts(store)
    except HandbenchError as error:
        return "refused" if "replacing its centres was interrupted; repeat 'handbench centers" in str(error) else "lost"
    return "old" if found == old else "new" if found == new else "mixed"


def test_killed_at_any_write_the_store_is_old_or_new_or_refused(tmp_path: Path) -> None:
    def fresh(number: int) -> Path:
        return write_tiny_store(tmp_path / f"{number}.zarr", train=4, test=3, bad_rows=(1,))

    config = ComputeConfig("com", near=500)
    old = facts(fresh(0))
    compute_centers(tmp_path / "0.zarr", config)
    new = facts(tmp_path / "0.zarr")
    assert all(old[name] != new[name] for name in old)
    outcomes = []
    for number in range(1, 100):
        store = fresh(number)
        with pytest.MonkeyPatch.context() as patch:
            kill_at_write(patch, number)
            try:
                compute_centers(store, config)
                break
            except Killed:
                pass
        outcomes.append(outcome(store, old, new))
        (first, _) = compute_centers(store, config)
        assert facts(store) == new
        assert first.old_method == ("interrupted" if outcomes[-1] == "refused" else "gt-mean")
    assert len(outcomes) > 6
    assert set(outcomes) == {"old", "refused"}
    with xarray.open_zarr(store, group="train") as data:  # would warn without consolidated metadata
        assert data["center_xyz"].attrs["center_method"] == "com"


def test_an_interrupted_change_is_finished_for_all_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=4, test=3)
    with pytest.MonkeyPatch.context() as patch:
        kill_at_write(patch, 3)
        with pytest.raises(Killed):
            compute_centers(store, ComputeConfig("com"))
    with pytest.raises(HandbenchError, match=r"replacing the centres of train, test was interrupted; .*for train"):
        compute_centers(store, ComputeConfig("com", splits=("test",)))
    compute_centers(store, ComputeConfig("gt-mean"))
    assert Store(store)["train"].center_method == Store(store)["test"].center_method == "gt-mean"


def test_sigkill_amid_the_writes(tmp_path: Path) -> None:
    store = write_tiny_store(tmp_path / "s.zarr", train=0, test=3)
    script = f"""
        import os, signal, handbench.store.edit as edit
        from pathlib import Path
        from handbench.converters.centers import ComputeConfig, compute_centers
        edit.consolidate = lambda path: os.kill(os.getpid(), signal.SIGKILL)
        compute_centers(Path({str(store)!r}), ComputeConfig("com"))
    """
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(HandbenchError, match="replacing its centres was interrupted"):
        Store(store)
    compute_centers(store, ComputeConfig("com"))
    assert Store(store)["test"].center_method == "com"


def test_only_one_process_writes(store: Path) -> None:
    with FileLock(store.with_name(f"{store.name}.lock")), pytest.raises(HandbenchError, match="another process is"):
        compute_centers(store, ComputeConfig("gt-mean"))
    compute_centers(store, ComputeConfig("gt-mean"))
    assert not store.with_name(f"{store.name}.lock").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_cannot_be_written(store: Path) -> None:
    (store / "zarr.json").chmod(0o400)
    store.chmod(0o500)
    try:
        with pytest.raises(HandbenchError, match="cannot be written"):
            compute_centers(store, ComputeConfig("gt-mean"))
    finally:
        store.chmod(0o700)


def test_centres_of_another_shape_are_refused(store: Path) -> None:
    with pytest.raises(ShapeError, match="not"):
        NewCenters(np.zeros((3, 2)), np.zeros(3, np.uint8), {})
    with pytest.raises(ShapeError, match="has 600 frames, not 3"):
        replace_centers(store, {"test": NewCenters(np.zeros((3, 3)), np.zeros(3, np.uint8), {})})
    with pytest.raises(HandbenchError, match="there is no store"):
        replace_centers(store.with_name("nothing.zarr"), {})


# -------------------------------------------------------------------------------------------------- the commands


def test_import_says_what_it_did(tmp_path: Path, hand: np.ndarray) -> None:
    store = write_store(tmp_path / "s.zarr", hand, walls=True)
    file = write_centers(tmp_path / "c.txt", hand + np.array([6, 8, 0]))
    result = CliRunner().invoke(centers, ["import", str(store), str(file)], catch_exceptions=False)
    assert result.exit_code == 0
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert result.stdout == (
        f"{store} test: 600 frames, centre refined:{sha256[:8]}… read as xyz-y-down in the place of com; "
        "10.0 mm from the mean of the true joints, 0.00% further than half the cube; 0 invalid; "
        "600 frames usable again\n"
    )


def test_compute_says_it_in_json(store: Path) -> None:
    result = CliRunner().invoke(centers, ["compute", str(store), "--method", "gt-mean", "--json"])
    told = json.loads(result.stdout)["splits"]["test"]
    assert (told["frames"], told["method"], told["old_method"], told["invalid"]) == (600, "gt-mean", "com", 0)
    assert told["moved"] == [None, None]  # there were no centres before


def test_the_commands_pass_errors_on(tmp_path: Path, store: Path) -> None:
    run = CliRunner().invoke
    assert isinstance(run(centers, ["import", str(store), str(tmp_path / "no.txt")]).exception, HandbenchError)
    assert isinstance(run(centers, ["compute", str(tmp_path), "--method", "com"]).exception, HandbenchError)
    assert run(centers, ["compute", str(store)]).exit_code == 2
    assert run(centers, ["import", str(store)]).exit_code == 2
    assert _SPACES == SPACES


def test_ctrl_c_leaves_the_store_as_it_was(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("handbench.converters.center_change.replace_centers", stop)
    result = CliRunner().invoke(centers, ["compute", str(store), "--method", "gt-mean"])
    assert result.exit_code == 130
    assert "has the centres it had" in result.stderr
    assert Store(store)["test"].center_method == "com"
