"""Which scores go into a figure, and in which order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from handbench.errors import HandbenchError
from handbench.scores import SUFFIX, Scores, read_scores


def read_results(paths: Iterable[Path], own: str | None) -> list[Scores]:
    """Read scores files, and all of those in folders.

    Args:
        paths: files or folders.
        own: name of the method that goes last, or None.

    Returns:
        The scores from the worst mean error to the best, the own method last.

    Raises:
        HandbenchError: if there are none, two have one name, they are of different protocols, or `own` is not there.
    """
    results: dict[str, Scores] = {}
    for path in paths:
        for file in _files_of(path):
            scores = read_scores(file)
            if scores.name in results:
                raise HandbenchError(f"two scores files are called {scores.name}, the second is {file}; leave one out")
            results[scores.name] = scores
    if own is not None and own not in results:
        raise HandbenchError(f"no scores are called {own!r}; there are {', '.join(results)}")
    _require_one_protocol(list(results.values()))
    return sorted(results.values(), key=lambda scores: (scores.name == own, -scores.whole.mean_error_mm))


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob(f"*{SUFFIX}"))
    if not files:
        raise HandbenchError(f"{path} holds no scores files (*{SUFFIX}); make them with handbench eval ... -o {path}")
    return files


def _require_one_protocol(results: list[Scores]) -> None:
    first = results[0]
    other = next((scores for scores in results if scores.comparable != first.comparable), None)
    if other is not None:
        raise HandbenchError(
            f"{first.name} is scored on {_described(first)}, {other.name} on {_described(other)}: "
            "these numbers are not comparable; draw one protocol a figure"
        )


def _described(scores: Scores) -> str:
    return f"{scores.protocol.name} ({scores.protocol.frames:,} frames, {len(scores.joint_labels)} joints)"
