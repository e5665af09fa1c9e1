"""The connection to the warehouse: how it is opened, and the two kinds of transaction."""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects import postgresql, sqlite

from senti_tasks.errors import LockedError, WarehouseError

BUSY_TIMEOUT_MS = 120_000
"""How long a transaction waits for SQLite's write lock: longer than somebody who writes by hand may take."""


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
    event.listen(engine, "do_connect", _open_existing)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _sqlite_file(engine: Engine) -> Path | None:
    """The file of a SQLite warehouse; ``None`` for one in memory, and for PostgreSQL."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or name in (None, "", ":memory:"):
        return None
    return Path(str(name))


def _open_existing(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> None:
    # SQLite would create a file for a mistyped name; ``make_room`` alone may.
    if arguments[0] != ":memory:":
        arguments[0] = f"{Path(arguments[0]).absolute().as_uri()}?mode=rw"
        options["uri"] = True


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions on its own, and too late
    # SQLite keeps any bytes as text. Decoded strictly, one such review would end the statement and the run; decoded
    # like this, it gets a reason from ``text.defect``.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "foreign_keys = ON",
        "synchronous = NORMAL",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another one wrote in between; one that takes
    # the write lock at its start waits instead.
    options = connection.get_execution_options()
    if options.get("foreign_keys") is False:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    read_only = options.get("postgresql_readonly")
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
def migrating(engine: Engine) -> Iterator[Connection]:
    """A writing transaction in which SQLite lets a table be made anew that others refer to, as it must be to change a
    constraint (https://sqlite.org/lang_altertable.html, 7); at its end every reference holds, or nothing was changed.
    """
    with _translated(engine), engine.execution_options(foreign_keys=False).begin() as connection:
        yield connection
        if engine.dialect.name == "sqlite" and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
            raise WarehouseError(f"the migration would leave references to nothing: {broken[:5]}; nothing was changed")


def tidy(engine: Engine, tables: Iterable[str]) -> None:
    """Gives back the room of deleted rows in ``tables`` and counts rows anew for the planner, beside whoever reads."""
    with _translated(engine), closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()  # outside of any transaction, which SQLAlchemy would begin
        if engine.dialect.name == "sqlite":
            cursor.execute("PRAGMA optimize")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        driver: Any = connection.driver_connection
        driver.autocommit = True
        for table in tables:
            cursor.execute(f"VACUUM (ANALYZE, SKIP_LOCKED) {engine.dialect.identifier_preparer.quote(table)}")


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    """Database failures that a person can mend become a ``WarehouseError`` that says how; the others are bugs."""
    try:
        yield
    except sa.exc.DatabaseError as error:
        if (mendable := _mendable(engine, error)) is None:
            raise
        raise mendable from error


def _mendable(engine: Engine, error: sa.exc.DatabaseError) -> WarehouseError | None:
    where = engine.url.render_as_string(hide_password=True)
    cause = (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
    state = getattr(error.orig, "sqlstate", None)  # of PostgreSQL, whose messages may be in any language
    extended_code = getattr(error.orig, "sqlite_errorcode", None) or 0
    code = extended_code & 0xFF  # the primary one
    if state == "42P01" or "no such table" in cause:
        return WarehouseError(f"the warehouse at {where} is not migrated ({cause}): run `senti migrate`")
    if code == sqlite3.SQLITE_CANTOPEN and not os.path.lexists(str(engine.url.database)):
        return WarehouseError(f"there is no warehouse at {where} yet: run `senti migrate`")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return WarehouseError(
            f"cannot open or write the warehouse at {where} ({cause}): it must be a file that this user may write, "
            "in a folder that this user may write"
        )
    if state == "42501":
        return WarehouseError(
            f"the user that SENTI_DATABASE_URL names may not do this in the warehouse at {where} ({cause}): "
            "have its owner GRANT it, or name another user"
        )
    if state in ("55P03", "40P01") or code == sqlite3.SQLITE_BUSY:  # no lock within its timeout, or a deadlock
        return LockedError(
            f"another process held a lock in the warehouse at {where} for too long ({cause}): nothing was changed; "
            "run this again when it is done"
        )
    if state == "53100" or code == sqlite3.SQLITE_FULL or extended_code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return WarehouseError(
            f"there is no room left on the disk of the warehouse at {where} ({cause}): nothing of this transaction was "
            "kept; make room there and run this again"
        )
    if error.connection_invalidated or _is_unreachable(error, code):
        return WarehouseError(
            f"cannot reach the warehouse at {where} ({cause}): is SENTI_DATABASE_URL right, and the server running?"
        )
    return None


def _is_unreachable(error: sa.exc.DatabaseError, code: int) -> bool:
    # A failed COMMIT has no statement either, but an integrity error is not about the connection.
    return code == sqlite3.SQLITE_NOTADB or (isinstance(error, sa.exc.OperationalError) and error.statement is None)


def make_room(engine: Engine) -> None:
    """Creates an empty SQLite file and its folder unless they are there: only ``senti migrate`` may.

    Raises ``WarehouseError`` where they cannot be made.
    """
    if (file := _sqlite_file(engine)) is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.touch()
    except OSError as error:
        raise WarehouseError(
            f"cannot make the warehouse {file} ({error.strerror}: {error.filename}): SENTI_DATABASE_URL must name a "
            "file in a folder that this user may write"
        ) from error


def insert(connection: Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """``INSERT`` of the connected dialect, which knows ``ON CONFLICT``; both spell it the same."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
