"""Which model analysts see: puts a model into service, so that no review that had a label is without one."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import count_rows
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.schema import review_labels, reviews, scoring_errors
from senti_tasks.warehouse.scoring import held_runs, merging, pending, publication_lock


def count_missing(connection: Connection, incoming: str, serving: str) -> int:
    """How many reviews have a label of their present text by ``serving`` and neither a label nor an error of it by
    ``incoming``. Reviews of held runs of ``incoming`` are not counted: they wait for a person."""
    label = review_labels.alias("served")
    same_version = sa.and_(label.c.review_id == reviews.c.review_id, label.c.review_updated_at == reviews.c.updated_at)
    missing = (
        sa.select(label.c.review_id)
        .join(reviews, same_version)
        .where(label.c.model_version == serving, ~_is_answered(label, incoming))
    )
    if held := held_runs.of_model(connection, incoming):
        missing = missing.where(~held_runs.owned(held, label.c.review_id, label.c.review_updated_at))
    return count_rows(connection, missing.subquery())


def count_carried(connection: Connection, version: str) -> int:
    """How many labels of the model ``version`` were carried over from another one."""
    return count_rows(connection, _carried(version).subquery())


def has_work(connection: Connection, version: str) -> bool:
    """Whether a run can replace a label that was carried over to the model ``version``. It cannot if the model has a
    scoring error for that text, or if a held run owns the review."""
    held = held_runs.of_model(connection, version)
    waiting = pending.pending_reviews(version, without=held).subquery()
    carried = _carried(version).subquery()
    same_review = waiting.c.review_id == carried.c.review_id
    return bool(connection.scalar(sa.select(sa.exists(sa.select(carried.c.review_id).join(waiting, same_review)))))


def start_if_covered(connection: Connection, *, now: datetime) -> bool:
    """Puts the incoming model into service if it has answered all that the model in service has labelled.

    Returns whether it did. No publication can come in between. Reviews that the incoming model cannot answer keep the
    label they have, as a copy (see ``merging.carry_over``). Call it in the transaction that publishes the last run
    of a re-scoring.
    """
    publication_lock.take(connection)
    incoming = promotions.awaiting_service(connection)
    if incoming is None:
        return False
    serving = promotions.in_service(connection)
    if serving != incoming["model_version"]:
        if count_missing(connection, incoming["model_version"], serving):
            return False
        merging.carry_over(connection, serving, incoming["model_version"])
    return promotions.start_service(connection, incoming["seq"], now=now)


def roll_back(connection: Connection, *, actor: str, reason: str, now: datetime) -> dict[str, Any]:
    """Promotes the previous champion again; returns its promotion, with carried_over.

    That is the number of reviews that show the label of the model that served until now, because the previous champion
    has not labelled their present text. It serves at once, unless its labels were dropped by retention. Raises
    ``RegistryError`` if nothing served before.
    """
    publication_lock.take(connection)
    champion, version = promotions.champion(connection), promotions.previous_champion(connection)
    serving = promotions.in_service(connection)
    row = promotions.promote(
        connection, version, kind="rollback", compared_with=champion, actor=actor, reason=reason, now=now
    )
    carried = 0
    if row["serving_since"] is not None and serving != version:
        carried = merging.carry_over(connection, serving, version)
    return {**row, "carried_over": carried}


def _carried(version: str) -> sa.Select[Any]:
    carried = sa.and_(review_labels.c.model_version == version, review_labels.c.carried_from.is_not(None))
    return sa.select(review_labels.c.review_id).where(carried)


def _is_answered(label: sa.FromClause, version: str) -> sa.ColumnElement[bool]:
    """The condition that the model ``version`` has a label or an error for the text that ``label`` is of."""
    conditions = []
    for table in (review_labels, scoring_errors):
        answers = table.alias("answered") if table is review_labels else table
        same_version = sa.and_(
            answers.c.model_version == version,
            answers.c.review_id == label.c.review_id,
            answers.c.review_updated_at == label.c.review_updated_at,
        )
        conditions.append(sa.exists().where(same_version, pending.made_by_model(answers)))
    return sa.or_(*conditions)
