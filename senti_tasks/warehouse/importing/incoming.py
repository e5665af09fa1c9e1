"""Incoming rows: those of one import, in a temporary table, so that memory does not grow with their number."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Column, Connection

from senti_tasks.warehouse.database import count_rows
from senti_tasks.warehouse.schema.metadata import TextHash
from senti_tasks.warehouse.schema.source import Attributes
from senti_tasks.warehouse.types import UTCDateTime, review_id_column_type

REFUSALS_SHOWN = 50
_CHUNK_ROWS = 5_000


class ImportedRow(NamedTuple):
    """A review as read from a source. Fields after ``review_id`` are ``None`` if the source does not state them."""

    number: int
    """Number of the row in its source, from 1."""
    line: int
    """The line in which it starts, for messages."""
    review_id: int | str
    text: str | None = None
    text_hash: str | None = None
    """Of ``text``; needed if there is a label."""
    label: int | None = None
    product: str | None = None
    created_at: datetime | None = None
    attributes: str | None = None
    """A JSON object; null removes an attribute."""
    clears_product: bool = False


@dataclass
class ImportCounts:
    """Counts of a source's rows. Each row counts as exactly one of imported, already there, updated and refused."""

    rows: int = 0
    imported: int = 0
    """Reviews that are new; in an import of annotations, labels."""
    already_there: int = 0
    updated: int = 0
    refused: int = 0
    found_by_text: int = 0
    """Of those already there and updated: rows without an id whose text is there under another key."""
    labelled: int = 0
    """Annotations written, in addition to the four counts."""
    changed: Counter[str] = field(default_factory=Counter)
    """Of those updated: the number of changes by field; an attribute is ``attributes.NAME``."""
    refusals: list[dict[str, Any]] = field(default_factory=list)
    """Line and reason of the first ``REFUSALS_SHOWN`` refused rows, in the order of lines."""

    def refuse(self, line: int, reason: str) -> None:
        self.refused += 1
        if len(self.refusals) < REFUSALS_SHOWN:
            self.refusals.append({"line": line, "reason": reason})

    def refuse_staged(self, refused: int, first: Iterable[tuple[int, str]]) -> None:
        """Counts ``refused`` rows that are found after all rows were read; ``first``: line and reason of the first."""
        self.refused += refused
        found = [*self.refusals, *({"line": line, "reason": reason} for line, reason in first)]
        self.refusals = sorted(found, key=lambda one: one["line"])[:REFUSALS_SHOWN]


def refuse(connection: Connection, counts: ImportCounts, refused: sa.Select[Any], reason: Callable[..., str]) -> None:
    """Counts the rows of ``refused``: the line, and what ``reason`` is called with."""
    if number := count_rows(connection, refused.subquery()):
        first = connection.execute(refused.order_by("line").limit(REFUSALS_SHOWN)).all()
        counts.refuse_staged(number, ((line, reason(*rest)) for line, *rest in first))


def stage(connection: Connection, rows: Iterable[ImportedRow], id_type: str) -> sa.Table:
    """Writes ``rows`` to a new temporary table of the transaction and returns it. ``id_type`` is the type of keys.

    It has the fields of ``ImportedRow`` for columns, with the text as review_text. The database writes no log of it,
    and it is dropped with the transaction.
    """
    table = sa.Table(
        "incoming",
        sa.MetaData(),
        Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        Column("line", sa.BigInteger, nullable=False),
        Column("review_id", review_id_column_type(id_type), index=True),  # SQLite makes none for a subquery by itself
        Column("review_text", sa.Text),
        Column("text_hash", TextHash),
        Column("label", sa.SmallInteger),
        Column("product", sa.Text),
        Column("created_at", UTCDateTime),
        Column("attributes", Attributes),
        Column("clears_product", sa.Boolean, nullable=False),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )
    table.create(connection)
    if connection.dialect.name == "postgresql":
        _copy(connection, table, rows)
        # Not the texts: values that the planner samples stay in its tables after the review was erased.
        connection.exec_driver_sql("ANALYZE incoming (number, review_id, label)")
    else:
        _insert(connection, table, rows)
    return table


def _copy(connection: Connection, table: sa.Table, rows: Iterable[ImportedRow]) -> None:
    names = ", ".join(column.name for column in table.c)
    statement = f"COPY {table.name} ({names}) FROM STDIN"
    driver: Any = connection.connection.driver_connection
    import psycopg  # here, because a warehouse in SQLite does not need it

    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:  # SQLAlchemy does not see the COPY: raise what it would raise
        raise sa.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error, connection_invalidated=driver.closed, dialect=connection.dialect
        ) from error


def _insert(connection: Connection, table: sa.Table, rows: Iterable[ImportedRow]) -> None:
    statement = f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(table.c))})"  # noqa: S608 - names of ours
    values = map(_on_sqlite, rows)
    while chunk := list(islice(values, _CHUNK_ROWS)):
        connection.exec_driver_sql(statement, chunk)


def _on_sqlite(row: ImportedRow) -> tuple[Any, ...]:
    if row.created_at is None:
        return tuple(row)
    created_at = row.created_at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return tuple(row._replace(created_at=created_at))  # type: ignore[arg-type]
