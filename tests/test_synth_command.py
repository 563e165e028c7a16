import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from click.testing import CliRunner, Result
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.cli import main
from handbench.converters.nyu import NyuReader
from handbench.datasets.nyu import SPEC
from handbench.synth.nyu import nyu_frames


def synth(out: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["synth", "nyu", str(out), *options])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "nyu"
    result = synth(out, "--frames", "3", "--test-frames", "4", "--seed", "7")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}: 3 + 4 synthetic frames, rendered from a parametric hand: not NYU data\n"
    return out


def test_the_tree_is_laid_out_as_nyus(tree: Path) -> None:
    assert sorted(p.name for p in (tree / "test").iterdir()) == [
        *(f"depth_1_{number:07d}.png" for number in range(1, 5)),
        "joint_data.mat",
    ]
    image = cv2.imread(str(tree / "train/depth_1_0000003.png"))
    assert image is not None
    depth = image[..., 1].astype(int) * 256 + image[..., 0]
    frames = list(nyu_frames("train", 3, seed=7))
    assert_array_equal(depth, np.where(frames[2][0] == 0, 2001, frames[2][0]))
    labels = scipy.io.loadmat(tree / "train/joint_data.mat")
    assert_allclose(labels["joint_xyz"][0, 2], frames[2][1] * [1, -1, 1])  # y up in the raw file
    assert_allclose(labels["joint_uvd"][0, 2], xyz_to_uvd(frames[2][1], SPEC.camera))


def test_the_reader_knows_it_for_synthetic_and_whose_hands_they_are(tree: Path) -> None:
    reader = NyuReader(tree)
    assert reader.release == "synthetic"
    assert reader.table("train").subject.tolist() == ["1", "1", "1"]
    assert reader.table("test").subject.tolist() == ["1", "1", "2", "2"]


def test_the_same_seed_writes_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    assert synth(tmp_path / "again", "--frames", "3", "--test-frames", "4", "--seed", "7").exit_code == 0
    for path in (p for p in tree.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tree)).read_bytes()


def test_test_frames_are_a_tenth_and_at_least_two(tmp_path: Path) -> None:
    assert "1 + 2 synthetic" in synth(tmp_path / "small", "--frames", "1").stdout
    assert "20 + 2 synthetic" in synth(tmp_path / "larger", "--frames", "20").stdout
    assert "30 + 3 synthetic" in synth(tmp_path / "largest", "--frames", "30").stdout


def test_what_exists_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    refused = synth(out, "--frames", "1")
    assert refused.exit_code == 2
    assert "mine exists already" in refused.stderr
    assert (out / "thesis.txt").exists()
    assert synth(out, "--frames", "1", "--overwrite").exit_code == 0
    assert not (out / "thesis.txt").exists()


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imwrite", lambda *_: False)  # a full disk
    result = synth(tmp_path / "out", "--frames", "2")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_numba_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "handbench.synth.nyu")
    monkeypatch.delitem(sys.modules, "handbench.synth.render")
    result = synth(tmp_path / "out", "--frames", "2")
    assert result.exit_code == 2
    assert 'pip install "handbench[synth]"' in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["icvl", "out", "--frames", "2"], "'icvl' is not"),
        (["nyu", "out"], "--frames"),
        (["nyu", "out", "--frames", "0"], "0 is not in the range"),
        (["nyu", "out", "--frames", "3", "--test-frames", "1"], "1 is not in the range"),
        (["nyu", "out", "--frames", "3", "--seed", "-1"], "-1 is not in the range"),
    ],
)
def test_bad_input_is_refused(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["synth", *arguments])
    assert result.exit_code == 2
    assert words in result.stderr
