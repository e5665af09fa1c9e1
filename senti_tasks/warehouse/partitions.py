"""Tables in parts, on PostgreSQL: labels by model and staged rows by run, so that dropping a part is dropping a table.

On SQLite there are no partitions: making one does nothing, and dropping one deletes its rows.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from senti_tasks.warehouse.schema import review_labels, run_items, staged_labels

KEYS = {review_labels.name: "model_version", run_items.name: "run_id", staged_labels.name: "run_id"}
"""The tables that have partitions, and the column each is partitioned by."""

JOINED = ("shard", "review_id", "review_updated_at")
"""What plans and staged rows are joined by: statistics of the other columns would help nobody."""

CHILDREN = sa.text(
    "SELECT child.relname FROM pg_inherits AS line INNER JOIN pg_class AS child ON child.oid = line.inhrelid "
    "WHERE line.inhparent = to_regclass(:parent)"
)
OWNER = sa.text(
    "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass(:parent) "
    "AND pg_get_userbyid(relowner) <> current_user"
)
PATIENCE_MS = 5_000
"""How long dropping waits for whoever reads: others queue behind it."""


def name_of(table: Table, key: Any) -> str:
    return f"{table.name}_{key}"


def make(connection: Connection, table: Table, key: Any) -> None:
    """The partition of ``table`` for ``key``, unless it is there."""
    if connection.dialect.name != "postgresql" or name_of(table, key) in _present(connection, table):
        return
    quote = connection.dialect.identifier_preparer.quote
    partition, parent = quote(name_of(table, key)), quote(table.name)
    bound = sa.literal(key).compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    # Made aside and attached: creating it in place would lock readers out of the whole table.
    connection.exec_driver_sql(f"CREATE TABLE IF NOT EXISTS {partition} (LIKE {parent} INCLUDING ALL)")
    if owner := connection.scalar(OWNER, {"parent": table.name}):  # a role of several people: each may fill and drop it
        connection.exec_driver_sql(f"ALTER TABLE {partition} OWNER TO {quote(owner)}")
    connection.exec_driver_sql(f"ALTER TABLE {parent} ATTACH PARTITION {partition} FOR VALUES IN ({bound})")


def analyze(connection: Connection, table: Table, key: Any) -> None:
    """Tells the planner how many rows there are: autovacuum comes a minute late for what was written just now."""
    if connection.dialect.name == "postgresql":
        quote = connection.dialect.identifier_preparer.quote
        columns = ", ".join(quote(column) for column in JOINED if column in table.c)
        connection.exec_driver_sql(f"ANALYZE {quote(name_of(table, key))} ({columns})")


def drop(connection: Connection, table: Table, key: Any) -> None:
    """Removes every row of ``key``. Raises ``LockedError`` where somebody reads the table for too long (PostgreSQL)."""
    if connection.dialect.name != "postgresql":
        connection.execute(sa.delete(table).where(table.c[KEYS[table.name]] == key))
    elif name_of(table, key) in _present(connection, table):
        connection.execute(sa.select(sa.func.set_config("lock_timeout", f"{PATIENCE_MS}ms", True)))
        connection.exec_driver_sql(f"DROP TABLE {connection.dialect.identifier_preparer.quote(name_of(table, key))}")


def keys(connection: Connection, table: Table) -> set[str]:
    """The keys that have rows or a partition, as text."""
    if connection.dialect.name == "postgresql":
        return {name.removeprefix(f"{table.name}_") for name in _present(connection, table)}
    return {str(key) for key in connection.execute(sa.select(table.c[KEYS[table.name]]).distinct()).scalars()}


def _present(connection: Connection, table: Table) -> set[str]:
    return set(connection.execute(CHILDREN, {"parent": table.name}).scalars())
