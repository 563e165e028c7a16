"""Frozen dataclasses from nested tables, as TOML, JSON and `--set key=value` give them. Every mistake names its key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from handbench.errors import HandbenchError

ConfigT = TypeVar("ConfigT")


def build(cls: type[ConfigT], table: Mapping[str, Any], where: str = "") -> ConfigT:
    """One frozen dataclass from one table; what is left out has its default.

    Args:
        cls: whose fields are numbers, text, tuples of them, or such dataclasses.
        table: plain data, as TOML and JSON give it.
        where: the dotted name of the table, empty for the root.

    Raises:
        HandbenchError: on an unknown key, a wrong type or an impossible value; the message names the key.
    """
    hints = get_type_hints(cls)
    names = {f.name: "" for f in fields(cls)}  # type: ignore[arg-type]  # every ConfigT here is a dataclass
    for name in table:
        value_of(names, name, where)
    return cls(**{name: _convert(hints[name], value, f"{where}.{name}".lstrip(".")) for name, value in table.items()})


def _convert(kind: Any, value: Any, key: str) -> Any:
    """The value as the field's type; whole numbers pass as floats, nothing else is bent."""
    if is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            raise HandbenchError(f"{key} is {value!r}, it must be a table; its keys are {_listed(kind)}")
        return build(kind, value, key)
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if kinds[1:] == (Ellipsis,):
            return _convert_list(kinds[0], value, key)
        if not isinstance(value, list | tuple) or len(value) != len(kinds):
            raise HandbenchError(f"{key} is {value!r}, it must be a list of {len(kinds)} numbers")
        return tuple(_convert(k, v, key) for k, v in zip(kinds, value, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise HandbenchError(f"{key} is {value!r}, it must be {_KINDS[kind]}")
    return value


def _convert_list(kind: Any, value: Any, key: str) -> tuple[Any, ...]:
    """A list of any length whose items are all of that type."""
    if not isinstance(value, list | tuple) or any(type(item) is not kind for item in value):
        raise HandbenchError(f'{key} is {value!r}, it must be a list of {_KINDS[kind]} such as ["P0", "P1"]')
    return tuple(value)


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def value_of(table: Any, name: str, where: str) -> Any:
    """The value of a key.

    Args:
        table: where it should be.
        name: of the key.
        where: the dotted name of the table.

    Raises:
        HandbenchError: if it is not there, naming the nearest and all that are.
    """
    if isinstance(table, Mapping) and name in table:
        return table[name]
    key = f"{where}.{name}".lstrip(".")
    if not isinstance(table, Mapping):
        raise HandbenchError(f"unknown key {key!r} in the configuration; {where} is not a table")
    nearest = get_close_matches(name, map(str, table), n=1)
    meant = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise HandbenchError(f"unknown key {key!r} in the configuration; {meant}the keys there are {', '.join(table)}")


def _listed(cls: type[Any]) -> str:
    return ", ".join(f.name for f in fields(cls))


def parse_value(text: str, is_text: bool, key: str) -> Any:
    """A value as a person types it: TOML, or text without quotes where text is wanted.

    Raises:
        HandbenchError: if it is neither, naming the key.
    """
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    if len(parsed) == 1:
        return parsed["value"]
    if is_text:
        return text
    raise HandbenchError(f'--set {key}={text}: {text!r} is not a TOML value such as 0.1, true, [0.9, 1.1] or ["P0"]')


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        HandbenchError: if it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise HandbenchError(f"cannot read the configuration {path}: {reason}") from error
    except tomllib.TOMLDecodeError as error:
        raise HandbenchError(f"{path} is not TOML: {error}") from error
