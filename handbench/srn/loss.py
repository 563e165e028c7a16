"""The training loss (SRN Eq. 3 and 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import smooth_l1_loss

THRESHOLD = 0.01
"""Of the smooth L1 loss, in `uvd_si_norm`; 1.25 mm of depth in a cube of 250 mm."""


def stage_losses(poses: Sequence[torch.Tensor], target: torch.Tensor, kind: str = "smooth-l1") -> torch.Tensor:
    """Loss of every stage, summed over joints and coordinates, averaged over the batch.

    With t = 0.01 and x = predicted - true, the loss of one coordinate is x^2 / (2 t) = 50 x^2 where |x| < t, and
    |x| - t / 2 = |x| - 0.005 elsewhere; of kind "l2" it is 50 x^2 everywhere. Training minimises their sum over the
    stages times `OptimConfig.loss_weight`.

    Args:
        poses: T tensors (B, J, 3), `uvd_si_norm`.
        target: (B, J, 3), `uvd_si_norm`; NaN = not labelled, which costs nothing and pulls at nothing.
        kind: one of `config.LOSSES`.

    Returns:
        (T,).

    Source: SRN Eq. 3 (one coordinate) and Eq. 5 (sums).
    """
    labelled = target.isfinite()
    known = torch.where(labelled, target, 0.0)
    losses = [_of_coordinates(pose, known, kind) for pose in poses]
    return torch.stack([torch.where(labelled, loss, 0.0).sum() / target.shape[0] for loss in losses])


def _of_coordinates(pose: torch.Tensor, known: torch.Tensor, kind: str) -> torch.Tensor:
    if kind == "l2":
        return (pose - known).square() / (2 * THRESHOLD)
    return smooth_l1_loss(pose, known, beta=THRESHOLD, reduction="none")
