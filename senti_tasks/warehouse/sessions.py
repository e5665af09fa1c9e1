"""Prepares each connection to the warehouse: sets what the code relies on, and refuses a server that cannot serve it.

On PostgreSQL an administrator can give a database or a role other defaults, and PgBouncer in transaction mode gives
each transaction another connection. So the settings hold for one transaction, which sets them when it begins.
"""

import hashlib
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from senti_tasks.errors import WarehouseError
from senti_tasks.text import text_hash
from senti_tasks.warehouse.types import SQLITE_FUNCTIONS

BUSY_TIMEOUT_MS = 120_000
"""How long a transaction waits for SQLite's write lock, in milliseconds: somebody who writes by hand may hold it."""
OLDEST_POSTGRESQL = 15
OLDEST_SQLITE = (3, 35)
"""The oldest versions that have everything the statements use: the roles need PostgreSQL 17 (docs/roles.md)."""

POSTGRESQL_OPTIONS = {
    # psycopg prepares a statement on the server after its fifth use. PgBouncer in transaction mode gives each
    # transaction any server connection, on which such a statement may not exist. None means never to prepare one.
    "prepare_threshold": None,
    # Sent when the connection is opened; it comes before the defaults of the role, and PgBouncer accepts it.
    "client_encoding": "utf8",
}
# In one statement, because each one is a round trip to the server.
_SET_FOR_TRANSACTION = (
    "SELECT set_config('TimeZone', 'UTC', true), set_config('DateStyle', 'ISO, YMD', true), "
    "set_config('standard_conforming_strings', 'on', true), set_config('extra_float_digits', '1', true)"
)


def network_limits(patience_s: int | None) -> dict[str, int]:
    """Arguments of a connection to PostgreSQL by which it gives up after ``patience_s`` seconds; empty for ``None``.

    A server that vanishes while it works at a statement is noticed by its missing answers to probes (keepalives).
    """
    if patience_s is None:
        return {}
    probes = {"keepalives_idle": patience_s, "keepalives_interval": 1, "keepalives_count": patience_s}
    return {"connect_timeout": patience_s, "tcp_user_timeout": 1000 * patience_s, **probes}


def prepare(engine: Engine, patience_s: int | None = None) -> None:
    """Has ``engine`` prepare every connection and transaction that it opens. ``patience_s`` is that of ``connect``."""
    if engine.dialect.name == "sqlite":
        _require_sqlite(sqlite3.sqlite_version_info)
        event.listen(engine, "do_connect", _open_existing)
        event.listen(engine, "connect", _configure_sqlite)
        if patience_s is not None:
            event.listen(engine, "connect", partial(_limit_sqlite, patience_s))
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _check_server)
        event.listen(engine, "connect", _read_any_timestamp)
        event.listen(engine, "begin", _set_for_transaction)
        if patience_s is not None:
            event.listen(engine, "begin", partial(_limit_locks, patience_s))


def _limit_sqlite(patience_s: int, connection: Any, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout = {1000 * patience_s}")


def _limit_locks(patience_s: int, connection: Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{patience_s}s'")


def _check_server(connection: Any, _record: object) -> None:
    """Raises ``WarehouseError`` if the server is too old, or if the database cannot hold every review."""
    try:
        require_postgresql(connection.info.server_version)
        require_utf8(connection.info.dbname, connection.info.parameter_status("server_encoding"))
    except WarehouseError:
        connection.close()
        raise


def require_postgresql(version: int) -> None:
    """Raises ``WarehouseError`` if ``version`` (150004 is 15.4) is too old."""
    if version < OLDEST_POSTGRESQL * 10_000:
        raise WarehouseError(
            f"the server runs PostgreSQL {version // 10_000}, and the warehouse needs {OLDEST_POSTGRESQL} or newer: "
            "upgrade it, or name another server in SENTI_DATABASE_URL"
        )


def require_utf8(name: str, encoding: str | None) -> None:
    """Raises ``WarehouseError`` if the ``encoding`` of the database ``name`` cannot hold every review. ``None`` is not
    known: a connection pooler did not pass it on."""
    if encoding not in (None, "UTF8"):
        raise WarehouseError(
            f"the database {name!r} has the encoding {encoding}, which cannot hold every review (Chinese and emoji): "
            "make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and name it in SENTI_DATABASE_URL"
        )


def _require_sqlite(version: tuple[int, ...]) -> None:
    if version < OLDEST_SQLITE:
        raise WarehouseError(
            f"this Python has SQLite {'.'.join(map(str, version))}, and the warehouse needs "
            f"{'.'.join(map(str, OLDEST_SQLITE))} or newer: use a newer Python, or PostgreSQL"
        )


class _AnyTimestamp:
    """Loads a ``timestamptz``. Where psycopg raises, e.g. for infinity and the year 12000, the value is ``None``."""

    format = 0  # text, as psycopg asks for

    def __init__(self, oid: int, connection: Any = None) -> None:
        import psycopg  # here, because a warehouse in SQLite does not need it

        self._unreadable = psycopg.DataError
        loader: Any = psycopg.adapters.get_loader(oid, psycopg.pq.Format.TEXT)
        self._strict = loader(oid, connection)

    def load(self, stored: Any) -> Any:
        try:
            return self._strict.load(stored)
        except self._unreadable:
            return None


def _read_any_timestamp(connection: Any, _record: object) -> None:
    connection.adapters.register_loader("timestamptz", _AnyTimestamp)


def _set_for_transaction(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    if not driver.autocommit:
        connection.exec_driver_sql(_SET_FOR_TRANSACTION)


def _open_existing(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> None:
    # By default SQLite creates a missing file, also for a mistyped name. Only ``create_file`` may create one.
    if arguments[0] != ":memory:":
        arguments[0] = f"{Path(arguments[0]).absolute().as_uri()}?mode=rw"
        options["uri"] = True


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 must not begin transactions: ``_begin_sqlite`` does
    # SQLite accepts any bytes as text. Strict decoding would fail the statement, and the run, at the first review that
    # is not UTF-8. With surrogateescape such a review gets an error reason from ``text.defect``.
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    connection.create_function("hash_with_seed", 2, _hash_with_seed, deterministic=True)
    connection.create_function("text_hash", 1, _text_hash, deterministic=True)
    for name, function in SQLITE_FUNCTIONS.items():
        connection.create_function(name, 1, function, deterministic=True)
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "foreign_keys = ON",
        "synchronous = NORMAL",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _text_hash(text: bytes | None) -> str | None:
    return None if text is None else text_hash(text.decode("utf-8", "surrogateescape"))


def _hash_with_seed(key: bytes, seed: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/".encode() + key, digest_size=7).digest())


def _begin_sqlite(connection: Connection) -> None:
    # With a plain BEGIN, a transaction that reads first and writes later fails at once if another one wrote in between.
    # BEGIN IMMEDIATE takes the write lock at the start, and waits for it.
    options = connection.get_execution_options()
    if options.get("foreign_keys") is False:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    read_only = options.get("postgresql_readonly")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
