"""Removes reviews for good: every row about them that is ours to remove, and the record that it was done."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.text import split_key
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import (
    annotation_suspects,
    forgotten_reviews,
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

PAGE_ROWS = 1_000
OWNED = (review_labels, review_label_history, staged_labels, run_items, scoring_errors, annotation_suspects)


def forget(
    connection: Connection, review_ids: Sequence[Any], *, actor: str, reason: str, at: datetime
) -> tuple[int, dict[str, int]]:
    """Forgets reviews, whether anything is known of them or not; returns how many were not forgotten before, and the
    rows removed per table.

    They are never labelled, published or imported again. In a team's own table the reviews themselves stay: they are
    not ours to delete.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")  # else the bytes stay in the file until they are reused
    publication_lock.lock(connection)  # a publication under way ends first, and a later one knows what was forgotten
    versions = _versions(connection)
    new, removed = 0, dict[str, int]()
    tables = [*OWNED, *(table for table in (review_annotations, reviews) if _is_ours(connection, table))]
    for start in range(0, len(review_ids), PAGE_ROWS):
        page = list(review_ids[start : start + PAGE_ROWS])
        rows = [{"review_id": key, "at": at, "actor": actor, "reason": reason} for key in page]
        known = sa.select(sa.func.count()).where(forgotten_reviews.c.review_id.in_(page))
        new += len(set(page)) - (connection.scalar(known) or 0)
        connection.execute(insert(connection, forgotten_reviews).on_conflict_do_nothing(), rows)
        rollups.subtract(connection, _about(review_labels, page, versions))
        for table in tables:
            about = _about(table, page, versions)
            # The pipeline's role may not delete from ``reviews``, not even nothing.
            there = table is not reviews or connection.scalar(sa.select(sa.exists().where(about)))
            gone = connection.execute(sa.delete(table).where(about)).rowcount if there else 0
            removed[table.name] = removed.get(table.name, 0) + gone
    return new, removed


def _versions(connection: Connection) -> Sequence[str]:
    return connection.execute(sa.select(models.c.version)).scalars().all()


def _about(table: sa.Table, review_ids: Sequence[Any], versions: Sequence[str]) -> sa.ColumnElement[bool]:
    """The rows of ``table`` about these reviews, by its key where that begins with a model's version: without it the
    labels of all reviews would be read."""
    about = table.c.review_id.in_(review_ids)
    return sa.and_(table.c.model_version.in_(versions), about) if "model_version" in table.c else about


def _is_ours(connection: Connection, table: sa.Table) -> bool:
    if table.name in sa.inspect(connection).get_view_names():
        return False
    return table is not reviews or recorded_setting(connection, "reviews_made_by") == "senti"


def wordings(connection: Connection, review_ids: Sequence[Any]) -> tuple[set[str], set[str]]:
    """How the texts of reviews are recognised where nobody wrote down whose they are, as far as rows still tell: the
    split keys of those that they have, and the digests of those that they are known to have had."""
    split_keys, digests, versions = set[str](), set[str](), _versions(connection)
    for start in range(0, len(review_ids), PAGE_ROWS):
        page = review_ids[start : start + PAGE_ROWS]
        texts = sa.select(reviews.c.review_text).where(
            reviews.c.review_id.in_(page), reviews.c.review_text.is_not(None)
        )
        split_keys.update(split_key(text) for text in connection.execute(texts).scalars())
        for table in (review_labels, review_label_history, review_annotations, scoring_errors):
            read = sa.select(table.c.text_digest).where(_about(table, page, versions))
            digests.update(connection.execute(read).scalars())
    return split_keys, digests


def every_key(connection: Connection) -> Iterator[Any]:
    """The key of every forgotten review; constant memory."""
    keys = sa.select(forgotten_reviews.c.review_id)
    yield from connection.execute(keys, execution_options={"yield_per": PAGE_ROWS}).scalars()


def number(connection: Connection) -> int:
    """How many reviews were forgotten: as none ever comes back, an equal number is the same reviews."""
    return connection.scalar(sa.select(sa.func.count()).select_from(forgotten_reviews)) or 0


def is_forgotten(connection: Connection, review_ids: Sequence[Any]) -> set[Any]:
    """Those of ``review_ids`` that were forgotten."""
    forgotten = forgotten_reviews.c.review_id
    return set(connection.execute(sa.select(forgotten).where(forgotten.in_(review_ids))).scalars())


def count_deleted(connection: Connection) -> tuple[int, int]:
    """How many reviews have labels or annotations, are no longer in ``reviews`` and were not forgotten; and how many
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
            # Annotations in a team's own view outlast what was forgotten.
            ~sa.exists().where(forgotten_reviews.c.review_id == table.c.review_id),
        )
        for table in (review_labels, review_label_history, review_annotations)
    ]
    return sa.union(*kept).subquery()
