"""Single frames straight out of their shard: what Zarr reads, without its 1 ms of turns through an event loop.

Zarr reads the index of the shard anew for every frame. Here it is kept, the frame's bytes are one read of the file, and
threads meet at nothing. Whatever is not as this version writes it, and whatever is damaged, is left to Zarr, whose word
on it counts.

Source of the layout: Zarr v3 codec `sharding_indexed`, index at the end, offset and length of a chunk as uint64.
"""

from __future__ import annotations

import json
import os
from io import RawIOBase
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import numpy.typing as npt
import zarr

_CRC = 4  # bytes of a crc32c, behind what it covers
_EMPTY = 2**64 - 1  # offset and length of a chunk that holds nothing but the fill value
_BLOSC_SIZE = slice(4, 8)  # where a Blosc buffer says how many bytes it unpacks to
_INDEX = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


class ShardReader:
    """Reads frames of one depth array. Safe for threads; opens files anew, so that processes may be forked.

    Args:
        array: (N, H, W), one frame a chunk.
        folder: where the array lies.
    """

    def __init__(self, array: zarr.Array[Any], folder: Path) -> None:
        self._folder, self._image, self._dtype = folder, array.shape[1:], array.dtype
        self._shard_frames = array.shards[0] if array.shards and _is_ours(array) else 0
        self._index: dict[int, npt.NDArray[np.uint64]] = {}

    def read(self, row: int) -> npt.NDArray[Any] | None:
        """One frame, (H, W) mm; None if Zarr has to read it."""
        if not self._shard_frames:
            return None
        shard, at = divmod(row, self._shard_frames)
        try:
            with (self._folder / "c" / str(shard) / "0" / "0").open("rb", buffering=0) as file:
                data = self._bytes(file, shard, at)
            frame = np.empty(self._image, self._dtype)
            if data is None or int.from_bytes(data[_BLOSC_SIZE], "little") != frame.nbytes:
                return None
            numcodecs.blosc.decompress(data, frame)
        except (OSError, ValueError, RuntimeError):
            return None
        return frame

    def _bytes(self, file: RawIOBase, shard: int, at: int) -> bytes | None:
        """The Blosc buffer of a frame, checked."""
        if shard not in self._index:
            size = self._shard_frames * 16 + _CRC
            file.seek(-size, os.SEEK_END)
            index = _checked(file.read(size))
            if index is None:
                return None
            self._index[shard] = np.frombuffer(index, "<u8").reshape(-1, 2)
        offset, length = self._index[shard][at].tolist()
        if offset == _EMPTY:
            return None
        file.seek(offset)
        return _checked(file.read(length))


def _checked(data: bytes | None) -> bytes | None:
    """The bytes before their crc32c; None if it does not fit."""
    if not data:
        return None
    body = data[:-_CRC]
    return body if google_crc32c.value(body) == int.from_bytes(data[-_CRC:], "little") else None


def _is_ours(array: zarr.Array[Any]) -> bool:
    """Whether the frames are packed as `StoreWriter` packs them."""
    metadata = json.loads(json.dumps(array.metadata.to_dict(), default=str))
    (codec, *others), image = metadata["codecs"], list(array.shape[1:])
    sharding = codec["configuration"]
    names = [inner["name"] for inner in sharding.get("codecs", [])]
    return (
        not others
        and sharding["chunk_shape"] == [1, *image]
        and names == ["bytes", "blosc", "crc32c"]
        and sharding["codecs"][0]["configuration"] == {"endian": "little"}
        and sharding["index_codecs"] == _INDEX
        and sharding["index_location"] == "end"
    )
