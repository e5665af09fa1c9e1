"""Labelled reviews, the ledger of each text's split, corpus snapshots, and the suspect labels found in them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import CorpusError
from senti_tasks.text import text_hash
from senti_tasks.warehouse.database import count_rows, fetch_all, fetch_one, insert_missing, random_order
from senti_tasks.warehouse.erasure import is_erased
from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import (
    annotation_suspects,
    corpora,
    review_annotations,
    reviews,
    text_split_reviews,
    text_splits,
)
from senti_tasks.warehouse.types import is_key, is_review_id, parse_review_id

CHUNK_ROWS = 5_000
SUSPECTS_KEPT = 3
"""Suspects of so many newest corpora are kept. A wrong label that nobody corrected is found again in each corpus."""


def labelled_reviews(connection: Connection, *, due: datetime) -> Iterator[dict[str, Any]]:
    """Each review that was annotated up to ``due``, in order of review_id, with the label of its present text.

    The label is that of the newest annotation whose text hash is that of the present text; ``None`` if all annotations
    are of earlier texts. Left out are erased reviews, and in SQLite those whose key is not of SENTI_REVIEW_ID_TYPE: an
    erasure would not find them in the snapshot. Yields review_id (as text), text, label, product and created_at: if
    that is missing or not readable, the time of the annotation, or else ``due``; constant memory.
    """
    id_type = recorded_setting(connection, "review_id_type")
    annotation = review_annotations
    rows = connection.execute(
        sa.select(
            reviews.c.review_id,
            reviews.c.review_text,
            sa.cast(reviews.c.product, sa.Text).label("product"),  # may be a number in a team's table
            reviews.c.created_at,
            annotation.c.annotated_at,
            annotation.c.label,
            annotation.c.text_hash,
        )
        .join(annotation, annotation.c.review_id == reviews.c.review_id)
        .where(annotation.c.annotated_at <= due, reviews.c.review_text.is_not(None))
        .where(is_key(reviews.c.review_id), ~is_erased(reviews.c.review_id))
        .order_by(reviews.c.review_id, annotation.c.annotated_at.desc(), annotation.c.annotator),
        execution_options={"yield_per": CHUNK_ROWS},
    )
    for _, annotated in groupby(rows, key=attrgetter("review_id")):
        review = next(annotated)
        if not is_review_id(review.review_id, id_type):
            continue
        present = text_hash(review.review_text)
        newest = next((row for row in chain([review], annotated) if row.text_hash == present), None)
        said = newest or review
        yield {
            "review_id": str(review.review_id),
            "text": review.review_text,
            "label": None if newest is None else newest.label,
            "product": review.product,
            "created_at": said.created_at or said.annotated_at or due,
        }


def unlabelled_texts(connection: Connection, *, limit: int, seed: int) -> list[str]:
    """Texts of at most ``limit`` reviews, drawn at random from those that were neither annotated nor erased.

    Each review has the same chance, and the order is random, so that the first n texts are a random sample too. The
    same ``seed`` draws the same reviews as long as the table is the same. Reviews without a text are drawn and left
    out. The database reads all keys once, keeps ``limit`` of them, and reads the texts of these only.
    """
    candidates = reviews.alias("candidates")
    annotated = sa.exists().where(review_annotations.c.review_id == candidates.c.review_id)
    place = random_order(connection, candidates.c.review_id, seed)
    drawn = (
        sa.select(candidates.c.review_id, place.label("place"))
        .where(~annotated, is_key(candidates.c.review_id), ~is_erased(candidates.c.review_id))
        .order_by(place, candidates.c.review_id)
        .limit(limit)
        .subquery("drawn")
    )
    texts = sa.select(reviews.c.review_text).join(drawn, drawn.c.review_id == reviews.c.review_id)
    texts = texts.where(reviews.c.review_text.is_not(None)).order_by(drawn.c.place, drawn.c.review_id)
    return list(connection.execute(texts).scalars())


def _chunks(keys: Sequence[str]) -> Iterator[sa.ColumnElement[bool]]:
    """Conditions that select the rows of ``keys`` in the ledger, ``CHUNK_ROWS`` of them each."""
    for start in range(0, len(keys), CHUNK_ROWS):
        yield text_splits.c.content_hash.in_(keys[start : start + CHUNK_ROWS])


def splits_of(connection: Connection, keys: Sequence[str]) -> dict[str, str]:
    """The split of each content hash of ``keys`` that is in the ledger."""
    known = sa.select(text_splits.c.content_hash, text_splits.c.split)
    return {key: split for chunk in _chunks(keys) for key, split in connection.execute(known.where(chunk))}


def read_ledger(connection: Connection) -> Iterator[tuple[str, bytes]]:
    """Split and shingles of each text in the ledger except those set aside, in no order; constant memory."""
    comparable = sa.select(text_splits.c.split, text_splits.c.shingles).where(text_splits.c.split != "set_aside")
    for row in connection.execute(comparable, execution_options={"yield_per": CHUNK_ROWS}):
        yield row.split, row.shingles


def count_ledger(connection: Connection) -> int:
    """How many texts the ledger has. If no review was erased meanwhile, an equal number means an equal ledger."""
    return count_rows(connection, text_splits)


def lock_ledger(connection: Connection) -> None:
    """Prevents others from adding to the ledger until the transaction ends. On SQLite BEGIN IMMEDIATE has done so."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE text_splits IN SHARE ROW EXCLUSIVE MODE")


def record_splits(
    connection: Connection, splits: Mapping[str, str], *, shingles: Mapping[str, bytes], now: datetime
) -> None:
    """Adds ``splits`` (content hash to split) to the ledger. A content hash that is already there keeps its split."""
    rows = [
        {"content_hash": key, "split": split, "shingles": shingles[key], "first_seen": now}
        for key, split in splits.items()
    ]
    insert_missing(connection, text_splits, rows)


def reviews_in_ledger(connection: Connection) -> Iterator[tuple[str, str]]:
    """Content hash and review_id (as text) of each review whose text is in the ledger, in no order; constant memory."""
    recorded = sa.select(text_split_reviews.c.content_hash, text_split_reviews.c.review_id)
    for row in connection.execute(recorded, execution_options={"yield_per": CHUNK_ROWS}):
        yield row.content_hash, str(row.review_id)


def record_reviews_in_ledger(connection: Connection, recorded: Iterable[tuple[str, str]]) -> None:
    """Records reviews, as ``reviews_in_ledger`` returns them, whose text is in the ledger."""
    id_type = recorded_setting(connection, "review_id_type")
    rows = [{"content_hash": key, "review_id": parse_review_id(review_id, id_type)} for key, review_id in recorded]
    insert_missing(connection, text_split_reviews, rows)


def judgements_of(connection: Connection, keys: Sequence[str]) -> list[int]:
    """How many models were judged with each text of ``keys`` (content hashes) that is in the ledger; in no order."""
    judgements = sa.select(text_splits.c.judgements)
    return [number for chunk in _chunks(keys) for number in connection.execute(judgements.where(chunk)).scalars()]


def count_judgement(connection: Connection, keys: Sequence[str]) -> None:
    """Adds one to the number of models judged with each text of ``keys`` (content hashes)."""
    lock_ledger(connection)  # without the lock, two transactions that update the same rows in another order deadlock
    increased = sa.update(text_splits).values(judgements=text_splits.c.judgements + 1)
    for chunk in _chunks(keys):
        connection.execute(increased.where(chunk))


def corpus_by_key(connection: Connection, idempotency_key: str) -> dict[str, Any] | None:
    """The corpus with this ``idempotency_key``; ``None`` if there is none. A retried task finds its corpus by it."""
    return fetch_one(connection, sa.select(corpora).where(corpora.c.idempotency_key == idempotency_key))


def corpus(connection: Connection, name: str) -> dict[str, Any]:
    """The corpus ``name``. Raises ``CorpusError`` with the newest names when there is no such corpus."""
    found = fetch_one(connection, sa.select(corpora).where(corpora.c.corpus == name))
    if found is None:
        newest = sa.select(corpora.c.corpus).order_by(corpora.c.created_at.desc()).limit(3)
        names = ", ".join(connection.execute(newest).scalars())
        raise CorpusError(
            f"there is no corpus {name!r}; " + (f"the newest are {names}" if names else "there is none yet")
        )
    return found


def record_corpus(connection: Connection, values: dict[str, Any]) -> None:
    """Records a corpus snapshot; recording the same one again changes nothing."""
    insert_missing(connection, corpora, values)


def all_corpora(connection: Connection) -> list[dict[str, Any]]:
    """Every corpus, oldest first."""
    return fetch_all(connection, sa.select(corpora).order_by(corpora.c.created_at))


def replace_artifact(connection: Connection, name: str, *, artifact: str, digest: str, summary: dict[str, Any]) -> None:
    """Changes the artifact of the corpus ``name`` to the one without the erased reviews."""
    changed = sa.update(corpora).where(corpora.c.corpus == name)
    connection.execute(changed.values(artifact=artifact, digest=digest, summary=summary))


def replace_suspects(connection: Connection, corpus: str, suspects: Sequence[dict[str, Any]]) -> None:
    """Replaces the suspects of ``corpus``, its labels that are probably wrong, and deletes those of old corpora.

    ``suspects`` have the table's columns except corpus, and review_id as text. For an old corpus none are stored.
    """
    table = annotation_suspects
    id_type = recorded_setting(connection, "review_id_type")
    newest = sa.select(corpora.c.corpus).order_by(corpora.c.created_at.desc(), corpora.c.corpus.desc())
    kept = connection.execute(newest.limit(SUSPECTS_KEPT)).scalars().all()
    connection.execute(sa.delete(table).where((table.c.corpus == corpus) | table.c.corpus.not_in(kept)))
    if suspects and corpus in kept:
        rows = [{**row, "corpus": corpus, "review_id": parse_review_id(row["review_id"], id_type)} for row in suspects]
        connection.execute(sa.insert(table), rows)


def suspects_of(connection: Connection, corpus: str, *, limit: int) -> list[dict[str, Any]]:
    """At most ``limit`` rows of ``annotation_suspects`` of ``corpus``, the least probable label first."""
    table = annotation_suspects
    found = sa.select(table).where(table.c.corpus == corpus).order_by(table.c.label_probability, table.c.review_id)
    return fetch_all(connection, found.limit(limit))


def count_suspects(connection: Connection, corpus: str) -> int:
    """How many labels of ``corpus`` are probably wrong."""
    found = sa.select(annotation_suspects).where(annotation_suspects.c.corpus == corpus)
    return count_rows(connection, found.subquery())
