"""The products of reviews, numbered in ``products``. Labels and rollups hold the number instead of the name.

A label has the product that its review had when it was read, as it has its day.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import products, review_labels, reviews
from senti_tasks.warehouse.types import ProductName

NO_PRODUCT = 0
"""The product_id of reviews without a product. The first migration creates it."""
LONGEST_NAME = 300
"""Characters of a product that are kept. PostgreSQL indexes at most 2,704 bytes: a longer name would stop the run."""


def name_of(product: ColumnElement[Any]) -> ColumnElement[str | None]:
    """The name of a review's ``product``: as text, because it may be a number in a team's table, and not too long."""
    return sa.func.substr(sa.cast(product, sa.Text), 1, LONGEST_NAME, type_=ProductName)


def record(connection: Connection, names: sa.FromClause) -> None:
    """Numbers the products in ``names``, which has a column ``product``, that have no number yet.

    The caller holds the publication lock.
    """
    unknown = names.outerjoin(products, products.c.product == names.c.product)
    new = sa.select(names.c.product).select_from(unknown)
    new = new.where(names.c.product.is_not(None), products.c.product_id.is_(None)).distinct()
    connection.execute(insert(connection, products).from_select(["product"], new.order_by(names.c.product)))


def number_of() -> ColumnElement[int]:
    """The product_id of a row that was joined to ``products`` by an outer join."""
    return sa.func.coalesce(products.c.product_id, NO_PRODUCT)


def refresh(connection: Connection, model_version: str) -> int:
    """Gives each label of a model the present product of its review; returns how many labels got another one.

    A product may change without ``updated_at``, e.g. when the source renames it. The caller holds the publication lock,
    and then rebuilds the rollups. Labels of reviews that are no longer in ``reviews`` keep their product.
    """
    named = sa.select(reviews.c.review_id, name_of(reviews.c.product).label("product")).subquery("named")
    record(connection, named)
    known = named.outerjoin(products, products.c.product == named.c.product)
    present = sa.select(named.c.review_id, number_of().label("product_id")).select_from(known).subquery("present")
    moved = sa.and_(
        review_labels.c.model_version == model_version,
        review_labels.c.review_id == present.c.review_id,
        review_labels.c.product_id != present.c.product_id,
    )
    return connection.execute(sa.update(review_labels).where(moved).values(product_id=present.c.product_id)).rowcount
