"""The 3D box around a hand, and the coordinate systems that belong to it.

- **bounding-box C.S.** `xyz_bb`: camera axes, mm, origin at the centre of the box; `xyz_bb_norm` is divided by half the
  cube. With axes that turn with the roll of the box, divided by half the cube: `rolled_norm`.
- **scaled-image C.S.** `uvd_si`: column and row in px of the crop and depth in mm, all from the centre of the crop;
  `uvd_si_norm` is divided by half the crop side (u, v) and half the cube (depth), so that the crop is [-1, 1].

Between the two stands perspective, and the roll of the box. Source: SRN section 3.2, Eq. 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

from handbench.arrays import ArrayT, array_namespace, require_last_axis
from handbench.camera import Camera
from handbench.errors import ShapeError


@dataclass(frozen=True)
class HandBox(Generic[ArrayT]):
    """A cube in the camera frame, turned about the viewing direction. One box, or a batch of them.

    Points that go in and out of its methods have one axis more than the box: (..., P, 3).

    Attributes:
        center_xyz: (..., 3) mm, camera frame; z is in front of the camera.
        cube: (..., 3) full sides, mm.
        roll: (...) radians. A positive roll turns the box clockwise as seen in the image, so the hand in its crop
            appears turned anticlockwise.

    Raises:
        ShapeError: if the shapes do not belong together.
    """

    center_xyz: ArrayT
    cube: ArrayT
    roll: ArrayT

    def __post_init__(self) -> None:
        require_last_axis(self.center_xyz, 3, "center_xyz")
        require_last_axis(self.cube, 3, "cube")
        batch = tuple(self.center_xyz.shape[:-1])
        if tuple(self.cube.shape[:-1]) != batch or tuple(self.roll.shape) != batch:
            raise ShapeError(
                f"a box needs one cube and one roll for each centre: center_xyz {tuple(self.center_xyz.shape)}, "
                f"cube {tuple(self.cube.shape)}, roll {tuple(self.roll.shape)}"
            )

    @classmethod
    def upright(cls, center_xyz: ArrayT, cube: ArrayT) -> HandBox[ArrayT]:
        """A box without roll, as it is used at test time."""
        return cls(center_xyz, cube, array_namespace(center_xyz).zeros_like(center_xyz[..., 0]))

    def xyz_to_bb(self, xyz: ArrayT) -> ArrayT:
        """Camera frame to bounding-box C.S.: (..., P, 3) mm to (..., P, 3) mm."""
        require_last_axis(xyz, 3, "xyz")
        xyz_bb: ArrayT = xyz - self.center_xyz[..., None, :]
        return xyz_bb

    def bb_to_xyz(self, xyz_bb: ArrayT) -> ArrayT:
        """Bounding-box C.S. to camera frame: (..., P, 3) mm to (..., P, 3) mm."""
        require_last_axis(xyz_bb, 3, "xyz_bb")
        xyz: ArrayT = xyz_bb + self.center_xyz[..., None, :]
        return xyz

    def bb_to_bb_norm(self, xyz_bb: ArrayT) -> ArrayT:
        """Divide (..., P, 3) mm by half the cube: the box becomes [-1, 1]."""
        require_last_axis(xyz_bb, 3, "xyz_bb")
        xyz_bb_norm: ArrayT = xyz_bb / (self.cube[..., None, :] / 2)
        return xyz_bb_norm

    def bb_norm_to_bb(self, xyz_bb_norm: ArrayT) -> ArrayT:
        """The inverse of `bb_to_bb_norm`."""
        require_last_axis(xyz_bb_norm, 3, "xyz_bb_norm")
        xyz_bb: ArrayT = xyz_bb_norm * (self.cube[..., None, :] / 2)
        return xyz_bb

    def bb_to_rolled_norm(self, xyz_bb: ArrayT) -> ArrayT:
        """Bounding-box C.S. to the same with axes turned by the roll, divided by half the cube.

        What a network sees is turned by the roll; these are the coordinates that turn with it and still are mm, without
        perspective. `xyz_bb_norm` where there is no roll.

        Args:
            xyz_bb: (..., P, 3) mm.

        Returns:
            (..., P, 3); [-1, 1] inside the turned cube.
        """
        require_last_axis(xyz_bb, 3, "xyz_bb")
        turned: ArrayT = self.bb_to_bb_norm(_turned(xyz_bb, -self.roll))
        return turned

    def rolled_norm_to_bb(self, rolled_norm: ArrayT) -> ArrayT:
        """The inverse of `bb_to_rolled_norm`: (..., P, 3) to (..., P, 3) mm."""
        xyz_bb: ArrayT = _turned(self.bb_norm_to_bb(rolled_norm), self.roll)
        return xyz_bb

    def bb_to_si_norm(self, xyz_bb: ArrayT) -> ArrayT:
        """Bounding-box C.S. to normalised scaled-image C.S.

        The camera does not enter: seen from it, a point at depth z stands in the plane of the centre (depth Zc) at
        x Zc / z, and the crop is that plane.

        Args:
            xyz_bb: (..., P, 3) mm; the depth z + Zc must not be 0.

        Returns:
            (..., P, 3) u, v, d; [-1, 1] inside the crop and the cube.

        Source: the inverse of SRN Eq. 4.
        """
        require_last_axis(xyz_bb, 3, "xyz_bb")
        xp = array_namespace(xyz_bb)
        x, y, z = _components(xyz_bb)
        center_x, center_y, center_z = _components(self.center_xyz[..., None, :])
        half_x, half_y, half_z = _components(self.cube[..., None, :] / 2)
        cos, sin = xp.cos(self.roll)[..., None], xp.sin(self.roll)[..., None]
        scale = center_z / (z + center_z)
        x, y = (x + center_x) * scale - center_x, (y + center_y) * scale - center_y
        uvd: ArrayT = xp.stack(((cos * x + sin * y) / half_x, (cos * y - sin * x) / half_y, z / half_z), axis=-1)
        return uvd

    def si_norm_to_bb(self, uvd_si_norm: ArrayT) -> ArrayT:
        """Normalised scaled-image C.S. to bounding-box C.S., the exact inverse of `bb_to_si_norm`.

        Args:
            uvd_si_norm: (..., P, 3) u, v, d.

        Returns:
            (..., P, 3) mm.

        Source: SRN Eq. 4, x = (u - cx)(z + Zc) / fx with u = u_si alpha_u + Uc, in which the camera cancels.
        """
        xp = array_namespace(uvd_si_norm)
        plane_x, plane_y, z = _components(self.bb_norm_to_bb(uvd_si_norm))
        center_x, center_y, center_z = _components(self.center_xyz[..., None, :])
        cos, sin = xp.cos(self.roll)[..., None], xp.sin(self.roll)[..., None]
        x, y = cos * plane_x - sin * plane_y, sin * plane_x + cos * plane_y
        scale = (z + center_z) / center_z
        xyz_bb: ArrayT = xp.stack(((x + center_x) * scale - center_x, (y + center_y) * scale - center_y, z), axis=-1)
        return xyz_bb

    def bb_to_si(self, xyz_bb: ArrayT, size: int) -> ArrayT:
        """Bounding-box C.S. to scaled-image C.S.: (..., P, 3) mm to (..., P, 3) px, px, mm from the crop's centre."""
        uvd_si: ArrayT = self.bb_to_si_norm(xyz_bb) * self._si_unit(size)
        return uvd_si

    def si_to_bb(self, uvd_si: ArrayT, size: int) -> ArrayT:
        """Scaled-image C.S. to bounding-box C.S. (SRN Eq. 4), the exact inverse of `bb_to_si`."""
        uvd_si_norm: ArrayT = uvd_si / self._si_unit(size)
        return self.si_norm_to_bb(uvd_si_norm)

    def image_from_crop(self, camera: Camera, size: int) -> ArrayT:
        """The affine map from crop pixels to image pixels.

        Args:
            camera: of the image.
            size: side S of the crop in px. Crop pixel (i, j) has u_si = i - (S - 1) / 2 and v_si = j - (S - 1) / 2.

        Returns:
            (..., 2, 3): columns for i (column), j (row) and 1. Pitch alpha_u = cube_x fx / (S Zc).

        Source: SRN section 3.2.
        """
        xp = array_namespace(self.center_xyz)
        center, cube = _components(self.center_xyz), _components(self.cube)
        matrix: ArrayT = _affine(xp, *warp_numbers(center, cube, xp.cos(self.roll), xp.sin(self.roll), camera, size))
        return matrix

    def crop_from_image(self, camera: Camera, size: int) -> ArrayT:
        """The affine map from image pixels to crop pixels, (..., 2, 3); the inverse of `image_from_crop`."""
        xp = array_namespace(self.center_xyz)
        forward = self.image_from_crop(camera, size)
        (a, b, e), (c, d, f) = _components(forward[..., 0, :]), _components(forward[..., 1, :])
        det = a * d - b * c
        matrix: ArrayT = _affine(xp, d / det, -b / det, (b * f - d * e) / det, -c / det, a / det, (c * e - a * f) / det)
        return matrix

    def _si_unit(self, size: int) -> ArrayT:
        """(..., 1, 3): what one unit of `uvd_si_norm` is in px, px, mm."""
        xp = array_namespace(self.cube)
        depth = self.cube[..., None, 2] / 2
        side = xp.full_like(depth, size / 2)
        unit: ArrayT = xp.stack((side, side, depth), axis=-1)
        return unit


def warp_numbers(
    center: Sequence[Any], cube: Sequence[Any], cos: Any, sin: Any, camera: Camera, size: int
) -> tuple[Any, Any, Any, Any, Any, Any]:
    """The six numbers of `HandBox.image_from_crop`, row by row; plain floats or arrays of one shape.

    Args:
        center: x, y, z of the centre, mm.
        cube: full sides, mm.
        cos: of the roll.
        sin: of the roll.
        camera: of the image.
        size: side S of the crop, px.
    """
    x, y, z = center
    pitch_x, pitch_y = cube[0] / size, cube[1] / size  # mm in the plane of the centre
    scale_u, scale_v = camera.fx / z, camera.fy / z
    ui, uj = cos * pitch_x * scale_u, -sin * pitch_y * scale_u
    vi, vj = sin * pitch_x * scale_v, cos * pitch_y * scale_v
    middle = (size - 1) / 2
    u0 = x * scale_u + camera.cx - (ui + uj) * middle
    v0 = y * scale_v + camera.cy - (vi + vj) * middle
    return ui, uj, u0, vi, vj, v0


def _turned(points: ArrayT, angle: ArrayT) -> ArrayT:
    """(..., P, 3) turned about the third axis by (...) radians, from the first axis towards the second."""
    xp = array_namespace(points)
    x, y, z = _components(points)
    cos, sin = xp.cos(angle)[..., None], xp.sin(angle)[..., None]
    turned: ArrayT = xp.stack((cos * x - sin * y, sin * x + cos * y, z), axis=-1)
    return turned


def _components(points: ArrayT) -> tuple[ArrayT, ArrayT, ArrayT]:
    return points[..., 0], points[..., 1], points[..., 2]


def _affine(xp: Any, a: ArrayT, b: ArrayT, c: ArrayT, d: ArrayT, e: ArrayT, f: ArrayT) -> ArrayT:
    matrix: ArrayT = xp.stack((xp.stack((a, b, c), axis=-1), xp.stack((d, e, f), axis=-1)), axis=-2)
    return matrix
