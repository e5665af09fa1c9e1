"""Which reviews are pending for a model: those with neither a label nor an error for their present text."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import count_rows
from senti_tasks.warehouse.erasure import is_erased
from senti_tasks.warehouse.schema import review_labels, reviews, scoring_errors
from senti_tasks.warehouse.scoring import held_runs
from senti_tasks.warehouse.types import EARLIEST, is_key

DAY = timedelta(days=1)


def pending_reviews(
    model_version: str, *, since: datetime | None = None, without: Sequence[int] = ()
) -> sa.Select[Any]:
    """Selects the reviews (review_id, updated_at) that are pending for this model.

    ``since`` leaves out reviews that last changed before it, so that a run reads few old reviews. It never leaves out
    those with an ``updated_at`` before ``types.EARLIEST``, such as -infinity or in SQLite a number: it says nothing
    about when they changed. ``without`` leaves out the reviews that belong to these runs (see
    ``runs.reviews_to_plan``). Erased reviews and those without a key or without ``updated_at`` are never pending: a
    label stores the ``updated_at`` of its text. (``senti doctor`` counts the reviews without it.)
    """
    pending = scorable_reviews(without)
    for answers in (review_labels, scoring_errors):
        same_text = sa.and_(
            answers.c.model_version == model_version,
            answers.c.review_id == reviews.c.review_id,
            answers.c.review_updated_at == reviews.c.updated_at,
        )
        pending = pending.where(~sa.exists().where(same_text, made_by_model(answers)))
    if since is None:
        return pending
    # Two ranges of the index. On SQLite numbers are before all texts, and bytes behind them.
    return pending.where(sa.or_(reviews.c.updated_at >= since, reviews.c.updated_at < EARLIEST))


def made_by_model(answers: sa.FromClause) -> sa.ColumnElement[bool]:
    """The condition that a row of ``review_labels`` or ``scoring_errors`` is an answer of its model. A label that was
    carried over from another model is none."""
    return answers.c.carried_from.is_(None) if "carried_from" in answers.c else sa.true()


def scorable_reviews(without: Sequence[int] = ()) -> sa.Select[Any]:
    """Selects all reviews (review_id, updated_at) that have a key and ``updated_at``, were not erased, and do not
    belong to one of the runs ``without``."""
    columns = reviews.c.review_id, reviews.c.updated_at
    has_version = sa.and_(is_key(reviews.c.review_id), reviews.c.updated_at.is_not(None))
    scorable = sa.select(*columns).where(has_version, ~is_erased(reviews.c.review_id))
    return scorable.where(~held_runs.owned(without, *columns)) if without else scorable


def scan_start(watermark: datetime | None, overlap: timedelta) -> datetime | None:
    """The time from which a run reads changed reviews: ``overlap`` before the model's ``watermark``.

    The overlap covers transactions that committed later than their ``updated_at``. ``None`` means from the beginning:
    the model has no watermark.
    """
    return None if watermark is None else watermark - overlap


def count(
    connection: Connection, model_version: str, *, due: datetime | None = None, since: datetime | None = None
) -> int:
    """How many reviews are pending for ``model_version``, of those that last changed from ``since`` up to ``due``.
    The reviews of held runs are not counted."""
    pending = pending_reviews(model_version, since=since, without=held_runs.of_model(connection, model_version))
    if due is not None:
        pending = pending.where(reviews.c.updated_at <= due)
    return count_rows(connection, pending.subquery())
