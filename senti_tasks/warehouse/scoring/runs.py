"""Scoring runs: each is opened once per idempotency key, planned once, then published or abandoned."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import RunStateError
from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.database import count_rows, fetch_all, fetch_one, insert, insert_missing
from senti_tasks.warehouse.schema import (
    review_labels,
    reviews,
    run_items,
    run_shards,
    scoring_errors,
    scoring_runs,
    staged_labels,
)
from senti_tasks.warehouse.scoring import held_runs, pending, publication_lock, watermarks

_UNFINISHED = scoring_runs.c.state.not_in(["published", "abandoned"])


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
    """The run with this ``idempotency_key`` in any state; if there is none, opens one with the other arguments."""
    values = {"scope": scope, "model_version": model_version, "variant": variant, "due": due}
    key = {"idempotency_key": idempotency_key}
    insert_missing(connection, scoring_runs, {**key, **values, "state": "open", "opened_at": now})
    (opened,) = fetch_all(connection, sa.select(scoring_runs).filter_by(**key))
    return opened


def run_by_key(connection: Connection, idempotency_key: str) -> int | None:
    """The run_id of the run with this ``idempotency_key``; ``None`` if there is none."""
    found: int | None = connection.scalar(
        sa.select(scoring_runs.c.run_id).where(scoring_runs.c.idempotency_key == idempotency_key)
    )
    return found


def run(connection: Connection, run_id: int) -> dict[str, Any]:
    """The run ``run_id``. Raises ``RunStateError`` when there is no such run."""
    found = None
    if abs(run_id) < 2**63:  # SQLite's driver raises for a larger number
        found = fetch_one(connection, sa.select(scoring_runs).where(scoring_runs.c.run_id == run_id))
    if found is None:
        raise RunStateError(f"there is no scoring run {run_id}: `senti status` lists the newest")
    return found


def unfinished_run(connection: Connection, *, scope: str, key_prefix: str) -> dict[str, Any] | None:
    """The oldest run of ``scope`` that was neither published nor abandoned, and whose idempotency key begins with
    ``key_prefix``; ``None`` if there is none. A held run is none of these: it waits for a person."""
    of_task = scoring_runs.c.idempotency_key.startswith(key_prefix, autoescape=True)
    resumable = sa.and_(_UNFINISHED, scoring_runs.c.state != "held")
    found = sa.select(scoring_runs).where(scoring_runs.c.scope == scope, of_task, resumable)
    return fetch_one(connection, found.order_by(scoring_runs.c.run_id).limit(1))


def audited_runs(connection: Connection) -> list[int]:
    """The run_ids, in order, of the runs that are audited and not published."""
    audited = sa.select(scoring_runs.c.run_id).where(scoring_runs.c.state == "audited")
    return list(connection.execute(audited.order_by(scoring_runs.c.run_id)).scalars())


def abandon(connection: Connection, run_id: int) -> None:
    """Marks a run as abandoned, unless it was published: it can no longer be, and a sweep deletes its staged rows.

    If it is a held run, its reviews are pending again, and the watermark moves back so far that the next run plans
    them.
    """
    publication_lock.take(connection)  # if the run is being published, wait: it needs its staged rows
    held = sa.select(scoring_runs.c.model_version).where(scoring_runs.c.run_id == run_id, held_runs.OWNS_REVIEWS)
    if (model := connection.scalar(held)) is not None:
        oldest = _oldest_unanswered(connection, run_id, model)
        if oldest is not None:
            watermarks.move_back(connection, model, oldest)
    unpublished = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state != "published")
    connection.execute(sa.update(scoring_runs).where(unpublished).values(state="abandoned"))


def _oldest_unanswered(connection: Connection, run_id: int, model_version: str) -> datetime | None:
    """The oldest version that the run has planned and that has neither a label nor an error of the model; ``None`` if
    all have one, as in a run of the scope ``all``."""
    oldest = sa.select(sa.func.min(run_items.c.review_updated_at)).where(run_items.c.run_id == run_id)
    for answers in (review_labels, scoring_errors):
        same_version = sa.and_(
            answers.c.model_version == model_version,
            answers.c.review_id == run_items.c.review_id,
            answers.c.review_updated_at == run_items.c.review_updated_at,
        )
        oldest = oldest.where(~sa.exists().where(same_version))
    found: datetime | None = connection.scalar(oldest)
    return found


def abandon_overtaken(connection: Connection, *, before: datetime) -> list[int]:
    """Abandons unpublished runs opened before ``before`` if a later run with the same reviews was published.

    Returns their run_ids, in order. Such a run belongs to an old DAG run that nobody resumes; otherwise its staged rows
    would stay for ever. Held runs are left: no later run plans their reviews.
    """
    later = scoring_runs.alias("later")
    overtaken = sa.exists().where(
        later.c.model_version == scoring_runs.c.model_version,
        later.c.scope.in_(("new", "reconcile", "all")),
        later.c.state == "published",
        later.c.opened_at > scoring_runs.c.opened_at,
    )
    old = sa.and_(scoring_runs.c.scope.in_(("new", "reconcile")), scoring_runs.c.opened_at < before)
    publication_lock.take(connection)
    resumed_by_nobody = sa.and_(_UNFINISHED, ~held_runs.OWNS_REVIEWS)
    abandoned = sa.update(scoring_runs).where(old, resumed_by_nobody, overtaken).values(state="abandoned")
    return sorted(connection.execute(abandoned.returning(scoring_runs.c.run_id)).scalars())


def waiting_ranges(connection: Connection, model_version: str) -> list[int]:
    """The run_ids, in order, of the ranges of a re-scoring that are audited and not published, e.g. because of a
    freeze. No other range plans their reviews."""
    waiting = sa.and_(scoring_runs.c.model_version == model_version, scoring_runs.c.scope == "rescore")
    found = sa.select(scoring_runs.c.run_id).where(waiting, scoring_runs.c.state == "audited")
    return list(connection.execute(found.order_by(scoring_runs.c.run_id)).scalars())


def abandon_ranges(connection: Connection, *, incoming: str | None, before: datetime) -> list[int]:
    """Abandons unpublished ranges of re-scorings that nobody needs; returns their run_ids, in order.

    These are the ranges of every model but ``incoming``, and those of ``incoming`` that were opened before ``before``
    and are not scored to their end: later ranges have planned their reviews again. Audited ranges of ``incoming`` wait
    for their publication.
    """
    publication_lock.take(connection)
    other_model = sa.true() if incoming is None else scoring_runs.c.model_version != incoming
    left = sa.and_(scoring_runs.c.state != "audited", scoring_runs.c.opened_at < before)
    unneeded = sa.and_(scoring_runs.c.scope == "rescore", _UNFINISHED, sa.or_(other_model, left))
    abandoned = sa.update(scoring_runs).where(unneeded).values(state="abandoned")
    return sorted(connection.execute(abandoned.returning(scoring_runs.c.run_id)).scalars())


def _reviews_to_plan(connection: Connection, found: dict[str, Any], since: datetime | None) -> sa.Select[Any]:
    """Selects the reviews that the run ``found`` plans. ``since`` is for the scope ``new``: the earliest change."""
    model = found["model_version"]
    held = held_runs.of_model(connection, model)
    if found["scope"] == "all":
        return pending.scorable_reviews(held)
    if found["scope"] == "new":
        return pending.pending_reviews(model, since=since, without=held)
    if found["scope"] == "rescore":
        held += waiting_ranges(connection, model)
    scope = pending.pending_reviews(model, without=held)
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
    """Opens runs of the scope ``rescore``, which split the pending reviews of a model into ranges of review_id.

    Each range has about ``rows`` reviews; there are at least one run and at most ``most``. Each run is planned, scored
    and published separately, so that a failure loses one range only. Reviews of waiting ranges are left out. Returns
    the run_ids, in order of their keys.
    """
    owners = held_runs.of_model(connection, model_version) + waiting_ranges(connection, model_version)
    reviews_left = pending.pending_reviews(model_version, without=owners).subquery()
    position = sa.func.row_number().over(order_by=reviews_left.c.review_id).label("position")
    numbered = sa.select(reviews_left.c.review_id, position, sa.func.count().over().label("total")).subquery()
    size = sa.case((numbered.c.total > rows * most, numbered.c.total // most + 1), else_=rows)
    ends = sa.select(numbered.c.review_id).where(
        numbered.c.position % size == 0, numbered.c.position < numbered.c.total
    )
    bounds = [None, *connection.execute(ends.order_by(numbered.c.review_id)).scalars(), None]
    values = {"scope": "rescore", "model_version": model_version, "variant": variant, "due": due}
    values |= {"state": "open", "opened_at": now}
    ranges = [
        {**values, "idempotency_key": f"{idempotency_key}#{number}", "after_id": after, "through_id": through}
        for number, (after, through) in enumerate(pairwise(bounds))
    ]
    first = insert(connection, scoring_runs).values(ranges[0]).on_conflict_do_nothing()
    opened = connection.scalar(first.returning(scoring_runs.c.run_id))
    if opened is not None and ranges[1:]:  # None: another attempt has opened its ranges at the same time
        connection.execute(sa.insert(scoring_runs), ranges[1:])
    return ranges_by_key(connection, idempotency_key)


def ranges_by_key(connection: Connection, idempotency_key: str) -> list[int]:
    """The run_ids, in order, of the ranges that were opened under ``idempotency_key``; empty if there are none."""
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
    """Records which versions of which reviews the run scores, in shards: ranges of review_id of nearly equal size.

    There are ``shards`` of them; if that is ``None``, as many as are needed for ``shard_rows`` reviews each, at most
    ``max_shards``.
    A run of the scope ``new`` plans reviews that changed since ``overlap`` before the model's watermark. ``reconcile``
    plans all pending reviews, and counts as late those that a run of the scope ``new`` would not have planned. No run
    plans the reviews of a held run of the same model.
    Returns the shards' numbers, in order: at least one, which is empty if no review is pending. If the run is already
    planned, its plan stays as it is. Raises ``RunStateError`` if the run was abandoned.
    """
    found = run(connection, run_id)
    if found["state"] == "abandoned":
        raise RunStateError(f"run {run_id} was abandoned: open another one")
    opened = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state == "open")
    if connection.execute(sa.update(scoring_runs).where(opened).values(state="planned")).rowcount == 1:
        for table in (
            staged_labels,
            run_items,
        ):  # in the order in which a sweep locks them: another order could deadlock
            partitions.create(connection, table, run_id)
        planned_from = watermarks.of(connection, found["model_version"])
        start = pending.scan_start(planned_from, overlap)
        scope = _reviews_to_plan(connection, found, start).subquery()
        total = sa.func.count().over()
        most = max_shards if shards is None else shards
        wanted = total if shards is not None else (total + shard_rows - 1) // shard_rows
        wanted = sa.case((wanted > most, most), else_=wanted)
        shard = (sa.func.row_number().over(order_by=scope.c.review_id) - 1) * wanted // total
        if shards == 1:  # saves the window functions
            shard = sa.literal(0)
        items = sa.select(sa.literal(run_id), sa.cast(shard, sa.SmallInteger), scope.c.review_id, scope.c.updated_at)
        names = ["run_id", "shard", "review_id", "review_updated_at"]
        connection.execute(sa.insert(run_items).from_select(names, items.order_by(scope.c.review_id)))
        partitions.analyze(connection, run_items, run_id)
        sizes = sa.select(run_items.c.run_id, run_items.c.shard, sa.func.count().label("planned"))
        sizes = sizes.where(run_items.c.run_id == run_id).group_by(run_items.c.run_id, run_items.c.shard)
        rows = fetch_all(connection, sizes)
        connection.execute(sa.insert(run_shards), rows or [{"run_id": run_id, "shard": 0, "planned": 0}])
        planned = {"planned": sum(row["planned"] for row in rows), "late": _late(connection, found, start)}
        mine = sa.update(scoring_runs).where(scoring_runs.c.run_id == run_id)
        connection.execute(mine.values(**planned, planned_from=planned_from))
    numbers = sa.select(run_shards.c.shard).where(run_shards.c.run_id == run_id).order_by(run_shards.c.shard)
    return list(connection.execute(numbers).scalars())


def _late(connection: Connection, found: dict[str, Any], start: datetime | None) -> int | None:
    """How many reviews a run of the scope ``reconcile`` planned that runs of the scope ``new`` would have missed.

    They changed before the scan start ``start``: they were committed after the run that should have planned them.
    ``None`` for other scopes.
    """
    if found["scope"] != "reconcile":
        return None
    if start is None:
        return 0
    late = sa.and_(run_items.c.run_id == found["run_id"], run_items.c.review_updated_at < start)
    return count_rows(connection, sa.select(run_items).where(late).subquery())


def count_answered(connection: Connection, run_id: int) -> int:
    """How many planned reviews are at or before the cursors of their shards."""
    item, shard = run_items.c, run_shards.c
    passed = sa.and_(shard.run_id == item.run_id, shard.shard == item.shard, item.review_id <= shard.cursor)
    items = sa.select(item.review_id).join(run_shards, passed).where(item.run_id == run_id)
    return count_rows(connection, items.subquery())
