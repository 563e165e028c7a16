"""`handbench inspect`: every layout and release by its shape, every lack in a line that says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from handbench.converters.hands17 import Hands17Writer
from handbench.converters.inspect import inspect
from handbench.converters.inspect_command import inspect as command
from handbench.converters.inspection import count_by
from handbench.converters.recognise import RECOGNISERS
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from tests.raw import hands17, icvl, msra, nyu

Publish = Callable[..., None]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Makes a data set as small as a test can write: sets its published numbers of frames."""

    def publish(name: str, **frames: int) -> None:
        spec = dataset(name)
        splits = tuple(replace(split, frames={"only": frames[split.name]}) for split in spec.splits)
        monkeypatch.setattr(f"handbench.datasets.{name}.SPEC", replace(spec, splits=splits))

    return publish


def run(*args: object) -> tuple[int, str]:
    """Exit code and stdout; errors as the command line would raise them."""
    result = CliRunner().invoke(command, [str(arg) for arg in args])
    if isinstance(result.exception, HandbenchError):
        raise result.exception
    return result.exit_code, result.stdout


def findings(root: Path) -> str:
    return "\n".join(inspect(root).findings)


def whole_hands17(root: Path, published: Publish) -> Path:
    hands17.write_tree(root, train=4, test=3)
    published("hands17", train=4, test=3)
    return root


def test_a_whole_tree_has_no_findings(tmp_path: Path, published: Publish) -> None:
    root = whole_hands17(tmp_path / "raw", published)
    code, out = run(root)
    assert code == 0
    assert out.splitlines() == [
        f"{root}: HANDS 2017, frame-based (hands17)",
        "layout  training/ and frame/, each with images/",
        "train: 4 frames, 4 of their images",
        "test: 3 frames, 3 of their images",
        "",
        "nothing is missing or odd",
    ]


def test_json_is_one_object_with_the_same(tmp_path: Path, published: Publish) -> None:
    root = whole_hands17(tmp_path / "raw", published)
    (root / "training" / "images" / hands17.image_name(2)).unlink()
    code, out = run(root, "--json")
    facts: dict[str, Any] = json.loads(out)
    assert code == 1
    assert (facts["dataset"], facts["path"], facts["release"]) == ("hands17", str(root), "")
    assert facts["splits"]["train"] == {
        "frames": 4,
        "images": 3,
        "unlabelled_images": 0,
        "subjects": {},
        "sequences": {},
    }
    assert len(facts["findings"]) == 1


def test_images_that_are_missing_empty_cut_off_or_not_listed(tmp_path: Path, published: Publish) -> None:
    root = whole_hands17(tmp_path / "raw", published)
    images = root / "training" / "images"
    (images / hands17.image_name(1)).unlink()
    (images / hands17.image_name(2)).write_bytes(b"")
    last = images / hands17.image_name(4)
    last.write_bytes(last.read_bytes()[:-50])
    shutil.copy(images / hands17.image_name(3), images / hands17.image_name(9))
    inspection = inspect(root)
    assert inspection.findings == [
        "train: 1 of 4 listed images, first training/images/image_D00000001.png, is missing; unpack the archive again, "
        "or convert without them: their frames keep a row and the status 'image missing'",
        "train: 1 of 4 listed images, first training/images/image_D00000002.png, is empty (0 bytes); "
        "copy or unpack the archive again",
        "train: 1 images have no label and would be left out; are the labels of another release?",
        f"train: {last} is truncated or no PNG ({last.stat().st_size} bytes); it is the last of its folder, "
        "as if a copy had stopped there: copy it again",
    ]
    counts = inspection.splits["train"]
    assert (counts.frames, counts.images, counts.unlabelled_images) == (4, 3, 1)
    shutil.rmtree(images)
    assert "train: 4 of 4 listed images" in findings(root)


def test_lists_that_are_missing_broken_empty_or_without_numbers(tmp_path: Path, published: Publish) -> None:
    root = whole_hands17(tmp_path / "raw", published)
    annotation, boxes = root / "training" / "Training_Annotation.txt", root / "frame" / "BoundingBox.txt"
    whole = annotation.read_text()
    annotation.write_text(whole.replace("\t ", "", 5))
    boxes.unlink()
    broken = findings(root)
    assert "train: " in broken
    assert "line 1: 59 words, there must be 64" in broken
    assert "BoundingBox.txt is missing" in broken
    annotation.write_text("")
    assert "train: the labels name no frame" in findings(root)
    lines = whole.splitlines(keepends=True)
    lines[1] = hands17.tab_blank(hands17.image_name(2), ["nan"] * 63)
    annotation.write_text("".join(lines))
    assert "train: 1 frames have no joint that is a number" in findings(root)


def test_counts_that_are_others_and_a_split_that_is_absent(tmp_path: Path) -> None:
    hands17.write_tree(tmp_path, train=2, test=1)
    shutil.rmtree(tmp_path / "frame")
    assert inspect(tmp_path).findings == [
        "there is no test split; unpack the archive that holds it",
        "train: 2 frames, published are 957,032; results on a part compare with no published number",
    ]


def test_synthetic_trees_are_not_measured_against_the_published(tmp_path: Path) -> None:
    hands17.write_tree(tmp_path, train=2, test=1)
    Hands17Writer(tmp_path).mark_synthetic({})
    inspection = inspect(tmp_path)
    assert (inspection.release, inspection.findings) == ("synthetic", [])


def test_nyu(tmp_path: Path, published: Publish) -> None:
    root = tmp_path / "raw"
    nyu.write_tree(root / "dataset", {"train": 3, "test": 2})
    published("nyu", train=3, test=2)
    inspection = inspect(root)
    assert (inspection.dataset, inspection.findings) == ("nyu", [])
    assert inspection.splits["train"].subjects == {"1": 3}
    inside = root / "dataset"
    (inside / "train").rename(inside / "t")
    (inside / "test").rename(inside / "train")
    (inside / "t").rename(inside / "test")
    assert inspect(root).findings == [
        "train: 2 frames, which is the number of test; the folders are swapped, rename them",
        "test: 3 frames, which is the number of train; the folders are swapped, rename them",
    ]
    (inside / "test" / "joint_data.mat").unlink()
    assert "test: " in findings(root)
    assert "joint_data.mat is missing; the labels lie inside train/ and test/" in findings(root)


def test_nyu_as_deepprior_cuts_it(tmp_path: Path) -> None:
    nyu.write_tree(tmp_path, {"train": 1, "test_1": 1, "test_2": 1})
    assert "test_1/ and test_2/ are DeepPrior's own cut; unpack test/ as the authors ship it" in findings(tmp_path)


def test_the_real_nyu_frame(real: Path) -> None:
    inspection = inspect(real / "nyu_one_frame")
    assert inspection.splits["test"].images == 1
    assert inspection.findings[0] == "there is no train split; unpack the archive that holds it"
    assert "test: 1 frames, published are 8,252" in inspection.findings[1]


def test_icvl_in_both_layouts(tmp_path: Path) -> None:
    icvl.write_new(tmp_path / "new")
    icvl.write_old(tmp_path / "old")
    new, old = inspect(tmp_path / "new"), inspect(tmp_path / "old")
    assert (new.layout, old.layout) == ("new release (Training/, Testing/)", "2014 (one Depth/)")
    for inspection in (new, old):
        assert (inspection.dataset, inspection.release) == ("icvl", "with rotated copies")
        assert inspection.splits["train"].frames == len(icvl.TRAIN)
        assert inspection.splits["test"].sequences == {"test_seq_1": 2, "test_seq_2": 1}
        assert [line for line in inspection.findings if "published" not in line] == []
        assert "train: 7 frames, published are 331,006" in "\n".join(inspection.findings)


@pytest.mark.parametrize(("name", "one", "two"), [("icvl", "Training", "Testing"), ("hands17", "training", "frame")])
def test_swapped_folders_are_found_by_their_labels(tmp_path: Path, name: str, one: str, two: str) -> None:
    {"icvl": icvl, "hands17": hands17}[name].conformance_tree(tmp_path)
    for old, new in ((one, "aside"), (two, one), ("aside", two)):
        (tmp_path / old).rename(tmp_path / new)
    assert findings(tmp_path).count(f"{one}/ and {two}/ are swapped, rename them") == 2


def test_icvl_with_one_test_sequence_and_no_copies(tmp_path: Path) -> None:
    originals = tuple(name for name in icvl.TRAIN if name.count("/") == 1)
    icvl.write_new(tmp_path, originals)
    (tmp_path / "Testing" / "test_seq_2.txt").unlink()
    inspection = inspect(tmp_path)
    assert inspection.release == "without rotated copies"
    assert "train: 4 frames, published are 22,068" in inspection.findings
    assert "test: there is no test_seq_2; the test set is both sequences" in inspection.findings
    assert "test: 1 images have no label" in "\n".join(inspection.findings)


def test_icvl_nobody_misses_the_image_that_is_no_use(tmp_path: Path) -> None:
    icvl.write_new(tmp_path)
    (tmp_path / "Training/Depth/201406030937/image_-001.png").unlink()
    assert "missing" not in findings(tmp_path)
    (tmp_path / "Training/Depth/201406030937/image_0036.png").unlink()
    assert "train: 1 of 7 listed images, first Training/Depth/201406030937/image_0036.png" in findings(tmp_path)


def test_icvl_without_labels(tmp_path: Path) -> None:
    icvl.write_new(tmp_path)
    (tmp_path / "Training" / "labels.txt").unlink()
    assert "has no labels: none of labels.txt, train.txt, lables.txt" in findings(tmp_path)


@pytest.mark.parametrize(("release", "counts"), [("old", msra.OLD), ("new", msra.NEW)])
def test_msra_releases(tmp_path: Path, release: str, counts: dict[str, int]) -> None:
    msra.write_labels_only(tmp_path, counts)
    inspection = inspect(tmp_path)
    assert (inspection.dataset, inspection.release) == ("msra", release)
    assert inspection.splits["all"].subjects == dataset("msra").split("all").subjects[release]
    assert list(inspection.splits["all"].sequences) == msra.GESTURES
    total = sum(counts.values())
    assert [line[:40] for line in inspection.findings] == [f"all: {total:,} of {total:,} listed images, first"[:40]]


def test_msra_parts(tmp_path: Path) -> None:
    part = {folder: count for folder, count in msra.OLD.items() if folder.startswith(("P0", "P4"))}
    msra.write_labels_only(tmp_path, part)
    inspection = inspect(tmp_path)
    assert inspection.release == "part of old or new"  # both have 8,499 and 8,500 frames of these
    assert "2 of 9 subjects, no P1, P2, P3, P5, P6, P7, P8; leave-one-subject-out needs all" in inspection.findings


def test_msra_with_frames_of_its_own(tmp_path: Path) -> None:
    depth, _ = msra.write_gesture(tmp_path / "P0" / "1", 4)
    msra.write_gesture(tmp_path / "P0" / "2", 3)
    (tmp_path / "P0" / "1" / "000001_depth.bin").unlink()
    bad = tmp_path / "P0" / "2" / "000002_depth.bin"
    bad.write_bytes(bad.read_bytes()[:-4])
    inspection = inspect(tmp_path)
    text = "\n".join(inspection.findings)
    assert len(depth) == 4
    assert inspection.release == "none that is known"
    assert "those of no release: P0 7 (old 8,499, new 8,499)" in text
    assert "P0 has no gesture 3, 4, 5, 6, 7, 8, 9, I, IP, L, MP, RP, T, TIP, Y" in text
    assert "all: 1 of 7 listed images, first P0/1/000001_depth.bin, is missing" in text
    assert "000002_depth.bin has 9620 bytes, its box asks for 9624; it is the last of its folder" in text


def test_msra_without_a_label_file(tmp_path: Path) -> None:
    msra.write_gesture(tmp_path / "P0" / "1", 1)
    (tmp_path / "P0" / "1" / "joint.txt").unlink()
    inspection = inspect(tmp_path)
    assert inspection.dataset == "msra"
    assert "joint.txt: No such file" in "\n".join(inspection.findings)
    assert run(tmp_path)[0] == 1


def test_a_folder_of_images(tmp_path: Path) -> None:
    frame = np.full((4, 6), 500, np.uint16)
    for i in (1, 2, 10):
        (tmp_path / f"{i}.png").write_bytes(nyu.png(frame))
    inspection = inspect(tmp_path)
    assert (inspection.dataset, inspection.findings) == ("frames", [])
    assert inspection.layout == "one folder; 1.png is 6x4 uint16; 10.png is 6x4 uint16"
    assert run(tmp_path)[1].splitlines()[2] == "3 images, no labels"
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "10.png").write_bytes(nyu.png(frame)[:-9])
    (tmp_path / "1.png").write_bytes(nyu.png(np.zeros((4, 6, 3), np.uint8)))
    text = findings(tmp_path)
    assert "1 of 3 listed images, first 2.png, is empty (0 bytes)" in text
    assert "1.png is no depth image; choose those that are by a pattern" in text
    assert "10.png is truncated or no PNG" in text


def test_real_kinect_frames_end_in_masks(real: Path) -> None:
    inspection = inspect(real / "kinect2")
    assert "00000001.png is 512x424 uint16" in inspection.layout
    assert inspection.findings == ["00000461.png is no depth image; choose those that are by a pattern"]


def test_nothing_that_is_known(tmp_path: Path) -> None:
    with pytest.raises(
        HandbenchError, match="nothing that handbench knows; it looked for nyu: train/ or test/ with"
    ) as e:
        run(tmp_path)
    assert all(f"{name}: {known.looks_for}" in str(e.value) for name, known in RECOGNISERS.items())
    assert "\n" not in str(e.value)
    (tmp_path / "train").mkdir()  # a folder of that name alone is no NYU
    with pytest.raises(HandbenchError, match="nothing that handbench knows"):
        run(tmp_path)
    for path in (tmp_path / "nowhere", Path(__file__)):
        with pytest.raises(HandbenchError, match="is no folder; give the folder that holds the raw data"):
            run(path)


@pytest.mark.parametrize("folder", ["raw/training", "raw/training/images", "."])
def test_a_folder_too_deep_or_too_high_gets_the_right_one(tmp_path: Path, folder: str) -> None:
    hands17.write_tree(tmp_path / "raw", train=1, test=1)
    with pytest.raises(HandbenchError, match=f"give {tmp_path / 'raw'}, which is hands17"):
        run(tmp_path / folder)


def test_links_in_circles_are_no_trouble(tmp_path: Path) -> None:
    hands17.write_tree(tmp_path, train=2, test=1)
    (tmp_path / "training" / "loop").symlink_to(tmp_path)
    image = tmp_path / "training" / "images" / hands17.image_name(2)
    image.unlink()
    image.symlink_to(image.name)
    assert "image_D00000002.png" in findings(tmp_path)


def test_names_are_counted_in_order() -> None:
    assert count_by(np.array(["b", "a", "", "b"])) == {"b": 2, "a": 1}
    assert count_by(np.array([], dtype=np.str_)) == {}


def test_the_command_says_what_it_does() -> None:
    out = CliRunner().invoke(command, ["--help"], env={"COLUMNS": "200"}).output
    assert "what is missing or odd" in " ".join(out.split())


def test_every_data_set_has_a_recogniser() -> None:
    assert set(RECOGNISERS) == {"nyu", "icvl", "msra", "hands17"}
