"""The order of the rows in a training."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

_BATCHES_SORTED_TOGETHER = 50


class LengthGroupedSampler(torch.utils.data.Sampler[int]):
    """The row numbers of one epoch, ordered so that a batch has rows of similar length and needs little padding.

    The order depends on (seed, epoch, lengths, batch size) only. The Trainer's own sampler of this kind draws from a
    generator whose state is not saved in a checkpoint. A resumed training would then end with other weights.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, epoch: Callable[[], int]) -> None:
        """``lengths``: tokens of each row. ``epoch`` returns the number of the epoch that starts now."""
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self._seed, self._epoch()])
        rows = random.permutation(len(self._lengths))
        group = self._batch_size * _BATCHES_SORTED_TOGETHER
        batches: list[np.ndarray] = []
        for start in range(0, len(rows), group):
            part = rows[start : start + group]
            part = part[np.argsort(-self._lengths[part], kind="stable")]
            batches += np.split(part, range(self._batch_size, len(part), self._batch_size))
        # A short batch must stay the last one: the data loader cuts the order every batch_size rows.
        last = [batches.pop()] if len(batches[-1]) < self._batch_size else []
        order = [batches[number] for number in random.permutation(len(batches))] + last
        return iter(np.concatenate(order).tolist())
