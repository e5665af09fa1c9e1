"""Removes reviews for good: every row about them that is ours to remove, and the record that it was done."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import (
    annotation_suspects,
    erased_reviews,
    models,
    review_annotations,
    review_label_history,
    review_labels,
    reviews,
    run_items,
    scoring_errors,
    staged_labels,
)
from senti_tasks.warehouse.scoring import publication_lock, rollups

CHUNK_ROWS = 1_000
OWNED = (review_labels, review_label_history, staged_labels, run_items, scoring_errors, annotation_suspects)


def erase(
    connection: Connection, review_ids: Sequence[Any], *, actor: str, reason: str, now: datetime
) -> tuple[int, dict[str, int]]:
    """Erases reviews, also those of which nothing is known. Returns how many were not erased before, and the rows
    removed per table.

    An erased review is never labelled, published or imported again. Rows in a team's own table of reviews stay.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # else the bytes stay in the file until they are reused
    publication_lock.take(connection)  # a publication under way ends first, and a later one leaves these reviews out
    versions = _versions(connection)
    new, removed = 0, dict[str, int]()
    tables = [*OWNED, *(table for table in (review_annotations, reviews) if _is_ours(connection, table))]
    for start in range(0, len(review_ids), CHUNK_ROWS):
        chunk = list(review_ids[start : start + CHUNK_ROWS])
        rows = [{"review_id": key, "erased_at": now, "actor": actor, "reason": reason} for key in chunk]
        known = sa.select(sa.func.count()).where(erased_reviews.c.review_id.in_(chunk))
        new += len(set(chunk)) - (connection.scalar(known) or 0)
        connection.execute(insert(connection, erased_reviews).on_conflict_do_nothing(), rows)
        rollups.subtract(connection, _rows_about(review_labels, chunk, versions))
        for table in tables:
            about = _rows_about(table, chunk, versions)
            # The pipeline's role may not delete from ``reviews``, not even nothing.
            there = table is not reviews or connection.scalar(sa.select(sa.exists().where(about)))
            gone = connection.execute(sa.delete(table).where(about)).rowcount if there else 0
            removed[table.name] = removed.get(table.name, 0) + gone
    return new, removed


def _versions(connection: Connection) -> Sequence[str]:
    return connection.execute(sa.select(models.c.version)).scalars().all()


def _rows_about(table: sa.Table, review_ids: Sequence[Any], versions: Sequence[str]) -> sa.ColumnElement[bool]:
    """The rows of ``table`` about these reviews, by its key where that begins with a model's version: without it the
    labels of all reviews would be read."""
    about = table.c.review_id.in_(review_ids)
    return sa.and_(table.c.model_version.in_(versions), about) if "model_version" in table.c else about


def _is_ours(connection: Connection, table: sa.Table) -> bool:
    if table.name in sa.inspect(connection).get_view_names():
        return False
    return table is not reviews or recorded_setting(connection, "reviews_made_by") == "senti"


def every_key(connection: Connection) -> Iterator[Any]:
    """The key of every erased review; constant memory."""
    keys = sa.select(erased_reviews.c.review_id)
    yield from connection.execute(keys, execution_options={"yield_per": CHUNK_ROWS}).scalars()


def number(connection: Connection) -> int:
    """How many reviews were erased. Erasures are never undone, so an equal number means the same reviews."""
    return connection.scalar(sa.select(sa.func.count()).select_from(erased_reviews)) or 0


def erased_among(connection: Connection, review_ids: Sequence[Any]) -> set[Any]:
    """Those of ``review_ids`` that were erased."""
    erased = erased_reviews.c.review_id
    return set(connection.execute(sa.select(erased).where(erased.in_(review_ids))).scalars())


def count_deleted(connection: Connection) -> tuple[int, int]:
    """How many reviews have labels or annotations, are no longer in ``reviews`` and were not erased; and how many
    there are in ``reviews``."""
    count = sa.func.count()
    deleted = connection.scalar(sa.select(count).select_from(_deleted())) or 0
    return deleted, connection.scalar(sa.select(count).select_from(reviews)) or 0


def deleted_at_source(connection: Connection, *, limit: int) -> list[Any]:
    """Those reviews, the first ``limit`` by key."""
    gone = _deleted().c.review_id
    return list(connection.execute(sa.select(gone).order_by(gone).limit(limit)).scalars())


def _deleted() -> sa.Subquery:
    kept = [
        sa.select(table.c.review_id).where(
            ~sa.exists().where(reviews.c.review_id == table.c.review_id),
            # Annotations in a team's own view stay when their reviews are erased.
            ~sa.exists().where(erased_reviews.c.review_id == table.c.review_id),
        )
        for table in (review_labels, review_label_history, review_annotations)
    ]
    return sa.union(*kept).subquery()
