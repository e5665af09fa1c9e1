"""Erases reviews: deletes every row about them from tables of ours, and records each erasure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import count_rows, insert_missing
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
    text_split_reviews,
    text_splits,
)
from senti_tasks.warehouse.scoring import publication_lock, rollups

CHUNK_ROWS = 1_000
OWNED = (review_labels, review_label_history, staged_labels, run_items, scoring_errors, annotation_suspects)


def erase(
    connection: Connection, review_ids: Sequence[Any], *, actor: str, reason: str, now: datetime
) -> tuple[int, dict[str, int]]:
    """Erases reviews. A key that is in no table is recorded too.

    Returns how many of the keys were not erased before, and the number of deleted rows by table.

    An erased review is never labelled, published or imported again. Rows in a team's own tables stay.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # overwrites the bytes in the file
    publication_lock.take(connection)  # a running publication ends first; a later one leaves these reviews out
    versions = connection.execute(sa.select(models.c.version)).scalars().all()
    before, removed = count_erased(connection), Counter[str]()
    tables = [*OWNED, *(table for table in (review_annotations, reviews) if _is_ours(connection, table))]
    for start in range(0, len(review_ids), CHUNK_ROWS):
        chunk = list(review_ids[start : start + CHUNK_ROWS])
        rows = [{"review_id": key, "erased_at": now, "actor": actor, "reason": reason} for key in chunk]
        insert_missing(connection, erased_reviews, rows)
        rollups.subtract(connection, _rows_about(review_labels, chunk, versions))
        for table in tables:
            about = _rows_about(table, chunk, versions)
            # The pipeline's role has no DELETE permission for ``reviews``: without rows, no DELETE is sent.
            present = table is not reviews or connection.scalar(sa.select(sa.exists().where(about)))
            deleted = connection.execute(sa.delete(table).where(about)).rowcount if present else 0
            removed[table.name] += deleted
        removed.update(_remove_from_ledger(connection, chunk))
    return count_erased(connection) - before, dict(removed)


def _remove_from_ledger(connection: Connection, review_ids: Sequence[Any]) -> dict[str, int]:
    """Deletes the texts of these reviews from the ledger, earlier ones included; returns the number of deleted rows by
    table.

    Nothing is kept of such a text, not even its content hash, because a short text is found by hashing all short texts.
    A text that another review has too, which was not erased, stays and keeps its split.
    """
    about = text_split_reviews.c.review_id.in_(review_ids)
    deleted = sa.delete(text_split_reviews).where(about).returning(text_split_reviews.c.content_hash)
    keys = connection.execute(deleted).scalars().all()
    unused = ~sa.exists().where(text_split_reviews.c.content_hash == text_splits.c.content_hash)
    texts = sa.delete(text_splits).where(text_splits.c.content_hash.in_(set(keys)), unused)
    return {"text_split_reviews": len(keys), "text_splits": connection.execute(texts).rowcount}


def _rows_about(table: sa.Table, review_ids: Sequence[Any], versions: Sequence[str]) -> sa.ColumnElement[bool]:
    """The condition for the rows of ``table`` about these reviews.

    Where the primary key begins with ``model_version``, it names all ``versions``: without them the index cannot be
    used, and the whole table would be read.
    """
    about = table.c.review_id.in_(review_ids)
    return sa.and_(table.c.model_version.in_(versions), about) if "model_version" in table.c else about


def _is_ours(connection: Connection, table: sa.Table) -> bool:
    if table.name in sa.inspect(connection).get_view_names():
        return False
    return table is not reviews or recorded_setting(connection, "reviews_made_by") == "senti"


def is_erased(review_id: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """The condition that the review with this key was erased."""
    return sa.exists().where(erased_reviews.c.review_id == review_id)


def erased_keys(connection: Connection) -> Iterator[Any]:
    """The key of every erased review, in no order; constant memory."""
    keys = sa.select(erased_reviews.c.review_id)
    yield from connection.execute(keys, execution_options={"yield_per": CHUNK_ROWS}).scalars()


def count_erased(connection: Connection) -> int:
    """The number of erased reviews. Erasures are never undone, so an equal number means the same reviews."""
    return count_rows(connection, erased_reviews)


def erased_among(connection: Connection, review_ids: Sequence[Any]) -> set[Any]:
    """Those of ``review_ids`` that were erased."""
    erased = erased_reviews.c.review_id
    return set(connection.execute(sa.select(erased).where(erased.in_(review_ids))).scalars())


def known_among(connection: Connection, review_ids: Sequence[Any]) -> set[Any]:
    """Those of ``review_ids`` of which something is stored, or that were erased; a UUID as text."""
    versions = connection.execute(sa.select(models.c.version)).scalars().all()
    tables = (reviews, review_annotations, text_split_reviews, erased_reviews, *OWNED)
    known: set[Any] = set()
    for start in range(0, len(review_ids), CHUNK_ROWS):
        chunk = list(review_ids[start : start + CHUNK_ROWS])
        for table in tables:
            found = sa.select(table.c.review_id).where(_rows_about(table, chunk, versions))
            known.update(connection.execute(found).scalars())
    return {key if isinstance(key, int) else str(key) for key in known}


def count_deleted(connection: Connection) -> tuple[int, int]:
    """The number of reviews deleted at the source, as ``deleted_at_source`` lists them, and of rows in ``reviews``."""
    return count_rows(connection, _deleted()), count_rows(connection, reviews)


def deleted_at_source(connection: Connection, *, limit: int) -> list[Any]:
    """The keys, in order and at most ``limit``, of reviews that have labels or annotations, but are no longer in
    ``reviews`` and were not erased."""
    deleted = _deleted().c.review_id
    return list(connection.execute(sa.select(deleted).order_by(deleted).limit(limit)).scalars())


def _deleted() -> sa.Subquery:
    kept = [
        sa.select(table.c.review_id).where(
            ~sa.exists().where(reviews.c.review_id == table.c.review_id),
            ~is_erased(table.c.review_id),  # annotations in a team's own view are still there after an erasure
        )
        for table in (review_labels, review_label_history, review_annotations)
    ]
    return sa.union(*kept).subquery()
