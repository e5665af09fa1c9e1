"""Known texts: rows without an id whose text is stored already under another key."""

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.schema import reviews


def find(connection: Connection, incoming: sa.Table) -> sa.Table:
    """For each row of ``incoming`` that is a stored review under another key, its number and that key, as a temporary
    table.

    Many reviews have the same short text, so the n-th row with a text is the n-th stored review with it that is not the
    review of another row's own key. A row and a review match that state the same product and created_at, then a row
    that states more and a review that states neither, then the reverse. The created_at of a review is not known if it
    equals updated_at: the file had no date, and the time of the import was taken.
    """
    row, review = incoming.c, reviews.c
    own = sa.exists().where(reviews.c.review_id == row.review_id)
    texts = sa.select(row.review_text).where(~own).distinct().subquery("texts")
    date = sa.case((review.created_at == review.updated_at, sa.null()), else_=review.created_at)
    stored = (
        sa.select(review.review_id, review.review_text, review.product, date.label("created_at"))
        .join(texts, texts.c.review_text == review.review_text)
        .where(~sa.exists().where(incoming.c.review_id == review.review_id))
    )
    creation = stored.into("stored", temporary=True)
    connection.execute(creation)
    known = sa.Table(
        *("known", sa.MetaData(), sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False)),
        sa.Column("review_id", incoming.c.review_id.type, unique=True),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )
    known.create(connection)
    stored_rows = creation.table
    states = [("product", "created_at"), (), ()]
    for turn, names in enumerate(states):
        bare = {1: stored_rows, 2: incoming}.get(turn)
        _match(connection, incoming, stored_rows, known, names, bare)
    return known


def _match(
    connection: Connection,
    incoming: sa.Table,
    stored: sa.Table,
    known: sa.Table,
    names: tuple[str, ...],
    bare: sa.Table | None,
) -> None:
    """Adds matches to ``known``, of rows and reviews that are not in it, with the same text and ``names``. Those of the
    table ``bare`` state neither product nor created_at."""

    def numbered(table: sa.Table, key: sa.Column[object], taken: sa.Column[object]) -> sa.Subquery:
        same = [table.c[name] for name in ("review_text", *names)]
        place = sa.func.row_number().over(partition_by=same, order_by=key)
        rows = sa.select(key, *same, place.label("place")).where(key.not_in(sa.select(taken)))
        if table is incoming:
            rows = rows.where(~sa.exists().where(reviews.c.review_id == table.c.review_id))
        if table is bare:
            rows = rows.where(table.c.product.is_(None), table.c.created_at.is_(None))
        return rows.subquery()

    rows = numbered(incoming, incoming.c.number, known.c.number)
    found = numbered(stored, stored.c.review_id, known.c.review_id)
    equal = [rows.c.review_text == found.c.review_text, rows.c.place == found.c.place]
    equal += [rows.c[name].is_not_distinct_from(found.c[name]) for name in names]
    matched = sa.select(rows.c.number, found.c.review_id).join(found, sa.and_(*equal))
    connection.execute(sa.insert(known).from_select(["number", "review_id"], matched))
