"""How each data set's raw folder is known, and what its counts should be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from handbench.converters.files import folder_names, names_in
from handbench.converters.frames import SUFFIXES, decode, natural
from handbench.converters.hands17 import LAYOUTS, Hands17Reader
from handbench.converters.icvl import IcvlReader, is_original
from handbench.converters.inspection import Inspection, Recogniser, SplitCounts, count_by, some
from handbench.converters.marker import SYNTHETIC
from handbench.converters.msra import GESTURES, SUBJECTS, MsraReader
from handbench.converters.nyu import NyuReader
from handbench.converters.protocol import Reader
from handbench.errors import FrameError, HandbenchError
from handbench.store import FrameTable

_NYU_FILE = re.compile(r"joint_data\.mat|(synth)?depth_[123]_[0-9]{7}\.png")


def _nyu_matches(root: Path) -> bool:
    folders = (above / name for above in (root, root / "dataset") for name in ("train", "test", "test_1", "test_2"))
    return any(_NYU_FILE.fullmatch(name) for folder in folders for name in names_in(folder))


def _nyu_judge(reader: Reader, tables: Mapping[str, FrameTable], inspection: Inspection) -> None:
    judge_counts(reader, tables, inspection)
    if "test" not in reader.splits and "test_1" in names_in(inspection.path):
        inspection.findings.append("test_1/ and test_2/ are DeepPrior's own cut; unpack test/ as the authors ship it")


def _icvl_matches(root: Path) -> bool:
    return _opens(IcvlReader, root)


def _icvl_open(root: Path) -> IcvlReader:
    """A reader of all that is labelled: with the rotated copies if there are any."""
    reader = IcvlReader(root, rotated=True)
    try:
        names = [key.partition("/")[2] for key in reader.table("train").frame_key.tolist()]
    except HandbenchError:
        return reader  # no training labels, or broken ones; whoever reads them next says so
    return IcvlReader(root) if all(map(is_original, names)) else reader


def _icvl_layout(root: Path) -> str:
    return "new release (Training/, Testing/)" if names_in(root) & {"Training", "Testing"} else "2014 (one Depth/)"


def _icvl_judge(reader: Reader, tables: Mapping[str, FrameTable], inspection: Inspection) -> None:
    judge_splits(reader, inspection)
    known = {"rotated": "with rotated copies", "originals": "without rotated copies"}
    inspection.release = known.get(reader.release, reader.release)
    for split, table in tables.items():
        inspection.findings += reader.remarks(split, table)


def _msra_matches(root: Path) -> bool:
    trees = (root, root / "cvpr15_MSRAHandGestureDB")
    return any(names_in(tree / subject) & set(GESTURES) for tree in trees for subject in SUBJECTS)


def _msra_judge(reader: Reader, tables: Mapping[str, FrameTable], inspection: Inspection) -> None:
    if reader.release == SYNTHETIC:
        inspection.release = SYNTHETIC
        return
    for table in tables.values():
        found = count_by(table.subject)
        releases = reader.spec.split("all").subjects
        fits = [name for name, counts in releases.items() if all(counts[who] == n for who, n in found.items())]
        absent = [subject for subject in SUBJECTS if subject not in found]
        part = "part of " if absent else ""
        inspection.release = f"{part}{' or '.join(fits)}" if fits else "none that is known"
        if absent:
            inspection.findings.append(
                f"{len(found)} of {len(SUBJECTS)} subjects, no {', '.join(absent)}; leave-one-subject-out needs all"
            )
        if not fits:
            inspection.findings.append(_msra_counts(found, releases))
        inspection.findings += _msra_gestures(table)


def _msra_counts(found: Mapping[str, int], releases: Mapping[str, Mapping[str, int]]) -> str:
    """The subjects whose number of frames no release has."""
    odd = [who for who, n in found.items() if all(counts[who] != n for counts in releases.values())]
    shown = ", ".join(
        f"{who} {found[who]:,} ({', '.join(f'{name} {counts[who]:,}' for name, counts in releases.items())})"
        for who in odd or found
    )
    return f"the numbers of frames are those of no release: {shown}; centre and result files of others will not fit"


def _msra_gestures(table: FrameTable) -> list[str]:
    findings = []
    for subject in count_by(table.subject):
        there = count_by(table.sequence[table.subject == subject])
        if absent := [gesture for gesture in GESTURES if gesture not in there]:
            findings.append(f"{subject} has no gesture {', '.join(absent)}; unpack the archive again")
    return findings


def _hands17_matches(root: Path) -> bool:
    return any(names_in(root / layout.folder) & {"images", layout.listing} for layout in LAYOUTS.values())


def judge_splits(reader: Reader, inspection: Inspection) -> None:
    """Note the splits that the data set has and the tree has not."""
    absent = [split.name for split in reader.spec.splits if split.name not in reader.splits]
    inspection.findings += [f"there is no {split} split; unpack the archive that holds it" for split in absent]


def judge_counts(reader: Reader, tables: Mapping[str, FrameTable], inspection: Inspection) -> None:
    """Compare the number of frames of each split with the published one."""
    judge_splits(reader, inspection)
    inspection.release = reader.release
    if reader.release == SYNTHETIC:
        return
    published = {split.name: next(iter(split.frames.values())) for split in reader.spec.splits}
    for split, table in tables.items():
        twin = next((name for name, frames in published.items() if frames == len(table)), None)
        if twin is None:
            inspection.findings.append(
                f"{split}: {len(table):,} frames, published are {published[split]:,}; "
                "results on a part compare with no published number"
            )
        elif twin != split:
            inspection.findings.append(
                f"{split}: {len(table):,} frames, which is the number of {twin}; the folders are swapped, rename them"
            )


def inspect_frames(root: Path) -> Inspection | None:
    """Images without labels in a folder, or None if there are none.

    Nothing is known of their camera, so that nothing but the first, the last and the empty ones is looked at.
    """
    names = sorted((name for name in folder_names(root) if name.lower().endswith(SUFFIXES)), key=natural)
    if not names:
        return None
    inspection = Inspection(root, "frames", "Depth images without labels", "one folder")
    inspection.splits["test"] = SplitCounts(len(names), len(names), 0)
    empty = [name for name in names if (root / name).is_file() and (root / name).stat().st_size == 0]
    if empty:
        inspection.findings.append(f"{some(empty, len(names))} empty (0 bytes); copy the folder again")
    for name in dict.fromkeys((names[0], names[-1])):
        try:
            pixels = decode(root / name)
        except FrameError as error:
            inspection.findings.append(f"{error}; copy it again")
            continue
        size = "x".join(map(str, pixels.shape[1::-1] + pixels.shape[2:]))
        inspection.layout += f"; {name} is {size} {pixels.dtype}"
        if pixels.ndim != 2 or pixels.dtype.itemsize == 1:
            inspection.findings.append(f"{name} is no depth image; choose those that are by a pattern")
    return inspection


def _opens(reader: type[IcvlReader], root: Path) -> bool:
    try:
        reader(root)
    except HandbenchError:
        return False
    return True


RECOGNISERS: dict[str, Recogniser] = {
    "nyu": Recogniser(
        "train/ or test/ with joint_data.mat or depth_1_0000001.png",
        _nyu_matches,
        NyuReader,
        lambda root: "train/ and test/ with joint_data.mat inside",
        _nyu_judge,
    ),
    "icvl": Recogniser(
        "Training/ or Testing/, or Depth/ beside train.txt or test_seq_1.txt",
        _icvl_matches,
        _icvl_open,
        _icvl_layout,
        _icvl_judge,
        unusable="201406030937/image_-001.png",  # skipped by denseReg, invalid to A2J
    ),
    "msra": Recogniser(
        "P0/ to P8/ with gestures 1/ to Y/",
        _msra_matches,
        MsraReader,
        lambda root: "P0/ to P8/, a folder a gesture",
        _msra_judge,
    ),
    "hands17": Recogniser(
        "training/ with Training_Annotation.txt, or frame/ with BoundingBox.txt",
        _hands17_matches,
        Hands17Reader,
        lambda root: "training/ and frame/, each with images/",
        judge_counts,
    ),
}
"""In the order in which a folder is tried."""
