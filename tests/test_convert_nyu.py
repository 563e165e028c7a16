"""NYU from raw bytes to a store: exact pixels and labels, traps of the format, bad trees."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner, Result
from filelock import FileLock
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import uvd_to_xyz, xyz_to_uvd
from handbench.cli import main
from handbench.converters import open_raw, shard
from handbench.converters.nyu import EXCHANGED_TRAIN_FRAMES, NyuReader, NyuWriter
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.preprocess import com_xyz
from handbench.store import FrameStatus, Store
from handbench.store.writer import write_depth
from tests.raw import nyu as raw

SPEC = dataset("nyu")
SCORED = list(SPEC.joints.scored)
Tree = tuple[Path, dict[str, tuple[np.ndarray, np.ndarray]]]


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "nyu"
    return root, raw.write_tree(root, {"train": 3, "test": 4})


def test_pixels_and_labels_are_exact(tmp_path: Path, tree: Tree) -> None:
    root, truth = tree
    result = run("convert", "nyu", root, tmp_path / "s.zarr")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip() == f"{tmp_path / 's.zarr'}: 3 train + 4 test frames, all ok"
    store = Store(tmp_path / "s.zarr")
    for split, (depth, joints) in truth.items():
        for row in range(len(depth)):
            assert_array_equal(store[split].depth(row), depth[row])
        assert_allclose(store[split].joints_xyz, joints, atol=1e-4)
    assert store["test"].frame_key.tolist() == [f"test/1/{i:07d}" for i in (1, 2, 3, 4)]


def test_bytes_are_not_swapped_and_do_not_overflow(tmp_path: Path) -> None:
    folder = tmp_path / "test"
    folder.mkdir()
    depth = np.zeros((480, 640), np.uint16)
    depth[0, :3] = 0x0102, 0x0201, 2001
    (folder / "depth_1_0000001.png").write_bytes(raw.png(raw.packed(depth)))
    assert NyuReader(tmp_path).depth("test/depth_1_0000001.png")[0, :4].tolist() == [0x0102, 0x0201, 0, 0]


def test_labels_agree_with_their_uvd_after_the_flip(tree: Tree) -> None:
    root, _ = tree
    uvd = scipy.io.loadmat(root / "test" / "joint_data.mat")["joint_uvd"][0]
    table = NyuReader(root).table("test")
    assert_allclose(xyz_to_uvd(table.joints_xyz.astype(float), SPEC.camera), uvd, atol=1e-3)


def test_the_second_subject_starts_at_frame_2441_with_the_smaller_cube(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    raw.write_labels(tmp_path / "test", np.full((3, 2442, 36, 3), 700.0))
    table = NyuReader(tmp_path).table("test")
    assert table.subject[2438:].tolist() == ["1", "1", "2", "2"]
    assert table.frame_key[2440] == "test/1/0002441"
    assert SPEC.cube_of("2") == pytest.approx(SPEC.cube_of("1") * 5 / 6)


def test_centres_are_what_their_method_says(tmp_path: Path, tree: Tree) -> None:
    root, truth = tree
    run("convert", "nyu", root, tmp_path / "com.zarr", "--split", "test", "--near", 300, "--far", 760)
    run("convert", "nyu", root, tmp_path / "gt.zarr", "--split", "test", "--center", "gt-mean")
    com, gt = Store(tmp_path / "com.zarr")["test"], Store(tmp_path / "gt.zarr")["test"]
    depth, joints = truth["test"]
    assert (com.center_method, gt.center_method) == ("com", "gt-mean")
    assert_allclose(gt.center_xyz, joints[:, SCORED].mean(axis=1), atol=1e-3)
    assert_allclose(com.center_xyz[2], com_xyz(depth[2], SPEC.camera, 300, 760), atol=1e-3)
    assert_array_equal(com.cube, np.full((4, 3), 250))


def test_bad_frames_keep_their_rows(tmp_path: Path, tree: Tree) -> None:
    root, truth = tree
    folder = root / "test"
    joints = truth["test"][1] * [1, -1, 1]
    joints[2] = np.nan
    raw.write_labels(folder, np.stack([joints] * 3))
    (folder / "depth_1_0000001.png").unlink()
    whole = (folder / "depth_1_0000002.png").read_bytes()
    (folder / "depth_1_0000002.png").write_bytes(whole[: len(whole) // 2])
    result = run("convert", "nyu", root, tmp_path / "s.zarr", "--split", "test")
    assert result.exit_code == 1
    assert "test/1/0000001: image missing: " in result.stderr
    assert "depth_1_0000001.png is missing" in result.stderr
    assert "test/1/0000002: image corrupt: " in result.stderr
    assert "truncated" in result.stderr
    assert "test/1/0000003: label invalid: no scored joint is labelled" in result.stderr
    assert "4 test frames, 1 image missing, 1 image corrupt, 1 label invalid" in result.stdout
    split = Store(tmp_path / "s.zarr")["test"]
    assert split.status.tolist() == [
        FrameStatus.IMAGE_MISSING,
        FrameStatus.IMAGE_CORRUPT,
        FrameStatus.LABEL_INVALID,
        FrameStatus.OK,
    ]
    assert not split.depth(0).any()
    assert_array_equal(split.depth(2), truth["test"][0][2])


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((480, 640), 700, np.uint16), "640 x 480, 1 x uint16; it must be an 8-bit RGB image of 640 x 480"),
        (np.zeros((240, 320, 3), np.uint8), "320 x 240, 3 x uint8; it must be"),
        (np.full((480, 640, 3), 3, np.uint8), "red channel is not 0"),
    ],
)
def test_an_image_of_another_kind_is_corrupt(tmp_path: Path, tree: Tree, pixels: np.ndarray, message: str) -> None:
    root, _ = tree
    (root / "test" / "depth_1_0000004.png").write_bytes(raw.png(pixels))
    result = run("convert", "nyu", root, tmp_path / "s.zarr", "--split", "test")
    assert result.exit_code == 1
    assert message in result.stderr
    assert Store(tmp_path / "s.zarr")["test"].status.tolist() == [0, 0, 0, FrameStatus.IMAGE_CORRUPT]


def test_nothing_in_the_depth_range_and_a_centre_outside(tmp_path: Path, tree: Tree) -> None:
    root, truth = tree
    result = run("convert", "nyu", root, tmp_path / "s.zarr", "--split", "train", "--near", 10, "--far", 20)
    assert "no depth between 10 and 20 mm" in result.stderr
    assert (Store(tmp_path / "s.zarr")["train"].status == FrameStatus.OUTSIDE_IMAGE).all()
    joints = truth["train"][1] * [1, -1, 1] + [5000, 0, 0]
    raw.write_labels(root / "train", np.stack([joints] * 3))
    result = run("convert", "nyu", root, tmp_path / "t.zarr", "--split", "train", "--center", "gt-mean")
    assert "the centre lies at column 4" in result.stderr
    assert (Store(tmp_path / "t.zarr")["train"].status == FrameStatus.OUTSIDE_IMAGE).all()


def test_extra_images_and_partly_labelled_frames_are_said(tmp_path: Path, tree: Tree) -> None:
    root, truth = tree
    joints = truth["test"][1] * [1, -1, 1]
    joints[1, 0] = np.nan
    raw.write_labels(root / "test", np.stack([joints] * 3))
    (root / "test" / "depth_1_0000009.png").write_bytes(b"")
    result = run("convert", "nyu", root, tmp_path / "s.zarr", "--split", "test")
    assert result.exit_code == 0
    assert "test: 1 images have no label and were left out" in result.stderr
    assert "test: 1 frames lack some of the scored joints" in result.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["{root}/nowhere", "{out}"], "cannot read the folder"),
        (["{root}/test", "{out}"], "neither train/ nor test/"),
        (["{root}", "{out}", "--split", "val"], "no val/, only train, test"),
        (["{root}", "{out}", "--near", "900", "--far", "500"], "near must be below far"),
        (["{root}", "{out}", "--center", "gt-mean", "--near", "5"], "not of --center gt-mean"),
        (["{root}", "{out}", "--workers", "-1"], "-1 workers"),
        (["{root}", "{out}", "--limit", "0"], "--limit 0"),
        (["{root}", "{out}", "--scheduler", "slurm"], "unknown scheduler 'slurm'"),
        (["{root}", "{out}", "--scheduler", "tcp://127.0.0.1:9"], "no Dask scheduler answers"),
        (["{root}", "{out}", "--views", "1,4"], "some of 1, 2, 3"),
        (["{root}", "{root}/a/b.zarr"], "does not exist; create it first"),
    ],
)
def test_impossible_requests(tmp_path: Path, tree: Tree, args: list[str], message: str) -> None:
    root, out = tree[0], tmp_path / "s.zarr"
    result = run("convert", "nyu", *(arg.format(root=root, out=out) for arg in args))
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not out.exists()


def test_missing_or_foreign_labels(tmp_path: Path, tree: Tree) -> None:
    root, _ = tree
    labels = root / "test" / "joint_data.mat"
    labels.unlink()
    result = run("convert", "nyu", root, tmp_path / "s.zarr")
    assert result.exit_code == 2
    assert "joint_data.mat is missing; the labels lie inside train/ and test/" in result.stderr
    assert list(tmp_path.iterdir()) == [root]  # nothing half-written
    labels.write_bytes(b"not a MATLAB file, but long enough to have a header" * 9)
    assert "is not the labels of NYU" in run("convert", "nyu", root, tmp_path / "s.zarr").stderr
    scipy.io.savemat(labels, {"joint_xyz": np.zeros((3, 2, 21, 3))})
    assert "(3, 2, 21, 3), not (3 views, frames, 36, 3)" in run("convert", "nyu", root, tmp_path / "s.zarr").stderr


def test_an_output_that_exists_is_kept_unless_asked(tmp_path: Path, tree: Tree) -> None:
    root, _ = tree
    out = tmp_path / "s.zarr"
    run("convert", "nyu", root, out, "--split", "test")
    result = run("convert", "nyu", root, out)
    assert result.exit_code == 2
    assert "exists already; name another output or pass --overwrite" in result.stderr
    assert Store(out).splits == ("test",)
    assert run("convert", "nyu", root, out, "--overwrite").exit_code == 0
    assert Store(out).splits == ("train", "test")


def test_an_interrupted_conversion_is_no_store_and_can_be_gone_on_with(
    tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tree[0], tmp_path / "s.zarr"
    run("convert", "nyu", root, tmp_path / "whole.zarr")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shard, "write_depth", interrupted)
        result = run("convert", "nyu", root, out)
    assert result.exit_code == 130
    assert "0 of 7 frames are done, the same command with --resume goes on" in result.stderr
    assert not out.exists()
    with pytest.raises(HandbenchError, match="not finished"):
        Store(tmp_path / "s.zarr.partial")
    result = run("convert", "nyu", root, out)
    assert result.exit_code == 2
    assert "pass --resume to go on with it, or --overwrite" in result.stderr
    result = run("convert", "nyu", root, out, "--resume", "--limit", 2)
    assert "begun with other options" in result.stderr
    assert run("convert", "nyu", root, out, "--resume").exit_code == 0
    assert files_of(out) == files_of(tmp_path / "whole.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nyu", "s.zarr", "whole.zarr"]


def test_resume_does_only_what_is_left(tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = tree[0], tmp_path / "s.zarr"

    written: list[str] = []

    def full_disk(store: Path, split: str, start: int, depth: np.ndarray) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(split)
        write_depth(store, split, start, depth)

    with monkeypatch.context() as patch:
        patch.setattr(shard, "write_depth", full_disk)
        result = run("convert", "nyu", root, out, "--workers", 1, "--codec", "shuffle")
    assert result.exit_code == 2
    assert "No space left on device; when that is mended, the same command with --resume goes on" in result.stderr
    read = []
    depth = NyuReader.depth

    def recorded(self: NyuReader, image: str) -> np.ndarray:
        read.append(image)
        return depth(self, image)

    monkeypatch.setattr(NyuReader, "depth", recorded)
    assert run("convert", "nyu", root, out, "--resume", "--codec", "shuffle").exit_code == 0
    left, count = ("train", 3) if written == ["test"] else ("test", 4)
    assert sorted(read) == [f"{left}/depth_1_{i + 1:07d}.png" for i in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["processes", "cluster"])
def test_every_scheduler_gives_the_same_bytes(tmp_path: Path, tree: Tree, scheduler: str) -> None:
    run("convert", "nyu", tree[0], tmp_path / "threads.zarr", "--codec", "shuffle")
    other = tmp_path / "other.zarr"
    if scheduler == "processes":
        result = run("convert", "nyu", tree[0], other, "--codec", "shuffle", "--scheduler", scheduler, "--workers", 2)
    else:
        from distributed import LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, protocol="tcp://", dashboard_address=None) as cluster:
            address = cluster.scheduler_address
            result = run("convert", "nyu", tree[0], other, "--codec", "shuffle", "--scheduler", address)
    assert result.exit_code == 0, result.stderr
    assert files_of(other) == files_of(tmp_path / "threads.zarr")


def files_of(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_two_conversions_into_one_output(tmp_path: Path, tree: Tree) -> None:
    with FileLock(tmp_path / "s.zarr.lock"):
        result = run("convert", "nyu", tree[0], tmp_path / "s.zarr")
    assert result.exit_code == 2
    assert "another process is writing" in result.stderr
    assert run("convert", "nyu", tree[0], tmp_path / "s.zarr").exit_code == 0


def test_subjects_limit_and_views_choose_frames(tmp_path: Path, tree: Tree) -> None:
    root = tree[0]
    NyuWriter(root).mark_synthetic({"subjects": {"train": {"1": 3}, "test": {"1": 1, "2": 3}}})
    run("convert", "nyu", root, tmp_path / "a.zarr", "--split", "test", "--subjects", "2", "--limit", 2)
    split = Store(tmp_path / "a.zarr")["test"]
    assert split.frame_key.tolist() == ["test/1/0000002", "test/1/0000003"]
    assert_allclose(split.cube, 250 * 5 / 6, rtol=1e-6)
    raw.write_other_images(root / "test", 4)
    result = run("convert", "nyu", root, tmp_path / "b.zarr", "--split", "test", "--views", "2,1", "--near", 0)
    assert result.exit_code == 0, result.stderr
    split = Store(tmp_path / "b.zarr")["test"]
    assert split.view.tolist() == [2] * 4 + [1] * 4
    assert split.viewpoint is not None
    assert split.depth(1)[19, :3].tolist() == [622, 622, 0]
    result = run("convert", "nyu", root, tmp_path / "c.zarr", "--subjects", "9")
    assert "no frame of subject 9; there are 1" in result.stderr


@pytest.mark.parametrize("codec", ["auto", "shuffle", "bitshuffle"])
def test_codecs_keep_every_pixel(tmp_path: Path, tree: Tree, codec: str) -> None:
    run("convert", "nyu", tree[0], tmp_path / "s.zarr", "--codec", codec)
    assert_array_equal(Store(tmp_path / "s.zarr")["test"].depth(1), tree[1]["test"][0][1])


def test_info_in_both_forms(tmp_path: Path, tree: Tree) -> None:
    run("convert", "nyu", tree[0], tmp_path / "s.zarr")
    facts = json.loads(run("info", tmp_path / "s.zarr", "--json").stdout)
    assert facts["splits"]["train"]["frames"] == 3
    assert facts["camera"]["fx"] == 588.036865
    assert facts["provenance"]["raw"]["test/joint_data.mat"]["bytes"] > 1000
    lines = run("info", tmp_path / "s.zarr").stdout
    assert "NYU Hand Pose; store format 1" in lines
    assert "train: 3 frames" in lines
    assert run("info", tmp_path / "none").exit_code == 2


@pytest.mark.parametrize("options", [{}, {"views": (1, 2, 3)}, {"views": (3,), "synth": True}])
def test_the_writer_is_the_readers_inverse(tmp_path: Path, tree: Tree, options: dict[str, Any]) -> None:
    root, truth = tree
    _, joints = truth["test"]
    raw.write_other_images(root / "test", len(joints))
    labels = np.stack([joints * [1, -1, 1] + 10 * view for view in range(3)])
    labels[:, 1, 4] = np.nan
    raw.write_labels(root / "test", labels)
    reader = NyuReader(root, **options)
    table = reader.table("test")
    depths = [reader.depth(image) for image in table.image.tolist()]
    NyuWriter(tmp_path / "copy", reader.synth).write_split("test", table, depths)
    copy = NyuReader(tmp_path / "copy", **options)
    again = copy.table("test")
    for name, column in table.stored().items():
        assert_array_equal(getattr(again, name), column)
    for image, depth in zip(again.image.tolist(), depths, strict=True):
        assert_array_equal(copy.depth(image), depth)
    # Its labels are those of the independent writer.
    theirs = scipy.io.loadmat(root / "test" / "joint_data.mat")["joint_uvd"]
    ours = scipy.io.loadmat(tmp_path / "copy" / "test" / "joint_data.mat")
    written = [view - 1 for view in reader.views]
    assert_allclose(ours["joint_uvd"][written], theirs[written], rtol=1e-6)
    assert np.isnan(np.delete(ours["joint_uvd"], written, axis=0)).all()
    assert [name.item() for name in ours["joint_names"][0]] == raw.joint_names()


def test_three_views_are_told_apart_and_those_that_changed_places_recorded(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    frames = EXCHANGED_TRAIN_FRAMES + 1
    labels = np.broadcast_to(np.array([1.0, 2.0, 3.0])[:, None, None, None] + 700, (3, frames, 36, 3))
    raw.write_labels(tmp_path / "train", labels)
    table = NyuReader(tmp_path, views=(1, 3, 2)).table("train")
    assert table.frame_key[[0, frames, -1]].tolist() == ["train/1/0000001", "train/3/0000001", f"train/2/{frames:07d}"]
    assert table.image[frames] == "train/depth_3_0000001.png"
    assert table.joints_xyz[[0, frames, -1], 0, 2].tolist() == [701, 703, 702]
    assert table.viewpoint is not None
    last = np.arange(1, 4) * frames - 1
    assert table.view[last].tolist() == [1, 3, 2]
    assert table.viewpoint[last].tolist() == [1, 3, 2]  # after the exchange
    assert table.viewpoint[last - 1].tolist() == [1, 2, 3]  # the last frame before it
    assert NyuReader(tmp_path).table("train").viewpoint is None


def test_synthdepth_keeps_2001_and_its_background_is_0(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    depth = np.zeros((480, 640), np.uint16)
    depth[3, 4] = 2001
    (tmp_path / "test" / "synthdepth_2_0000001.png").write_bytes(raw.png(raw.packed(depth)))
    reader = NyuReader(tmp_path, views=(2,), synth=True)
    assert_array_equal(reader.depth("test/synthdepth_2_0000001.png"), depth)


@pytest.mark.parametrize("views", [(), (1, 1), (0,), (4,)])
def test_views_that_are_not_there(tree: Tree, views: tuple[int, ...]) -> None:
    with pytest.raises(HandbenchError, match="some of 1, 2, 3"):
        NyuReader(tree[0], views=views)


def test_the_writer_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "test").mkdir(parents=True)
        NyuWriter(tmp_path / name).write_labels("test", {1: np.full((1, 36, 3), 700.0)})
    a, b = ((tmp_path / name / "test" / "joint_data.mat").read_bytes() for name in ("a", "b"))
    assert a == b


def test_the_writer_refuses_what_the_layout_cannot_hold(tmp_path: Path, tree: Tree) -> None:
    table = NyuReader(tree[0]).table("test")
    with pytest.raises(HandbenchError, match="from 1 without gaps"):
        NyuWriter(tmp_path).write_split("test", table[1:], [None] * 3)
    with pytest.raises(HandbenchError, match="equally many frames"):
        NyuWriter(tmp_path).write_labels("test", {1: np.zeros((2, 36, 3)), 2: np.zeros((3, 36, 3))})
    with pytest.raises(HandbenchError, match="cannot be written"):
        NyuWriter(tmp_path).write_image("none/x.png", np.ones((4, 4), np.uint16))


def test_a_synthetic_tree_says_so_and_whose_hands_it_has(tmp_path: Path) -> None:
    raw.write_tree(tmp_path / "r", {"test": 4})
    NyuWriter(tmp_path / "r").mark_synthetic({"subjects": {"test": {"1": 1, "2": 3}}})
    reader = open_raw("nyu", tmp_path / "r")
    assert reader.release == "synthetic"
    assert reader.table("test").subject.tolist() == ["1", "2", "2", "2"]
    run("convert", "nyu", tmp_path / "r", tmp_path / "s.zarr")
    assert "synthetic hands, not data of a camera" in run("info", tmp_path / "s.zarr").stdout


def test_unknown_data_set_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match="no converter for 'foo'; there are nyu"):
        open_raw("foo", tmp_path)


def test_the_real_frame(tmp_path: Path, real: Path) -> None:
    result = run("convert", "nyu", real / "nyu_one_frame", tmp_path / "s.zarr", "--center", "gt-mean")
    assert result.exit_code == 0, result.stderr
    split = Store(tmp_path / "s.zarr")["test"]
    bgr = np.asarray(cv2.imread(str(real / "nyu_one_frame" / "test" / "depth_1_0000001.png"))).astype(int)
    depth = bgr[..., 1] * 256 + bgr[..., 0]
    assert (depth == 2001).sum() == 187_127
    assert_array_equal(split.depth(0), np.where(depth == 2001, 0, depth))
    line = np.array((real / "nyu" / "groundtruth.txt").read_text().split("\n", 1)[0].split(), float).reshape(14, 3)
    expected = uvd_to_xyz(line, SPEC.scoring_camera)
    raw_xyz = scipy.io.loadmat(real / "nyu_one_frame" / "test" / "joint_data.mat")["joint_xyz"][0, 0, SCORED]
    assert_allclose(split.joints_xyz[0, SCORED], raw_xyz * [1, -1, 1], atol=1e-3)
    assert_allclose(split.joints_xyz[0, SCORED], expected, atol=0.01)  # two focal lengths, uvd in three decimals
    result = run("convert", "nyu", real / "nyu_one_frame", tmp_path / "i.zarr", "--center", "com-iterated")
    assert result.exit_code == 0, result.stderr
    centre = Store(tmp_path / "i.zarr")["test"].center_xyz[0]
    assert np.linalg.norm(centre - split.joints_xyz[0, SCORED].mean(axis=0)) < 50  # in the palm, not on the chest
    unlabelled = np.setdiff1d(np.arange(36), SCORED)
    assert np.isnan(split.joints_xyz[0, unlabelled]).all()
