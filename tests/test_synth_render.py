import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import Camera, uvd_to_xyz
from handbench.errors import HandbenchError, ShapeError
from handbench.synth.hand import Floats
from handbench.synth.render import render
from handbench.synth.sensor import DISPARITY_MM, structured_light

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
    with pytest.raises(HandbenchError, match=r'need numba; pip install "handbench\[synth\]"'):
        import handbench.synth.render  # noqa: F401  # importing is what is tested


def test_a_real_nyu_frame_has_the_levels_of_the_sensor(real: Path) -> None:
    image = cv2.imread(str(real / "nyu_one_frame/test/depth_1_0000001.png"))
    assert image is not None
    levels = np.unique(image[..., 1].astype(int) * 256 + image[..., 0])[:-1]  # without 2001, the background
    steps = DISPARITY_MM / levels
    shift = np.angle(np.exp(2j * np.pi * steps[:100]).mean()) / (2 * np.pi)  # the constant beside k
    assert np.abs(DISPARITY_MM / (np.rint(steps - shift) + shift) - levels).mean() < 0.3


def test_structured_light_keeps_to_its_levels_and_to_the_surface() -> None:
    depth = np.zeros((60, 80), dtype=np.float32)
    depth[10:50, 20:60] = np.linspace(600, 1000, 40, dtype=np.float32)
    seen = structured_light(depth, np.random.default_rng(0))
    levels = np.rint(DISPARITY_MM / np.arange(200, 800)).astype(np.uint16)
    assert seen.dtype == np.uint16
    assert np.isin(seen[seen > 0], levels).all()
    inside = (slice(14, 46), slice(24, 56))
    step = depth[inside].astype(float) ** 2 / DISPARITY_MM
    slope = 400 / 39  # mm a px: a pixel may look a few px aside
    assert (np.abs(seen[inside] - depth[inside]) < 1.6 * step + 4 * slope).all()
    assert np.abs((seen[inside] - depth[inside]).mean()) < 2


def test_structured_light_frays_borders_by_a_pixel_or_two() -> None:
    depth = np.zeros((60, 80), dtype=np.float32)
    depth[10:50, 20:60] = 700
    changed = (structured_light(depth, np.random.default_rng(0)) > 0) != (depth > 0)
    assert 10 < changed.sum() < 160  # of 160 px of border
    assert not changed[13:47, 23:57].any()
    changed[7:53, 17:63] = False
    assert not changed.any()


def test_structured_light_repeats_with_the_same_noise_and_leaves_nothing_as_nothing() -> None:
    depth = np.full((9, 9), 800, dtype=np.float32)
    first, second, other = (structured_light(depth, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert_array_equal(first, second)
    assert (first != other).any()
    assert not structured_light(np.zeros((9, 9), dtype=np.float32), np.random.default_rng(0)).any()
