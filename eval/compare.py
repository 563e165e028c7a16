"""Is one method better than another? Paired, over the same frames, with neighbouring frames kept together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from handbench.errors import HandbenchError
from handbench.eval.bootstrap import (
    Floats,
    automatic_block_length,
    block_means,
    holm,
    percentile_interval,
    two_sided_p,
)
from handbench.eval.score import Scored


@dataclass(frozen=True)
class CompareConfig:
    """How to resample.

    Attributes:
        block: length of the blocks in frames; None = the longest that `automatic_block_length` asks for, of all methods
            and of all differences.
        resamples: how many.
        confidence: share of the resampled values that an interval holds.
        seed: of the drawing.

    Raises:
        HandbenchError: if a value is impossible.
    """

    block: int | None = None
    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.block is not None and self.block < 1:
            raise HandbenchError(f"--block {self.block} is not possible; give a number of frames from 1, or auto")
        if not 100 <= self.resamples <= 1_000_000:
            raise HandbenchError(f"--resamples {self.resamples:,} is not from 100 to 1,000,000")
        if not 0.5 <= self.confidence < 1:
            raise HandbenchError(f"--confidence {self.confidence:g} is not from 0.5 to below 1")
        if self.seed < 0:
            raise HandbenchError(f"--seed {self.seed} is negative; give 0 or more")


@dataclass(frozen=True)
class Mean:
    """One method. Errors in mm.

    Attributes:
        name: of the method.
        marks: signs of `handbench.conditions.MARKS`.
        mean_error_mm: over all labelled joints of all frames.
        low, high: interval of that mean.
    """

    name: str
    marks: str
    mean_error_mm: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Two methods on the same frames. Errors in mm.

    Attributes:
        a, b: their names.
        difference_mm: mean error of a less that of b; negative where a is better.
        low, high: interval of that difference.
        p: how often chance alone strays as far.
        p_holm: the same, corrected for the number of pairs compared at once.
        a_better, b_better: share of frames whose mean error is lower; equal frames belong to neither.
    """

    a: str
    b: str
    difference_mm: float
    low: float
    high: float
    p: float
    p_holm: float
    a_better: float
    b_better: float


@dataclass(frozen=True)
class Comparison:
    """All methods and all pairs of them.

    Attributes:
        protocol: what was scored.
        frames: how many frames.
        block: length of the blocks that were resampled.
        block_was_chosen: whether that was the automatic choice.
        config: the options.
        means: the methods, the best first.
        differences: every pair, each with the better method as `a`.
    """

    protocol: str
    frames: int
    block: int
    block_was_chosen: bool
    config: CompareConfig
    means: tuple[Mean, ...]
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        facts = asdict(self)
        config = facts.pop("config")
        return {**facts, **{key: config[key] for key in ("resamples", "confidence", "seed")}}


def compare(methods: Sequence[Scored], config: CompareConfig) -> Comparison:
    """Compare every method with every other.

    Args:
        methods: two or more, scored on the same frames against the same labels.
        config: how to resample.

    Raises:
        HandbenchError: if there are fewer than two, two have one name, or frames or labels are not the same.
    """
    _require_comparable(methods)
    ranked = sorted(methods, key=lambda method: method.frames.mean_error)
    per_frame = np.stack([method.frames.frame_mean for method in ranked])
    block = config.block or _longest_block(per_frame)
    sums = np.stack([method.frames.error_sum for method in ranked])
    counts = np.stack([method.frames.labelled for method in ranked])
    resampled = block_means(sums, counts, block, config.resamples, config.seed)
    means = tuple(_mean(method, values, config) for method, values in zip(ranked, resampled.T, strict=True))
    pairs = [_difference(means, per_frame, resampled, i, j, config) for i, j in combinations(range(len(ranked)), 2)]
    corrected = holm(np.array([pair.p for pair in pairs])).tolist()
    return Comparison(
        protocol=ranked[0].scores.protocol.name,
        frames=per_frame.shape[1],
        block=block,
        block_was_chosen=config.block is None,
        config=config,
        means=means,
        differences=tuple(replace(pair, p_holm=p) for pair, p in zip(pairs, corrected, strict=True)),
    )


def _longest_block(per_frame: Floats) -> int:
    series = [*per_frame, *(a - b for a, b in combinations(per_frame, 2))]
    return max(automatic_block_length(values) for values in series)


def _mean(method: Scored, values: Floats, config: CompareConfig) -> Mean:
    low, high = percentile_interval(values, config.confidence)
    return Mean(method.scores.name, method.scores.conditions.marks, method.frames.mean_error, low, high)


def _difference(
    means: Sequence[Mean], per_frame: Floats, resampled: Floats, i: int, j: int, config: CompareConfig
) -> Difference:
    observed = means[i].mean_error_mm - means[j].mean_error_mm
    values = resampled[:, i] - resampled[:, j]
    low, high = percentile_interval(values, config.confidence)
    p = two_sided_p(values, observed)
    return Difference(
        a=means[i].name,
        b=means[j].name,
        difference_mm=observed,
        low=low,
        high=high,
        p=p,
        p_holm=p,
        a_better=float(np.mean(per_frame[i] < per_frame[j])),
        b_better=float(np.mean(per_frame[j] < per_frame[i])),
    )


def _require_comparable(methods: Sequence[Scored]) -> None:
    if len(methods) < 2:
        raise HandbenchError("one method alone cannot be compared; name two or more")
    names = [method.scores.name for method in methods]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise HandbenchError(f"two methods are called {twice}; leave one out or rename it")
    first = methods[0].scores
    for method in methods[1:]:
        other = method.scores
        if other.comparable != first.comparable or len(method.frames) != len(methods[0].frames):
            raise HandbenchError(
                f"{first.name} is scored on {first.protocol.name} ({first.whole.frames:,} frames), "
                f"{other.name} on {other.protocol.name} ({other.whole.frames:,} frames): only the same frames compare"
            )
        if other.label_source != first.label_source or other.left_out != first.left_out:
            raise HandbenchError(
                f"{first.name} is scored against {first.label_source}, {other.name} against {other.label_source}, or "
                "other frames are left out; score both against the same labels"
            )
