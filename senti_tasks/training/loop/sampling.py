"""The order of the rows in a training."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

_BATCHES_SORTED_TOGETHER = 50

SHARE = "share"
"""Key in a collated batch: the weight of a process in the mean over all processes."""


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


class PartOfBatch:
    """Collates the part of each batch that one of several processes computes: every ``size``-th row.

    The rows of a batch are sorted by length, so all parts need about the same padding. ``SHARE`` is the number of rows
    of the part, divided by the mean over all parts: the weighted mean is then the mean over all rows of the batch. A
    process for which the last batch has no row computes the first row with the weight 0.
    """

    def __init__(self, collate: Callable[[list[Any]], dict[str, Any]], rank: int, size: int) -> None:
        self._collate = collate
        self._rank = rank
        self._size = size

    def __call__(self, rows: list[Any]) -> dict[str, Any]:
        part = rows[self._rank :: self._size]
        return {**self._collate(part or rows[:1]), SHARE: len(part) * self._size / len(rows)}
