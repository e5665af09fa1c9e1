"""Scoring runs: a frozen plan, shards claimed by attempt, labels staged page by page.

Exactly once, by construction: a shard's row holds the attempt that owns it and the last review answered. Staging a page
moves that mark and appends the labels in one transaction, and only for the attempt that still owns the shard. So an
attempt that was presumed dead writes nothing once another has claimed the shard, and the other goes on at the mark.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import RunStateError, ShardTakenError
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import (
    Digest,
    review_labels,
    reviews,
    run_items,
    run_shards,
    scoring_errors,
    scoring_runs,
    staged_labels,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt's hold on a shard."""

    run_id: int
    shard: int
    attempt: int
    staged_through: Any
    """The last review_id that earlier attempts answered; ``None`` at the beginning."""
    planned: int
    """Reviews in the shard."""


@dataclass(frozen=True, slots=True)
class Item:
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


def abandon(connection: Connection, run_id: int) -> None:
    """Gives up a run that was not published: it will not be, and what it staged is swept."""
    unpublished = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state != "published")
    connection.execute(sa.update(scoring_runs).where(unpublished).values(state="abandoned"))


def pending(model_version: str) -> sa.Select[Any]:
    """Reviews (review_id, updated_at) with neither a label nor an error of this model for this version of the text.

    A review without ``updated_at`` has no version that a label could be of: it is never pending (``senti doctor``
    counts such rows).
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
    return sa.select(reviews.c.review_id, reviews.c.updated_at).where(
        reviews.c.updated_at.is_not(None), ~sa.exists().where(labelled), ~sa.exists().where(failed)
    )


def count_pending(connection: Connection, model_version: str, *, due: datetime | None = None) -> int:
    """How many reviews wait for ``model_version``'s label; with ``due``, of those last changed up to then."""
    waiting = pending(model_version)
    if due is not None:
        waiting = waiting.where(reviews.c.updated_at <= due)
    return connection.scalar(sa.select(sa.func.count()).select_from(waiting.subquery())) or 0


def rows_to_plan(connection: Connection, run_id: int) -> int:
    """How many reviews the run would plan now: what the number of shards is decided by."""
    return connection.scalar(sa.select(sa.func.count()).select_from(_scope(run(connection, run_id)).subquery())) or 0


def _scope(found: dict[str, Any]) -> sa.Select[Any]:
    if found["scope"] == "all":
        return sa.select(reviews.c.review_id, reviews.c.updated_at).where(reviews.c.updated_at.is_not(None))
    return pending(found["model_version"])


def plan(connection: Connection, run_id: int, *, shards: int) -> list[int]:
    """Freezes which versions of which reviews the run answers, in ``shards`` ranges of review_id of like size.

    Returns the shards' numbers: at least one, which is empty when there is nothing to do. A planned run stays as it is.
    """
    found = run(connection, run_id)
    if found["state"] == "abandoned":
        raise RunStateError(f"run {run_id} was abandoned: open another one")
    opened = sa.and_(scoring_runs.c.run_id == run_id, scoring_runs.c.state == "open")
    if connection.execute(sa.update(scoring_runs).where(opened).values(state="planned")).rowcount == 1:
        scope = _scope(found).subquery()
        shard = sa.func.ntile(shards).over(order_by=scope.c.review_id) - 1
        items = sa.select(sa.literal(run_id), shard, scope.c.review_id, scope.c.updated_at)
        connection.execute(
            sa.insert(run_items).from_select(["run_id", "shard", "review_id", "review_updated_at"], items)
        )
        sizes = connection.execute(
            sa.select(run_items.c.shard, sa.func.count())
            .where(run_items.c.run_id == run_id)
            .group_by(run_items.c.shard)
        ).all()
        rows = [{"run_id": run_id, "shard": number, "planned": size} for number, size in sizes]
        connection.execute(sa.insert(run_shards), rows or [{"run_id": run_id, "shard": 0, "planned": 0}])
        planned = sum(row["planned"] for row in rows)
        connection.execute(sa.update(scoring_runs).where(scoring_runs.c.run_id == run_id).values(planned=planned))
    numbers = sa.select(run_shards.c.shard).where(run_shards.c.run_id == run_id).order_by(run_shards.c.shard)
    return list(connection.execute(numbers).scalars())


def _one_shard(run_id: int, shard: int) -> sa.ColumnElement[bool]:
    return sa.and_(run_shards.c.run_id == run_id, run_shards.c.shard == shard)


def claim(connection: Connection, run_id: int, shard: int) -> Claim | None:
    """Takes the shard from whatever attempt holds it; ``None`` when it is finished. Raises ``RunStateError``."""
    row = connection.execute(
        sa.update(run_shards)
        .where(_one_shard(run_id, shard), run_shards.c.accepted_attempt.is_(None))
        .values(attempt=run_shards.c.attempt + 1)
        .returning(run_shards.c.attempt, run_shards.c.staged_through, run_shards.c.planned)
    ).one_or_none()
    if row is not None:
        return Claim(run_id, shard, row.attempt, row.staged_through, row.planned)
    if connection.execute(sa.select(run_shards.c.shard).where(_one_shard(run_id, shard))).one_or_none() is None:
        raise RunStateError(f"run {run_id} has no shard {shard}: plan it first")
    return None


def read_page(connection: Connection, run_id: int, shard: int, *, after: Any, limit: int) -> list[Item]:
    """The next ``limit`` planned reviews past ``after``, in order of review_id, each as it stands now."""
    unchanged = sa.and_(
        reviews.c.review_id == run_items.c.review_id, reviews.c.updated_at == run_items.c.review_updated_at
    )
    page = (
        sa.select(
            run_items.c.review_id, reviews.c.review_text, reviews.c.created_at, reviews.c.review_id.label("found")
        )
        .select_from(run_items.outerjoin(reviews, unchanged))
        .where(run_items.c.run_id == run_id, run_items.c.shard == shard)
        .order_by(run_items.c.review_id)
        .limit(limit)
    )
    if after is not None:
        page = page.where(run_items.c.review_id > after)
    return [
        Item(row.review_id, row.review_text, row.created_at, superseded=row.found is None)
        for row in connection.execute(page)
    ]


def answers_before(
    connection: Connection, model_version: str, form: str, digests: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """What this form of the model published of texts with these digests before: digest to label, score, confidence,
    truncated. One probe of an index per digest, however many reviews share it."""
    asked = (
        sa.values(sa.column("digest", Digest), name="asked").data([(digest,) for digest in set(digests)]).cte("asked")
    )
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
    rows = connection.execute(found).mappings() if digests else ()
    return {row["digest"]: {name: row[name] for name in names} for row in rows}


def stage(connection: Connection, claim: Claim, rows: Sequence[dict[str, Any]], *, through: Any) -> None:
    """Appends the answers of one page and moves the shard's mark to ``through``, its last review_id.

    Raises ``ShardTakenError`` when another attempt has claimed the shard since: nothing is written then.
    """
    _hold(connection, claim, staged_through=through)
    if rows:
        keys = {"run_id": claim.run_id, "shard": claim.shard, "attempt": claim.attempt}
        connection.execute(sa.insert(staged_labels), [{**keys, **row} for row in rows])


def accept(connection: Connection, claim: Claim) -> None:
    """Declares the shard finished by this attempt. Raises ``ShardTakenError`` as ``stage`` does."""
    _hold(connection, claim, accepted_attempt=claim.attempt)


def _hold(connection: Connection, claim: Claim, **values: Any) -> None:
    mine = sa.and_(
        _one_shard(claim.run_id, claim.shard),
        run_shards.c.attempt == claim.attempt,
        run_shards.c.accepted_attempt.is_(None),
    )
    if connection.execute(sa.update(run_shards).where(mine).values(values)).rowcount != 1:
        raise ShardTakenError(
            f"shard {claim.shard} of run {claim.run_id} was claimed again after attempt {claim.attempt}: "
            "this attempt stops here, and the later one goes on from the last page that was staged"
        )
