"""Sums of labels by model, day and label, kept with every change of ``review_labels``: what daily views add up."""

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import label_rollups, review_labels

KEYS = ("model_version", "local_day", "label")
SUMS = ("reviews", "score_sum", "confidence_sum")


def add(connection: Connection, publishing: Table) -> None:
    """Counts the labels of ``publishing``, and no longer those that they are about to replace."""
    old, new = review_labels, publishing
    same = sa.and_(old.c.model_version == new.c.model_version, old.c.review_id == new.c.review_id)
    replaced = sa.select(*_entries(old, -1)).select_from(new.join(old, same)).where(new.c.replaces)
    _change(connection, sa.union_all(sa.select(*_entries(new, 1)).where(new.c.stands), replaced))


def subtract(connection: Connection, removed: ColumnElement[bool]) -> None:
    """No longer counts the labels of ``review_labels`` that fulfil ``removed``: they are about to be deleted."""
    _change(connection, sa.select(*_entries(review_labels, -1)).where(removed))


def rebuild(connection: Connection, model_version: str) -> None:
    """Adds up a model's labels anew: sums of floats drift a little with every run."""
    connection.execute(sa.delete(label_rollups).where(label_rollups.c.model_version == model_version))
    mine = review_labels.c.model_version == model_version
    _change(connection, sa.select(*_entries(review_labels, 1)).where(mine))


def _entries(table: Table, sign: int) -> list[ColumnElement[object]]:
    sums = (sa.literal(sign), sign * table.c.score, sign * table.c.confidence)
    named = [column.label(name) for column, name in zip(sums, SUMS, strict=True)]
    return [*(table.c[name] for name in KEYS), *named]


def _change(connection: Connection, entries: sa.SelectBase) -> None:
    entry = entries.subquery("entry").c
    sums = [sa.cast(sa.func.sum(entry[name]), label_rollups.c[name].type).label(name) for name in SUMS]
    keys = [entry[name] for name in KEYS]
    # SQLite takes the ON of ON CONFLICT for one of a join, unless there is a WHERE.
    changes = sa.select(*keys, *sums).where(sa.true()).group_by(*keys)
    statement = insert(connection, label_rollups).from_select([*KEYS, *SUMS], changes)
    added = {name: label_rollups.c[name] + statement.excluded[name] for name in SUMS}
    connection.execute(statement.on_conflict_do_update(index_elements=list(KEYS), set_=added))
