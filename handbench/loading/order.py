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


class BatchOrder(Sampler[list[Key]]):
    """An epoch in batches; where several processes train together, each gets its share of every batch.

    All processes take as many steps, and no frame is left out: the last batch is as large as what is left, and a
    process for which nothing is left gets its first frame, to be counted with a weight of 0 (`share_of`).

    Args:
        order: of the epoch.
        batch_size: frames in a batch, of all processes together.
        rank: number of this process, from 0.
        processes: how many there are.

    Attributes:
        order: as given.
        first_step: batches of the epoch to pass over, which have been trained on already; 0 at first.

    Raises:
        HandbenchError: if a batch has fewer frames than there are processes.
    """

    def __init__(self, order: EpochOrder, batch_size: int, rank: int = 0, processes: int = 1) -> None:
        if batch_size < processes:
            raise HandbenchError(
                f"optim.batch_size is {batch_size}, which is less than a frame for each of {processes} processes"
            )
        self.order, self.first_step = order, 0
        self._batch_size, self._rank, self._processes = batch_size, rank, processes

    def __len__(self) -> int:
        return max(0, -(-len(self.order) // self._batch_size) - self.first_step)

    def __iter__(self) -> Iterator[list[Key]]:
        keys = list(self.order)
        for start in range(self.first_step * self._batch_size, len(keys), self._batch_size):
            batch = keys[start : start + self._batch_size]
            yield batch[self._rank :: self._processes] or batch[:1]

    def share_of(self, step: int) -> tuple[int, int]:
        """Frames of this process, and of all together, in a batch; `step` counts from 0."""
        together = min(self._batch_size, len(self.order) - step * self._batch_size)
        return len(range(self._rank, together, self._processes)), together
