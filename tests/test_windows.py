"""Windows: how far augmented boxes reach, what is cut and where; crops from windows are the crops from frames."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import Camera
from handbench.datasets import dataset, dataset_names
from handbench.errors import HandbenchError
from handbench.preprocess import AugmentConfig, HandBox, crop, crop_batch, perturb
from handbench.preprocess.crop import dyadic, pixel_span
from handbench.preprocess.windows import Margin, Reach, _widest, cut_window, paste_window
from tests.strategies import seeds

CAMERAS = {name: dataset(name).camera for name in dataset_names()}
SIMPLE = Camera(500.0, 500.0, 320.0, 240.0, 640, 480)
PAPER = Margin.of(AugmentConfig())


def reach_of(center: list[float], cube: list[float], camera: Camera = SIMPLE, margin: Margin | None = None) -> Reach:
    return Reach.of(np.array([center]), np.array([cube]), camera, margin or Margin())


@st.composite
def margins(draw: st.DrawFn) -> AugmentConfig:
    """Ranges of augmentation: the paper's, none, and anything between and beyond."""
    low, size = draw(st.floats(-200, 200)), draw(st.floats(0, 200))
    scale = draw(st.floats(0.5, 1.0)), draw(st.floats(1.0, 1.5))
    shift = -draw(st.floats(0, 40)), draw(st.floats(0, 40))
    free = AugmentConfig(roll_deg=(low, low + size), scale=scale, translation_mm=shift)
    return draw(st.sampled_from([AugmentConfig(), AugmentConfig((0, 0), (1, 1), (0, 0)), free]))


def noisy_frame(camera: Camera, rng: np.random.Generator) -> npt.NDArray[np.uint16]:
    """No pixel like its neighbour, so that every pixel in a wrong place is seen."""
    return rng.integers(1, 1500, (camera.height, camera.width)).astype(np.uint16)


# -- how far a box reaches -------------------------------------------------------------------------------------------


def test_hand_computed_reach() -> None:
    upright = reach_of([100, -50, 1000], [200, 100, 300])
    # The centre is at column 370, row 215; 100 mm are 50 px and 50 mm are 25 px; 1 px is for rounding.
    assert_array_equal(upright.first[0], [319, 189])
    assert_array_equal(upright.last[0], [421, 241])
    assert_array_equal(upright.middle[0], [370, 215])
    assert upright.side(SIMPLE)[0] == 103
    quarter_turn = reach_of([100, -50, 1000], [200, 100, 300], margin=Margin(roll_deg=(90, 90)))
    assert_allclose(quarter_turn.last[0], [396, 266], atol=1)
    any_turn = reach_of([0, 0, 1000], [300, 400, 100], margin=Margin(roll_deg=(-180, 180)))
    assert_array_equal(any_turn.last[0], [320 + 125 + 1, 240 + 125 + 1])  # half of the diagonal, 500 mm
    scaled = reach_of([0, 0, 1000], [200, 200, 200], margin=Margin(scale=(0.5, 1.5)))
    assert_array_equal(scaled.last[0], [320 + 75 + 1, 240 + 75 + 1])


def test_translation_is_worst_where_the_box_comes_near() -> None:
    margin = Margin(translation_mm=(-100, 50))
    reach = reach_of([300, 0, 1000], [200, 200, 200], margin=margin)
    # Right: 300 + 100 + 50 mm at 900 mm. Left: 300 - 100 - 100 mm at 1050 mm, for it is to the right of the axis.
    assert_allclose([reach.first[0, 0], reach.last[0, 0]], [320 + 100 / 1050 * 500 - 1, 320 + 250 + 1], atol=1)


@given(st.floats(1, 500), st.floats(1, 500), st.floats(-400, 400), st.floats(0, 300))
def test_widest_roll_equals_a_search(along: float, across: float, low: float, size: float) -> None:
    rolls = np.deg2rad(np.linspace(low, low + size, 20_001))
    searched = (np.abs(np.cos(rolls)) * along + np.abs(np.sin(rolls)) * across).max()
    found = _widest(np.array([along]), np.array([across]), (low, low + size))[0]
    assert searched <= found * (1 + 1e-9)
    assert_allclose(found, searched, rtol=1e-4)


@given(seeds, margins(), st.sampled_from(sorted(CAMERAS)), st.integers(2, 256))
@settings(deadline=None)
def test_no_augmentation_reads_beyond_the_reach(seed: int, augment: AugmentConfig, name: str, size: int) -> None:
    rng, camera = np.random.default_rng(seed), CAMERAS[name]
    z = rng.uniform(150, 1200)
    center = np.array([*(rng.uniform(-0.6, 0.6, 2) * z), z])
    box = HandBox.upright(np.tile(center, (64, 1)), np.tile(rng.uniform(80, 300, 3), (64, 1)))
    reach = Reach.of(box.center_xyz[:1], box.cube[:1], camera, Margin.of(augment))
    assume(np.isfinite(reach.first).all())
    first, last = pixel_span(dyadic(perturb(box, augment, rng).image_from_crop(camera, size)), size)
    assert (first >= reach.first).all()
    assert (last <= reach.last).all()


def test_a_hand_that_may_come_behind_the_camera_has_no_end() -> None:
    reach = reach_of([0, 0, 9], [200, 200, 200], margin=PAPER)
    assert np.isinf(reach.first).all()
    assert np.isinf(reach.last).all()
    assert not reach.inside(reach.origins(640, SIMPLE), 640, SIMPLE).any()


def test_no_centre_no_window() -> None:
    reach = reach_of([np.nan] * 3, [200, 200, 200])
    assert reach.side(SIMPLE)[0] == 0
    assert_array_equal(reach.origins(100, SIMPLE), [[0, 0]])
    assert not reach.inside(np.zeros((1, 2)), 100, SIMPLE).any()


# -- windows ---------------------------------------------------------------------------------------------------------


def test_cut_and_paste_by_hand() -> None:
    frame = np.arange(1, 13, dtype=np.uint16).reshape(3, 4)
    assert_array_equal(cut_window(frame, np.array([1, 0]), 2), [[2, 3], [6, 7]])
    assert_array_equal(cut_window(frame, np.array([-1, 1]), 3), [[0, 5, 6], [0, 9, 10], [0, 0, 0]])
    assert_array_equal(cut_window(frame, np.array([9, -9]), 2), np.zeros((2, 2)))
    again = paste_window(cut_window(frame, np.array([-1, 1]), 3), np.array([-1, 1]), (3, 4))
    assert_array_equal(again, [[0, 0, 0, 0], [5, 6, 0, 0], [9, 10, 0, 0]])
    with pytest.raises(HandbenchError, match="0 px holds nothing"):
        cut_window(frame, np.array([0, 0]), 0)


@given(st.integers(-40, 80), st.integers(-40, 80), st.integers(1, 60))
def test_a_window_shows_the_frame_where_it_lies(u: int, v: int, side: int) -> None:
    frame = np.random.default_rng(0).integers(1, 9999, (48, 64)).astype(np.uint16)
    origin = np.array([u, v])
    window = cut_window(frame, origin, side)
    for row, column in np.ndindex(side, side):
        inside = 0 <= v + row < 48 and 0 <= u + column < 64
        assert window[row, column] == (frame[v + row, u + column] if inside else 0)
    pasted = paste_window(window, origin, (48, 64))
    assert_array_equal(cut_window(pasted, origin, side), window)
    assert np.count_nonzero(pasted) == np.count_nonzero(window)


@pytest.mark.parametrize("name", sorted(CAMERAS))
@given(seed=seeds, augment=margins(), size=st.integers(8, 160), slack=st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_crop_from_a_window_is_the_crop_from_the_frame(
    name: str, seed: int, augment: AugmentConfig, size: int, slack: int
) -> None:
    rng, camera = np.random.default_rng(seed), CAMERAS[name]
    near, far = dataset(name).depth_range_mm
    z = rng.uniform(max(near, 200), far)
    uv = rng.uniform(-0.5, [camera.width - 0.5, camera.height - 0.5])  # anywhere in the image, borders included
    center = np.array([*((uv - [camera.cx, camera.cy]) / [camera.fx, camera.fy] * z), z])
    cube = np.full(3, rng.choice([150.0, 200.0, 250.0]))
    reach = Reach.of(center[None], cube[None], camera, Margin.of(augment))
    side = int(reach.side(camera)[0]) + slack
    origin = reach.origins(side, camera)
    assume(reach.inside(origin, side, camera).all())
    frame = noisy_frame(camera, rng)
    window = cut_window(frame, origin[0], side)
    boxes = HandBox.upright(np.tile(center, (8, 1)), np.tile(cube, (8, 1)))
    turned = perturb(boxes, augment, rng)
    from_frames = crop_batch([frame] * 8, turned, camera, size)
    assert_array_equal(crop_batch([window] * 8, turned, camera, size, origin=origin.repeat(8, axis=0)), from_frames)
    one = HandBox(turned.center_xyz[3], turned.cube[3], turned.roll[3])
    assert_array_equal(crop(window, one, camera, size, origin=origin[0]), from_frames[3])


def test_the_smallest_window_holds_no_pixel_too_many() -> None:
    """One pixel less than the reach, less what is for rounding, and some crop is refused."""
    box = HandBox.upright(np.array([0.0, 0.0, 700.0]), np.full(3, 250.0))
    reach = reach_of([0, 0, 700], [250, 250, 250], margin=Margin(roll_deg=(-180, 180)))
    side = int(reach.side(SIMPLE)[0])
    corner_up = HandBox(box.center_xyz, box.cube, np.array(np.pi / 4))
    frame = noisy_frame(SIMPLE, np.random.default_rng(0))
    for less, fits in ((0, True), (8, False)):
        origin = reach.origins(side - less, SIMPLE)[0]
        window = cut_window(frame, origin, side - less)
        assert reach.inside(origin[None], side - less, SIMPLE)[0] == fits
        if fits:
            crop(window, corner_up, SIMPLE, 512, origin=origin)
        else:
            with pytest.raises(HandbenchError, match="frame a/1 reaches beyond its window"):
                crop(window, corner_up, SIMPLE, 512, origin=origin, name="frame a/1")


def test_a_near_hand_keeps_its_middle() -> None:
    """A window too small for the margin still lies about the hand, so that its upright crop may fit."""
    center, cube = [-150.0, 0.0, 450.0], [200.0] * 3
    margin = reach_of(center, cube, margin=PAPER)
    side = int(margin.side(SIMPLE)[0]) - 60
    origin = margin.origins(side, SIMPLE)
    assert not margin.inside(origin, side, SIMPLE).any()
    assert reach_of(center, cube).inside(origin, side, SIMPLE).all()


def test_a_window_without_its_origin_is_refused() -> None:
    box = HandBox.upright(np.array([0.0, 0.0, 700.0]), np.full(3, 200.0))
    with pytest.raises(HandbenchError, match="needs its origin"):
        crop(np.ones((300, 300), np.uint16), box, SIMPLE, 32)


# -- margins ---------------------------------------------------------------------------------------------------------


def test_margins_say_what_they_lack() -> None:
    def lacks(**ranges: Any) -> list[str]:
        return PAPER.lacks(Margin(**ranges))

    assert PAPER.lacks(PAPER) == []
    assert PAPER.lacks(Margin()) == []
    assert lacks(roll_deg=(-720, 720)) == []
    assert lacks(scale=(0.5, 1.1)) == []  # a smaller box needs less
    assert lacks(scale=(0.9, 1.2)) == ["scale 0.9 to 1.2, here 0.9 to 1.1"]
    assert lacks(translation_mm=(-15, 10)) == ["translation_mm -15 to 10, here -10 to 10"]
    assert len(Margin().lacks(PAPER)) == 3
    narrow = Margin(roll_deg=(-30, 30))
    assert narrow.lacks(Margin(roll_deg=(-20, 30))) == []
    assert narrow.lacks(Margin(roll_deg=(-31, 30))) == ["roll_deg -31 to 30, here -30 to 30"]
    assert Margin.from_dict(PAPER.to_dict()) == PAPER
