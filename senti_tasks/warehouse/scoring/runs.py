"""Scoring runs: each is planned once, then published or abandoned. ``series`` opens them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import RunStateError
from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.database import count_rows, fetch_all, fetch_one
from senti_tasks.warehouse.models import registry
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
from senti_tasks.warehouse.types import EARLIEST, readable

UNFINISHED = scoring_runs.c.state.not_in(["published", "abandoned"])


def run(connection: Connection, run_id: int) -> dict[str, Any]:
    """The run ``run_id``. Raises ``RunStateError`` when there is no such run."""
    found = None
    if abs(run_id) < 2**63:  # SQLite's driver raises for a larger number
        found = fetch_one(connection, sa.select(scoring_runs).where(scoring_runs.c.run_id == run_id))
    if found is None:
        raise RunStateError(f"there is no scoring run {run_id}: `senti status` lists the newest")
    return found


def audited_runs(connection: Connection, model_version: str | None = None) -> list[int]:
    """The run_ids, in order, of the runs that are audited and not published, e.g. because of a freeze: of all models,
    or of one. No other run plans their reviews."""
    audited = sa.select(scoring_runs.c.run_id).where(scoring_runs.c.state == "audited")
    if model_version is not None:
        audited = audited.where(scoring_runs.c.model_version == model_version)
    return list(connection.execute(audited.order_by(scoring_runs.c.run_id)).scalars())


def next_open(connection: Connection, run_ids: Sequence[int]) -> int | None:
    """The first of these runs that is not planned yet, and that no other process is planning; locked until the
    transaction ends. ``None`` if there is none."""
    is_open = sa.and_(scoring_runs.c.run_id.in_(run_ids), scoring_runs.c.state == "open")
    first = sa.select(scoring_runs.c.run_id).where(is_open).order_by(scoring_runs.c.run_id).limit(1)
    found: int | None = connection.scalar(first.with_for_update(skip_locked=True))
    return found


def abandon(connection: Connection, run_id: int) -> None:
    """Marks a run as abandoned, unless it was published: it can no longer be, and a sweep deletes its staged rows.

    If it was held or audited, its reviews are pending again, and the watermark moves back so far that the next run
    plans them.
    """
    publication_lock.take(connection)  # if the run is being published, wait: it needs its staged rows
    owner = sa.select(scoring_runs.c.model_version).where(scoring_runs.c.run_id == run_id, held_runs.OWNS_REVIEWS)
    if (model := connection.scalar(owner)) is not None:
        oldest = _oldest_unanswered(connection, run_id, model)
        if oldest is not None:
            watermarks.move_back(connection, model, oldest)
    unpublished = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state != "published")
    connection.execute(sa.update(scoring_runs).where(unpublished).values(state="abandoned"))


def _oldest_unanswered(connection: Connection, run_id: int, model_version: str) -> datetime | None:
    """The oldest version that the run has planned and that has neither a label nor an error of the model; ``None`` if
    all have one, as in a run of the scope ``all``. Versions that are no readable time do not count: every run plans
    them."""
    oldest = sa.select(sa.func.min(readable(run_items.c.review_updated_at))).where(run_items.c.run_id == run_id)
    for answers in (review_labels, scoring_errors):
        same_version = sa.and_(
            answers.c.model_version == model_version,
            answers.c.review_id == run_items.c.review_id,
            answers.c.review_updated_at == run_items.c.review_updated_at,
        )
        oldest = oldest.where(~sa.exists().where(same_version, pending.made_by_model(answers)))
    found: datetime | None = connection.scalar(oldest)
    return found


def abandon_overtaken(connection: Connection, *, before: datetime) -> list[int]:
    """Abandons unpublished runs opened before ``before`` if a later series with the same reviews was published.

    Returns their run_ids, in order. Such a run belongs to an old DAG run that nobody resumes; otherwise its staged rows
    would stay for ever. Held and audited runs are left: no later run plans their reviews.
    """
    later, unpublished = scoring_runs.alias("later"), scoring_runs.alias("unpublished")
    is_incomplete = sa.exists().where(unpublished.c.series == later.c.series, unpublished.c.state != "published")
    overtaken = sa.exists().where(
        later.c.model_version == scoring_runs.c.model_version,
        later.c.series != scoring_runs.c.series,
        later.c.state == "published",
        later.c.opened_at > scoring_runs.c.opened_at,
        ~is_incomplete,
    )
    publication_lock.take(connection)
    resumed_by_nobody = sa.and_(UNFINISHED, ~held_runs.OWNS_REVIEWS, scoring_runs.c.opened_at < before)
    abandoned = sa.update(scoring_runs).where(resumed_by_nobody, overtaken).values(state="abandoned")
    return sorted(connection.execute(abandoned.returning(scoring_runs.c.run_id)).scalars())


def abandon_unused(connection: Connection, *, in_use: Collection[str]) -> list[int]:
    """Abandons the unpublished runs of all models but ``in_use``, except those that a person has still to decide about;
    returns their run_ids, in order. They were overtaken by a promotion or a rollback, e.g. during a freeze."""
    publication_lock.take(connection)
    unused = sa.and_(UNFINISHED, scoring_runs.c.state != "held", scoring_runs.c.model_version.not_in(in_use))
    abandoned = sa.update(scoring_runs).where(unused).values(state="abandoned")
    return sorted(connection.execute(abandoned.returning(scoring_runs.c.run_id)).scalars())


def reviews_to_plan(connection: Connection, found: Mapping[str, Any], since: datetime | None) -> sa.Select[Any]:
    """Selects the reviews that the run ``found`` plans. ``since`` is for the scope ``new``: the earliest change.

    Left out are reviews that belong to another run of the same model: a held one, or an audited one that waits for its
    publication.
    """
    model = found["model_version"]
    owners = sorted({*held_runs.of_model(connection, model), *audited_runs(connection, model)})
    if found["scope"] == "all":
        scope = pending.scorable_reviews(owners)
    else:
        scope = pending.pending_reviews(model, since=since if found["scope"] == "new" else None, without=owners)
    if found["after_id"] is not None:
        scope = scope.where(reviews.c.review_id > found["after_id"])
    if found["through_id"] is not None:
        scope = scope.where(reviews.c.review_id <= found["through_id"])
    return scope


def plan(
    connection: Connection,
    run_id: int,
    *,
    shards: int | None = None,
    shard_rows: int = 2_000,
    max_shards: int = 500,
    overlap: timedelta = pending.DAY,
) -> list[int]:
    """Records which versions of which reviews the run scores, in shards: ranges of review_id of nearly equal size.

    There are ``shards`` of them; if that is ``None``, as many as are needed for ``shard_rows`` reviews each, at most
    ``max_shards``.
    A run of the scope ``new`` plans reviews that changed since ``overlap`` before the model's watermark. ``reconcile``
    plans all pending reviews, and counts as late those that a run of the scope ``new`` would not have planned.
    Returns the shards' numbers, in order: at least one, which is empty if no review is pending. If the run is already
    planned, its plan stays as it is. Raises ``RunStateError`` if the run was abandoned.
    """
    found = run(connection, run_id)
    if found["state"] == "abandoned":
        raise RunStateError(f"run {run_id} was abandoned: open another one")
    opened = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state == "open")
    if connection.execute(sa.update(scoring_runs).where(opened).values(state="planned")).rowcount == 1:
        _leave_withdrawn_variant(connection, found)
        for table in (
            staged_labels,
            run_items,
        ):  # in the order in which a sweep locks them: another order could deadlock
            partitions.create(connection, table, run_id)
        planned_from = watermarks.of(connection, found["model_version"])
        start = pending.scan_start(planned_from, overlap)
        scope = reviews_to_plan(connection, found, start).subquery()
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


def _leave_withdrawn_variant(connection: Connection, found: dict[str, Any]) -> None:
    """If the variant of the run was withdrawn since it was opened, it scores with the one that serves instead. If an
    earlier run withdrew a variant of the model, the run says why it scores without it."""
    withdrawn = registry.withdrawn(connection, found["model_version"])
    if withdrawn is None:
        return
    serving = registry.serving_variant(connection, found["model_version"])["variant"]
    variant = serving if found["variant"] == withdrawn["variant"] else found["variant"]
    values = {"variant": variant, "fell_back": withdrawn["withdrawn_because"]}
    connection.execute(sa.update(scoring_runs).where(scoring_runs.c.run_id == found["run_id"]).values(values))


def _late(connection: Connection, found: dict[str, Any], start: datetime | None) -> int | None:
    """How many reviews a run of the scope ``reconcile`` planned that runs of the scope ``new`` would have missed.

    They changed before the scan start ``start``: they were committed after the run that should have planned them.
    ``None`` for other scopes.
    """
    if found["scope"] != "reconcile":
        return None
    if start is None:
        return 0
    changed_at = run_items.c.review_updated_at
    late = sa.and_(run_items.c.run_id == found["run_id"], changed_at < start, changed_at >= EARLIEST)
    return count_rows(connection, sa.select(run_items).where(late).subquery())


def count_answered(connection: Connection, run_id: int) -> int:
    """How many planned reviews are at or before the cursors of their shards."""
    item, shard = run_items.c, run_shards.c
    passed = sa.and_(shard.run_id == item.run_id, shard.shard == item.shard, item.review_id <= shard.cursor)
    items = sa.select(item.review_id).join(run_shards, passed).where(item.run_id == run_id)
    return count_rows(connection, items.subquery())
