"""Held runs: a check of ``sql/checks/usual`` found something, so the run waits for a person.

The reviews (review_id and version) of a held run belong to it: no other run of the same model plans or publishes them.
This ends when a person publishes the run anyway or gives it up; for a single review it also ends when its text changes.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import RunStateError
from senti_tasks.warehouse.database import fetch_all
from senti_tasks.warehouse.schema import reviews, run_items, scoring_runs
from senti_tasks.warehouse.scoring import publication_lock

_UNFINISHED = scoring_runs.c.state.not_in(["published", "abandoned"])

IS_HELD = sa.and_(scoring_runs.c.held_at.is_not(None), _UNFINISHED)
"""The condition that a run of ``scoring_runs`` waits for a person, or that a person overruled it and it is not
published yet, e.g. during a freeze."""
OWNS_REVIEWS = sa.and_(_UNFINISHED, sa.or_(IS_HELD, scoring_runs.c.state == "audited"))
"""The condition that no other run plans the reviews of a run: it is held, or it is audited and waits for its
publication."""


def hold(connection: Connection, run_id: int, *, because: str, now: datetime) -> None:
    """Marks a planned or audited run as held; a held run stays as it is. ``because`` is what the checks found.

    Raises ``RunStateError`` if the run was overruled, published or abandoned since it was audited.
    """
    publication_lock.take(connection)  # a publication that has begun does not know that this run owns its reviews
    undecided = sa.and_(scoring_runs.c.state.in_(["planned", "audited"]), scoring_runs.c.overruled.is_(None))
    held = {"state": "held", "held_at": now, "held_because": because}
    connection.execute(sa.update(scoring_runs).where(scoring_runs.c.run_id == run_id, undecided).values(held))
    state = connection.scalar(sa.select(scoring_runs.c.state).where(scoring_runs.c.run_id == run_id))
    if state != "held":
        raise RunStateError(
            f"run {run_id} was to be held, and is {state}: another call has decided about it; see `senti status`"
        )


def of_model(connection: Connection, model_version: str) -> list[int]:
    """The run_ids, in order, of the runs of ``model_version`` that are held."""
    owners = sa.select(scoring_runs.c.run_id).where(scoring_runs.c.model_version == model_version, IS_HELD)
    return list(connection.execute(owners.order_by(scoring_runs.c.run_id)).scalars())


def before(connection: Connection, found: dict[str, Any]) -> list[int]:
    """The run_ids of the runs of the same model that were held earlier than the run ``found``; if it was never held, of
    all of them. What both planned belongs to these runs."""
    owners = sa.select(scoring_runs.c.run_id).where(
        scoring_runs.c.model_version == found["model_version"], scoring_runs.c.run_id != found["run_id"], IS_HELD
    )
    if found["held_at"] is not None:
        same_time = sa.and_(scoring_runs.c.held_at == found["held_at"], scoring_runs.c.run_id < found["run_id"])
        owners = owners.where(sa.or_(scoring_runs.c.held_at < found["held_at"], same_time))
    return list(connection.execute(owners.order_by(scoring_runs.c.run_id)).scalars())


def owned(run_ids: Sequence[int], review_id: Any, version: Any) -> sa.ColumnElement[bool]:
    """The condition that one of the runs ``run_ids`` has planned this version of the review.

    The runs are named by their numbers, so that PostgreSQL reads their partitions of ``run_items`` and no other.
    """
    item = run_items.alias("held_item")
    return sa.exists().where(
        item.c.run_id.in_(run_ids), item.c.review_id == review_id, item.c.review_updated_at == version
    )


def waiting(connection: Connection) -> list[dict[str, Any]]:
    """The held runs, in order: run_id, scope, model_version, held_at, held_because, and reviews (how many wait)."""
    names = ("run_id", "scope", "model_version", "held_at", "held_because")
    held = sa.select(*(scoring_runs.c[name] for name in names)).where(scoring_runs.c.state == "held")
    found = fetch_all(connection, held.order_by(scoring_runs.c.run_id))
    return [{**row, "reviews": count_reviews(connection, row["run_id"])} for row in found]


def count_reviews(connection: Connection, run_id: int) -> int:
    """How many reviews the run has planned that were neither edited nor deleted since."""
    # As in ``shards.read_chunk``, the join is by key only: PostgreSQL must not look up the reviews by ``updated_at``.
    unchanged = sa.case((reviews.c.updated_at == run_items.c.review_updated_at, 1), else_=0)
    items = run_items.join(reviews, reviews.c.review_id == run_items.c.review_id)
    counted = sa.select(sa.func.sum(unchanged)).select_from(items).where(run_items.c.run_id == run_id)
    return connection.scalar(counted) or 0


def message(connection: Connection, found: dict[str, Any]) -> str:
    """What a person must know about the held run ``found``: since when, why, how many reviews, and what to type."""
    run_id = found["run_id"]
    return (
        f"run {run_id} is held since {found['held_at']:%Y-%m-%d %H:%M} UTC: {found['held_because']}. Its "
        f"{count_reviews(connection, run_id):,} reviews wait for a person, no other run labels them, and the labels "
        "published before stand; the next runs label all other reviews. If the labels are right, "
        f"`senti score --run {run_id} --publish-anyway REASON` publishes them. Otherwise "
        f"`senti score --run {run_id} --restart` gives the run up, and the next run labels its reviews"
    )
