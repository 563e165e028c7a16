"""ICVL from raw bytes to frames and back: exact pixels and labels, every trap of the format, bad trees."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.icvl import IcvlReader, IcvlWriter, image_names, is_original
from handbench.converters.journal import LISTED
from handbench.datasets import dataset
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus, FrameTable, Store
from tests.raw import icvl as raw
from tests.raw.nyu import png

SPEC = dataset("icvl")
ORIGINALS = {
    "201403121135": 2677,
    "201403121140": 885,
    "201405151126": 3475,
    "201406030937": 1688,
    "201406031456": 1739,
    "201406031503": 1389,
    "201406031747": 1943,
    "201406041509": 2141,
    "201406181554": 1570,
    "201406181600": 1655,
    "201406191014": 1182,
    "201406191044": 1724,
}
ROTATIONS = [f"{turn / 2:g}".replace(".", "-") for turn in range(-315, 360, 45) if turn]  # -157-5 to 157-5


@pytest.mark.parametrize("layout", ["new", "train.txt", "labels.txt", "lables.txt"])
def test_both_layouts_give_the_same_frames(tmp_path: Path, layout: str) -> None:
    depth = raw.write_new(tmp_path) if layout == "new" else raw.write_old(tmp_path, layout)
    reader = IcvlReader(tmp_path, rotated=True)
    assert reader.splits == ("train", "test")
    for split, names, seed in (("train", raw.TRAIN, 0), ("test", raw.TEST, 1)):
        table = reader.table(split)
        assert table.frame_key.tolist() == [f"{split}/{name.removesuffix('.png')}" for name in names]
        assert table.sequence.tolist() == [name.split("/")[-2] for name in names]
        assert_allclose(table.joints_xyz, raw.xyz(raw.uvd(len(names), seed)), atol=1e-4)
        assert reader.unlabelled(split, table) == 0
        for row in np.flatnonzero(table.frame_key != "train/201406030937/image_-001"):
            assert_array_equal(reader.depth(str(table.image[row])), depth[split][row])


def test_originals_are_read_by_default_and_rotated_copies_when_asked(tmp_path: Path) -> None:
    raw.write_new(tmp_path)
    table = IcvlReader(tmp_path).table("train")
    assert table.frame_key.tolist() == [
        "train/201403121135/image_0002",
        "train/201403121135/image_14080",
        "train/201406030937/image_-001",
        "train/201406030937/image_0036",
    ]
    assert_allclose(table.joints_xyz, raw.xyz(raw.uvd(len(raw.TRAIN)))[3:], atol=1e-4)
    assert IcvlReader(tmp_path).release == "originals"
    reader = IcvlReader(tmp_path, rotated=True)
    assert (reader.release, dict(reader.options)) == ("rotated", {"rotated": True})
    assert reader.table("train").frame_key[1] == "train/67-5/201403121135/image_0002"
    assert len(IcvlReader(tmp_path).table("test")) == 3


def test_only_a_rotation_above_a_sequence_makes_a_copy() -> None:
    copies = [f"{rotation}/201403121135/image_0000.png" for rotation in (*ROTATIONS, "-180", "180")]
    assert not any(map(is_original, copies))
    for name in (
        "201403121135/image_0000.png",
        "test_seq_1/image_0000.png",
        "../x/y.png",
        "45/image.png",
        "a/b/c/d",
        "45/a/b/c.png",
    ):
        assert is_original(name)


def test_background_is_32001_all_beyond_30000_and_0(tmp_path: Path) -> None:
    raw.write_new(tmp_path)
    depth = IcvlReader(tmp_path).depth("Testing/Depth/test_seq_1/image_0000.png")
    assert depth.dtype == np.uint16
    assert depth[0, :5].tolist() == [0, 0, 0, 30000, 0]  # 0, 30001, 65535, 30000, 32001


def test_the_label_whose_image_nobody_uses(tmp_path: Path) -> None:
    raw.write_new(tmp_path)
    image = "Training/Depth/201406030937/image_-001.png"
    with pytest.raises(FrameError, match="unusable") as caught:
        IcvlReader(tmp_path).depth(image)
    assert caught.value.status == FrameStatus.IMAGE_CORRUPT
    (tmp_path / image).unlink()
    with pytest.raises(FrameError, match="is missing") as caught:
        IcvlReader(tmp_path).depth(image)
    assert caught.value.status == FrameStatus.IMAGE_MISSING


def test_a_conversion_keeps_every_row(tmp_path: Path) -> None:
    depth = raw.write_new(tmp_path / "raw")
    (tmp_path / "raw/Training/Depth/201403121135/image_0002.png").unlink()
    summary = convert(IcvlReader(tmp_path / "raw"), tmp_path / "s.zarr", ConvertConfig())
    train, test = Store(tmp_path / "s.zarr")["train"], Store(tmp_path / "s.zarr")["test"]
    assert summary.frames == {"train": 4, "test": 3}
    assert train.status.tolist() == [FrameStatus.IMAGE_MISSING, 0, FrameStatus.IMAGE_CORRUPT, 0]
    assert_array_equal(train.depth(3), depth["train"][6])
    assert_array_equal(test.depth(2), depth["test"][2])
    assert test.sequence.tolist() == ["test_seq_1", "test_seq_1", "test_seq_2"]
    assert_array_equal(test.cube, np.full((3, 3), 200))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace(b" ", b" 1.0 ", 1), "line 1: 50 words, there must be 49"),
        (lambda t: t.rstrip().rpartition(b" ")[0], "line 2: 48 words, there must be 49"),
        (lambda t: t.replace(b".", b","), r"line 1: '[0-9]+,[0-9]{3}' is not a number"),
        (lambda t: t.replace(b"\r\r\n", b""), "line 1: 98 words"),
        (lambda t: t + t[: len(t) // 2], "name test_seq_1/image_0000.png 2 times"),
    ],
)
def test_a_label_file_of_another_kind_is_named(tmp_path: Path, change: Callable[[bytes], bytes], message: str) -> None:
    raw.write_new(tmp_path)
    file = tmp_path / "Testing/test_seq_1.txt"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(HandbenchError, match=message) as caught:
        IcvlReader(tmp_path).table("test")
    assert str(tmp_path / "Testing") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_that_are_no_label_make_the_joint_nan_not_the_file(tmp_path: Path) -> None:
    raw.write_new(tmp_path)
    file = tmp_path / "Testing/test_seq_1.txt"
    words = file.read_bytes().split()
    first, second = words[1:49], words[50:98]
    first[0], first[4], first[8], first[11] = b"nan", b"-inf", b"0.000", b"-3"
    second[:] = [b"NaN"] * 47 + [b"1e300"]
    file.write_bytes(b"\n".join(b" ".join(line) for line in ([words[0], *first], [words[49], *second])))
    convert(IcvlReader(tmp_path), tmp_path / "s.zarr", ConvertConfig(splits=("test",)))
    split = Store(tmp_path / "s.zarr")["test"]
    assert np.flatnonzero(np.isnan(split.joints_xyz[0]).any(axis=-1)).tolist() == [0, 1, 2, 3]
    assert np.isfinite(split.joints_xyz[0, 4:]).all()
    assert split.status.tolist() == [0, FrameStatus.LABEL_INVALID, 0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((name, "is no file below") for name in ("../secret.png", "/etc/x.png", "a\\b.png", "a/../../b.png")),
        ("test_seq_1/link.png", "is a link that leaves"),
    ],
)
def test_a_label_cannot_name_a_path_outside_its_tree(tmp_path: Path, name: str, message: str) -> None:
    raw.write_new(tmp_path)
    (tmp_path / "Testing/Depth/test_seq_1/link.png").symlink_to(tmp_path / "outside.png")
    for place in ("outside.png", "Testing/secret.png", "b.png"):
        (tmp_path / place).write_bytes(png(np.full((240, 320), 300, np.uint16)))
    (tmp_path / "Testing/test_seq_1.txt").write_bytes(raw.lines((name,), raw.uvd(1)))
    reader = IcvlReader(tmp_path)
    table = reader.table("test")
    assert table.frame_key[0] == f"test/{name.removesuffix('.png')}"
    with pytest.raises(FrameError, match=message) as caught:
        reader.depth(str(table.image[0]))
    assert caught.value.status == FrameStatus.IMAGE_CORRUPT


def test_the_folder_of_images_may_itself_be_a_link(tmp_path: Path) -> None:
    depth = raw.write_new(tmp_path)
    (tmp_path / "Testing/Depth").rename(tmp_path / "elsewhere")
    (tmp_path / "Testing/Depth").symlink_to(tmp_path / "elsewhere")
    assert_array_equal(IcvlReader(tmp_path).depth("Testing/Depth/test_seq_1/image_0001.png"), depth["test"][1])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"truncated or no PNG \(0 bytes\)"),
        (png(np.full((240, 320), 300, np.uint16))[:9000], "truncated"),
        (png(np.zeros((240, 320, 3), np.uint8)), "320 x 240, 3 x uint8; it must be a 16-bit gray image"),
        (png(np.full((480, 640), 300, np.uint16)), "640 x 480, 1 x uint16"),
        (cv2.imencode(".png", np.zeros((240, 320), np.uint8))[1].tobytes(), "320 x 240, 1 x uint8"),
        (cv2.imencode(".jpg", np.zeros((240, 320), np.uint8))[1].tobytes(), "no PNG"),
    ],
)
def test_an_image_of_another_kind_is_corrupt(tmp_path: Path, data: bytes, message: str) -> None:
    raw.write_new(tmp_path)
    image = "Testing/Depth/test_seq_1/image_0000.png"
    (tmp_path / image).write_bytes(data)
    with pytest.raises(FrameError, match=message) as caught:
        IcvlReader(tmp_path).depth(image)
    assert caught.value.status == FrameStatus.IMAGE_CORRUPT


def test_what_is_no_file_is_said_in_one_line(tmp_path: Path) -> None:
    raw.write_new(tmp_path)
    folder = tmp_path / "Testing/Depth/test_seq_1"
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to(folder / "loop.png")
    for name, status in (("folder", FrameStatus.IMAGE_CORRUPT), ("loop", FrameStatus.IMAGE_CORRUPT)):
        with pytest.raises(FrameError) as caught:
            IcvlReader(tmp_path).depth(f"Testing/Depth/test_seq_1/{name}.png")
        assert caught.value.status == status
    labels = tmp_path / "Training/labels.txt"
    labels.unlink()
    labels.mkdir()
    with pytest.raises(HandbenchError, match=r"cannot read .*labels\.txt: Is a directory"):
        IcvlReader(tmp_path).table("train")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(HandbenchError, match=r"cannot read the folder .*loop: Too many levels"):
        IcvlReader(loop)


def test_trees_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match="has no Training/ or Testing/, nor label files"):
        IcvlReader(tmp_path)
    with pytest.raises(HandbenchError, match=r"cannot read the folder .*nowhere: No such file"):
        IcvlReader(tmp_path / "nowhere")
    raw.write_new(tmp_path)
    (tmp_path / "Training/labels.txt").unlink()
    with pytest.raises(HandbenchError, match=r"Training has no labels: none of labels\.txt, train\.txt, lables\.txt"):
        IcvlReader(tmp_path).table("train")
    with pytest.raises(HandbenchError, match="no split 'val', only train, test"):
        IcvlReader(tmp_path).table("val")


def test_a_missing_sequence_and_odd_counts_are_remarked(tmp_path: Path) -> None:
    raw.write_new(tmp_path)
    reader = IcvlReader(tmp_path)
    assert reader.remarks("train", reader.table("train")) == ["train: 4 frames, published are 22,068"]
    assert reader.remarks("test", reader.table("test")) == ["test: 3 frames, published are 1,596"]
    (tmp_path / "Testing/test_seq_2.txt").unlink()
    table = reader.table("test")
    assert reader.remarks("test", table) == ["test: there is no test_seq_2; the test set is both sequences"]
    assert reader.unlabelled("test", table) == 1


@pytest.mark.parametrize("old", [False, True])
def test_images_without_labels_are_counted_in_their_split(tmp_path: Path, old: bool) -> None:
    if old:
        raw.write_old(tmp_path)
    else:
        raw.write_new(tmp_path)
    depth = tmp_path / ("Depth" if old else "Training/Depth")
    for name in ("45/201403121135/image_0004.png", "201403121135/image_0004.png", "201403121135/notes.txt"):
        (depth / name).write_bytes(b"")
    for rotated, extra in ((False, 1), (True, 2)):
        reader = IcvlReader(tmp_path, rotated)
        assert reader.unlabelled("train", reader.table("train")) == extra
        assert reader.unlabelled("test", reader.table("test")) == 0


def test_published_lists_of_skipped_frames_are_flagged(tmp_path: Path) -> None:
    names = (
        "201405151126/image_11993.png",
        "201405151126/image_11994.png",
        "201406191014/image_1720.png",
        "45/201405151126/image_11993.png",
        "45/201406191014/image_1720.png",
        "201406030937/image_11993.png",
    )
    raw.write_new(tmp_path, train=names)
    reader = IcvlReader(tmp_path, rotated=True)
    table = reader.table("train")
    flags = reader.flagged("train", table)
    assert {row: reason.rpartition("(")[2] for row, reason in flags.items()} == {
        0: "TriHorn-Net)",
        2: "TriHorn-Net)",
        3: "A2J)",
    }
    assert list(reader.flagged("train", table[2:4])) == [0, 1]
    assert reader.flagged("test", reader.table("test")) == {}


def test_fingerprints_are_of_the_label_files(tmp_path: Path) -> None:
    raw.write_new(tmp_path)
    reader = IcvlReader(tmp_path)
    assert list(reader.fingerprints("train")) == ["Training/labels.txt"]
    prints = reader.fingerprints("test")
    assert list(prints) == ["Testing/test_seq_1.txt", "Testing/test_seq_2.txt"]
    assert prints["Testing/test_seq_2.txt"]["bytes"] == (tmp_path / "Testing/test_seq_2.txt").stat().st_size


def test_a_reader_is_small_and_travels(tmp_path: Path) -> None:
    raw.write_new(tmp_path)
    reader = pickle.loads(pickle.dumps(IcvlReader(tmp_path, rotated=True)))
    assert_array_equal(reader.table("train").frame_key, IcvlReader(tmp_path, rotated=True).table("train").frame_key)
    assert len(pickle.dumps(reader)) < 10_000


def test_the_writer_is_the_readers_inverse(tmp_path: Path) -> None:
    raw.write_new(tmp_path / "a")
    (tmp_path / "a/Training/Depth/201403121135/image_14080.png").unlink()
    reader, writer = IcvlReader(tmp_path / "a", rotated=True), IcvlWriter(tmp_path / "b")
    for split in reader.splits:
        table = reader.table(split)
        writer.write_split(split, table, (frame(reader, str(image)) for image in table.image))
    copy = IcvlReader(tmp_path / "b", rotated=True)
    for split in reader.splits:
        ours, theirs = copy.table(split), reader.table(split)
        assert_tables_equal(ours, theirs)
        for image in theirs.image.tolist():
            assert_array_equal(frame(copy, image) is None, frame(reader, image) is None)
            if (pixels := frame(reader, image)) is not None:
                assert_array_equal(copy.depth(image), pixels)
    for file in ("Training/labels.txt", "Testing/test_seq_1.txt", "Testing/test_seq_2.txt"):
        assert (tmp_path / "b" / file).read_bytes() == (tmp_path / "a" / file).read_bytes()
    data = (tmp_path / "b/Testing/Depth/test_seq_1/image_0000.png").read_bytes()
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert stored[0, :5].tolist() == [32001, 32001, 32001, 30000, 32001]


def frame(reader: IcvlReader, image: str) -> np.ndarray | None:
    try:
        return reader.depth(image)
    except FrameError:
        return None


def assert_tables_equal(ours: FrameTable, theirs: FrameTable) -> None:
    for name, column in vars(theirs).items():
        assert_array_equal(getattr(ours, name), column, err_msg=name)


def test_unlabelled_joints_are_written_as_nan_and_read_back(tmp_path: Path) -> None:
    raw.write_new(tmp_path / "a")
    table = IcvlReader(tmp_path / "a").table("test")
    table.joints_xyz[1, 3] = np.nan
    IcvlWriter(tmp_path / "b").write_split("test", table, [None] * 3)
    assert_tables_equal(IcvlReader(tmp_path / "b").table("test"), table)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_labels_survive_the_store_to_the_printed_digit(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    root = tmp_path_factory.mktemp("icvl")
    rng = np.random.default_rng(seed)
    labels = np.round(rng.uniform([-500, -500, 1], [800, 700, 4000], (5, 16, 3)), 3)
    labels[0, :8, :2] = 0  # back as 0.000, not as -0.000
    names = tuple(f"test_seq_1/image_{i:04d}.png" for i in range(5))
    (root / "Testing").mkdir()
    (root / "Testing/test_seq_1.txt").write_bytes(raw.lines(names, labels, raw.TEST_END))
    IcvlWriter(root / "copy").write_split("test", IcvlReader(root).table("test"), [None] * 5)
    assert (root / "copy/Testing/test_seq_1.txt").read_bytes() == raw.lines(names, labels, raw.TEST_END)


def test_the_writer_refuses_what_icvl_cannot_hold(tmp_path: Path) -> None:
    raw.write_new(tmp_path / "a")
    table = IcvlReader(tmp_path / "a").table("test")
    writer = IcvlWriter(tmp_path / "b")
    with pytest.raises(HandbenchError, match="a depth of 31000 mm; ICVL takes all beyond 30000 for nothing"):
        writer.write_split("test", table, [np.full((240, 320), 31000, np.uint16)] * 3)
    table.sequence[2] = "seq_3"
    with pytest.raises(HandbenchError, match="tests on test_seq_1 and test_seq_2, not on seq_3"):
        writer.write_labels("test", table)
    for key in ("P0/1/000000", "test", "test/a b"):
        with pytest.raises(HandbenchError, match="is no frame key of ICVL"):
            image_names(np.array([key]))
    with pytest.raises(HandbenchError, match="no file below"):
        writer.write_image("Testing/Depth/../../x.png", np.zeros((240, 320), np.uint16))
    (tmp_path / "c").write_bytes(b"")
    with pytest.raises(HandbenchError, match=r"cannot write .*c/Testing"):
        IcvlWriter(tmp_path / "c").write_image("Testing/Depth/test_seq_1/x.png", np.zeros((240, 320), np.uint16))


@pytest.mark.slow
def test_a_tree_of_true_size_is_read_in_seconds(tmp_path: Path) -> None:
    """14 rotated blocks and then the originals of each sequence; image_-001.png has no copies."""
    names = []
    for sequence, count in ORIGINALS.items():
        numbers = [f"{2 * i:04d}" for i in range(count)]
        if sequence == "201406030937":
            numbers[0] = "-001"
        for rotation in ROTATIONS:
            names += [f"{rotation}/{sequence}/image_{number}.png" for number in numbers if number != "-001"]
        names += [f"{sequence}/image_{number}.png" for number in numbers]
    line = raw.lines(("",), raw.uvd(1))
    (tmp_path / "Training").mkdir()
    with (tmp_path / "Training/labels.txt").open("wb") as file:
        file.writelines(name.encode() + line for name in names)
    raw.write_images(tmp_path / "Training/Depth", (names[-1],))
    originals, rotated = IcvlReader(tmp_path), IcvlReader(tmp_path, rotated=True)
    table = rotated.table("train")
    assert len(table) == 331_006 == SPEC.split("train").frames["rotated"]
    assert table.frame_key[129_173] == "train/201406030937/image_-001"  # the line that A2J marks invalid
    table = originals.table("train")
    assert len(table) == 22_068 == SPEC.split("train").frames["originals"]
    assert originals.remarks("train", table) == []
    summary = convert(originals, tmp_path / "s.zarr", ConvertConfig())
    assert summary.wrong == {FrameStatus.IMAGE_MISSING: 22_067}
    assert len(summary.problems) == LISTED
    assert (Store(tmp_path / "s.zarr")["train"].status == 0).sum() == 1


def test_real_labels_have_no_blank_rows_and_are_written_back_byte_for_byte(tmp_path: Path, real: Path) -> None:
    (tmp_path / "Testing").mkdir()
    for name in ("test_seq_1.txt", "test_seq_2.txt"):
        (tmp_path / "Testing" / name).symlink_to(real / "icvl" / name)
    reader = IcvlReader(tmp_path)
    table = reader.table("test")
    names = (real / "icvl/test_list.txt").read_text().split()
    assert table.frame_key.tolist() == [f"test/{name.removesuffix('.png')}" for name in names]
    assert table.sequence.tolist() == ["test_seq_1"] * 702 + ["test_seq_2"] * 894
    assert reader.remarks("test", table) == []
    truth = np.loadtxt(real / "icvl/groundtruth.txt").reshape(-1, 16, 3)
    assert_allclose(table.joints_xyz, raw.xyz(truth), atol=1e-4)
    IcvlWriter(tmp_path / "copy").write_split("test", table, [None] * len(table))
    for name in ("test_seq_1.txt", "test_seq_2.txt"):
        assert (tmp_path / "copy/Testing" / name).read_bytes() == (real / "icvl" / name).read_bytes()
