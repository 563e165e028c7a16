"""MSRA from raw bytes to frames and back: boxes, axes, releases, invalid frames, bad trees."""

from __future__ import annotations

import pickle
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.msra import GESTURES, MsraReader, MsraWriter, image_names
from handbench.converters.msra_invalid import INVALID, invalid_frames
from handbench.datasets import dataset
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus, FrameTable, Store
from tests.raw import msra as raw

SPEC = dataset("msra")
Truth = dict[str, tuple[np.ndarray, np.ndarray]]


def write_tree(root: Path) -> Truth:
    """Written in another order than the published one."""
    return {
        gesture: raw.write_gesture(root / gesture, count, seed=i)
        for i, (gesture, count) in enumerate({"P3/TIP": 4, "P3/2": 3, "P0/IP": 3, "P0/9": 1}.items())
    }


@pytest.fixture
def tree(tmp_path: Path) -> tuple[Path, Truth]:
    return tmp_path / "msra", write_tree(tmp_path / "msra")


def test_pixels_labels_keys_and_order_are_exact(tree: tuple[Path, Truth]) -> None:
    root, truth = tree
    reader = MsraReader(root)
    table = reader.table("all")
    order = ["P0/9", "P0/IP", "P3/2", "P3/TIP"]
    assert table.frame_key.tolist() == [f"{name}/{i:06d}" for name in order for i in range(len(truth[name][0]))]
    assert table.image[-1] == "P3/TIP/000003_depth.bin"
    assert table.subject.tolist() == ["P0"] * 4 + ["P3"] * 7
    assert table.sequence.tolist() == ["9"] + ["IP"] * 3 + ["2"] * 3 + ["TIP"] * 4
    assert_allclose(table.joints_xyz, np.concatenate([truth[name][1] for name in order]), atol=1e-4)
    depth = np.concatenate([truth[name][0] for name in order])
    for row, image in enumerate(table.image.tolist()):
        assert reader.depth(image).dtype == np.float32
        assert_array_equal(reader.depth(image), depth[row])


def test_a_box_lies_from_left_and_top_to_before_right_and_bottom(tmp_path: Path) -> None:
    raw.write_gesture(tmp_path / "P0/1", 1)
    crop = np.array([[301.25, 302, 303], [304, 0, 306.5]])
    (tmp_path / "P0/1/000000_depth.bin").write_bytes(raw.frame_bytes(left=317, top=7, crop=crop))
    depth = MsraReader(tmp_path).depth("P0/1/000000_depth.bin")
    assert_array_equal(depth[7:9, 317:320], crop)
    assert np.count_nonzero(depth) == 5
    (tmp_path / "P0/1/000000_depth.bin").write_bytes(raw.frame_bytes(0, 0, np.full((240, 320), 300.0)))
    assert (MsraReader(tmp_path).depth("P0/1/000000_depth.bin") == 300).all()
    (tmp_path / "P0/1/000000_depth.bin").write_bytes(raw.frame_bytes(5, 5, np.zeros((0, 0))))
    assert not MsraReader(tmp_path).depth("P0/1/000000_depth.bin").any()


def test_y_up_and_z_negative_are_undone(tmp_path: Path) -> None:
    raw.write_gesture(tmp_path / "P0/1", 1)
    raw_xyz = np.tile([10.0, 20.0, -300.0], (1, 21, 1))
    (tmp_path / "P0/1/joint.txt").write_text(raw.joint_text(raw_xyz))
    joints = MsraReader(tmp_path).table("all").joints_xyz
    assert_array_equal(joints[0, 5], [10, -20, 300])
    u, v, d = xyz_to_uvd(joints[0, 5].astype(float), SPEC.camera)
    assert_allclose([u, v, d], [160 + 241.42 * 10 / 300, 120 - 241.42 * 20 / 300, 300])  # authors' read-me


def test_a_conversion_keeps_every_row_in_float32(tmp_path: Path, tree: tuple[Path, Truth]) -> None:
    root, truth = tree
    (root / "P0/IP/000000_depth.bin").unlink()
    summary = convert(MsraReader(root), tmp_path / "s.zarr", ConvertConfig())
    split = Store(tmp_path / "s.zarr")["all"]
    assert summary.frames == {"all": 11}
    assert dict(zip(split.frame_key.tolist(), split.status.tolist(), strict=True)) == {
        **{f"{name}/{i:06d}": FrameStatus.OK for name in truth for i in range(len(truth[name][0]))},
        "P0/IP/000000": FrameStatus.IMAGE_MISSING,
        "P0/IP/000001": FrameStatus.OUTSIDE_IMAGE,  # an empty crop: no depth at all
        "P3/2/000001": FrameStatus.OUTSIDE_IMAGE,
        "P3/TIP/000001": FrameStatus.OUTSIDE_IMAGE,
    }
    assert split.depth(0).dtype == np.float32
    assert_array_equal(split.depth(10), truth["P3/TIP"][0][3])
    assert split.cube[:, 0].tolist() == [200] * 4 + [180] * 7


def test_the_folder_above_will_do(tmp_path: Path) -> None:
    write_tree(tmp_path / "cvpr15_MSRAHandGestureDB")
    assert len(MsraReader(tmp_path).table("all")) == 11


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: b"5" + t[1:], "says 5 frames in its first line and has joints of 4"),
        (lambda t: t[: t.rindex(b"\n", 0, -1) + 1], "says 4 frames in its first line and has joints of 3"),
        (lambda t: t.partition(b"\n")[2], "line 1: '.*' is not the number of frames"),
        (lambda t: b"-4" + t[1:], "line 1: '-4' is not the number of frames"),
        (lambda t: b"4.0" + t[1:], r"line 1: '4\.0' is not the number of frames"),
        (lambda t: b"", "line 1: '' is not the number of frames"),
        (lambda t: b"9" * 5000, "is not the number of frames"),
        (lambda t: t.replace(b" ", b" 1 ", 1), "line 2: 64 words, there must be 63"),
        (lambda t: t[: t.rindex(b" ")], "line 5: 62 words, there must be 63"),
        (lambda t: t.replace(b" ", b" x", 1), "line 2: 'x.*' is not a number"),
        (lambda t: t.replace(b".", b","), "line 2: '.*,.*' is not a number"),
    ],
)
def test_a_joint_file_of_another_kind_is_named(
    tree: tuple[Path, Truth], change: Callable[[bytes], bytes], message: str
) -> None:
    file = tree[0] / "P3/TIP/joint.txt"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(HandbenchError, match=rf"P3/TIP/joint\.txt.*{message}") as caught:
        MsraReader(tree[0]).table("all")
    assert "\n" not in str(caught.value)


def test_blanks_and_line_ends_of_a_joint_file_do_not_matter(tree: tuple[Path, Truth]) -> None:
    root, truth = tree
    file = root / "P3/TIP/joint.txt"
    text = file.read_bytes()
    for other in (text.replace(b"\n", b" \r\n"), text.replace(b" ", b"\t "), text.rstrip(), text + b"\n\n"):
        file.write_bytes(other)
        assert_allclose(MsraReader(root).table("all").joints_xyz[-4:], truth["P3/TIP"][1], atol=1e-4)


def test_numbers_that_are_no_label_make_the_joint_nan(tmp_path: Path, tree: tuple[Path, Truth]) -> None:
    root, _ = tree
    lines = [line.split() for line in (root / "P3/TIP/joint.txt").read_text().splitlines()]
    lines[1][3], lines[1][7] = "nan", "1e300"
    lines[3] = ["NaN"] * 63
    (root / "P3/TIP/joint.txt").write_text("\n".join(map(" ".join, lines)))
    table = MsraReader(root).table("all")
    assert np.flatnonzero(np.isnan(table.joints_xyz[-4]).all(axis=-1)).tolist() == [1, 2]
    convert(MsraReader(root), tmp_path / "s.zarr", ConvertConfig())
    assert Store(tmp_path / "s.zarr")["all"].status[-2] == FrameStatus.LABEL_INVALID


HEADER = (320, 240, 10, 20, 12, 21)


@pytest.mark.parametrize(
    ("header", "depths", "message"),
    [
        ((), (), r"is truncated \(0 bytes\)"),
        (HEADER[:5], (), r"is truncated \(20 bytes\)"),
        (HEADER, (300.0,), "has 28 bytes, its box asks for 32"),
        (HEADER, (300.0, 300.0, 300.0), "has 36 bytes, its box asks for 32"),
        ((640, *HEADER[1:]), (300.0, 300.0), "is of 640 x 240 pixels, not 320 x 240"),
        (
            (320, 240, 319, 20, 321, 21),
            (300.0, 300.0),
            r"a box from \(319, 20\) to \(321, 21\), which leaves the image",
        ),
        ((320, 240, 10, 240, 12, 241), (300.0, 300.0), "leaves the image"),
        ((320, 240, 12, 20, 10, 21), (300.0, 300.0), "leaves the image"),
        ((320, 240, 2**32 - 1, 20, 1, 21), (300.0, 300.0), "leaves the image"),  # -1 for those who read it signed
        (HEADER, (300.0, float("nan")), "depths that are negative or no numbers"),
        (HEADER, (300.0, -1.0), "depths that are negative or no numbers"),
    ],
)
def test_a_frame_of_another_kind_is_corrupt(
    tree: tuple[Path, Truth], header: tuple[int, ...], depths: tuple[float, ...], message: str
) -> None:
    file = tree[0] / "P3/TIP/000000_depth.bin"
    file.write_bytes(struct.pack(f"<{len(header)}I{len(depths)}f", *header, *depths))
    with pytest.raises(FrameError, match=message) as caught:
        MsraReader(tree[0]).depth("P3/TIP/000000_depth.bin")
    assert caught.value.status == FrameStatus.IMAGE_CORRUPT
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_said_in_one_line(tree: tuple[Path, Truth]) -> None:
    root, _ = tree
    reader = MsraReader(root)
    for image, status in (("P3/TIP", FrameStatus.IMAGE_CORRUPT), ("P3/X/000000_depth.bin", FrameStatus.IMAGE_MISSING)):
        with pytest.raises(FrameError) as caught:
            reader.depth(image)
        assert caught.value.status == status
    (root / "P1").symlink_to("P1")
    with pytest.raises(HandbenchError, match=r"cannot read the folder .*P1: Too many levels"):
        MsraReader(root)
    (root / "P1").unlink()
    (root / "P1/5").mkdir(parents=True)
    with pytest.raises(HandbenchError, match=r"cannot read .*P1/5/joint\.txt: No such file"):
        MsraReader(root)


def test_trees_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(HandbenchError, match="give the folder of the raw MSRA tree"):
        MsraReader(tmp_path)
    with pytest.raises(HandbenchError, match="cannot read the folder"):
        MsraReader(tmp_path / "nowhere")
    (tmp_path / "P0").mkdir()
    with pytest.raises(HandbenchError, match="give the folder of the raw MSRA tree"):
        MsraReader(tmp_path)
    raw.write_gesture(tmp_path / "P0/1", 1)
    with pytest.raises(HandbenchError, match="no split 'test', only 'all'"):
        MsraReader(tmp_path).table("test")


def test_frames_beyond_the_labels_are_counted(tree: tuple[Path, Truth]) -> None:
    root, _ = tree
    for name in ("000004_depth.bin", "000007_depth.bin", "000004.jpg", "000000.jpg"):
        (root / "P3/TIP" / name).write_bytes(b"")
    reader = MsraReader(root)
    assert reader.unlabelled("all", reader.table("all")) == 2


def test_a_part_of_the_data_is_of_no_release_and_says_so(tree: tuple[Path, Truth]) -> None:
    reader = MsraReader(tree[0])
    assert reader.release == ""
    counts, invalid = reader.remarks("all", reader.table("all"))
    assert "neither release has these frames: P0 4, P1 0, P2 0, P3 7, P4 0" in counts
    assert "old: 8499, 8492, 8412" in counts
    assert "no frame is flagged as invalid" in invalid
    assert reader.flagged("all", reader.table("all")) == {}


def test_fingerprints_change_with_any_label(tree: tuple[Path, Truth]) -> None:
    root, _ = tree
    before = MsraReader(root).fingerprints("all")["P*/*/joint.txt"]
    assert (before["files"], before["bytes"]) == (4, sum(f.stat().st_size for f in root.rglob("joint.txt")))
    text = (root / "P0/9/joint.txt").read_text()
    (root / "P0/9/joint.txt").write_text(text.replace("5", "6", 1))
    assert MsraReader(root).fingerprints("all")["P*/*/joint.txt"]["sha256"] != before["sha256"]


def test_a_reader_is_small_and_travels(tree: tuple[Path, Truth]) -> None:
    reader = pickle.loads(pickle.dumps(MsraReader(tree[0])))
    assert len(reader.table("all")) == 11
    assert len(pickle.dumps(reader)) < 20_000


def test_invalid_frames_are_as_many_as_published() -> None:
    """Valid frames of the nine subjects: 76,249 by the first list, 76,242 by the second."""
    by_both = [key for key, source in INVALID.items() if "," in source]
    by_one = "P1/8/000318 P3/4/000130 P4/T/000496 P5/5/000156 P5/T/000485 P7/IP/000018 P8/IP/000018"
    assert " ".join(sorted(INVALID.keys() - by_both)) == by_one
    assert (sum(raw.OLD.values()) - len(by_both), sum(raw.OLD.values()) - len(INVALID)) == (76_249, 76_242)
    missing = Counter(key[:2] for key in INVALID)
    old = SPEC.split("all").subjects["old"]
    valid = [8499, 8467, 8385, 8451, 8482, 8490, 8491, 8490, 8487]  # Hand-Pointnet
    assert [old[subject] - missing[subject] for subject in old] == valid
    assert all(int(key[-6:]) < raw.OLD[key[:-7]] for key in INVALID)
    assert invalid_frames("old") == frozenset(INVALID)
    assert {"P2/MP/000345", "P2/MP/000354", "P1/7/000000", "P8/IP/000018"} <= invalid_frames("old")
    assert "P2/MP/000355" not in invalid_frames("old")
    assert invalid_frames("new") == invalid_frames("") == frozenset()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("old")
    raw.write_labels_only(root, raw.OLD)
    return root


def test_the_old_release_of_true_size(tmp_path: Path, old: Path, real: Path) -> None:
    reader = MsraReader(old)
    assert reader.release == "old"
    table = reader.table("all")
    assert len(table) == 76_375
    assert table.image.tolist() == (real / "msra/test_list.txt").read_text().split()
    assert reader.remarks("all", table) == []
    flags = reader.flagged("all", table)
    assert {str(table.frame_key[row]) for row in flags} == invalid_frames("old")
    assert "published list of invalid frames (Hand-Pointnet)" in flags.values()
    part = table[30_000:40_000]
    assert {row + 30_000 for row in reader.flagged("all", part)} == {row for row in flags if 30_000 <= row < 40_000}
    valid = MsraReader(old, drop_invalid=True).table("all")
    assert len(valid) == 76_242
    assert not invalid_frames("old").intersection(valid.frame_key.tolist())
    one = table[np.flatnonzero(table.sequence == "TIP")[:1]]
    frame = raw.frame_bytes(100, 100, np.full((50, 50), 300.0))
    (old / str(one.image[0])).write_bytes(frame)
    assert (reader.depth(str(one.image[0])) > 0).sum() == 2500
    (old / str(one.image[0])).unlink()


def test_the_new_release_of_true_size_cannot_drop_by_the_lists_of_the_old(tmp_path: Path) -> None:
    raw.write_labels_only(tmp_path, raw.NEW)
    reader = MsraReader(tmp_path)
    table = reader.table("all")
    assert (reader.release, len(table)) == ("new", 76_391)
    assert Counter(table.subject.tolist()) == SPEC.split("all").subjects["new"]
    assert reader.remarks("all", table) == [
        "all: no frame is flagged as invalid; the published lists number the old release"
    ]
    with pytest.raises(HandbenchError, match=r"lists of invalid frames number the old release; .* is the new one"):
        MsraReader(tmp_path, drop_invalid=True)


def test_a_part_cannot_drop_invalid_frames(tree: tuple[Path, Truth]) -> None:
    with pytest.raises(HandbenchError, match="is not known to be it, so none can be dropped"):
        MsraReader(tree[0], drop_invalid=True)


def test_gestures_and_counts_are_those_of_the_published_list(real: Path) -> None:
    lines = (real / "msra/test_list.txt").read_text().split()
    assert Counter(line.rpartition("/")[0] for line in lines) == raw.OLD
    assert list(dict.fromkeys(line.split("/")[1] for line in lines)) == list(GESTURES)
    assert len((real / "msra/viewpoint_yaw_pitch.txt").read_text().splitlines()) == sum(raw.OLD.values()) == 76_375


def frame(reader: MsraReader, image: str) -> np.ndarray | None:
    try:
        return reader.depth(image)
    except FrameError:
        return None


def test_the_writer_is_the_readers_inverse(tmp_path: Path, tree: tuple[Path, Truth]) -> None:
    root, _ = tree
    (root / "P0/IP/000002_depth.bin").unlink()
    reader, table = MsraReader(root), MsraReader(root).table("all")
    MsraWriter(tmp_path / "b").write_split("all", table, (frame(reader, image) for image in table.image.tolist()))
    copy = MsraReader(tmp_path / "b")
    assert_tables_equal(copy.table("all"), table)
    for image in table.image.tolist():
        pixels = frame(reader, image)
        assert (pixels is None) is not (copy.root / image).exists()
        if pixels is not None:
            assert_array_equal(copy.depth(image), pixels)
    for path in root.rglob("joint.txt"):
        assert (copy.root / path.relative_to(root)).read_bytes() == path.read_bytes()
    written = struct.unpack("<6I", (copy.root / "P3/TIP/000000_depth.bin").read_bytes()[:24])
    assert written == (320, 240, 130, 91, 189, 130)  # without the empty first row and last column


def assert_tables_equal(ours: FrameTable, theirs: FrameTable) -> None:
    for name, column in vars(theirs).items():
        assert_array_equal(getattr(ours, name), column, err_msg=name)


def test_unlabelled_joints_are_written_as_nan_and_read_back(tmp_path: Path, tree: tuple[Path, Truth]) -> None:
    table = MsraReader(tree[0]).table("all")
    table.joints_xyz[2, 7] = np.nan
    MsraWriter(tmp_path / "b").write_split("all", table, [None] * len(table))
    assert_tables_equal(MsraReader(tmp_path / "b").table("all"), table)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), digits=st.sampled_from(["{:.6g}", "{:.3f}", "{:.7g}"]))
def test_labels_survive_the_store_to_the_printed_digit(
    tmp_path_factory: pytest.TempPathFactory, seed: int, digits: str
) -> None:
    root = tmp_path_factory.mktemp("msra")
    rng = np.random.default_rng(seed)
    printed = [[digits.format(x) for x in row] for row in rng.uniform(-900, 900, (3, 63))]
    (root / "P8/Y").mkdir(parents=True)
    (root / "P8/Y/joint.txt").write_text("\n".join(["3", *map(" ".join, printed)]))
    MsraWriter(root / "b").write_split("all", MsraReader(root).table("all"), [None] * 3)
    count, *lines = (root / "b/P8/Y/joint.txt").read_text().splitlines()
    assert count == "3"
    assert [[float(x) for x in line.split()] for line in lines] == [[float(x) for x in row] for row in printed]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.00001, 0.01, 1.0]))
def test_pixels_survive_writing(tmp_path_factory: pytest.TempPathFactory, seed: int, share: float) -> None:
    root = tmp_path_factory.mktemp("msra")
    rng = np.random.default_rng(seed)
    filled = rng.random((240, 320)) < share
    depth = np.where(filled, rng.uniform(1, 900, (240, 320)), 0).astype(np.float32)
    raw.write_gesture(root / "P0/1", 1)
    MsraWriter(root).write_image("P0/1/000000_depth.bin", depth)
    assert_array_equal(MsraReader(root).depth("P0/1/000000_depth.bin"), depth)


def test_the_writer_refuses_what_msra_cannot_hold(tmp_path: Path, tree: tuple[Path, Truth]) -> None:
    table = MsraReader(tree[0]).table("all")
    writer = MsraWriter(tmp_path / "b")
    with pytest.raises(HandbenchError, match="from 0 without gaps; P3/TIP/000002 does not fit"):
        writer.write_split("all", table[np.delete(np.arange(11), 8)], [None] * 10)
    table.frame_key[0] = "test/1/0001"
    with pytest.raises(HandbenchError, match="test/1/0001 does not fit"):
        writer.write_split("all", table, [None] * 11)
    with pytest.raises(HandbenchError, match=r"320 x 240, not 640 x 480 as the one for P0/1/000000_depth\.bin"):
        writer.write_image("P0/1/000000_depth.bin", np.zeros((480, 640), np.float32))
    assert not (tmp_path / "b").exists()
    assert image_names(np.array(["P3/TIP/000123"])).tolist() == ["P3/TIP/000123_depth.bin"]
    (tmp_path / "c").write_bytes(b"")
    with pytest.raises(HandbenchError, match=r"cannot write .*c/P0/1"):
        MsraWriter(tmp_path / "c").write_image("P0/1/000000_depth.bin", np.zeros((240, 320), np.float32))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shared")
    raw.write_gesture(root / "P0/1", 3)
    return root


@settings(max_examples=100, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 330), min_size=4, max_size=4), size=st.integers(0, 99)
)
def test_any_header_is_read_or_refused(shared: Path, numbers: list[int], size: int) -> None:
    file = shared / "P0/1/000000_depth.bin"
    whole = file.read_bytes()
    try:
        file.write_bytes(struct.pack("<6I", 320, 240, *numbers) + bytes(size))
        depth = frame(MsraReader(shared), "P0/1/000000_depth.bin")
        assert depth is None or not depth.any()
    finally:
        file.write_bytes(whole)
