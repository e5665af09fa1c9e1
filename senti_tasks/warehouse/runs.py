"""Scoring runs: a frozen plan, shards claimed by attempt, labels staged page by page.

Exactly once, by construction: a shard's row holds the attempt that owns it and the last review answered. Staging a page
moves that mark from where the attempt left it and appends the labels in one transaction, and only for the attempt that
still owns the shard. So an attempt that was presumed dead writes nothing once another has claimed the shard, and the
other goes on at the mark.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import RunStateError, ShardTakenError
from senti_tasks.warehouse import clock, partitions, staging, watermarks
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import (
    Digest,
    forgotten_reviews,
    review_labels,
    reviews,
    run_items,
    run_shards,
    scoring_errors,
    scoring_runs,
    staged_labels,
)
from senti_tasks.warehouse.staging import Answers

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt's hold on a shard."""

    run_id: int
    shard: int
    attempt: int
    staged_through: Any
    """The last review_id that was answered, by this attempt or earlier ones; ``None`` at the beginning."""
    planned: int
    """Reviews in the shard."""


class Item(NamedTuple):
    """A planned review as it stands now."""

    review_id: Any
    text: str | None
    created_at: datetime | None
    superseded: bool
    """Edited or deleted since the plan: it has no text to read, and is pending again if it still exists."""


def open_run(
    connection: Connection, *, origin: str, scope: str, model_version: str, form: str, due: datetime, at: datetime
) -> dict[str, Any]:
    """The run of ``origin``: the one it opened before, whatever its state, or a new one for ``model_version``."""
    values = {
        "origin": origin,
        "scope": scope,
        "model_version": model_version,
        "form": form,
        "due": due,
        "state": "open",
        "opened_at": at,
    }
    connection.execute(
        insert(connection, scoring_runs).values(values).on_conflict_do_nothing(index_elements=["origin"])
    )
    return dict(connection.execute(sa.select(scoring_runs).where(scoring_runs.c.origin == origin)).mappings().one())


def run_of_origin(connection: Connection, origin: str) -> int | None:
    """The run that ``origin`` opened before, if it did."""
    found: int | None = connection.scalar(sa.select(scoring_runs.c.run_id).where(scoring_runs.c.origin == origin))
    return found


def run(connection: Connection, run_id: int) -> dict[str, Any]:
    """Raises ``RunStateError`` when there is no such run."""
    row = connection.execute(sa.select(scoring_runs).where(scoring_runs.c.run_id == run_id)).mappings().one_or_none()
    if row is None:
        raise RunStateError(f"there is no scoring run {run_id}: `senti status` lists the newest")
    return dict(row)


def unfinished_run(connection: Connection, *, scope: str, origin_prefix: str) -> dict[str, Any] | None:
    """The oldest run of ``scope`` that was opened under ``origin_prefix`` and not published."""
    oldest = (
        sa.select(scoring_runs)
        .where(
            scoring_runs.c.scope == scope,
            scoring_runs.c.origin.startswith(origin_prefix, autoescape=True),
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
    clock.lock(connection)  # a publication of it that is under way ends first, and with its staged rows in place
    unpublished = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state != "published")
    connection.execute(sa.update(scoring_runs).where(unpublished).values(state="abandoned"))


def abandon_overtaken(connection: Connection, *, before: datetime) -> list[int]:
    """Gives up nights opened before ``before`` that a later one made needless: it planned what they had not published,
    and was published. Returns their run_ids. (Nobody resumes the run of an old DAG run; its staged rows would stay.)"""
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


def pending(model_version: str, *, since: datetime | None = None) -> sa.Select[Any]:
    """Reviews (review_id, updated_at) with neither a label nor an error of this model for this version of the text.

    ``since`` leaves out those that last changed before it: what a night pays for is then what is new, not what is old.
    A review without ``updated_at`` has no version that a label could be of: it is never pending (``senti doctor``
    counts such rows). Nor is one that was forgotten.
    """
    labelled = sa.and_(
        review_labels.c.model_version == model_version,
        review_labels.c.review_id == reviews.c.review_id,
        review_labels.c.review_updated_at == reviews.c.updated_at,
    )
    failed = sa.and_(
        scoring_errors.c.model_version == model_version,
        scoring_errors.c.review_id == reviews.c.review_id,
        scoring_errors.c.review_updated_at == reviews.c.updated_at,
    )
    waiting = _all_reviews().where(~sa.exists().where(labelled), ~sa.exists().where(failed))
    return waiting if since is None else waiting.where(reviews.c.updated_at >= since)


def _all_reviews() -> sa.Select[Any]:
    forgotten = sa.exists().where(forgotten_reviews.c.review_id == reviews.c.review_id)
    return sa.select(reviews.c.review_id, reviews.c.updated_at).where(reviews.c.updated_at.is_not(None), ~forgotten)


def since(connection: Connection, model_version: str, overlap: timedelta) -> datetime | None:
    """From when on a night looks for changed reviews: ``overlap`` before the model's watermark, for transactions that
    were under way; ``None``, from the beginning, for a model that has none."""
    mark = watermarks.of(connection, model_version)
    return None if mark is None else mark - overlap


def count_pending(
    connection: Connection, model_version: str, *, due: datetime | None = None, since: datetime | None = None
) -> int:
    """How many reviews wait for ``model_version``'s label; of those last changed up to ``due``, and from ``since``."""
    waiting = pending(model_version, since=since)
    if due is not None:
        waiting = waiting.where(reviews.c.updated_at <= due)
    return connection.scalar(sa.select(sa.func.count()).select_from(waiting.subquery())) or 0


def _scope(connection: Connection, found: dict[str, Any], overlap: timedelta) -> sa.Select[Any]:
    model = found["model_version"]
    if found["scope"] == "all":
        return _all_reviews()
    if found["scope"] == "new":
        return pending(model, since=since(connection, model, overlap))
    scope = pending(model)
    if found["after_id"] is not None:
        scope = scope.where(reviews.c.review_id > found["after_id"])
    if found["through_id"] is not None:
        scope = scope.where(reviews.c.review_id <= found["through_id"])
    return scope


def open_ranges(
    connection: Connection,
    *,
    origin: str,
    model_version: str,
    form: str,
    due: datetime,
    at: datetime,
    rows: int,
    most: int,
) -> list[int]:
    """Runs of the scope ``rescore`` that split what ``model_version`` has not answered into ranges of review_id.

    About ``rows`` reviews each, and ``most`` runs at most; at least one. Each is planned, scored and published by
    itself, so that what is done stays done. Returns their run_ids, in order of their keys.
    """
    waiting = pending(model_version).subquery()
    position = sa.func.row_number().over(order_by=waiting.c.review_id).label("position")
    numbered = sa.select(waiting.c.review_id, position, sa.func.count().over().label("total")).subquery()
    size = sa.case((numbered.c.total > rows * most, numbered.c.total // most + 1), else_=rows)
    ends = sa.select(numbered.c.review_id).where(
        numbered.c.position % size == 0, numbered.c.position < numbered.c.total
    )
    bounds = [None, *connection.execute(ends.order_by(numbered.c.review_id)).scalars(), None]
    values = {"scope": "rescore", "model_version": model_version, "form": form, "due": due, "opened_at": at}
    ranges = [
        {**values, "origin": f"{origin}#{number}", "state": "open", "after_id": after, "through_id": through}
        for number, (after, through) in enumerate(pairwise(bounds))
    ]
    connection.execute(sa.insert(scoring_runs), ranges)
    return ranges_of_origin(connection, origin)


def ranges_of_origin(connection: Connection, origin: str) -> list[int]:
    """The runs over ranges of keys that ``origin`` opened before; none, if it did not."""
    mine = scoring_runs.c.origin.startswith(f"{origin}#", autoescape=True)
    found = sa.select(scoring_runs.c.run_id).where(mine).order_by(scoring_runs.c.run_id)
    return list(connection.execute(found).scalars())


def plan(
    connection: Connection,
    run_id: int,
    *,
    shards: int | None = None,
    shard_rows: int = 20_000,
    max_shards: int = 500,
    overlap: timedelta = DAY,
) -> list[int]:
    """Freezes which versions of which reviews the run answers, in ranges of review_id of like size: ``shards`` of them,
    or as many as keep to ``shard_rows`` and ``max_shards``.

    A run of the scope ``new`` looks at what changed since ``overlap`` before the model's watermark; ``reconcile`` looks
    at everything, and counts as late what a night would not have seen.
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
    """Of what a reconciliation planned, how many reviews changed before what the nights look at: they were committed
    after the night that should have seen them."""
    if found["scope"] != "reconcile":
        return None
    if (seen := since(connection, found["model_version"], overlap)) is None:
        return 0
    missed = sa.and_(run_items.c.run_id == found["run_id"], run_items.c.review_updated_at < seen)
    return connection.scalar(sa.select(sa.func.count()).where(missed)) or 0


def answered(connection: Connection, run_id: int) -> int:
    """How many planned reviews lie at or before the marks of their shards."""
    shard = run_shards
    mine = sa.and_(shard.c.run_id == run_items.c.run_id, shard.c.shard == run_items.c.shard)
    passed = (
        sa.select(sa.func.count())
        .select_from(run_items.join(shard, mine))
        .where(run_items.c.run_id == run_id, run_items.c.review_id <= shard.c.staged_through)
    )
    return connection.scalar(passed) or 0


def _one_shard(run_id: int, shard: int) -> sa.ColumnElement[bool]:
    return sa.and_(run_shards.c.run_id == run_id, run_shards.c.shard == shard)


def claim(connection: Connection, run_id: int, shard: int) -> Claim | None:
    """Takes the shard from whatever attempt holds it; ``None`` when it is finished. Raises ``RunStateError`` where
    there is none, or its run was abandoned."""
    row = connection.execute(
        sa.update(run_shards)
        .where(_one_shard(run_id, shard), run_shards.c.accepted_attempt.is_(None), _wanted(run_id))
        .values(attempt=run_shards.c.attempt + 1)
        .returning(run_shards.c.attempt, run_shards.c.staged_through, run_shards.c.planned)
    ).one_or_none()
    if row is not None:
        return Claim(run_id, shard, row.attempt, row.staged_through, row.planned)
    _require_wanted(connection, run_id)
    if connection.execute(sa.select(run_shards.c.shard).where(_one_shard(run_id, shard))).one_or_none() is None:
        raise RunStateError(f"run {run_id} has no shard {shard}: plan it first")
    return None


def read_page(connection: Connection, run_id: int, shard: int, *, after: Any, limit: int) -> list[Item]:
    """The next ``limit`` planned reviews past ``after``, in order of review_id, each as it stands now."""
    # By key alone, and the version compared afterwards: an import gives all of its rows one updated_at, and a planner
    # that took its index would read them all for every review of the page.
    wanted = (
        sa.select(run_items.c.review_id, run_items.c.review_updated_at)
        .where(run_items.c.run_id == run_id, run_items.c.shard == shard)
        .order_by(run_items.c.review_id)
        .limit(limit)
    )
    if after is not None:
        wanted = wanted.where(run_items.c.review_id > after)
    item = wanted.cte("item")
    unchanged = sa.func.coalesce(reviews.c.updated_at == item.c.review_updated_at, sa.false())
    page = (
        sa.select(item.c.review_id, sa.case((unchanged, reviews.c.review_text)), reviews.c.created_at, ~unchanged)
        .select_from(item.outerjoin(reviews, reviews.c.review_id == item.c.review_id))
        .order_by(item.c.review_id)
    )
    return [Item._make(row) for row in connection.execute(page).all()]


def answers_before(
    connection: Connection, model_version: str, form: str, digests: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """What this form of the model published of texts with these digests before: digest to label, score, confidence,
    truncated. One probe of an index per digest, however many reviews share it."""
    if not (different := sorted(set(digests))):
        return {}
    asked = _listed(connection, different)
    same = sa.and_(review_labels.c.model_version == model_version, review_labels.c.form == form)
    other = review_labels.alias("other")
    one = (
        sa.select(other.c.review_id)
        .where(other.c.model_version == model_version, other.c.form == form, other.c.text_digest == asked.c.digest)
        .limit(1)
        .scalar_subquery()
    )
    names = ("label", "score", "confidence", "truncated")
    found = sa.select(asked.c.digest, *(review_labels.c[name] for name in names)).select_from(
        asked.join(review_labels, sa.and_(same, review_labels.c.review_id == one))
    )
    rows = connection.execute(found).mappings()
    return {row["digest"]: {name: row[name] for name in names} for row in rows}


def _listed(connection: Connection, digests: list[str]) -> sa.CTE:
    """``digests`` as a table of one column. One parameter holds them all: four thousand take longer to compile than the
    database takes to answer."""
    if connection.dialect.name == "postgresql":
        parts = sa.func.unnest(sa.func.string_to_array(",".join(digests), ","))
        listed = parts.table_valued(sa.column("digest", Digest), name="listed").render_derived()
    else:
        listed = sa.func.json_each(json.dumps(digests)).table_valued(sa.column("value", Digest), name="listed")
    (digest,) = listed.c
    return sa.select(digest.label("digest")).cte("asked")


def stage(connection: Connection, claim: Claim, answers: Answers, *, through: Any) -> Claim:
    """Appends the answers of one page and moves the shard's mark to ``through``, its last review_id; returns the claim
    to go on with.

    Raises ``ShardTakenError`` when another attempt has claimed the shard since, or the mark is not where this one left
    it: nothing is written then.
    """
    if connection.dialect.name == "postgresql":
        # Nobody waits for the disk. A page that a crash of the server takes back takes its mark along, and whoever goes
        # on as if it were there is refused; accepting the shard waits for all of its pages.
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    _hold(connection, claim, staged_through=through)
    staging.append(connection, claim.run_id, claim.shard, claim.attempt, answers)
    return replace(claim, staged_through=through)


def accept(connection: Connection, claim: Claim) -> None:
    """Declares the shard finished by this attempt. Raises ``ShardTakenError`` as ``stage`` does."""
    _hold(connection, claim, accepted_attempt=claim.attempt)


def _hold(connection: Connection, claim: Claim, **values: Any) -> None:
    mine = sa.and_(
        _one_shard(claim.run_id, claim.shard),
        run_shards.c.attempt == claim.attempt,
        run_shards.c.accepted_attempt.is_(None),
        run_shards.c.staged_through.is_not_distinct_from(claim.staged_through),
        _wanted(claim.run_id),
    )
    if connection.execute(sa.update(run_shards).where(mine).values(values)).rowcount != 1:
        _require_wanted(connection, claim.run_id)
        raise ShardTakenError(
            f"shard {claim.shard} of run {claim.run_id} was claimed again after attempt {claim.attempt}, or a crash of "
            "the database took back its last page: this attempt stops here, and the next one goes on from the last "
            "page that is staged"
        )


def _wanted(run_id: int) -> sa.ColumnElement[bool]:
    """That the run was not abandoned: what it staged may be swept already."""
    return sa.exists().where(scoring_runs.c.run_id == run_id, scoring_runs.c.state != "abandoned")


def _require_wanted(connection: Connection, run_id: int) -> None:
    if connection.scalar(sa.select(scoring_runs.c.state).where(scoring_runs.c.run_id == run_id)) == "abandoned":
        raise RunStateError(
            f"run {run_id} was abandoned while it was scored: this attempt stops here; open another run"
        )
