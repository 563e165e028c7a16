"""Compares two stores: facts, keys, tables and depth, value by value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from handbench.console import progress
from handbench.errors import HandbenchError
from handbench.store import Split, Store
from handbench.store.blocks import map_blocks, read_rows
from handbench.store.layout import DEPTH

ORIGIN = ("provenance", "codec", "handbench_version")
"""Attributes of the root that say how a store was made and packed, not what it holds."""
PROSE = ("title", "sensor", "citation", "licence", "obtain", "notes", "raw_axes")
"""Facts of a data set that no program reads."""
_NAMED = 3
_ROWS = 1 << 16  # rows of a table at a time, so that what is computed does not grow with their number


_Rows = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Rows of the same frames in the first and in the second store."""


@dataclass(frozen=True)
class Difference:
    """One way in which two stores hold different things.

    Attributes:
        where: root, a split, or split/array.
        what: in words.
        first: key of the first frame that differs; "" if it is not a matter of frames.
        frames: how many frames differ.
        largest: the largest difference of two numbers in the unit of the array, NaN if there is none to tell.
    """

    where: str
    what: str
    first: str = ""
    frames: int = 0
    largest: float = float("nan")

    def line(self) -> str:
        """For a person."""
        return f"{self.where}: {self.what}"


@dataclass
class Comparison:
    """What two stores have in common and what not.

    Attributes:
        a: path of the first.
        b: path of the second.
        frames: how many frames of each split both have.
        differences: what they hold differently; none = equal.
        remarks: what differs in how they were made or packed.
    """

    a: Path
    b: Path
    frames: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the stores hold the same."""
        return not self.differences

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"equal": self.equal, **asdict(self), "a": str(self.a), "b": str(self.b)}

    def one_line(self) -> str:
        """The verdict, and what was compared."""
        frames = " + ".join(f"{count:,} {split}" for split, count in self.frames.items()) or "no"
        count = len(self.differences)
        verdict = "equal" if self.equal else f"{count} difference{'s' * (count != 1)}"
        return f"{self.a} and {self.b}: {verdict} ({frames} frames in both: facts, tables, every pixel)"


def compare(a: Store, b: Store) -> Comparison:
    """Compare two stores. Frames are paired by key, so that another order is told apart from other values.

    Memory does not grow with the depth.

    Args:
        a: the first store.
        b: the second store.

    Returns:
        What differs; numbers are equal if they are the same number, or both NaN.

    Raises:
        HandbenchError: if bytes of one of them are damaged, or a key of it stands for two frames.
    """
    result = Comparison(a.path, b.path)
    origin = []
    for path, values in _unequal(_attributes(a.path), _attributes(b.path)):
        top, _, rest = path.partition(".")
        if top in ORIGIN or (top == "dataset" and rest in PROSE):
            origin.append(path)
        else:
            result.differences.append(Difference("root", f"{path}: {values}"))
    if origin:
        result.remarks.append(f"differs and changes no frame: {', '.join(origin)}")
    for name in dict.fromkeys((*a.splits, *b.splits)):
        if name not in a.splits or name not in b.splits:
            where = a.path if name in a.splits else b.path
            result.differences.append(Difference(name, f"only {where} has this split"))
    common = [name for name in a.splits if name in b.splits]
    with progress("compare", sum(len(a[name]) for name in common), "frames") as advance:
        for name in common:
            _compare_split(a, b, name, result, advance)
    return result


def _compare_split(a: Store, b: Store, name: str, result: Comparison, advance: Callable[[int], None]) -> None:
    split_a, split_b = a[name], b[name]
    rows = _pairs(a, b, name, result)
    result.frames[name] = len(rows[0])
    groups = [zarr.open_group(str(store.path / name), mode="r") for store in (a, b)]
    arrays = [dict(group.arrays()) for group in groups]
    for array in dict.fromkeys((*arrays[0], *arrays[1])):
        where = f"{name}/{array}"
        if array not in arrays[0] or array not in arrays[1]:
            only = a.path if array in arrays[0] else b.path
            result.differences.append(Difference(where, f"only {only} has it"))
            continue
        pair = arrays[0][array], arrays[1][array]
        for path, values in _unequal(pair[0].attrs.asdict(), pair[1].attrs.asdict()):
            result.differences.append(Difference(where, f"attribute {path}: {values}"))
        if array == DEPTH:
            if pair[0].dtype != pair[1].dtype:
                result.differences.append(Difference(where, f"stored as {pair[0].dtype} / {pair[1].dtype}"))
            continue
        result.differences += _compare_table(where, pair, rows, split_a)
    result.differences += _compare_depth(split_a, split_b, rows, advance)


def _pairs(a: Store, b: Store, name: str, result: Comparison) -> _Rows:
    """Rows of the frames that both splits have, in the order of `a`; says what is not in both or in another order."""
    keys = _unique_keys(a, name), _unique_keys(b, name)
    common, rows_a, rows_b = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    for store, own in zip((a, b), keys, strict=True):
        if len(own) > len(common):
            alone = own[~np.isin(own, common)]
            named = ", ".join(alone[:_NAMED].tolist())
            what = f"{len(alone):,} frames only in {store.path} ({named}{', ...' if len(alone) > _NAMED else ''})"
            result.differences.append(Difference(name, what, str(alone[0]), len(alone)))
    order = np.argsort(rows_a)
    rows_a, rows_b = rows_a[order], rows_b[order]
    if len(moved := np.flatnonzero(np.diff(rows_b) < 0)):
        first = str(keys[0][rows_a[moved[0] + 1]])
        what = f"the same frames stand in another order, from {first} on"
        result.differences.append(Difference(name, what, first))
    return rows_a, rows_b


def _unique_keys(store: Store, name: str) -> npt.NDArray[np.str_]:
    keys = store[name].frame_key
    if len(np.unique(keys)) != len(keys):
        raise HandbenchError(f"{store.path}: split {name} has a key that stands for two frames; run handbench validate")
    return keys


@dataclass(frozen=True)
class _Unequal:
    """What differs between some rows of two arrays.

    Attributes:
        rows: those that differ, in the numbering of the first store.
        largest: the largest difference of two numbers; 0 where there are none.
        lonely: whether one has no number (NaN) where the other has one.
    """

    rows: npt.NDArray[np.intp]
    largest: float
    lonely: bool

    @classmethod
    def of(cls, rows: npt.NDArray[np.intp], a: npt.NDArray[Any], b: npt.NDArray[Any]) -> _Unequal:
        """Compare the values of these rows; NaN equals NaN."""
        if np.array_equal(a, b):  # most of the time, and several times faster than what follows
            return cls(rows[:0], 0.0, False)
        unequal = np.asarray(a != b, dtype=np.bool_)
        if a.dtype.kind == "f" and b.dtype.kind == "f":
            unequal &= ~(np.isnan(a) & np.isnan(b))
        changed = rows[unequal.reshape(len(rows), -1).any(axis=1)]
        if a.dtype.kind not in "fiu":
            return cls(changed, 0.0, False)
        apart = np.abs(a[unequal].astype(np.float64) - b[unequal].astype(np.float64))
        return cls(changed, float(apart.max(where=np.isfinite(apart), initial=0.0)), bool(np.isnan(apart).any()))


def _differences(where: str, parts: Iterable[_Unequal], split: Split) -> Iterator[Difference]:
    """One difference for all parts of an array, or none."""
    unequal = [part for part in parts if len(part.rows)]
    if not unequal:
        return
    frames, largest = sum(len(part.rows) for part in unequal), max(part.largest for part in unequal)
    first = str(split.frame_key[unequal[0].rows[0]])
    by = f" by {largest:g} at most" if largest else ""
    lonely = ", NaN against a number," if any(part.lonely for part in unequal) else ""
    what = f"{frames:,} frames differ{by}{lonely} from {first} on"
    yield Difference(where, what, first, frames, largest if largest else float("nan"))


def _compare_table(where: str, arrays: tuple[Any, Any], rows: _Rows, split: Split) -> Iterator[Difference]:
    """Compare the rows of a table that both splits have, or all of an array that has no rows of frames."""
    a, b = (_read(array, where) for array in arrays)
    if (arrays[0].metadata.dimension_names or ("",))[0] != "frame" or a.shape[1:] != b.shape[1:]:
        if a.shape != b.shape or (a != b).any():
            yield Difference(where, f"{_shown(a.tolist())} / {_shown(b.tolist())}")
        return
    starts = range(0, len(rows[0]), _ROWS)
    pairs = ((rows[0][start : start + _ROWS], rows[1][start : start + _ROWS]) for start in starts)
    yield from _differences(where, (_Unequal.of(rows_a, a[rows_a], b[rows_b]) for rows_a, rows_b in pairs), split)


def _compare_depth(a: Split, b: Split, rows: _Rows, advance: Callable[[int], None]) -> Iterator[Difference]:
    where = f"{a.name}/{DEPTH}"
    if a.image != b.image:
        yield Difference(where, f"images of {a.image[1]} x {a.image[0]} / {b.image[1]} x {b.image[0]} pixels")
        return

    def block(some: range) -> _Unequal:
        rows_a, rows_b = (each[some.start : some.stop] for each in rows)
        unequal = _Unequal.of(rows_a, read_rows(a, rows_a), read_rows(b, rows_b))
        advance(len(some))
        return unequal

    yield from _differences(where, map_blocks(block, len(rows[0])), a)


def _attributes(path: Path) -> dict[str, Any]:
    return zarr.open_group(str(path), mode="r").attrs.asdict()


def _read(array: Any, where: str) -> npt.NDArray[Any]:
    try:
        values = np.asarray(array[...])
    except (ValueError, RuntimeError, OSError) as error:
        raise HandbenchError(f"{array.store_path}: table {where} is damaged: {error}") from error
    return values if values.dtype.kind in "fiub" else np.array(values.tolist(), dtype=np.str_)


def _unequal(a: Mapping[str, Any], b: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names of plain data that differ, and both values."""
    for name in dict.fromkeys((*a, *b)):
        value_a, value_b = a.get(name), b.get(name)
        if isinstance(value_a, Mapping) and isinstance(value_b, Mapping):
            yield from _unequal(value_a, value_b, f"{above}{name}.")
        elif value_a != value_b:
            yield f"{above}{name}", f"{_shown(value_a)} / {_shown(value_b)}"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
