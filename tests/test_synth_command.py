import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose, assert_array_equal

from handbench.cli import main
from handbench.converters import open_raw
from handbench.converters.synthetic import SyntheticReader
from handbench.store import Store
from handbench.synth.config import NAMES, SynthConfig

OPTIONS = ("--frames", "34", "--key-frames", "1", "--seed", "7")
TEST = {"nyu": 4, "icvl": 4, "msra": 0, "hands17": 10}
LABEL_MM = {"nyu": 1e-4, "icvl": 3e-3, "msra": 1e-3, "hands17": 1e-4}
"""How far a label may be off by being printed: ICVL prints 3 decimals of px, MSRA 7 digits, HANDS17 4 decimals."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def options(name: str) -> tuple[str, ...]:
    return (*OPTIONS, *(("--test-frames", str(TEST[name])) if TEST[name] else ()))


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synth")
    for name in NAMES:
        result = run("synth", name, root / name, *options(name))
        assert result.exit_code == 0, result.output
        assert f"not {name.upper()} data" in result.stdout
    return root


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_the_reader_of_the_data_set_reads_what_was_rendered(name: str, trees: Path) -> None:
    rendered = SyntheticReader(SynthConfig(name, 34, TEST[name], seed=7, key_frames=1))
    reader = open_raw(name, trees / name)
    assert (reader.release, reader.splits, reader.depth_dtype) == ("synthetic", rendered.splits, rendered.depth_dtype)
    for split in reader.splits:
        ours, theirs = rendered.table(split), reader.table(split)
        assert_array_equal(theirs.frame_key, ours.frame_key)
        assert_array_equal(theirs.subject, ours.subject)
        if theirs.labelled:
            assert_allclose(theirs.joints_xyz, ours.joints_xyz, atol=LABEL_MM[name])
        else:
            assert theirs.bbox is not None
            assert_array_equal(theirs.bbox, ours.bbox)
        assert reader.unlabelled(split, theirs) == 0
        assert reader.remarks(split, theirs) == []
        for row in (0, len(ours) - 1):
            assert_array_equal(reader.depth(str(theirs.image[row])), rendered.depth(str(ours.image[row])))


@pytest.mark.parametrize("name", NAMES)
def test_another_run_with_other_workers_writes_the_same_bytes(name: str, trees: Path, tmp_path: Path) -> None:
    assert run("synth", name, tmp_path / "again", *options(name), "--workers", "1").exit_code == 0
    again, first = files(tmp_path / "again"), files(trees / name)
    assert again.keys() == first.keys()
    assert [path for path in first if again[path] != first[path]] == []


@pytest.mark.slow
def test_processes_write_the_same_bytes(trees: Path, tmp_path: Path) -> None:
    result = run("synth", "nyu", tmp_path / "nyu", *options("nyu"), "--scheduler", "processes", "--workers", "2")
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "nyu") == files(trees / "nyu")


@pytest.mark.parametrize("name", NAMES)
def test_direct_makes_the_store_that_the_raw_tree_makes(name: str, trees: Path, tmp_path: Path) -> None:
    result = run("synth", name, tmp_path / "direct.zarr", *options(name), "--direct")
    assert result.exit_code == 0, result.output
    assert run("convert", name, trees / name, tmp_path / "raw.zarr", "--center", "gt-mean").exit_code <= 1
    direct, raw = Store(tmp_path / "direct.zarr"), Store(tmp_path / "raw.zarr")
    assert direct.release == raw.release == "synthetic"
    for split in direct.splits:
        assert_array_equal(direct[split].frame_key, raw[split].frame_key)
        assert_array_equal(direct[split].subject, raw[split].subject)
        for row in range(0, len(direct[split]), 9):
            assert_array_equal(direct[split].depth(row), raw[split].depth(row))
        if (name, split) != ("hands17", "test"):
            assert_allclose(direct[split].joints_xyz, raw[split].joints_xyz, atol=LABEL_MM[name])
        assert (direct[split].status == 0).all()


def test_distances_go_into_a_store(tmp_path: Path) -> None:
    arguments = ("--frames", "3", "--direct", "--distance", "600", "650")
    result = run("synth", "nyu", tmp_path / "near.zarr", *arguments)
    assert result.exit_code == 0, result.output
    store = Store(tmp_path / "near.zarr")
    assert store.provenance["options"]["distance_mm"] == [600.0, 650.0]
    assert (abs(store["train"].center_xyz[:, 2] - 625) < 100).all()


def test_hands17_keeps_the_truth_of_its_test_split_for_seen_and_unseen_hands(trees: Path, tmp_path: Path) -> None:
    reader = open_raw("hands17", trees / "hands17")
    with np.load(trees / "hands17" / "truth.npz") as truth:
        assert_array_equal(truth["frame_key"], reader.table("test").frame_key)
        assert truth["joints_xyz"].shape == (10, 21, 3)
        assert np.isfinite(truth["joints_xyz"]).all()
        names = truth["subject"].tolist()
    assert names == [f"{kind}-{number}" for kind in ("seen", "unseen") for number in range(1, 6)]
    boxes = reader.table("test").bbox
    assert boxes is not None
    assert (boxes[:, 2:] > 20).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= [640, 480]).all()


def test_the_tree_says_how_it_was_made(trees: Path) -> None:
    told = json.loads((trees / "nyu" / "synthetic.json").read_text())
    assert told["subjects"] == {"train": {"1": 34}, "test": {"1": 2, "2": 2}}
    assert told["options"]["seed"] == 7


def test_test_frames_are_a_tenth_and_at_least_two(tmp_path: Path) -> None:
    assert "1 + 2 synthetic" in run("synth", "nyu", tmp_path / "small", "--frames", "1").stdout
    assert "30 + 3 synthetic" in run("synth", "nyu", tmp_path / "larger", "--frames", "30").stdout


def test_what_exists_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    for more in ((), ("--direct",)):
        refused = run("synth", "icvl", out, "--frames", "1", *more)
        assert refused.exit_code == 2
        assert "mine exists already" in refused.stderr
        assert (out / "thesis.txt").exists()
    assert run("synth", "icvl", out, "--frames", "1", "--overwrite").exit_code == 0
    assert not (out / "thesis.txt").exists()


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imwrite", lambda *_: False)  # a full disk
    result = run("synth", "nyu", tmp_path / "out", "--frames", "2")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_numba_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    for module in [name for name in sys.modules if name.startswith("handbench.synth")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "handbench.converters.synthetic")
    for more in ((), ("--direct",), ("--gesture", "fist")):
        result = run("synth", "nyu", tmp_path / "out", "--frames", "2", *more)
        assert result.exit_code == 2
        assert 'pip install "handbench[synth]"' in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["coco", "out", "--frames", "2"], "'coco' is not"),
        (["nyu", "out"], "--frames"),
        (["nyu", "out", "--frames", "0"], "--frames 0 cannot be"),
        (["nyu", "out", "--frames", "-5"], "--frames -5 cannot be"),
        (["nyu", "out", "--frames", "3", "--test-frames", "0"], "--test-frames 0 cannot be"),
        (["nyu", "out", "--frames", "3", "--seed", "-1"], "--seed -1 cannot be"),
        (["nyu", "out", "--frames", "3", "--gesture", "wave"], "unknown gesture 'wave'"),
        (["msra", "out", "--frames", "3", "--gesture", "Z"], "unknown gesture 'Z'"),
        (["icvl", "out", "--frames", "3", "--distance", "-500", "-300"], "the camera is in or behind it"),
        (["nyu", "out", "--frames", "3", "--resume"], "a raw tree appears when it is whole"),
        (["nyu", "out", "--frames", "3", "--scheduler", "slurm"], "unknown scheduler 'slurm'"),
        (["nyu", "no/where", "--frames", "3"], "create it first"),
    ],
)
def test_bad_input_is_refused(arguments: list[str], words: str) -> None:
    result = run("synth", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
