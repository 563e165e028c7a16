"""What the windows of a store have room for. Apart from the reader, which does without OpenCV."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from handbench.errors import HandbenchError
from handbench.preprocess.augment import AugmentConfig
from handbench.preprocess.windows import Margin, Reach
from handbench.store.reader import Split, Store


def check_margin(store: Store, augment: AugmentConfig | None) -> None:
    """Refuse windows that were made for less than an augmentation asks. Whole frames have room for all.

    Args:
        store: of windows or of whole frames.
        augment: ranges of the augmentation; None = none.

    Raises:
        HandbenchError: naming the ranges, and the command that makes windows for them.
    """
    if store.windows is None:
        return
    lacking = Margin.from_dict(store.windows.margin).lacks(Margin.of(augment))
    if lacking:
        raise HandbenchError(
            f"{store.path} holds windows without room for this augmentation: {'; '.join(lacking)}; make windows for it "
            "('handbench windows SOURCE OUT --margin CONFIG.toml'), or narrow its ranges"
        )


def covered_rows(
    store: Store, split: Split, augment: AugmentConfig | None, center_xyz: npt.NDArray[Any] | None = None
) -> npt.NDArray[np.bool_]:
    """Which frames hold all that an augmentation can reach, so that no crop of them is refused.

    Hands so near that their box exceeds the window are those that it leaves out; with `augment` None, the upright box,
    they may be fewer.

    Args:
        store: of windows or of whole frames.
        split: of the store.
        augment: ranges of the augmentation; None = none.
        center_xyz: (N, 3) mm, camera frame, centres in place of the store's; NaN = none.

    Returns:
        (N,) False also where a frame has no centre in front of the camera; whatever the status is.

    Raises:
        HandbenchError: if the windows were made for less (`check_margin`).
    """
    check_margin(store, augment)
    center_xyz = split.center_xyz if center_xyz is None else center_xyz
    reach = Reach.of(center_xyz, split.cube, store.camera, Margin.of(augment))
    if store.windows is None:
        return np.asarray(np.isfinite(reach.middle).all(axis=1))
    return reach.inside(split.origin_uv, store.windows.side, store.camera)
