"""Which texts are computed together: neighbours in length, and as many as a budget of tokens holds."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

Batch = list[int]
"""Rows of a chunk, longest first."""
Lengths = Sequence[int] | npt.NDArray[np.int64]


def padded(lengths: Lengths, token_budget: int, step: int = 1) -> Iterator[Batch]:
    """Positions in ``lengths``, longest first, in batches whose rows times longest row, rounded up to a multiple of
    ``step``, keep to ``token_budget``.

    Sorting leaves little to pad, and a budget of tokens keeps a batch of short texts as large for the machine as one of
    long texts. A row longer than the budget is a batch of its own. Longest first: memory peaks at once or never.
    """
    order = _longest_first(lengths)
    start = 0
    while start < len(order):
        rows = rows_of(int(lengths[order[start]]), token_budget, step)
        yield order[start : start + rows]
        start += rows


def rows_of(longest: int, token_budget: int, step: int = 1) -> int:
    """How many rows a batch of ``padded`` has, but for the last one, by its longest."""
    return max(1, token_budget // (-(-longest // step) * step))


def packed(lengths: Lengths, token_budget: int, most_rows: Callable[[int], int] | None = None) -> Iterator[Batch]:
    """The same for rows that are packed and not padded: their lengths add up to ``token_budget`` at most.

    ``most_rows`` says how many rows a batch may hold, given its longest.
    """
    batch: Batch = []
    tokens, most = 0, len(lengths)
    for position in _longest_first(lengths):
        length = int(lengths[position])
        if batch and (tokens + length > token_budget or len(batch) == most):
            yield batch
            batch, tokens = [], 0
        if not batch and most_rows is not None:
            most = most_rows(length)
        batch.append(position)
        tokens += length
    if batch:
        yield batch


def _longest_first(lengths: Lengths) -> list[int]:
    order: list[int] = np.argsort(-np.asarray(lengths), kind="stable").tolist()
    return order
