"""The texts of all reviews, labelled or not, and those that were frozen for a pretraining."""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import forgotten_reviews, frozen_texts, reviews

PAGE_ROWS = 5_000


def pages(connection: Connection) -> Iterator[list[tuple[str, str | None]]]:
    """Key (as text) and text of every review that was not forgotten, the highest keys first, in pages; constant memory.

    Nothing is left open between two pages: other statements can be sent over ``connection`` meanwhile.
    """
    forgotten = sa.exists().where(forgotten_reviews.c.review_id == reviews.c.review_id)
    some = sa.select(reviews.c.review_id, reviews.c.review_text).where(~forgotten)
    page = some.order_by(reviews.c.review_id.desc()).limit(PAGE_ROWS)
    rows = connection.execute(page).all()
    while rows:
        yield [(str(row.review_id), row.review_text) for row in rows]
        rows = connection.execute(page.where(reviews.c.review_id < rows[-1].review_id)).all()


def record(connection: Connection, values: Mapping[str, Any]) -> None:
    """Records frozen texts; what its origin recorded before stays."""
    connection.execute(insert(connection, frozen_texts).values(values).on_conflict_do_nothing())


def of_origin(connection: Connection, origin: str) -> dict[str, Any] | None:
    """The texts that ``origin`` froze before, so that a retried task gives the same answer."""
    row = connection.execute(sa.select(frozen_texts).where(frozen_texts.c.origin == origin)).mappings().one_or_none()
    return None if row is None else dict(row)


def every(connection: Connection) -> list[dict[str, Any]]:
    """All frozen texts, oldest first; two origins may have frozen one and the same artifact."""
    ordered = sa.select(frozen_texts).order_by(frozen_texts.c.created_at, frozen_texts.c.origin)
    return [dict(row) for row in connection.execute(ordered).mappings()]


def replace_artifact(
    connection: Connection, former: str, *, artifact: str, digest: str, counts: Mapping[str, int]
) -> None:
    """Points everything that was frozen as ``former`` to what is left of it after an erasure."""
    changed = sa.update(frozen_texts).where(frozen_texts.c.artifact == former)
    connection.execute(changed.values(artifact=artifact, digest=digest, counts=dict(counts)))
