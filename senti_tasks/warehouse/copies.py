"""Copies of a whole warehouse: written to files from one snapshot, and read into an empty warehouse of the same
kind."""

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Table

from senti_tasks.errors import WarehouseError
from senti_tasks.warehouse import database, migrations, partitions
from senti_tasks.warehouse.database import count_rows
from senti_tasks.warehouse.schema import calendar_days, metadata, models, reviews, scoring_runs, warehouse_settings

SETTINGS = ("review_id_type", "reviews_table", "labels", "timezone")
"""What must be the same in the warehouse that takes the copy."""
_OWN = {calendar_days.name, warehouse_settings.name}  # every migrated warehouse has its own
_FILE = "warehouse.db"


def write(engine: Engine, folder: Path) -> dict[str, Any]:
    """Writes every table to files in ``folder``, as they are at one point in time; nobody waits for it.

    Returns database (its kind), revision, settings, tables (each with its number of rows) and partitions. A team's own
    table of reviews is not copied.
    """
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ") if _is_postgresql(engine) else engine
    with database.reading(snapshot) as connection:
        tables = _tables(connection)
        found = {
            "database": engine.dialect.name,
            "revision": migrations.current_revision(connection),
            "settings": {name: migrations.recorded_setting(connection, name) for name in SETTINGS},
            "partitions": {
                table.name: sorted(partitions.keys(connection, table))
                for table in tables
                if table.name in partitions.PARTITION_COLUMNS
            },
            "tables": {table.name: count_rows(connection, table) for table in tables},
        }
        if not _is_postgresql(engine):
            with closing(sqlite3.connect(folder / _FILE)) as target:
                _driver(connection).backup(target)
            return found
        for table in tables:
            with gzip.open(folder / f"{table.name}.copy.gz", "wb", compresslevel=1) as file:
                statement = f"COPY (SELECT {_columns(table)} FROM {table.name}) TO STDOUT"  # noqa: S608  our names
                with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
                    for block in copy:
                        file.write(block)
    return found


def require_empty(engine: Engine, copied: dict[str, Any]) -> None:
    """Raises ``WarehouseError`` unless the warehouse is empty and like the one that was copied (``write``)."""
    with database.reading(engine) as connection:
        here = {name: migrations.recorded_setting(connection, name) for name in SETTINGS}
        problems = [
            f"SENTI_{name.upper()}={value!r} here, {copied['settings'][name]!r} in the backup"
            for name, value in here.items()
            if copied["settings"][name] != value
        ]
        if copied["database"] != engine.dialect.name:
            problems = [f"it is on {engine.dialect.name}, and the backup is of {copied['database']}"]
        elif copied["revision"] != (revision := migrations.current_revision(connection)):
            problems = [f"it is at revision {revision}, and the backup at {copied['revision']}: use that version first"]
        filled = [
            table.name
            for table in (reviews, models, scoring_runs)
            if table in _tables(connection) and count_rows(connection, table)
        ]
    if filled:
        problems.append(f"it has rows in {', '.join(filled)}")
    if problems:
        raise WarehouseError(
            f"a backup is restored into an empty warehouse like its own, and {database.location(engine)} is none: "
            f"{'; '.join(problems)}. Nothing was changed: set SENTI_DATABASE_URL to a new one, and run `senti migrate`"
        )


def read(engine: Engine, folder: Path, copied: dict[str, Any]) -> None:
    """Reads the files of ``write`` into an empty warehouse, in one transaction. Raises as ``require_empty``."""
    require_empty(engine, copied)
    if not _is_postgresql(engine):
        with closing(sqlite3.connect(folder / _FILE)) as source, closing(engine.raw_connection()) as target:
            source.backup(target.driver_connection)  # type: ignore[arg-type]
        return
    with database.writing(engine) as connection:
        tables = [table for table in _tables(connection) if table.name in copied["tables"]]
        for table in reversed(tables):  # rows that a migration made
            connection.execute(sa.delete(table))
        for table in tables:
            for key in copied["partitions"].get(table.name, []):
                partitions.create(connection, table, key)
            statement = f"COPY {table.name} ({_columns(table)}) FROM STDIN"
            with (
                gzip.open(folder / f"{table.name}.copy.gz", "rb") as file,
                _driver(connection).cursor() as cursor,
                cursor.copy(statement) as copy,
            ):
                while block := file.read(1 << 20):
                    copy.write(block)
            if (found := count_rows(connection, table)) != copied["tables"][table.name]:
                raise WarehouseError(f"{table.name} has {found} rows, and the backup {copied['tables'][table.name]}")
            _continue_sequences(connection, table)


def _tables(connection: Connection) -> list[Table]:
    """Those that are copied, each after the ones that it refers to."""
    present = set(sa.inspect(connection).get_table_names())
    return [table for table in metadata.sorted_tables if table.name in present - _OWN]


def _columns(table: Table) -> str:
    return ", ".join(column.name for column in table.columns)


def _continue_sequences(connection: Connection, table: Table) -> None:
    for column in table.primary_key.columns:
        name = connection.scalar(sa.select(sa.func.pg_get_serial_sequence(table.name, column.name)))
        newest = connection.scalar(sa.select(sa.func.max(column))) if name else None
        if newest is not None:
            connection.execute(sa.select(sa.func.setval(name, newest + 1, False)))


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _is_postgresql(engine: Engine) -> bool:
    return engine.dialect.name == "postgresql"


def stored_artifacts(connection: Connection) -> Iterator[tuple[str, str]]:
    """Name and digest of each artifact that a row refers to and that retention has not deleted."""
    for table in metadata.sorted_tables:
        columns = table.c
        if not {"artifact", "digest"} <= set(columns.keys()):
            continue
        rows = sa.select(columns.artifact, columns.digest).where(columns.artifact.is_not(None)).distinct()
        if "retired_at" in columns:
            rows = rows.where(columns.retired_at.is_(None))
        yield from ((row.artifact, row.digest) for row in connection.execute(rows))
