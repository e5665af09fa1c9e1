"""Scoring runs: opened once per idempotency key, planned once, then published or given up."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import RunStateError
from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import reviews, run_items, run_shards, scoring_runs, staged_labels
from senti_tasks.warehouse.scoring import pending, publication_lock


def open_run(
    connection: Connection,
    *,
    idempotency_key: str,
    scope: str,
    model_version: str,
    variant: str,
    due: datetime,
    now: datetime,
) -> dict[str, Any]:
    """The run with this ``idempotency_key``, whatever its state; a new one for ``model_version`` if there is none."""
    values = {
        "idempotency_key": idempotency_key,
        "scope": scope,
        "model_version": model_version,
        "variant": variant,
        "due": due,
        "state": "open",
        "opened_at": now,
    }
    connection.execute(
        insert(connection, scoring_runs).values(values).on_conflict_do_nothing(index_elements=["idempotency_key"])
    )
    return dict(
        connection.execute(sa.select(scoring_runs).where(scoring_runs.c.idempotency_key == idempotency_key))
        .mappings()
        .one()
    )


def run_by_key(connection: Connection, idempotency_key: str) -> int | None:
    """The run with this ``idempotency_key``; ``None`` if there is none."""
    found: int | None = connection.scalar(
        sa.select(scoring_runs.c.run_id).where(scoring_runs.c.idempotency_key == idempotency_key)
    )
    return found


def run(connection: Connection, run_id: int) -> dict[str, Any]:
    """Raises ``RunStateError`` when there is no such run."""
    row = connection.execute(sa.select(scoring_runs).where(scoring_runs.c.run_id == run_id)).mappings().one_or_none()
    if row is None:
        raise RunStateError(f"there is no scoring run {run_id}: `senti status` lists the newest")
    return dict(row)


def unfinished_run(connection: Connection, *, scope: str, key_prefix: str) -> dict[str, Any] | None:
    """The oldest run of ``scope`` whose idempotency key begins with ``key_prefix`` and that was not published."""
    oldest = (
        sa.select(scoring_runs)
        .where(
            scoring_runs.c.scope == scope,
            scoring_runs.c.idempotency_key.startswith(key_prefix, autoescape=True),
            scoring_runs.c.state.not_in(["published", "abandoned"]),
        )
        .order_by(scoring_runs.c.run_id)
        .limit(1)
    )
    row = connection.execute(oldest).mappings().one_or_none()
    return None if row is None else dict(row)


def waiting(connection: Connection) -> list[int]:
    """The runs that are audited and not published."""
    audited = sa.select(scoring_runs.c.run_id).where(scoring_runs.c.state == "audited")
    return list(connection.execute(audited.order_by(scoring_runs.c.run_id)).scalars())


def abandon(connection: Connection, run_id: int) -> None:
    """Gives up a run that was not published: it will not be, and what it staged is swept."""
    publication_lock.take(
        connection
    )  # a publication of it that is under way ends first, and with its staged rows in place
    unpublished = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state != "published")
    connection.execute(sa.update(scoring_runs).where(unpublished).values(state="abandoned"))


def abandon_overtaken(connection: Connection, *, before: datetime) -> list[int]:
    """Gives up unpublished runs opened before ``before`` that a later one replaced: it planned their reviews, and was
    published. Returns their run_ids. (Nobody resumes the run of an old DAG run; its staged rows would stay.)"""
    later = scoring_runs.alias("later")
    whole = ("new", "reconcile", "all")
    overtaken = sa.exists().where(
        later.c.model_version == scoring_runs.c.model_version,
        later.c.scope.in_(whole),
        later.c.state == "published",
        later.c.opened_at > scoring_runs.c.opened_at,
    )
    left = sa.select(scoring_runs.c.run_id).where(
        scoring_runs.c.scope.in_(("new", "reconcile")),
        scoring_runs.c.state.not_in(["published", "abandoned"]),
        scoring_runs.c.opened_at < before,
        overtaken,
    )
    found = list(connection.execute(left.order_by(scoring_runs.c.run_id)).scalars())
    for run_id in found:
        abandon(connection, run_id)
    return found


def _scope(connection: Connection, found: dict[str, Any], overlap: timedelta) -> sa.Select[Any]:
    model = found["model_version"]
    if found["scope"] == "all":
        return pending.every_review()
    if found["scope"] == "new":
        return pending.reviews_of(model, since=pending.since(connection, model, overlap))
    scope = pending.reviews_of(model)
    if found["after_id"] is not None:
        scope = scope.where(reviews.c.review_id > found["after_id"])
    if found["through_id"] is not None:
        scope = scope.where(reviews.c.review_id <= found["through_id"])
    return scope


def open_ranges(
    connection: Connection,
    *,
    idempotency_key: str,
    model_version: str,
    variant: str,
    due: datetime,
    now: datetime,
    rows: int,
    most: int,
) -> list[int]:
    """Runs of the scope ``rescore`` that split what ``model_version`` has not answered into ranges of review_id.

    About ``rows`` reviews each, and ``most`` runs at most; at least one. Each is planned, scored and published by
    itself, so that what is done stays done. Returns their run_ids, in order of their keys.
    """
    waiting = pending.reviews_of(model_version).subquery()
    position = sa.func.row_number().over(order_by=waiting.c.review_id).label("position")
    numbered = sa.select(waiting.c.review_id, position, sa.func.count().over().label("total")).subquery()
    size = sa.case((numbered.c.total > rows * most, numbered.c.total // most + 1), else_=rows)
    ends = sa.select(numbered.c.review_id).where(
        numbered.c.position % size == 0, numbered.c.position < numbered.c.total
    )
    bounds = [None, *connection.execute(ends.order_by(numbered.c.review_id)).scalars(), None]
    values = {"scope": "rescore", "model_version": model_version, "variant": variant, "due": due, "opened_at": now}
    ranges = [
        {
            **values,
            "idempotency_key": f"{idempotency_key}#{number}",
            "state": "open",
            "after_id": after,
            "through_id": through,
        }
        for number, (after, through) in enumerate(pairwise(bounds))
    ]
    first = (
        insert(connection, scoring_runs).values(ranges[0]).on_conflict_do_nothing(index_elements=["idempotency_key"])
    )
    opened = connection.scalar(first.returning(scoring_runs.c.run_id))
    if opened is not None and ranges[1:]:  # else another attempt has opened its own meanwhile
        connection.execute(sa.insert(scoring_runs), ranges[1:])
    return ranges_by_key(connection, idempotency_key)


def ranges_by_key(connection: Connection, idempotency_key: str) -> list[int]:
    """The runs over ranges of review_id that were opened under ``idempotency_key``; empty if there are none."""
    mine = scoring_runs.c.idempotency_key.startswith(f"{idempotency_key}#", autoescape=True)
    found = sa.select(scoring_runs.c.run_id).where(mine).order_by(scoring_runs.c.run_id)
    return list(connection.execute(found).scalars())


def plan(
    connection: Connection,
    run_id: int,
    *,
    shards: int | None = None,
    shard_rows: int = 20_000,
    max_shards: int = 500,
    overlap: timedelta = pending.DAY,
) -> list[int]:
    """Records which versions of which reviews the run answers, in ranges of review_id of like size: ``shards`` of them,
    or as many as keep to ``shard_rows`` and ``max_shards``.

    A run of the scope ``new`` looks at what changed since ``overlap`` before the model's watermark; ``reconcile`` looks
    at everything, and counts as late what a run of the scope ``new`` would not have seen.
    Returns the shards' numbers: at least one, which is empty when there is nothing to do. A planned run stays as it is.
    """
    found = run(connection, run_id)
    if found["state"] == "abandoned":
        raise RunStateError(f"run {run_id} was abandoned: open another one")
    opened = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state == "open")
    if connection.execute(sa.update(scoring_runs).where(opened).values(state="planned")).rowcount == 1:
        for table in (staged_labels, run_items):  # as a sweep takes them: else each would wait for the other
            partitions.make(connection, table, run_id)
        scope = _scope(connection, found, overlap).subquery()
        total = sa.func.count().over()
        wanted = total if shards is not None else (total + shard_rows - 1) // shard_rows
        wanted = _least(wanted, max_shards if shards is None else shards)
        shard = (sa.func.row_number().over(order_by=scope.c.review_id) - 1) * wanted // total
        if shards == 1:  # nobody has to be counted
            shard = sa.literal(0)
        items = sa.select(sa.literal(run_id), sa.cast(shard, sa.SmallInteger), scope.c.review_id, scope.c.updated_at)
        connection.execute(
            sa.insert(run_items).from_select(
                ["run_id", "shard", "review_id", "review_updated_at"], items.order_by(scope.c.review_id)
            )
        )
        partitions.analyze(connection, run_items, run_id)
        sizes = connection.execute(
            sa.select(run_items.c.shard, sa.func.count())
            .where(run_items.c.run_id == run_id)
            .group_by(run_items.c.shard)
        ).all()
        rows = [{"run_id": run_id, "shard": number, "planned": size} for number, size in sizes]
        connection.execute(sa.insert(run_shards), rows or [{"run_id": run_id, "shard": 0, "planned": 0}])
        counts = {"planned": sum(row["planned"] for row in rows), "late": _late(connection, found, overlap)}
        connection.execute(sa.update(scoring_runs).where(scoring_runs.c.run_id == run_id).values(counts))
    numbers = sa.select(run_shards.c.shard).where(run_shards.c.run_id == run_id).order_by(run_shards.c.shard)
    return list(connection.execute(numbers).scalars())


def _least(number: sa.ColumnElement[int], most: int) -> sa.ColumnElement[int]:
    return sa.case((number > most, most), else_=number)


def _late(connection: Connection, found: dict[str, Any], overlap: timedelta) -> int | None:
    """Of what a reconciliation planned, how many reviews changed before the time from which runs of the scope ``new``
    look: they were committed after the run that should have seen them."""
    if found["scope"] != "reconcile":
        return None
    if (seen := pending.since(connection, found["model_version"], overlap)) is None:
        return 0
    missed = sa.and_(run_items.c.run_id == found["run_id"], run_items.c.review_updated_at < seen)
    return connection.scalar(sa.select(sa.func.count()).where(missed)) or 0


def answered(connection: Connection, run_id: int) -> int:
    """How many planned reviews lie at or before the cursors of their shards."""
    shard = run_shards
    mine = sa.and_(shard.c.run_id == run_items.c.run_id, shard.c.shard == run_items.c.shard)
    passed = (
        sa.select(sa.func.count())
        .select_from(run_items.join(shard, mine))
        .where(run_items.c.run_id == run_id, run_items.c.review_id <= shard.c.cursor)
    )
    return connection.scalar(passed) or 0
