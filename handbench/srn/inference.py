"""A network over crops, and what it gives in the camera frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from handbench.loading import Sample
from handbench.preprocess import HandBox
from handbench.srn.model import PoseNetwork
from handbench.srn.target import to_xyz


@torch.inference_mode()
def predict_xyz(
    model: PoseNetwork,
    loader: Iterable[Sample],
    box: HandBox[npt.NDArray[Any]],
    device: torch.device,
    advance: Callable[[int], None] = lambda count: None,
) -> npt.NDArray[np.float64]:
    """The last stage's points of some frames, taken into the camera frame (from `uvd_si_norm` by Eq. 4).

    Args:
        model: in evaluation mode.
        loader: batches of upright crops.
        box: a batch, the boxes of those crops in the same order.
        device: of the model.
        advance: told the number of frames after every batch.

    Returns:
        (frames, J, 3) mm, camera frame; J is 1 for a network of centres.
    """
    poses = [np.empty((0, model.joints, 3), dtype=np.float64)]
    for batch in loader:
        pose = model(batch["depth"].to(device, non_blocking=True))[-1]
        poses.append(pose.cpu().numpy().astype(np.float64))
        advance(len(pose))
    return to_xyz(np.concatenate(poses), box, model.config)
