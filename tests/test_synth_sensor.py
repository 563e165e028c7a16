from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import Camera
from handbench.synth.sensor import DISPARITY_MM, SENSORS, Image, Sensor, see

CAMERA = Camera(500.0, 500.0, 40, 30, 80, 60)


def look(depth: Image, sensor: Sensor, seed: int = 0) -> Image:
    return see(depth, sensor, CAMERA, np.random.default_rng(seed))


def square(near: float, far: float = 0.0) -> Image:
    """A square 40 px wide before a wall."""
    depth = np.full((60, 80), far, dtype=np.float32)
    depth[10:50, 20:60] = near
    return depth


def test_a_sensor_without_faults_sees_what_is_there() -> None:
    depth = square(600, 900)
    assert_array_equal(look(depth, Sensor()), depth)
    assert not look(np.zeros((60, 80), np.float32), SENSORS["carmine"]).any()


def test_shadows_lie_beside_the_right_border_and_are_as_wide_as_geometry_says() -> None:
    base = 20_000.0
    width = round(base * (1 / 500 - 1 / 1000)) - 1  # 20 px, of which the last is just lit
    row = look(square(500, 1000), Sensor(base_mm_px=base))[30]
    assert np.flatnonzero(row == 0).tolist() == list(range(60, 60 + width))
    mirrored = look(square(500, 1000), Sensor(base_mm_px=-base))[30]
    assert np.flatnonzero(mirrored == 0).tolist() == list(range(20 - width, 20))
    filled = look(square(500, 1000), Sensor(base_mm_px=base, filled_px=5))
    widths = (filled[10:50] == 0).sum(axis=1)
    assert width - 11 <= widths.min() < widths.max() <= width


def test_flying_pixels_lie_between_two_surfaces_and_nowhere_else() -> None:
    seen = look(square(500, 1000), Sensor(mixing=0.4))
    between = (seen > 500) & (seen < 1000)
    v, u = np.nonzero(between)
    assert between.sum() > 100
    assert set(u.tolist()) | set(v.tolist()) >= {10, 49}
    inside = np.zeros_like(between)
    inside[12:48, 22:58] = True
    assert not (between & inside).any()
    assert not ((look(square(500), Sensor(mixing=0.4)) > 0) & (square(500) == 0)).any()  # nothing mixes with nothing
    # a pixel of the border: 0.6 + 0.4 * 5/8 of its light from near, 0.4 * 3/8 from far, each by the inverse square
    near, far = (0.6 + 0.25) / 500**2, 0.15 / 1000**2
    assert seen[30, 59] == pytest.approx((near * 500 + far * 1000) / (near + far), rel=1e-5)


def test_a_pixel_that_sees_too_much_of_both_is_lost() -> None:
    seen = look(square(900, 1000), Sensor(mixing=0.6, lost_share=0.9))
    assert (seen == 0).any(axis=1)[12:48].all()
    assert (seen[14:46, 24:56] == 900).all()


def test_surfaces_seen_too_flat_are_lost() -> None:
    slope = np.tile(np.linspace(600, 1000, 80, dtype=np.float32), (60, 1))  # 5 mm a px of 1.2 to 2 mm
    assert not look(slope, Sensor(grazing=2.0))[:, 1:70].any()
    assert (look(slope, Sensor(grazing=5.0)) == slope).all()


def test_noise_is_as_large_as_it_says_and_grows_with_the_square_of_the_depth() -> None:
    for blur in (0.0, 1.0):
        sensor = Sensor(noise=2.0, noise_px=blur)
        for mm, sigma in ((500.0, 0.5), (1000.0, 2.0)):
            wall = np.full((200, 200), mm, dtype=np.float32)
            assert (look(wall, sensor) - wall).std() == pytest.approx(sigma, rel=0.08)


def test_what_is_too_far_is_lost_in_patches() -> None:
    sensor = Sensor(reach_mm=800.0)
    assert (look(np.full((240, 320), 500, np.float32), sensor) > 0).all()
    assert not (look(np.full((240, 320), 1500, np.float32), sensor) > 0).any()
    share = (look(np.full((240, 320), 800, np.float32), sensor) > 0).mean()
    assert 0.3 < share < 0.7


def test_a_matching_window_takes_away_what_is_thinner() -> None:
    depth = square(600, 900)
    depth[5:8, 5:75] = 500
    seen = look(depth, Sensor(window_px=5))
    assert set(np.unique(seen)) <= {500, 600, 900}
    assert (seen == 500).sum() > 100
    depth = square(600, 900)
    depth[5:7, :] = 500
    assert not (look(depth, Sensor(window_px=5)) == 500).any()


def test_primesense_says_only_its_levels() -> None:
    seen = look(np.tile(np.linspace(700, 780, 80, dtype=np.float32), (60, 1)), SENSORS["carmine"])
    levels = np.rint(DISPARITY_MM / np.arange(200, 800))
    assert np.isin(seen[seen > 0], levels).all()
    error = seen[5:-5, 5:-5] - np.linspace(700, 780, 80)[5:-5]
    assert np.abs(error.mean()) < 2


def test_borders_fray_by_some_pixels_and_no_more() -> None:
    sensor = replace(SENSORS["carmine"], window_px=0)
    changed = (look(square(700), sensor) > 0) != (square(700) > 0)
    assert 60 < changed.sum() < 1000
    assert not changed[22:38, 32:48].any()


@pytest.mark.parametrize("name", SENSORS)
def test_the_same_noise_gives_the_same_image_and_another_another(name: str) -> None:
    depth = square(600, 900)
    assert_array_equal(look(depth, SENSORS[name], 3), look(depth, SENSORS[name], 3))
    assert (look(depth, SENSORS[name], 3) != look(depth, SENSORS[name], 4)).any()
    before = depth.copy()
    look(depth, SENSORS[name])
    assert_array_equal(depth, before)


def test_a_real_nyu_frame_has_the_levels_of_the_sensor(real: Path) -> None:
    image = cv2.imread(str(real / "nyu_one_frame/test/depth_1_0000001.png"))
    assert image is not None
    levels = np.unique(image[..., 1].astype(int) * 256 + image[..., 0])[:-1]  # without 2001, the background
    steps = DISPARITY_MM / levels
    shift = np.angle(np.exp(2j * np.pi * steps[:100]).mean()) / (2 * np.pi)  # the constant beside k
    assert_allclose(DISPARITY_MM / (np.rint(steps - shift) + shift), levels, atol=1.2)
    assert np.abs(DISPARITY_MM / (np.rint(steps - shift) + shift) - levels).mean() < 0.3
