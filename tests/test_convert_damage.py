"""Everything a download can suffer, for every data set that has a line in `READERS` and a module in tests/raw.

Whatever happens to the files of a raw tree, its reader gives a frame or says in one line what is wrong: a
HandbenchError if the labels cannot be read, a FrameError for one image. What one format alone can suffer is in its own
test module.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.testing import assert_array_equal

from handbench.converters import READERS, open_raw
from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.inspect import inspect
from handbench.converters.inspection import Inspection
from handbench.converters.journal import Summary
from handbench.converters.protocol import Reader
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus, Store
from tests.raw.damage import Damage, damaged, damages

T = TypeVar("T")
UNREAD = (FrameStatus.IMAGE_MISSING, FrameStatus.IMAGE_CORRUPT)
NOBODY = 65534  # a user who may read nothing of ours
CONFIG = ConvertConfig(codec="shuffle", center="com", near=0, far=1500)

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
many = settings(few, max_examples=1000)  # of labels and of images: 2,000 for each data set


@dataclass(frozen=True)
class Tree:
    """One raw tree that is in order."""

    name: str
    root: Path

    @property
    def reader(self) -> Reader:
        return open_raw(self.name, self.root)

    @property
    def images(self) -> list[str]:
        """The images of all splits, relative to the tree."""
        return [name for split in self.reader.splits for name in self.reader.table(split).image.tolist()]

    @property
    def files(self) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())

    @property
    def labels(self) -> list[str]:
        return sorted(set(self.files) - set(self.images))

    def copy(self, folder: Path) -> "Tree":
        """A tree that a test may change."""
        return Tree(self.name, shutil.copytree(self.root, folder / "copy"))

    def read(self, but: frozenset[str] = frozenset()) -> str:
        """Read all but these images; what was said, if anything was, each in one line."""
        said = []
        reader, message = attempt(lambda: open_raw(self.name, self.root))
        said.append(message)
        if reader is None:
            return message
        for split in reader.splits:
            table, message = attempt(lambda split=split: reader.table(split))  # type: ignore[misc]  # bound now, not later
            said.append(message)
            images = [] if table is None else [image for image in table.image.tolist() if image not in but]
            said += [read_image(reader, image)[1] for image in images]
            if table is not None:
                assert not np.isinf(table.joints_xyz).any()
                assert len(set(table.frame_key.tolist())) == len(table)
        return "\n".join(filter(None, said))


def attempt(work: Callable[[], T]) -> tuple[T | None, str]:
    """What the work gives, or its refusal in one line; any other exception fails the test."""
    result, said = None, ""
    try:
        result = work()
    except HandbenchError as error:
        said = str(error)
    assert "\n" not in said
    return result, said


def read_image(reader: Reader, image: str) -> tuple[np.ndarray | None, str]:
    """One frame in order, or its refusal."""
    depth, said = attempt(lambda: refused(reader, image))
    if depth is None:
        return None, said
    camera = reader.spec.camera
    assert (depth.shape, depth.dtype) == ((camera.height, camera.width), reader.depth_dtype)
    assert np.isfinite(depth).all()
    assert depth.min() >= 0
    return depth, ""


def refused(reader: Reader, image: str) -> np.ndarray:
    """One frame, whose only error is a FrameError with the status of an image that cannot be read."""
    try:
        return reader.depth(image)
    except FrameError as error:
        if error.status not in UNREAD:
            raise AssertionError(f"status {error.status}: {error}") from error
        raise
    except HandbenchError as error:
        raise AssertionError(f"not said of one frame: {error}") from error


def look(root: Path) -> tuple[Inspection | None, str]:
    return attempt(lambda: inspect(root))


def turn(tree: Tree, out: Path) -> tuple[Summary | None, str]:
    """A conversion; it must account for every row of its store."""
    summary, message = attempt(lambda: convert(tree.reader, out, CONFIG))
    if summary is not None:
        store = Store(out)
        bad = sum(int(np.count_nonzero(store[split].status)) for split in store.splits)
        assert bad == len(summary.problems)
        assert {split: len(store[split]) for split in store.splits} == summary.frames
        shutil.rmtree(out)
    else:
        assert not out.exists()
    return summary, message


@pytest.fixture(scope="module", params=READERS)
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    root = tmp_path_factory.mktemp(request.param) / "raw"
    import_module(f"tests.raw.{request.param}").conformance_tree(root)
    for path in root.rglob("*.png"):  # compressed, as the real ones are
        assert cv2.imwrite(str(path), np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))
    return Tree(request.param, root)


@pytest.fixture
def copy(tree: Tree, tmp_path: Path) -> Tree:
    return tree.copy(tmp_path)


def with_damage(tree: Tree, file: str, damage: Damage, check: Callable[[], None]) -> None:
    """Do a check while a file is damaged."""
    path = tree.root / file
    whole = path.read_bytes()
    try:
        path.write_bytes(damaged(whole, damage))
        check()
    finally:
        path.write_bytes(whole)


def check_labels(tree: Tree, damage: Damage) -> None:
    """One of the label files; the images are in order, but a damaged label may name others."""
    images = frozenset(tree.images)

    def check() -> None:
        tree.read(but=images)

    _, _, number = damage[0]
    with_damage(tree, tree.labels[number % len(tree.labels)], damage, check)


def check_image(tree: Tree, damage: Damage) -> None:
    image = tree.images[0]
    whole = tree.reader.depth(image)

    def check() -> None:
        depth, _ = read_image(tree.reader, image)
        if depth is not None and image.endswith(".png"):
            assert_array_equal(depth, whole)  # checksums find a flipped bit, it never gives another depth

    with_damage(tree, image, damage, check)


@few
@given(damage=damages)
def test_damaged_labels_are_read_or_refused(tree: Tree, damage: Damage) -> None:
    check_labels(tree, damage)


@few
@given(damage=damages)
def test_damaged_images_are_read_or_refused(tree: Tree, damage: Damage) -> None:
    check_image(tree, damage)


@pytest.mark.slow
@many
@given(damage=damages)
def test_many_damaged_labels(tree: Tree, damage: Damage) -> None:
    check_labels(tree, damage)


@pytest.mark.slow
@many
@given(damage=damages)
def test_many_damaged_images(tree: Tree, damage: Damage) -> None:
    check_image(tree, damage)


@settings(few, max_examples=5)
@given(damage=damages)
def test_inspect_and_convert_meet_damaged_files(tree: Tree, damage: Damage) -> None:
    out = tree.root.parent / "s.zarr"

    def check() -> None:
        look(tree.root)
        turn(tree, out)

    for file in (tree.labels[0], tree.images[-1]):
        with_damage(tree, file, damage, check)


@pytest.mark.parametrize("other", READERS)
def test_an_image_of_another_data_set_is_corrupt(
    copy: Tree, other: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Other size, bit depth, channels or format: no two of them store the same."""
    if other == copy.name:
        pytest.skip("the same data set")
    root = tmp_path_factory.mktemp(other)
    import_module(f"tests.raw.{other}").conformance_tree(root)
    shutil.copy(root / Tree(other, root).images[0], copy.root / copy.images[0])
    with pytest.raises(FrameError, match=copy.images[0]) as caught:
        copy.reader.depth(copy.images[0])
    assert caught.value.status == FrameStatus.IMAGE_CORRUPT


def test_an_archive_that_stopped_at_any_file(tree: Tree, tmp_path: Path) -> None:
    """The first k files, labels first, are there and the next is cut off: inspected and converted, or refused."""
    whole = Tree(tree.name, tmp_path / "raw")
    found = 0
    for k, file in enumerate((*tree.labels, *tree.images)):
        path = whole.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        data = (tree.root / file).read_bytes()
        path.write_bytes(data[: len(data) // 2])
        inspection, message = look(whole.root)
        assert message or (inspection is not None and inspection.findings)
        reader, message = attempt(lambda: whole.reader)
        if reader is None:
            assert message
        else:
            summary, message = turn(whole, tmp_path / f"{k}.zarr")
            assert message or (summary is not None and summary.problems)
            found += summary is not None
        path.write_bytes(data)
    assert found
    assert whole.read() == ""


def test_loops_of_links_instead_of_files(copy: Tree, tmp_path: Path) -> None:
    """A file that is a link to itself: the frame is corrupt or missing, the labels are refused."""
    image = copy.root / copy.images[1]
    image.unlink()
    image.symlink_to(image.name)
    summary, _ = turn(copy, tmp_path / "s.zarr")
    assert summary is not None
    assert [problem.status in UNREAD for problem in summary.problems] == [True]
    inspection, _ = look(copy.root)
    assert inspection is not None
    for file in copy.labels:
        path = copy.root / file
        path.rename(tmp_path / "aside")
        path.symlink_to(path.name)
        assert path.name in copy.read()
        inspection, message = look(copy.root)
        assert message or (inspection is not None and inspection.findings)
        path.unlink()
        (tmp_path / "aside").rename(path)


def test_loops_of_links_instead_of_folders(copy: Tree, tmp_path: Path) -> None:
    folders = [copy.root, *(path for path in sorted(copy.root.rglob("*")) if path.is_dir())]
    for folder in folders:
        folder.rename(tmp_path / "aside")
        folder.symlink_to(folder.name)
        assert copy.read()
        inspection, message = look(copy.root)
        assert message or (inspection is not None and inspection.findings)
        folder.unlink()
        (tmp_path / "aside").rename(folder)
    assert copy.read() == ""


def test_a_link_to_the_folder_above_does_no_harm(copy: Tree, tmp_path: Path) -> None:
    for folder in [path for path in copy.root.rglob("*") if path.is_dir()]:
        (folder / "loop").symlink_to(copy.root, target_is_directory=True)
    assert copy.read() == ""
    inspection, _ = look(copy.root)
    assert inspection is not None
    assert turn(copy, tmp_path / "s.zarr")[0] is not None


@pytest.fixture
def closed(tree: Tree) -> Iterator[Tree]:
    """A tree as a user sees it who is not its owner, nor root: what is closed is closed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = tree.copy(Path(folder))
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o777)
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield copy
        finally:
            os.seteuid(user)


def test_folders_and_files_that_may_not_be_read(closed: Tree) -> None:
    places = [closed.root, *sorted(closed.root.rglob("*"))]
    images = {closed.root / name for name in closed.images}
    mode = 0o700 if os.geteuid() == NOBODY else 0
    for place in places:
        owner_closes(place, mode)
        said = closed.read()
        inspection, message = look(closed.root)
        owner_closes(place, 0o777)
        assert "ermission denied" in said or "missing" in said or said.startswith(f"{closed.root} "), place
        if place not in images:
            assert message or (inspection is not None and inspection.findings)
    assert closed.read() == ""


def owner_closes(place: Path, mode: int) -> None:
    """Change the mode as the owner of the file, who may be root."""
    user = os.geteuid()
    if user == NOBODY:
        os.seteuid(0)
    place.chmod(mode)
    os.seteuid(user)
