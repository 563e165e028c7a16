"""Raw files: folders, images that may be damaged, names that may lead astray, and checksums."""

from __future__ import annotations

import hashlib
import os
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNK = 12  # bytes of a chunk besides its data: length, kind, checksum


def folder_names(folder: Path) -> frozenset[str]:
    """The names in a folder.

    Raises:
        HandbenchError: if it is missing, no folder, or cannot be read.
    """
    try:
        return frozenset(path.name for path in folder.iterdir())
    except OSError as error:
        raise HandbenchError(f"cannot read the folder {folder}: {error.strerror or error}") from error


def names_in(folder: Path) -> frozenset[str]:
    """The names in a folder; none if it cannot be read."""
    try:
        return folder_names(folder)
    except HandbenchError:
        return frozenset()


def inside(folder: Path, name: str) -> Path:
    """The path of a file that a label names, which must lie in its folder; the folder itself may be a link.

    Args:
        folder: where the labels' names start.
        name: relative, with "/".

    Raises:
        FrameError: with status IMAGE_CORRUPT, if the name is absolute, has "..", backslashes or control characters,
            or follows a symbolic link out of the folder.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or not name.isprintable():
        raise FrameError(f"the label names {name!r}, which is no file below {folder}", FrameStatus.IMAGE_CORRUPT)
    path = folder / name
    # Only a link can lead out; to resolve all paths takes 0.2 ms a frame, most of the time where images are missing.
    below = islice(accumulate(parts, os.path.join, initial=str(folder)), 1, None)
    if any(map(os.path.islink, below)) and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise FrameError(f"{path} is a link that leaves {folder}", FrameStatus.IMAGE_CORRUPT)
    return path


def read_frame(path: Path) -> bytes:
    """The bytes of one frame's file.

    Raises:
        FrameError: with status IMAGE_MISSING, or IMAGE_CORRUPT if it is there and cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FrameError(f"{path} is missing", FrameStatus.IMAGE_MISSING) from error
    except OSError as error:
        raise FrameError(f"cannot read {path}: {error.strerror or error}", FrameStatus.IMAGE_CORRUPT) from error


def decode_png(path: Path) -> npt.NDArray[Any]:
    """A PNG that is whole, as OpenCV gives it: (H, W) or (H, W, channels), channels blue, green, red.

    Raises:
        FrameError: with status IMAGE_MISSING or IMAGE_CORRUPT.
    """
    data = read_frame(path)
    # OpenCV says only that it failed, and takes minutes and gigabytes for a chunk whose length is damaged.
    if not _is_whole_png(data):
        raise FrameError(f"{path} is truncated or no PNG ({len(data)} bytes)", FrameStatus.IMAGE_CORRUPT)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # a header that asks for more pixels than OpenCV decodes
        image = None
    if image is None:
        raise FrameError(f"{path} cannot be decoded", FrameStatus.IMAGE_CORRUPT)
    return np.asarray(image)


def _is_whole_png(data: bytes) -> bool:
    """Whether the chunks follow each other up to the last one, and none is longer than the file."""
    at = len(_PNG_START) if data.startswith(_PNG_START) else len(data)
    while at + _PNG_CHUNK <= len(data):
        kind = data[at + 4 : at + 8]
        at += _PNG_CHUNK + int.from_bytes(data[at : at + 4])
        if kind == b"IEND":
            return at <= len(data)
    return False


def read_png(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], expected: str) -> npt.NDArray[Any]:
    """A PNG that is whole and of the type and size it must have.

    Args:
        path: of the image.
        shape: (H, W) or (H, W, channels) as OpenCV gives it, channels blue, green, red.
        dtype: of a pixel.
        expected: the type in words, for the message.

    Raises:
        FrameError: with status IMAGE_MISSING or IMAGE_CORRUPT.
    """
    image = decode_png(path)
    if image.shape != shape or image.dtype != dtype:
        found = f"{image.shape[1]} x {image.shape[0]}, {1 if image.ndim == 2 else image.shape[2]} x {image.dtype}"
        raise FrameError(
            f"{path} is {found}; it must be {expected} of {shape[1]} x {shape[0]} pixels", FrameStatus.IMAGE_CORRUPT
        )
    return image


def write_raw(path: Path, data: bytes) -> None:
    """Write a file, and the folders above it.

    Raises:
        HandbenchError: if that cannot be.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise HandbenchError(f"cannot write {path}: {error.strerror or error}") from error


def fingerprint(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file.

    Raises:
        HandbenchError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error
