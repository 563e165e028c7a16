"""Read a predictions file of any layout: told by its content, never by its suffix alone."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

from handbench.camera import Camera
from handbench.datasets import DatasetSpec, dataset, dataset_names
from handbench.errors import HandbenchError
from handbench.predictions.arrays import parse_npy, parse_npz
from handbench.predictions.matlab import HDF5_MAGIC, parse_matlab
from handbench.predictions.model import Floats, Predictions, RawPoints
from handbench.predictions.names import dataset_of_name, frame_keys
from handbench.predictions.orders import known_orders
from handbench.predictions.reading import Reading, require_sane, select_frames, settle, title, to_uvd
from handbench.predictions.table import parse_parquet
from handbench.predictions.text import parse_text

_SUFFIXES_OFF = (".gz", ".zip")


def read_predictions(
    path: Path,
    joints: int | None = None,
    spec: DatasetSpec | None = None,
    *,
    camera: Camera | None = None,
    reading: Reading | None = None,
) -> Predictions:
    """Read a predictions file, or a label file of the same form.

    Args:
        path: of any layout of docs/predictions.md; its content says which.
        joints: J, how many joints are scored; by `spec` if not said.
        spec: the data set. Needed for xyz and for joints in another order; NYU and ICVL are known by their `joints`.
        camera: that xyz is projected with; the scoring camera of the data set if not said.
        reading: what the file does not say itself.

    Returns:
        The predictions in uvd, named after the file, the scored joints in their order. A file with names has its frames
        in the order of the published lists, which is the order of the keys; NPZ keeps its own. `provenance` comes out
        of an NPZ, or from `<file>.json` beside another file.

    Raises:
        HandbenchError: naming the file, and the line where there is one, if it is missing, empty, damaged, not of the
            data set, or does not say what its numbers are.
    """
    data = read_bytes(path)
    source = {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    reading = reading or Reading()
    spec = spec or _spec_of(joints)
    raw = parse(data, str(path), spec, joints, reading.variable)
    del data  # 200 MB of a large submission
    raw = _only_frames(raw, reading, str(path))
    require_sane(raw.values, str(path), raw.names)
    spec = spec or _spec_of_names(raw, joints)
    if spec is None:
        uvd, read_as = _without_spec(raw, joints, reading, str(path)), "uvd"
    else:
        settled = settle(raw, spec, reading, str(path))
        uvd, read_as = to_uvd(raw.values, settled, camera or spec.scoring_camera, str(path)), title(settled)
    keys = raw.names
    if keys and raw.layout != "npz":
        uvd, keys = in_key_order(uvd, frame_keys(spec.name if spec else "", keys, str(path)))
    if raw.layout != "text" or read_as != "uvd":
        source |= {"layout": raw.layout, "read_as": read_as}
    return Predictions(_name_of(path), uvd, keys, raw.provenance or _read_sidecar(path, source["sha256"]), source)


def read_bytes(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        HandbenchError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error


def parse(
    data: bytes, where: str, spec: DatasetSpec | None = None, joints: int | None = None, variable: str | None = None
) -> RawPoints:
    """The numbers of a file as they stand.

    Args:
        data: the bytes of the file.
        where: name of the file for messages.
        spec: the data set, if it is known: it says how many joints there may be.
        joints: how many joints are scored, if that is known.
        variable: of a MATLAB or NumPy file.

    Raises:
        HandbenchError: if the file is damaged or of no known layout.
    """
    counts = tuple(dict.fromkeys(order.count for order in known_orders(spec))) if spec else (joints,) if joints else ()
    if data[:2] == b"\x1f\x8b":
        return parse(_gunzip(data, where), where, spec, joints, variable)
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _parse_zip(data, where, spec, joints, variable, counts)
    if data.startswith((b"MATLAB 5.0 MAT", b"MATLAB 7.3 MAT", HDF5_MAGIC)):
        return parse_matlab(data, where, counts, variable)
    if data[:4] == b"PAR1":
        return parse_parquet(data, where)
    if data[:6] == b"\x93NUMPY":
        return parse_npy(data, where, counts)
    if where.lower().endswith((".mat", ".npz", ".npy", ".parquet", ".h5")):
        kind = Path(where).suffix
        raise HandbenchError(f"{where} is called {kind} and does not begin like one; it is damaged or something else")
    return parse_text(data, where, _joints_of_line(data, counts))


def sidecar(path: Path) -> Path:
    """Where the provenance of a file without room for it lies: `<file>.json`."""
    return path.with_name(f"{path.name}.json")


def guess_dataset(path: Path) -> DatasetSpec | None:
    """The data set of a file by the names of its frames, or by its joints where only one of ours has so many.

    Raises:
        HandbenchError: if the file cannot be read.
    """
    raw = parse(read_bytes(path), str(path))
    return _spec_of_names(raw, None) or _spec_of(raw.values.shape[1])


def _joints_of_line(data: bytes, counts: tuple[int, ...]) -> int | None:
    """How many joints the lines of a text must have: the scored ones, unless the first line has another known count."""
    if not counts:
        return None
    words = len(data[: 1 << 16].partition(b"\n")[0].replace(b",", b" ").replace(b";", b" ").split())
    return next((count for count in counts if words in (3 * count, 3 * count + 1)), counts[0])


def _gunzip(data: bytes, where: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise HandbenchError(f"{where} is a damaged gzip file: {error}") from error


def _parse_zip(
    data: bytes, where: str, spec: DatasetSpec | None, joints: int | None, variable: str | None, counts: tuple[int, ...]
) -> RawPoints:
    """An NPZ, or a single file in an archive, as challenges take them."""
    if not is_zipfile(BytesIO(data)) or where.lower().endswith(".npz"):
        return parse_npz(data, where, counts, variable)
    try:
        with ZipFile(BytesIO(data)) as archive:
            members = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            if members and all(name.endswith(".npy") for name in members):
                return parse_npz(data, where, counts, variable)
            if len(members) != 1 or members[0].lower().endswith((".zip", ".gz")):
                raise HandbenchError(
                    f"{where} holds {len(members)} files; an archive of predictions holds a single one"
                )
            inner = archive.read(members[0])
    except HandbenchError:
        raise
    except Exception as error:  # zipfile raises whatever a damaged byte leads it to
        raise HandbenchError(f"{where} is a damaged zip archive: {str(error) or type(error).__name__}") from error
    return parse(inner, f"{where}/{members[0]}", spec, joints, variable)


def _only_frames(raw: RawPoints, reading: Reading, where: str) -> RawPoints:
    if reading.frames is None:
        return raw
    rows = select_frames(len(raw.values), reading.frames, where)
    names = tuple(raw.names[row] for row in rows) if raw.names else None
    return RawPoints(raw.layout, raw.values[rows], raw.space, names, raw.joints, raw.provenance)


def _spec_of(joints: int | None) -> DatasetSpec | None:
    """The only data set of ours that is scored on so many joints."""
    if joints is None:
        return None
    fitting = [
        spec for name in ("nyu", "icvl", "msra", "hands17") if len((spec := dataset(name)).joints.scored) == joints
    ]
    return fitting[0] if len(fitting) == 1 else None


def _spec_of_names(raw: RawPoints, joints: int | None) -> DatasetSpec | None:
    """The data set that the first name of a file belongs to."""
    found = dataset_of_name(raw.names[0]) if raw.names else ""
    if not found or found not in dataset_names() or joints not in (None, len(dataset(found).joints.scored)):
        return None
    return dataset(found)


def _without_spec(raw: RawPoints, joints: int | None, reading: Reading, where: str) -> Floats:
    """The uvd of a data set that is not known."""
    count = raw.values.shape[1]
    if joints not in (None, count):
        raise HandbenchError(f"{where} has {count} joints a frame, expected {joints}")
    if raw.space == "xyz" or reading != Reading(variable=reading.variable, frames=reading.frames):
        raise HandbenchError(f"{where} holds xyz; say of which data set, so that the camera is known")
    return raw.values


def in_key_order(uvd: Floats, keys: tuple[str, ...]) -> tuple[Floats, tuple[str, ...]]:
    """Points and keys sorted by key: the order of the published lists, whose numbers have leading zeros.

    Args:
        uvd: (N, J, 3), of any space.
        keys: N.
    """
    rows = sorted(range(len(keys)), key=keys.__getitem__)
    return (uvd, keys) if rows == list(range(len(keys))) else (uvd[rows], tuple(keys[row] for row in rows))


def _name_of(path: Path) -> str:
    stem = path.name
    for suffix in _SUFFIXES_OFF:
        stem = stem.removesuffix(suffix)
    return stem if stem != path.name and "." not in stem else Path(stem).stem


def _read_sidecar(path: Path, sha256: str) -> dict[str, Any]:
    """Provenance beside a file; empty if there is none."""
    beside = sidecar(path)
    if not beside.is_file():
        return {}
    try:
        record = json.loads(beside.read_bytes())
        described, provenance = record["sha256"], dict(record["provenance"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HandbenchError(f"{beside} is not the provenance of a predictions file; remove it to go on") from error
    if described != sha256:
        raise HandbenchError(f"{beside} describes another {path.name} (its sha256 differs); remove it to go on")
    return provenance
