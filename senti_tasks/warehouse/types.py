"""Column types that differ between SQLite and PostgreSQL, and the keys of reviews.

Columns of the source tables may hold any value: SQLite checks no types, and the tables may be a team's own. Their types
read every value without an error, so that one review cannot stop a run.
"""

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from senti_tasks.errors import ConfigError, quoted


class UTCDateTime(TypeDecorator[datetime]):
    """A timestamp, timezone-aware in Python: ``timestamptz`` on PostgreSQL, on SQLite ISO text in UTC, which sorts."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"expected a timestamp with a time zone, found {value!r}")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


EARLIEST = datetime(2, 1, 1, tzinfo=UTC)
LATEST = datetime(9998, 12, 31, tzinfo=UTC)
"""Times from ``EARLIEST`` to ``LATEST`` are readable: their day can be computed in every time zone. Earlier and later
ones, such as 9999-12-31 and infinity, stand for a time that is not known."""


class SourceTimestamp(UTCDateTime):
    """A timestamp of a source table, or a copy of one. It is ``None`` in Python if it is not readable."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        return read_timestamp  # not that of DateTime, which raises on SQLite for a value that is no date


def read_timestamp(stored: object) -> datetime | None:
    """``stored``, as the driver returns it, in UTC; ``None`` if it is not readable."""
    if isinstance(stored, str):  # SQLite
        try:
            stored = datetime.fromisoformat(stored)
        except ValueError:
            return None
    if not isinstance(stored, datetime):
        return None
    try:
        found = stored.replace(tzinfo=UTC) if stored.tzinfo is None else stored.astimezone(UTC)
    except OverflowError:
        return None
    return found if EARLIEST <= found <= LATEST else None


class readable(FunctionElement[datetime]):  # noqa: N801 - as SQLAlchemy names functions
    """In SQL: a timestamp of a source table if ``read_timestamp`` can read it, otherwise NULL."""

    type = SourceTimestamp()
    inherit_cache = True


class is_key(FunctionElement[bool]):  # noqa: N801
    """In SQL: whether a review with this key can be labelled. NULL is no key, nor is other text than UTF-8 (SQLite)."""

    type = sa.Boolean()
    inherit_cache = True


@compiles(readable)
def _readable(element: readable, compiler: SQLCompiler, **options: Any) -> str:
    (timestamp,) = element.clauses
    return compiler.process(sa.case((timestamp.between(EARLIEST, LATEST), timestamp)), **options)


@compiles(is_key)
def _is_key(element: is_key, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(sa.and_(*(key.is_not(None) for key in element.clauses)), **options)


# Python's driver raises if it passes text to a function that is not UTF-8, so these functions get its bytes.


@compiles(readable, "sqlite")
def _readable_on_sqlite(element: readable, compiler: SQLCompiler, **options: Any) -> str:
    (timestamp,) = element.clauses
    as_bytes = sa.cast(timestamp, sa.LargeBinary)
    found = sa.case((sa.func.typeof(timestamp) == "text", sa.func.senti_readable(as_bytes)))
    return compiler.process(found, **options)


@compiles(is_key, "sqlite")
def _is_key_on_sqlite(element: is_key, compiler: SQLCompiler, **options: Any) -> str:
    (key,) = element.clauses
    kind, as_bytes = sa.func.typeof(key), sa.cast(key, sa.LargeBinary)
    found = sa.case((kind == "text", sa.func.senti_is_utf8(as_bytes)), (kind == "null", 0), else_=1)
    return compiler.process(found == 1, **options)


def _readable_bytes(stored: bytes) -> str | None:
    found = read_timestamp(stored.decode("utf-8", "replace"))
    return None if found is None else found.replace(tzinfo=None).isoformat(" ", "microseconds")


def _is_utf8(stored: bytes) -> bool:
    try:
        stored.decode()
    except UnicodeDecodeError:
        return False
    return True


SQLITE_FUNCTIONS: dict[str, Callable[[bytes], str | bool | None]] = {
    "senti_readable": _readable_bytes,
    "senti_is_utf8": _is_utf8,
}
"""The functions with one parameter that each connection to SQLite needs for these types."""


class ReviewText(TypeDecorator[str]):
    """A review's text. SQLite also keeps bytes and numbers in a text column: bytes are decoded, numbers spelled."""

    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        return value if value is None else str(value)


class ProductName(TypeDecorator[str]):
    """The name of a product. What is not UTF-8 (SQLite keeps any bytes) becomes U+FFFD: a name can be stored again."""

    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class ReviewId(TypeDecorator[Any]):
    """A review's key, not converted: the first migration chose the column's type by ``SENTI_REVIEW_ID_TYPE``."""

    impl = sa.types.NullType
    cache_ok = True


def review_id_column_type(name: str) -> TypeEngine[Any]:
    """The column type for ``review_id`` where ``SENTI_REVIEW_ID_TYPE`` is ``name``; migrations use it."""
    types: dict[str, TypeEngine[Any]] = {
        "bigint": sa.BigInteger().with_variant(sa.Integer(), "sqlite"),  # only INTEGER uses SQLite's row id
        "text": sa.Text(),
        "uuid": sa.Uuid().with_variant(sa.Text(), "sqlite"),
    }
    return types[name]


def is_review_id(key: object, name: str) -> bool:
    """Whether ``key``, as the database returns it, is a key of the type ``name``. SQLite stores any value as a key."""
    try:
        parse_review_id(str(key), name)
    except ValueError:
        return False
    return not isinstance(key, bytes)


def parse_review_id(spelling: str, name: str) -> int | str:
    """Converts ``spelling`` to a key of the type ``name``. Raises ``ValueError`` if it is no such key."""
    if name == "bigint":
        if not re.fullmatch(r"[+-]?[0-9]{1,19}", spelling) or not -(2**63) <= int(spelling) < 2**63:
            raise ValueError(f"id {quoted(spelling)} is not a whole number of 64 bits (SENTI_REVIEW_ID_TYPE is bigint)")
        return int(spelling)
    if name == "uuid":
        try:
            return str(uuid.UUID(spelling))
        except ValueError:
            raise ValueError(f"id {quoted(spelling)} is not a UUID (SENTI_REVIEW_ID_TYPE is uuid)") from None
    if name == "text":
        return spelling
    raise ConfigError(f"SENTI_REVIEW_ID_TYPE must be bigint, text or uuid, found {name!r}")


ROWS_PER_SOURCE = 1_000_000_000


def review_id_of_row(source_id: int, source: str, number: int, name: str) -> int | str:
    """The key of row ``number`` of a file without an id column, made of source and row number, in the type ``name``.

    bigint: 3000000042 is row 42 of source 3; text: ``train.tsv:42``; uuid: version 5 of ``senti:train.tsv:42``.
    """
    if name == "bigint":
        return source_id * ROWS_PER_SOURCE + number
    spelling = f"{source}:{number}"
    return spelling if name == "text" else str(uuid.uuid5(uuid.NAMESPACE_URL, f"senti:{spelling}"))
