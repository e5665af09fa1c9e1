"""Sums of labels by model, day and label, and by product too, updated with every change of ``review_labels``.

Views by day read ``label_rollups``, and views by product ``product_rollups``. One table would do for few products; with
many, it has almost as many rows as there are labels.
"""

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import label_rollups, product_rollups, review_labels

KEYS = tuple(product_rollups.primary_key.columns.keys())
SUMS = ("reviews", "score_sum", "confidence_sum")


def add(connection: Connection, publishing: Table) -> None:
    """Adds the labels that ``publishing`` publishes, and subtracts those of ``review_labels`` that they replace."""
    old, new = review_labels, publishing
    same = sa.and_(old.c.model_version == new.c.model_version, old.c.review_id == new.c.review_id)
    replaced = sa.select(*_entries(old, -1)).select_from(new.join(old, same)).where(new.c.replaces)
    _change(connection, sa.union_all(sa.select(*_entries(new, 1)).where(new.c.publishes), replaced))


def subtract(connection: Connection, removed: ColumnElement[bool]) -> None:
    """Subtracts the labels of ``review_labels`` that fulfil ``removed``. Call it before they are deleted."""
    _change(connection, sa.select(*_entries(review_labels, -1)).where(removed))


def rebuild(connection: Connection, model_version: str) -> None:
    """Computes the sums of a model again from its labels: rounding errors of the sums grow with every run."""
    for rollup in (label_rollups, product_rollups):
        connection.execute(sa.delete(rollup).where(rollup.c.model_version == model_version))
    mine = review_labels.c.model_version == model_version
    _change(connection, sa.select(*_entries(review_labels, 1)).where(mine))


def _entries(table: Table, sign: int) -> list[ColumnElement[object]]:
    sums = (sa.literal(sign), sign * table.c.score, sign * table.c.confidence)
    named = [column.label(name) for column, name in zip(sums, SUMS, strict=True)]
    return [*(table.c[name] for name in KEYS), *named]


def _change(connection: Connection, entries: sa.SelectBase) -> None:
    for rollup in (label_rollups, product_rollups):
        connection.execute(_upsert(connection, rollup, entries.subquery("entry")))


def _upsert(connection: Connection, rollup: Table, entries: sa.Subquery) -> sa.Insert:
    names = rollup.primary_key.columns.keys()
    sums = [sa.cast(sa.func.sum(entries.c[name]), rollup.c[name].type).label(name) for name in SUMS]
    keys = [entries.c[name] for name in names]
    # Without a WHERE, SQLite would parse the ON of ON CONFLICT as part of a join. In order of the key, rows that are
    # neighbours in the index are written together.
    changes = sa.select(*keys, *sums).where(sa.true()).group_by(*keys).order_by(*keys)
    statement = insert(connection, rollup).from_select([*names, *SUMS], changes)
    added = {name: rollup.c[name] + statement.excluded[name] for name in SUMS}
    return statement.on_conflict_do_update(index_elements=names, set_=added)
