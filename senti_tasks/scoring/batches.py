"""Divides texts into batches of similar length and of a limited number of tokens."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Batch = list[int]
"""Row numbers, the longest row first."""
Lengths = Sequence[int] | npt.NDArray[np.int64]


def padded(lengths: Lengths, token_budget: int, step: int = 1) -> Iterator[Batch]:
    """Batches of rows that are padded to the longest row of their batch, rounded up to a multiple of ``step``.

    A batch has at most ``token_budget`` tokens, padding included; a row that is longer forms a batch alone. Sorting by
    length keeps the padding small. A limit of tokens instead of rows makes each batch the same amount of work. The
    longest rows come first, so that memory is at its peak in the first batch.
    """
    order = _longest_first(lengths)
    start = 0
    while start < len(order):
        rows = rows_of(int(lengths[order[start]]), token_budget, step)
        yield order[start : start + rows]
        start += rows


def rows_of(longest: int, token_budget: int, step: int = 1) -> int:
    """The number of rows in a full batch of ``padded`` whose longest row has ``longest`` tokens."""
    return max(1, token_budget // (-(-longest // step) * step))


def packed(lengths: Lengths, token_budget: int) -> Iterator[Batch]:
    """The same for rows without padding: the lengths of a batch add up to at most ``token_budget``."""
    batch: Batch = []
    tokens = 0
    for position in _longest_first(lengths):
        length = int(lengths[position])
        if batch and tokens + length > token_budget:
            yield batch
            batch, tokens = [], 0
        batch.append(position)
        tokens += length
    if batch:
        yield batch


def _longest_first(lengths: Lengths) -> list[int]:
    order: list[int] = np.argsort(-np.asarray(lengths), kind="stable").tolist()
    return order
