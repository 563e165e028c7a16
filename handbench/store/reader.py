"""Reads a store."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import zarr
import zarr.errors

from handbench.camera import Camera
from handbench.datasets import DatasetSpec
from handbench.errors import HandbenchError
from handbench.store.layout import COLUMNS, COMPLETE, DEPTH, FORMAT, RECENTERING, WINDOWS, FrameStatus, WindowFacts
from handbench.store.shards import ShardReader

ScalarT = TypeVar("ScalarT", bound=np.generic)


class Split:
    """The frames of one split, whole or cut to windows. Depth is read frame by frame, the tables at first use.

    Attributes:
        name: "train", "test" or "all".
        image: (H, W) px of a frame, also where windows of it are stored.
    """

    def __init__(self, group: zarr.Group, name: str, where: Path, image: tuple[int, int] | None = None) -> None:
        self.name = name
        self._group = group
        self._where = where
        depth = group[DEPTH]
        assert isinstance(depth, zarr.Array)
        self._depth = depth
        self._shards = ShardReader(depth, where / name / DEPTH)
        self._is_windows = image is not None
        self.image: tuple[int, int] = image or (depth.shape[1], depth.shape[2])

    def __len__(self) -> int:
        return int(self._depth.shape[0])

    def depth(self, row: int) -> npt.NDArray[np.uint16]:
        """One frame, (H, W) mm, 0 = missing. All zero if its status says that there is no image.

        In a store of windows everything outside the window is missing: make crops from `window`, which know that.

        Raises:
            HandbenchError: if the row does not exist or its bytes are damaged.
        """
        frame: npt.NDArray[np.uint16] = self.to_frames(self._read(row)[None], range(row, row + 1))[0]
        return frame

    def window(self, row: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int32]]:
        """What is stored of one frame, and where it begins in the frame: `crop` takes both.

        Returns:
            (side, side) mm, 0 = missing, and (2,) whole u, v; for a store of whole frames (H, W) and (0, 0).

        Raises:
            HandbenchError: if the row does not exist or its bytes are damaged.
        """
        return self._read(row), self.origin_uv[row]

    def to_frames(self, stored: npt.NDArray[Any], rows: range) -> npt.NDArray[Any]:
        """Frames (n, H, W) of what is stored of some rows: the same, or windows (n, side, side) put in their places."""
        if not self._is_windows:
            return stored
        from handbench.preprocess.windows import paste_window  # it needs OpenCV, which whole frames do not

        pairs = zip(stored, self.origin_uv[rows.start : rows.stop], strict=True)
        return np.stack([paste_window(window, origin, self.image) for window, origin in pairs])

    def _read(self, row: int) -> npt.NDArray[np.uint16]:
        """What is stored of one frame."""
        if not 0 <= row < len(self):
            raise HandbenchError(f"{self._where}: split {self.name} has no frame {row}, only 0 to {len(self) - 1}")
        if (read := self._shards.read(row)) is not None:
            return read
        try:
            frame: npt.NDArray[np.uint16] = np.asarray(self._depth[row])
        except (ValueError, RuntimeError, OSError) as error:
            key = self.frame_key[row]
            raise HandbenchError(f"{self._where}: depth of frame {key} (row {row}) is damaged: {error}") from error
        return frame

    @cached_property
    def frame_key(self) -> npt.NDArray[np.str_]:
        """(N,) stable names."""
        return self._column("frame_key", np.str_)

    @cached_property
    def subject(self) -> npt.NDArray[np.str_]:
        """(N,) names, "" where unknown."""
        return self._column("subject", np.str_)

    @cached_property
    def sequence(self) -> npt.NDArray[np.str_]:
        """(N,) names, "" where there are none."""
        return self._column("sequence", np.str_)

    @cached_property
    def view(self) -> npt.NDArray[np.uint8]:
        """(N,) number of the camera, from 1."""
        return self._column("view", np.uint8)

    @cached_property
    def joints_xyz(self) -> npt.NDArray[np.float32]:
        """(N, J, 3) mm, camera frame, all raw joints; NaN = not labelled."""
        return self._column("joints_xyz", np.float32)

    @cached_property
    def center_xyz(self) -> npt.NDArray[np.float32]:
        """(N, 3) mm, camera frame; NaN where no centre was found. `center_method` says what it is."""
        return self._column("center_xyz", np.float32)

    @cached_property
    def cube(self) -> npt.NDArray[np.float32]:
        """(N, 3) full sides, mm."""
        return self._column("cube", np.float32)

    @cached_property
    def bbox(self) -> npt.NDArray[np.float32] | None:
        """(N, 4) x, y, width, height of the hand, px; None where the data set gives none."""
        return self._column("bbox", np.float32) if "bbox" in self._group else None

    @cached_property
    def viewpoint(self) -> npt.NDArray[np.uint8] | None:
        """(N,) where the camera really stood; None where cameras never changed places."""
        return self._column("viewpoint", np.uint8) if "viewpoint" in self._group else None

    @cached_property
    def origin_uv(self) -> npt.NDArray[np.int32]:
        """(N, 2) whole u, v: column and row in the frame of the first pixel of what is stored; 0 for whole frames."""
        return self._column("origin_uv", np.int32) if self._is_windows else np.zeros((len(self), 2), np.int32)

    @cached_property
    def status(self) -> npt.NDArray[np.uint8]:
        """(N,) values of `FrameStatus`."""
        return self._column("status", np.uint8)

    @property
    def depth_dtype(self) -> np.dtype[Any]:
        """uint16, or float32 where the raw depth has fractions of a mm."""
        return self._depth.dtype

    def attributes(self, column: str) -> dict[str, Any]:
        """What the store says of one of its tables: units, meaning, for centres their method."""
        attributes: dict[str, Any] = self._group[column].attrs.asdict()
        return attributes

    @property
    def center_method(self) -> str:
        """How `center_xyz` was found: "com", "gt-mean" and so on (docs/store.md)."""
        return str(self.attributes("center_xyz")["center_method"])

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """(N,) where the status is OK."""
        usable: npt.NDArray[np.bool_] = self.status == FrameStatus.OK
        return usable

    def _column(self, name: str, dtype: type[ScalarT]) -> npt.NDArray[ScalarT]:
        array = self._group[name]
        assert isinstance(array, zarr.Array)
        try:
            values = np.asarray(array[...])
        except (ValueError, RuntimeError, OSError) as error:
            raise HandbenchError(f"{self._where}: table {self.name}/{name} is damaged: {error}") from error
        return np.array(values.tolist(), dtype=dtype) if dtype is np.str_ else values.astype(dtype)


class Store:
    """A store that is whole.

    Args:
        path: where it lies.
        recentering: open it also where replacing its centres was interrupted, to finish that (`store.edit`).

    Attributes:
        path: where it lies.
        spec: facts of the data set, as the converter knew them.
        camera: relates uvd and xyz in this store.
        release: of the raw data, "" if there is only one.
        provenance: what it was made from.
        codec: how its depth is packed, one of `writer.CODECS`.
        windows: what its windows are; None if it holds whole frames.
        interrupted: the splits whose centres were being replaced when that was interrupted; else none.

    Raises:
        HandbenchError: if there is no store, it is not finished, or its format is newer than this version knows.
    """

    def __init__(self, path: Path, recentering: bool = False) -> None:
        self.path = path
        self._root = _open(path)
        attributes: dict[str, Any] = self._root.attrs.asdict()
        _check_format(path, attributes, recentering)
        self.interrupted: tuple[str, ...] = tuple(attributes.get(RECENTERING, ()))
        self.spec = DatasetSpec.from_dict(attributes["dataset"])
        self.camera = Camera(**attributes["camera"])
        self.release = str(attributes["release"])
        self.provenance: Mapping[str, Any] = attributes["provenance"]
        self.version = str(attributes["handbench_version"])
        self.codec = str(attributes["codec"])
        self.windows = WindowFacts(**attributes[WINDOWS]) if WINDOWS in attributes else None

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, "train" before "test"."""
        return tuple(sorted((name for name, _ in self._root.groups()), key=lambda name: (name != "train", name)))

    def __getitem__(self, split: str) -> Split:
        """The split of that name.

        Raises:
            HandbenchError: naming the splits there are.
        """
        if split not in self.splits:
            raise HandbenchError(f"{self.path} has no split {split!r}, only {', '.join(self.splits) or 'none'}")
        group = self._root[split]
        assert isinstance(group, zarr.Group)
        image = (self.camera.height, self.camera.width) if self.windows else None
        needed = [
            DEPTH,
            *(["origin_uv"] if image else []),
            *(name for name, column in COLUMNS.items() if not column.optional),
        ]
        missing = [name for name in needed if name not in group]
        if missing:
            raise HandbenchError(f"{self.path}: split {split} lacks {', '.join(missing)}; convert the raw data again")
        return Split(group, split, self.path, image)


def _open(path: Path) -> zarr.Group:
    if not path.exists():
        raise HandbenchError(f"there is no store at {path}")
    try:
        return zarr.open_group(str(path), mode="r")
    except (FileNotFoundError, ValueError, KeyError, NotADirectoryError, zarr.errors.BaseZarrError) as error:
        raise HandbenchError(f"{path} is not a Zarr group; a store is made by 'handbench convert'") from error


def _check_format(path: Path, attributes: Mapping[str, Any], recentering: bool) -> None:
    version = attributes.get("handbench_format")
    if not isinstance(version, int):
        raise HandbenchError(f"{path} is a Zarr group but no handbench store; a store is made by 'handbench convert'")
    if version > FORMAT:
        raise HandbenchError(
            f"{path} has store format {version}, this handbench reads up to {FORMAT}: upgrade handbench"
        )
    if attributes.get("state") == RECENTERING and not recentering:
        raise HandbenchError(
            f"{path}: replacing its centres was interrupted; "
            "repeat 'handbench centers compute' or 'handbench centers import' on it to finish that"
        )
    if attributes.get("state") not in (COMPLETE, RECENTERING):
        raise HandbenchError(f"{path} is not finished (state {attributes.get('state')!r}); convert the raw data again")
