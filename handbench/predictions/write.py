"""Write predictions in any layout: whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np

from handbench.camera import Camera, uvd_to_xyz
from handbench.console import whole_or_nothing
from handbench.datasets import DatasetSpec
from handbench.errors import HandbenchError
from handbench.predictions.arrays import write_npz
from handbench.predictions.matlab import VARIABLES, write_matlab, write_matlab73
from handbench.predictions.model import Floats, Predictions
from handbench.predictions.names import gap_in, published_names
from handbench.predictions.read import sidecar
from handbench.predictions.table import write_csv, write_parquet

SUFFIXES = (".txt", ".npz")
LAYOUTS = {
    "uvd": "text, u v d of each joint, three decimals, no names",
    "xyz": "text, x y z of each joint in mm, four decimals, no names",
    "named-uvd": "image name, TAB, u v d between TABs",
    "named-xyz": "image name, TAB, x y z between TABs, four decimals (denseReg)",
    "hands17": "submission to HANDS17: image path and x y z, a TAB behind each; zipped if the name ends in .zip",
    "matlab": "MATLAB 5, xyz (xyz_estimation; ICVL joint_est_wld_xyz; MSRA P0_xyz_estimation ...)",
    "matlab73": "the same as MATLAB 7.3 (HDF5)",
    "npz": "NumPy, uvd with frame keys and provenance, all digits",
    "csv": "comma-separated with a header, frame_key and u, v, d of each joint by name, all digits",
    "csv-xyz": "the same with x, y, z in mm",
    "parquet": "the columns of csv as Parquet (needs pyarrow)",
    "parquet-xyz": "the columns of csv-xyz as Parquet (needs pyarrow)",
}
_BY_SUFFIX = {".txt": "uvd", ".npz": "npz", ".csv": "csv", ".mat": "matlab", ".parquet": "parquet", ".zip": "hands17"}
_MATLAB_FLIP = {"nyu": "y", "msra": "yz"}  # what Ge et al. write, the raw sets' axes
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zero of zip: the same bytes each time


def layout_of(path: Path) -> str:
    """The layout that a file is written in by its suffix.

    Raises:
        HandbenchError: on another suffix.
    """
    layout = _BY_SUFFIX.get(path.suffix.lower())
    if layout is None:
        raise HandbenchError(f"{path.name} does not say its layout; name it {', '.join(_BY_SUFFIX)}, or pass --to")
    return layout


def require_layout(layout: str) -> None:
    """Refuse a layout that is none.

    Raises:
        HandbenchError: naming those there are.
    """
    if layout not in LAYOUTS:
        raise HandbenchError(f"unknown layout {layout!r}; there are {', '.join(LAYOUTS)}")


@dataclass(frozen=True)
class _Job:
    """What every writer gets.

    Attributes:
        path: what the file will be called.
        predictions: what to write.
        spec: whose hands they are.
        camera: of the uvd.
        flip: axes to turn in xyz; None for what the layout's makers do.
    """

    path: Path
    predictions: Predictions
    spec: DatasetSpec
    camera: Camera
    flip: str | None

    def xyz(self, usual: str = "") -> Floats:
        """(N, J, 3) mm, with the `usual` axes turned unless others are wanted."""
        axes = usual if self.flip is None else self.flip
        signs = np.array([-1.0 if axis in axes else 1.0 for axis in "xyz"])
        points: Floats = uvd_to_xyz(self.predictions.uvd, self.camera) * signs
        return points

    def names(self) -> tuple[str, ...]:
        """Image names.

        Raises:
            HandbenchError: without frame keys.
        """
        if self.predictions.frame_key is None:
            raise HandbenchError(
                f"{self.path.name}: this layout names frames, and {self.predictions.name} has lines alone; pass --list "
                "FILE with their names in that order"
            )
        return published_names(self.spec.name, self.predictions.frame_key)


def write_predictions(
    path: Path,
    predictions: Predictions,
    layout: str | None = None,
    spec: DatasetSpec | None = None,
    *,
    camera: Camera | None = None,
    flip: str | None = None,
) -> None:
    """Write predictions, whole or not at all; an older file of that name is replaced.

    Args:
        path: where to. Without `layout`, `.txt` is uvd text as it stands, frame by frame, and `.npz` the keyed file.
        predictions: what to write. The provenance goes into an NPZ, for other layouts to `<file>.json` beside it.
        layout: one of `LAYOUTS`. Those without names hold the frames in the order of the keys, if there are any.
        spec: the data set; needed with `layout`, but for NPZ.
        camera: that xyz is made with; the scoring camera of the data set if not said.
        flip: axes to turn in xyz ("" for none: x right, y down, z forward); None for the axes of the layout's makers,
            which only MATLAB files turn.

    Raises:
        HandbenchError: on another suffix or layout; for a layout with names without frame keys; if frames are
            missing in a layout without names.
    """
    if layout is None and path.suffix not in SUFFIXES:
        raise HandbenchError(f"predictions are written as {' or '.join(SUFFIXES)}, not as {path.name}")
    layout = layout or _BY_SUFFIX[path.suffix]
    require_layout(layout)
    with whole_or_nothing(path) as partial:
        if layout == "npz":
            write_npz(partial, path.name, predictions)
            return
        if spec is None and layout == "uvd":
            _savetxt(partial, predictions.uvd, 3)
        elif spec is None:
            raise HandbenchError(f"{path.name}: the layout {layout} needs a data set")
        else:
            job = _Job(path, _in_key_order(predictions, layout, path.name), spec, camera or spec.scoring_camera, flip)
            _WRITERS[layout](job, partial)
        if predictions.provenance or layout == "uvd":
            _write_sidecar(path, partial, predictions)


def _in_key_order(predictions: Predictions, layout: str, where: str) -> Predictions:
    """The frames as the published lists have them; a layout without names must not skip one."""
    keys = predictions.frame_key
    if keys is None:
        return predictions
    missing = gap_in(keys)
    if missing and layout in ("uvd", "xyz", "matlab", "matlab73"):
        raise HandbenchError(
            f"{where}: {layout} has no names, and frames before {missing} are missing; all later lines would shift. "
            "Write a layout with names (named-uvd, npz, csv)"
        )
    rows = sorted(range(len(keys)), key=keys.__getitem__)
    return replace(predictions, uvd=predictions.uvd[rows], frame_key=tuple(keys[row] for row in rows))


def _write_sidecar(path: Path, partial: Path, predictions: Predictions) -> None:
    sha256 = hashlib.sha256(partial.read_bytes()).hexdigest()
    with whole_or_nothing(sidecar(path)) as partial_sidecar:
        record = {"file": path.name, "sha256": sha256, "provenance": dict(predictions.provenance)}
        partial_sidecar.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _savetxt(path: Path, points: Floats, decimals: int) -> None:
    np.savetxt(path, points.reshape(len(points), -1), fmt=f"%.{decimals}f", delimiter=" ", newline="\n")


def _write_uvd(job: _Job, path: Path) -> None:
    _savetxt(path, job.predictions.uvd, 3)


def _write_xyz(job: _Job, path: Path) -> None:
    _savetxt(path, job.xyz(), 4)


def _write_named_uvd(job: _Job, path: Path) -> None:
    path.write_bytes(_named_lines(job.names(), job.predictions.uvd, 3, b"\n"))


def _write_named_xyz(job: _Job, path: Path) -> None:
    path.write_bytes(_named_lines(job.names(), job.xyz(), 4, b"\n"))


def _write_hands17(job: _Job, path: Path) -> None:
    """Source of the form: A2J's hands17.py; a TAB stands behind each field."""
    if job.spec.name != "hands17":
        raise HandbenchError(f"{job.path.name}: the layout hands17 is for predictions on hands17, not {job.spec.name}")
    lines = _named_lines(job.names(), job.xyz(), 4, b"\t\n")
    if job.path.suffix.lower() != ".zip":
        path.write_bytes(lines)
        return
    with ZipFile(path, "w") as archive:
        archive.writestr(ZipInfo(f"{job.path.stem}.txt", _EPOCH), lines, ZIP_DEFLATED)


def _named_lines(names: tuple[str, ...], points: Floats, decimals: int, end: bytes) -> bytes:
    row = "\t".join([f"%.{decimals}f"] * (points.shape[1] * 3))
    flat = points.reshape(len(points), -1).tolist()
    lines = (f"{name}\t{row % tuple(numbers)}".encode() for name, numbers in zip(names, flat, strict=True))
    return b"".join(line + end for line in lines)


def _write_matlab(job: _Job, path: Path) -> None:
    write_matlab(path, _matlab_variables(job))


def _write_matlab73(job: _Job, path: Path) -> None:
    write_matlab73(path, _matlab_variables(job))


def _matlab_variables(job: _Job) -> dict[str, Floats]:
    """The variables that Ge et al. publish; MSRA has one a subject."""
    xyz = job.xyz(_MATLAB_FLIP.get(job.spec.name, ""))
    if job.spec.name != "msra":
        return {VARIABLES.get(job.spec.name, "xyz_estimation"): xyz}
    keys = job.predictions.frame_key
    if keys is None:
        sizes = next((p.groups for p in job.spec.protocols if p.frames == len(xyz)), ())
        keys = tuple(name for name, size in sizes for _ in range(size))
    if not keys:
        raise HandbenchError(f"{job.path.name} needs the subject of each frame; pass --list FILE with their names")
    subjects = np.array([key.partition("/")[0] for key in keys])
    return {f"{subject}_xyz_estimation": xyz[subjects == subject] for subject in dict.fromkeys(subjects.tolist())}


def _write_csv(job: _Job, path: Path) -> None:
    write_csv(path, job.predictions.uvd, job.predictions.frame_key, job.spec.joints.labels, "uvd")


def _write_csv_xyz(job: _Job, path: Path) -> None:
    write_csv(path, job.xyz(), job.predictions.frame_key, job.spec.joints.labels, "xyz")


def _write_parquet(job: _Job, path: Path) -> None:
    write_parquet(path, job.predictions.uvd, job.predictions.frame_key, job.spec.joints.labels, "uvd")


def _write_parquet_xyz(job: _Job, path: Path) -> None:
    write_parquet(path, job.xyz(), job.predictions.frame_key, job.spec.joints.labels, "xyz")


_WRITERS: dict[str, Callable[[_Job, Path], None]] = {
    "uvd": _write_uvd,
    "xyz": _write_xyz,
    "named-uvd": _write_named_uvd,
    "named-xyz": _write_named_xyz,
    "hands17": _write_hands17,
    "matlab": _write_matlab,
    "matlab73": _write_matlab73,
    "csv": _write_csv,
    "csv-xyz": _write_csv_xyz,
    "parquet": _write_parquet,
    "parquet-xyz": _write_parquet_xyz,
}
