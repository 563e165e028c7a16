"""What papers have published, and where a number would stand among it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from handbench.conditions import Conditions
from handbench.scores import Scores

_FILE = "published.toml"


@dataclass(frozen=True)
class Source:
    """Where numbers come from.

    Attributes:
        title: of the paper or page.
        url: where it is.
    """

    title: str
    url: str


@dataclass(frozen=True)
class Published:
    """One number of the literature.

    Attributes:
        protocol: name of what was scored, as in `DatasetSpec.protocols`.
        method: as the literature calls it.
        paper: title, or the part of it by which it is known.
        venue, year: of the paper.
        mean_error_mm: the number.
        printed: the number as the source prints it.
        source: who printed it.
        conditions: what is known of the method beyond its joints.
        seen_mm, unseen_mm: the same over subjects that the training set shows and does not show, where printed.
        note: what a reader of the number must know.
    """

    protocol: str
    method: str
    paper: str
    venue: str
    year: int
    mean_error_mm: float
    printed: str
    source: Source
    conditions: Conditions
    seen_mm: float | None = None
    unseen_mm: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the marks of `Conditions` spelled out."""
        return {**asdict(self), "marks": self.conditions.marks}


@dataclass(frozen=True)
class Place:
    """Where a mean error stands among the published ones of its protocol.

    Attributes:
        rank: 1 = lower than all of them.
        of: how many there are, this one counted.
        ahead: methods with a lower error, the best first.
        unequal: how many of the others carry other marks than this one, so that they do not compare like for like.
    """

    rank: int
    of: int
    ahead: tuple[str, ...]
    unequal: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "ahead": list(self.ahead)}


@cache
def published() -> tuple[Published, ...]:
    """All of them, in the order of the registry: by data set, from the largest error to the smallest."""
    table = tomllib.loads(files("handbench.eval").joinpath(_FILE).read_text(encoding="utf-8"))
    sources = {name: Source(**facts) for name, facts in table["source"].items()}
    return tuple(_entry(facts, sources) for facts in table["result"])


def _entry(facts: dict[str, Any], sources: dict[str, Source]) -> Published:
    conditions = {key: facts[key] for key in ("center_method", "epoch_rule", "ensemble") if key in facts}
    words = {key: facts[key] for key in ("protocol", "method", "paper", "venue", "year", "note") if key in facts}
    return Published(
        **words,
        mean_error_mm=float(facts["mean_error_mm"]),
        seen_mm=float(facts["seen_mm"]) if "seen_mm" in facts else None,
        unseen_mm=float(facts["unseen_mm"]) if "unseen_mm" in facts else None,
        printed=facts["mean_error_mm"],
        source=sources[facts["source"]],
        conditions=Conditions(**conditions),
    )


def results_of(data_set: str) -> tuple[Published, ...]:
    """Those of one data set, the best first."""
    own = (entry for entry in published() if entry.protocol.split("/")[0] == data_set)
    return tuple(sorted(own, key=lambda entry: entry.mean_error_mm))


def place(scores: Scores) -> Place | None:
    """Where a method stands among what is published on its protocol; a published number of its own name is left out.

    Returns:
        None if nothing is published on exactly these frames and joints.
    """
    others = [
        entry
        for entry in results_of(scores.dataset)
        if entry.protocol == scores.protocol.name and _plain(entry.method) != _plain(scores.name)
    ]
    if not others or not _is_whole(scores):
        return None
    ahead = tuple(entry.method for entry in others if entry.mean_error_mm < scores.whole.mean_error_mm)
    unequal = sum(entry.conditions.marks != scores.conditions.marks for entry in others)
    return Place(len(ahead) + 1, len(others) + 1, ahead, unequal)


def _is_whole(scores: Scores) -> bool:
    """Whether the frames are those of the published protocol, and not some of them."""
    from handbench.datasets import dataset

    protocols = dataset(scores.dataset).protocols
    return any(p.name == scores.protocol.name and p.frames == scores.whole.frames for p in protocols)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())
