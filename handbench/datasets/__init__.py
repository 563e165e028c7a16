"""Facts of the data sets, one module each: camera, joints, skeleton, splits, cubes, protocols, citation.

A fifth data set is one module here with a `SPEC`, and one line in `_MODULES`. Other distributions register theirs
through the entry point group `handbench.datasets`, whose values are `DatasetSpec` objects.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points

from handbench.datasets.spec import DatasetSpec, JointSet, Protocol, SplitSpec
from handbench.errors import HandbenchError

__all__ = ["DatasetSpec", "JointSet", "Protocol", "SplitSpec", "dataset", "dataset_names"]

_MODULES = {
    "nyu": "handbench.datasets.nyu",
    "icvl": "handbench.datasets.icvl",
    "msra": "handbench.datasets.msra",
    "hands17": "handbench.datasets.hands17",
}


def dataset_names() -> tuple[str, ...]:
    """Names of all data sets that `dataset` knows, our own first."""
    return (*_MODULES, *sorted(p.name for p in entry_points(group="handbench.datasets") if p.name not in _MODULES))


def dataset(name: str) -> DatasetSpec:
    """The facts of a data set.

    Raises:
        HandbenchError: if the name is unknown; the message lists the names there are and suggests the nearest.
    """
    if name in _MODULES:
        spec = import_module(_MODULES[name]).SPEC
    else:
        point = next((p for p in entry_points(group="handbench.datasets") if p.name == name), None)
        if point is None:
            near = get_close_matches(name.lower(), dataset_names(), n=1)
            hint = f"did you mean {near[0]}? known are" if near else "known are"
            raise HandbenchError(f"unknown data set {name!r}; {hint} {', '.join(dataset_names())}")
        spec = point.load()
    if not isinstance(spec, DatasetSpec):
        raise HandbenchError(f"the entry point of data set {name!r} gives a {type(spec).__name__}, not a DatasetSpec")
    return spec
