"""The column types that SQLite and PostgreSQL do not share."""

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from senti_tasks.errors import ConfigError


class UTCDateTime(TypeDecorator[datetime]):
    """A timestamp. Aware in Python always; ``timestamptz`` on PostgreSQL, ISO text in UTC on SQLite, which sorts."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with a zone, found {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ReviewText(TypeDecorator[str]):
    """A review's text, also where a program wrote its bytes (SQLite keeps them as a BLOB in a column of texts)."""

    impl = sa.Text
    cache_ok = True

    def process_result_value(self, value: str | bytes | None, dialect: Dialect) -> str | None:
        return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


class ReviewId(TypeDecorator[Any]):
    """A review's key, passed through as it is: the column's real type was fixed by the first migration."""

    impl = sa.types.NullType
    cache_ok = True


def review_id_column_type(name: str) -> TypeEngine[Any]:
    """The type a migration gives to ``review_id`` columns for ``SENTI_REVIEW_ID_TYPE``."""
    types: dict[str, TypeEngine[Any]] = {
        "bigint": sa.BigInteger().with_variant(sa.Integer(), "sqlite"),  # INTEGER is SQLite's row id
        "text": sa.Text(),
        "uuid": sa.Uuid().with_variant(sa.Text(), "sqlite"),
    }
    return types[name]


def review_id_value(spelling: str, name: str) -> int | str:
    """``spelling`` as a key of the type ``name``. Raises ``ValueError`` with what was expected."""
    if name == "bigint":
        if not re.fullmatch(r"[+-]?[0-9]{1,19}", spelling):
            raise ValueError(f"id {spelling[:40]!r} is not a whole number of 64 bits (SENTI_REVIEW_ID_TYPE is bigint)")
        number = int(spelling)
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"id {spelling[:40]!r} does not fit into 64 bits (SENTI_REVIEW_ID_TYPE is bigint)")
        return number
    if name == "uuid":
        try:
            return str(uuid.UUID(spelling))
        except ValueError:
            raise ValueError(f"id {spelling[:40]!r} is not a UUID (SENTI_REVIEW_ID_TYPE is uuid)") from None
    if name == "text":
        return spelling
    raise ConfigError(f"SENTI_REVIEW_ID_TYPE must be bigint, text or uuid, found {name!r}")


ROWS_PER_SOURCE = 1_000_000_000


def review_id_of_row(source_id: int, source: str, number: int, name: str) -> int | str:
    """The key of row ``number`` of a file without an id column: (source, row number) in the type ``name``.

    bigint: 3000000042 is row 42 of source 3; text: ``train.tsv:42``; uuid: version 5 of that text.
    """
    if name == "bigint":
        return source_id * ROWS_PER_SOURCE + number
    spelling = f"{source}:{number}"
    return spelling if name == "text" else str(uuid.uuid5(uuid.NAMESPACE_URL, f"senti:{spelling}"))
