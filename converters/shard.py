"""The work of one shard of a conversion: read its frames, check them, write them, and note what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import xyz_to_uvd
from handbench.converters.journal import Problem, Shard, entry_path
from handbench.converters.protocol import Reader
from handbench.datasets import DatasetSpec
from handbench.errors import FrameError, HandbenchError
from handbench.preprocess.center import box_holds_depth, com_iterated_xyz, com_xyz, in_image, mean_joint_xyz
from handbench.store import FrameStatus, FrameTable
from handbench.store.writer import write_depth


def thresholds_of(spec: DatasetSpec, near: float | None, far: float | None) -> tuple[float, float]:
    """Smallest and largest depth that count for a centre of mass, mm, with the data set's where none are given.

    Raises:
        HandbenchError: if near is not below far.
    """
    near = spec.depth_range_mm[0] if near is None else near
    far = spec.depth_range_mm[1] if far is None else far
    if not 0 <= near < far:
        raise HandbenchError(f"the depth thresholds are {near:g} and {far:g} mm; near must be below far")
    return near, far


@dataclass(frozen=True)
class Center:
    """How the centre of a box is found.

    Attributes:
        method: "com", centre of mass of the depth between `near` and `far`; "com-iterated", the same inside the cube
            around the nearest surface; or "gt-mean", mean of the true joints.
        near: smallest depth that counts, mm.
        far: largest depth that counts, mm.
    """

    method: str
    near: float
    far: float

    @property
    def uses_depth(self) -> bool:
        """Whether the centre comes from the depth, not from the labels."""
        return self.method != "gt-mean"

    @property
    def attributes(self) -> dict[str, Any]:
        """What the store says of its centres."""
        thresholds = {"near_mm": self.near, "far_mm": self.far} if self.uses_depth else {}
        return {"center_method": self.method, **thresholds}


@dataclass(frozen=True)
class ShardTask:
    """The work of one shard. It is small, shares nothing, and can run anywhere that sees the raw tree and the store.

    Attributes:
        reader: of the raw tree.
        store: the store under construction.
        split: name of the split.
        start: first row of the shard.
        table: the frames of the shard.
        center: how centres are found.
        journal: folder beside the store that says which shards are done.
    """

    reader: Reader
    store: Path
    split: str
    start: int
    table: FrameTable
    center: Center
    journal: Path

    @property
    def entry(self) -> Path:
        """Where the journal says that this shard is done."""
        return entry_path(self.journal, self.split, self.start)

    @property
    def count(self) -> int:
        """How many frames the shard has."""
        return len(self.table)

    def __call__(self) -> int:
        """Read, check and write the frames of the shard; how many they are."""
        centers, shown = np.full((self.count, 3), np.nan), np.ones(self.count, np.bool_)
        unread: dict[int, Problem] = {}
        write_depth(self.store, self.split, self.start, self._frames(centers, shown, unread))
        problems = {**self._flaws(centers, shown), **unread}
        status = np.full(len(self.table), FrameStatus.OK, dtype=np.uint8)
        for i, problem in problems.items():
            status[i] = problem.status
        Shard(status, centers, [problems[i] for i in sorted(problems)]).write(self.entry)
        return len(self.table)

    def _frames(
        self, centers: npt.NDArray[np.float64], shown: npt.NDArray[np.bool_], unread: dict[int, Problem]
    ) -> Iterator[npt.NDArray[Any] | None]:
        """The depth of each frame, (H, W) mm, None if it cannot be read.

        Fills in the centres, whether their boxes show anything, and why a frame cannot be read.
        """
        for i in range(self.count):
            try:
                depth = self.reader.depth(str(self.table.image[i]))
            except FrameError as error:
                # Not the error itself, which holds this frame in a cycle: a million of them fill the memory.
                unread[i] = self._problem(i, str(error), FrameStatus(error.status))
                yield None
            else:
                centers[i] = self._center(i, depth)
                shown[i] = box_holds_depth(depth, centers[i], self._cube(i), self.reader.spec.camera)
                yield depth

    def _cube(self, i: int) -> npt.NDArray[np.float64]:
        return np.full(3, self.reader.spec.cube_of(str(self.table.subject[i])))

    def _scored(self) -> npt.NDArray[np.float32]:
        return self.table.joints_xyz[:, list(self.reader.spec.joints.scored)]

    def _center(self, i: int, depth: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        camera, near, far = self.reader.spec.camera, self.center.near, self.center.far
        if self.center.method == "com":
            return com_xyz(depth, camera, near, far)
        if self.center.method == "com-iterated":
            return com_iterated_xyz(depth, camera, near, far, self._cube(i))
        return mean_joint_xyz(self.table.joints_xyz[i, list(self.reader.spec.joints.scored)])

    def _flaws(self, centers: npt.NDArray[np.float64], shown: npt.NDArray[np.bool_]) -> dict[int, Problem]:
        """What is wrong with the labels or the centre of a frame, by row; what comes first is told."""
        camera = self.reader.spec.camera
        labelled: npt.NDArray[np.bool_] = np.ones(len(self.table), dtype=np.bool_)
        if self.table.labelled:
            labelled = np.asarray(np.isfinite(self._scored()).all(axis=-1).any(axis=-1))
        flaws = enumerate(self.table.flaw.tolist() if self.table.flaw is not None else [])
        empty = ("the box around its centre holds no depth", FrameStatus.BOX_EMPTY)
        unlabelled = ("no scored joint is labelled", FrameStatus.LABEL_INVALID)
        found: dict[int, tuple[str, FrameStatus]] = {
            **dict.fromkeys(np.flatnonzero(~shown).tolist(), empty),
            **{i: self._outside(centers[i]) for i in np.flatnonzero(~in_image(centers, camera)).tolist()},
            **dict.fromkeys(np.flatnonzero(~labelled).tolist(), unlabelled),
            **{i: (flaw, FrameStatus.LABEL_INVALID) for i, flaw in flaws if flaw},
        }
        return {i: self._problem(i, *what) for i, what in found.items()}

    def _problem(self, i: int, message: str, status: FrameStatus) -> Problem:
        return Problem(str(self.table.frame_key[i]), status, message)

    def _outside(self, center: npt.NDArray[np.float64]) -> tuple[str, FrameStatus]:
        """Why no box can be put around a centre."""
        if np.isfinite(center).all():
            u, v, _ = xyz_to_uvd(center, self.reader.spec.camera)
            return f"the centre lies at column {u:.0f}, row {v:.0f}", FrameStatus.OUTSIDE_IMAGE
        if self.center.uses_depth:
            return f"no depth between {self.center.near:g} and {self.center.far:g} mm", FrameStatus.OUTSIDE_IMAGE
        return "no label to take the centre from", FrameStatus.OUTSIDE_IMAGE
