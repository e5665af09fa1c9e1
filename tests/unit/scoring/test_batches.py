"""Which texts are computed together."""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import pytest

from senti_tasks.scoring.batches import Batch, packed, padded

LENGTHS = [random.Random(seed).randint(2, 512) for seed in range(300)]  # noqa: S311


def tokens_padded(lengths: list[int]) -> int:
    return len(lengths) * max(lengths)


@pytest.mark.parametrize(("batches_of", "size"), [(padded, tokens_padded), (packed, sum)])
@pytest.mark.parametrize("budget", [512, 2_048, 1_000_000])
def test_batches_hold_every_row_once_and_keep_to_the_budget(
    batches_of: Callable[[Sequence[int], int], Iterator[Batch]], size: Callable[[list[int]], int], budget: int
) -> None:
    batches = list(batches_of(LENGTHS, budget))
    assert sorted(row for batch in batches for row in batch) == list(range(300))
    assert all(size([LENGTHS[row] for row in batch]) <= budget for batch in batches)


@pytest.mark.parametrize("batches_of", [padded, packed])
def test_rows_come_longest_first_and_equals_in_their_order(
    batches_of: Callable[[Sequence[int], int], Iterator[Batch]],
) -> None:
    rows = [row for batch in batches_of(LENGTHS, 1_024) for row in batch]
    assert rows == sorted(range(300), key=lambda row: (-LENGTHS[row], row))


@pytest.mark.parametrize(("batches_of", "size"), [(padded, tokens_padded), (packed, sum)])
def test_no_batch_has_room_for_the_row_after_it(
    batches_of: Callable[[Sequence[int], int], Iterator[Batch]], size: Callable[[list[int]], int]
) -> None:
    batches = list(batches_of(LENGTHS, 1_024))
    for batch, (after, *_) in pairwise(batches):
        assert size([LENGTHS[row] for row in [*batch, after]]) > 1_024


@pytest.mark.parametrize("batches_of", [padded, packed])
def test_a_row_longer_than_the_budget_is_a_batch_of_its_own(
    batches_of: Callable[[Sequence[int], int], Iterator[Batch]],
) -> None:
    assert list(batches_of([3, 900, 4], 512)) == [[1], [2, 0]]


@pytest.mark.parametrize("batches_of", [padded, packed])
def test_no_rows_make_no_batch(batches_of: Callable[[Sequence[int], int], Iterator[Batch]]) -> None:
    assert list(batches_of([], 512)) == []


def test_packed_rows_keep_to_the_budget() -> None:
    assert list(packed([6, 5, 4, 3], 11)) == [[0, 1], [2, 3]]


def test_padded_batches_of_one_width_have_one_size_but_for_the_last() -> None:
    lengths = LENGTHS * 9
    batches = list(padded(lengths, 2_048, step=8))[:-1]
    sizes = {(-(-lengths[batch[0]] // 8), len(batch)) for batch in batches}
    assert len(sizes) == len({width for width, _ in sizes}) > 30
