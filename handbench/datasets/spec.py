"""The type of a data set's facts. What a field holds for each data set is cited in its module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from handbench.camera import Camera
from handbench.errors import HandbenchError

FINGERS = ("thumb", "index", "middle", "ring", "pinky")


@dataclass(frozen=True)
class JointSet:
    """Named joints of one data set, in the order of its label files.

    Attributes:
        names: one for each raw joint.
        parents: index of the next joint towards the root; -1 for the root.
        fingers: one of `FINGERS`, or "palm", for each raw joint.
        scored: indices of the joints that the literature scores, in its order.
        labels: the scored joints as papers print them, in the order of `scored`.

    Raises:
        HandbenchError: if the lengths disagree or the parents are not one tree.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    fingers: tuple[str, ...]
    scored: tuple[int, ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.parents) == len(self.fingers):
            raise HandbenchError("a joint set needs one name, one parent and one finger for each joint")
        if len(self.scored) != len(self.labels):
            raise HandbenchError("a joint set needs one label for each scored joint")
        for joint in range(len(self.names)):
            self._path_to_root(joint)

    def __len__(self) -> int:
        return len(self.names)

    def _path_to_root(self, joint: int) -> list[int]:
        path = [joint]
        while (parent := self.parents[path[-1]]) != -1:
            if parent in path:
                raise HandbenchError(f"joint {self.names[joint]} is its own ancestor")
            path.append(parent)
        return path

    @cached_property
    def scored_edges(self) -> tuple[tuple[int, int], ...]:
        """The skeleton over scored joints: (joint, nearest scored ancestor) as indices into `scored`."""
        rank = {joint: i for i, joint in enumerate(self.scored)}
        edges = []
        for joint in self.scored:
            ancestor = next((a for a in self._path_to_root(joint)[1:] if a in rank), None)
            if ancestor is not None:
                edges.append((rank[joint], rank[ancestor]))
        return tuple(edges)

    @property
    def scored_fingers(self) -> tuple[str, ...]:
        """The finger (or "palm") of each scored joint."""
        return tuple(self.fingers[joint] for joint in self.scored)


@dataclass(frozen=True)
class SplitSpec:
    """One split of a data set.

    Attributes:
        name: "train" or "test"; "all" where the protocol tests and trains with each frame in turn.
        frames: number of frames of each release; a data set with a single release calls it "only".
        subjects: number of frames of each subject for each release, where the data set tells subjects apart.
    """

    name: str
    frames: Mapping[str, int]
    subjects: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """How the literature scores a data set. Travels in every scores file.

    Attributes:
        name: for example "nyu/view1-14j".
        split: the split that is scored.
        frames: how many frames a whole result has.
        group_kind: what `groups` tells apart, "subject" or "sequence"; empty if nothing.
        groups: (name, number of frames) in file order; together they are all frames.
        note: what a reader of the number must know.
    """

    name: str
    split: str
    frames: int
    group_kind: str = ""
    groups: tuple[tuple[str, int], ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.groups and sum(count for _, count in self.groups) != self.frames:
            raise HandbenchError(f"the groups of protocol {self.name} do not add up to {self.frames} frames")


@dataclass(frozen=True)
class DatasetSpec:
    """The facts of one data set. The converter copies them into the store; whoever reads a store asks it, not us.

    Attributes:
        name: short name, as on the command line.
        title: full name.
        sensor: the depth camera.
        camera: intrinsics of the authors, used for conversion.
        scoring_camera: intrinsics that the literature scores predictions in uvd with.
        joints: names, tree, fingers and scored joints.
        handedness: "right", "left", "mixed" or "unknown".
        background: the raw depth value that means "nothing here" (besides 0), or None.
        depth_range_mm: (near, far), the thresholds that the literature takes a hand's depth from.
        cube_mm: full side of the crop cube in mm by subject; the key "*" stands for all others.
        splits: train and test with the published counts.
        protocols: how the literature scores it.
        raw_axes: how the raw labels' axes differ from handbench's.
        citation: BibTeX.
        licence: terms in a line.
        obtain: where to ask for the data.
        notes: traps that a user should know of.
    """

    name: str
    title: str
    sensor: str
    camera: Camera
    scoring_camera: Camera
    joints: JointSet
    handedness: str
    background: int | None
    depth_range_mm: tuple[float, float]
    cube_mm: Mapping[str, float]
    splits: tuple[SplitSpec, ...]
    protocols: tuple[Protocol, ...]
    raw_axes: str
    citation: str
    licence: str
    obtain: str
    notes: tuple[str, ...] = ()

    def cube_of(self, subject: str) -> float:
        """Full side of the crop cube in mm for a subject.

        Raises:
            HandbenchError: if the data set has no rule for that subject.
        """
        cube = self.cube_mm.get(subject, self.cube_mm.get("*"))
        if cube is None:
            raise HandbenchError(f"{self.name} has no cube for subject {subject!r}, only for {', '.join(self.cube_mm)}")
        return cube

    def split(self, name: str) -> SplitSpec:
        """The split of that name.

        Raises:
            HandbenchError: naming the splits there are.
        """
        for split in self.splits:
            if split.name == name:
                return split
        raise HandbenchError(f"{self.name} has no split {name!r}, only {', '.join(s.name for s in self.splits)}")

    @property
    def protocol(self) -> Protocol:
        """The protocol that the literature uses by default: the first one.

        Raises:
            HandbenchError: if the data set has none, as images without labels have none.
        """
        if not self.protocols:
            raise HandbenchError(f"{self.name} has no protocol: nothing says how to score it")
        return self.protocols[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DatasetSpec:
        """A spec from what `to_dict` gave, also after a trip through JSON (lists for tuples).

        Raises:
            HandbenchError: if a field is missing or unknown.
        """
        try:
            return cls(
                **{
                    **data,
                    "camera": Camera(**data["camera"]),
                    "scoring_camera": Camera(**data["scoring_camera"]),
                    "joints": JointSet(**{key: tuple(value) for key, value in data["joints"].items()}),
                    "depth_range_mm": tuple(data["depth_range_mm"]),
                    "splits": tuple(SplitSpec(**split) for split in data["splits"]),
                    "protocols": tuple(
                        Protocol(**{**p, "groups": tuple((str(n), int(c)) for n, c in p["groups"])})
                        for p in data["protocols"]
                    ),
                    "notes": tuple(data["notes"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise HandbenchError(f"not the facts of a data set: {error}") from error
