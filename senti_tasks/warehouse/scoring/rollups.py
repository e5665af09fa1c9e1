"""Sums of labels by model, day and label, and by model, product and day, updated with each change of ``review_labels``.

Views by day read ``label_rollups``, and views by product ``product_rollups``, which has almost as many rows as there
are labels if there are many products.
"""

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import label_rollups, model_labels, product_rollups, review_labels

ROLLUPS = (label_rollups, product_rollups)
SUMMED = ("model_version", "product_id", "local_day", "label", "score", "confidence")


def add(connection: Connection, publishing: Table) -> None:
    """Adds the labels that ``publishing`` publishes, and subtracts those of ``review_labels`` that they replace."""
    old, new = review_labels, publishing
    same = sa.and_(old.c.model_version == new.c.model_version, old.c.review_id == new.c.review_id)
    replaced = _entries(old, -1).select_from(new.join(old, same)).where(new.c.replaces)
    _change(connection, sa.union_all(_entries(new, 1).where(new.c.publishes), replaced))


def subtract(connection: Connection, removed: ColumnElement[bool]) -> None:
    """Subtracts the labels of ``review_labels`` that fulfil ``removed``. Call it before they are deleted."""
    _change(connection, _entries(review_labels, -1).where(removed))


def rebuild(connection: Connection, model_version: str) -> None:
    """Computes the sums of a model again from its labels: rounding errors of the sums grow with every run."""
    for rollup in ROLLUPS:
        connection.execute(sa.delete(rollup).where(rollup.c.model_version == model_version))
    _change(connection, _entries(review_labels, 1).where(review_labels.c.model_version == model_version))


def _entries(table: Table, sign: int) -> sa.Select[tuple[object, ...]]:
    """The labels of ``table`` with a ``sign``: 1 if they are added, -1 if they are subtracted."""
    return sa.select(*(table.c[name] for name in SUMMED), sa.literal(sign).label("sign"))


def _change(connection: Connection, entries: sa.SelectBase) -> None:
    for rollup in ROLLUPS:
        connection.execute(_upsert(connection, rollup, entries.subquery("entry")))


def _upsert(connection: Connection, rollup: Table, entries: sa.Subquery) -> sa.Insert:
    entry, keys = entries.c, rollup.primary_key.columns.keys()
    highest = sa.select(model_labels.c.model_version, sa.func.max(model_labels.c.label).label("label"))
    top = highest.group_by(model_labels.c.model_version).subquery("top")
    values = {
        "reviews": entry.sign,
        "positive": sa.case((entry.label == top.c.label, entry.sign), else_=0),
        "negative": sa.case((entry.label == 0, entry.sign), else_=0),
        "score_sum": entry.sign * entry.score,
        "confidence_sum": entry.sign * entry.confidence,
    }
    names = [name for name in values if name in rollup.c]
    sums = [sa.cast(sa.func.sum(values[name]), rollup.c[name].type).label(name) for name in names]
    changes = (
        sa.select(*(entry[key] for key in keys), *sums)
        .select_from(entries.outerjoin(top, top.c.model_version == entry.model_version))
        .where(sa.true())  # without a WHERE, SQLite would parse the ON of ON CONFLICT as part of a join
        .group_by(*(entry[key] for key in keys))
        .order_by(*(entry[key] for key in keys))  # rows that are neighbours in the index are written together
    )
    statement = insert(connection, rollup).from_select([*keys, *names], changes)
    added = {name: rollup.c[name] + statement.excluded[name] for name in names}
    return statement.on_conflict_do_update(index_elements=keys, set_=added)
