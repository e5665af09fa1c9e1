"""The connection to the warehouse: how it is opened, and the two kinds of transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects import postgresql, sqlite

from senti_tasks.errors import WarehouseError

BUSY_TIMEOUT_MS = 60_000


def connect(url: str) -> Engine:
    """An engine for the warehouse at ``url``; nothing is opened yet. Raises ``WarehouseError`` on an unusable URL.

    No connection outlives its transaction: a job holds none while a model computes, and pooling is PgBouncer's work.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise WarehouseError(
            f"SENTI_DATABASE_URL is no database URL: {url!r}; expected sqlite:///FILE or "
            "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
        ) from None
    if parsed.get_backend_name() == "postgresql":
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
    if parsed.get_backend_name() != "sqlite":
        raise WarehouseError(f"the warehouse runs on SQLite and PostgreSQL, found {parsed.get_backend_name()!r}")
    engine = sa.create_engine(parsed, poolclass=sa.NullPool)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions on its own, and too late
    for pragma in (
        "journal_mode = WAL",
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "foreign_keys = ON",
        "synchronous = NORMAL",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another one wrote in between; one that takes
    # the write lock at its start waits instead.
    read_only = connection.get_execution_options().get("postgresql_readonly")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A read-only transaction: one consistent view of the warehouse on SQLite, of each statement on PostgreSQL."""
    with _translated(engine), engine.execution_options(postgresql_readonly=True).begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that commits when the block ends and leaves nothing behind when it raises."""
    with _translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    """Database failures that a person can mend become a ``WarehouseError`` that says how."""
    try:
        yield
    except sa.exc.DatabaseError as error:
        where = engine.url.render_as_string(hide_password=True)
        cause = str(error.orig).strip().splitlines()[0]
        if "no such table" in cause or ("relation" in cause and "does not exist" in cause):
            raise WarehouseError(f"the warehouse at {where} is not migrated ({cause}): run `senti migrate`") from error
        if "unable to open database file" in cause:
            raise WarehouseError(f"there is no warehouse at {where} yet: run `senti migrate`") from error
        if error.connection_invalidated or _is_unreachable(error, cause):
            raise WarehouseError(
                f"cannot reach the warehouse at {where} ({cause}): is SENTI_DATABASE_URL right, and the server running?"
            ) from error
        raise


def _is_unreachable(error: sa.exc.DBAPIError, cause: str) -> bool:
    return error.statement is None and "locked" not in cause


def make_room(engine: Engine) -> None:
    """Creates the folder of a SQLite file, so that the first ``senti migrate`` finds a place to write."""
    if engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:"):
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)


def insert(connection: Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """``INSERT`` of the connected dialect, which knows ``ON CONFLICT``; both spell it the same."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
