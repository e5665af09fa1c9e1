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
    label, own, failed = review_labels.alias("served"), review_labels.alias("own"), scoring_errors.c
    same_review = sa.and_(own.c.model_version == incoming, own.c.review_id == label.c.review_id)
    is_answered = sa.and_(own.c.review_updated_at == label.c.review_updated_at, pending.made_by_model(own))
    is_failed = sa.exists().where(
        failed.model_version == incoming,
        failed.review_id == label.c.review_id,
        failed.review_updated_at == label.c.review_updated_at,
    )
    # In a CASE, the present version is looked up only for the few reviews that the incoming model has not answered.
    present = sa.select(reviews.c.updated_at).where(reviews.c.review_id == label.c.review_id).scalar_subquery()
    is_lacking = sa.case((is_answered, sa.false()), else_=label.c.review_updated_at == present)
    missing = (
        sa.select(label.c.review_id)
        .select_from(label.outerjoin(own, same_review))
        .where(label.c.model_version == serving, is_lacking, ~is_failed)
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

    That is the number of reviews that show a label of another model, mostly of the one that served until now, because
    the previous champion has not labelled their present text. It serves at once, unless its labels were dropped by
    retention. Raises ``RegistryError`` if nothing served before.
    """
    publication_lock.take(connection)
    champion, version = promotions.champion(connection), promotions.previous_champion(connection)
    serving = promotions.in_service(connection)
    row = promotions.promote(
        connection, version, kind="rollback", compared_with=champion, actor=actor, reason=reason, now=now
    )
    if row["serving_since"] is None:
        return {**row, "carried_over": 0}
    if serving != version:
        merging.carry_over(connection, serving, version)
    return {**row, "carried_over": count_carried(connection, version)}


def _carried(version: str) -> sa.Select[Any]:
    carried = sa.and_(review_labels.c.model_version == version, review_labels.c.carried_from.is_not(None))
    return sa.select(review_labels.c.review_id).where(carried)
