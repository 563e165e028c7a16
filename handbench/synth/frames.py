"""Synthetic frames of a data set: exact joints, and what its sensor makes of the scene.

A frame depends on the options, its split and its number alone, so any worker can make any frame.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.console import progress
from handbench.datasets import dataset
from handbench.synth.config import Run, SynthConfig
from handbench.synth.hand import Floats, Ints
from handbench.synth.joint_sets import joint_set
from handbench.synth.poses import VIEWS, PoseSequence, sequence
from handbench.synth.render import render
from handbench.synth.scene import WALL_FACES, Person, person_faces, wall_vertices
from handbench.synth.sensor import SENSORS, see
from handbench.synth.subject import PALM_MM, Subject, subject_of

SENSOR_OF = {"nyu": "carmine", "icvl": "senz3d", "msra": "senz3d", "hands17": "sr300"}
"""Which of `SENSORS` each data set was recorded with."""
_BACKGROUND_OF = {"nyu": "person", "icvl": "person", "msra": "empty", "hands17": "person"}
_CUT_MM = {"msra": 25.0}  # behind the wrist: MSRA shows the hand cut out, others the whole forearm
_BLOCK = 32  # frames posed at once
_SHAPES, _NOISE, _LABELS, _PEOPLE = 1000, 1002, 1003, 1004  # streams of random numbers; 1001 is the size of hands
_WALL_BEHIND_MM = 300.0


class SyntheticFrames:
    """The frames that a `SynthConfig` asks for. Small and picklable."""

    def __init__(self, config: SynthConfig) -> None:
        self.config = config
        self.spec = dataset(config.name)

    @cached_property
    def runs(self) -> Mapping[str, tuple[Run, ...]]:
        """Runs of each split."""
        return self.config.runs()

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.runs)

    def joints_xyz(self, split: str) -> npt.NDArray[np.float32]:
        """All labels of a split, (N, J, 3) mm, camera frame, y down; with the label noise that is asked for."""
        runs = self.runs[split]
        labels = np.empty((sum(run.frames for run in runs), len(self.spec.joints), 3), dtype=np.float32)
        blocks = [(run, start) for run in runs for start in range(0, run.frames, _BLOCK)]
        row = 0
        with progress(f"labels of {split}", len(labels), "frames") as advance:
            for run, start in blocks:
                frames = range(start, min(start + _BLOCK, run.frames))
                block = _joints(self.config, run, _stream(self, split, run), frames)
                labels[row : row + len(block)] = self._with_noise(block, split, row)
                row += len(block)
                advance(len(block))
        return labels

    def _with_noise(self, joints: Floats, split: str, first: int) -> Floats:
        """The same labels (n, J, 3) mm with the noise that is asked for, each frame's by its row, from `first` on."""
        if not self.config.label_noise_mm:
            return joints
        seed = (self.config.seed, self.splits.index(split), _LABELS)
        rngs = (np.random.default_rng((*seed, first + i)) for i in range(len(joints)))
        return joints + np.stack([rng.normal(0, self.config.label_noise_mm, joints.shape[1:]) for rng in rngs])

    def depth(self, split: str, row: int) -> npt.NDArray[np.float32]:
        """One frame as the sensor sees it, (H, W) mm, 0 = missing.

        Args:
            split: its name.
            row: number of the frame in the split, from 0.
        """
        config = self.config
        rng = np.random.default_rng((config.seed, self.splits.index(split), _NOISE, row))
        return see(self.exact_depth(split, row), SENSORS[SENSOR_OF[config.name]], self.spec.camera, rng)

    def exact_depth(self, split: str, row: int, camera: Camera | None = None) -> npt.NDArray[np.float32]:
        """The same before any fault of the sensor, for the data set's camera or another one at its place."""
        run, number = self._find(split, row)
        vertices, hands_xyz = _block(self.config, run, _stream(self, split, run), number // _BLOCK)
        in_block = number % _BLOCK
        skin = vertices[in_block]
        behind, faces = self._background(run, skin, hands_xyz[in_block])
        faces = np.concatenate((_faces(self.config, run), faces + len(skin)))
        return render(np.concatenate((skin, behind)), faces, camera or self.spec.camera)

    def _find(self, split: str, row: int) -> tuple[Run, int]:
        ends = list(accumulate(run.frames for run in self.runs[split]))
        at = bisect_right(ends, row)
        run = self.runs[split][at]
        return run, row - (ends[at] - run.frames)

    def _background(self, run: Run, skin: Floats, hand_xyz: Floats) -> tuple[Floats, Ints]:
        """Vertices (n, 3) and faces (m, 3) of what stands behind the hand."""
        config, view = self.config, VIEWS[self.config.name]
        near, far = config.distance_mm or view.depth_mm
        kind = config.background or _BACKGROUND_OF[config.name]
        if kind == "person":
            rng = np.random.default_rng((config.seed, _PEOPLE, run.person))
            person = Person.of(rng, np.array([0.0, 0.0, (near + far) / 2]), view.side == "left")
            return person.vertices(hand_xyz, skin[_elbow(config, run)].mean(axis=0)), person_faces()
        if kind == "wall":
            return wall_vertices(far + _WALL_BEHIND_MM), WALL_FACES
        return np.empty((0, 3)), np.empty((0, 3), dtype=np.intp)


def _stream(frames: SyntheticFrames, split: str, run: Run) -> tuple[int, ...]:
    """The seed of a run's motion."""
    return (frames.config.seed, frames.splits.index(split), run.stream)


@lru_cache(maxsize=64)
def _subject(config: SynthConfig, person: int, size: float) -> Subject:
    side = VIEWS[config.name].side
    return subject_of((config.seed, _SHAPES, person), side=side, palm_mm=PALM_MM * size)


@lru_cache(maxsize=64)
def _faces(config: SynthConfig, run: Run) -> Ints:
    """The triangles that the data set shows: all, or those of the hand alone."""
    hand = _subject(config, run.person, run.size).hand
    faces = hand.mesh.faces
    if config.name not in _CUT_MM:
        return faces
    return np.asarray(faces[(hand.vertices[faces, 1] < _CUT_MM[config.name]).all(axis=1)])


@lru_cache(maxsize=64)
def _elbow(config: SynthConfig, run: Run) -> Ints:
    """The vertices at the end of the forearm."""
    along = _subject(config, run.person, run.size).hand.vertices[:, 1]
    return np.flatnonzero(along > along.max() - 15)


@lru_cache(maxsize=32)
def _block(config: SynthConfig, run: Run, seed: tuple[int, ...], number: int) -> tuple[Floats, Floats]:
    """Vertices (n, V, 3) of some frames, and the middles of their palms (n, 3), mm, camera frame."""
    start = number * _BLOCK
    poses = _poses(config, run, seed, range(start, min(start + _BLOCK, run.frames)))
    return _subject(config, run.person, run.size).place(poses)[0], poses.position_xyz


def _joints(config: SynthConfig, run: Run, seed: tuple[int, ...], frames: range) -> Floats:
    vertices, heads = _subject(config, run.person, run.size).place(_poses(config, run, seed, frames))
    return joint_set(config.name)(vertices, heads)


def _poses(config: SynthConfig, run: Run, seed: tuple[int, ...], frames: range) -> PoseSequence:
    subject = _subject(config, run.person, run.size)
    poses = sequence(config.name, frames, seed, subject, key_frames=config.key_frames, gesture=run.gesture or None)
    if config.distance_mm is None:
        return poses
    (from_near, from_far), (near, far) = VIEWS[config.name].depth_mm, config.distance_mm
    old = poses.position_xyz[:, 2:]
    new = near + (old - from_near) / (from_far - from_near) * (far - near)
    return replace(poses, position_xyz=poses.position_xyz * (new / old))  # at the same place in the image
