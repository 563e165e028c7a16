"""What a network learns: which points, and in which coordinates.

Points are the scored joints or their mean, the centre of the hand. Coordinates are those of the scaled image (SRN's
coordinate decoupling) or, without it, directly those of the box in mm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from handbench.arrays import ArrayT
from handbench.loading import Sample
from handbench.preprocess import HandBox, mean_joint_xyz
from handbench.srn.config import ModelConfig
from handbench.srn.data import scored_names
from handbench.store import Store

CENTER = ("center",)
"""Names of the points of a network that predicts the centre."""


def targets(sample: Sample, config: ModelConfig) -> torch.Tensor:
    """What the network is to give for a batch.

    Args:
        sample: a batch of B; box and joints of mirrored samples are those in the mirror, as the loaders have them.
        config: of the network.

    Returns:
        (B, P, 3) on the device of the sample, in the coordinates of the network; NaN = not labelled. P is J, or 1.
    """
    if config.predicts == "joints" and config.coordinates == "uvd":
        return sample["target"]
    box = HandBox(sample["center_xyz"], sample["cube"], sample["roll"])
    points_xyz = sample["joints_xyz"] if config.predicts == "joints" else _mean_point(sample["joints_xyz"])
    return _normalised(box.xyz_to_bb(points_xyz), box, config)


def to_xyz(
    output: npt.NDArray[np.float64], box: HandBox[npt.NDArray[Any]], config: ModelConfig
) -> npt.NDArray[np.float64]:
    """The points that the output of a network means: the inverse of `targets`.

    Args:
        output: (n, P, 3) in the coordinates of the network.
        box: a batch of n, those that were cropped.
        config: of the network.

    Returns:
        (n, P, 3) mm, camera frame.
    """
    xyz_bb = box.si_norm_to_bb(output) if config.coordinates == "uvd" else box.rolled_norm_to_bb(output)
    return box.bb_to_xyz(xyz_bb)


def true_xyz(joints_xyz: npt.NDArray[Any], config: ModelConfig) -> npt.NDArray[Any]:
    """The points that a network is to find, in mm.

    Args:
        joints_xyz: (n, J, 3) mm, camera frame, scored joints; NaN = not labelled.
        config: of the network.

    Returns:
        (n, P, 3) mm, camera frame; NaN = not labelled, for a centre: none of the joints is.
    """
    return joints_xyz if config.predicts == "joints" else mean_joint_xyz(joints_xyz)[:, None]


def point_names(store: Store, config: ModelConfig) -> tuple[str, ...]:
    """Names of the P points: the scored joints of a store in the order of the literature, or `CENTER`."""
    return scored_names(store) if config.predicts == "joints" else CENTER


def _normalised(xyz_bb: ArrayT, box: HandBox[ArrayT], config: ModelConfig) -> ArrayT:
    return box.bb_to_si_norm(xyz_bb) if config.coordinates == "uvd" else box.bb_to_rolled_norm(xyz_bb)


def _mean_point(joints_xyz: torch.Tensor) -> torch.Tensor:
    """(B, 1, 3): the mean of the labelled joints, as `mean_joint_xyz` has it."""
    labelled = joints_xyz.isfinite().all(dim=-1, keepdim=True)
    return torch.where(labelled, joints_xyz, torch.nan).nanmean(dim=-2, keepdim=True)
