"""Single frames into their shard and out of it, in the bytes of Zarr, without its turns through an event loop.

Zarr reads the index of the shard anew for every frame. Here it is kept, the frame's bytes are one read of the file, and
threads meet at nothing. Whatever is not as this version writes it, and whatever is damaged, is left to Zarr, whose word
on it counts.

Zarr packs a shard from all of its frames at once, by threads. Here frames come one by one: a shard takes the memory of
its packed frames, and a process that fills one takes one core. Zarr writes the same bytes, a test says so.

Source of the layout: Zarr v3 codec `sharding_indexed`, index at the end, offset and length of a chunk as uint64.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from io import RawIOBase
from pathlib import Path
from typing import Any

import google_crc32c
import numcodecs
import numpy as np
import numpy.typing as npt
import zarr
from numcodecs import Blosc

from handbench.console import whole_or_nothing

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


def write_shard(path: Path, frames: Iterable[npt.NDArray[Any] | None], shard_frames: int, blosc: Blosc) -> None:
    """Write the file of one shard; it appears whole or not at all, and not if every frame is empty.

    Args:
        path: of the file.
        frames: at most `shard_frames` of them, each (H, W) mm; None or zeros take no space.
        shard_frames: frames a shard, for the size of its index.
        blosc: how a frame is packed.

    Raises:
        OSError: if the file cannot be written.
    """
    index = np.full((shard_frames, 2), _EMPTY, "<u8")
    packed, at = [], 0
    for i, frame in enumerate(frames):
        if frame is None or not frame.any():
            continue
        packed.append(_with_crc(blosc.encode(np.ascontiguousarray(frame))))
        index[i] = at, len(packed[-1])
        at += len(packed[-1])
    if not packed:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(path) as partial, partial.open("wb") as file:
        file.writelines(packed)
        file.write(_with_crc(index.tobytes()))


def _with_crc(body: bytes) -> bytes:
    checksum: int = google_crc32c.value(body)
    return body + checksum.to_bytes(_CRC, "little")


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
