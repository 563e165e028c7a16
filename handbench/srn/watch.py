"""What a person sees of a training: a line an epoch, and TensorBoard."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from handbench.console import note
from handbench.srn.model import PoseNetwork
from handbench.srn.run import Epoch
from handbench.srn.sheet import Watched, draw_sheet
from handbench.srn.target import to_xyz


def report(epoch: Epoch, last: int, writer: SummaryWriter) -> None:
    """Say an epoch to the person and to TensorBoard.

    Args:
        epoch: that is done.
        last: number of the last epoch.
        writer: of TensorBoard's file.
    """
    error = epoch.validation_error_mm
    watched = "" if error is None else f"  validation {error:.2f} mm"
    note(f"epoch {epoch.epoch}/{last}  lr {epoch.lr:g}  loss {epoch.loss:.4f}{watched}  {epoch.seconds:.1f} s")
    scalars = {"lr": epoch.lr, "loss/sum": epoch.loss, "seconds": epoch.seconds}
    scalars |= {f"loss/stage_{i}": loss for i, loss in enumerate(epoch.stage_loss, start=1)}
    if error is not None:
        scalars["validation/mean_error_mm"] = error
    for name, value in scalars.items():
        writer.add_scalar(name, value, epoch.epoch)
    writer.flush()


@torch.inference_mode()
def show_crops(model: PoseNetwork, watched: Watched, epoch: int, writer: SummaryWriter) -> None:
    """Put a sheet of crops with true and predicted skeletons into TensorBoard.

    Args:
        model: of the run.
        watched: the frames.
        epoch: number of the epoch that is done.
        writer: of TensorBoard's file.
    """
    device = next(model.parameters()).device
    output = model.eval()(torch.from_numpy(watched.depth)[:, None].to(device))[-1]
    pred_xyz = to_xyz(output.cpu().numpy().astype(np.float64), watched.box, model.config)
    writer.add_image("crops", draw_sheet(watched, pred_xyz), epoch, dataformats="HWC")
    writer.flush()
