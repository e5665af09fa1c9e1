"""Labelled reviews, the ledger that decides each text's split once, and the corpus snapshots made of them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import CorpusError
from senti_tasks.text import text_hash
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import corpora, erased_reviews, review_annotations, reviews, text_splits

CHUNK_ROWS = 5_000


def labelled_reviews(connection: Connection, *, due: datetime) -> Iterator[dict[str, Any]]:
    """Each review that was annotated as of ``due``, in order of review_id, with the label for its present text.

    The newest annotation whose hash fits the text is the label: one made of an earlier text says nothing of this one,
    and where there are only such, the label is ``None``. Erased reviews are passed over. Yields review_id (as
    text), text, label, product and created_at; constant memory.
    """
    annotation = review_annotations
    rows = connection.execute(
        sa.select(
            reviews.c.review_id,
            reviews.c.review_text,
            sa.cast(reviews.c.product, sa.Text).label("product"),  # a number in some team's table
            sa.func.coalesce(reviews.c.created_at, annotation.c.annotated_at).label("created_at"),
            annotation.c.label,
            annotation.c.text_hash,
        )
        .join(annotation, annotation.c.review_id == reviews.c.review_id)
        .where(annotation.c.annotated_at <= due, reviews.c.review_text.is_not(None), ~_erased())
        .order_by(reviews.c.review_id, annotation.c.annotated_at.desc(), annotation.c.annotator),
        execution_options={"yield_per": CHUNK_ROWS},
    )
    for _, annotated in groupby(rows, key=attrgetter("review_id")):
        review = next(annotated)
        present = text_hash(review.review_text)
        newest = next((row for row in chain([review], annotated) if row.text_hash == present), None)
        yield {
            "review_id": str(review.review_id),
            "text": review.review_text,
            "label": None if newest is None else newest.label,
            "product": review.product,
            "created_at": (newest or review).created_at,
        }


def unlabelled_texts(connection: Connection, *, limit: int) -> list[str]:
    """Texts of reviews that were neither annotated nor erased, those with the highest keys first; ``limit`` at most."""
    annotated = sa.exists().where(review_annotations.c.review_id == reviews.c.review_id)
    texts = sa.select(reviews.c.review_text).where(reviews.c.review_text.is_not(None), ~annotated, ~_erased())
    return list(connection.execute(texts.order_by(reviews.c.review_id.desc()).limit(limit)).scalars())


def _erased() -> sa.ColumnElement[bool]:
    return sa.exists().where(erased_reviews.c.review_id == reviews.c.review_id)


def splits_of(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    """The split of each of ``keys`` that the ledger knows."""
    known: dict[str, str] = {}
    for start in range(0, len(keys), CHUNK_ROWS):
        chunk = text_splits.c.content_hash.in_(keys[start : start + CHUNK_ROWS])
        known.update(
            (row.content_hash, row.split)
            for row in connection.execute(sa.select(text_splits.c.content_hash, text_splits.c.split).where(chunk))
        )
    return known


def ledger(connection: Connection) -> Iterator[tuple[str, bytes]]:
    """Split and shingles of each text in the ledger that near-duplicates can be compared with; constant memory."""
    known = sa.select(text_splits.c.split, text_splits.c.shingles)
    comparable = known.where(text_splits.c.split != "set_aside")
    for row in connection.execute(comparable, execution_options={"yield_per": CHUNK_ROWS}):
        yield row.split, row.shingles


def ledger_rows(connection: Connection) -> int:
    """How many texts the ledger holds: as it is append-only, an equal number is an equal ledger."""
    return connection.scalar(sa.select(sa.func.count()).select_from(text_splits)) or 0


def hold_ledger(connection: Connection) -> None:
    """Keeps others from adding to the ledger until the transaction ends; on SQLite every writing transaction does."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE text_splits IN SHARE ROW EXCLUSIVE MODE")


def record_splits(
    connection: Connection, splits: Mapping[str, str], *, shingles: Mapping[str, bytes], now: datetime
) -> None:
    """Adds ``splits`` (content hash to split) to the ledger. A key it knows keeps its split: nothing ever moves."""
    rows = [
        {"content_hash": key, "split": split, "shingles": shingles[key], "first_seen": now}
        for key, split in splits.items()
    ]
    for start in range(0, len(rows), CHUNK_ROWS):
        statement = insert(connection, text_splits).on_conflict_do_nothing(index_elements=["content_hash"])
        connection.execute(statement, rows[start : start + CHUNK_ROWS])


def judgements_of(connection: Connection, keys: Sequence[str]) -> list[int]:
    """How many models each of ``keys`` has judged, as far as the ledger knows them; in no order."""
    counts: list[int] = []
    for start in range(0, len(keys), CHUNK_ROWS):
        chunk = text_splits.c.content_hash.in_(keys[start : start + CHUNK_ROWS])
        counts += connection.execute(sa.select(text_splits.c.judgements).where(chunk)).scalars()
    return counts


def count_judgement(connection: Connection, keys: Sequence[str]) -> None:
    """One more model was judged by the texts ``keys``."""
    hold_ledger(connection)  # two that count the same rows in another order would wait for each other
    once_more = sa.update(text_splits).values(judgements=text_splits.c.judgements + 1)
    for start in range(0, len(keys), CHUNK_ROWS):
        connection.execute(once_more.where(text_splits.c.content_hash.in_(keys[start : start + CHUNK_ROWS])))


def corpus_by_key(connection: Connection, idempotency_key: str) -> dict[str, Any] | None:
    """The corpus with this ``idempotency_key``, so that a retried task returns the same one."""
    row = (
        connection.execute(sa.select(corpora).where(corpora.c.idempotency_key == idempotency_key))
        .mappings()
        .one_or_none()
    )
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
            f"there is no corpus {name!r}; " + (f"the newest are {known}" if known else "there is none yet")
        )
    return dict(row)


def record_corpus(connection: Connection, values: dict[str, Any]) -> None:
    """Records a corpus snapshot; recording the same one again changes nothing."""
    connection.execute(insert(connection, corpora).values(values).on_conflict_do_nothing())


def every_corpus(connection: Connection) -> list[dict[str, Any]]:
    """Every corpus, oldest first."""
    return [dict(row) for row in connection.execute(sa.select(corpora).order_by(corpora.c.created_at)).mappings()]


def replace_artifact(connection: Connection, name: str, *, artifact: str, digest: str, summary: dict[str, Any]) -> None:
    """Points the corpus ``name`` to what is left of it after an erasure."""
    changed = sa.update(corpora).where(corpora.c.corpus == name)
    connection.execute(changed.values(artifact=artifact, digest=digest, summary=summary))
