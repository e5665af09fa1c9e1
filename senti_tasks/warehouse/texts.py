"""The texts of all reviews, labelled or not."""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.schema import reviews

PAGE_ROWS = 5_000


def pages(connection: Connection) -> Iterator[list[str | None]]:
    """The texts of all reviews, those with the highest keys first, in pages; constant memory.

    Nothing is left open between two pages: other statements can be sent over ``connection`` meanwhile.
    """
    page = sa.select(reviews.c.review_id, reviews.c.review_text).order_by(reviews.c.review_id.desc()).limit(PAGE_ROWS)
    rows = connection.execute(page).all()
    while rows:
        yield [row.review_text for row in rows]
        rows = connection.execute(page.where(reviews.c.review_id < rows[-1].review_id)).all()
