"""Counts labels again, to compare the counts with the rollups that publications keep."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy import Engine, Table

from senti_tasks.warehouse.schema import label_rollups, model_labels, product_rollups, review_labels
from tests.situations import rows

Sums = dict[tuple[Any, ...], list[float]]


def check_rollups(engine: Engine, where: str = "") -> None:
    """Both rollups are what a recount of ``review_labels`` gives. ``where`` is for the message."""
    labels = rows(engine, review_labels)
    highest: dict[str, int] = {}
    for row in rows(engine, model_labels):
        highest[row["model_version"]] = max(row["label"], highest.get(row["model_version"], 0))
    for rollup, sums in (
        (label_rollups, ("reviews", "score_sum", "confidence_sum")),
        (product_rollups, ("reviews", "positive", "negative", "score_sum", "confidence_sum")),
    ):
        keys = rollup.primary_key.columns.keys()
        counted: Sums = defaultdict(lambda: [0.0] * len(sums))  # noqa: B023  used in this round only
        for row in labels:
            values = {
                "reviews": 1,
                "positive": row["label"] == highest.get(row["model_version"]),
                "negative": row["label"] == 0,
                "score_sum": row["score"],
                "confidence_sum": row["confidence"],
            }
            counts = counted[tuple(row[key] for key in keys)]
            counts[:] = [count + values[name] for count, name in zip(counts, sums, strict=True)]
        kept = _kept(engine, rollup, keys, sums)
        assert kept == {key: pytest.approx(found) for key, found in counted.items()}, f"{where}: {rollup.name}"


def _kept(engine: Engine, rollup: Table, keys: Iterable[str], sums: Iterable[str]) -> Sums:
    found = [row for row in rows(engine, rollup) if row["reviews"]]
    return {tuple(row[key] for key in keys): [row[name] for name in sums] for row in found}
