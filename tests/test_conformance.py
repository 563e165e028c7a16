"""What every data set must keep. A fifth one is tested by its line in `READERS` and its module in tests/raw.

That module has a function `conformance_tree(root)`, which writes a small raw tree that is in order, without the code
under test, and returns for each split its depth (N, H, W) mm, 0 = missing, and joints (N, J, 3) mm, y down.
"""

import inspect as python_inspect
import json
import pickle
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.cli import main
from handbench.converters import READERS, WRITERS, Converter, converter, open_raw, open_writer, reader_names
from handbench.converters.command import READER_OPTIONS
from handbench.converters.compare import compare
from handbench.converters.convert import ConvertConfig, convert
from handbench.converters.inspect import inspect
from handbench.converters.protocol import Reader, Writer
from handbench.converters.recognise import RECOGNISERS
from handbench.converters.validate import validate
from handbench.datasets import DatasetSpec, dataset, dataset_names
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus, Store
from tests.raw.plate import Truth

LARGEST_PICKLE = 100_000  # bytes; a reader goes into every task
PART = ConvertConfig(limit=1000)  # a part of the data set, so that the published numbers of frames do not matter


@dataclass(frozen=True)
class Case:
    """One data set: its raw tree, what the tree holds, and its store."""

    name: str
    root: Path
    truth: dict[str, Truth]
    store: Path

    @property
    def reader(self) -> Reader:
        return open_raw(self.name, self.root)

    def copy(self, folder: Path) -> Path:
        """A raw tree that a test may change."""
        return shutil.copytree(self.root, folder / "copy")


@pytest.fixture(scope="module", params=READERS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    truth = import_module(f"tests.raw.{name}").conformance_tree(folder / "raw")
    summary = convert(open_raw(name, folder / "raw"), folder / "s.zarr", PART)
    assert summary.problems == []
    assert summary.frames == {split: len(depth) for split, (depth, _) in truth.items()}
    return Case(name, folder / "raw", truth, folder / "s.zarr")


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def members(protocol: type) -> list[str]:
    return [name for name in vars(protocol) if not name.startswith("_")]


def shape_and_type(column: np.ndarray) -> tuple[tuple[int, ...], str]:
    return column.shape, str(column.dtype)


def image_files(case: Case) -> set[Path]:
    reader = case.reader
    return {case.root / name for split in reader.splits for name in reader.table(split).image.tolist()}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_has_facts_a_writer_a_recogniser_and_a_raw_tree(name: str) -> None:
    assert name in dataset_names()
    assert name in RECOGNISERS
    writer = converter(name).writer
    assert [member for member in members(Writer) if not hasattr(writer, member)] == []
    assert callable(import_module(f"tests.raw.{name}").conformance_tree)


def test_no_writer_is_without_its_reader() -> None:
    assert set(WRITERS) == set(READERS)
    assert set(RECOGNISERS) == set(READERS)


def test_a_reader_has_all_that_is_asked_of_it(case: Case) -> None:
    reader = case.reader
    assert [member for member in members(Reader) if not hasattr(reader, member)] == []
    assert json.loads(json.dumps(dict(reader.options))) == reader.options
    assert isinstance(reader.release, str)
    assert reader.depth_dtype in (np.dtype(np.uint16), np.dtype(np.float32))
    assert set(reader.splits) == set(case.truth)
    with pytest.raises(HandbenchError, match="nosplit"):
        reader.table("nosplit")


def test_a_reader_travels_small(case: Case) -> None:
    pickled = pickle.dumps(case.reader)
    assert len(pickled) < LARGEST_PICKLE
    again = pickle.loads(pickled)
    for split in case.truth:
        table = again.table(split)
        assert_array_equal(table.frame_key, case.reader.table(split).frame_key)
        assert_array_equal(again.depth(str(table.image[0])), case.truth[split][0][0])


def test_facts_and_converter_agree(case: Case) -> None:
    spec, reader = dataset(case.name), case.reader
    assert reader.spec == spec
    assert spec.name == case.name
    assert DatasetSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    splits = {split.name for split in spec.splits}
    assert set(reader.splits) <= splits
    assert {protocol.split for protocol in spec.protocols} <= splits
    for depth, joints in case.truth.values():
        assert depth.shape[1:] == (spec.camera.height, spec.camera.width)
        assert joints.shape[1] == len(spec.joints)
    for split in reader.splits:
        for subject in np.unique(reader.table(split).subject).tolist():
            assert spec.cube_of(subject) > 0


def test_tables_have_their_shapes_and_types(case: Case) -> None:
    for split, (depth, _) in case.truth.items():
        table = case.reader.table(split)
        count = len(depth)
        assert len(table) == count
        for name in ("frame_key", "subject", "sequence"):
            column = getattr(table, name)
            assert (column.shape, column.dtype.kind) == ((count,), "U"), name
        assert table.image.shape == (count,)
        assert table.image.dtype.kind in "UT"  # T: text of variable length, for lists of a million names
        assert shape_and_type(table.view) == ((count,), "uint8")
        assert (table.view >= 1).all()
        assert shape_and_type(table.joints_xyz) == ((count, len(case.reader.spec.joints), 3), "float32")
        if table.bbox is not None:
            assert shape_and_type(table.bbox) == ((count, 4), "float32")
        if table.viewpoint is not None:
            assert shape_and_type(table.viewpoint) == ((count,), "uint8")
        if table.flaw is not None:
            assert table.flaw.tolist() == [""] * count


def test_keys_are_unique_in_the_whole_tree_and_stable(case: Case) -> None:
    keys = [key for split in case.truth for key in case.reader.table(split).frame_key.tolist()]
    assert len(set(keys)) == len(keys)
    assert all(key.isprintable() and key == key.strip() and key for key in keys)
    assert keys == [key for split in case.truth for key in case.reader.table(split).frame_key.tolist()]


def test_images_lie_inside_the_tree(case: Case) -> None:
    names = [name for split in case.truth for name in case.reader.table(split).image.tolist()]
    assert len(set(names)) == len(names)
    for name in names:
        path = PurePosixPath(name)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert (case.root / name).is_file()
        assert (case.root / name).resolve().is_relative_to(case.root.resolve())


def test_depth_is_the_raw_depth_in_mm_and_0_is_missing(case: Case) -> None:
    reader = case.reader
    for split, (depth, _) in case.truth.items():
        for image, true in zip(reader.table(split).image.tolist(), depth, strict=True):
            read = reader.depth(image)
            assert read.dtype == reader.depth_dtype
            assert_array_equal(read, true)
            assert 0 < (read == 0).mean() < 1


def test_joints_are_the_raw_labels_before_the_camera_and_in_the_image(case: Case) -> None:
    camera = case.reader.spec.camera
    for split, (_, joints) in case.truth.items():
        table = case.reader.table(split)
        assert_allclose(table.joints_xyz, joints, atol=2e-3)  # what the printed digits lose
        assert table.labelled == bool(np.isfinite(joints).all())
        if table.labelled:
            u, v, z = np.moveaxis(xyz_to_uvd(table.joints_xyz.astype(np.float64), camera), -1, 0)
            assert (z > 0).all()
            assert ((u >= -0.5) & (u < camera.width - 0.5) & (v >= -0.5) & (v < camera.height - 0.5)).all()


def test_a_tree_in_order_has_no_image_without_a_label(case: Case) -> None:
    for split in case.truth:
        assert case.reader.unlabelled(split, case.reader.table(split)) == 0


def test_the_store_has_the_columns_of_the_table(case: Case) -> None:
    store, reader = Store(case.store), case.reader
    assert set(store.splits) == set(case.truth)
    assert (store.spec, store.camera, store.release) == (reader.spec, reader.spec.camera, reader.release)
    for split, (depth, _) in case.truth.items():
        stored = store[split]
        for name, column in reader.table(split).stored().items():
            assert_array_equal(getattr(stored, name), column, err_msg=name)
        assert stored.status.tolist() == [FrameStatus.OK] * len(depth)
        for row, true in enumerate(depth):
            assert_array_equal(stored.depth(row), true)
        assert stored.cube[:, 0].tolist() == pytest.approx([reader.spec.cube_of(s) for s in stored.subject.tolist()])


def test_provenance_names_converter_options_and_label_files(case: Case) -> None:
    store, reader = Store(case.store), case.reader
    assert store.provenance["converter"] == case.name
    assert store.provenance["options"].items() >= reader.options.items()
    assert store.provenance["raw"] == {k: v for split in reader.splits for k, v in reader.fingerprints(split).items()}


def test_fingerprints_change_with_every_label_file(case: Case, tmp_path: Path) -> None:
    root = case.copy(tmp_path)
    images = {root / path.relative_to(case.root) for path in image_files(case)}
    labels = [path for path in root.rglob("*") if path.is_file() and path not in images]
    assert labels
    for path in labels:
        before = prints(open_raw(case.name, root))
        path.write_bytes(path.read_bytes() + b"\n")
        assert prints(open_raw(case.name, root)) != before, path


def prints(reader: Reader) -> str:
    return json.dumps([dict(reader.fingerprints(split)) for split in reader.splits])


def test_a_missing_image_keeps_its_row(case: Case, tmp_path: Path) -> None:
    root = case.copy(tmp_path)
    split = case.reader.splits[0]
    table = case.reader.table(split)
    (root / str(table.image[1])).unlink()
    reader = open_raw(case.name, root)
    with pytest.raises(FrameError) as caught:
        reader.depth(str(table.image[1]))
    assert caught.value.status == FrameStatus.IMAGE_MISSING
    summary = convert(reader, tmp_path / "s.zarr", PART)
    stored = Store(tmp_path / "s.zarr")[split]
    assert [problem.frame_key for problem in summary.problems] == [table.frame_key[1]]
    assert_array_equal(stored.frame_key, table.frame_key)
    assert np.flatnonzero(stored.status).tolist() == [1]
    assert stored.status[1] == FrameStatus.IMAGE_MISSING
    assert not stored.depth(1).any()
    counts = inspect(root).splits[split]
    assert (counts.frames, counts.images) == (len(table), len(table) - 1)


def test_an_image_without_a_label_is_counted(case: Case, tmp_path: Path) -> None:
    root = case.copy(tmp_path)
    split = case.reader.splits[0]
    first = root / str(case.reader.table(split).image[0])
    extra = first.with_name(re.sub(r"[0-9]{2}(?=\D*$)", "99", first.name))  # another number
    assert not extra.exists()
    shutil.copy(first, extra)
    reader = open_raw(case.name, root)
    assert reader.unlabelled(split, reader.table(split)) == 1


def test_a_damaged_image_is_a_frame_error(case: Case, tmp_path: Path) -> None:
    root = case.copy(tmp_path)
    image = str(case.reader.table(case.reader.splits[0]).image[0])
    whole = (root / image).read_bytes()
    for data in (b"", whole[: len(whole) // 2], b"no image at all" * 99):
        (root / image).write_bytes(data)
        with pytest.raises(FrameError) as caught:
            open_raw(case.name, root).depth(image)
        assert caught.value.status == FrameStatus.IMAGE_CORRUPT


def test_the_writer_writes_what_the_reader_reads(case: Case, tmp_path: Path) -> None:
    result = run("export", "raw", case.store, tmp_path / "again")
    assert result.exit_code == 0, result.stderr
    convert(open_raw(case.name, tmp_path / "again"), tmp_path / "b.zarr", PART)
    comparison = compare(Store(case.store), Store(tmp_path / "b.zarr"))
    assert comparison.differences == []
    assert comparison.frames == {split: len(depth) for split, (depth, _) in case.truth.items()}


def test_a_synthetic_tree_says_so_from_tree_to_store_and_back(case: Case, tmp_path: Path) -> None:
    root = case.copy(tmp_path)
    assert case.reader.release != "synthetic"
    open_writer(case.name, root).mark_synthetic({"seed": 7})
    assert json.loads((root / "synthetic.json").read_text())["seed"] == 7
    reader = open_raw(case.name, root)
    assert reader.release == "synthetic"
    assert [reader.remarks(split, reader.table(split)) for split in reader.splits] == [[] for _ in reader.splits]
    inspection = inspect(root)
    assert (inspection.release, inspection.findings) == ("synthetic", [])
    convert(reader, tmp_path / "a.zarr", ConvertConfig())
    assert (Store(tmp_path / "a.zarr").release, validate(Store(tmp_path / "a.zarr")).findings) == ("synthetic", [])
    assert run("export", "raw", tmp_path / "a.zarr", tmp_path / "again").exit_code == 0
    convert(open_raw(case.name, tmp_path / "again"), tmp_path / "b.zarr", ConvertConfig())
    assert compare(Store(tmp_path / "a.zarr"), Store(tmp_path / "b.zarr")).differences == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "7", '{"subjects": 3}', '{"subjects": {"test": {"1": "x"}}}', "[" * 99_999]
)
def test_a_damaged_marker_is_refused(case: Case, tmp_path: Path, text: str) -> None:
    root = case.copy(tmp_path)
    (root / "synthetic.json").write_text(text)
    with pytest.raises(HandbenchError, match=r"synthetic\.json .*write the .*tree again"):
        open_raw(case.name, root)


def test_another_distribution_brings_its_pair(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(monkeypatch, converter(case.name))
    assert reader_names() == (*READERS, "fifth")
    assert open_raw("fifth", case.root).splits == case.reader.splits
    split = case.reader.splits[0]
    depths = [case.reader.depth(image) for image in case.reader.table(split).image.tolist()]
    open_writer("fifth", tmp_path / "raw").write_split(split, case.reader.table(split), depths)
    assert_array_equal(open_raw("fifth", tmp_path / "raw").table(split).frame_key, case.reader.table(split).frame_key)


def test_a_pair_may_lack_its_writer_but_must_be_a_pair(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bring(monkeypatch, Converter(converter("nyu").reader))
    with pytest.raises(HandbenchError, match="no writer for the raw layout of fifth"):
        open_writer("fifth", tmp_path)
    bring(monkeypatch, converter("nyu").reader)
    with pytest.raises(HandbenchError, match="'fifth' gives a type, not a Converter"):
        open_raw("fifth", tmp_path)


def bring(monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    """Make as if an installed distribution had an entry point "fifth" that gives this value."""
    monkeypatch.setattr(sys.modules[__name__], "FIFTH", value, raising=False)
    point = EntryPoint("fifth", f"{__name__}:FIFTH", "handbench.converters")
    monkeypatch.setattr("handbench.converters.entry_points", lambda group: [point] if group == point.group else [])


def test_validate_finds_nothing(case: Case) -> None:
    report = validate(Store(case.store))
    assert report.findings == []
    for split, (depth, joints) in case.truth.items():
        facts = report.facts[split]
        assert facts["depth_mm"] == [depth[depth > 0].min(), depth.max()]
        if np.isfinite(joints).any():
            assert facts["over_depth_percent"] == 100
            assert facts["worst_outside_cube_mm"] == 0


def test_validate_misses_the_frames_of_a_store_that_claims_to_be_whole(case: Case, tmp_path: Path) -> None:
    convert(case.reader, tmp_path / "s.zarr", ConvertConfig())
    found = [(finding.check, finding.split) for finding in validate(Store(tmp_path / "s.zarr")).findings]
    assert sorted(found) == [("counts", split) for split in sorted(case.truth)]


def test_inspect_names_the_data_set(case: Case) -> None:
    inspection = inspect(case.root)
    assert (inspection.dataset, inspection.title) == (case.name, case.reader.spec.title)
    for split, (depth, _) in case.truth.items():
        counts = inspection.splits[split]
        assert (counts.frames, counts.images, counts.unlabelled_images) == (len(depth), len(depth), 0)


def test_the_command_line_converts_and_helps(case: Case, tmp_path: Path) -> None:
    shown = run("convert", case.name, "--help")
    assert shown.exit_code == 0
    options = READER_OPTIONS.get(case.name, {})
    for option in options:
        assert f"--{option.replace('_', '-')}" in shown.stdout
    module, _, attribute = READERS[case.name].partition(":")
    takes = python_inspect.signature(getattr(import_module(module), attribute)).parameters
    assert set(options) == set(takes) - {"root"}
    result = run("convert", case.name, case.root, tmp_path / "s.zarr", "--limit", 1000)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith("frames, all ok\n")
    assert compare(Store(case.store), Store(tmp_path / "s.zarr")).equal
