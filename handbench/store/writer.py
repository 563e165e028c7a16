"""Writes a store: the tables at once, the depth shard by shard.

Writers never share a shard, so any number of threads or processes may write depth at the same time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import zarr
from numcodecs import Blosc
from zarr.codecs import BloscCodec, BloscShuffle, Crc32cCodec

from handbench._version import __version__
from handbench.camera import Camera
from handbench.datasets import DatasetSpec
from handbench.errors import HandbenchError
from handbench.store.layout import BUILDING, COLUMNS, COMPLETE, DEPTH, FORMAT, WINDOWS, Column, WindowFacts
from handbench.store.shards import write_shard

SHARD_FRAMES = 128
"""Frames a shard, if a split has so many: 79 MB of 640 x 480 frames, some 570 files for all of NYU's first view."""

COLUMN_ROWS = 65536
"""Rows a chunk of a table: one chunk, but for HANDS17's and ICVL's with rotated copies."""

DEPTH_DTYPE = np.dtype(np.uint16)
CODECS = ("shuffle", "bitshuffle")
"""How Blosc orders the bytes of depth before Zstd: by byte (smooth depth) or by bit (noisy depth)."""


class StoreWriter:
    """A store under construction. Readers refuse it until `finish`.

    Args:
        path: a folder that does not exist yet.
        spec: facts of the data set, copied into the store.
        camera: the camera that relates uvd and xyz in this store.
        release: which release of the raw data, "" if there is only one.
        provenance: what the store is made from: converter, options, fingerprints of raw files.
        codec: one of `CODECS`.
        windows: of a store of windows; None = it holds whole frames.
    """

    def __init__(
        self,
        path: Path,
        spec: DatasetSpec,
        camera: Camera,
        release: str,
        provenance: Mapping[str, Any],
        codec: str = "shuffle",
        windows: WindowFacts | None = None,
    ) -> None:
        zarr.create_group(
            str(path),
            attributes={
                "handbench_format": FORMAT,
                "handbench_version": __version__,
                "state": BUILDING,
                "dataset": spec.to_dict(),
                "camera": asdict(camera),
                "handedness": spec.handedness,
                "release": release,
                "codec": codec,
                "provenance": dict(provenance),
                **({} if windows is None else {WINDOWS: asdict(windows)}),
            },
        )
        self._attach(path)

    @classmethod
    def resume(cls, path: Path) -> Self:
        """Go on with a store under construction. No other process may be writing to it.

        Raises:
            HandbenchError: if there is none, or it is of another version of handbench.
        """
        writer = cls.__new__(cls)
        try:
            writer._attach(path)
        except (OSError, ValueError, KeyError) as error:
            raise HandbenchError(f"{path} is not a store under construction; start again with --overwrite") from error
        if (version := writer._root.attrs["handbench_version"]) != __version__:
            raise HandbenchError(f"{path} was begun by handbench {version}, this is {__version__}; start again")
        if writer._root.attrs["state"] != BUILDING:  # killed after the last step: its tables are written once more
            writer._root.update_attributes({"state": BUILDING})
        for unfinished in path.rglob("*.partial"):  # Zarr's files before they get their names
            unfinished.unlink()
        return writer

    def _attach(self, path: Path) -> None:
        self.path = path
        self._root = zarr.open_group(str(path), mode="r+", use_consolidated=False)
        attributes: dict[str, Any] = self._root.attrs.asdict()
        self.codec = str(attributes["codec"])
        self.provenance: Mapping[str, Any] = attributes["provenance"]
        self._joint_names = attributes["dataset"]["joints"]["names"]

    @property
    def frames(self) -> dict[str, int]:
        """How many frames each split was created for."""
        return {name: group[DEPTH].shape[0] for name, group in self._root.groups()}  # type: ignore[union-attr]  # depth is an array

    def create_split(self, name: str, frames: int, image: tuple[int, int], dtype: np.dtype[Any] = DEPTH_DTYPE) -> None:
        """Make the group of a split with its depth array, still empty.

        Args:
            name: "train" or "test".
            frames: number of frames N.
            image: (H, W) in px, of a frame or of a window.
            dtype: of the depth: uint16, or float32 where the raw data have fractions of a mm.
        """
        group = self._root.create_group(name)
        group.create_array(
            DEPTH,
            shape=(frames, *image),
            chunks=(1, *image),
            shards=(shard_frames(frames), *image),
            dtype=dtype,
            compressors=[depth_codec(self.codec, dtype), Crc32cCodec()],
            fill_value=0,
            dimension_names=("frame", "v", "u"),
            attributes={"units": "mm", "long_name": "depth; 0 = missing"},
        )
        self._put(group, "joint", Column(("joint",), "string", {}), np.array(self._joint_names))
        self._put(group, "xyz", Column(("xyz",), "string", {}), np.array(["x", "y", "z"]))

    def write_depth(self, split: str, depth: npt.NDArray[Any]) -> None:
        """Write all depth of a split, (N, H, W) mm."""
        for start in range(0, len(depth), SHARD_FRAMES):
            write_depth(self.path, split, start, depth[start : start + SHARD_FRAMES])

    def write_columns(
        self, split: str, columns: Mapping[str, npt.NDArray[Any]], attributes: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Write the tables of a split.

        Args:
            split: its name.
            columns: every name of `layout.COLUMNS` that is not optional.
            attributes: more attributes by column, such as the `center_method` of `center_xyz`.
        """
        group = self._root[split]
        for name, column in COLUMNS.items():
            if column.optional and name not in columns:
                continue
            described = Column(column.dims, column.dtype, {**column.attributes, **attributes.get(name, {})})
            self._put(group, name, described, columns[name])

    def finish(self) -> None:
        """Consolidate the metadata of the store, then declare it whole, in one write that is the last."""
        consolidate(self.path)
        root = zarr.open_group(str(self.path), mode="r+", use_consolidated=True)
        root.update_attributes({"state": COMPLETE})

    @staticmethod
    def _put(group: Any, name: str, column: Column, values: npt.NDArray[Any]) -> None:
        """One small array, checked by crc32c like the depth."""
        is_text = column.dtype == "string"
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=(min(max(values.shape[0], 1), COLUMN_ROWS), *(max(side, 1) for side in values.shape[1:])),
            dtype=column.dtype,
            compressors=[BloscCodec(cname="zstd", clevel=3, typesize=1 if is_text else 4), Crc32cCodec()],
            fill_value="" if is_text else 0,
            dimension_names=column.dims,
            attributes=dict(column.attributes),
            overwrite=True,  # a conversion that is gone on with may have begun its tables
        )
        for start in range(0, len(values), COLUMN_ROWS):  # a table of a million frames is large enough once
            rows = values[start : start + COLUMN_ROWS]
            array[start : start + COLUMN_ROWS] = rows.astype(object if is_text else column.dtype)


def write_depth(store: Path, split: str, start: int, frames: Iterable[npt.NDArray[Any] | None]) -> None:
    """Write one shard of depth; from any thread, process or machine.

    Args:
        store: path of the store under construction.
        split: its name.
        start: first frame, a multiple of `SHARD_FRAMES`.
        frames: each (H, W) mm of the array's type, None for an empty one, taken one by one; as many as fill the shard
            or end the split.

    Raises:
        ValueError: if the frames would share a shard with others, or are of another size or type.
    """
    array = zarr.open_array(str(store / split / DEPTH), mode="r+")
    shard, extra = divmod(start, SHARD_FRAMES)
    expected = min(SHARD_FRAMES, array.shape[0] - start)
    if extra or expected < 1:
        raise ValueError(f"frame {start} of {split} begins no shard; shards hold {SHARD_FRAMES} frames")
    codec = zarr.open_group(str(store), mode="r", use_consolidated=False).attrs["codec"]

    def checked() -> Iterator[npt.NDArray[Any] | None]:
        count = 0
        for frame in frames:
            if frame is not None and (frame.shape != array.shape[1:] or frame.dtype != array.dtype):
                raise ValueError(f"frame {start + count} of {split} is {frame.shape} {frame.dtype}")
            count += 1
            yield frame
        if count != expected:
            raise ValueError(f"{count} frames from {start} of {split} do not fill a shard, which needs {expected}")

    path = store / split / DEPTH / "c" / str(shard) / "0" / "0"
    write_shard(path, checked(), shard_frames(array.shape[0]), depth_blosc(str(codec)))


def shard_frames(frames: int) -> int:
    """Frames a shard of a split of so many; its index, 16 bytes a frame, has room for all of them."""
    return min(SHARD_FRAMES, max(frames, 1))


def depth_codec(codec: str, dtype: np.dtype[Any]) -> BloscCodec:
    """Blosc as depth is packed with: Zstd level 3 after `codec`, one of `CODECS`."""
    return BloscCodec(cname="zstd", clevel=3, shuffle=BloscShuffle[codec], typesize=dtype.itemsize)


def depth_blosc(codec: str) -> Blosc:
    """The same for one frame in memory; the type of the depth is that of the frame."""
    return Blosc(cname="zstd", clevel=3, shuffle=getattr(Blosc, codec.upper()))


def smaller_codec(frames: Sequence[npt.NDArray[Any]]) -> str:
    """The one of `CODECS` that packs some frames smaller; the first if there are none."""

    def packed(codec: str) -> int:
        blosc = depth_blosc(codec)
        return sum(len(blosc.encode(np.ascontiguousarray(frame))) for frame in frames)

    return min(CODECS, key=packed)


def consolidate(store: Path) -> None:
    """Copy the metadata of all arrays into that of the root.

    Zarr warns that consolidated metadata is not in the v3 specification yet; xarray warns without it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(str(store))
