"""From the numbers of a file to uvd of the scored joints: space, axes, unit, camera, order of joints and of frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from handbench.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handbench.datasets import DatasetSpec
from handbench.errors import HandbenchError
from handbench.predictions.anatomy import flip_of
from handbench.predictions.model import Floats, RawPoints
from handbench.predictions.orders import JointOrder, known_orders, order_of

UNITS = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
_NEGATIVE = 0.05  # share of points left of or above the image; files in uvd have next to none, xyz has about half
_LIMIT = 1e5  # px or mm, far outside of any image and any room: a point or an exponent went astray
_LAYOUT_FLIP = {("matlab", "nyu"): "y", ("matlab", "msra"): "y"}  # Ge et al. write the raw sets' axes
_FIXED_AXES = ("csv", "parquet", "npz")  # name their axes x, y, z: the camera frame, unless the hands say otherwise


@dataclass(frozen=True)
class Reading:
    """How to read a file, as far as it is not for the file to say. All of it can be left out.

    Attributes:
        space: "uvd" or "xyz"; None: the layout or the numbers tell.
        flip: axes of x, y, z that point against the camera frame (x right, y down, z forward), such as "y" or "yz", ""
            for none; None: the hands tell where the points are xyz, and nothing is flipped where they are uvd.
        swap: whether rows come before columns (v, u, d; y, x, z).
        unit: of lengths, one of `UNITS`; columns and rows of uvd are px in any case.
        camera: that the file's uvd was projected with; None: the one they are wanted for.
        order: of the joints; None: names or number of the joints tell.
        frames: (first, last) lines of the file, from 1, both included, in the order that they are wanted in; None: all.
        variable: of a MATLAB or NumPy file.

    Raises:
        HandbenchError: on an unknown space, axis or unit.
    """

    space: str | None = None
    flip: str | None = None
    swap: bool = False
    unit: str = "mm"
    camera: Camera | None = None
    order: JointOrder | None = None
    frames: tuple[tuple[int, int], ...] | None = None
    variable: str | None = None

    def __post_init__(self) -> None:
        if self.space not in (None, "uvd", "xyz"):
            raise HandbenchError(f"unknown space {self.space!r}; points are uvd or xyz")
        if self.flip is not None and not set(self.flip) <= set("xyz"):
            raise HandbenchError(f"unknown axes to flip {self.flip!r}; name some of x, y, z, or none")
        if self.unit not in UNITS:
            raise HandbenchError(f"unknown unit {self.unit!r}; there are {', '.join(UNITS)}")


def settle(raw: RawPoints, spec: DatasetSpec, reading: Reading, where: str) -> Reading:
    """The reading with nothing left open: space, axes and order of the joints.

    Args:
        raw: what the file holds.
        spec: whose hands they are.
        reading: what is known besides.
        where: name of the file for messages.

    Raises:
        HandbenchError: if the joints are not those of the data set, or the numbers do not tell what they are.
    """
    order = reading.order or _order_of_file(raw, spec, where)
    if order.count > raw.values.shape[1]:
        raise HandbenchError(
            f"{where} has {raw.values.shape[1]} joints, the joint order {order.name} takes {order.count}"
        )
    points = _take(raw.values, order, reading)
    space = reading.space or raw.space or guess_space(points)
    flip = reading.flip
    if flip is None:
        flip = "" if space == "uvd" else flip_of(points, spec)
    if flip is None:
        flip = _flip_by_layout(points, raw.layout, spec, where)
    return replace(reading, space=space, flip=flip, order=order)


def to_xyz(values: Floats, settled: Reading, camera: Camera) -> Floats:
    """The scored joints in the camera frame.

    Args:
        values: (N, J, 3) as the file has them.
        settled: as from `settle`.
        camera: of uvd, if the reading names no other.

    Returns:
        (N, J, 3) mm, x right, y down, z forward.
    """
    assert settled.order is not None
    points = _take(values, settled.order, settled)
    if settled.space == "xyz":
        xyz: Floats = points * (_signs(settled.flip or "") * UNITS[settled.unit])
        return xyz
    if settled.unit != "mm":
        points = points * np.array([1.0, 1.0, UNITS[settled.unit]])
    xyz = uvd_to_xyz(points, settled.camera or camera)
    return xyz * _signs(settled.flip) if settled.flip else xyz


def to_uvd(values: Floats, settled: Reading, camera: Camera, where: str) -> Floats:
    """The scored joints in the image; numbers that need no change keep every bit.

    Args:
        values: (N, J, 3) as the file has them.
        settled: as from `settle`.
        camera: that the uvd are wanted for.
        where: name of the file for messages.

    Returns:
        (N, J, 3) column px, row px, depth mm; NaN for a joint at the origin, as trackers write what they do not see.

    Raises:
        HandbenchError: if a joint lies in the camera itself.
    """
    assert settled.order is not None
    if settled.space == "uvd" and not settled.flip and settled.unit == "mm" and settled.camera in (None, camera):
        return _take(values, settled.order, settled)
    xyz = to_xyz(values, settled, camera)
    in_camera = xyz[..., 2] == 0
    if in_camera.any():
        xyz[in_camera & (xyz[..., 0] == 0) & (xyz[..., 1] == 0)] = np.nan
        frame = next(iter(np.flatnonzero((xyz[..., 2] == 0).any(axis=1)).tolist()), None)
        if frame is not None:
            raise HandbenchError(f"{where}, frame {frame + 1}: a joint lies at z = 0, in the camera itself")
    return xyz_to_uvd(xyz, camera)


def title(settled: Reading) -> str:
    """A settled reading in words: "uvd", "xyz, y up"."""
    axes = {"x": "x left", "y": "y up", "z": "z negative"}
    words = [settled.space or "", *(axes[axis] for axis in settled.flip or "")]
    if settled.space == "xyz" and "y" not in (settled.flip or ""):
        words.append("y down")
    return ", ".join(words + ([settled.unit] if settled.unit != "mm" else []))


def guess_space(points: Floats) -> str:
    """What the numbers can be: "xyz" if they cannot be columns, rows and depths, else "uvd".

    Args:
        points: (N, J, 3) as the file has them.
    """
    negative = (points[..., 0] < 0) | (points[..., 1] < 0)
    return "xyz" if negative.mean() > _NEGATIVE or (points[..., 2] < 0).mean() > 0.5 else "uvd"


def require_sane(values: Floats, where: str, names: tuple[str, ...] | None) -> None:
    """Refuse numbers that no hand can have: infinities, and what lost its point or exponent.

    Raises:
        HandbenchError: naming the first frame with such a number.
    """
    biggest, smallest = np.nanmax(values, initial=0.0), np.nanmin(values, initial=0.0)
    if biggest <= _LIMIT and smallest >= -_LIMIT:
        return
    frame, joint, axis = (int(i) for i in np.argwhere(np.abs(values) > _LIMIT)[0])
    which = names[frame] if names else f"frame {frame + 1}"
    raise HandbenchError(
        f"{where}, {which}: joint {joint} has {values[frame, joint, axis]:.6g}, which is no position in px, mm or m; "
        "the file is damaged, or holds something else"
    )


def select_frames(count: int, frames: tuple[tuple[int, int], ...], where: str) -> list[int]:
    """Indices of lines, from ranges that count from 1 and include both ends.

    Raises:
        HandbenchError: if a range is empty or beyond the file.
    """
    for first, last in frames:
        if not 1 <= first <= last <= count:
            raise HandbenchError(f"{where} has frames 1 to {count:,}; --frames asks for {first}-{last}")
    return [i for first, last in frames for i in range(first - 1, last)]


def _order_of_file(raw: RawPoints, spec: DatasetSpec, where: str) -> JointOrder:
    """The order by the names of the joints where these are known, else by their number."""
    count = raw.values.shape[1]
    labels = [label.lower() for label in spec.joints.labels]
    for wanted in (labels, [spec.joints.names[i].lower() for i in spec.joints.scored]):
        given = [joint.lower() for joint in raw.joints]
        if set(wanted) <= set(given):
            return JointOrder("named", "by name", count, tuple(given.index(joint) for joint in wanted))
    order = order_of(count, spec)
    if order is None:
        known = ", ".join(f"{known.count} ({known.name})" for known in known_orders(spec))
        raise HandbenchError(f"{where} has {count} joints a frame; files of {spec.name} have {known}")
    return order


def _take(values: Floats, order: JointOrder, reading: Reading) -> Floats:
    """The scored joints, columns before rows."""
    if order.take != tuple(range(values.shape[1])):
        values = values[:, list(order.take)]
    return values[:, :, [1, 0, 2]] if reading.swap else values


def _flip_by_layout(points: Floats, layout: str, spec: DatasetSpec, where: str) -> str:
    """What the makers of a layout do with the axes, where the hands do not tell."""
    z = "z" if (points[..., 2] < 0).mean() > 0.5 else ""
    layout = layout.removesuffix("73")
    if spec.name not in ("nyu", "msra") or layout in _FIXED_AXES or layout == "named":
        return z
    flip = _LAYOUT_FLIP.get((layout, spec.name))
    if flip is None:
        raise HandbenchError(
            f"{where} holds xyz, and its hands do not tell whether y points up or down; read it with handbench "
            f"predictions convert ... --space xyz --flip {z or 'none'} (y down) or --flip y{z} (y up), and see that "
            "the joints are in the scored order"
        )
    return flip + z


def _signs(flip: str) -> Floats:
    return np.array([-1.0 if axis in flip else 1.0 for axis in "xyz"])
