"""A series: the runs that one call opens. Each run answers a range of review keys, and is planned, scored and published
by itself, so that no transaction grows with the table and a failure loses one range.

A series has one run if few reviews are to be answered. Its runs have the idempotency keys ``KEY#0``, ``KEY#1`` and so
on, where ``KEY`` is that of the call and the name of the series.
"""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import count_rows, fetch_one, insert
from senti_tasks.warehouse.schema import reviews, scoring_runs
from senti_tasks.warehouse.scoring import held_runs, pending, runs, watermarks


def open_series(
    connection: Connection,
    *,
    idempotency_key: str,
    scope: str,
    model_version: str,
    variant: str,
    due: datetime,
    now: datetime,
    rows: int = 200_000,
    most: int = 500,
    overlap: timedelta = pending.DAY,
) -> list[int]:
    """Opens the runs of a series over the reviews of ``scope``; returns their run_ids, in order of their keys.

    Each range has about ``rows`` reviews, or more if there would be over ``most`` ranges. There is at least one run. If
    the series exists already, its runs are returned.
    """
    if opened := by_key(connection, idempotency_key):
        return opened
    values = {"scope": scope, "model_version": model_version, "variant": variant, "due": due}
    values |= {"series": idempotency_key, "state": "open", "opened_at": now}
    whole = {**values, "after_id": None, "through_id": None}
    since = pending.scan_start(watermarks.of(connection, model_version), overlap)
    bounds = [None, *_inner_bounds(connection, runs.reviews_to_plan(connection, whole, since), rows, most), None]
    ranges = [
        {**whole, "idempotency_key": f"{idempotency_key}#{number}", "after_id": after, "through_id": through}
        for number, (after, through) in enumerate(pairwise(bounds))
    ]
    first = insert(connection, scoring_runs).values(ranges[0]).on_conflict_do_nothing()
    is_mine = connection.scalar(first.returning(scoring_runs.c.run_id)) is not None
    if is_mine and ranges[1:]:  # otherwise another attempt has opened the series at the same time
        connection.execute(sa.insert(scoring_runs), ranges[1:])
    return by_key(connection, idempotency_key)


def _inner_bounds(connection: Connection, wanted: sa.Select[Any], rows: int, most: int) -> list[Any]:
    """The last key of each range but the last one. Walks along the index of the keys: sorting all reviews would take
    longer than planning them."""
    total = count_rows(connection, wanted.subquery())
    size = max(rows, -(-total // most))
    keys = wanted.with_only_columns(reviews.c.review_id).order_by(reviews.c.review_id).offset(size - 1).limit(1)
    bounds: list[Any] = []
    for _ in range((total - 1) // size):
        after = [reviews.c.review_id > bounds[-1]] if bounds else []
        if (bound := connection.scalar(keys.where(*after))) is None:  # reviews were answered or deleted meanwhile
            break
        bounds.append(bound)
    return bounds


def by_key(connection: Connection, idempotency_key: str) -> list[int]:
    """The run_ids, in order, of the series that was opened under ``idempotency_key``; empty if there is none."""
    found = sa.select(scoring_runs.c.run_id).where(scoring_runs.c.series == idempotency_key)
    return list(connection.execute(found.order_by(scoring_runs.c.run_id)).scalars())


def unfinished(connection: Connection, *, scope: str, key_prefix: str) -> dict[str, Any] | None:
    """The oldest run of ``scope`` that was neither published nor abandoned, and whose idempotency key begins with
    ``key_prefix``; ``None`` if there is none. A held run is none of these: it waits for a person."""
    of_task = scoring_runs.c.idempotency_key.startswith(key_prefix, autoescape=True)
    resumable = sa.and_(runs.UNFINISHED, scoring_runs.c.state != "held")
    found = sa.select(scoring_runs).where(scoring_runs.c.scope == scope, of_task, resumable)
    return fetch_one(connection, found.order_by(scoring_runs.c.run_id).limit(1))


def others_left(connection: Connection, found: dict[str, Any]) -> bool:
    """Whether the series of the run ``found`` has another run that was not published. Held runs do not count: their
    reviews belong to them. An abandoned run counts: nobody answered its reviews."""
    other = sa.and_(scoring_runs.c.series == found["series"], scoring_runs.c.run_id != found["run_id"])
    left = sa.and_(other, scoring_runs.c.state != "published", ~held_runs.IS_HELD)
    return bool(connection.scalar(sa.select(sa.exists().where(left))))


def planned_from(connection: Connection, found: dict[str, Any]) -> datetime | None:
    """The latest watermark with which a run of the series of ``found`` was planned; ``None`` if there was none."""
    latest = sa.select(sa.func.max(scoring_runs.c.planned_from)).where(scoring_runs.c.series == found["series"])
    watermark: datetime | None = connection.scalar(latest)
    return watermark
