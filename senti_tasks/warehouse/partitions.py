"""Partitions of PostgreSQL tables: labels by model, plans and staged rows by run. Dropping one is dropping a table.

On PostgreSQL the functions in ``sql/functions`` create and drop them, because the pipeline's role owns no table. SQLite
has no partitions: creating one does nothing, and dropping one deletes its rows.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from senti_tasks.warehouse.schema import review_labels, run_items, staged_labels

PARTITION_COLUMNS = {review_labels.name: "model_version", run_items.name: "run_id", staged_labels.name: "run_id"}
"""The tables that have partitions, and the column each is partitioned by."""

JOIN_COLUMNS = ("shard", "review_id", "review_updated_at")
"""The columns by which plans and staged rows are joined. The planner needs statistics of no others."""

CHILDREN = sa.text(
    "SELECT child.relname FROM pg_inherits AS line INNER JOIN pg_class AS child ON child.oid = line.inhrelid "
    "WHERE line.inhparent = to_regclass(:parent)"
)
LOCK_TIMEOUT_MS = 5_000
"""How long dropping a partition waits for readers, in milliseconds. Queries that arrive later wait behind it."""


def name_of(table: Table, key: Any) -> str:
    return f"{table.name}_{key}"


def create(connection: Connection, table: Table, key: Any) -> None:
    """Creates the partition of ``table`` for ``key``, unless it exists."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.senti_create_partition(table.name, str(key))))


def analyze(connection: Connection, table: Table, key: Any) -> None:
    """Updates the planner's statistics of a partition at once; autovacuum would do it about a minute later."""
    if connection.dialect.name == "postgresql":
        quote = connection.dialect.identifier_preparer.quote
        columns = ", ".join(quote(column) for column in JOIN_COLUMNS if column in table.c)
        connection.exec_driver_sql(f"ANALYZE {quote(name_of(table, key))} ({columns})")


def drop(connection: Connection, table: Table, key: Any) -> None:
    """Removes every row of ``key``. PostgreSQL waits for readers: raises ``LockedError`` after ``LOCK_TIMEOUT_MS``."""
    if connection.dialect.name != "postgresql":
        connection.execute(sa.delete(table).where(table.c[PARTITION_COLUMNS[table.name]] == key))
    elif name_of(table, key) in _present(connection, table):
        connection.execute(sa.select(sa.func.set_config("lock_timeout", f"{LOCK_TIMEOUT_MS}ms", True)))
        connection.execute(sa.select(sa.func.senti_drop_partition(table.name, str(key))))


def keys(connection: Connection, table: Table) -> set[str]:
    """The keys, as text, that have a partition (PostgreSQL) or rows (SQLite)."""
    if connection.dialect.name == "postgresql":
        return {name.removeprefix(f"{table.name}_") for name in _present(connection, table)}
    stored = sa.select(table.c[PARTITION_COLUMNS[table.name]]).distinct()
    return {str(key) for key in connection.execute(stored).scalars()}


def _present(connection: Connection, table: Table) -> set[str]:
    return set(connection.execute(CHILDREN, {"parent": table.name}).scalars())
