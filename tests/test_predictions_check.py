"""`handbench predictions check`: explains what is wrong with a file, and never what is merely bad."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from handbench.camera import uvd_to_xyz, xyz_to_uvd
from handbench.cli import main
from handbench.datasets import dataset
from handbench.eval.alignment import Run, find_runs, pairs
from handbench.eval.check import check_points
from handbench.eval.truth import Truth
from handbench.predictions import RawPoints
from handbench.scores import joint_error
from tests.hands_of_text import NYU, hands, keys, predictions
from tests.test_predictions_layouts import LIE_X, text_of

CAMERA = NYU.scoring_camera
FRAMES = 400
TRUE = hands(FRAMES)
_CHANCE = np.random.default_rng(5)
GOOD = TRUE + _CHANCE.normal(0, 5, TRUE.shape)


def in_order(points: np.ndarray, take: tuple[int, ...], count: int = 14) -> np.ndarray:
    out = np.zeros((len(points), count, 3))
    out[:, list(take)] = points
    return out


def uvd_of(xyz: np.ndarray) -> np.ndarray:
    return xyz_to_uvd(xyz, CAMERA)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    path = tmp_path / "truth.txt"
    path.write_bytes(text_of(uvd_of(TRUE), 6))
    return path


def check(points: np.ndarray, truth: Path, *options: str) -> Result:
    path = truth.with_name("method.txt")
    path.write_bytes(text_of(points, 6))
    command = ["predictions", "check", str(path), "--truth", str(truth), "--dataset", "nyu", *options]
    return CliRunner().invoke(main, command)


HANDS17 = dataset("hands17").scoring_camera
HALVES = np.concatenate([np.arange(250, FRAMES), np.arange(250)])
WRONG = {
    "Lie-X joint order": in_order(uvd_of(GOOD), LIE_X),
    "the order of NYU's authors": in_order(uvd_of(GOOD), (*range(6, 14), 3, 4, 5, 1, 2, 0)),
    "joint order 13,12,11": uvd_of(GOOD)[:, ::-1],
    "y up": uvd_of(GOOD) * (1, -1, 1) + (0, 480, 0),
    "x to the left (mirrored)": uvd_of(GOOD) * (-1, 1, 1) + (640, 0, 0),
    "rows before columns": uvd_of(GOOD)[:, :, [1, 0, 2]],
    "metres": GOOD / 1000,
    "centimetres": GOOD / 10,
    "the intrinsics of hands17": xyz_to_uvd(GOOD, HANDS17),
    "xyz, read as uvd": GOOD,
    "2 blocks of frames in another order: lines 1-150 are frames 251-400": uvd_of(GOOD)[HALVES],
    "frames shifted by 3: line 1 is frame 4": uvd_of(GOOD)[3:],
}


@pytest.mark.parametrize("said", list(WRONG))
def test_what_is_wrong_is_said_and_mended(said: str, truth: Path) -> None:
    points = WRONG[said]
    if said == "xyz, read as uvd":  # all hands in the lower right of the image, so that nothing in the file is negative
        shift = np.array([400.0, 350.0, 0.0])
        points = points + shift
        truth.write_bytes(text_of(uvd_of(TRUE + shift), 6))
    result = check(points, truth)
    assert result.exit_code == 1, result.output
    assert said in result.output
    command = next((line for line in result.output.splitlines() if line.startswith("  handbench ")), None)
    if said.startswith("frames shifted"):
        assert "For 3 frames of the labels no line of the file can be told" in result.output
        return
    assert command is not None, result.output
    mended = CliRunner().invoke(main, shlex.split(command)[1:])
    assert mended.exit_code == 0, mended.output
    again = CliRunner().invoke(
        main,
        ["predictions", "check", str(truth.with_name("method.mended.txt")), "--truth", str(truth), "--dataset", "nyu"],
    )
    assert again.exit_code == 0, again.output
    error = joint_error(GOOD, TRUE)[HALVES if said.startswith("2 blocks") else slice(None)].mean()
    assert f"mean error {error:.1f} mm" in again.output


BAD = {
    "good": GOOD,
    "noise": TRUE + _CHANCE.normal(0, 40, TRUE.shape),
    "offset": TRUE + np.array([45.0, -30.0, 20.0]),
    "too large": TRUE.mean(1, keepdims=True) + 1.4 * (TRUE - TRUE.mean(1, keepdims=True)),
    "one pose for all": np.broadcast_to(TRUE.mean(axis=0), TRUE.shape),
    "one shape at the right place": TRUE.mean(1, keepdims=True) + (TRUE - TRUE.mean(1, keepdims=True)).mean(axis=0),
    "all joints in one place": TRUE.mean(1, keepdims=True) + _CHANCE.normal(0, 4, TRUE.shape),
    "drifting": TRUE + np.cumsum(_CHANCE.normal(0, 3, (FRAMES, 1, 3)), axis=0),
    "half of it lost": np.where(_CHANCE.random((FRAMES, 1, 1)) < 0.5, TRUE, TRUE + _CHANCE.normal(0, 90, TRUE.shape)),
}


@pytest.mark.parametrize("name", list(BAD))
def test_merely_bad_is_not_explained(name: str, truth: Path) -> None:
    result = check(uvd_of(BAD[name]), truth)
    assert result.exit_code == 0, result.output
    assert "No other reading that handbench knows explains it better." in result.output


@pytest.mark.parametrize("seed", range(6))
def test_random_numbers_are_not_explained(seed: int, truth: Path) -> None:
    chance = np.random.default_rng(seed)
    points = chance.uniform(0, 600, TRUE.shape) if seed % 2 else np.abs(chance.normal(0, 300, TRUE.shape))
    result = check(points, truth)
    assert result.exit_code == 0, result.output


def test_real_methods_are_not_explained_and_their_mistakes_are(real: Path, tmp_path: Path) -> None:
    truth = str(real / "nyu" / "groundtruth.txt")

    def run(path: Path) -> dict[str, object]:
        result = CliRunner().invoke(
            main, ["predictions", "check", str(path), "--truth", truth, "--dataset", "nyu", "--json"]
        )
        report: dict[str, object] = json.loads(result.stdout)
        assert result.exit_code == report["found"]
        return report

    for name in ("SRN", "DeepPrior"):
        assert run(real / "nyu" / "predictions" / f"{name}.txt")["finding"] is None
    numbers = np.loadtxt(real / "nyu" / "predictions" / "SRN.txt").reshape(-1, 14, 3)
    late = tmp_path / "late.txt"
    late.write_bytes(text_of(np.roll(numbers, 1, axis=0), 3))
    finding = run(late)["finding"]
    assert isinstance(finding, dict)
    assert finding["looks_like"] == ["frames shifted by 1: line 2 is frame 1"]
    assert round(finding["mean_error_mm"], 2) == 7.79


@pytest.mark.slow
def test_the_other_release_of_msra() -> None:
    spec = dataset("msra")
    xyz = np.random.default_rng(0).normal(0, 40, (76375, 21, 3)) + np.array([0, 0, 400])
    group = np.repeat([name for name, _ in spec.protocol.groups], [size for _, size in spec.protocol.groups])
    truth = Truth(
        spec=spec,
        published=spec.protocol,
        camera=spec.scoring_camera,
        joints_xyz=xyz,
        group=group,
        flaw=np.zeros(len(xyz), np.str_),
        frame_key=None,
        source={},
    )
    new = RawPoints("text", xyz_to_uvd(np.concatenate([xyz, xyz[:16]]), spec.scoring_camera))
    report = check_points(Path("new.txt"), new, truth)
    assert report.found
    assert "It has 76,391 frames (protocol msra/loso-9-new), the labels have 76,375" in report.lines()[1]


def test_order_of_lines_goes_into_a_file(truth: Path, tmp_path: Path) -> None:
    blocks = np.random.default_rng(0).permutation(8)
    lines = np.concatenate([np.arange(50 * b, 50 * b + 50) for b in blocks])
    result = check(uvd_of(GOOD)[lines], truth, "--frames-to", str(tmp_path / "order.txt"))
    assert result.exit_code == 1, result.output
    ranges = [line.split("-") for line in (tmp_path / "order.txt").read_text().split()]
    order = [line - 1 for first, last in ranges for line in range(int(first), int(last) + 1)]
    assert (lines[order] == np.arange(FRAMES)).all()
    assert check(uvd_of(GOOD), truth, "--frames-to", str(tmp_path / "order.txt")).exit_code == 2


def test_runs_and_pairs() -> None:
    runs = find_runs(GOOD[HALVES], TRUE)
    assert runs == [Run(0, 149, 250), Run(150, 399, -150)]
    lines, frames = pairs(runs, FRAMES)
    assert frames.tolist() == list(range(FRAMES))
    assert (HALVES[lines] == frames).all()
    assert find_runs(GOOD, TRUE) == [Run(0, 399, 0)]
    assert find_runs(GOOD[:100], TRUE) == []


def refusal(*words: object) -> str:
    result = CliRunner().invoke(main, ["predictions", *map(str, words)])
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    return result.stderr


def test_bad_input_of_both_commands(truth: Path, tmp_path: Path) -> None:
    good, out = tmp_path / "good.txt", tmp_path / "out.csv"
    good.write_bytes(text_of(uvd_of(GOOD), 3))
    assert "No such file" in refusal("check", tmp_path / "none", "--truth", truth, "--dataset", "nyu")
    assert "pass --dataset" in refusal("check", good, "--truth", truth)
    assert "No such file" in refusal("convert", tmp_path / "none", out)
    assert "unknown layout 'foo'; there are uvd, xyz," in refusal("convert", good, out, "--to", "foo")
    assert "unknown layout 'foo'" in refusal("convert", good, out, "--from", "foo")
    assert "by its content it is text" in refusal("convert", good, out, "--from", "matlab")
    assert "contradict each other" in refusal("convert", good, out, "--from", "uvd", "--space", "xyz")
    assert "unknown axes to flip 'q'" in refusal("convert", good, out, "--flip", "q")
    assert "unknown joint order 'liex' of nyu; did you mean lie-x?" in refusal("convert", good, out, "--order", "liex")
    assert "--order names 2 different joints" in refusal("convert", good, out, "--order", "1,1,2")
    assert "'x' is no range of lines" in refusal("convert", good, out, "--frames", "1-3,x")
    assert "has frames 1 to 400; --frames asks for 1-401" in refusal("convert", good, out, "--frames", "1-401")
    assert "cannot read" in refusal("convert", good, out, "--frames", f"@{tmp_path / 'none'}")
    assert "unknown camera 'foo'" in refusal("convert", good, out, "--camera", "foo")
    assert "has lines alone; pass --list" in refusal("convert", good, out, "--to", "named-uvd")
    names = tmp_path / "names.txt"
    names.write_text("test/depth_1_0000001.png\n")
    assert "names 1 frames, good has 400" in refusal("convert", good, out, "--list", names)
    assert not out.exists()
    out.touch()
    assert "exists already" in refusal("convert", good, out)


def test_convert_with_a_list_of_names(tmp_path: Path) -> None:
    given = predictions(40)
    good, names, out = tmp_path / "good.txt", tmp_path / "names.txt", tmp_path / "out.npz"
    good.write_bytes(text_of(given.uvd, 3))
    names.write_text("".join(f"test/depth_1_{i + 1:07d}.png\n" for i in range(40)))
    result = CliRunner().invoke(main, ["predictions", "convert", str(good), str(out), "--list", str(names)])
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("40 frames of nyu as npz; good.txt was read as uvd\n")
    with np.load(out) as arrays:
        assert tuple(arrays["frame_key"].tolist()) == keys(40)
        assert np.abs(uvd_to_xyz(arrays["uvd"], CAMERA) - hands(40)).max() < 0.01
