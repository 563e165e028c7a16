"""HANDS17 from raw bytes to a store and back: exact pixels and labels, traps of the format, bad and mutated files."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.hands17 import DELIMITERS, Hands17Reader, Hands17Writer, bbox_form_of, image_names
from handbench.datasets import dataset
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus, FrameTable, Store
from tests.raw import hands17 as raw
from tests.raw.nyu import png

SPEC = dataset("hands17")
T = TypeVar("T")
Tree = tuple[Path, dict[str, tuple[np.ndarray, np.ndarray]]]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    root = tmp_path / "hands17"
    return root, raw.write_tree(root, train=3, test=2)


def annotation(root: Path) -> Path:
    return root / "training" / "Training_Annotation.txt"


def boxes_file(root: Path) -> Path:
    return root / "frame" / "BoundingBox.txt"


def image(root: Path, number: int, folder: str = "training") -> Path:
    return root / folder / "images" / raw.image_name(number)


def listed(root: Path, *lines: str) -> Hands17Reader:
    """A tree of a training list alone."""
    (root / "training").mkdir(parents=True, exist_ok=True)
    annotation(root).write_text("".join(lines), newline="")
    return Hands17Reader(root)


def zeros(name: str = "image_D00000001.png", count: int = 63) -> str:
    return f"{name}\t " + "\t ".join(["0.0000"] * count) + "\t\n"


def test_pixels_labels_and_boxes_are_exact_in_the_store(tmp_path: Path, tree: Tree) -> None:
    root, truth = tree
    summary = convert(Hands17Reader(root), tmp_path / "s.zarr", ConvertConfig())
    assert summary.one_line().endswith("s.zarr: 3 train + 2 test frames, all ok")
    assert summary.remarks == [
        "train: 3 frames, published are 957,032",
        "test: 2 frames, published are 295,510",
    ]
    store = Store(tmp_path / "s.zarr")
    for split, (depth, labels) in truth.items():
        for row in range(len(depth)):
            assert_array_equal(store[split].depth(row), depth[row])
        if split == "train":
            assert_array_equal(store[split].joints_xyz, labels.astype(np.float32))
        else:
            assert np.isnan(store[split].joints_xyz).all()
            assert_array_equal(store[split].bbox, labels)
    assert store["train"].bbox is None
    assert store["train"].frame_key.tolist() == [f"train/image_D0000000{i}" for i in (1, 2, 3)]
    assert store["test"].frame_key.tolist() == ["test/image_D00000001", "test/image_D00000002"]


def test_y_points_down_and_the_first_joint_is_the_first_triple(tmp_path: Path) -> None:
    numbers = [f"{i}.2500" for i in range(63)]
    table = listed(tmp_path, raw.tab_blank("image_D00000001.png", numbers)).table("train")
    assert table.joints_xyz[0, 0].tolist() == [0.25, 1.25, 2.25]  # nothing is turned or exchanged
    assert table.joints_xyz[0, 20].tolist() == [60.25, 61.25, 62.25]
    assert table.subject.tolist() == table.sequence.tolist() == [""]
    assert table.view.tolist() == [1]


@pytest.mark.parametrize("line", [raw.tab_blank, raw.tabs, raw.blanks])
def test_every_delimiter_in_circulation_reads_the_same(tmp_path: Path, tree: Tree, line: raw.Line) -> None:
    root, truth = tree
    raw.write_annotation(root / "training", truth["train"][1], line)
    raw.write_boxes(root / "frame", truth["test"][1], line)
    reader = Hands17Reader(root)
    assert_array_equal(reader.table("train").joints_xyz, truth["train"][1].astype(np.float32))
    assert_array_equal(reader.table("test").bbox, truth["test"][1])


@pytest.mark.parametrize("ends", ["\n", "\r\n", " \r\r\n", "\t\t\n\n"])
def test_line_ends_do_not_matter(tmp_path: Path, ends: str) -> None:
    first, second = (zeros(f"image_D0000000{i}.png").rstrip() for i in (1, 2))
    table = listed(tmp_path, f"{first}{ends}{second}{ends}").table("train")
    assert table.frame_key.tolist() == ["train/image_D00000001", "train/image_D00000002"]
    assert len(listed(tmp_path, f"{first}{ends}{second}").table("train")) == 2  # no end after the last line


def test_a_listed_image_that_does_not_exist_keeps_its_row_and_label(tmp_path: Path, tree: Tree) -> None:
    root, truth = tree
    image(root, 2).unlink()
    image(root, 1, "frame").unlink()
    summary = convert(Hands17Reader(root), tmp_path / "s.zarr", ConvertConfig())
    assert summary.one_line().endswith("3 train + 2 test frames, 2 image missing")
    store = Store(tmp_path / "s.zarr")
    assert store["train"].status.tolist() == [FrameStatus.OK, FrameStatus.IMAGE_MISSING, FrameStatus.OK]
    assert_array_equal(store["train"].joints_xyz, truth["train"][1].astype(np.float32))
    assert store["test"].status.tolist() == [FrameStatus.IMAGE_MISSING, FrameStatus.OK]
    assert_array_equal(store["test"].bbox, truth["test"][1])


def test_the_list_decides_the_order_not_the_number(tmp_path: Path) -> None:
    table = listed(tmp_path, zeros("image_D00000009.png"), zeros("image_D00000002.png")).table("train")
    assert table.frame_key.tolist() == ["train/image_D00000009", "train/image_D00000002"]
    assert table.image.tolist() == ["training/images/image_D00000009.png", "training/images/image_D00000002.png"]


def test_images_without_a_line_are_counted(tree: Tree) -> None:
    root, _ = tree
    image(root, 7).write_bytes(b"")
    (root / "training" / "images" / "Thumbs.db").write_bytes(b"")
    reader = Hands17Reader(root)
    assert reader.unlabelled("train", reader.table("train")) == 1
    shutil.rmtree(root / "frame" / "images")
    assert reader.unlabelled("test", reader.table("test")) == 0


def test_one_half_of_the_data_is_enough(tree: Tree) -> None:
    root, _ = tree
    shutil.rmtree(root / "training")
    reader = Hands17Reader(root)
    assert reader.splits == ("test",)
    assert not reader.table("test").labelled
    with pytest.raises(HandbenchError, match="has no train split, only test"):
        reader.table("train")


@pytest.mark.parametrize(
    ("boxes", "form"),
    [
        ([[300, 200, 60, 60]], "xywh"),  # no corner lies left of its partner
        ([[100, 100, 600, 400]], "corners"),  # 100 + 600 is wider than the image
        ([[100, 100, 600, 400], [500, 300, 520, 320]], "corners"),
        ([[100, 100, 600, 400], [500, 300, 40, 40]], "xywh"),  # the second cannot be corners
        ([[10, 10, 100, 100]], "xywh"),  # both readings are possible
        ([[100, 100, 540, 380]], "xywh"),  # ends exactly at the border of 640 x 480
        ([[np.nan, 1, 2, 3], [100, 100, 600, 400]], "corners"),
        (np.empty((0, 4)), "xywh"),
    ],
)
def test_the_form_of_bounding_boxes_is_found(boxes: list[list[float]], form: str) -> None:
    assert bbox_form_of(np.array(boxes), 640, 480) == form


def test_corners_become_x_y_width_height_and_the_option_overrules(tree: Tree) -> None:
    root, _ = tree
    raw.write_boxes(root / "frame", np.array([[100, 100, 600, 400], [500, 300, 520.5, 330]]))
    expected = [[100, 100, 500, 300], [500, 300, 20.5, 30]]
    assert_array_equal(Hands17Reader(root).table("test").bbox, expected)
    assert_array_equal(Hands17Reader(root, "corners").table("test").bbox, expected)
    assert_array_equal(Hands17Reader(root, "xywh").table("test").bbox[1], [500, 300, 520.5, 330])  # type: ignore[index]  # there are boxes
    assert Hands17Reader(root, "corners").options == {"bbox_form": "corners"}
    with pytest.raises(HandbenchError, match="unknown form of bounding boxes 'xyxy'; there are auto, xywh, corners"):
        Hands17Reader(root, "xyxy")


def test_a_number_that_is_none_makes_a_joint_not_a_file_invalid(tmp_path: Path, tree: Tree) -> None:
    root, truth = tree
    lines = annotation(root).read_text().splitlines(keepends=True)
    numbers = [word.strip() for word in lines[0].rstrip().split("\t")]
    numbers[1], numbers[7], numbers[10] = "nan", "1e39", "-inf"  # joints 0, 2 and 3
    annotation(root).write_text(
        raw.tab_blank(numbers[0], numbers[1:]) + lines[1] + zeros("x.png").replace("0.0", "nan")
    )
    with pytest.raises(HandbenchError, match="line 3: 'nan000' is not a number"):
        Hands17Reader(root).table("train")
    annotation(root).write_text(raw.tab_blank(numbers[0], numbers[1:]) + "".join(lines[1:]))
    joints = Hands17Reader(root).table("train").joints_xyz
    assert np.flatnonzero(np.isnan(joints[0]).all(axis=-1)).tolist() == [0, 2, 3]
    assert np.isnan(joints[0]).sum() == 9
    annotation(root).write_text("".join(lines[:2]) + raw.tabs(raw.image_name(3), ["NaN"] * 63))
    summary = convert(Hands17Reader(root), tmp_path / "s.zarr", ConvertConfig(splits=("train",)))
    assert summary.one_line().endswith("1 label invalid")
    assert_array_equal(Store(tmp_path / "s.zarr")["train"].joints_xyz[:2], truth["train"][1][:2].astype(np.float32))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((zeros(), zeros("b.png", 62)), "line 2: 63 words, there must be 64"),
        ((zeros(), zeros("b.png", 64)), "line 2: 65 words"),
        ((zeros().replace("\t ", ","),), "line 1: 1 words"),
        ((zeros(), zeros("b.png").replace("0.0000", "hand", 1)), "line 2: 'hand' is not a number"),
        ((zeros(), zeros("b.png"), zeros()), "names 'image_D00000001' twice"),
        (("\0" * 70000,), "no label file"),
    ],
)
def test_a_list_of_another_grammar_is_refused_with_its_line(
    tmp_path: Path, lines: tuple[str, ...], message: str
) -> None:
    with pytest.raises(HandbenchError, match=message) as caught:
        listed(tmp_path, *lines).table("train")
    assert "\n" not in str(caught.value)
    assert "Training_Annotation.txt" in str(caught.value)


def test_trees_that_are_none(tmp_path: Path, tree: Tree) -> None:
    root, _ = tree
    with pytest.raises(HandbenchError, match=r"neither training/ nor frame/; give the folder of the raw HANDS17 tree"):
        Hands17Reader(tmp_path)
    annotation(root).unlink()
    with pytest.raises(HandbenchError, match=r"Training_Annotation\.txt is missing; it names the frames"):
        Hands17Reader(root).table("train")
    boxes_file(root).write_text("")
    with pytest.raises(HandbenchError, match="name no frame; there is nothing to convert"):
        convert(Hands17Reader(root), tmp_path / "s.zarr", ConvertConfig(splits=("test",)))
    assert not (tmp_path / "s.zarr").exists()


@pytest.mark.parametrize("name", ["../../x.png", "/etc/passwd", "..\\x.png", "a/../../x.png"])
def test_a_list_cannot_name_a_file_outside_the_tree(tmp_path: Path, name: str) -> None:
    reader = listed(tmp_path / "r", zeros(name))
    (tmp_path / "r" / "training" / "images").mkdir()
    (tmp_path / "r" / "x.png").write_bytes(png(np.full((480, 640), 7, np.uint16)))
    with pytest.raises(FrameError, match="no file below") as caught:
        reader.depth(str(reader.table("train").image[0]))
    assert caught.value.status == FrameStatus.IMAGE_CORRUPT


def test_links(tree: Tree) -> None:
    root, truth = tree
    outside = root.parent / "elsewhere.png"
    shutil.move(image(root, 1), outside)
    image(root, 1).symlink_to(outside)
    reader = Hands17Reader(root)
    with pytest.raises(FrameError, match="is a link that leaves") as caught:
        reader.depth("training/images/image_D00000001.png")
    assert caught.value.status == FrameStatus.IMAGE_CORRUPT
    image(root, 1).unlink()
    image(root, 1).symlink_to(image(root, 1).name)  # to itself
    with pytest.raises(FrameError):
        reader.depth("training/images/image_D00000001.png")
    shutil.move(root / "training" / "images", root.parent / "disk")  # the folder may be a link: disks are
    (root / "training" / "images").symlink_to(root.parent / "disk")
    assert_array_equal(reader.depth("training/images/image_D00000002.png"), truth["train"][0][1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated or no PNG"),
        (png(np.full((480, 640), 500, np.uint16))[:-300], "truncated or no PNG"),
        (png(np.full((480, 640), 500, np.uint16)[:, :320]), "320 x 480, 1 x uint16; it must be a 16-bit gray image"),
        (png(np.zeros((480, 640, 3), np.uint8)), "640 x 480, 3 x uint8; it must be a 16-bit gray image of 640 x 480"),
        (cv2.imencode(".png", np.zeros((480, 640), np.uint8))[1].tobytes(), "1 x uint8; it must be a 16-bit"),
        (cv2.imencode(".jpg", np.zeros((480, 640), np.uint8))[1].tobytes(), "truncated or no PNG"),
    ],
)
def test_a_damaged_or_foreign_image_is_corrupt(tree: Tree, content: bytes, message: str) -> None:
    root, _ = tree
    image(root, 3).write_bytes(content)
    with pytest.raises(FrameError, match=message) as caught:
        Hands17Reader(root).depth("training/images/image_D00000003.png")
    assert caught.value.status == FrameStatus.IMAGE_CORRUPT


def test_an_image_that_is_a_folder_is_corrupt(tree: Tree) -> None:
    root, _ = tree
    image(root, 3).unlink()
    image(root, 3).mkdir()
    with pytest.raises(FrameError, match="cannot read"):
        Hands17Reader(root).depth("training/images/image_D00000003.png")


def test_a_list_that_is_a_folder(tree: Tree) -> None:
    root, _ = tree
    boxes_file(root).unlink()
    boxes_file(root).mkdir()
    with pytest.raises(HandbenchError, match=r"cannot read .*BoundingBox\.txt: Is a directory"):
        Hands17Reader(root).table("test")


def test_a_reader_is_small_and_travels(tree: Tree) -> None:
    root, truth = tree
    reader = Hands17Reader(root, "xywh")
    assert len(pickle.dumps(reader)) < 10_000
    copy = pickle.loads(pickle.dumps(reader))
    assert copy.options == reader.options
    assert_array_equal(copy.depth("frame/images/image_D00000002.png"), truth["test"][0][1])


def test_fingerprints_change_with_the_lists(tree: Tree) -> None:
    root, _ = tree
    reader = Hands17Reader(root)
    before = reader.fingerprints("train")
    assert before["training/Training_Annotation.txt"]["bytes"] == annotation(root).stat().st_size
    annotation(root).write_bytes(annotation(root).read_bytes().replace(b"1", b"2", 1))
    assert reader.fingerprints("train") != before
    assert list(reader.fingerprints("test")) == ["frame/BoundingBox.txt"]


def equal_tables(a: FrameTable, b: FrameTable) -> None:
    for name, column in a.stored().items():
        assert_array_equal(column, b.stored()[name])
    assert a.labelled == b.labelled
    assert_array_equal(a.image, b.image)


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize(("trailing", "form"), [(True, "xywh"), (False, "corners")])
def test_raw_to_raw_is_equal(tmp_path: Path, tree: Tree, delimiter: str, trailing: bool, form: str) -> None:
    root, _ = tree
    raw.write_boxes(root / "frame", np.array([[100, 100, 40, 40], [30.1, 300, 520.5, 33.25]]))
    image(root, 2).unlink()
    reader = Hands17Reader(root)
    writer = Hands17Writer(tmp_path / "copy", delimiter, trailing, form)
    for split in reader.splits:
        table = reader.table(split)
        there = [(root / name).is_file() for name in table.image]
        depths = (
            reader.depth(name) if exists else None for name, exists in zip(table.image.tolist(), there, strict=True)
        )
        writer.write_split(split, table, depths)
        copy = Hands17Reader(tmp_path / "copy", form)
        equal_tables(copy.table(split), table)
        for name, exists in zip(table.image.tolist(), there, strict=True):
            assert (tmp_path / "copy" / name).is_file() == exists
            if exists:
                assert_array_equal(copy.depth(name), reader.depth(name))


def test_the_writer_prints_the_organisers_form_byte_for_byte(tmp_path: Path, tree: Tree) -> None:
    root, _ = tree
    reader = Hands17Reader(root)
    for split in reader.splits:
        table = reader.table(split)
        Hands17Writer(tmp_path / "copy").write_split(split, table, (reader.depth(name) for name in table.image))
    for path in (annotation, boxes_file):
        assert path(tmp_path / "copy").read_bytes() == path(root).read_bytes()


@given(st.lists(st.integers(-10_240_000, 10_240_000), min_size=63, max_size=63))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_keep_every_printed_digit(tmp_path: Path, digits: list[int]) -> None:
    numbers = [f"{value / 10_000:.4f}" for value in digits]  # to 1,024 mm, where float32 still tells 0.0001 apart
    table = listed(tmp_path / "a", raw.tab_blank("image_D00000001.png", numbers)).table("train")
    Hands17Writer(tmp_path / "b").write_split("train", table, [None])
    text = annotation(tmp_path / "b").read_text()
    assert text.replace("-0.0000", "0.0000") == raw.tab_blank("image_D00000001.png", numbers)


def test_the_writer_refuses_what_does_not_fit(tmp_path: Path, tree: Tree) -> None:
    table = Hands17Reader(tree[0]).table("train")
    writer = Hands17Writer(tmp_path / "copy")
    with pytest.raises(HandbenchError, match="no split 'all', only train, test"):
        writer.write_split("all", table, [None] * 3)
    with pytest.raises(HandbenchError, match="lists bounding boxes, and these frames have none"):
        writer.write_split("test", table, [None] * 3)
    with pytest.raises(HandbenchError, match=r"uint16 images of \(480, 640\), not float32 \(480, 640\)"):
        writer.write_split("train", table[:1], [np.zeros((480, 640), np.float32)])
    with pytest.raises(HandbenchError, match=r"not uint16 \(2, 2\)"):
        writer.write_split("train", table[:1], [np.zeros((2, 2), np.uint16)])
    outside = listed(tmp_path / "r", zeros("../../../x.png")).table("train")
    with pytest.raises(HandbenchError, match="no file below"):
        writer.write_split("train", outside, [np.zeros((480, 640), np.uint16)])
    with pytest.raises(HandbenchError, match="unknown delimiter ','"):
        Hands17Writer(tmp_path, ",")
    with pytest.raises(HandbenchError, match="written as xywh or corners, not as 'auto'"):
        Hands17Writer(tmp_path, bbox_form="auto")


def test_a_synthetic_tree_says_so(tree: Tree) -> None:
    assert Hands17Reader(tree[0]).release == ""
    Hands17Writer(tree[0]).mark_synthetic({"subjects": {"train": {"S1": 1, "S2": 9}}})
    reader = Hands17Reader(tree[0])
    assert reader.release == "synthetic"
    subjects = reader.table("train").subject.tolist()
    assert subjects == ["S1", *["S2"] * (len(subjects) - 1)]
    assert set(reader.table("test").subject.tolist()) == {""}


def test_image_names_are_the_inverse_of_keys() -> None:
    assert image_names("test", np.array(["test/image_D00000001"])).tolist() == ["frame/images/image_D00000001.png"]


def test_the_real_frame(tmp_path: Path, real: Path) -> None:
    (tmp_path / "frame" / "images").mkdir(parents=True)
    shutil.copy(real / "hands17" / "image_D00000030.png", tmp_path / "frame" / "images")
    boxes_file(tmp_path).write_text("image_D00000030.png\t 280\t 105\t 70\t 90\t\n")
    depth = Hands17Reader(tmp_path).depth("frame/images/image_D00000030.png")
    assert np.count_nonzero(depth == 0) == 277_803
    assert (depth[depth > 0].min(), depth.max()) == (561, 1030)
    convert(Hands17Reader(tmp_path), tmp_path / "s.zarr", ConvertConfig())
    split = Store(tmp_path / "s.zarr")["test"]
    assert_array_equal(split.depth(0), depth)
    assert_array_equal(split.bbox, [[280, 105, 70, 90]])
