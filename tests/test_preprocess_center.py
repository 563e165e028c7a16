"""Where the centre of mass in a cube comes to rest, and which centres lie in the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from handbench.camera import Camera, uvd_to_xyz
from handbench.converters.nyu import NyuReader
from handbench.errors import HandbenchError
from handbench.preprocess.center import com_iterated_xyz, com_xyz, in_image, mean_joint_xyz
from tests.center_stores import NYU

SMALL = Camera(100.0, 100.0, 40.0, 30.0, 80, 60)


def scene() -> np.ndarray:
    """A hand of 9 x 9 px at 500 mm, 300 mm before a body of 60 x 40 px."""
    depth = np.zeros((60, 80), np.uint16)
    depth[15:55, 10:70] = 800
    depth[20:29, 20:29] = 500  # middle: column 24, row 24
    return depth


def test_the_cube_rests_on_the_nearest_thing_and_not_on_the_body() -> None:
    # (24 - 40) * 500 / 100 = -80, (24 - 30) * 500 / 100 = -30
    assert_allclose(com_iterated_xyz(scene(), SMALL, 100, 1000, (200, 200, 200)), [-80, -30, 500])
    assert np.linalg.norm(com_xyz(scene(), SMALL, 100, 1000) - [-80, -30, 500]) > 250


def test_specks_of_noise_are_not_the_nearest_surface() -> None:
    depth = scene()
    depth[50, 60:64] = 150  # at 150 mm 20 x 20 mm are 177 px
    assert_allclose(com_iterated_xyz(depth, SMALL, 100, 1000, (200, 200, 200)), [-80, -30, 500])


def test_the_cube_follows_a_long_arm_to_where_most_of_it_is() -> None:
    depth = np.zeros((60, 80), np.uint16)
    depth[28:32, 5:75] = 500  # 70 x 4 px at 500 mm: 350 x 20 mm
    depth[28:32, 5:15] = 495
    depth[20:40, 55:75] = 500  # the end of it is wide: columns 55 to 74
    x, y, z = com_iterated_xyz(depth, SMALL, 100, 1000, (150, 150, 150))
    assert abs(x - (64.5 - 40) * 5) < 20
    assert (abs(y) < 5, z) == (True, 500)


def test_thresholds_hold_and_nothing_is_nan() -> None:
    assert_allclose(com_iterated_xyz(scene(), SMALL, 600, 1000, (200, 200, 200))[2], 800)
    assert np.isnan(com_iterated_xyz(scene(), SMALL, 900, 1000, (200, 200, 200))).all()
    assert np.isnan(com_iterated_xyz(np.zeros((60, 80), np.uint16), SMALL, 100, 1000, (200, 200, 200))).all()
    with pytest.raises(HandbenchError, match="every side must be positive"):
        com_iterated_xyz(scene(), SMALL, 100, 1000, (200, 0, 200))


def naive_com_in_cube(depth: np.ndarray, camera: Camera, near: float, far: float, center: Any, half: Any) -> Any:
    v, u = np.indices(depth.shape)
    uvd = np.stack((u, v, depth.astype(float)), axis=-1).reshape(-1, 3)
    uvd = uvd[(uvd[:, 2] >= near) & (uvd[:, 2] <= far)]
    inside = (np.abs(uvd_to_xyz(uvd, camera) - center) <= half + 1e-9).all(axis=1)
    return uvd_to_xyz(uvd[inside].mean(axis=0), camera)


@pytest.mark.parametrize("seed", range(20))
def test_it_rests_where_its_naive_twin_does_not_move_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth = np.zeros((60, 80), np.uint16)
    for _ in range(6):
        top, left = rng.integers(0, 50), rng.integers(0, 70)
        depth[top : top + rng.integers(3, 25), left : left + rng.integers(3, 25)] = rng.integers(300, 700)
    cube = rng.uniform(100, 300, 3)
    rest = com_iterated_xyz(depth, SMALL, 200, 650, cube)
    assert np.linalg.norm(naive_com_in_cube(depth, SMALL, 200, 650, rest, cube / 2) - rest) < 5  # one last step
    again = naive_com_in_cube(depth, SMALL, 200, 650, rest, cube / 2)
    assert np.linalg.norm(naive_com_in_cube(depth, SMALL, 200, 650, again, cube / 2) - again) < 0.5


def test_the_real_frame_with_a_body_behind_the_hand(real: Path) -> None:
    reader = NyuReader(real / "nyu_one_frame")
    table = reader.table("test")
    depth = reader.depth(str(table.image[0]))
    truth = mean_joint_xyz(table.joints_xyz[0])
    near, far = NYU.depth_range_mm
    by_thresholds = np.linalg.norm(com_xyz(depth, NYU.camera, near, far) - truth)
    iterated = np.linalg.norm(com_iterated_xyz(depth, NYU.camera, near, far, (250, 250, 250)) - truth)
    assert by_thresholds > 250  # on the chest: measured 281 mm
    assert iterated < 40  # in the palm: measured 36 mm


def test_a_centre_lies_in_the_image_or_not() -> None:
    points = np.array([[0, 0, 500], [-200, -150, 500], [-203, 0, 500], [195, 0, 500], [200, 0, 500], [0, 0, -500]])
    assert in_image(points, SMALL).tolist() == [True, True, False, True, False, False]
    assert not in_image(np.full((2, 3), np.nan), SMALL).any()
    assert not in_image(np.zeros(3), SMALL)
