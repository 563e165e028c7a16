import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import Camera, uvd_to_xyz
from handbench.errors import HandbenchError, ShapeError
from handbench.synth.hand import Floats
from handbench.synth.render import render

CAMERA = Camera(60.0, 55.0, 15.5, 9.0, 32, 20)
ONE = np.array([[0, 1, 2]])


def naive_render(vertices: Floats, faces: np.ndarray, camera: Camera) -> Floats:
    """For each pixel, the viewing ray cut with the plane of each triangle, by way of the camera frame."""
    image = np.full((camera.height, camera.width), np.inf)
    for a, b, c in vertices[faces]:
        normal = np.cross(b - a, c - a)
        for v in range(camera.height):
            for u in range(camera.width):
                ray = np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0])
                sides = [ray @ np.cross(p, q) for p, q in ((a, b), (b, c), (c, a))]
                if min(sides) >= 0 or max(sides) <= 0:
                    image[v, u] = min(image[v, u], (normal @ a) / (normal @ ray))
    image[np.isinf(image)] = 0
    return image


corner = st.tuples(st.floats(-9.7, 40), st.floats(-9.7, 30), st.floats(200, 1500))


@settings(deadline=None, max_examples=40)  # the first call may compile
@given(st.lists(corner, min_size=6, max_size=6))
def test_render_equals_its_naive_twin(corners: list[tuple[float, float, float]]) -> None:
    uvd = np.array(corners).reshape(2, 3, 3)
    for t in uvd:
        span = t[1:, :2] - t[0, :2]
        assume(abs(np.linalg.det(span)) > 1)  # px2: not seen edge-on
        edge = np.roll(t, -1, axis=0)[:, :2] - t[:, :2]
        grid = np.stack(np.meshgrid(np.arange(32), np.arange(20)), -1)[:, :, None] - t[:, :2]
        assume(np.abs(edge[:, 0] * grid[..., 1] - edge[:, 1] * grid[..., 0]).min() > 1e-6)  # no centre on an edge
    xyz = uvd_to_xyz(uvd.reshape(6, 3), CAMERA)
    faces = np.arange(6).reshape(2, 3)
    assert_allclose(render(xyz, faces, CAMERA), naive_render(xyz, faces, CAMERA), rtol=1e-5)


def test_depth_of_a_slanted_plane_is_exact() -> None:
    uvd = np.array([[-200.0, -200, 400], [300, -200, 900], [0, 300, 600]])
    corners = uvd_to_xyz(uvd, CAMERA)
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    v, u = np.mgrid[:20, :32]
    rays = np.stack(((u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones(u.shape)), axis=-1)
    assert_allclose(render(corners, ONE, CAMERA), (normal @ corners[0]) / (rays @ normal), rtol=1e-6)


def test_pixel_centres_on_an_edge_belong_to_the_triangle() -> None:
    uvd = np.array([[1.0, 1, 500], [4, 1, 500], [1, 4, 500]])
    covered = {(int(u), int(v)) for v, u in np.argwhere(render(uvd_to_xyz(uvd, SQUARE), ONE, SQUARE))}
    assert covered == {(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2), (3, 2), (1, 3), (2, 3), (1, 4)}


SQUARE = Camera(1.0, 1.0, 0.0, 0.0, 8, 8)  # px = x / z without rounding errors


def test_the_nearest_surface_wins_in_any_order_and_from_either_side() -> None:
    near, far = (np.array([[-9.0, -9, z], [90, -9, z], [-9, 90, z]]) for z in (300, 700))
    xyz = uvd_to_xyz(np.concatenate((near, far)), CAMERA)
    for faces in ([[0, 1, 2], [3, 4, 5]], [[5, 4, 3], [2, 1, 0]]):
        assert_allclose(render(xyz, np.array(faces), CAMERA), 300, rtol=1e-6)


def test_what_is_beside_behind_or_at_the_camera_is_not_drawn() -> None:
    beside = uvd_to_xyz(np.array([[40.0, 0, 500], [50, 0, 500], [40, 15, 500]]), CAMERA)
    behind = uvd_to_xyz(np.array([[-9.0, -9, -500], [90, -9, -500], [-9, 90, -500]]), CAMERA)
    through = np.array([[0.0, 0, 500], [50, 0, 0], [0, 50, 500]])
    for xyz in (beside, behind, through):
        assert not render(xyz, ONE, CAMERA).any()


def test_render_refuses_other_shapes() -> None:
    with pytest.raises(ShapeError, match="faces"):
        render(np.zeros((3, 3)), np.zeros((2, 4), dtype=int), CAMERA)


def test_without_numba_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "handbench.synth.render")
    monkeypatch.delitem(sys.modules, "handbench.synth.compiled")
    with pytest.raises(HandbenchError, match=r'need numba; pip install "handbench\[synth\]"'):
        import handbench.synth.render  # noqa: F401  # importing is what is tested


def test_many_meshes_are_drawn_as_each_alone() -> None:
    meshes = uvd_to_xyz(np.random.default_rng(0).uniform((0, 0, 300), (32, 20, 900), (2, 3, 9, 3)), CAMERA)
    faces = np.arange(9).reshape(3, 3)
    many = render(meshes, faces, CAMERA)
    assert many.shape == (2, 3, 20, 32)
    assert_array_equal(many[1, 2], render(meshes[1, 2], faces, CAMERA))
