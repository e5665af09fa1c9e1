"""Column types that differ between SQLite and PostgreSQL, and the keys of reviews."""

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
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


class ReviewText(TypeDecorator[str]):
    """A review's text. A program may have stored bytes, which SQLite keeps as a BLOB in a text column: decoded here."""

    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: str | bytes | None, dialect: Dialect) -> str | None:
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


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
