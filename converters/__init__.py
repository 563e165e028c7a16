"""Raw data sets to stores and back: one module a data set knows its bytes; `convert` does the rest.

A fifth data set is one module with a `Reader` and a `Writer`, one line in `READERS` and in `WRITERS`, and its facts in
handbench/datasets. Other
distributions register theirs through the entry point group `handbench.converters`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from handbench.converters.protocol import Reader
from handbench.errors import HandbenchError

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
    return (*READERS, *sorted(p.name for p in entry_points(group="handbench.converters") if p.name not in READERS))


def open_raw(name: str, root: Path, **options: Any) -> Reader:
    """The reader of a raw tree.

    Args:
        name: of the data set.
        root: the folder of the raw tree.
        options: of the reader of that data set.

    Raises:
        HandbenchError: if there is no reader of that name, or the folder does not hold such a tree.
    """
    if name in READERS:
        module, _, attribute = READERS[name].partition(":")
        reader: Reader = getattr(import_module(module), attribute)(root, **options)
        return reader
    point = next((p for p in entry_points(group="handbench.converters") if p.name == name), None)
    if point is None:
        raise HandbenchError(f"no converter for {name!r}; there are {', '.join(reader_names())}")
    plugin: Reader = point.load()(root, **options)
    return plugin
