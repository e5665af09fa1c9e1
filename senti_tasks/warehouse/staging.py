"""Appends answers to ``staged_labels`` as fast as the database takes them: binary COPY on PostgreSQL, one prepared
INSERT on SQLite."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.schema import staged_labels

COLUMNS = (
    *("review_id", "text_digest", "label", "score", "confidence", "truncated", "local_day", "scored_at", "reason"),
)
"""Of an answer, in the order in which they are written, after run_id, shard and attempt."""
TYPES = ("int8", "int2", "int4", "", "varchar", "int2", "float8", "float8", "bool", "date", "timestamptz", "text")
KEY_TYPES: dict[type, str] = {int: "int8", uuid.UUID: "uuid", str: "text"}


def append(connection: Connection, keys: tuple[int, int, int], rows: Sequence[dict[str, Any]]) -> None:
    """Appends ``rows``, each with the ``COLUMNS`` of an answer, under run_id, shard and attempt, all or none."""
    if not rows:
        return
    records = ((*keys, *(row[name] for name in COLUMNS)) for row in rows)
    if connection.dialect.name == "postgresql":
        _copy(connection, keys[0], KEY_TYPES[type(rows[0]["review_id"])], records)
    else:
        _insert(connection, records)


def _copy(connection: Connection, run_id: int, key_type: str, records: Any) -> None:
    # Into the run's partition itself: nothing is routed, and no lock on the whole is taken.
    quote = connection.dialect.identifier_preparer.quote
    table = quote(partitions.name_of(staged_labels, run_id))
    columns = ", ".join(("run_id", "shard", "attempt", *COLUMNS))
    statement = f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)"
    driver: Any = connection.connection.driver_connection
    import psycopg  # SQLite needs no driver of PostgreSQL

    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([kind or key_type for kind in TYPES])
            for record in records:
                copy.write_row(record)
    except psycopg.Error as error:  # as SQLAlchemy, which knows no COPY, would raise it
        raise sa.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error, connection_invalidated=driver.closed, dialect=connection.dialect
        ) from error


def _insert(connection: Connection, records: Any) -> None:
    statement = sa.insert(staged_labels).compile(
        dialect=connection.dialect, column_keys=["run_id", "shard", "attempt", *COLUMNS]
    )
    named = statement.positiontup or []
    order = {name: position for position, name in enumerate(("run_id", "shard", "attempt", *COLUMNS))}
    day, moment = order["local_day"], order["scored_at"]
    stored = []
    for record in records:
        values = list(record)
        values[day], values[moment] = values[day].isoformat(), _moment(values[moment])
        stored.append(tuple(values[order[name]] for name in named))
    connection.exec_driver_sql(str(statement), stored)


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")  # as SQLAlchemy stores it
