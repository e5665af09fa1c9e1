import numpy as np

from senti_tasks.training.loop.sampling import LengthGroupedSampler

LENGTHS = np.random.default_rng(3).integers(5, 200, size=1003).tolist()


def order(epoch: int, seed: int = 1) -> list[int]:
    return list(LengthGroupedSampler(LENGTHS, 16, seed, lambda: epoch))


def test_an_epoch_has_every_row_once() -> None:
    assert sorted(order(0)) == list(range(1003))
    assert sorted(LengthGroupedSampler([3, 4, 5], 16, 1, lambda: 0)) == [0, 1, 2]


def test_the_order_is_that_of_seed_and_epoch() -> None:
    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1) != order(1, seed=2)


def test_batches_hold_reviews_of_like_length() -> None:
    rows = order(0)
    batches = [rows[start : start + 16] for start in range(0, len(rows), 16)]
    longest = sum(len(batch) * max(LENGTHS[row] for row in batch) for batch in batches)
    assert longest < 1.1 * sum(LENGTHS)
