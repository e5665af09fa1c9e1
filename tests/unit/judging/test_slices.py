from datetime import UTC, datetime, timedelta

import numpy as np

from senti_tasks.judging.slices import HeldOut, slices

DUE = datetime(2026, 11, 22, tzinfo=UTC)


def rows(products: list[str | None], lengths: list[int], days_ago: list[int]) -> HeldOut:
    created_at = [DUE - timedelta(days=days) for days in days_ago]
    return HeldOut(np.zeros(len(products), np.int64), products, np.array(lengths), created_at, DUE)


def test_products_lengths_and_recent_reviews_are_slices() -> None:
    test_rows = rows(["手机", "手机", "酒店", "酒店", None], [30, 31, 100, 301, 5], [1, 89, 90, 200, 300])
    found = slices(test_rows, min_rows=2, recent_days=90)
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.items()} == {
        "product 手机": [0, 1],
        "product 酒店": [2, 3],
        "0 to 30 characters": [0, 4],
        "31 to 100 characters": [1, 2],
        "last 90 days": [0, 1],
    }


def test_a_slice_of_few_rows_or_of_all_of_them_is_none() -> None:
    test_rows = rows(["手机"] * 4, [10, 10, 10, 400], [1, 1, 1, 1])
    assert list(slices(test_rows, min_rows=2, recent_days=90)) == ["0 to 30 characters"]
    assert slices(test_rows, min_rows=4, recent_days=90) == {}
