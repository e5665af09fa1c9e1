"""The order in which a training sees its reviews."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

_BATCHES_SORTED_TOGETHER = 50


class LengthGroupedSampler(torch.utils.data.Sampler[int]):
    """Row numbers of one epoch, so that a batch holds reviews of like length, and little is padded.

    The order is a function of (seed, epoch, lengths, batch size) alone. The Trainer's own sampler for this draws from a
    generator whose state a checkpoint does not keep, and a resumed training then ends with other weights.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, epoch: Callable[[], int]) -> None:
        """``lengths`` are in tokens, one a row; ``epoch`` returns the number of the epoch that is about to start."""
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self._seed, self._epoch()])
        rows = random.permutation(len(self._lengths))
        stretch = self._batch_size * _BATCHES_SORTED_TOGETHER
        batches: list[np.ndarray] = []
        for start in range(0, len(rows), stretch):
            part = rows[start : start + stretch]
            part = part[np.argsort(-self._lengths[part], kind="stable")]
            batches += np.split(part, range(self._batch_size, len(part), self._batch_size))
        # Only the last batch may be short: the loader cuts the order into batches without knowing of ours.
        last = batches.pop() if len(batches[-1]) < self._batch_size else None
        order = [batches[number] for number in random.permutation(len(batches))]
        if last is not None:
            order.append(last)
        return iter(np.concatenate(order).tolist())
