"""Depth images of triangle meshes.

numba compiles the loops at the first call and keeps the result on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera
from handbench.errors import ShapeError
from handbench.synth.compiled import njit

NEAR_MM = 50.0


def render(vertices: npt.NDArray[np.floating[Any]], faces: npt.NDArray[Any], camera: Camera) -> npt.NDArray[np.float32]:
    """Depth of the nearest surface at every pixel centre, exact for flat triangles seen in perspective.

    Args:
        vertices: (..., V, 3) mm, camera frame; one mesh or many of the same faces.
        faces: (F, 3) vertex indices; both sides of a triangle are drawn. One that comes nearer than 50 mm is left out.
        camera: of the image.

    Returns:
        (..., H, W) mm; 0 where there is nothing. A pixel centre on an edge belongs to the triangle.

    Raises:
        ShapeError: if `vertices` is not (..., n, 3) or `faces` not (n, 3).
    """
    if vertices.ndim < 2 or vertices.shape[-1] != 3:
        raise ShapeError(f"vertices has shape {vertices.shape}, it must be (..., n, 3)")
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ShapeError(f"faces has shape {faces.shape}, it must be (n, 3)")
    meshes = np.ascontiguousarray(vertices, dtype=np.float64).reshape(-1, *vertices.shape[-2:])
    images = np.zeros((len(meshes), camera.height, camera.width), dtype=np.float32)
    pinhole = (camera.fx, camera.fy, camera.cx, camera.cy)
    triangles = np.ascontiguousarray(faces, dtype=np.int64)
    for xyz, image in zip(meshes, images, strict=True):
        _draw(xyz, triangles, pinhole, image)
    return images.reshape(*vertices.shape[:-2], camera.height, camera.width)


@njit(cache=True, nogil=True)
def _draw(
    xyz: npt.NDArray[np.float64],
    faces: npt.NDArray[np.int64],
    pinhole: tuple[float, float, float, float],
    image: npt.NDArray[np.float32],
) -> None:
    """Keep the nearest depth of all triangles in `image` (0 = nothing yet). 1/z is linear in u and v on a plane.

    The weights of a pixel's three corners say whether it is inside, as they stand; which pixels of a row are asked
    follows from the same weights, one pixel wider for rounding.
    """
    height, width = image.shape
    fx, fy, cx, cy = pinhole
    uvd = np.empty(xyz.shape)
    for i in range(xyz.shape[0]):
        z = xyz[i, 2]
        if z >= NEAR_MM:
            uvd[i, 0], uvd[i, 1], uvd[i, 2] = xyz[i, 0] * fx / z + cx, xyz[i, 1] * fy / z + cy, z
        else:
            uvd[i, 0] = np.nan
    for f in range(faces.shape[0]):
        u0, v0, z0 = uvd[faces[f, 0]]
        u1, v1, z1 = uvd[faces[f, 1]]
        u2, v2, z2 = uvd[faces[f, 2]]
        area = (u1 - u0) * (v2 - v0) - (u2 - u0) * (v1 - v0)
        if area == 0.0 or np.isnan(area):  # seen edge-on, or too near
            continue
        scale = 1.0 / area
        left, right = max(np.ceil(min(u0, u1, u2)), 0.0), min(np.floor(max(u0, u1, u2)), width - 1.0)
        top, bottom = max(np.ceil(min(v0, v1, v2)), 0.0), min(np.floor(max(v0, v1, v2)), height - 1.0)
        w0, w1, w2 = 1.0 / z0, 1.0 / z1, 1.0 / z2
        # how much a weight grows from one column to the next
        s0, s1, s2 = (v1 - v2) * scale, (v2 - v0) * scale, (v0 - v1) * scale
        for v in range(int(top), int(bottom) + 1):
            first, last = left, right
            for s, ua, va, ub, vb in ((s0, u1, v1, u2, v2), (s1, u2, v2, u0, v0), (s2, u0, v0, u1, v1)):
                if s != 0.0:
                    edge = left - ((ua - left) * (vb - v) - (ub - left) * (va - v)) * scale / s
                    if s > 0.0:
                        first = max(first, np.floor(edge))
                    else:
                        last = min(last, np.ceil(edge))
            for u in range(int(first), int(last) + 1):
                a0 = ((u1 - u) * (v2 - v) - (u2 - u) * (v1 - v)) * scale
                a1 = ((u2 - u) * (v0 - v) - (u0 - u) * (v2 - v)) * scale
                a2 = ((u0 - u) * (v1 - v) - (u1 - u) * (v0 - v)) * scale
                if a0 >= 0.0 and a1 >= 0.0 and a2 >= 0.0:
                    z = 1.0 / (a0 * w0 + a1 * w1 + a2 * w2)
                    if image[v, u] == 0.0 or z < image[v, u]:
                        image[v, u] = z
