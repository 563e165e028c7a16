"""Numbers by counter, the options of augmentation, what disturbs a crop, and the mirror."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from handbench.camera import Camera, xyz_to_uvd
from handbench.datasets import dataset
from handbench.errors import HandbenchError
from handbench.preprocess import AugmentConfig, HandBox, crop_batch
from handbench.preprocess.augment import augment, mirror_box, mirror_xyz
from handbench.preprocess.counter import mix32, pixel_bits, uniforms
from handbench.preprocess.disturb import MISSING_MM, SHARE, Disturbance, disturb

CAMERA = dataset("nyu").camera
ALL = AugmentConfig(mirror=0.5, noise_mm=(1.0, 4.0), dropout=(0.0, 0.3), occluders=3)


def many_boxes(count: int) -> HandBox[npt.NDArray[Any]]:
    rng = np.random.default_rng(7)
    return HandBox.upright(rng.normal([0, 0, 750], 40, (count, 3)), np.full((count, 3), 250.0))


def as_torch(by: Disturbance[npt.NDArray[Any]]) -> Disturbance[torch.Tensor]:
    return by.each(torch.from_numpy)


# -- numbers by counter ----------------------------------------------------------------------------------------------


def test_numbers_depend_on_seed_epoch_and_row_alone() -> None:
    rows = np.array([5, 0, 70_000])
    numbers = uniforms(3, 9, rows, 4)
    assert_array_equal(uniforms(3, 9, rows[::-1], 4), numbers[::-1])
    assert_array_equal(uniforms(3, 9, rows, 7)[:, :4], numbers)
    for other in (uniforms(4, 9, rows, 4), uniforms(3, 8, rows, 4), uniforms(3, 9, rows + 1, 4)):
        assert np.abs(other - numbers).min() > 1e-6


def test_numbers_are_uniform_and_neighbours_have_nothing_in_common() -> None:
    """Each limit is five standard deviations of what it bounds."""
    numbers = np.stack([uniforms(0, epoch, np.arange(20_000), 3) for epoch in (1, 2)])
    assert 0 <= numbers.min() < 1e-3
    assert 1 - 1e-3 < numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    assert np.abs(counts - 6_000).max() < 5 * 6_000**0.5
    pairs = [
        (numbers[0, 1:, 0], numbers[0, :-1, 0]),  # row and row
        (numbers[0, :, 0], numbers[0, :, 1]),  # number and number
        (numbers[0, :, 0], numbers[1, :, 0]),  # epoch and epoch
    ]
    for a, b in pairs:
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / 20_000**0.5


def naive_mix32(x: int) -> int:
    """The hash in Python's own numbers."""
    x &= 0xFFFFFFFF
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ((x ^ (x >> shift)) * factor) & 0xFFFFFFFF
    return x ^ (x >> 16)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1))
def test_the_hash_equals_its_naive_twin_in_numpy_and_torch(values: list[int]) -> None:
    bits = np.array(values, dtype=np.int32)
    mixed = mix32(bits)
    assert [int(x) & 0xFFFFFFFF for x in mixed] == [naive_mix32(x) for x in values]
    assert_array_equal(mix32(torch.from_numpy(bits)).numpy(), mixed)


def test_every_bit_of_a_pixel_is_set_half_the_time() -> None:
    bits = pixel_bits(np.arange(20_000, dtype=np.int32), np.array([[1], [2]], dtype=np.int32))
    for bit in range(32):
        assert np.abs(((bits >> bit) & 1).mean(axis=-1) - 0.5).max() < 5 * 0.5 / 20_000**0.5
    assert (bits[0] == bits[1]).mean() < 0.001


# -- augmentation ----------------------------------------------------------------------------------------------------


def test_boxes_stay_in_their_ranges_and_fill_them() -> None:
    box, config = many_boxes(4000), AugmentConfig(roll_deg=(-30, 60), scale=(0.8, 1.1), translation_mm=(-5, 10))
    out = augment(box, config, 128, 0, 1, np.arange(4000)).box
    for values, low, high in (
        (np.rad2deg(out.roll), -30, 60),
        (out.cube / 250, 0.8, 1.1),
        (out.center_xyz - box.center_xyz, -5, 10),
    ):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high


def test_an_option_leaves_what_the_others_do() -> None:
    rows = np.arange(50)
    plain, full = (augment(many_boxes(50), config, 64, 1, 2, rows) for config in (AugmentConfig(), ALL))
    assert_array_equal(plain.box.center_xyz, full.box.center_xyz)
    assert_array_equal(plain.box.roll, full.box.roll)
    assert plain.disturbance is None
    assert not plain.mirrored.any()
    assert 10 < full.mirrored.sum() < 40
    assert full.disturbance is not None
    fewer = augment(many_boxes(50), AugmentConfig(noise_mm=(1.0, 4.0), occluders=1), 64, 1, 2, rows).disturbance
    assert fewer is not None
    assert_array_equal(fewer.noise_mm, full.disturbance.noise_mm)
    assert not fewer.dropped.any()


@pytest.mark.parametrize(
    "bad",
    [
        {"mirror": 1.5},
        {"noise_mm": (-1.0, 2.0)},
        {"dropout": (0.0, 1.1)},
        {"dropout": (0.3, 0.1)},
        {"occluders": -1},
        {"occluder_mm": (0.0, 10.0)},
    ],
)
def test_impossible_options_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(HandbenchError, match=f"augment.{next(iter(bad))}"):
        AugmentConfig(**bad)


# -- the mirror ------------------------------------------------------------------------------------------------------


def test_a_mirrored_crop_is_the_crop_of_the_mirrored_frame_by_the_mirrored_camera() -> None:
    rng = np.random.default_rng(2)
    frame = rng.integers(600, 900, (480, 640)).astype(np.uint16)
    mirrored_frame = np.ascontiguousarray(frame[:, ::-1])
    mirrored_camera = Camera(CAMERA.fx, CAMERA.fy, 639 - CAMERA.cx, CAMERA.cy, 640, 480)
    box = augment(many_boxes(20), AugmentConfig(), 64, 0, 1, np.arange(20)).box
    yes = np.ones(20, dtype=bool)
    crops = crop_batch([frame] * 20, box, CAMERA, 64, mirrored=yes)
    assert_array_equal(crops, crop_batch([frame] * 20, box, CAMERA, 64)[..., ::-1])
    seen = crop_batch([mirrored_frame] * 20, mirror_box(box, yes), mirrored_camera, 64)
    # But for what `dyadic` rounds, 1/64 px at the far corner of this crop: every pixel of this frame is another.
    assert (crops != seen).mean() < 2 * 2 / 64
    assert (crops != seen[..., ::-1]).mean() > 0.5


def test_joints_in_the_mirror_have_their_column_turned_round() -> None:
    box = augment(many_boxes(6), AugmentConfig(), 64, 0, 1, np.arange(6)).box
    xyz = box.center_xyz[:, None] + np.random.default_rng(0).normal(0, 40, (6, 5, 3))
    mirrored = np.array([True, False] * 3)
    seen, seen_xyz = mirror_box(box, mirrored), mirror_xyz(xyz, mirrored)
    expected = box.bb_to_si_norm(box.xyz_to_bb(xyz)) * np.where(mirrored, -1, 1)[:, None, None] ** np.array([1, 2, 2])
    assert_allclose(seen.bb_to_si_norm(seen.xyz_to_bb(seen_xyz)), expected, atol=1e-12)
    u, w = xyz_to_uvd(xyz, CAMERA)[..., 0], CAMERA.width
    camera = Camera(CAMERA.fx, CAMERA.fy, w - 1 - CAMERA.cx, CAMERA.cy, w, CAMERA.height)
    assert_allclose(xyz_to_uvd(seen_xyz, camera)[mirrored, :, 0], w - 1 - u[mirrored])


# -- disturbances ----------------------------------------------------------------------------------------------------


def naive_disturb(depth_mm: npt.NDArray[Any], by: Disturbance[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """Pixel by pixel, with Python's own whole numbers."""
    out = depth_mm.copy()
    for b, (seed, noise, dropped) in enumerate(zip(by.seed, by.noise_mm, by.dropped, strict=True)):
        for j in range(out.shape[1]):
            for i in range(out.shape[2]):
                bits = naive_mix32(naive_mix32(j * out.shape[2] + i) ^ (int(seed) & 0xFFFFFFFF))
                bell = sum(bits.to_bytes(4, "little")) - 510
                out[b, j, i] += np.float32(bell) * (noise / np.float32((4 * (256**2 - 1) / 12) ** 0.5))
                for (u, v, radius), mm in zip(by.occluder[b].tolist(), by.occluder_mm[b], strict=True):
                    if (4 * i - u) ** 2 + (4 * j - v) ** 2 < radius**2:
                        out[b, j, i] = min(out[b, j, i], mm)
                if naive_mix32(bits) % 2**24 < dropped:
                    out[b, j, i] = MISSING_MM
    return out


def test_disturbances_equal_their_naive_twin_in_numpy_and_torch() -> None:
    rng = np.random.default_rng(1)
    depth_mm = rng.uniform(600, 900, (4, 16, 16)).astype(np.float32)
    by = augment(many_boxes(4), ALL, 16, 5, 6, np.arange(4)).disturbance
    assert by is not None
    assert (by.occluder[..., 2] > 0).any()
    expected = naive_disturb(depth_mm, by)
    assert_array_equal(disturb(depth_mm, by), expected)
    assert_array_equal(disturb(torch.from_numpy(depth_mm), as_torch(by)).numpy(), expected)
    assert (expected != depth_mm).mean() > 0.9


def crops_of(config: AugmentConfig, count: int, depth: int = 750) -> npt.NDArray[np.floating]:
    """Crops in mm of a wall, upright boxes of 250 mm at 750 mm."""
    still = AugmentConfig((0, 0), (1, 1), (0, 0), 0.0, config.noise_mm, config.dropout, config.occluders)
    box = HandBox.upright(np.tile([0.0, 0, 750], (count, 1)), np.full((count, 3), 250.0))
    by = augment(box, still, 128, 0, 1, np.arange(count)).disturbance
    frame = np.full((480, 640), depth, np.uint16)
    return crop_batch([frame] * count, box, CAMERA, 128, disturbance=by) * 125 + 750


def test_noise_has_its_deviation_and_no_bias() -> None:
    crops = crops_of(AugmentConfig(noise_mm=(3.0, 3.0)), 8)
    assert abs(crops.mean() - 750) < 5 * 3 / crops.size**0.5
    assert abs(crops.std() - 3) < 0.03
    assert np.abs(crops - 750).max() < 3 * 3.46


def test_noise_moves_no_pixel_into_the_missing_ones() -> None:
    assert_array_equal(crops_of(AugmentConfig(noise_mm=(5.0, 5.0)), 2, depth=0), np.full((2, 128, 128), 875.0))


def test_dropped_pixels_are_background_in_their_share() -> None:
    crops = crops_of(AugmentConfig(dropout=(0.2, 0.2)), 8)
    assert set(np.unique(crops)) == {750.0, 875.0}
    assert abs((crops == 875).mean() - 0.2) < 5 * (0.16 / crops.size) ** 0.5
    assert abs(crops[0] - crops[1]).max() > 0


def test_occluders_are_discs_before_the_hand_and_never_behind_it() -> None:
    behind = crops_of(AugmentConfig(occluders=2), 40)  # the wall is in the middle of the box
    assert behind.min() < 700
    assert behind.max() == 750
    before = crops_of(AugmentConfig(occluders=2), 40, depth=600)  # nearer than the box: nothing can be before it
    assert (before == 625).all()
    by = Disturbance(
        seed=np.array([1], np.int32),
        noise_mm=np.zeros(1, np.float32),
        occluder=np.array([[[40, 20, 16]]], np.int32),
        occluder_mm=np.array([[700]], np.float32),
        dropped=np.zeros(1, np.int32),
    )
    seen = disturb(np.full((1, 24, 24), 750.0, np.float32), by)[0] == 700
    rows, columns = np.nonzero(seen)
    assert (columns.mean(), rows.mean()) == (10, 5)
    assert (columns.min(), columns.max()) == (7, 13)  # a radius of 4 px, its edge left out


def test_all_pixels_may_go_missing() -> None:
    assert SHARE == 2**24
    assert (crops_of(AugmentConfig(dropout=(1.0, 1.0)), 1) == 875).all()
