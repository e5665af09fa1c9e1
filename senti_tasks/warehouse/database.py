"""Opens connections and transactions to the warehouse, and reads and writes rows where the two databases differ."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects import postgresql, sqlite

from senti_tasks.errors import LockedError, NoRoomError, RevisionError, UnreachableError, WarehouseError
from senti_tasks.warehouse import sessions

_NO_URL = (
    "SENTI_DATABASE_URL is no database URL: expected sqlite:///FILE or "
    "postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for @, %2F for / and %3A for : in the "
    "password. Its value is not shown here, because it may contain a password"
)


def connect(url: str | sa.URL, *, home: Path = Path(), patience_s: int | None = None) -> Engine:
    """Returns an engine for the warehouse at ``url`` and opens no connection. Raises ``WarehouseError`` on a bad URL.

    The path of a SQLite file is taken relative to ``home``. ``patience_s`` is how long a connection, an answer of the
    network and a lock may take, 2 or more; by default, a job waits for minutes.

    Connections are not pooled: each is closed with its transaction, so that a job holds none while a model computes.
    On PostgreSQL, PgBouncer can pool them.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # ValueError: the port is no number
        raise WarehouseError(_NO_URL) from None
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):  # hosting services write postgres://
        # Row locks and the publication lock rely on READ COMMITTED. It is sent with each BEGIN.
        arguments = {**sessions.POSTGRESQL_OPTIONS, **sessions.network_limits(patience_s)}
        options: dict[str, Any] = {"connect_args": arguments, "isolation_level": "READ COMMITTED"}
        engine = _create_engine(parsed.set(drivername="postgresql+psycopg"), **options)
        event.listen(engine, "handle_error", _remove_values)
    elif backend == "sqlite":
        engine = _create_engine(_placed(parsed, home))
    else:
        raise WarehouseError(f"the warehouse runs on SQLite and PostgreSQL, found {backend!r}")
    sessions.prepare(engine, patience_s)
    return engine


def _placed(url: sa.URL, home: Path) -> sa.URL:
    """The URL of a SQLite file; its path is taken relative to ``home``, and ``~`` is the user's folder."""
    if url.database in (None, "", ":memory:"):
        return url
    try:
        return url.set(database=str(home / Path(str(url.database)).expanduser()))
    except RuntimeError:
        raise WarehouseError(
            f"SENTI_DATABASE_URL names the file {url.database}, and there is no such user: write the whole path"
        ) from None


def _create_engine(url: sa.URL, **options: Any) -> Engine:
    try:
        # Errors end up in logs, and parameters are reviews: they are hidden.
        return sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True, **options)
    except sa.exc.ArgumentError:  # the parameter "port" is no number
        raise WarehouseError(_NO_URL) from None


def location(engine: Engine) -> str:
    """The URL of the warehouse without its passwords, for messages."""
    return engine.url.difference_update_query(["password", "sslpassword"]).render_as_string(hide_password=True)


def _remove_values(context: sa.engine.ExceptionContext) -> None:
    """Reduces the message of a PostgreSQL error to its first part. The others (DETAIL, CONTEXT) quote the row."""
    primary = getattr(getattr(context.original_exception, "diag", None), "message_primary", None)
    if primary is None:  # the server did not answer, so it quoted nothing
        return
    message = str(context.original_exception)
    context.original_exception.args = (primary,)
    if (wrapped := context.sqlalchemy_exception) is not None:
        wrapped.args = tuple(part.replace(message, primary) for part in wrapped.args)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A read-only transaction. On SQLite all its statements see one snapshot; on PostgreSQL each sees its own."""
    with _translated_errors(engine), engine.execution_options(postgresql_readonly=True).begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that commits when the block ends and rolls back when it raises."""
    with _translated_errors(engine), engine.begin() as connection:
        yield connection


@contextmanager
def migrating(engine: Engine) -> Iterator[Connection]:
    """A writing transaction for migrations; SQLite checks foreign keys only at its end.

    To change a constraint, SQLite must recreate the table, also one that others refer to
    (https://sqlite.org/lang_altertable.html, section 7). Raises ``WarehouseError`` if a foreign key is broken.
    """
    with _translated_errors(engine), engine.execution_options(foreign_keys=False).begin() as connection:
        yield connection
        if engine.dialect.name == "sqlite" and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
            raise WarehouseError(
                f"the migration would leave rows with foreign keys to missing rows: {broken[:5]}. Nothing was changed: "
                "correct these rows, then run `senti migrate` again"
            )


def vacuum(engine: Engine, tables: Iterable[str]) -> None:
    """Frees the space of deleted rows and updates the planner's statistics, without blocking readers: of ``tables`` on
    PostgreSQL, of the whole file on SQLite."""
    with _translated_errors(engine), closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()  # VACUUM must run outside a transaction, and SQLAlchemy would begin one
        if engine.dialect.name == "sqlite":
            cursor.execute("PRAGMA optimize")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        driver: Any = connection.driver_connection
        driver.autocommit = True
        for table in tables:
            cursor.execute(f"VACUUM (ANALYZE, SKIP_LOCKED) {engine.dialect.identifier_preparer.quote(table)}")


def remove_remains(engine: Engine, tables: Iterable[str]) -> None:
    """Removes what is left of deleted rows: of ``tables`` on PostgreSQL, where samples of values are in the planner's
    statistics; on SQLite of the whole file, which is rewritten, and of its write-ahead log.

    Raises ``LockedError`` if somebody who reads a SQLite file keeps its log from being emptied.
    """
    if engine.dialect.name != "sqlite":
        vacuum(engine, tables)
        return
    with _translated_errors(engine), closing(engine.raw_connection()) as connection:
        try:
            cursor = connection.cursor()
            # Another program may have changed texts without PRAGMA secure_delete: the former ones are in free space.
            cursor.execute("VACUUM")
            is_busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise sa.exc.DatabaseError("VACUUM", None, error) from error
    if is_busy:
        raise LockedError(
            f"another process reads the warehouse at {location(engine)}: deleted rows are still in the file "
            f"{engine.url.database}-wal; run this again when it is done"
        )


@contextmanager
def _translated_errors(engine: Engine) -> Iterator[None]:
    """Turns database errors that a person can fix into a ``WarehouseError`` with the next step. Other errors pass."""
    try:
        yield
    except sa.exc.DatabaseError as error:
        if (translated := _translate(engine, error)) is None:
            raise
        raise translated from error


_BY_STATE = {
    "25006": "the warehouse at {where} is read-only ({cause}): it is a standby, or somebody has set "
    "default_transaction_read_only, as hosting services do when a disk is full. Name the primary server in "
    "SENTI_DATABASE_URL, or have its administrator end that",
    "3F000": "no schema of the search path exists in the warehouse at {where}, or this user may not use it ({cause}): "
    "create it, or set another search_path for the role (docs/own-tables.md)",
    "42501": "the user that SENTI_DATABASE_URL names may not do this in the warehouse at {where} ({cause}): "
    "have its owner GRANT it, or name another user",
}
"""Messages for PostgreSQL's states (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


def _translate(engine: Engine, error: sa.exc.DatabaseError) -> WarehouseError | None:
    where = location(engine)
    cause = (str(error.orig).strip() or type(error.orig).__name__).splitlines()[0]
    state = getattr(error.orig, "sqlstate", None)  # PostgreSQL's messages may be in any language, its states are not
    extended_code = getattr(error.orig, "sqlite_errorcode", None) or 0
    code = extended_code & 0xFF  # the primary result code
    if state == "42P01" or "no such table" in cause:
        return RevisionError(f"the warehouse at {where} is not migrated ({cause}): run `senti migrate`")
    if code == sqlite3.SQLITE_CANTOPEN and not os.path.lexists(str(engine.url.database)):
        return RevisionError(f"there is no warehouse at {where} yet: run `senti migrate`")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return WarehouseError(
            f"cannot open or write the warehouse at {where} ({cause}): it must be a file that this user may write, "
            "in a folder that this user may write"
        )
    if state in _BY_STATE:
        return WarehouseError(_BY_STATE[state].format(where=where, cause=cause))
    if isinstance(error, sa.exc.IntegrityError) and "run_items" in cause:
        return WarehouseError(
            f"reviews in the warehouse at {where} holds a review_id twice ({cause}): it must be unique, also in a "
            "view; correct the table or the view, then run this again"
        )
    if state in ("55P03", "40P01") or code == sqlite3.SQLITE_BUSY:  # no lock within its timeout, or a deadlock
        return LockedError(
            f"another process held a lock in the warehouse at {where} for too long ({cause}): nothing was changed; "
            "run this again when it is done"
        )
    # A connection that cannot be opened has no state, and PostgreSQL passes on what the system says.
    has_no_room = state == "53100" or "No space left on device" in cause
    if has_no_room or code == sqlite3.SQLITE_FULL or extended_code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return NoRoomError(
            f"there is no room left on the disk of the warehouse at {where} ({cause}): nothing of this transaction was "
            "kept; make room there and run this again"
        )
    # An error without a statement happened while connecting, or at COMMIT. Of the latter, integrity errors are excluded
    # by their class: they are not about the connection.
    while_connecting = isinstance(error, sa.exc.OperationalError) and error.statement is None
    if error.connection_invalidated or code == sqlite3.SQLITE_NOTADB or while_connecting:
        kind = WarehouseError if code == sqlite3.SQLITE_NOTADB else UnreachableError
        return kind(
            f"cannot reach the warehouse at {where} ({cause}): is SENTI_DATABASE_URL right, and the server running?"
        )
    return None


def create_file(engine: Engine) -> None:
    """Creates an empty SQLite file and its folder unless they exist; does nothing for PostgreSQL and ``:memory:``.
    Only ``senti migrate`` calls it. Raises ``WarehouseError`` if they cannot be created."""
    if engine.dialect.name != "sqlite" or engine.url.database in (None, "", ":memory:"):
        return
    file = Path(str(engine.url.database))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.touch()
    except OSError as error:
        raise WarehouseError(
            f"cannot make the warehouse {file} ({error.strerror}: {error.filename}): SENTI_DATABASE_URL must name a "
            "file in a folder that this user may write"
        ) from error


def fetch_all(connection: Connection, statement: sa.Executable) -> list[dict[str, Any]]:
    """The rows of ``statement`` in its order, each as a dictionary by column name."""
    return [dict(row) for row in connection.execute(statement).mappings()]


def fetch_one(connection: Connection, statement: sa.Executable) -> dict[str, Any] | None:
    """The only row of ``statement`` by column name; ``None`` if there is no row. Raises if there are several."""
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else dict(row)


def clock(connection: Connection) -> datetime:
    """The present time by the clock of the database, which all machines share. SQLite has that of this machine."""
    if connection.dialect.name == "postgresql":
        present: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
        return present.astimezone(UTC)
    return datetime.now(UTC)


def count_rows(connection: Connection, rows: sa.FromClause) -> int:
    """How many rows a table or subquery has."""
    return connection.scalar(sa.select(sa.func.count()).select_from(rows)) or 0


def random_order(connection: Connection, key: sa.ColumnElement[Any], seed: int) -> sa.ColumnElement[int]:
    """A number for each ``key``, by which rows are in random order: a hash of the key, as text, and of ``seed``."""
    # random() has no seed in SQLite, and in PostgreSQL its values depend on the plan of the query.
    function = "hashtextextended" if connection.dialect.name == "postgresql" else "hash_with_seed"
    spelling = sa.Text if connection.dialect.name == "postgresql" else sa.LargeBinary
    return sa.Function(function, sa.cast(key, spelling), sa.literal(seed, sa.BigInteger), type_=sa.BigInteger)


def text_hash_of(connection: Connection, text: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """In SQL: ``text.text_hash`` of the column ``text``."""
    if connection.dialect.name == "postgresql":
        digest = sa.func.sha256(sa.func.convert_to(text, "UTF8"))
        return sa.func.left(sa.func.encode(digest, "hex"), 32, type_=sa.Text)
    return sa.func.text_hash(sa.cast(text, sa.LargeBinary), type_=sa.Text)


def insert(connection: Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """The ``INSERT`` of the connected database, which has ``ON CONFLICT``; SQLAlchemy's general one has not."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_missing(
    connection: Connection, table: sa.Table, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> None:
    """Inserts ``rows``, one or several, by column name. A row whose key exists already stays as it is."""
    if rows:
        connection.execute(insert(connection, table).on_conflict_do_nothing(), rows)


def upsert(connection: Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """An ``INSERT`` that replaces every other column of a row whose primary key exists already."""
    statement = insert(connection, table)
    others = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=table.primary_key.columns.keys(), set_=others)
