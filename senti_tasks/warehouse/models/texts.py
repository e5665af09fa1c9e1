"""The texts of all reviews, labelled or not, and the text snapshots for pretrainings."""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import erased_reviews, reviews, text_snapshots

CHUNK_ROWS = 5_000


def chunks(connection: Connection) -> Iterator[list[tuple[str, str | None]]]:
    """Key (as text) and text of every review that was not erased, the highest keys first, in chunks; constant memory.

    Nothing is left open between two chunks: other statements can be sent over ``connection`` meanwhile.
    """
    erased = sa.exists().where(erased_reviews.c.review_id == reviews.c.review_id)
    some = sa.select(reviews.c.review_id, reviews.c.review_text).where(~erased)
    chunk = some.order_by(reviews.c.review_id.desc()).limit(CHUNK_ROWS)
    rows = connection.execute(chunk).all()
    while rows:
        yield [(str(row.review_id), row.review_text) for row in rows]
        rows = connection.execute(chunk.where(reviews.c.review_id < rows[-1].review_id)).all()


def record(connection: Connection, values: Mapping[str, Any]) -> None:
    """Records a text snapshot; one with the same idempotency key stays as it is."""
    connection.execute(insert(connection, text_snapshots).values(values).on_conflict_do_nothing())


def by_key(connection: Connection, idempotency_key: str) -> dict[str, Any] | None:
    """The text snapshot with this ``idempotency_key``, so that a retried task returns the same one."""
    row = (
        connection.execute(sa.select(text_snapshots).where(text_snapshots.c.idempotency_key == idempotency_key))
        .mappings()
        .one_or_none()
    )
    return None if row is None else dict(row)


def every(connection: Connection) -> list[dict[str, Any]]:
    """All text snapshots, oldest first; several may have the same artifact."""
    ordered = sa.select(text_snapshots).order_by(text_snapshots.c.created_at, text_snapshots.c.idempotency_key)
    return [dict(row) for row in connection.execute(ordered).mappings()]


def replace_artifact(
    connection: Connection, former: str, *, artifact: str, digest: str, counts: Mapping[str, int]
) -> None:
    """Points every snapshot with the artifact ``former`` to what is left of it after an erasure."""
    changed = sa.update(text_snapshots).where(text_snapshots.c.artifact == former)
    connection.execute(changed.values(artifact=artifact, digest=digest, counts=dict(counts)))
