"""Centre files in circulation: text, three numbers a line or the word `invalid`, without a word about what they are.

Under one name there are columns, rows and depths (uvd), and points in mm with y up or y down (xyz); and a file of
another release, or with a line too many, has the same look. So a file is compared with where the hands are known to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, uvd_to_xyz
from handbench.converters.labels import numbers, token_grid
from handbench.errors import HandbenchError

Points = npt.NDArray[np.float64]

_INVALID = re.compile(rb"(?im)^[ \t]*invalid[ \t\r]*$")
_CLEARLY = 2 / 3  # share of frames in which the best reading must be nearer than any other
_NEAR_OFFSETS = 20  # lines; shifts that are looked for in every part of a file
_FAR_OFFSETS = 10  # how many larger shifts, the most likely ones, are looked for as well
_PART = 512  # frames; a shift of one line shows in so many
_SURE = 3.5  # standard deviations; NYU's true file, with up to 20 mm of noise on it, comes to 1.6 at most
_JITTER_MM = 1.0  # steps below this count for less: they are noise


@dataclass(frozen=True)
class Reading:
    """One way to read three numbers as a centre.

    Attributes:
        name: as on the command line.
        space: "uvd" or "xyz".
        axes: which way y and z point.
        signs: what x, y, z are multiplied by to get the camera frame; for uvd nothing.
    """

    name: str
    space: str
    axes: str
    signs: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def to_xyz(self, values: Points, camera: Camera) -> Points:
        """(N, 3) as read from the file to (N, 3) mm, camera frame, y down."""
        return uvd_to_xyz(values, camera) if self.space == "uvd" else values * np.array(self.signs)


READINGS = (
    Reading("uvd", "uvd", "rows downwards"),  # REN, TriHorn-Net, PixelwiseRegression
    Reading("xyz-y-down", "xyz", "y down, z forward"),  # V2V-PoseNet: ICVL, HANDS17
    Reading("xyz-y-up", "xyz", "y up, z forward", (1.0, -1.0, 1.0)),  # V2V-PoseNet, AWR: NYU, MSRA
    Reading("xyz-y-up-z-back", "xyz", "y up, z negative", (1.0, -1.0, -1.0)),  # MSRA's own axes
)
SPACES = ("auto", "uvd", "xyz", *(reading.name for reading in READINGS[1:]))


def read_center_file(path: Path) -> tuple[Points, bytes]:
    """Read a centre file.

    Blanks at line ends, CR LF and blank lines do not count.

    Returns:
        (N, 3) the numbers as they are, NaN for a line `invalid`; and the bytes of the file.

    Raises:
        HandbenchError: naming the file, and the line where there is one, if it cannot be read, is binary or empty, has
            a line that is neither three numbers nor `invalid`, or has no centre at all.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HandbenchError(f"cannot read {path}: {error.strerror or error}") from error
    if b"\0" in data:
        raise HandbenchError(f"{path} is a binary file; centres are read from text, three numbers a line")
    text, invalid = _INVALID.subn(b"nan nan nan", data.removeprefix(b"\xef\xbb\xbf"))
    starts, ends = token_grid(text, 3, path, 1)
    values = numbers(text, starts, ends, path, 1)
    if not len(values):
        raise HandbenchError(f"{path} is empty; expected one centre a line, three numbers each")
    bad = np.asarray(~np.isfinite(values).all(axis=1))
    if int(bad.sum()) != invalid:
        raise _not_finite(path, data)
    if bad.all():
        raise HandbenchError(f"{path}: all {len(bad):,} lines say `invalid`; there is no centre to import")
    return values, data


def _not_finite(path: Path, data: bytes) -> HandbenchError:
    """The message for a file with a number that is none, such as `nan`."""
    for line, text in enumerate(data.split(b"\n"), start=1):
        if text.split() and not _INVALID.match(text) and not np.isfinite([float(word) for word in text.split()]).all():
            shown = text.strip()[:40].decode(errors="backslashreplace")
            return HandbenchError(f"{path}, line {line}: {shown!r} is no centre; a frame without one says `invalid`")
    raise AssertionError(f"{path} was refused, but every line of it is good")


@dataclass(frozen=True)
class Read:
    """A file under one of its readings: (N, 3) mm, camera frame, one centre for each frame; NaN = none."""

    reading: Reading
    center_xyz: Points


@dataclass(frozen=True)
class Reference:
    """Where the hands of a split are known to be.

    Attributes:
        xyz: (N, 3) mm, camera frame; NaN = not known.
        kind: where that is from, for messages: "the mean of the true joints".
        plausible: how far from it the median centre may lie, mm.
    """

    xyz: Points
    kind: str
    plausible: float

    def distance(self, center_xyz: Points) -> Points:
        """(N,) mm; NaN where one of the two is not known."""
        distance: Points = np.linalg.norm(center_xyz - self.xyz, axis=1)
        return distance

    def median(self, read: Read) -> float:
        """Median distance, mm; infinite if there is nothing to compare."""
        distance = self.distance(read.center_xyz)
        known = distance[np.isfinite(distance)]
        return float(np.median(known)) if len(known) else float("inf")


def all_readings(values: Points, camera: Camera, space: str) -> list[Read]:
    """The numbers of a file (N, 3) under each reading that a word of `SPACES` leaves."""
    readings = [reading for reading in READINGS if space in ("auto", reading.space, reading.name)]
    return [Read(reading, reading.to_xyz(values, camera)) for reading in readings]


def check_reading(best: Read, others: Iterable[Read], reference: Reference, name: str) -> None:
    """Refuse the best reading if it is implausible, or not clearly better than another.

    Clearly better means nearer to the reference in two thirds of the frames.

    Raises:
        HandbenchError: for the file called `name`.
    """
    median = reference.median(best)
    if not median <= reference.plausible:
        raise HandbenchError(
            f"{name} does not fit: even read as {best.reading.name} its centres lie {median:,.0f} mm (median) from "
            f"{reference.kind}, more than a quarter of the cube ({reference.plausible:.0f} mm); "
            "it is of other frames, another release or another camera"
        )
    near = reference.distance(best.center_xyz)
    for other in others:
        far = reference.distance(other.center_xyz)
        known = np.isfinite(near) & np.isfinite(far)
        if other.reading is not best.reading and not np.mean(far[known] > near[known]) > _CLEARLY:
            raise HandbenchError(
                f"{name} could be {best.reading.name} or {other.reading.name}: read so, its centres lie "
                f"{median:.0f} or {np.median(far[known]):.0f} mm (median) from {reference.kind}; say which with --space"
            )


@dataclass(frozen=True)
class Shift:
    """Lines that belong to other frames.

    Attributes:
        row: the first row of the part in which they do; 0 if it is the whole file.
        offset: line `row + offset` belongs to row `row`.
    """

    row: int
    offset: int


def find_shift(center_xyz: Points, reference_xyz: Points) -> Shift | None:
    """Whether the centres follow the hands better at another place.

    Hands hardly move from one frame to the next, so that distances do not tell a shift by a line. Steps do: the
    direction of a centre's step agrees with that of the hand's only in the same frame. The gain in agreement by a shift
    is summed over the whole and over parts of 512, 1,024, ... frames, and has to be 3.5 standard deviations.

    Args:
        center_xyz: (N, 3) mm; NaN = none.
        reference_xyz: (N, 3) mm, where the hands are; NaN = not known.

    Returns:
        The most certain shift, or None.
    """
    centers, hands = _steps(center_xyz), _steps(reference_xyz)
    here = (centers * hands).sum(axis=1)
    found: tuple[float, int, Shift] | None = None
    for offset in _offsets(centers, hands):
        there = _moved(centers, offset)
        # Lines that the shift would take from beyond the file count for neither side.
        gain = np.where(np.isfinite(there[:, 0]), (np.nan_to_num(there) * hands).sum(axis=1) - here, 0.0)
        for length in _lengths(len(gain)):
            sure = _certainty(gain, length)
            part = int(np.argmax(sure))
            if sure[part] > _SURE and (found is None or sure[part] > found[0]):
                found = float(sure[part]), length, Shift(part * length, offset)
    return found[2] if found else None


def follows(center_xyz: Points, reference_xyz: Points) -> bool:
    """Whether the centres move as the hands do; true where there are too few steps to tell (fewer than 100)."""
    agreement = (_steps(center_xyz) * _steps(reference_xyz)).sum(axis=1)
    return int(np.count_nonzero(agreement)) < 100 or float(_certainty(agreement, len(agreement))[0]) > _SURE


def _steps(xyz: Points) -> Points:
    """(N, 3) direction of the step to each frame from the one before; shorter for steps of less than a millimetre."""
    steps = np.diff(xyz, axis=0, prepend=xyz[:1])
    steps /= np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), _JITTER_MM)
    return np.nan_to_num(steps)


def _offsets(centers: Points, hands: Points) -> list[int]:
    """Shifts worth a look: small ones, and the peaks of the correlation over all."""
    frames = len(hands)
    size = 1 << (2 * frames).bit_length()
    spectrum = np.fft.rfft(centers, size, axis=0) * np.fft.rfft(hands, size, axis=0).conj()
    correlation = np.fft.irfft(spectrum.sum(axis=1), size)
    peaks = np.argsort(-correlation)[: _FAR_OFFSETS + 2 * _NEAR_OFFSETS + 1]
    peaks = np.where(peaks < size // 2, peaks, peaks - size)
    near = np.arange(-_NEAR_OFFSETS, _NEAR_OFFSETS + 1)
    return [k for k in np.union1d(peaks, near).tolist() if k and abs(k) < frames]


def _moved(rows: Points, offset: int) -> Points:
    """Row i + offset in the place of row i; NaN where there is none."""
    moved = np.full_like(rows, np.nan)
    if offset > 0:
        moved[:-offset] = rows[offset:]
    else:
        moved[-offset:] = rows[:offset]
    return moved


def _lengths(frames: int) -> list[int]:
    """Lengths of the parts that are looked at, and the whole."""
    lengths = [frames]
    while (length := _PART << (len(lengths) - 1)) < frames:
        lengths.append(length)
    return lengths


def _certainty(terms: Points, length: int) -> Points:
    """Sum of each part over its standard deviation if the terms had no mean."""
    starts = np.arange(0, len(terms), length)
    total, square = np.add.reduceat(terms, starts), np.add.reduceat(terms**2, starts)
    return np.divide(total, np.sqrt(square), out=np.zeros_like(total), where=square > 0)
