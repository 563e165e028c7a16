"""Crops in torch against those of OpenCV, bit for bit, and on a GPU where there is one."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from torch.utils._python_dispatch import TorchDispatchMode

from handbench.camera import Camera
from handbench.errors import HandbenchError, ShapeError
from handbench.preprocess import AugmentConfig, HandBox, crop_batch
from handbench.preprocess.augment import augment
from handbench.preprocess.torch_crop import crop_tensor
from handbench.preprocess.windows import Margin, Reach, cut_window
from tests.strategies import boxes, frames

SMALL = Camera(58.8, 58.7, 32, 24, 64, 48)
ALL = AugmentConfig(mirror=0.5, noise_mm=(0, 4), dropout=(0, 0.3), occluders=2)


def batch(count: int, config: AugmentConfig, size: int = 32) -> tuple[npt.NDArray[np.uint16], Any, dict[str, Any]]:
    """Frames that use all 16 bits, boxes all over them, and how they are to be cropped."""
    rng = np.random.default_rng(count)
    depths = rng.integers(0, 1500, (count, 48, 64)).astype(np.uint16)
    depths[rng.random(depths.shape) < 0.1] = 50_000
    z = rng.uniform(400, 900, count)
    center = np.column_stack((z * rng.uniform(-0.5, 0.5, count), z * rng.uniform(-0.4, 0.4, count), z))
    made = augment(HandBox.upright(center, np.full((count, 3), 250.0)), config, size, 1, 1, np.arange(count))
    return depths, made.box, {"mirrored": made.mirrored, "disturbance": made.disturbance}


@given(boxes(), frames())
@settings(deadline=None)
def test_torch_takes_the_pixels_of_opencv(box: HandBox[npt.NDArray[Any]], depth: npt.NDArray[np.uint16]) -> None:
    one = HandBox(box.center_xyz[None], box.cube[None], box.roll[None])
    expected = crop_batch([depth], one, SMALL, 24)
    assert_array_equal(crop_tensor(torch.from_numpy(depth)[None], np.array([0]), one, SMALL, 24).numpy(), expected)


@pytest.mark.parametrize("config", [AugmentConfig(), ALL], ids=["box", "all"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_batch_of_any_rows_equals_opencv(config: AugmentConfig, dtype: type[Any]) -> None:
    depths, box, how = batch(40, config)
    depths, rows = depths.astype(dtype), np.random.default_rng(0).integers(0, 40, 40)
    expected = crop_batch([depths[row] for row in rows], box, SMALL, 32, **how)
    assert 0.1 < (expected < 1).mean() < 0.9
    assert_array_equal(crop_tensor(torch.from_numpy(depths), rows, box, SMALL, 32, **how).numpy(), expected)


def test_windows_give_the_crops_of_their_frames() -> None:
    depths, box, how = batch(30, AugmentConfig((-180, 180), (1, 1), (0, 0)))
    reach = Reach.of(box.center_xyz, box.cube, SMALL, Margin((-180, 180)))
    side = int(reach.side(SMALL).max())
    origin = reach.origins(side, SMALL)
    windows = np.stack([cut_window(depth, first, side) for depth, first in zip(depths, origin, strict=True)])
    expected = crop_batch(list(depths), box, SMALL, 32, **how)
    assert_array_equal(crop_batch(list(windows), box, SMALL, 32, origin=origin, **how), expected)
    found = crop_tensor(torch.from_numpy(windows), np.arange(30), box, SMALL, 32, origin=origin, **how)
    assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_rounded_crop(dtype: torch.dtype) -> None:
    depths, box, how = batch(20, ALL)
    full = crop_tensor(torch.from_numpy(depths), np.arange(20), box, SMALL, 32, **how)
    half = crop_tensor(torch.from_numpy(depths), np.arange(20), box, SMALL, 32, **how, dtype=dtype)
    assert torch.equal(half, full.to(dtype))
    if dtype == torch.float16:
        out = np.empty((20, 32, 32), np.float16)
        assert crop_batch(list(depths), box, SMALL, 32, out=out, **how) is out
        assert_array_equal(out, half.numpy())


def test_threads_change_nothing() -> None:
    depths, box, how = batch(45, ALL)
    one, three = (crop_batch(list(depths), box, SMALL, 32, **how, threads=threads) for threads in (1, 3))
    assert_array_equal(one, three)


class Calls(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it untyped
    """Names of the operations that torch runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_batch_of_any_size_is_one_gather_and_reads_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handbench.preprocess.torch_crop._PART", 1000)  # as on a GPU
    ran = []
    for count in (3, 40):
        depths, box, how = batch(count, ALL)
        with Calls() as calls:
            crop_tensor(torch.from_numpy(depths), np.arange(count), box, SMALL, 32, **how)
        ran.append(calls.names)
    assert ran[0] == ran[1]
    assert ran[0].count("index_select") == 2  # the gather, and before it the copy that only a CPU makes
    assert not {"_local_scalar_dense", "nonzero", "masked_select", "item"} & set(ran[0])


def test_no_rows_give_no_crops() -> None:
    depths, box, _ = batch(2, AugmentConfig())
    none = HandBox(box.center_xyz[:0], box.cube[:0], box.roll[:0])
    assert crop_tensor(torch.from_numpy(depths), np.arange(0), none, SMALL, 32).shape == (0, 32, 32)
    assert crop_batch([], none, SMALL, 32).shape == (0, 32, 32)


def test_what_cannot_be_cropped_is_refused() -> None:
    depths, box, _ = batch(2, AugmentConfig())
    tensor = torch.from_numpy(depths)
    with pytest.raises(ShapeError, match="contiguous"):
        crop_tensor(tensor.transpose(1, 2), np.arange(2), box, SMALL, 32)
    with pytest.raises(ShapeError, match="uint16 or float32"):
        crop_tensor(tensor.to(torch.int32), np.arange(2), box, SMALL, 32)
    with pytest.raises(ShapeError, match="there are 2 frames"):
        crop_tensor(tensor, np.array([0, 2]), box, SMALL, 32)
    behind = HandBox(box.center_xyz * [1, 1, -1], box.cube, box.roll)
    with pytest.raises(HandbenchError, match=r"frame b .*in front of the camera"):
        crop_tensor(
            tensor,
            np.arange(1, 2),
            HandBox(*(getattr(behind, n)[1:] for n in ("center_xyz", "cube", "roll"))),
            SMALL,
            32,
            names=["frame b"],
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_crops_without_waiting() -> None:
    depths, box, how = batch(200, ALL)
    expected = crop_batch(list(depths), box, SMALL, 32, **how)
    resident = torch.from_numpy(depths).cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = crop_tensor(resident, np.arange(200), box, SMALL, 32, **how)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert_array_equal(found.cpu().numpy(), expected)
