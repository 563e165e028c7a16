"""The order of an epoch: all samples at random, or shard by shard for stores that are larger than memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from handbench.errors import HandbenchError

Key = tuple[int, int]
"""(epoch, place): what a sample is asked for. The epoch only seeds the augmentation."""


class EpochOrder(Sampler[Key]):
    """Keys in the random order of an epoch, which depends on (seed, epoch) alone. Set `epoch` before iterating.

    Streaming takes the shards of a store in random order, `buffer` of them at a time, and shuffles the rows of those
    among each other. So the disk reads few files at once, each of them once an epoch, and what has been read of them
    stays in the system's own cache while it is needed.

    Args:
        rows: (n,) of the split, as the data set has them.
        seed: not negative.
        shard_frames: of the store (`HandDataset.shard_frames`) for streaming; None = all rows at random.
        buffer: shards at a time.

    Raises:
        HandbenchError: if `shard_frames` or `buffer` is not positive.
    """

    def __init__(
        self, rows: npt.NDArray[np.integer], seed: int, shard_frames: int | None = None, buffer: int = 16
    ) -> None:
        if (shard_frames is not None and shard_frames < 1) or buffer < 1:
            raise HandbenchError(f"shards of {shard_frames} frames, {buffer} at a time: both must be at least 1")
        self.epoch = 0
        self._rows, self._seed = rows, seed
        self._shard_frames, self._buffer = shard_frames, buffer

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Key]:
        return ((self.epoch, place) for place in self.places().tolist())

    def places(self) -> npt.NDArray[np.int64]:
        """(n,) places in `rows`, each once."""
        rng = np.random.default_rng((self._seed, self.epoch))
        if self._shard_frames is None:
            return rng.permutation(len(self._rows))
        shard = self._rows // self._shard_frames
        shards, which = np.unique(shard, return_inverse=True)
        turn = rng.permutation(len(shards))[which] // self._buffer  # when the shard of each row comes
        return np.lexsort((rng.random(len(self._rows)), turn))
