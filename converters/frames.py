"""Depth images in a folder, without labels: whatever a sensor or its software has written.

PNG and TIFF of 16 bits and more, TIFF of floats, and NPY arrays; one image a file. A key is test/ and the name of the
file without its suffix. Nothing says how far away the hand is: look at a frame, and convert with thresholds around it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from tokenize import TokenError  # NumPy reads the header of an NPY file as Python
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.converters.files import decode_png, folder_names, read_frame, read_png
from handbench.datasets.spec import DatasetSpec, JointSet, SplitSpec
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameStatus, FrameTable

SUFFIXES = (".png", ".tif", ".tiff", ".npy")
SPLIT = "test"
CUBE_MM = 250.0  # what the literature crops an adult hand with before an unknown sensor (SRN's live demo)
DEPTH_RANGE_MM = (100.0, 1500.0)  # as wide as the widest of the four data sets; a body lies in it too
_LARGEST = np.iinfo(np.uint16).max


class FramesReader:
    """A folder of depth images.

    Args:
        root: the folder; those inside it are not looked into.
        camera: intrinsics of the images, in px.
        depth_unit: mm of a step of the pixel values: 1 for most sensors, 0.125 for a raw SR300, 1000 for metres.
        pattern: which file names, as a shell spells them ("*_depth.png"); suffixes other than `SUFFIXES` never count.
        cube_mm: full side of the crop cube, mm.

    Raises:
        HandbenchError: if the folder cannot be read or holds no such file, two would have the same key, the unit or the
            cube is not positive, or the first image has not the camera's size.
    """

    release = ""
    splits = (SPLIT,)

    def __init__(
        self, root: Path, camera: Camera, depth_unit: float = 1.0, pattern: str = "*", cube_mm: float = CUBE_MM
    ) -> None:
        if not (0 < depth_unit < np.inf and 0 < cube_mm < np.inf):
            raise HandbenchError(f"depth unit {depth_unit:g} and cube {cube_mm:g} must be positive, both in mm")
        self.root, self.depth_unit, self.pattern = root, depth_unit, pattern
        self.options: Mapping[str, Any] = {
            "camera": asdict(camera),
            "depth_unit": depth_unit,
            "pattern": pattern,
            "cube_mm": cube_mm,
        }
        names = self._names()
        self.spec: DatasetSpec = frames_spec(camera, len(names), cube_mm)
        self.depth_dtype = np.dtype(np.float32 if depth_unit != 1 or self._has_fractions(names) else np.uint16)

    def table(self, split: str) -> FrameTable:
        """All images, in natural order of their names: 2 before 10."""
        if split != SPLIT:
            raise HandbenchError(f"a folder of images is one split, {SPLIT!r}; it has no {split!r}")
        names = self._names()
        nothing = np.full(len(names), "", dtype=np.str_)
        return FrameTable(
            image=np.array(names, dtype=np.str_),
            frame_key=np.array([f"{SPLIT}/{Path(name).stem}" for name in names], dtype=np.str_),
            subject=nothing,
            sequence=nothing,
            view=np.ones(len(names), dtype=np.uint8),
            joints_xyz=np.empty((len(names), 0, 3), dtype=np.float32),
            labelled=False,
        )

    def depth(self, image: str) -> npt.NDArray[Any]:
        """One frame, (H, W) mm; what is negative or not finite is missing."""
        path = self.root / image
        pixels = self._pixels(path)
        if self.depth_dtype == np.uint16:
            return _whole_mm(pixels, path)
        with np.errstate(over="ignore"):
            depth = (pixels * np.float64(self.depth_unit)).astype(np.float32)
        return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0))

    def unlabelled(self, split: str, table: FrameTable) -> int:
        """None: no image of these has a label, and none is left out."""
        return 0

    def remarks(self, split: str, table: FrameTable) -> list[str]:
        """None: nobody has published how many there are."""
        return []

    def fingerprints(self, split: str) -> Mapping[str, Any]:
        """Size of all images, and checksum of their names and sizes."""
        paths = {name: self.root / name for name in self._names()}
        sizes = {name: path.stat().st_size if path.is_file() else 0 for name, path in paths.items()}
        listing = "".join(f"{name}\t{size}\n" for name, size in sizes.items()).encode()
        print_ = {"bytes": sum(sizes.values()), "sha256": hashlib.sha256(listing).hexdigest()}
        return {f"names and sizes of {len(sizes)} images": print_}

    def _names(self) -> list[str]:
        names = [
            name
            for name in folder_names(self.root)
            if name.lower().endswith(SUFFIXES) and not name.startswith(".") and fnmatchcase(name, self.pattern)
        ]
        if not names:
            raise HandbenchError(f"{self.root} holds no image {self.pattern} ({', '.join(SUFFIXES)})")
        stems: dict[str, str] = {}
        for name in names:
            if (other := stems.setdefault(Path(name).stem, name)) != name:
                raise HandbenchError(f"{self.root} holds {name} and {other}, two frames of one name; choose by pattern")
        return sorted(names, key=natural)

    def _has_fractions(self, names: list[str]) -> bool:
        """Whether the first image that can be read has pixels of a floating type.

        Raises:
            HandbenchError: if that image has not the camera's size, as the others will not have it either.
        """
        camera = self.spec.camera
        for name in names:
            try:
                pixels = decode(self.root / name)
            except FrameError:
                continue
            if pixels.shape[:2] != (camera.height, camera.width):
                size = f"{pixels.shape[1]},{pixels.shape[0]}" if pixels.ndim > 1 else "width,height"
                raise HandbenchError(
                    f"{_size_of(pixels, self.root / name)}, the camera is for {camera.width} x {camera.height} px; "
                    f"name the camera of these images, with its size, as --camera fx,fy,cx,cy,{size}"
                )
            return bool(np.issubdtype(pixels.dtype, np.floating))
        return False

    def _pixels(self, path: Path) -> npt.NDArray[Any]:
        """One image as it is stored, (H, W).

        Raises:
            FrameError: if it is missing, damaged, of another size, or no depth image.
        """
        camera = self.spec.camera
        shape = camera.height, camera.width
        if path.suffix.lower() == ".png":
            return read_png(path, shape, np.dtype(np.uint16), "a 16-bit gray image")
        pixels = decode(path)
        if pixels.shape != shape:
            size = f"the camera is for {camera.width} x {camera.height} px, one value each"
            raise FrameError(f"{_size_of(pixels, path)}, {size}", FrameStatus.IMAGE_CORRUPT)
        if pixels.dtype.kind not in "iuf" or pixels.dtype.itemsize == 1:
            raise FrameError(f"{path} has pixels of {pixels.dtype}, which hold no depth", FrameStatus.IMAGE_CORRUPT)
        return pixels


def frames_spec(camera: Camera, frames: int, cube_mm: float = CUBE_MM) -> DatasetSpec:
    """What is known of images without labels: their camera and their number.

    Args:
        camera: intrinsics in px.
        frames: how many.
        cube_mm: full side of the crop cube, mm.
    """
    return DatasetSpec(
        name="frames",
        title="Depth images without labels",
        sensor="not told",
        camera=camera,
        scoring_camera=camera,
        joints=JointSet(names=(), parents=(), fingers=(), scored=(), labels=()),
        handedness="unknown",
        background=None,
        depth_range_mm=DEPTH_RANGE_MM,
        cube_mm={"*": cube_mm},
        splits=(SplitSpec(SPLIT, {"only": frames}),),
        protocols=(),
        raw_axes="none differs: x right, y down, z forward",
        citation="",
        licence="not told",
        obtain="",
    )


def natural(name: str) -> list[str | int]:
    """A key to sort names by, in which numbers count as numbers: frame2 before frame10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def _whole_mm(pixels: npt.NDArray[Any], path: Path) -> npt.NDArray[np.uint16]:
    """Pixels in mm as uint16.

    Raises:
        FrameError: if they do not fit.
    """
    if pixels.dtype.kind == "f":
        raise FrameError(
            f"{path} has pixels of {pixels.dtype}, the first image has whole mm", FrameStatus.IMAGE_CORRUPT
        )
    if (largest := pixels.max(initial=0)) > _LARGEST:
        raise FrameError(f"{path} has a depth of {largest} mm; at most {_LARGEST} can be", FrameStatus.IMAGE_CORRUPT)
    return np.where(pixels > 0, pixels, 0).astype(np.uint16)


def decode(path: Path) -> npt.NDArray[Any]:
    """Any image or array as it is stored; an axis of length 1 at the end is dropped.

    Raises:
        FrameError: if it is missing or damaged.
    """
    if path.suffix.lower() == ".png":
        return decode_png(path)
    data = read_frame(path)
    try:
        pixels = (
            np.lib.format.read_array(BytesIO(data), allow_pickle=False)
            if path.suffix.lower() == ".npy"
            else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        )
    except (ValueError, OSError, MemoryError, OverflowError, SyntaxError, TokenError, cv2.error) as error:
        why = str(error).partition("\n")[0]
        raise FrameError(f"{path} cannot be decoded: {why}", FrameStatus.IMAGE_CORRUPT) from error
    if pixels is None:
        raise FrameError(f"{path} cannot be decoded", FrameStatus.IMAGE_CORRUPT)
    return np.asarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels)


def _size_of(pixels: npt.NDArray[Any], path: Path) -> str:
    if pixels.ndim < 2:
        return f"{path} is an array of shape {pixels.shape}"
    channels = f" with {pixels.shape[2]} values each" if pixels.ndim > 2 else ""
    return f"{path} has {pixels.shape[1]} x {pixels.shape[0]} px{channels}"
