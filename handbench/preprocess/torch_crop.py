"""The crop in torch, on any device: the pixels that OpenCV takes (`crop.crop_batch`), in one gather for a whole batch.

Boxes and random numbers are worked out on the host, in NumPy, for both; two small copies take them to the device, and
nothing is read back. Positions are exact in float32 (`crop.dyadic`), so there is one answer on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from handbench.camera import Camera
from handbench.errors import ShapeError
from handbench.preprocess.box import HandBox
from handbench.preprocess.crop import Warps, pixel_span, plan_warps
from handbench.preprocess.disturb import MISSING_MM, Disturbance, disturb

_PART = 16  # crops at once on a CPU, whose cache a whole batch would leave; a GPU takes the batch
_TWO_23 = 2.0**23  # float32 from here on are whole numbers, and their bits count up by 1
_BITS_23 = int(np.float32(_TWO_23).view(np.int32))


def crop_tensor(
    depths: torch.Tensor,
    rows: npt.NDArray[np.int64],
    boxes: HandBox[npt.NDArray[Any]],
    camera: Camera,
    size: int,
    origin: npt.NDArray[np.integer] | None = None,
    names: Sequence[str] | None = None,
    mirrored: npt.NDArray[np.bool_] | None = None,
    disturbance: Disturbance[npt.NDArray[Any]] | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Crops of some frames or windows that lie together in one tensor.

    Args:
        depths: (N, H, W) uint16 or float32 mm, 0 = missing, contiguous, on any device.
        rows: (B,) which of them.
        boxes: a batch of B, NumPy.
        camera: of the frames, also for windows.
        size: side S of the crops, px.
        origin: (B, 2) whole u, v of the first pixel of each window; None = `depths` are frames.
        names: what an error calls each box; None = by its place in the batch.
        mirrored: (B,) crops whose columns are taken from right to left; None = none.
        disturbance: of the pixels, NumPy, of the same B; None = none.
        dtype: float32, float16 or bfloat16, which round the float32 result.

    Returns:
        (B, S, S) on the device of `depths`; as float32 equal bit for bit to `crop_batch`.

    Raises:
        HandbenchError: naming the first box that cannot be cropped.
        ShapeError: as `crop_batch`, or if `depths` is no such tensor or a row is not in it.
    """
    _check_tensor(depths, rows)
    shapes = np.broadcast_to(depths.shape[1:], (len(rows), 2))
    warps = plan_warps(shapes, boxes, camera, size, origin, names, mirrored)
    out = torch.empty((len(rows), size, size), dtype=dtype, device=depths.device)
    part = _PART if depths.device.type == "cpu" else max(len(rows), 1)
    for start in range(0, len(rows), part):
        these = slice(start, start + part)
        some = warps[these]
        by = None if disturbance is None else disturbance.each(partial(_part_to_device, these, depths.device))
        if depths.device.type == "cpu":  # a copy goes through memory in order, a turned gather does not
            _cut(_rows(depths, rows[these]), np.arange(len(out[these])), some, by, out[these])
        else:
            _cut(depths, rows[these], some, by, out[these])
    return out


def _cut(
    depths: torch.Tensor,
    rows: npt.NDArray[np.int64],
    warps: Warps,
    by: Disturbance[torch.Tensor] | None,
    out: torch.Tensor,
) -> None:
    """Gather, normalise and clip into `out`, (B, S, S)."""
    height, width = depths.shape[1:]
    numbers = np.column_stack((warps.matrix.reshape(-1, 6), warps.z, warps.per_mm)).astype(np.float32)
    ui, uj, u0, vi, vj, v0, z, per_mm = to_device(numbers, depths.device)[:, :, None, None].unbind(1)
    base = to_device(rows * (height * width) - _BITS_23, depths.device)[:, None, None]
    place = torch.arange(out.shape[-1], dtype=torch.float32, device=depths.device)
    across, down = place[None, None, :], place[None, :, None]
    u = (uj * down + u0) + ui * across
    v = (vj * down + v0) + vi * across
    seen = None
    if not _all_inside(warps, out.shape[-1], height, width):
        seen = (u > -0.5) & (u < width - 0.5) & (v > -0.5) & (v < height - 0.5)
        u.clamp_(0, width - 1)
        v.clamp_(0, height - 1)
    # Adding 2^23 rounds u, and leaves the place of the pixel in the low bits, far cheaper than a conversion.
    pixel = u.add_(_TWO_23).add_(v.round_(), alpha=width).view(torch.int32).to(torch.int64).add_(base)
    mm = _gather(depths, pixel)
    if seen is not None:
        mm = torch.where(seen, mm, MISSING_MM)
    if by is not None:
        mm = disturb(mm, by)
    out.copy_(mm.sub_(z).mul_(per_mm).clamp_(-1, 1))


def _rows(depths: torch.Tensor, rows: npt.NDArray[np.int64]) -> torch.Tensor:
    """Some of the frames or windows, copied; by their bits, for torch picks no uint16."""
    bits = torch.int16 if depths.dtype == torch.uint16 else torch.int32
    return depths.view(bits).index_select(0, torch.from_numpy(rows)).view(depths.dtype)


def _gather(depths: torch.Tensor, pixel: torch.Tensor) -> torch.Tensor:
    """Float32 mm of pixels by their place in the whole tensor; missing depth lies behind every cube."""
    if depths.dtype == torch.float32:
        mm = depths.reshape(-1).index_select(0, pixel.reshape(-1)).view(pixel.shape)
        return torch.where(mm == 0, MISSING_MM, mm)
    # The same bits as int16, and 0 - 1 wraps to 65535.
    bits = depths.view(torch.int16).reshape(-1).index_select(0, pixel.reshape(-1)).view(pixel.shape)
    return bits.sub_(1).view(torch.uint16).to(torch.float32).add_(1)


def _all_inside(warps: Warps, size: int, height: int, width: int) -> bool:
    """Whether no crop reads beyond the frame or window; known on the host."""
    first, last = pixel_span(warps.matrix, size)
    return bool((first >= 0).all() and (last < (width, height)).all())


def to_device(numbers: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """A copy on the device that the host does not wait for; on a CPU the same memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(numbers))
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _part_to_device(part: slice, device: torch.device, numbers: npt.NDArray[Any]) -> torch.Tensor:
    return to_device(numbers[part], device)


def _check_tensor(depths: torch.Tensor, rows: npt.NDArray[np.int64]) -> None:
    if depths.ndim != 3 or depths.dtype not in (torch.uint16, torch.float32) or not depths.is_contiguous():
        raise ShapeError(
            f"depths must be a contiguous (N, H, W) of uint16 or float32, not {tuple(depths.shape)} {depths.dtype}"
        )
    if depths.shape[1] * depths.shape[2] >= _TWO_23:
        raise ShapeError(f"frames of {tuple(depths.shape[1:])} px are too large, there must be fewer than 2^23 pixels")
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(depths)):
        raise ShapeError(f"rows go from {rows.min()} to {rows.max()}, there are {len(depths)} frames")
