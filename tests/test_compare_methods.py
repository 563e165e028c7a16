"""Block bootstrap and comparisons: against loops, against theory, and as a user runs them."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import xyz_to_uvd
from handbench.cli import main
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.eval.bootstrap import (
    automatic_block_length,
    block_means,
    holm,
    percentile_interval,
    two_sided_p,
)
from handbench.eval.compare import CompareConfig
from handbench.frame_errors import FrameErrors, read_frame_errors, write_frame_errors


def remembering(phi: float, frames: int, seed: int) -> np.ndarray:
    """(F,) an autoregressive series: each value is `phi` times the one before, plus noise."""
    noise = np.random.default_rng(seed).normal(size=frames)
    series = np.empty(frames)
    series[0] = noise[0] / math.sqrt(1 - phi**2)
    for i in range(1, frames):
        series[i] = phi * series[i - 1] + noise[i]
    return series


def naive_block_means(sums: np.ndarray, counts: np.ndarray, block: int, resamples: int, seed: int) -> np.ndarray:
    """The same draws, gathered frame by frame."""
    frames = sums.shape[1]
    whole, rest = divmod(frames, block)
    rng = np.random.default_rng(seed)
    starts, last = rng.integers(frames, size=(resamples, whole)), rng.integers(frames, size=resamples)
    means = np.empty((resamples, len(sums)))
    for r in range(resamples):
        rows = [(start + k) % frames for start in starts[r] for k in range(block)]
        rows += [(last[r] + k) % frames for k in range(rest)]
        assert len(rows) == frames
        means[r] = [row[rows].sum() / n[rows].sum() for row, n in zip(sums, counts, strict=True)]
    return means


@given(frames=st.integers(1, 40), share=st.floats(0, 1), seed=st.integers(0, 9))
def test_block_means_equal_their_naive_twin(frames: int, share: float, seed: int) -> None:
    block = max(1, round(share * frames))
    rng = np.random.default_rng(seed)
    sums, counts = rng.uniform(0, 100, (2, frames)), rng.integers(1, 15, (2, frames)).astype(np.float64)
    fast = block_means(sums, counts, block, 5, seed)
    assert_allclose(fast, naive_block_means(sums, counts, block, 5, seed), rtol=1e-12)


def test_one_block_of_all_frames_gives_the_mean_itself() -> None:
    sums, counts = np.array([[1.0, 2.0, 6.0]]), np.ones((1, 3))
    assert_allclose(block_means(sums, counts, 3, 50), 3.0)


def test_blocks_that_cannot_be_are_refused() -> None:
    with pytest.raises(HandbenchError, match="a block of 4 frames is not possible, there are 3; choose 1 to 3"):
        block_means(np.ones((1, 3)), np.ones((1, 3)), 4, 10)


def test_the_interval_of_independent_frames_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(10, 3, 4000)
    low, high = percentile_interval(block_means(values[None], np.ones((1, 4000)), 1, 4000)[:, 0], 0.95)
    half = 1.96 * values.std() / math.sqrt(4000)
    assert_allclose([low, high], [values.mean() - half, values.mean() + half], atol=0.006)


def test_blocks_cover_the_truth_where_single_frames_do_not() -> None:
    """Of a series with correlation 0.9 the interval of single frames misses the mean most of the time."""
    hits = {1: 0, 60: 0}
    for seed in range(120):
        series = remembering(0.9, 3000, seed)
        for block in hits:
            low, high = percentile_interval(block_means(series[None], np.ones((1, 3000)), block, 200)[:, 0], 0.95)
            hits[block] += low <= 0 <= high
    assert hits[1] / 120 < 0.55
    assert 0.86 < hits[60] / 120 <= 1


@pytest.mark.parametrize("phi", [0.5, 0.8, 0.95])
def test_the_automatic_length_is_the_one_of_theory(phi: float) -> None:
    """Of an autoregressive series G / g(0) is 2 phi / (1 - phi^2), which gives the best length."""
    frames = 20_000
    best = (1.5 * (2 * phi / (1 - phi**2)) ** 2 * frames) ** (1 / 3)
    found = np.median([automatic_block_length(remembering(phi, frames, seed)) for seed in range(9)])
    assert best / 1.5 < found < best * 1.5


def test_the_automatic_length_of_what_does_not_remember() -> None:
    assert automatic_block_length(np.random.default_rng(0).normal(size=5000)) < 12
    assert automatic_block_length(np.full(100, 3.0)) == 1
    assert automatic_block_length(np.arange(5.0)) == 1
    assert automatic_block_length(np.arange(300.0)) <= 100  # a ramp never forgets; a third of the frames is the limit


def test_p_values() -> None:
    assert two_sided_p(np.array([0.9, 1.0, 1.1]), 1.0) == 0.25  # none strays by 1: one of four at best
    assert two_sided_p(np.array([-3.0, 0.15, 3.0]), 0.1) == 0.75  # 0.15 strays by 0.05 alone
    assert_array_equal(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    assert_array_equal(holm(np.array([0.5, 0.9])), [1.0, 1.0])


def test_frame_errors_come_back(tmp_path: Path) -> None:
    errors = FrameErrors(np.array([3.0, 14.0]), np.array([1.0, 14.0]))
    write_frame_errors(tmp_path / "A.frames.npz", errors)
    again = read_frame_errors(tmp_path / "A.frames.npz")
    assert_array_equal(again.frame_mean, [3.0, 1.0])
    assert again.mean_error == 17 / 15
    (tmp_path / "B.frames.npz").write_bytes((tmp_path / "A.frames.npz").read_bytes()[:-9])
    with pytest.raises(HandbenchError, match=r"B.frames.npz is a damaged file of frame errors"):
        read_frame_errors(tmp_path / "B.frames.npz")
    with pytest.raises(HandbenchError, match=r"C.frames.npz is not there; .* score again"):
        read_frame_errors(tmp_path / "C.frames.npz")


# ---- the command


def run(*args: object) -> str:
    result = CliRunner().invoke(main, ["compare", *map(str, args)])
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(*args: object) -> str:
    result = CliRunner().invoke(main, ["compare", *map(str, args)])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def icvl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of ICVL's test set, made up; Good and Same with 4 mm of noise, Bad with 6, Short for sequence 1 alone."""
    folder = tmp_path_factory.mktemp("icvl")
    spec = dataset("icvl")
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-90, 90, (1596, 16, 3)) + np.array([0.0, 0.0, 400.0])
    noise = {name: rng.normal(0, 1, xyz.shape) for name in ("Good", "Same", "Bad")}
    made = {
        "labels": xyz,
        "Good": xyz + 4 * noise["Good"],
        "Same": xyz + 4 * noise["Same"],
        "Bad": xyz + 6 * noise["Bad"],
    }
    made["Short"] = made["Good"][:702]
    for name, points in made.items():
        uvd = xyz_to_uvd(points, spec.scoring_camera)
        np.savetxt(folder / f"{name}.txt", uvd.reshape(len(uvd), -1), fmt="%.4f")
    return folder


def truth(icvl: Path) -> tuple[object, ...]:
    return ("--truth", icvl / "labels.txt", "--dataset", "icvl")


def compared(icvl: Path, *args: object) -> dict[str, Any]:
    return dict(json.loads(run(*args, "--json")))


def test_what_is_better_and_what_cannot_be_told(icvl: Path) -> None:
    sure = compared(icvl, icvl / "Bad.txt", icvl / "Good.txt", *truth(icvl))
    (pair,) = sure["differences"]
    assert (pair["a"], pair["b"]) == ("Good", "Bad")
    assert pair["low"] <= pair["difference_mm"] <= pair["high"] < 0
    assert pair["p"] == pair["p_holm"] == 1 / 2001
    assert pair["a_better"] + pair["b_better"] == 1
    assert pair["a_better"] > 0.95
    (pair,) = compared(icvl, icvl / "Same.txt", icvl / "Good.txt", *truth(icvl))["differences"]
    assert pair["low"] < 0 < pair["high"]
    assert pair["p"] > 0.05
    assert "Good is better by 3" in run(icvl / "Bad.txt", icvl / "Good.txt", *truth(icvl))
    assert "no difference can be told" in run(icvl / "Same.txt", icvl / "Good.txt", *truth(icvl))


def test_a_pair_is_sharper_than_two_lone_intervals(icvl: Path) -> None:
    """The same frames are drawn for both, so a hard frame is hard for both."""
    result = compared(icvl, icvl / "Bad.txt", icvl / "Good.txt", *truth(icvl), "--block", 20)
    assert result["block"] == 20
    assert not result["block_was_chosen"]
    again = compared(icvl, icvl / "Good.txt", icvl / "Bad.txt", *truth(icvl), "--block", 20)
    assert again == result  # not even the order of the files matters
    other = compared(icvl, icvl / "Good.txt", icvl / "Bad.txt", *truth(icvl), "--block", 20, "--seed", 1)
    assert other["differences"][0]["low"] != result["differences"][0]["low"]


def test_scores_files_compare_as_their_predictions_do(icvl: Path, tmp_path: Path) -> None:
    files = [icvl / f"{name}.txt" for name in ("Good", "Bad", "Same")]
    scored = CliRunner().invoke(main, ["eval", *map(str, (*files, *truth(icvl), "-o", tmp_path / "s"))])
    assert scored.exit_code == 0, scored.output
    assert json.loads(run(tmp_path / "s", "--json")) == compared(icvl, *files, *truth(icvl))
    out = run(tmp_path / "s")
    assert "* sure: p < 0.05 after Holm's correction for 3 pairs" in out
    assert "1,596 frames, 2,000 resamples in blocks of" in out
    (tmp_path / "s" / "Bad.frames.npz").write_bytes((tmp_path / "s" / "Good.frames.npz").read_bytes())
    assert "Bad.frames.npz is not of the same run as Bad.scores.json" in refusal(tmp_path / "s")
    (tmp_path / "s" / "Bad.frames.npz").unlink()
    assert "Bad.frames.npz is not there" in refusal(tmp_path / "s")


def test_what_cannot_be_compared(icvl: Path, tmp_path: Path) -> None:
    good, bad = icvl / "Good.txt", icvl / "Bad.txt"
    assert "one method alone cannot be compared" in refusal(good, *truth(icvl))
    assert "only the same frames compare" in refusal(good, icvl / "Short.txt", *truth(icvl))
    assert "would both be called Good" in refusal(good, tmp_path / "Good.txt", *truth(icvl))
    assert "name their labels with --truth" in refusal(good, bad)
    assert "holds no scores files" in refusal(tmp_path)
    assert "which are made already" in refusal(good, tmp_path, *truth(icvl))
    assert "--dataset and --split go with --truth" in refusal(tmp_path, "--dataset", "nyu")
    assert "is neither a number of frames nor auto" in refusal(good, bad, *truth(icvl), "--block", "many")
    assert "--block 0 is not possible" in refusal(good, bad, *truth(icvl), "--block", 0)
    assert "there are 1,596" in refusal(good, bad, *truth(icvl), "--block", 1597)
    assert "--resamples 10 is not from 100" in refusal(good, bad, *truth(icvl), "--resamples", 10)
    assert "--confidence 95 is not" in refusal(good, bad, *truth(icvl), "--confidence", 95)
    with pytest.raises(HandbenchError, match="--seed -1 is negative"):
        CompareConfig(seed=-1)


def test_nyu_frames_remember_each_other(real: Path) -> None:
    """Frame by frame the published files look 6 times surer than they are."""
    files = [real / "nyu" / "predictions" / f"{name}.txt" for name in ("SRN", "DenseReg")]
    labels = ("--truth", real / "nyu" / "groundtruth.txt", "--dataset", "nyu")
    naive = json.loads(run(*files, *labels, "--block", 1, "--json"))["means"][0]
    blocks = json.loads(run(*files, *labels, "--json"))
    assert 100 < blocks["block"] < 273
    width = naive["high"] - naive["low"]
    assert width == pytest.approx(0.27, abs=0.03)
    assert blocks["means"][0]["high"] - blocks["means"][0]["low"] > 6 * width
