"""Labelled reviews, the ledger that decides each text's split once, and the corpora frozen from them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import CorpusError
from senti_tasks.text import digest
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import corpora, review_annotations, reviews, text_splits

PAGE_ROWS = 5_000


def labelled_reviews(connection: Connection, *, due: datetime) -> Iterator[dict[str, Any]]:
    """Each review that has a label for its present text, as of ``due``, in order of review_id.

    The newest annotation whose digest fits the text is the label: one made of an earlier text says nothing of this one.
    Yields review_id (as text), text, label, product and created_at; constant memory.
    """
    annotation = review_annotations
    rows = connection.execution_options(yield_per=PAGE_ROWS).execute(
        sa.select(
            reviews.c.review_id,
            reviews.c.review_text,
            reviews.c.product,
            sa.func.coalesce(reviews.c.created_at, annotation.c.annotated_at).label("created_at"),
            annotation.c.label,
            annotation.c.text_digest,
        )
        .join(annotation, annotation.c.review_id == reviews.c.review_id)
        .where(annotation.c.annotated_at <= due, reviews.c.review_text.is_not(None))
        .order_by(reviews.c.review_id, annotation.c.annotated_at.desc(), annotation.c.annotator)
    )
    answered = None
    for row in rows:
        if row.review_id == answered or row.text_digest != digest(row.review_text):
            continue
        answered = row.review_id
        yield {
            "review_id": str(row.review_id),
            "text": row.review_text,
            "label": row.label,
            "product": row.product,
            "created_at": row.created_at,
        }


def unlabelled_texts(connection: Connection, *, limit: int) -> list[str]:
    """Texts of reviews that nobody annotated, those with the highest keys first; ``limit`` at most."""
    annotated = sa.exists().where(review_annotations.c.review_id == reviews.c.review_id)
    texts = sa.select(reviews.c.review_text).where(reviews.c.review_text.is_not(None), ~annotated)
    return list(connection.execute(texts.order_by(reviews.c.review_id.desc()).limit(limit)).scalars())


def splits_of(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    """The split of each of ``keys`` that the ledger knows."""
    known: dict[str, str] = {}
    for start in range(0, len(keys), PAGE_ROWS):
        page = text_splits.c.split_key.in_(keys[start : start + PAGE_ROWS])
        known.update(
            (row.split_key, row.split)
            for row in connection.execute(sa.select(text_splits.c.split_key, text_splits.c.split).where(page))
        )
    return known


def record_splits(connection: Connection, splits: Mapping[str, str], *, at: datetime) -> None:
    """Adds ``splits`` (split key to split) to the ledger. A key it knows keeps its split: nothing ever moves."""
    rows = [{"split_key": key, "split": split, "first_seen": at} for key, split in splits.items()]
    for start in range(0, len(rows), PAGE_ROWS):
        statement = insert(connection, text_splits).on_conflict_do_nothing(index_elements=["split_key"])
        connection.execute(statement, rows[start : start + PAGE_ROWS])


def corpus_of_origin(connection: Connection, origin: str) -> dict[str, Any] | None:
    """The corpus that ``origin`` froze before, so that a retried task gives the same answer."""
    row = connection.execute(sa.select(corpora).where(corpora.c.origin == origin)).mappings().one_or_none()
    return None if row is None else dict(row)


def corpus(connection: Connection, name: str) -> dict[str, Any]:
    """The corpus ``name``. Raises ``CorpusError`` naming the newest ones when there is no such corpus."""
    row = connection.execute(sa.select(corpora).where(corpora.c.corpus == name)).mappings().one_or_none()
    if row is None:
        newest = connection.execute(
            sa.select(corpora.c.corpus).order_by(corpora.c.created_at.desc()).limit(3)
        ).scalars()
        known = ", ".join(newest)
        raise CorpusError(
            f"there is no corpus {name!r}; " + (f"the newest are {known}" if known else "none was frozen yet")
        )
    return dict(row)


def record_corpus(connection: Connection, values: dict[str, Any]) -> None:
    """Records a frozen corpus; the same corpus frozen twice is one row."""
    connection.execute(insert(connection, corpora).values(values).on_conflict_do_nothing())
