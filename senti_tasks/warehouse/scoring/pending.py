"""Which reviews wait for a model: those with neither a label nor an error for their present text."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.schema import erased_reviews, review_labels, reviews, scoring_errors
from senti_tasks.warehouse.scoring import watermarks

DAY = timedelta(days=1)


def reviews_of(model_version: str, *, since: datetime | None = None) -> sa.Select[Any]:
    """Reviews (review_id, updated_at) with neither a label nor an error of this model for this version of the text.

    ``since`` leaves out those that last changed before it: a run then costs what is new, not what is old.
    A review without ``updated_at`` has no version that a label could be of: it is never pending (``senti doctor``
    counts such rows). Nor is one that was erased.
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
    waiting = every_review().where(~sa.exists().where(labelled), ~sa.exists().where(failed))
    return waiting if since is None else waiting.where(reviews.c.updated_at >= since)


def every_review() -> sa.Select[Any]:
    """All reviews (review_id, updated_at) that have a version and were not erased."""
    erased = sa.exists().where(erased_reviews.c.review_id == reviews.c.review_id)
    return sa.select(reviews.c.review_id, reviews.c.updated_at).where(reviews.c.updated_at.is_not(None), ~erased)


def since(connection: Connection, model_version: str, overlap: timedelta) -> datetime | None:
    """From when on a run looks for changed reviews: ``overlap`` before the model's watermark, for transactions that
    were under way; ``None``, from the beginning, for a model that has none."""
    watermark = watermarks.of(connection, model_version)
    return None if watermark is None else watermark - overlap


def count(
    connection: Connection, model_version: str, *, due: datetime | None = None, since: datetime | None = None
) -> int:
    """How many reviews wait for ``model_version``'s label; of those last changed up to ``due``, and from ``since``."""
    waiting = reviews_of(model_version, since=since)
    if due is not None:
        waiting = waiting.where(reviews.c.updated_at <= due)
    return connection.scalar(sa.select(sa.func.count()).select_from(waiting.subquery())) or 0
