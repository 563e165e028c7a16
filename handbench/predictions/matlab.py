"""MATLAB files of predictions and labels: version 5, and version 7.3, which is HDF5, through h5py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from handbench.errors import HandbenchError
from handbench.mat5 import real_matrices
from handbench.predictions.model import Floats, RawPoints

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512  # bytes before the HDF5 part, where MATLAB writes what it is
_FOLD = re.compile(r"P(\d)_xyz_estimation")
_XYZ = re.compile(r"xyz|wld|world", re.IGNORECASE)
_UVD = re.compile(r"uvd|keypoints3D", re.IGNORECASE)  # A2J's labels are called keypoints3D and are uvd
_CONFIDENCE = "pred_joint_uvconf"  # the NYU authors' test_predictions.mat: u, v, confidence
VARIABLES = {"nyu": "xyz_estimation", "icvl": "joint_est_wld_xyz"}  # Ge et al.; MSRA has P0_xyz_estimation, ...


def parse_matlab(data: bytes, where: str, joints: tuple[int, ...] = (), variable: str | None = None) -> RawPoints:
    """The points of a MATLAB file.

    Args:
        data: the bytes of the file.
        where: name of the file for messages.
        joints: how many joints the points may have; empty if that is not known.
        variable: which one to take; the known ones, or the only one of a fitting shape, if not said.

    Returns:
        layout "matlab" or "matlab73"; `P0_xyz_estimation` and so on one after the other.

    Raises:
        HandbenchError: if the file is damaged, or has no such variable, or more than one.
    """
    is_hdf5 = data.startswith(HDF5_MAGIC) or data[_USER_BLOCK : _USER_BLOCK + len(HDF5_MAGIC)] == HDF5_MAGIC
    try:
        arrays = _read_hdf5(data) if is_hdf5 else real_matrices(data)
    except Exception as error:  # h5py raises whatever a damaged byte leads it to
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise HandbenchError(f"{where} is a damaged MATLAB file: {said}") from error
    names = _choose(arrays, where, joints, variable)
    parts = [_points(arrays[name], joints, f"{where}, variable {name}") for name in names]
    if len({part.shape[1] for part in parts}) > 1:
        raise HandbenchError(f"{where}: {', '.join(names)} have different numbers of joints")
    space = "uvd" if _UVD.search(names[0]) else "xyz" if _XYZ.search(names[0]) else ""
    return RawPoints("matlab73" if is_hdf5 else "matlab", np.concatenate(parts), space)


def write_matlab(path: Path, arrays: Mapping[str, Floats]) -> None:
    """Write variables as MATLAB 5, the same bytes each time."""
    from scipy.io import savemat

    buffer = BytesIO()
    savemat(buffer, dict(arrays), do_compression=True)  # type: ignore[arg-type]  # as above
    header = b"MATLAB 5.0 MAT-file, written by handbench".ljust(116)  # SciPy writes the time of day here
    path.write_bytes(header + buffer.getvalue()[len(header) :])


def write_matlab73(path: Path, arrays: Mapping[str, Floats]) -> None:
    """Write variables as MATLAB 7.3: HDF5 with the axes in MATLAB's order, behind 512 bytes that say so."""
    import h5py

    with h5py.File(path, "w", userblock_size=_USER_BLOCK, track_order=False) as file:
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=array.T, compression="gzip", track_times=False)
            dataset.attrs["MATLAB_class"] = np.bytes_("double")
    header = b"MATLAB 7.3 MAT-file, written by handbench".ljust(124) + b"\x00\x02IM"  # version 2.0, little endian
    with path.open("r+b") as raw:
        raw.write(header)


def _read_hdf5(data: bytes) -> dict[str, Any]:
    import h5py

    with h5py.File(BytesIO(data), "r") as file:
        kept = {
            name: item for name, item in file.items() if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu"
        }
        for name, item in kept.items():
            if item.size * item.dtype.itemsize > 50 * max(len(data), 1 << 20):
                raise ValueError(f"{name} claims to hold {item.size:,} numbers")
        return {name: np.asarray(item).T for name, item in kept.items()}  # MATLAB counts axes the other way round


def _choose(arrays: Mapping[str, Any], where: str, joints: tuple[int, ...], variable: str | None) -> list[str]:
    """The variables that hold the points."""
    if variable is not None:
        if variable not in arrays:
            raise HandbenchError(f"{where} has no variable {variable}; it has {', '.join(arrays) or 'none'}")
        return [variable]
    folds = sorted(name for name in arrays if _FOLD.fullmatch(name))
    known = [name for name in (*VARIABLES.values(), "keypoints3D", "joint_uvd") if name in arrays]
    if _CONFIDENCE in arrays:
        raise HandbenchError(f"{where}: {_CONFIDENCE} holds u, v and a confidence, no depth; there is nothing to score")
    if folds or known:
        return folds or known[:1]
    fitting = [name for name, value in arrays.items() if _fits(value, joints)]
    if len(fitting) == 1:
        return fitting
    held = ", ".join(f"{name} {np.shape(value)}" for name, value in arrays.items()) or "nothing"
    if fitting:
        raise HandbenchError(f"{where}: {', '.join(fitting)} could all be the points; name one with --variable")
    raise HandbenchError(f"{where} has no variable of shape (frames, joints, 3); it holds {held}")


def _fits(value: Any, joints: tuple[int, ...]) -> bool:
    try:
        _points(value, joints, "")
    except HandbenchError:
        return False
    return True


def _points(value: Any, joints: tuple[int, ...], where: str) -> Floats:
    """(N, J, 3) of an array with its axes in whatever order: frames first, or last as MATLAB likes it."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.size == 0:
        raise HandbenchError(f"{where} is no array of numbers; predictions are (frames, joints, 3)")
    if array.ndim == 4 and array.shape[0] in (1, 3):  # the NYU authors' labels: (view, frame, joint, 3), view 1 scored
        array = array[0]
    points = as_points(array.astype(np.float64), joints)
    if points is None:
        wanted = f"(frames, {' or '.join(map(str, joints)) or 'joints'}, 3)"
        raise HandbenchError(f"{where} has shape {array.shape}, expected {wanted}")
    return points


def as_points(array: Floats, joints: tuple[int, ...]) -> Floats | None:
    """(N, J, 3) of an array that is (N, J, 3), (N, 3, J), (J, 3, N), (3, J, N) or (N, 3 J); None if it is neither.

    Args:
        array: numbers.
        joints: the numbers of joints that may be; empty for any.
    """
    if array.ndim == 2 and array.shape[1] % 3 == 0 and (not joints or array.shape[1] // 3 in joints):
        return array.reshape(len(array), -1, 3)
    if array.ndim != 3:
        return None
    for axes in ((0, 1, 2), (2, 0, 1), (2, 1, 0), (0, 2, 1)):
        turned = array.transpose(axes)
        if turned.shape[2] == 3 and (turned.shape[1] in joints or (not joints and 2 < turned.shape[1] < 100)):
            return np.ascontiguousarray(turned)
    return None
