"""Raw files: images that may be damaged, and checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.errors import FrameError
from handbench.store import FrameStatus

_PNG_END = b"IEND\xaeB`\x82"


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
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise FrameError(f"{path} is missing", FrameStatus.IMAGE_MISSING) from error
    # OpenCV says only that it failed, and libpng prints past us; the missing end of a truncated file says more.
    if _PNG_END not in data[-64:]:
        raise FrameError(f"{path} is truncated or no PNG ({len(data)} bytes)", FrameStatus.IMAGE_CORRUPT)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise FrameError(f"{path} cannot be decoded", FrameStatus.IMAGE_CORRUPT)
    if image.shape != shape or image.dtype != dtype:
        found = f"{image.shape[1]} x {image.shape[0]}, {1 if image.ndim == 2 else image.shape[2]} x {image.dtype}"
        raise FrameError(
            f"{path} is {found}; it must be {expected} of {shape[1]} x {shape[0]} pixels", FrameStatus.IMAGE_CORRUPT
        )
    return np.asarray(image)


def fingerprint(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of a file."""
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
