"""Shards of a run: an attempt claims a shard, reads the planned reviews chunk by chunk, and stages their labels.

Labels are staged exactly once. The shard's row holds the attempt that owns it and a cursor: the last review that was
staged. Staging a chunk moves the cursor and appends the labels in one transaction, and only if the attempt still owns
the shard and the cursor is where this attempt left it. Therefore an old attempt that is still running can write nothing
after another one has claimed the shard, and the new attempt continues after the cursor.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import RunStateError, ShardTakenError
from senti_tasks.warehouse import product_names
from senti_tasks.warehouse.database import count_rows, fetch_all
from senti_tasks.warehouse.schema import TextHash, review_labels, reviews, run_items, run_shards, scoring_runs
from senti_tasks.warehouse.scoring import staging
from senti_tasks.warehouse.scoring.staging import Answers

_MEASURED = 20
_RUN_IS_PLANNED = sa.exists().where(scoring_runs.c.run_id == run_shards.c.run_id, scoring_runs.c.state == "planned")


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that owns a shard, and how far it has come."""

    run_id: int
    shard: int
    attempt: int
    cursor: Any
    """The last review_id that this or an earlier attempt staged; ``None`` if none was staged yet."""
    planned: int
    """How many reviews the shard has."""


class Item(NamedTuple):
    """A planned review in its present state."""

    review_id: Any
    text: str | None
    created_at: datetime | None
    product: str | None
    superseded: bool
    """Whether the review was edited or deleted after planning. Then ``text`` is ``None``; an edited one is pending."""


def claim(
    connection: Connection,
    run_id: int,
    shard: int,
    *,
    lease_until: datetime | None = None,
    now: datetime | None = None,
) -> Claim | None:
    """Claims the shard for a new attempt, also if another one owns it; ``None`` when the shard is finished. Raises
    ``RunStateError`` if there is no such shard, or if its run was abandoned.

    ``lease_until`` keeps the shard from ``reserve``; a claim by its number succeeds all the same. From ``now`` and that
    of ``accept``, ``measured_speed`` takes the duration.
    """
    row = connection.execute(
        sa.update(run_shards)
        .where(_one_shard(run_id, shard), run_shards.c.accepted_attempt.is_(None), _not_abandoned(run_id))
        .values(attempt=run_shards.c.attempt + 1, lease_until=lease_until, claimed_at=now)
        .returning(run_shards.c.attempt, run_shards.c.cursor, run_shards.c.planned)
    ).one_or_none()
    if row is not None:
        return Claim(run_id, shard, row.attempt, row.cursor, row.planned)
    _require_not_abandoned(connection, run_id)
    if connection.execute(sa.select(run_shards.c.shard).where(_one_shard(run_id, shard))).one_or_none() is None:
        raise RunStateError(f"run {run_id} has no shard {shard}: plan it first")
    return None


def renew(connection: Connection, claim: Claim, *, lease_until: datetime | None) -> None:
    """Prolongs the lease of the shard, or with ``None`` ends it, if this attempt owns it still."""
    mine = sa.and_(_one_shard(claim.run_id, claim.shard), run_shards.c.attempt == claim.attempt)
    connection.execute(sa.update(run_shards).where(mine).values(lease_until=lease_until))


def reserve(
    connection: Connection, run_ids: Sequence[int], *, now: datetime, lease_until: datetime
) -> tuple[int, int] | None:
    """Finds a shard of these runs that is not finished and that no process has a lease on, and gives it a lease until
    ``lease_until``. Returns run_id and shard, or ``None`` if there is no such shard."""
    unfinished = sa.and_(run_shards.c.run_id.in_(run_ids), run_shards.c.accepted_attempt.is_(None))
    is_free = sa.or_(run_shards.c.lease_until.is_(None), run_shards.c.lease_until < now)
    first = (
        sa.select(run_shards.c.run_id, run_shards.c.shard)
        .where(unfinished, is_free, _RUN_IS_PLANNED)
        .order_by(run_shards.c.run_id, run_shards.c.shard)
        .limit(1)
        .with_for_update(skip_locked=True)  # a process beside this one takes the next shard and does not wait
    )
    found = connection.execute(first).one_or_none()
    if found is None:
        return None
    connection.execute(
        sa.update(run_shards).where(_one_shard(found.run_id, found.shard)).values(lease_until=lease_until)
    )
    return found.run_id, found.shard


def count_left(connection: Connection, run_ids: Sequence[int]) -> int:
    """How many shards of these runs are not finished; an open run, whose shards are not known yet, counts as one."""
    unfinished = sa.and_(run_shards.c.run_id.in_(run_ids), run_shards.c.accepted_attempt.is_(None), _RUN_IS_PLANNED)
    is_open = sa.and_(scoring_runs.c.run_id.in_(run_ids), scoring_runs.c.state == "open")
    return count_rows(connection, sa.select(run_shards.c.shard).where(unfinished).subquery()) + count_rows(
        connection, sa.select(scoring_runs.c.run_id).where(is_open).subquery()
    )


def read_chunk(connection: Connection, run_id: int, shard: int, *, after: Any, limit: int) -> list[Item]:
    """The next ``limit`` planned reviews after the key ``after``, in order of review_id, in their present state."""
    # The join is by key only, and updated_at is compared in the columns. All rows of an import have one updated_at: if
    # the planner chose its index, it would read all of them for each review of the chunk.
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
    text, product = sa.case((unchanged, reviews.c.review_text)), product_names.name_of(reviews.c.product)
    chunk = (
        sa.select(item.c.review_id, text, reviews.c.created_at, product, ~unchanged)
        .select_from(item.outerjoin(reviews, reviews.c.review_id == item.c.review_id))
        .order_by(item.c.review_id)
    )
    return [Item._make(row) for row in connection.execute(chunk).all()]


def known_labels(
    connection: Connection, model_version: str, variant: str, text_hashes: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Published labels of this variant of the model by text hash: label, score, confidence, truncated. Text hashes
    without a label are left out. Each text hash is one index lookup, also if many reviews have the text."""
    if not (distinct := sorted(set(text_hashes))):
        return {}
    asked = _as_table(connection, distinct)
    same = sa.and_(review_labels.c.model_version == model_version, review_labels.c.variant == variant)
    other = review_labels.alias("other")
    same_text = sa.and_(
        other.c.model_version == model_version,
        other.c.variant == variant,
        other.c.text_hash == asked.c.text_hash,
        other.c.carried_from.is_(None),
    )
    one = sa.select(other.c.review_id).where(same_text).limit(1).scalar_subquery()
    names = ("label", "score", "confidence", "truncated")
    found = sa.select(asked.c.text_hash, *(review_labels.c[name] for name in names)).select_from(
        asked.join(review_labels, sa.and_(same, review_labels.c.review_id == one))
    )
    return {row.pop("text_hash"): row for row in fetch_all(connection, found)}


def _as_table(connection: Connection, text_hashes: list[str]) -> sa.CTE:
    """``text_hashes`` as a table of one column, sent as one parameter. A statement with 4,000 parameters takes
    longer to compile than to execute."""
    if connection.dialect.name == "postgresql":
        parts = sa.func.unnest(sa.func.string_to_array(",".join(text_hashes), ","))
        listed = parts.table_valued(sa.column("text_hash", TextHash), name="listed").render_derived()
    else:
        listed = sa.func.json_each(json.dumps(text_hashes)).table_valued(sa.column("value", TextHash), name="listed")
    (text_hash,) = listed.c
    return sa.select(text_hash.label("text_hash")).cte("asked")


def stage(connection: Connection, claim: Claim, answers: Answers, *, cursor: Any) -> Claim:
    """Appends the labels of a chunk and moves the shard's cursor to ``cursor``, the chunk's last review_id.

    Returns the claim for the next chunk. Writes nothing and raises ``ShardTakenError`` if another attempt has claimed
    the shard, or if the cursor is not where this attempt left it.
    """
    if connection.dialect.name == "postgresql":
        # The commit does not wait for the disk. If the server crashes, a chunk is lost together with its cursor, and an
        # attempt that continues with the old cursor is refused. Accepting the shard waits for all of its chunks.
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
    _update_owned_shard(connection, claim, cursor=cursor)
    staging.append(connection, claim.run_id, claim.shard, claim.attempt, answers)
    return replace(claim, cursor=cursor)


def accept(connection: Connection, claim: Claim, *, now: datetime | None = None) -> None:
    """Marks the shard as finished by this attempt. Raises ``ShardTakenError`` as ``stage`` does."""
    _update_owned_shard(connection, claim, accepted_attempt=claim.attempt, accepted_at=now)


def measured_speed(connection: Connection, model_version: str, variant: str) -> float | None:
    """Reviews per second of one process that scores with this variant of the model: of the newest ``_MEASURED`` shards
    that one attempt scored from beginning to end. ``None`` if there is none yet."""
    shard, of = run_shards.c, scoring_runs.c
    newest = (
        sa.select(shard.planned, shard.claimed_at, shard.accepted_at)
        .select_from(run_shards.join(scoring_runs))
        .where(of.model_version == model_version, of.variant == variant, shard.attempt == 1, shard.planned > 0)
        .where(shard.claimed_at.is_not(None), shard.accepted_at.is_not(None))
        .order_by(shard.run_id.desc(), shard.shard.desc())
        .limit(_MEASURED)
    )
    rows = connection.execute(newest).all()
    seconds = sum((row.accepted_at - row.claimed_at).total_seconds() for row in rows)
    return sum(row.planned for row in rows) / seconds if seconds > 0 else None


def _update_owned_shard(connection: Connection, claim: Claim, **values: Any) -> None:
    mine = sa.and_(
        _one_shard(claim.run_id, claim.shard),
        run_shards.c.attempt == claim.attempt,
        run_shards.c.accepted_attempt.is_(None),
        run_shards.c.cursor.is_not_distinct_from(claim.cursor),
        _not_abandoned(claim.run_id),
    )
    if connection.execute(sa.update(run_shards).where(mine).values(values)).rowcount != 1:
        _require_not_abandoned(connection, claim.run_id)
        raise ShardTakenError(
            f"shard {claim.shard} of run {claim.run_id} was claimed again after attempt {claim.attempt}, or a crash of "
            "the database lost its last chunk: this attempt stops here, and the next one continues after the last "
            "staged chunk"
        )


def _one_shard(run_id: int, shard: int) -> sa.ColumnElement[bool]:
    return sa.and_(run_shards.c.run_id == run_id, run_shards.c.shard == shard)


def _not_abandoned(run_id: int) -> sa.ColumnElement[bool]:
    """The condition that the run was not abandoned. The staged rows of an abandoned run may be deleted at any time."""
    return sa.exists().where(scoring_runs.c.run_id == run_id, scoring_runs.c.state != "abandoned")


def _require_not_abandoned(connection: Connection, run_id: int) -> None:
    if connection.scalar(sa.select(scoring_runs.c.state).where(scoring_runs.c.run_id == run_id)) == "abandoned":
        raise RunStateError(
            f"run {run_id} was abandoned while it was scored: this attempt stops here; open another run"
        )
