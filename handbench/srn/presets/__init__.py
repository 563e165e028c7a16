"""Configurations by name: one TOML file each, or one row of an experiment (a table or figure of the paper).

A file may name a `base`, a preset whose values it leaves standing. An experiment's file has a list of rows, each a few
settings over the base; the preset of a row is called `<experiment>.<row>`, as "table1.baseline". No torch here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from handbench.errors import HandbenchError

ROW_ABOVE = "row above"
"""The reference of an experiment whose rows each add to the one before."""


@dataclass(frozen=True)
class ExperimentRow:
    """One run of an experiment.

    Attributes:
        name: in the experiment.
        title: what it is, a few words.
        settings: what sets it apart, "table.key" to value; of a ladder what it adds to the row above.
    """

    name: str
    title: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Experiment:
    """A table or figure of the paper as runs.

    Attributes:
        name: "table1", ...
        title: what is compared.
        base: preset that all rows begin with.
        settings: of all rows over the base.
        reference: name of the row that the others are compared with, or `ROW_ABOVE` for a ladder.
        rows: in order.
    """

    name: str
    title: str
    base: str
    settings: Mapping[str, Any]
    reference: str
    rows: tuple[ExperimentRow, ...]

    @property
    def is_ladder(self) -> bool:
        """Whether each row also has the settings of the rows above it."""
        return self.reference == ROW_ABOVE

    @property
    def varied(self) -> frozenset[str]:
        """Every key that some row sets."""
        return frozenset(key for row in self.rows for key in row.settings)

    def row(self, name: str) -> ExperimentRow:
        """The row of that name.

        Raises:
            HandbenchError: naming those there are.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise HandbenchError(f"{self.name} has no row {name!r}; there are {', '.join(row.name for row in self.rows)}")

    def settings_of(self, name: str) -> dict[str, Any]:
        """All that a row sets over the base, "table.key" to value.

        Raises:
            HandbenchError: if there is no such row.
        """
        place = self.rows.index(self.row(name))
        rows = self.rows[: place + 1] if self.is_ladder else self.rows[place : place + 1]
        merged = dict(self.settings)
        for row in rows:
            merged |= row.settings
        return merged


def experiment_names() -> tuple[str, ...]:
    """The experiments that come with handbench."""
    return tuple(name for name in _file_names() if "row" in _read(name))


def experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        HandbenchError: naming those there are.
    """
    if name not in experiment_names():
        raise HandbenchError(f"unknown experiment {name!r}; there are {', '.join(experiment_names())}")
    table = _read(name)
    rows = tuple(ExperimentRow(row["name"], row["title"], flat_settings(row.get("set", {}))) for row in table["row"])
    return Experiment(
        name, table["title"], table["base"], flat_settings(table.get("set", {})), table["reference"], rows
    )


def preset_names() -> tuple[str, ...]:
    """Every preset that comes with handbench, rows of experiments among them."""
    plain = set(_file_names()) - set(experiment_names())
    rows = (f"{name}.{row.name}" for name in experiment_names() for row in experiment(name).rows)
    return (*sorted(plain), *rows)


def read_preset(name: str) -> dict[str, Any]:
    """The nested tables of a preset, with those of its base below them.

    Raises:
        HandbenchError: if there is none of that name; the message names the nearest ones.
    """
    if name not in preset_names():
        raise HandbenchError(f"unknown preset {name!r}; {_hint(name)}")
    whole, _, row = name.partition(".")
    if row:
        found = experiment(whole)
        return _over(read_preset(found.base), _nested(found.settings_of(row)))
    table = dict(_read(name))
    base = table.pop("base", None)
    return table if base is None else _over(read_preset(base), table)


def _hint(name: str) -> str:
    if name in experiment_names():
        return f"its rows are presets, as {name}.{experiment(name).rows[0].name}"
    nearest = get_close_matches(name, preset_names(), n=1)
    meant = f"did you mean {nearest[0]!r}? " if nearest else ""
    plain = [preset for preset in preset_names() if "." not in preset]
    return f"{meant}there are {', '.join(plain)}, and the rows of {', '.join(experiment_names())}"


def _file_names() -> tuple[str, ...]:
    names = (path.name for path in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((files(__name__) / f"{name}.toml").read_text(encoding="utf-8"))


def flat_settings(table: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Nested tables as "table.key" to value; `where` is put before every key."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= flat_settings(value, f"{where}{key}.") if isinstance(value, Mapping) else {f"{where}{key}": value}
    return flat


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat_settings`."""
    table: dict[str, Any] = {}
    for key, value in settings.items():
        *path, last = key.split(".")
        inner = table
        for name in path:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return table


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables with the values of others put over theirs."""
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, Mapping)
        merged[key] = _over(inner, value) if both else value  # type: ignore[arg-type]  # both are mappings
    return merged
