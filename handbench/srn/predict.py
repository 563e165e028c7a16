"""From a checkpoint and a store to predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from handbench.camera import xyz_to_uvd
from handbench.console import note, progress
from handbench.errors import HandbenchError
from handbench.loading import HandDataset, Sample, croppable_rows, stored_box
from handbench.predictions import Predictions
from handbench.preprocess import HandBox
from handbench.srn.checkpoint import load_checkpoint, require_joints
from handbench.srn.data import batches, scored_names
from handbench.srn.model import PoseNetwork
from handbench.srn.run import CHECKPOINTS, RunFolder
from handbench.srn.target import CENTER, to_xyz
from handbench.store import Store


def predict(
    checkpoint: Path, store_path: Path, split_name: str, device: torch.device, batch_size: int, workers: int
) -> Predictions:
    """The scored joints of every frame of a split, in the box that the store has for it.

    Args:
        checkpoint: a file of `handbench train`.
        store_path: the store.
        split_name: of the store.
        device: where the network runs.
        batch_size: frames at once.
        workers: processes that read and crop; 0 = this one.

    Returns:
        Predictions in the full image; frames whose status is not OK, or that have no centre, are NaN, and are counted
        on stderr.

    Raises:
        HandbenchError: on a damaged checkpoint, one of centres or of other joints than the store's, or a split that is
            not there.
    """
    model, card = load_checkpoint(checkpoint, device)
    if card.joints == CENTER:
        raise HandbenchError(
            f"{checkpoint} predicts the centre of the hand and no joints; `handbench localize` puts its centres into a "
            "store"
        )
    store = Store(store_path)
    split = store[split_name]
    joints = scored_names(store)
    require_joints(card, joints, store.spec.name, checkpoint)
    rows = croppable_rows(store, split)
    uvd = np.full((len(split), len(joints), 3), np.nan)
    frames = HandDataset(store_path, split_name, card.config.model.crop_size, rows)
    loader = batches(frames, None, batch_size, workers, device)
    with progress(f"predict {split_name}", len(rows), "frames") as advance:
        xyz = predict_xyz(model, loader, stored_box(split, rows), device, advance)
    uvd[rows] = xyz_to_uvd(xyz, store.camera)
    if left_out := len(split) - len(rows):
        note(f"{left_out} of {len(split)} frames have no usable image or centre; their predictions are NaN")
    provenance = {
        "method": "SRN",
        "checkpoint": {"file": checkpoint.name, "sha256": _sha256(checkpoint), **card.to_dict()},
        "split": split_name,
        "center_method": split.center_method,
        "store": store.provenance,
    }
    return Predictions("SRN", uvd, tuple(map(str, split.frame_key)), provenance)


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
        (frames, J, 3) mm, camera frame.
    """
    poses = [np.empty((0, model.joints, 3), dtype=np.float64)]
    for batch in loader:
        pose = model(batch["depth"].to(device, non_blocking=True))[-1]
        poses.append(pose.cpu().numpy().astype(np.float64))
        advance(len(pose))
    return to_xyz(np.concatenate(poses), box, model.config)


def find_checkpoint(run: Path, which: str) -> Path:
    """The checkpoint of a run; a path to a checkpoint file is taken as it is.

    Raises:
        HandbenchError: if there is none.
    """
    path = RunFolder(run).checkpoint(which) if run.is_dir() else run
    if not path.is_file():
        there = [name for name in CHECKPOINTS if RunFolder(run).checkpoint(name).is_file()]
        hint = f"it has {' and '.join(there)}" if there else "it is not the folder of a run that has finished an epoch"
        raise HandbenchError(f"there is no checkpoint {path}; {hint}" if run.is_dir() else f"there is no run {run}")
    return path


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU if there is one.

    Raises:
        HandbenchError: if CUDA is asked for and not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise HandbenchError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
