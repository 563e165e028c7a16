"""Raw data sets to stores and back: one module a data set knows its bytes; `convert` does the rest.

A fifth data set is one module with a reader and a writer, one line in `READERS` and in `WRITERS`, and its facts in
handbench/datasets. Other distributions register theirs through the entry point group `handbench.converters`, whose
values are `Converter` pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from pathlib import Path
from typing import Any

from handbench.converters.protocol import Converter, Reader, Writer
from handbench.errors import HandbenchError

__all__ = ["READERS", "WRITERS", "Converter", "converter", "open_raw", "open_writer", "reader_names"]
_GROUP = "handbench.converters"

READERS = {
    "nyu": "handbench.converters.nyu:NyuReader",
    "icvl": "handbench.converters.icvl:IcvlReader",
    "msra": "handbench.converters.msra:MsraReader",
    "hands17": "handbench.converters.hands17:Hands17Reader",
}
"""Name of the data set -> where its reader is; imported when it is asked for."""

WRITERS = {
    "nyu": "handbench.converters.nyu:NyuWriter",
    "icvl": "handbench.converters.icvl:IcvlWriter",
    "msra": "handbench.converters.msra:MsraWriter",
    "hands17": "handbench.converters.hands17:Hands17Writer",
}
"""Name of the data set -> where the writer of its raw tree is, the way back."""


def reader_names() -> tuple[str, ...]:
    """Names of all data sets that `open_raw` reads, our own first."""
    return (*READERS, *sorted(point.name for point in entry_points(group=_GROUP) if point.name not in READERS))


def converter(name: str) -> Converter:
    """The reader and the writer of a data set.

    Raises:
        HandbenchError: if there is none of that name, or its entry point gives something else.
    """
    if name in READERS:
        return Converter(_load(READERS[name]), _load(WRITERS[name]))
    point = next((point for point in entry_points(group=_GROUP) if point.name == name), None)
    if point is None:
        raise HandbenchError(f"no converter for {name!r}; there are {', '.join(reader_names())}")
    pair = point.load()
    if not isinstance(pair, Converter):
        raise HandbenchError(f"the entry point of converter {name!r} gives a {type(pair).__name__}, not a Converter")
    return pair


def open_raw(name: str, root: Path, **options: Any) -> Reader:
    """The reader of a raw tree.

    Args:
        name: of the data set.
        root: the folder of the raw tree.
        options: of the reader of that data set.

    Raises:
        HandbenchError: if there is no reader of that name, or the folder does not hold such a tree.
    """
    return converter(name).reader(root, **options)


def open_writer(name: str, root: Path, **options: Any) -> Writer:
    """A writer of the raw tree of a data set.

    Args:
        name: of the data set.
        root: the folder to make.
        options: of the writer; those that it does not know are left out, so that the options of a reader may be given.

    Raises:
        HandbenchError: if there is no writer for that data set.
    """
    factory = converter(name).writer if name in reader_names() else None
    if factory is None:
        raise HandbenchError(f"no writer for the raw layout of {name}; there are {', '.join(WRITERS)}")
    known = signature(factory).parameters
    return factory(root, **{key: value for key, value in options.items() if key in known})


def _load(place: str) -> Callable[..., Any]:
    module, _, attribute = place.partition(":")
    factory: Callable[..., Any] = getattr(import_module(module), attribute)
    return factory
