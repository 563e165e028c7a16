"""A store as other programs want it: the raw tree of its data set, or the label text of the literature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, xyz_to_uvd
from handbench.console import claim_output, note, progress, whole_or_nothing
from handbench.converters import open_writer
from handbench.converters.protocol import Writer
from handbench.errors import HandbenchError
from handbench.store import FrameStatus, FrameTable, Split, Store
from handbench.store.blocks import depth_blocks

_WITHOUT_IMAGE = (FrameStatus.IMAGE_MISSING, FrameStatus.IMAGE_CORRUPT)
_ROWS = 1 << 12  # frames of labels turned into text at a time


@contextmanager
def new_output(store: Store, out: Path, overwrite: bool) -> Iterator[Path]:
    """A place to write an export to, which becomes `out` when it is whole.

    Raises:
        HandbenchError: if `out` exists and `overwrite` is not set, it is the store, in it or around it, or it cannot be
            written.
    """
    claim_output(out, overwrite)
    target, source = out.resolve(), store.path.resolve()
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise HandbenchError(f"{out} would be written over the store {store.path}; name another output")
    try:
        with whole_or_nothing(out) as partial:
            yield partial
    except OSError as error:
        raise HandbenchError(f"cannot write {out}: {error.strerror or error}; nothing of it was kept") from error


def require_whole(store: Store) -> None:
    """Refuse to pass windows off as frames.

    Raises:
        HandbenchError: if the store holds windows.
    """
    if store.windows:
        raise HandbenchError(f"{store.path} holds windows; export the store of frames that they were cut out of")


def write_raw_tree(store: Store, out: Path, overwrite: bool = False) -> str:
    """Write a store back as the raw tree of its data set; converted again it gives an equal store.

    A frame whose image was missing or damaged is written without one.

    Args:
        store: the store.
        out: the folder to make; it appears when it is whole.
        overwrite: replace `out` if it exists.

    Returns:
        What was done, in a line.

    Raises:
        HandbenchError: if `out` exists, the data set has no writer, the frames do not fit the raw layout (one subject
            of NYU has gaps in its numbers), or the store is damaged.
    """
    require_whole(store)
    splits = [store[name] for name in store.splits]
    without = 0
    with (
        new_output(store, out, overwrite) as partial,
        progress("export raw", sum(map(len, splits)), "frames") as advance,
    ):
        partial.mkdir()
        writer = _writer(store, partial)
        for split in splits:
            without += int(np.isin(split.status, _WITHOUT_IMAGE).sum())
            writer.write_split(split.name, _table(split), _images(split, advance))
        if store.release == "synthetic":
            writer.mark_synthetic({"subjects": {split.name: _subject_frames(split) for split in splits}})
    named = " + ".join(f"{len(split):,} {split.name}" for split in splits)
    lack = f", {without:,} of them without an image" if without else ""
    return f"{out}: {named} frames{lack} in the raw layout of {store.spec.title}"


def _writer(store: Store, root: Path) -> Writer:
    """The writer of the store's data set, with the options of the conversion that it knows.

    Raises:
        HandbenchError: if there is none.
    """
    options = store.provenance.get("options", {})
    try:
        # "auto" is a reader's question to the files; a writer has its own form.
        return open_writer(store.spec.name, root, **{k: v for k, v in options.items() if v != "auto"})
    except HandbenchError as error:
        raise HandbenchError(f"{store.path}: {error}") from error


def _table(split: Split) -> FrameTable:
    """The tables of a split as a reader of the raw tree gives them."""
    return FrameTable(
        image=np.full(len(split), "", dtype=np.str_),
        frame_key=split.frame_key,
        subject=split.subject,
        sequence=split.sequence,
        view=split.view,
        joints_xyz=split.joints_xyz,
        bbox=split.bbox,
        viewpoint=split.viewpoint,
    )


def _images(split: Split, advance: Callable[[int], None]) -> Iterator[npt.NDArray[Any] | None]:
    """Every frame in order; None where there was no image."""
    absent = np.isin(split.status, _WITHOUT_IMAGE)
    for block in depth_blocks(split):
        for row, depth in zip(block.rows, block.depth, strict=True):
            yield None if absent[row] else depth
        advance(len(block.rows))


def _subject_frames(split: Split) -> dict[str, int]:
    """Number of frames of each subject in the order of the frames of one view; {} where none is named."""
    subjects = split.subject[split.view == split.view[0]]
    names, first, counts = np.unique(subjects, return_index=True, return_counts=True)
    return {str(names[i]): int(counts[i]) for i in np.argsort(first) if names[i]}


def write_labels(store: Store, split: str, out: Path, overwrite: bool = False) -> str:
    """Write the labels of a split as uvd text: scored joints, one frame a line, three decimals.

    The text joins predictions by line, so every frame has its line; the keys stand in a second file, line by line.
    Joints without a label, and frames that are not scored because their status is not ok, are `nan`.

    Args:
        store: the store; uvd refers to its camera.
        split: name of the split.
        out: the text to make; the keys go to the path of `keys_beside`. Both appear when they are whole.
        overwrite: replace them if they exist.

    Returns:
        What was done, in a line.

    Raises:
        HandbenchError: if an output exists, the split does not, or it has no labels.
    """
    keys = keys_beside(out)
    frames = store[split]
    scored = list(store.spec.joints.scored)
    lines = 0
    with ExitStack() as stack:
        text, names = (
            stack.enter_context(
                stack.enter_context(new_output(store, path, overwrite)).open("w", encoding="utf-8", newline="\n")
            )
            for path in (out, keys)
        )
        for start in range(0, len(frames), _ROWS):
            rows = slice(start, start + _ROWS)
            uvd = _scored_uvd(frames, rows, scored, store.camera)
            lines += int(np.isfinite(uvd).all(axis=-1).any(axis=-1).sum())
            np.savetxt(text, uvd.reshape(len(uvd), -1), fmt="%.3f", delimiter=" ", newline="\n")
            names.writelines(f"{key}\n" for key in frames.frame_key[rows].tolist())
        if not lines:
            raise HandbenchError(
                f"{store.path}: no frame of split {split} is labelled and ok; there is nothing to write"
            )
    _say_if_scored_otherwise(store)
    return f"{out}: {len(frames):,} lines, {lines:,} with labels of {len(scored)} joints; frame keys in {keys.name}"


def keys_beside(path: Path) -> Path:
    """Where the frame keys of a label text go: labels.txt has them in labels.keys.txt."""
    return path.with_name(f"{path.stem}.keys{path.suffix}")


def _scored_uvd(split: Split, rows: slice, scored: list[int], camera: Camera) -> npt.NDArray[np.float64]:
    """(n, J, 3) px, px, mm; NaN where not labelled and in frames that are not OK."""
    joints = split.joints_xyz[rows][:, scored].astype(np.float64)
    joints[~np.isfinite(joints).all(axis=-1) | (joints[..., 2] == 0)] = np.nan
    joints[split.status[rows] != FrameStatus.OK] = np.nan
    return xyz_to_uvd(joints, camera)


def _say_if_scored_otherwise(store: Store) -> None:
    """Warn where a text would be turned into mm with intrinsics that are not those of the store."""
    ours, theirs = store.camera, store.spec.scoring_camera
    if max(abs(theirs.fx / ours.fx - 1), abs(theirs.fy / ours.fy - 1)) > 0.01:
        note(
            f"a text is scored with the camera of the literature, fx {theirs.fx:g} px; this store has fx {ours.fx:g}, "
            "so errors would come out in other millimetres: score against the store itself"
        )
