"""Writes imported reviews and their labels into ``reviews`` and ``review_annotations``."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import InputFileError, LockedError, WarehouseError
from senti_tasks.text import text_hash
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.erasure import erased_among
from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import import_sources, review_annotations, reviews

BATCH_ROWS = 2_000
REFUSALS_SHOWN = 50
UNIQUE_VIOLATION = "23505"
"""PostgreSQL's code. On SQLite transactions that write run one after the other, so there is none."""


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """A review as read from a file, at line ``line``, with its key."""

    line: int
    review_id: int | str
    text: str
    label: int | None
    product: str | None
    created_at: datetime | None


@dataclass
class ImportCounts:
    """Counts of a file's rows. Each row counts as exactly one of imported, already there, updated and refused."""

    rows: int = 0
    imported: int = 0
    already_there: int = 0
    updated: int = 0
    refused: int = 0
    labelled: int = 0
    """Annotations written, in addition to the four counts."""
    refusals: list[dict[str, Any]] = field(default_factory=list)
    """Line and reason of the first ``REFUSALS_SHOWN`` refused rows."""

    def refuse(self, line: int, reason: str) -> None:
        self.refused += 1
        if len(self.refusals) < REFUSALS_SHOWN:
            self.refusals.append({"line": line, "reason": reason})


def source_id(connection: Connection, name: str) -> int:
    """The number of the source ``name``; a new source gets the next number. Its row stays locked until the transaction
    ends, so that two imports of one source run one after the other."""
    table = import_sources
    statement = insert(connection, table).values(name=name)
    held = statement.on_conflict_do_update(index_elements=["name"], set_={"name": statement.excluded.name})
    found: int = connection.execute(held.returning(table.c.source_id)).scalar_one()
    return found


def record_revision(connection: Connection, number: int, revision: str) -> None:
    """Records the commit at which the rows of source ``number`` were read last."""
    changed = sa.update(import_sources).where(import_sources.c.source_id == number)
    connection.execute(changed.values(revision=revision))


def has_source(connection: Connection, name: str) -> bool:
    """Whether something was imported under ``name``."""
    return connection.scalar(sa.select(import_sources.c.source_id).where(import_sources.c.name == name)) is not None


def require_own_table(connection: Connection) -> None:
    """Raises ``WarehouseError`` when ``reviews`` is a view, or a table that ``senti migrate`` did not create."""
    is_view = "reviews" in sa.inspect(connection).get_view_names()
    if is_view or recorded_setting(connection, "reviews_made_by") != "senti":
        raise WarehouseError(
            f"reviews is {'a view over ' if is_view else ''}your own table here, so there is nothing to import into: "
            "insert the rows there; labels go into review_annotations"
        )


def store(
    connection: Connection,
    rows: Iterable[ImportedRow],
    counts: ImportCounts,
    *,
    source: str,
    has_ids: bool,
    now: datetime,
) -> None:
    """Writes ``rows`` as of ``now`` and counts them in ``counts``. Storing the same rows again changes nothing.

    With an id column (``has_ids``), a row whose text or product differs from the stored one updates it. ``updated_at``
    changes only if the text does.
    Without one, the key is the row's number. Another text under a stored number means another file, or a file into
    which rows were inserted: overwriting would lose reviews, so ``InputFileError`` is raised.
    Memory does not grow with the number of rows: the keys of a file with ids lie in a temporary file.
    """
    iterator, earlier = iter(rows), _EarlierRows()
    with closing(earlier):
        while batch := list(islice(iterator, BATCH_ROWS)):
            seen = earlier.labels([row.review_id for row in batch]) if has_ids else {}
            first = _store_batch(connection, batch, seen, counts, source=source, has_ids=has_ids, now=now)
            if has_ids:  # without ids, the keys are made of row numbers, which do not repeat
                earlier.add(first)


class _EarlierRows:
    """Keys and labels of the rows that this import has read, in a temporary file. It is deleted when it is closed."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)  # SQLite keeps a small cache of it in memory
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute("CREATE TABLE earlier (review_id PRIMARY KEY, label INTEGER) WITHOUT ROWID")

    def labels(self, keys: list[int | str]) -> dict[int | str, int | None]:
        """The label of each of ``keys`` that was read before; ``None`` for a row without a label."""
        question = "SELECT review_id, label FROM earlier WHERE review_id IN (SELECT value FROM json_each(?))"
        return dict(self._file.execute(question, [json.dumps(keys)]).fetchall())

    def add(self, rows: Iterable[ImportedRow]) -> None:
        """Adds rows whose keys were not read before."""
        with self._file:
            self._file.execute("BEGIN")
            self._file.executemany("INSERT INTO earlier VALUES (?, ?)", [(row.review_id, row.label) for row in rows])

    def close(self) -> None:
        self._file.close()


def _store_batch(
    connection: Connection,
    batch: list[ImportedRow],
    seen: dict[int | str, int | None],
    counts: ImportCounts,
    *,
    source: str,
    has_ids: bool,
    now: datetime,
) -> list[ImportedRow]:
    """As ``store``, for one batch. Returns the rows whose keys do not stand in an earlier row.

    ``seen``: the labels of those keys of the batch that stand in an earlier batch; the keys of this one are added.
    """
    first: list[ImportedRow] = []
    stored = _stored(connection, batch)
    new: list[dict[str, Any]] = []
    edited: list[dict[str, Any]] = []
    annotated: list[ImportedRow] = []
    erased = {_key(key) for key in erased_among(connection, [row.review_id for row in batch])}
    for row in batch:
        if row.review_id in erased:
            counts.refuse(row.line, f"id {row.review_id} was erased on request (`senti erase`)")
            continue
        values = {"review_text": row.text, "product": row.product}
        known = stored.get(row.review_id)
        if row.review_id in seen:
            if known == values and row.label == seen[row.review_id]:
                counts.already_there += 1
            else:
                other = "label" if known == values else "text"
                counts.refuse(row.line, f"id {row.review_id} stands in an earlier line with another {other}")
            continue
        seen[row.review_id] = row.label
        first.append(row)
        if known is None:
            created_at = row.created_at or now
            new.append({"review_id": row.review_id, **values, "created_at": created_at, "updated_at": now})
            counts.imported += 1
        elif known == values:
            counts.already_there += 1
        elif has_ids:
            edited.append({"key": row.review_id, "text": row.text, "product": row.product, "now": now})
            counts.updated += 1
        else:
            raise InputFileError(
                f"line {row.line}: row {row.review_id} of source {source!r} was imported before with another text. "
                "Nothing was imported. If this is another file, name it with --source NAME; if rows were put in "
                "between, import it with --id-column so that each row keeps its key"
            )
        stored[row.review_id] = values
        if row.label is not None:
            annotated.append(row)
    _write(connection, new, edited)
    counts.labelled += _annotate(connection, annotated, annotator=f"import:{source}", now=now)
    return first


def _stored(connection: Connection, batch: list[ImportedRow]) -> dict[int | str, dict[str, Any]]:
    keys = [row.review_id for row in batch]
    found = connection.execute(
        sa.select(reviews.c.review_id, reviews.c.review_text, reviews.c.product).where(reviews.c.review_id.in_(keys))
    )
    return {_key(row.review_id): {"review_text": row.review_text, "product": row.product} for row in found}


def _key(value: Any) -> int | str:
    return value if isinstance(value, int) else str(value)  # psycopg returns uuid.UUID


def _write(connection: Connection, new: list[dict[str, Any]], edited: list[dict[str, Any]]) -> None:
    if new:
        try:
            connection.execute(sa.insert(reviews), new)
        except sa.exc.IntegrityError as error:
            if getattr(error.orig, "sqlstate", None) != UNIQUE_VIOLATION:
                raise
            # Not chained: the database's error quotes rows.
            raise LockedError(
                "another import or program wrote reviews with the same ids at the same time: nothing was imported; "
                "import the file again, and what is there already will be skipped or updated"
            ) from None
    if edited:
        same_text = reviews.c.review_text == sa.bindparam("text")
        edited_at = sa.bindparam("now", type_=reviews.c.updated_at.type)
        changes: dict[str, Any] = {
            "review_text": sa.bindparam("text"),
            "product": sa.bindparam("product"),
            "updated_at": sa.case((same_text, reviews.c.updated_at), else_=edited_at),
        }
        connection.execute(sa.update(reviews).where(reviews.c.review_id == sa.bindparam("key")).values(changes), edited)


def _annotate(connection: Connection, rows: list[ImportedRow], *, annotator: str, now: datetime) -> int:
    """Writes the annotations whose label or text differs from this annotator's newest one; returns their number."""
    table = review_annotations
    by_this_annotator = sa.select(table.c.review_id, table.c.label, table.c.text_hash).where(
        table.c.annotator == annotator, table.c.review_id.in_([row.review_id for row in rows])
    )
    stored = connection.execute(by_this_annotator.order_by(table.c.annotated_at))
    newest = {_key(found.review_id): (found.label, found.text_hash) for found in stored}
    values = [
        {"review_id": row.review_id, "annotator": annotator, "annotated_at": now, "label": row.label, "text_hash": text}
        for row in rows
        if newest.get(row.review_id) != (row.label, text := text_hash(row.text))
    ]
    if values:
        connection.execute(sa.insert(table), values)
    return len(values)
