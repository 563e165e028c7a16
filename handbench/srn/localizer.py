"""Localisation refinement: a network that says where the hand is, from a crop about a centre that is not good enough.

A centre of mass errs by tens of mm; a small network that sees the crop about it, by a few. SRN trains and tests on such
crops (section 4), as DeepPrior++ and V2V-PoseNet do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from handbench.console import note, progress
from handbench.errors import HandbenchError
from handbench.loading import HandDataset, croppable_rows, stored_box
from handbench.preprocess import AugmentConfig
from handbench.preprocess.center import in_image
from handbench.srn.checkpoint import Card, load_checkpoint, read_card, sha256_of
from handbench.srn.data import Rows, batches
from handbench.srn.inference import predict_xyz
from handbench.srn.model import PoseNetwork
from handbench.srn.run import CHECKPOINTS
from handbench.srn.target import CENTER
from handbench.store import Split, Store
from handbench.store.edit import predicted_method

Centers = npt.NDArray[np.float32]
_BATCH = 64


@dataclass(frozen=True)
class Localizer:
    """A network of centres, ready to predict.

    Attributes:
        path: its checkpoint.
        name: what its centres are called: "predicted:<name>".
        sha256: of the checkpoint.
        model: the network.
        card: of the checkpoint.
        device: of the model.
    """

    path: Path
    name: str
    sha256: str
    model: PoseNetwork
    card: Card
    device: torch.device

    @classmethod
    def load(cls, path: Path, device: torch.device, name: str | None = None) -> Localizer:
        """Read a checkpoint.

        Args:
            path: a checkpoint of `handbench train-localizer`.
            device: where it is to run.
            name: of the centres; None = that of the folder of its run, or of the file.

        Raises:
            HandbenchError: if the checkpoint is missing or damaged, or predicts joints, or the name has blanks.
        """
        card = read_card(path)
        if card.joints != CENTER:
            raise HandbenchError(
                f"{path} predicts {len(card.joints)} joints of {card.dataset} and no centre; "
                "a network of centres is made by `handbench train-localizer`"
            )
        name = name or localizer_name(path)
        predicted_method(name)  # refuses names that are none, before the work
        model, card = load_checkpoint(path, device)
        return cls(path, name, sha256_of(path), model, card, device)

    @property
    def center_method(self) -> str:
        """Of its centres, as a store has it."""
        return predicted_method(self.name)

    def facts(self) -> dict[str, str]:
        """What a card says of it."""
        return {"name": self.name, "sha256": self.sha256}

    def centers(
        self, store: Store, split: Split, rows: Rows, iterations: int = 1, batch_size: int = _BATCH, workers: int = 0
    ) -> Centers:
        """Where the hand is in some frames. What they differ in from those that it has learnt from is said on stderr.

        Args:
            store: of the frames.
            split: of the store; its centres are those to start from.
            rows: of the split, whose boxes can be cropped.
            iterations: how often; every time but the first about the centre of the time before.
            batch_size: frames at once.
            workers: processes that read and crop; 0 = this one.

        Returns:
            (N, 3) mm, camera frame; NaN in all other rows. As they would be stored, float32. Where a centre leaves the
            image or the window, it is the last that could be cropped or that it left with.
        """
        self._say_what_differs(store, split)
        found = np.full((len(split), 3), np.nan, np.float32)
        found[rows] = split.center_xyz[rows]
        with progress(f"localize {split.name}", iterations * len(rows), "frames") as advance:
            for _ in range(iterations):
                size = self.card.config.model.crop_size
                frames = HandDataset(store.path, split.name, size, rows, center_xyz=found)
                loader = batches(frames, None, batch_size, workers, self.device)
                xyz = predict_xyz(self.model, loader, stored_box(split, rows, found), self.device, advance)
                found[rows] = xyz[:, 0]
                rows = np.intersect1d(rows, usable_rows(store, split, found))
        return found

    def _say_what_differs(self, store: Store, split: Split) -> None:
        """Tell the person in what frames are not like those that the network was trained on; it is no error."""
        if self.card.dataset != store.spec.name:
            note(f"{self.name} was trained on {self.card.dataset}, {store.path} is of {store.spec.name}")
        if self.card.center_method not in (None, split.center_method):
            note(
                f"{self.name} was trained on crops about {self.card.center_method} centres, those of split "
                f"{split.name} are {split.center_method}"
            )


def usable_rows(store: Store, split: Split, center_xyz: Centers, augment: AugmentConfig | None = None) -> Rows:
    """The good frames whose centre projects into the image, and whose window holds every crop about it.

    Args:
        store: of windows or of whole frames.
        split: of the store.
        center_xyz: (N, 3) mm, camera frame; NaN = none.
        augment: ranges of the augmentation; None = the upright box alone.
    """
    rows: Rows = croppable_rows(store, split, augment, center_xyz)
    return rows[in_image(center_xyz[rows].astype(np.float64), store.camera)]


def localizer_name(path: Path) -> str:
    """What the centres of a localiser are called: after the folder of its run, or its checkpoint file.

    Args:
        path: the folder, or a checkpoint in it or anywhere else; need not be there any more.
    """
    path = path.resolve()
    if path.suffix == ".safetensors":
        path = path.parent if path.stem in CHECKPOINTS else path.with_suffix("")
    return "-".join(path.name.split()) or "localizer"
