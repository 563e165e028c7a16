"""How sure a mean over the frames of a video is: resampling of blocks, for neighbouring frames err alike.

Sources: circular block bootstrap, Politis and Romano (1992); block length, Politis and White (2004), "Automatic
Block-Length Selection for the Dependent Bootstrap", with the correction of Patton, Politis and White (2009).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from handbench.errors import HandbenchError

Floats = npt.NDArray[np.float64]
_CHUNK = 1 << 21  # block sums gathered at a time


def block_means(sums: Floats, counts: Floats, block: int, resamples: int, seed: int = 0) -> Floats:
    """Means of resampled frames, the same frames for every method.

    Blocks of consecutive frames are drawn with replacement, around the end of the sequence to its begin; the last one
    is cut so that a resample has as many frames as there are.

    Args:
        sums: (M, F) sum of the joint errors of each frame, of M methods, mm.
        counts: (M, F) how many joints each frame has.
        block: length of the blocks in frames, 1 to F; 1 resamples frames one by one.
        resamples: R.
        seed: of the drawing.

    Returns:
        (R, M) mean errors, mm.

    Raises:
        HandbenchError: if the block is not of a possible length.
    """
    frames = sums.shape[1]
    if not 1 <= block <= frames:
        raise HandbenchError(
            f"a block of {block:,} frames is not possible, there are {frames:,}; choose 1 to {frames:,}"
        )
    whole, rest = divmod(frames, block)
    rng = np.random.default_rng(seed)
    tables = [_block_sums(values, block) for values in (sums, counts)]
    ends = [_block_sums(values, rest) if rest else None for values in (sums, counts)]
    means = np.empty((resamples, len(sums)))
    step = max(1, _CHUNK // whole)
    for first in range(0, resamples, step):
        drawn = min(step, resamples - first)
        starts = rng.integers(frames, size=(drawn, whole))
        last = rng.integers(frames, size=drawn)
        total, count = (
            np.stack([_gather(row, starts) for row in table], axis=1) + (0.0 if end is None else end[:, last].T)
            for table, end in zip(tables, ends, strict=True)
        )
        means[first : first + drawn] = total / count
    return means


def _block_sums(values: Floats, block: int) -> Floats:
    """(M, F): the sum of the block that starts at each frame, around the end."""
    around = np.concatenate((np.zeros((len(values), 1)), values, values[:, : block - 1]), axis=1)
    running = np.cumsum(around, axis=1)
    return running[:, block:] - running[:, :-block]


def _gather(block_sums: Floats, starts: npt.NDArray[np.int64]) -> Floats:
    totals: Floats = np.take(block_sums, starts).sum(axis=1)
    return totals


def automatic_block_length(series: Floats) -> int:
    """Length of the blocks of a circular block bootstrap that suits how long a series remembers.

    Args:
        series: (F,) values in order, such as the mean error of each frame.

    Returns:
        1 to F / 3 frames; 1 for a constant series or one of fewer than 10 frames.

    Source: Politis and White (2004), section 3, with the constant of Patton, Politis and White (2009).
    """
    frames = len(series)
    if frames < 10 or not np.ptp(series):
        return 1
    longest = min(math.ceil(3 * math.sqrt(frames)), frames // 3)
    run = max(5, math.ceil(math.sqrt(math.log10(frames))))
    covariance = _autocovariance(series, min(math.ceil(math.sqrt(frames)) + run, frames - 1))
    lag = _last_significant_lag(covariance / covariance[0], frames, run)
    window = min(2 * lag, len(covariance) - 1)
    lags = np.arange(1, window + 1)
    flat_top = np.minimum(1.0, 2.0 * (1.0 - lags / window)) * covariance[1 : window + 1]
    slope = 2.0 * float((flat_top * lags).sum())
    spectrum = float(covariance[0] + 2.0 * flat_top.sum())
    if spectrum <= 0:
        return longest
    best = (2.0 * slope**2 / (4.0 / 3.0 * spectrum**2)) ** (1 / 3) * frames ** (1 / 3)
    return int(min(max(1, math.ceil(best)), longest))


def _autocovariance(series: Floats, lags: int) -> Floats:
    """(lags + 1,) by Fourier transform; biased, as the source has it."""
    centred = series - series.mean()
    size = 1 << (len(series) + lags).bit_length()
    spectrum = np.fft.rfft(centred, size)
    covariance: Floats = np.fft.irfft(spectrum * spectrum.conj(), size)[: lags + 1] / len(series)
    return covariance


def _last_significant_lag(correlation: Floats, frames: int, run: int) -> int:
    """The smallest m after which `run` lags in a row are within the noise; the longest there is if none."""
    quiet = np.abs(correlation[1:]) < 2.0 * math.sqrt(math.log10(frames) / frames)
    for lag in range(len(quiet) - run + 1):
        if quiet[lag : lag + run].all():
            return max(lag, 1)
    return len(quiet)


def percentile_interval(means: Floats, confidence: float) -> tuple[float, float]:
    """The interval that holds the middle share `confidence` of resampled values (R,)."""
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return low, high


def two_sided_p(resampled: Floats, observed: float) -> float:
    """How often resampled differences stray from the observed one as far as it lies from zero.

    Args:
        resampled: (R,) differences of resampled means.
        observed: the difference itself.

    Returns:
        At least 1 / (R + 1): no number of resamples proves more.
    """
    far = np.abs(resampled - observed) >= abs(observed)
    return float((1 + far.sum()) / (1 + len(resampled)))


def holm(p_values: Floats) -> Floats:
    """Correct p values for being several, after Holm (1979): the chance of one false finding among all.

    Args:
        p_values: (K,).

    Returns:
        (K,) in the same order, at most 1.
    """
    order = np.argsort(p_values, kind="stable")
    steps = np.minimum(1.0, p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(steps)
    return corrected
