"""The texts of all reviews, labelled or not, and the snapshots of them that encoders are pretrained on."""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import fetch_all, fetch_one, insert_missing
from senti_tasks.warehouse.erasure import is_erased
from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import reviews, text_snapshots
from senti_tasks.warehouse.types import is_key, is_review_id

CHUNK_ROWS = 5_000


def read_chunks(connection: Connection) -> Iterator[list[tuple[str, str | None]]]:
    """Key (as text) and text of every review that was not erased, in descending order of keys; constant memory. Each
    chunk is a query of its own, so ``connection`` can be used between two chunks. Left out are keys that are not of
    SENTI_REVIEW_ID_TYPE (SQLite): an erasure would not find them in a snapshot."""
    id_type = recorded_setting(connection, "review_id_type")
    columns = reviews.c.review_id, reviews.c.review_text
    texts = sa.select(*columns).where(is_key(reviews.c.review_id), ~is_erased(reviews.c.review_id))
    chunk = texts.order_by(reviews.c.review_id.desc()).limit(CHUNK_ROWS)
    rows = connection.execute(chunk).all()
    while rows:
        yield [(str(row.review_id), row.review_text) for row in rows if is_review_id(row.review_id, id_type)]
        rows = connection.execute(chunk.where(reviews.c.review_id < rows[-1].review_id)).all()


def record_snapshot(connection: Connection, values: Mapping[str, Any]) -> None:
    """Records a text snapshot; one with the same idempotency key stays as it is."""
    insert_missing(connection, text_snapshots, values)


def snapshot_by_key(connection: Connection, idempotency_key: str) -> dict[str, Any] | None:
    """The text snapshot with this ``idempotency_key``; ``None`` if there is none. A retried task finds it by that."""
    return fetch_one(connection, sa.select(text_snapshots).where(text_snapshots.c.idempotency_key == idempotency_key))


def all_snapshots(connection: Connection) -> list[dict[str, Any]]:
    """All text snapshots, oldest first; several may have the same artifact."""
    return fetch_all(connection, sa.select(text_snapshots).order_by("created_at", "idempotency_key"))


def replace_artifact(
    connection: Connection, former: str, *, artifact: str, digest: str, counts: Mapping[str, int]
) -> None:
    """Changes the artifact ``former`` of every snapshot that has it to the one without the erased reviews."""
    changed = sa.update(text_snapshots).where(text_snapshots.c.artifact == former)
    connection.execute(changed.values(artifact=artifact, digest=digest, counts=dict(counts)))
