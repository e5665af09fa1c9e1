"""Queries: the rows that a SQL query of any database gives. The module imports SQLAlchemy.

Nothing is written to the database: the transaction is read-only, and an SQLite file is opened so.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import psycopg
import sqlalchemy as sa
from psycopg.adapt import Loader
from psycopg.types.datetime import DateLoader, TimestampLoader, TimestamptzLoader
from sqlalchemy import URL, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, ResourceClosedError

from senti_tasks.errors import InputFileError
from senti_tasks.intake.readers import encodings
from senti_tasks.intake.tables import Record, Table

_BATCH_ROWS = 1_000


def open_query(url: str, query: str) -> Table:
    """The rows that ``query``, one SELECT, gives in the database at ``url``, in constant memory.

    Each call of ``rows`` runs the query again. Dates that Python cannot represent are their spelling. The lines are the
    numbers of the rows, which need not be the same tomorrow: name an id column. Raises ``InputFileError``, which holds
    neither the password nor a row.
    """
    engine = _engine(url)
    with _results(engine, query) as result:
        header = tuple(result.keys())
    return Table(header, lambda: _records(engine, query), facts=(f"query: {_shown(engine.url)}",))


def source_name(url: str, query: Path) -> str:
    """The source of the rows of ``query``, for later imports."""
    return f"{Path(_parsed(url).database or 'database').name}/{query.name}"


def _records(engine: Engine, query: str) -> Iterator[Record]:
    with _results(engine, query) as result:
        for number, row in enumerate(result, start=1):
            cells = tuple(map(_value, row))
            broken = next((found for cell in cells if isinstance(cell, str) and (found := _broken(cell))), None)
            yield number, f"it holds bytes that are not UTF-8: {broken}" if broken else cells


@contextmanager
def _results(engine: Engine, query: str) -> Iterator[sa.CursorResult[Any]]:
    try:
        with engine.connect() as connection, connection.begin():
            options = {"stream_results": True, "yield_per": _BATCH_ROWS, "no_parameters": True}
            with connection.execution_options(**options).exec_driver_sql(query.strip().rstrip(";")) as result:
                if not result.returns_rows:
                    raise InputFileError("the query gives no rows: expected one SELECT")
                yield result
    except ResourceClosedError:
        raise InputFileError("the query gives no rows: expected one SELECT") from None
    except DBAPIError as error:  # not chained: what a database says can quote a row
        first_line = str(error.orig).strip().partition("\n")[0][:200]
        raise InputFileError(f"{_shown(engine.url)} does not answer the query: {first_line}") from None


def _engine(url: str) -> Engine:
    parsed = _parsed(url)
    try:
        if parsed.get_backend_name() == "sqlite":
            return sa.create_engine("sqlite://", creator=lambda: _open_file(parsed), poolclass=sa.NullPool)
        options: dict[str, Any] = {}
        if parsed.get_backend_name() == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
            options = {
                "connect_args": {"client_encoding": "utf8", "connect_timeout": 10},
                "execution_options": {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"},
            }
        engine = sa.create_engine(parsed, poolclass=sa.NullPool, **options)
    except (NoSuchModuleError, ImportError) as error:
        raise InputFileError(
            f"the driver of {parsed.drivername} is not installed ({error}): install it, or export the rows as a file"
        ) from error
    if options:
        sa.event.listen(engine, "connect", _read_any_date)
    return engine


def _parsed(url: str) -> URL:
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):  # not chained: the message holds the URL with its password
        raise InputFileError(
            "the database has no URL that can be read: expected postgresql://USER:PASSWORD@HOST/DATABASE or "
            "sqlite:///FILE"
        ) from None
    return parsed.set(drivername="postgresql") if parsed.drivername == "postgres" else parsed


def _open_file(url: URL) -> sqlite3.Connection:
    path = Path(url.database or "").expanduser()
    if not path.is_file():
        raise InputFileError(f"{path} is no file: expected an SQLite database")
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
    connection.text_factory = lambda raw: raw.decode("utf-8", encodings.BROKEN)
    return connection


def _read_any_date(connection: Any, _record: object) -> None:
    for name, loader in (("date", _DateLoader), ("timestamp", _TimestampLoader), ("timestamptz", _TimestamptzLoader)):
        connection.adapters.register_loader(name, loader)


class _AnyDate(Loader):
    """psycopg raises for a date before year 1 or after 9999, and for infinity, and the query would end there."""

    def load(self, data: Any) -> object:
        try:
            return super().load(data)  # type: ignore[safe-super]  # of the other base class
        except psycopg.DataError:
            return bytes(data).decode()


class _DateLoader(_AnyDate, DateLoader):  # type: ignore[misc]  # load may return text
    pass


class _TimestampLoader(_AnyDate, TimestampLoader):  # type: ignore[misc]
    pass


class _TimestamptzLoader(_AnyDate, TimestamptzLoader):  # type: ignore[misc]
    pass


def _value(value: object) -> object:
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case memoryview() | bytes() | bytearray():
            return bytes(value).decode("utf-8", encodings.BROKEN)
        case UUID():
            return str(value)
    return value


def _broken(cell: str) -> str | None:
    return None if cell.isascii() else encodings.broken_bytes(cell)


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)
