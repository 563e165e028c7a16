"""What predictions are scored against: a label text of a published protocol, or one split of a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, uvd_to_xyz
from handbench.datasets import DatasetSpec, JointSet, Protocol
from handbench.datasets.spec import FINGERS
from handbench.errors import HandbenchError
from handbench.predictions import read_predictions

if TYPE_CHECKING:
    from handbench.store import Split

_SEQUENCES = {"msra": "gesture"}  # what the sequences of a data set are, where there is a better word


@dataclass(frozen=True)
class Truth:
    """The labels of the scored joints, and how to score against them.

    Attributes:
        spec: facts of the data set.
        published: the protocol of the literature that this is, or is a part of.
        camera: intrinsics for predictions in uvd.
        joints_xyz: (N, J, 3) float64 mm, camera frame; NaN = not labelled.
        group: (N,) name of each frame's subject or sequence; "" where there is none to tell.
        flaw: (N,) why the frame is not scored whatever its labels, such as "image missing"; "" = nothing is wrong.
        frame_key: N keys, or None for a label text.
        source: "kind", "file" and "sha256" (text) or "split" and "release" (store) of the labels.
        breakdowns: kind ("gesture", "seen", ...) -> (N,) names, besides `group`; "" where a frame has none.
    """

    spec: DatasetSpec
    published: Protocol
    camera: Camera
    joints_xyz: npt.NDArray[np.float64]
    group: npt.NDArray[np.str_]
    flaw: npt.NDArray[np.str_]
    frame_key: tuple[str, ...] | None
    source: Mapping[str, Any]
    breakdowns: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.joints_xyz)

    @cached_property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """(N, J) whether the joint has a label."""
        labelled: npt.NDArray[np.bool_] = np.isfinite(self.joints_xyz.sum(axis=2))
        return labelled

    @cached_property
    def counts(self) -> npt.NDArray[np.bool_]:
        """(N,) whether the frame is scored: it has no flaw, and a joint of it has a label."""
        counts: npt.NDArray[np.bool_] = (self.flaw == "") & self.labelled.any(axis=1)
        return counts

    @cached_property
    def protocol(self) -> Protocol:
        """What is really scored: the published protocol if frames and groups are its own, else its frames that are."""
        names = tuple(dict.fromkeys(name for name in self.group.tolist() if name))
        groups = tuple((name, int((self.counts & (self.group == name)).sum())) for name in names)
        frames = int(self.counts.sum())
        same = next((p for p in self.spec.protocols if p.frames == frames and p.groups == groups), None)
        return same or replace(self.published, frames=frames, groups=tuple(g for g in groups if g[1]))

    def prepare(self) -> None:
        """Compute what all methods share, before threads would do so side by side."""
        _ = self.labelled, self.counts, self.protocol

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """Names of the frames that are not scored, by reason."""
        reasons = np.where(self.flaw == "", "no label", self.flaw)
        reasons[self.counts] = ""
        return {name: self.frames_named(reasons == name) for name in dict.fromkeys(reasons.tolist()) if name}

    def frames_named(self, rows: npt.ArrayLike) -> tuple[str, ...]:
        """What to call the frames of a mask (N,): key, or line of the file."""
        return tuple(self.frame_key[i] if self.frame_key else f"line {i + 1}" for i in np.flatnonzero(rows).tolist())

    def part(self, group: str) -> Truth:
        """The frames of one group alone."""
        rows = self.group == group
        return replace(
            self,
            published=replace(self.published, name=f"{self.published.name}/{group}"),
            joints_xyz=self.joints_xyz[rows],
            group=self.group[rows],
            flaw=self.flaw[rows],
            frame_key=self.frames_named(rows) if self.frame_key else None,
            breakdowns={kind: names[rows] for kind, names in self.breakdowns.items()},
        )


def read_truth(path: Path, spec: DatasetSpec | None = None, split: str | None = None) -> Truth:
    """Labels from a text (`spec` says of which data set) or from a split of a store (which knows its data set).

    Args:
        path: a uvd text or a store.
        spec: needed for a text; for a store a check.
        split: of a store, that of its protocol ("test", MSRA "all") if not said; a text has none.

    Raises:
        HandbenchError: if the labels cannot be read, are none, or do not belong to `spec`.
    """
    if path.is_dir():
        truth = _truth_of_store(path, spec, split)
    elif split is not None:
        raise HandbenchError(f"{path} is no store and has no splits; leave --split out")
    elif spec is None:
        raise HandbenchError(f"{path} is no store and does not say which data set it labels; pass --dataset")
    else:
        truth = _truth_of_text(path, spec)
    if not truth.counts.any():
        why = ", ".join(f"{len(frames):,} {reason}" for reason, frames in truth.left_out.items())
        raise HandbenchError(f"no frame of {path} can be scored ({why}); name labels of frames that can")
    return truth


def with_breakdown(truth: Truth, kind: str, path: Path) -> Truth:
    """The truth with its frames told apart in one more way.

    Args:
        truth: the labels.
        kind: what the names are, such as "seen" or "gesture".
        path: a text with one name a line, a line for each frame of the truth; an empty line is no name.

    Raises:
        HandbenchError: if the file cannot be read, is no text, or has another number of lines.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise HandbenchError(f"{path} is not a text; --by needs one name a line") from error
    if len(lines) != len(truth):
        raise HandbenchError(f"{path} has {len(lines):,} lines, but the labels have {len(truth):,} frames")
    names = np.array([line.strip() for line in lines], np.str_)
    return replace(truth, breakdowns={**truth.breakdowns, kind: names})


def drawing_order(joints: JointSet) -> tuple[int, ...]:
    """Indices into the scored joints in the order of papers' figures: palm, thumb to pinky, root to tip."""

    def rank(index: int) -> tuple[int, int, str]:
        joint = joints.scored[index]
        finger = joints.fingers[joint]
        depth, ancestor = 0, joints.parents[joint]
        while ancestor != -1:
            depth, ancestor = depth + 1, joints.parents[ancestor]
        return (FINGERS.index(finger) if finger in FINGERS else -1, depth, joints.labels[index])

    return tuple(sorted(range(len(joints.scored)), key=rank))


def known_lengths(spec: DatasetSpec) -> dict[int, str]:
    """Numbers of frames that mean something in a data set, and what."""
    lengths: dict[int, str] = {}
    for protocol in spec.protocols:
        lengths.setdefault(protocol.frames, f"protocol {protocol.name}")
        for name, size in protocol.groups:
            lengths.setdefault(size, f"{protocol.group_kind} {name}")
    for split in spec.splits:
        for release, frames in split.frames.items():
            named = f", release {release}" if len(split.frames) > 1 else ""
            lengths.setdefault(frames, f"the {split.name} split of {spec.title}{named}")
            for subject, size in split.subjects.get(release, {}).items():
                lengths.setdefault(size, f"subject {subject} of the {split.name} split{named}")
    return lengths


def _truth_of_text(path: Path, spec: DatasetSpec) -> Truth:
    labels = read_predictions(path, len(spec.joints.scored), spec)
    published, group = _groups_by_position(spec, len(labels))
    return Truth(
        spec=spec,
        published=published,
        camera=spec.scoring_camera,
        joints_xyz=uvd_to_xyz(labels.uvd, spec.scoring_camera),
        group=group,
        flaw=np.zeros(len(labels), np.str_),
        frame_key=None,
        source={"kind": "text", **labels.source},
    )


def _truth_of_store(path: Path, spec: DatasetSpec | None, split: str | None) -> Truth:
    from handbench.store import FrameStatus, Store  # zarr takes half a second to import

    store = Store(path)
    if spec is not None and spec.name != store.spec.name:
        raise HandbenchError(f"{path} is a store of {store.spec.name}, not of {spec.name}; leave --dataset out")
    split = split or (store.spec.protocols[0].split if store.spec.protocols else "test")
    frames = store[split]
    published, group = _groups_by_position(store.spec, len(frames))
    if split != published.split:
        published = replace(published, name=f"{store.spec.name}/{split}", split=split)
    if published.frames != len(frames):
        group = frames.sequence if published.group_kind == "sequence" else frames.subject
    titles = np.array(["" if status is FrameStatus.OK else status.title for status in FrameStatus])
    return Truth(
        spec=store.spec,
        published=published,
        camera=store.camera,
        joints_xyz=_scored(frames.joints_xyz, store.spec.joints),
        group=group,
        flaw=titles[frames.status],
        frame_key=tuple(frames.frame_key.tolist()),
        source={"kind": "store", "file": path.name, "split": split, "release": store.release},
        breakdowns=_columns(frames, store.spec.name, published.group_kind),
    )


def _scored(joints_xyz: npt.NDArray[np.float32], joints: JointSet) -> npt.NDArray[np.float64]:
    """The scored joints of all; where these are all, without a copy in between."""
    whole = joints.scored == tuple(range(len(joints)))
    return (joints_xyz if whole else joints_xyz[:, list(joints.scored)]).astype(np.float64)


def _columns(frames: Split, data_set: str, known: str) -> dict[str, npt.NDArray[np.str_]]:
    """What the columns of a store tell apart besides the groups of its protocol."""
    sequence = _SEQUENCES.get(data_set, "sequence")
    columns = {"subject": frames.subject, sequence: frames.sequence}
    return {kind: names for kind, names in columns.items() if kind != known and len(set(names.tolist()) - {""}) > 1}


def _groups_by_position(spec: DatasetSpec, frames: int) -> tuple[Protocol, npt.NDArray[np.str_]]:
    """The protocol that has as many frames, or one of its groups that has, and the group of each frame (N,).

    A number of frames that nothing published has is scored under the default protocol without groups.
    """
    protocol = next((p for p in spec.protocols if p.frames == frames), None)
    if protocol is not None and protocol.groups:
        return protocol, np.repeat([name for name, _ in protocol.groups], [size for _, size in protocol.groups])
    protocol = protocol or spec.protocol
    group = next((name for name, size in protocol.groups if size == frames), "")
    return protocol, np.full(frames, group)
