"""Sums of labels by model, day and label, updated with every change of ``review_labels``. The daily views read them."""

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import label_rollups, review_labels

KEYS = ("model_version", "local_day", "label")
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
    # Without a WHERE, SQLite would parse the ON of ON CONFLICT as part of a join.
    changes = sa.select(*keys, *sums).where(sa.true()).group_by(*keys)
    statement = insert(connection, label_rollups).from_select([*KEYS, *SUMS], changes)
    added = {name: label_rollups.c[name] + statement.excluded[name] for name in SUMS}
    connection.execute(statement.on_conflict_do_update(index_elements=list(KEYS), set_=added))
