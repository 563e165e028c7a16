"""Whether depth unit and camera of a store can be right: what its frames and hands measure in mm.

Nothing in a depth image says how large its steps are, or what lens it was taken through. But hands have a size: what
the box of a frame shows must be as large as one, and lie where one can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, uvd_to_xyz, xyz_to_uvd
from handbench.store import Split, Store

# A palm is 70 to 95 mm broad; with a part of the arm or a thumb beside it more, from the side less. Medians over frames
# of the four data sets, synthetic, and of a Kinect: 57 to 95 mm.
_DISC_MM = (40.0, 140.0)
_LEAST_EXTENT_MM = 60.0  # a fist is 80 mm long; upwards the box is the limit
_HAND_Z_MM = (120.0, 2000.0)  # hands of the four data sets lie between 150 and 1500 mm
_FIELD_OF_VIEW_DEG = (30.0, 125.0)  # depth cameras have 55 (Xtion) to 120 (Azure Kinect, wide)
_OFF_CENTER = 0.2  # of the side: how far a principal point may lie from the middle of the image
_SQUARE = 0.1  # relative difference of fx and fy
_HAND_PIXELS = 100  # less is a speck
_HAND_SHARE = 0.3  # of the image; the nearest hands of the four data sets fill a tenth
_JOINT_MM = 60.0  # a joint lies so near to the surface before it, unless something hides it
_JOINTS_SHARE = 0.5
_UNITS = (10.0, 100.0, 1000.0, 0.1, 0.01, 0.001)
_USUAL_Z_MM = (200.0, 1300.0)
_USUAL_DEPTH_MM = (300.0, 4000.0)  # median of a frame: hands alone, or the room behind them
_FARTHEST_MM = 20000.0  # no depth camera that sees a hand sees that far

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HandView:
    """What the box of one frame shows.

    Attributes:
        row: of the split.
        pixels: how many pixels of the frame lie in the box.
        center_z_mm: depth of the centre.
        extent_mm: from the 1st to the 99th percentile of x, y, z of those pixels.
        disc_mm: diameter of the largest disc that fits into the surface that lies in the depth of the box, its middle
            inside the box: the palm, where a hand is seen from the front.
        box_px: columns of the frame across the box.
    """

    row: int
    pixels: int
    center_z_mm: float
    extent_mm: tuple[float, float, float]
    disc_mm: float
    box_px: float


@dataclass(frozen=True)
class CameraCheck:
    """What some frames of a split measure.

    Attributes:
        frames: how many were looked at.
        with_center: how many of them have a centre in front of the camera.
        valid_share: share of their pixels with depth.
        depth_mm: least, 1st percentile, median, 99th percentile and greatest depth; NaN if there is none.
        hands: of the frames whose box holds a pixel.
        joints_near_surface: share of labelled joints that lie within 60 mm of the surface seen at their pixel; NaN
            without labels.
        field_of_view_deg: across and down.
        warnings: what cannot be right, a line each; none = nothing odd.
    """

    frames: int
    with_center: int
    valid_share: float
    depth_mm: tuple[float, float, float, float, float]
    hands: tuple[HandView, ...]
    joints_near_surface: float
    field_of_view_deg: tuple[float, float]
    warnings: tuple[str, ...] = ()

    def median(self, name: str) -> float:
        """Median of an attribute over the hands; NaN if there are none."""
        return float(np.median([getattr(hand, name) for hand in self.hands])) if self.hands else math.nan

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Median extent along x, y, z; NaN if there are no hands."""
        if not self.hands:
            return math.nan, math.nan, math.nan
        x, y, z = np.median([hand.extent_mm for hand in self.hands], axis=0).tolist()
        return x, y, z

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        summary = {
            "hand_z_mm": self.median("center_z_mm"),
            "hand_extent_mm": list(self.extent_mm),
            "palm_disc_mm": self.median("disc_mm"),
            "hand_pixels": self.median("pixels"),
            "box_px": self.median("box_px"),
        }
        return {**asdict(self), **summary}


def check_camera(
    store: Store, split: Split, count: int, advance: Callable[[int], None] = lambda n: None
) -> CameraCheck:
    """Measure frames spread over a split.

    Args:
        store: of whole frames or windows; in windows depth range and valid share are those of the windows.
        split: of the store.
        count: at most so many frames whose status is OK; where none is, any.
        advance: told of every frame.

    Raises:
        HandbenchError: if depth is damaged.
    """
    rows = spread(np.flatnonzero(split.usable) if split.usable.any() else np.arange(len(split)), count)
    depths, hands, near, shown = [], [], [], 0
    for row in rows.tolist():
        depth, origin = split.window(row)
        depths.append(depth[depth > 0])
        shown += depth.size
        view = hand_view(depth, origin, split.center_xyz[row], split.cube[row], store.camera, row)
        hands += [view] if view is not None else []
        near.append(_joints_near(depth, origin, _scored(store, split, row), store.camera))
        advance(1)
    valid = np.concatenate(depths) if depths else np.empty(0)
    labelled = np.concatenate(near) if near else np.empty(0, bool)
    camera = store.camera
    fov = tuple(math.degrees(2 * math.atan(side / 2 / f)) for side, f in _sides(camera))
    with_center = int((np.nan_to_num(split.center_xyz[rows, 2], nan=0.0) > 0).sum())
    facts = CameraCheck(
        frames=len(rows),
        with_center=with_center,
        valid_share=len(valid) / shown if shown else math.nan,
        depth_mm=_five(valid),
        hands=tuple(hands),
        joints_near_surface=float(labelled.mean()) if len(labelled) else math.nan,
        field_of_view_deg=(fov[0], fov[1]),
    )
    found = *_camera_warnings(camera), *_depth_warnings(facts), *_hand_warnings(facts, camera.width * camera.height)
    return replace(facts, warnings=found)


def hand_view(
    depth: npt.NDArray[Any],
    origin: npt.NDArray[Any],
    center_xyz: npt.NDArray[Any],
    cube: npt.NDArray[Any],
    camera: Camera,
    row: int = 0,
) -> HandView | None:
    """What the box of a frame shows.

    Args:
        depth: (H, W) mm, 0 = missing: a frame or a window.
        origin: (2,) u, v of its first pixel in the frame.
        center_xyz: (3,) mm, camera frame; NaN = no box.
        cube: (3,) full sides, mm.
        camera: of the frame.
        row: what to call the frame.

    Returns:
        None if there is no box in front of the camera, or no pixel in it.
    """
    center, half = center_xyz.astype(np.float64), cube.astype(np.float64) / 2
    if not (np.isfinite(center).all() and center[2] > 0):
        return None
    xyz = cloud(depth, origin, camera)
    offset = np.abs(xyz - center)
    near = (depth > 0) & (offset[..., 2] <= half[2])
    inside = near & (offset <= half).all(axis=-1)
    if not inside.any():
        return None
    low, high = np.percentile(xyz[inside], (1, 99), axis=0)
    x, y, z = (high - low).tolist()
    return HandView(
        row=row,
        pixels=int(inside.sum()),
        center_z_mm=float(center[2]),
        extent_mm=(x, y, z),
        disc_mm=_disc_px(near, inside) * float(center[2]) / math.sqrt(camera.fx * camera.fy),
        box_px=float(cube[0] * camera.fx / center[2]),
    )


def cloud(depth: npt.NDArray[Any], origin: npt.NDArray[Any], camera: Camera) -> Points:
    """Every pixel as a point.

    Args:
        depth: (H, W) mm, 0 = missing: a frame or a window.
        origin: (2,) u, v of its first pixel in the frame.
        camera: of the frame.

    Returns:
        (H, W, 3) mm, camera frame; (0, 0, 0) where depth is missing.
    """
    v, u = np.indices(depth.shape)
    return uvd_to_xyz(np.stack((u + origin[0], v + origin[1], depth), axis=-1).astype(np.float64), camera)


def spread(rows: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """At most `count` of some rows, evenly spread, the first and the last among them."""
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]


def _disc_px(near: npt.NDArray[np.bool_], inside: npt.NDArray[np.bool_]) -> float:
    """Diameter, px, of the largest disc in `near` whose middle is `inside`; small holes are closed."""
    closed = cv2.morphologyEx(near.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    radius = cv2.distanceTransform(np.pad(closed, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return 2 * float(radius[inside].max()) - 1


def _joints_near(
    depth: npt.NDArray[Any], origin: npt.NDArray[Any], joints_xyz: Points, camera: Camera
) -> npt.NDArray[np.bool_]:
    """For each labelled joint before the camera, whether the surface at its pixel is near."""
    joints = joints_xyz[np.isfinite(joints_xyz).all(axis=1)]
    joints = joints[joints[:, 2] > 0]
    pixel = np.rint(xyz_to_uvd(joints, camera)[:, :2] - origin).astype(np.int64)
    seen = ((pixel >= 0) & (pixel < depth.shape[::-1])).all(axis=1)
    surface = np.zeros(len(joints))
    surface[seen] = depth[pixel[seen, 1], pixel[seen, 0]]
    near: npt.NDArray[np.bool_] = (surface > 0) & (np.abs(surface - joints[:, 2]) <= _JOINT_MM)
    return near


def _scored(store: Store, split: Split, row: int) -> Points:
    """(J, 3) mm, the scored joints of a frame."""
    return split.joints_xyz[row, list(store.spec.joints.scored)].astype(np.float64).reshape(-1, 3)


def _five(valid: npt.NDArray[Any]) -> tuple[float, float, float, float, float]:
    if not len(valid):
        return (math.nan,) * 5
    least, first, median, last, greatest = np.percentile(valid, (0, 1, 50, 99, 100)).tolist()
    return least, first, median, last, greatest


def _sides(camera: Camera) -> tuple[tuple[int, float], tuple[int, float]]:
    return (camera.width, camera.fx), (camera.height, camera.fy)


def _camera_warnings(camera: Camera) -> Iterator[str]:
    """What no depth camera has."""
    for (side, focal), name, axis in zip(_sides(camera), ("fx", "fy"), ("wide", "high"), strict=True):
        degrees = math.degrees(2 * math.atan(side / 2 / focal))
        low, high = _FIELD_OF_VIEW_DEG
        low = low if name == "fx" else low * 0.7  # images are wider than high
        if not low <= degrees <= high:
            size = "large" if degrees < low else "small"
            yield (
                f"{name} {focal:g} px makes the view {degrees:.0f} degrees {axis}, depth cameras have {low:.0f} to "
                f"{high:.0f}: {name} is too {size} for an image of {camera.width} x {camera.height} px"
            )
    if abs(camera.fx / camera.fy - 1) > _SQUARE:
        yield f"fx {camera.fx:g} and fy {camera.fy:g} px differ by more than 10 %; pixels of depth cameras are square"
    for side, middle, name in ((camera.width, camera.cx, "cx"), (camera.height, camera.cy, "cy")):
        if abs(middle - (side - 1) / 2) > _OFF_CENTER * side:
            yield f"{name} {middle:g} px is far from the middle of an image of {side} px; are the numbers in order?"


def _hand_warnings(facts: CameraCheck, image: int) -> Iterator[str]:
    """What no hand of an image of so many pixels does, by medians: one odd frame is no matter of the camera."""
    if not facts.hands:
        return
    z = facts.median("center_z_mm")
    if not _HAND_Z_MM[0] <= z <= _HAND_Z_MM[1]:
        yield f"hands are {_mm(z)} mm away, they are seen from 150 to 1,500 mm: {_better_unit(z)}"
    yield from _size_warnings(facts, image)
    if facts.joints_near_surface < _JOINTS_SHARE:
        yield (
            f"only {facts.joints_near_surface:.0%} of the labelled joints lie within {_JOINT_MM:.0f} mm of the depth "
            "at their pixel: camera, depth unit or axes of the labels do not belong to these images"
        )


def _size_warnings(facts: CameraCheck, image: int) -> Iterator[str]:
    """What is too large or too small for a hand."""
    pixels, disc = facts.median("pixels"), facts.median("disc_mm")
    if pixels > _HAND_SHARE * image:  # only what is near fills an image, whatever else is odd about it
        better = _better_unit(facts.median("center_z_mm"), _USUAL_DEPTH_MM)
        yield (
            f"what the box holds fills {pixels / image:.0%} of the image, which is a room and not a hand: {better}, or "
            "fx and fy are too large"
        )
        return
    if pixels < _HAND_PIXELS:
        yield f"a hand is {pixels:.0f} pixels; too few for its joints, or not a hand"
    if max(facts.extent_mm) < _LEAST_EXTENT_MM:
        extent = " x ".join(map(_mm, facts.extent_mm))
        yield f"hands measure {extent} mm, a fist is 80 mm long: the depth unit is too small, or fx and fy too large"
    if disc > _DISC_MM[1]:
        yield (
            f"what the box holds is {_mm(disc)} mm broad, a palm is 70 to 95: the depth unit is too large, fx and fy "
            "are too small, or centres lie on a body or wall and not on hands"
        )
    elif disc < _DISC_MM[0]:
        yield (
            f"what the box holds is nowhere broader than {_mm(disc)} mm, a palm is 70 to 95: the depth unit is too "
            "small, fx and fy are too large, or centres lie off the hands"
        )


def _depth_warnings(facts: CameraCheck) -> Iterator[str]:
    median, greatest = facts.depth_mm[2], facts.depth_mm[4]
    if math.isnan(median):
        yield "no frame has any depth"
        return
    if greatest < _HAND_Z_MM[0]:
        better = _better_unit(median, _USUAL_DEPTH_MM)
        yield f"no depth is beyond {_mm(greatest)} mm, half of it is within {_mm(median)}: {better}"
    elif facts.depth_mm[1] > _FARTHEST_MM or median > _FARTHEST_MM:
        yield f"half of all depth is beyond {_mm(median)} mm: {_better_unit(median, _USUAL_DEPTH_MM)}"
    if facts.with_center < facts.frames / 2:
        yield (
            f"only {facts.with_center:,} of {facts.frames:,} frames have a centre: nothing lies between the thresholds "
            "of the conversion; check --near, --far and --depth-unit"
        )
    elif len(facts.hands) < facts.with_center / 2:
        yield f"only {len(facts.hands):,} of {facts.with_center:,} boxes hold any pixel: centres lie off the surface"


def _better_unit(depth: float, usual: tuple[float, float] = _USUAL_Z_MM) -> str:
    """Which unit would bring a depth to where it usually is."""
    factor = next((unit for unit in _UNITS if usual[0] <= depth * unit <= usual[1]), None)
    if factor is None:
        return "the depth unit is wrong"
    return f"a depth unit {factor:g} times as large would make that {depth * factor:,.0f} mm"


def _mm(length: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{length:,.0f}" if abs(length) >= 100 else f"{length:.3g}"


def check_text(check: CameraCheck, camera: Camera) -> Iterator[str]:
    """The facts in lines for a person; warnings are not among them."""
    across, down = check.field_of_view_deg
    yield (
        f"camera   fx {camera.fx:g}, fy {camera.fy:g}, cx {camera.cx:g}, cy {camera.cy:g} px; "
        f"{camera.width} x {camera.height} px, {across:.0f} x {down:.0f} degrees"
    )
    least, first, median, last, greatest = map(_mm, check.depth_mm)
    yield f"depth    {least} to {greatest} mm; 98 % of it from {first} to {last}, median {median} mm"
    yield f"valid    {check.valid_share:.1%} of all pixels"
    yield f"centres  {check.with_center:,} of {check.frames:,} frames have one; {len(check.hands):,} boxes hold depth"
    if check.hands:
        extent, z = " x ".join(map(_mm, check.extent_mm)), _mm(check.median("center_z_mm"))
        pixels, box = check.median("pixels"), check.median("box_px")
        yield f"hand     {extent} mm in the box, {z} mm away; palm {_mm(check.median('disc_mm'))} mm"
        yield f"crop     {pixels:,.0f} pixels of hand; the box is {box:,.0f} px across"
    if not math.isnan(check.joints_near_surface):
        yield f"labels   {check.joints_near_surface:.0%} of the joints within {_JOINT_MM:.0f} mm of the surface"
