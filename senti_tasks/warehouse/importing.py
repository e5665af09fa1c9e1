"""Puts reviews and their labels into the source side, for people who have no table of their own yet."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import InputFileError, WarehouseError
from senti_tasks.text import text_hash
from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.erasure import erased_among
from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import import_sources, review_annotations, reviews

BATCH_ROWS = 2_000
REFUSALS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Incoming:
    """A review on its way in. ``line`` is where it stands in its file."""

    line: int
    review_id: int | str
    text: str
    label: int | None
    product: str | None
    created_at: datetime | None


@dataclass
class ImportCounts:
    """What became of a file's rows: each row is in exactly one of imported, already there, updated and refused."""

    rows: int = 0
    imported: int = 0
    already_there: int = 0
    updated: int = 0
    refused: int = 0
    labelled: int = 0
    """Annotations written; not a fifth kind of row."""
    refusals: list[dict[str, Any]] = field(default_factory=list)
    """The first ``REFUSALS_SHOWN`` refused rows: line and reason."""

    def refuse(self, line: int, reason: str) -> None:
        self.refused += 1
        if len(self.refusals) < REFUSALS_SHOWN:
            self.refusals.append({"line": line, "reason": reason})


def source_id(connection: Connection, name: str) -> int:
    """The number of the source ``name``: the one it got when it was first imported, or the next.

    Its row stays locked until the transaction ends, so that two imports of one source follow one another.
    """
    table = import_sources
    statement = insert(connection, table).values(name=name)
    held = statement.on_conflict_do_update(index_elements=["name"], set_={"name": statement.excluded.name})
    found: int = connection.execute(held.returning(table.c.source_id)).scalar_one()
    return found


def record_revision(connection: Connection, number: int, revision: str) -> None:
    """Notes at which commit the rows of source ``number`` were read last."""
    table = import_sources
    connection.execute(sa.update(table).where(table.c.source_id == number).values(revision=revision))


def knows_source(connection: Connection, name: str) -> bool:
    """Whether something was imported under ``name``."""
    named = sa.select(import_sources.c.source_id).where(import_sources.c.name == name)
    return connection.execute(named).first() is not None


def require_own_table(connection: Connection) -> None:
    """Raises ``WarehouseError`` when the rows of ``reviews`` are somebody else's: a view, or a table found there."""
    is_view = "reviews" in sa.inspect(connection).get_view_names()
    if is_view or recorded_setting(connection, "reviews_made_by") != "senti":
        raise WarehouseError(
            f"reviews is {'a view over ' if is_view else ''}your own table here, so there is nothing to import into: "
            "insert the rows there; labels go into review_annotations"
        )


def store(
    connection: Connection, rows: Iterable[Incoming], counts: ImportCounts, *, source: str, has_ids: bool, now: datetime
) -> None:
    """Stores ``rows`` as of ``now`` and counts them in ``counts``. Storing them again changes nothing.

    With an id column (``has_ids``) a row whose text or product differs from the stored one is an edit and updates it;
    ``updated_at`` is when the text changed, and stays when only the product did.
    Without one the key is the row's number, and other text under a known number means another file, or one with rows
    put in between: overwriting would lose reviews, so that raises ``InputFileError``.
    """
    seen: dict[int | str, int | None] = {}
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH_ROWS)):
        stored = _stored(connection, batch)
        new: list[dict[str, Any]] = []
        edited: list[dict[str, Any]] = []
        annotated: list[Incoming] = []
        for row in _not_erased(connection, batch, counts):
            values = {"review_text": row.text, "product": row.product}
            known = stored.get(row.review_id)
            if row.review_id in seen:
                if known != values:
                    counts.refuse(row.line, f"id {row.review_id} stands in an earlier line with another text")
                elif row.label != seen[row.review_id]:
                    counts.refuse(row.line, f"id {row.review_id} stands in an earlier line with another label")
                else:
                    counts.already_there += 1
                continue
            seen[row.review_id] = row.label
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


def _not_erased(connection: Connection, batch: list[Incoming], counts: ImportCounts) -> Iterator[Incoming]:
    """The rows that may come in; the others are refused."""
    erased = {_key(key) for key in erased_among(connection, [row.review_id for row in batch])}
    for row in batch:
        if row.review_id in erased:
            counts.refuse(row.line, f"id {row.review_id} was erased on request (`senti erase`)")
        else:
            yield row


def _stored(connection: Connection, batch: list[Incoming]) -> dict[int | str, dict[str, Any]]:
    keys = [row.review_id for row in batch]
    found = connection.execute(
        sa.select(reviews.c.review_id, reviews.c.review_text, reviews.c.product).where(reviews.c.review_id.in_(keys))
    )
    return {_key(row.review_id): {"review_text": row.review_text, "product": row.product} for row in found}


def _key(value: Any) -> int | str:
    return value if isinstance(value, int) else str(value)  # psycopg answers with uuid.UUID


def _write(connection: Connection, new: list[dict[str, Any]], edited: list[dict[str, Any]]) -> None:
    if new:
        connection.execute(sa.insert(reviews), new)
    if edited:
        same_text = reviews.c.review_text == sa.bindparam("text")
        edited_at = sa.bindparam("now", type_=reviews.c.updated_at.type)
        changes: dict[str, Any] = {
            "review_text": sa.bindparam("text"),
            "product": sa.bindparam("product"),
            "updated_at": sa.case((same_text, reviews.c.updated_at), else_=edited_at),
        }
        connection.execute(sa.update(reviews).where(reviews.c.review_id == sa.bindparam("key")).values(changes), edited)


def _annotate(connection: Connection, rows: list[Incoming], *, annotator: str, now: datetime) -> int:
    """Writes the labels that say something new: another label, or the same one of another text."""
    table = review_annotations
    newest: dict[int | str, tuple[int, str]] = {}
    by_this_annotator = sa.select(table.c.review_id, table.c.label, table.c.text_hash).where(
        table.c.annotator == annotator, table.c.review_id.in_([row.review_id for row in rows])
    )
    for found in connection.execute(by_this_annotator.order_by(table.c.annotated_at)):
        newest[_key(found.review_id)] = (found.label, found.text_hash)
    fresh = [
        {
            "review_id": row.review_id,
            "annotator": annotator,
            "annotated_at": now,
            "label": row.label,
            "text_hash": text,
        }
        for row in rows
        if newest.get(row.review_id) != (row.label, text := text_hash(row.text))
    ]
    if fresh:
        connection.execute(sa.insert(table), fresh)
    return len(fresh)
