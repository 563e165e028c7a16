"""A store as one HDF5 file, for programs that read no Zarr."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

from handbench.console import progress
from handbench.converters.export import new_output, require_whole
from handbench.errors import HandbenchError
from handbench.store import Split, Store
from handbench.store.blocks import depth_blocks
from handbench.store.layout import DEPTH

_FILTERS = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
"""What every build of HDF5 reads. Blosc, as in the store, and LZF need plug-ins outside h5py."""


def write_hdf5(store: Store, out: Path, overwrite: bool = False) -> str:
    """Write a store into one HDF5 file: the same groups, arrays and attributes, one frame of depth a chunk.

    Attributes that HDF5 cannot hold (plain data in levels) become JSON text. Memory does not grow with the depth.

    Args:
        store: the store.
        out: the file to make; it appears when it is whole.
        overwrite: replace `out` if it exists.

    Returns:
        What was done, in a line.

    Raises:
        HandbenchError: if `out` exists, or the store is damaged.
    """
    require_whole(store)
    splits = [store[name] for name in store.splits]
    root = zarr.open_group(str(store.path), mode="r")
    with (
        new_output(store, out, overwrite) as partial,
        progress("export hdf5", sum(map(len, splits)), "frames") as advance,
        h5py.File(partial, "w") as file,
    ):
        _copy_attributes(root, file)
        for split in splits:
            source, group = root[split.name], file.create_group(split.name)
            assert isinstance(source, zarr.Group)
            _copy_attributes(source, group)
            for name, array in source.arrays():
                data = _copy_depth(split, group, advance) if name == DEPTH else _copy_table(name, array, group, store)
                _copy_attributes(array, data)
                for axis, dimension in enumerate(getattr(array.metadata, "dimension_names", None) or ()):
                    data.dims[axis].label = dimension or ""
    frames = " + ".join(f"{len(split):,} {split.name}" for split in splits)
    return f"{out}: {frames} frames, {out.stat().st_size / 1e6:,.1f} MB"


def _copy_depth(split: Split, group: Any, advance: Callable[[int], None]) -> Any:
    data = None
    for block in depth_blocks(split):
        if data is None:
            shape = (len(split), *split.image)
            data = group.create_dataset(DEPTH, shape, block.depth.dtype, chunks=(1, *split.image), **_FILTERS)
        data[block.rows.start : block.rows.stop] = block.depth
        advance(len(block.rows))
    return data


def _copy_table(name: str, array: Any, group: Any, store: Store) -> Any:
    try:
        values = np.asarray(array[...])
    except (ValueError, RuntimeError, OSError) as error:
        raise HandbenchError(f"{store.path}: table {array.path} is damaged: {error}") from error
    if values.dtype.kind in "fiub":
        return group.create_dataset(name, data=values, **_FILTERS)
    return group.create_dataset(name, data=values.tolist(), dtype=h5py.string_dtype("utf-8"))


def _copy_attributes(source: Any, target: Any) -> None:
    for name, value in source.attrs.asdict().items():
        simple = isinstance(value, str | int | float)
        target.attrs[name] = value if simple else json.dumps(value)
