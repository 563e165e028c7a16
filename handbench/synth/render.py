"""Depth images of triangle meshes.

numba compiles the loops at the first call and keeps the result on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.camera import Camera, xyz_to_uvd
from handbench.errors import HandbenchError, ShapeError

try:
    from numba import njit
except ImportError as error:  # the extra `synth`
    raise HandbenchError('synthetic hands need numba; pip install "handbench[synth]"') from error

NEAR_MM = 50.0


def render(vertices: npt.NDArray[np.floating[Any]], faces: npt.NDArray[Any], camera: Camera) -> npt.NDArray[np.float32]:
    """Depth of the nearest surface at every pixel centre, exact for flat triangles seen in perspective.

    Args:
        vertices: (V, 3) mm, camera frame.
        faces: (F, 3) vertex indices; both sides of a triangle are drawn. One that comes nearer than 50 mm is left out.
        camera: of the image.

    Returns:
        (H, W) mm; 0 where there is nothing. A pixel centre on an edge belongs to the triangle.

    Raises:
        ShapeError: if `vertices` or `faces` is not (n, 3).
    """
    for name, array in (("vertices", vertices), ("faces", faces)):
        if array.ndim != 2 or array.shape[1] != 3:
            raise ShapeError(f"{name} has shape {array.shape}, it must be (n, 3)")
    image = np.zeros((camera.height, camera.width), dtype=np.float32)
    inside = vertices[:, 2] >= NEAR_MM
    uvd = np.full(vertices.shape, np.nan)
    uvd[inside] = xyz_to_uvd(vertices[inside].astype(np.float64), camera)
    _draw(uvd, np.ascontiguousarray(faces, dtype=np.int64), image)
    return image


@njit(cache=True, nogil=True)
def _draw(uvd: npt.NDArray[np.float64], faces: npt.NDArray[np.int64], image: npt.NDArray[np.float32]) -> None:
    """Keep the nearest depth of all triangles in `image` (0 = nothing yet). 1/z is linear in u and v on a plane."""
    height, width = image.shape
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
        for v in range(int(top), int(bottom) + 1):
            for u in range(int(left), int(right) + 1):
                a0 = ((u1 - u) * (v2 - v) - (u2 - u) * (v1 - v)) * scale
                a1 = ((u2 - u) * (v0 - v) - (u0 - u) * (v2 - v)) * scale
                a2 = ((u0 - u) * (v1 - v) - (u1 - u) * (v0 - v)) * scale
                if a0 >= 0.0 and a1 >= 0.0 and a2 >= 0.0:
                    z = 1.0 / (a0 / z0 + a1 / z1 + a2 / z2)
                    if image[v, u] == 0.0 or z < image[v, u]:
                        image[v, u] = z
