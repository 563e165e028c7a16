"""Changes a store that is whole: puts other centres into it.

Every file is replaced at once or not at all (zarr's local store renames), but the centres, their attributes and the
status are several files. So the root says `recentering` while they are written: a store is read with all of the old
centres, with all of the new ones, or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from handbench.camera import Camera
from handbench.errors import HandbenchError, ShapeError
from handbench.preprocess.center import in_image
from handbench.store.layout import COLUMNS, COMPLETE, RECENTERING, FrameStatus
from handbench.store.lock import alone
from handbench.store.reader import Split, Store
from handbench.store.writer import consolidate


@dataclass(frozen=True)
class NewCenters:
    """Centres for all frames of one split.

    Attributes:
        center_xyz: (N, 3) mm, camera frame, y down; NaN = none.
        status: (N,) values of `FrameStatus` that go with them.
        attributes: `center_method`, and what else is to be said of the centres; plain data for JSON.

    Raises:
        ShapeError: if the shapes do not belong together.
    """

    center_xyz: npt.NDArray[Any]
    status: npt.NDArray[np.uint8]
    attributes: Mapping[str, Any]

    @classmethod
    def predicted(
        cls, split: Split, center_xyz: npt.NDArray[Any], camera: Camera, model: str, facts: Mapping[str, Any]
    ) -> NewCenters:
        """Centres that a network has predicted: the place of every localisation network.

        Args:
            split: whose centres they are.
            center_xyz: (N, 3) mm, camera frame; NaN = none.
            camera: of the frames.
            model: its name; `center_method` becomes "predicted:<model>".
            facts: what else is to be said, such as the SHA-256 of its checkpoint; plain data for JSON.

        Raises:
            HandbenchError: if the name is empty or has blanks.
            ShapeError: if there is not one centre a frame.
        """
        return cls(
            center_xyz,
            center_status(split.status, center_xyz, camera),
            {"center_method": predicted_method(model), **facts},
        )

    def __post_init__(self) -> None:
        if self.center_xyz.shape != (len(self.status), 3):
            raise ShapeError(f"centres {self.center_xyz.shape} and status {self.status.shape} are not (N, 3) and (N,)")


def predicted_method(model: str) -> str:
    """The `center_method` of the centres of a model.

    Raises:
        HandbenchError: if its name is empty or has blanks.
    """
    if model.split() != [model]:
        raise HandbenchError(f"{model!r} is no name of a model; give a word, such as localiser-1")
    return f"predicted:{model}"


def center_status(
    old: npt.NDArray[np.uint8],
    center_xyz: npt.NDArray[Any],
    camera: Camera,
    empty: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.uint8]:
    """(N,) the status with new centres: what is wrong with an image or a label stays wrong.

    Args:
        old: (N,) values of `FrameStatus`.
        center_xyz: (N, 3) mm, camera frame; NaN = none.
        camera: of the frames.
        empty: (N,) where the box about the new centre holds no depth; None = nobody has looked.

    Raises:
        ShapeError: if there is not one centre a frame.
    """
    if center_xyz.shape != (len(old), 3):
        raise ShapeError(f"{len(old)} frames need as many centres, not {center_xyz.shape}")
    about_centers = np.isin(old, (FrameStatus.OK, FrameStatus.OUTSIDE_IMAGE, FrameStatus.BOX_EMPTY))
    box = FrameStatus.OK if empty is None else np.where(empty, FrameStatus.BOX_EMPTY, FrameStatus.OK)
    status = np.where(in_image(center_xyz, camera), box, FrameStatus.OUTSIDE_IMAGE)
    return np.where(about_centers, status, old).astype(np.uint8)


def replace_centers(path: Path, new: Mapping[str, NewCenters]) -> None:
    """Put new centres in the place of the old ones, with their status and attributes.

    If it is interrupted, readers refuse the store, and replacing the centres of the same splits again finishes it.

    Args:
        path: of the store.
        new: centres by split.

    Raises:
        HandbenchError: if there is no store, another process writes to it, it cannot be written, or an interrupted
            replacement concerned a split that is not in `new`, or the store holds windows.
        ShapeError: if a split has another number of frames.
    """
    with alone(path):
        store = Store(path, recentering=True)
        require_frames(store)
        if left := [split for split in store.interrupted if split not in new]:
            raise HandbenchError(
                f"{path}: replacing the centres of {', '.join(store.interrupted)} was interrupted; "
                f"'handbench centers compute' without --split, or for {', '.join(left)}, must come first"
            )
        for split, centers in new.items():
            if len(store[split]) != len(centers.status):
                raise ShapeError(f"split {split} has {len(store[split])} frames, not {len(centers.status)}")
        try:
            _replace(path, new)
        except OSError as error:
            raise HandbenchError(f"{path} cannot be written: {error.strerror or error}") from error


def require_frames(store: Store) -> None:
    """Refuse to put other centres into a store of windows, which are cut about those it has.

    Raises:
        HandbenchError: if it holds windows.
    """
    if store.windows:
        raise HandbenchError(
            f"{store.path} holds windows, cut about the centres that it has; replace the centres of the store that "
            "it was made from, and make windows of that again"
        )


def _replace(path: Path, new: Mapping[str, NewCenters]) -> None:
    """The writes, in the order that makes an interruption harmless."""
    root = zarr.open_group(str(path), mode="r+", use_consolidated=False)
    root.update_attributes({"state": RECENTERING, RECENTERING: list(new)})  # in one write, unlike attrs.update
    for split, centers in new.items():
        _write(path / split / "status", centers.status)
        column = _write(path / split / "center_xyz", centers.center_xyz)
        column.attrs.put({**COLUMNS["center_xyz"].attributes, **centers.attributes})
    consolidate(path)  # with the new attributes, before the store is declared whole
    root = zarr.open_group(str(path), mode="r+", use_consolidated=True)
    root.attrs.put({**{k: v for k, v in root.attrs.asdict().items() if k != RECENTERING}, "state": COMPLETE})


def _write(path: Path, values: npt.NDArray[Any]) -> zarr.Array[Any]:
    """Write a table of one chunk, so that it is the old one or the new one at any moment."""
    array = zarr.open_array(str(path), mode="r+")
    array[...] = values.astype(array.dtype)
    return array
