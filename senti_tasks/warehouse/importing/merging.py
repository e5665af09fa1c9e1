"""Merges incoming rows into ``reviews``, and their labels into ``review_annotations``."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import InputFileError, LockedError
from senti_tasks.warehouse.database import count_rows
from senti_tasks.warehouse.importing import annotations, known_texts
from senti_tasks.warehouse.importing.incoming import ImportCounts, ImportedRow, refuse, stage
from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import erased_reviews, reviews

UNIQUE_VIOLATION = "23505"
"""PostgreSQL's code. On SQLite transactions that write run one after the other, so there is none."""
_FIELDS = ("review_text", "product", "created_at", "attributes")


def store(
    connection: Connection,
    rows: Iterable[ImportedRow],
    counts: ImportCounts,
    *,
    source: str,
    has_ids: bool,
    now: datetime,
    annotator: str,
    find_texts: bool = True,
    attributes: Sequence[str] = (),
) -> None:
    """Writes ``rows`` as of ``now`` and counts them in ``counts``. Storing the same rows again changes nothing.

    With an id column (``has_ids``), a row whose id is stored updates that review: the fields that it states, no others.
    ``updated_at`` changes if the text or created_at does, because then the review must be labelled again.

    Without one, the key is the row's number. Another text under a stored number means another file, or a file into
    which rows were inserted: overwriting would lose reviews, so ``InputFileError`` is raised. With ``find_texts``, a
    row whose key is not stored, but whose text is, is that review (see ``known_texts.find``).

    ``annotator`` gives the labels. ``attributes`` are the names in the rows'
    attributes, for the counts of changes.
    """
    is_empty = connection.scalar(sa.select(~sa.exists(sa.select(reviews.c.review_id))))
    incoming = stage(connection, rows, recorded_setting(connection, "review_id_type"))
    later = _refuse_repetitions(connection, incoming, counts) if has_ids else None
    known = None
    if not has_ids and find_texts and not is_empty:
        known = known_texts.find(connection, incoming)
        counts.found_by_text = count_rows(connection, known)
    erased = sa.exists().where(erased_reviews.c.review_id == incoming.c.review_id)
    refuse(
        *(connection, counts, sa.select(incoming.c.line, incoming.c.review_id).where(erased)),
        lambda key: f"id {key} was erased on request (`senti erase`)",
    )
    decided = _decide(connection, incoming, known, later)
    if not has_ids:
        _require_same_texts(connection, decided, source)
    _count(connection, decided, counts, attributes)
    _insert(connection, decided, now)
    _update(connection, decided, now)
    counts.labelled += annotations.write(connection, decided, annotator, now=now)


def _refuse_repetitions(connection: Connection, incoming: sa.Table, counts: ImportCounts) -> sa.Table:
    """Refuses each row with the id of an earlier row that states something else. Returns the numbers of all rows with
    an earlier id, as a temporary table. Those that state the same count as already there."""
    repeated = sa.select(incoming.c.review_id, sa.func.min(incoming.c.number).label("first"))
    first = repeated.group_by(incoming.c.review_id).having(sa.func.count() > 1).subquery()
    creation = (
        sa.select(incoming.c.number, first.c.first)
        .join(first, sa.and_(first.c.review_id == incoming.c.review_id, first.c.first < incoming.c.number))
        .into("later", temporary=True)
    )
    connection.execute(creation)
    later, row, earlier = creation.table, incoming.alias("row"), incoming.alias("earlier")
    pairs = sa.join(later, row, row.c.number == later.c.number).join(earlier, earlier.c.number == later.c.first)
    names = ("review_text", "label", "product", "created_at", "attributes")
    other = {name: row.c[name].is_distinct_from(earlier.c[name]) for name in names}
    field = sa.case(*((differs, name.removeprefix("review_")) for name, differs in other.items()))
    erased = sa.exists().where(erased_reviews.c.review_id == row.c.review_id)
    found = sa.select(row.c.line, row.c.review_id, field.label("field")).select_from(pairs).where(~erased)
    refuse(
        *(connection, counts, found.where(sa.or_(*other.values()))),
        lambda key, name: f"id {key} stands in an earlier line with another {name}",
    )
    counts.already_there += count_rows(connection, found.where(~sa.or_(*other.values())).subquery())
    return creation.table


def _decide(connection: Connection, incoming: sa.Table, known: sa.Table | None, later: sa.Table | None) -> sa.Table:
    """A temporary table with the rows to merge: review_id (the key under which the review is or will be stored),
    is_new, what is to be stored in each of ``_FIELDS``, and ``other_FIELD``: whether that is a change."""
    origin: sa.FromClause = incoming
    key: sa.ColumnElement[Any] = incoming.c.review_id
    if known is not None:
        origin = origin.outerjoin(known, known.c.number == incoming.c.number)
        key = sa.func.coalesce(known.c.review_id, incoming.c.review_id)
    old, new = reviews.c, incoming.c
    origin = origin.outerjoin(reviews, old.review_id == key)
    merged = _merged_attributes(connection, incoming)
    values: dict[str, sa.ColumnElement[Any]] = {
        "review_text": new.review_text,
        "product": sa.case((new.clears_product, sa.null()), else_=sa.func.coalesce(new.product, old.product)),
        "created_at": sa.func.coalesce(new.created_at, old.created_at),
        "attributes": sa.case((new.attributes.is_(None), old.attributes), else_=merged),
    }
    is_known = old.review_id.is_not(None)
    rows = (
        sa.select(
            *(new.number, new.line, key.label("review_id"), new.label, new.text_hash),
            (~is_known).label("is_new"),
            *(value.label(name) for name, value in values.items()),
            *(
                sa.and_(is_known, value.is_distinct_from(old[name])).label(f"other_{name}")
                for name, value in values.items()
            ),
        )
        .select_from(origin)
        .where(~sa.exists().where(erased_reviews.c.review_id == new.review_id))
    )
    if later is not None:
        rows = rows.where(new.number.not_in(sa.select(later.c.number)))
    creation = rows.into("decided", temporary=True)
    connection.execute(creation)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE decided (number, review_id, label, is_new)")  # not the texts: see ``stage``
    return creation.table


def _merged_attributes(connection: Connection, incoming: sa.Table) -> sa.ColumnElement[Any]:
    """The stored attributes with those of the row; ``None`` if that leaves none. A null of the row removes one."""
    new, stored = incoming.c.attributes, reviews.c.attributes
    if connection.dialect.name == "postgresql":
        empty: sa.ColumnElement[Any] = sa.literal_column("'{}'::jsonb")
        merged = sa.func.jsonb_strip_nulls(sa.func.coalesce(stored, empty).op("||")(new))
        return sa.func.nullif(merged, empty, type_=stored.type)
    empty = sa.literal_column("'{}'")
    return sa.func.nullif(sa.func.json_patch(sa.func.coalesce(stored, empty), new), empty, type_=stored.type)


def _require_same_texts(connection: Connection, decided: sa.Table, source: str) -> None:
    line = connection.scalar(sa.select(sa.func.min(decided.c.line)).where(decided.c.other_review_text))
    if line is not None:
        number = connection.scalar(sa.select(decided.c.number).where(decided.c.line == line).limit(1))
        raise InputFileError(
            f"line {line}: row {number} of source {source!r} was imported before with another text. "
            "Nothing was imported. If this is another file, name it with --source NAME; if rows were put in "
            "between, import it with --id-column so that each row keeps its key"
        )


def _is_changed(decided: sa.Table) -> sa.ColumnElement[bool]:
    return sa.or_(*(decided.c[f"other_{name}"] for name in _FIELDS))


def _count(connection: Connection, decided: sa.Table, counts: ImportCounts, attributes: Sequence[str]) -> None:
    total = sa.func.count
    changes = {name.removeprefix("review_"): decided.c[f"other_{name}"] for name in _FIELDS if name != "attributes"}
    row = connection.execute(
        sa.select(
            *(total().label("rows"), total().filter(decided.c.is_new).label("new")),
            total().filter(_is_changed(decided)).label("changed"),
            *(total().filter(is_changed).label(f"other_{name}") for name, is_changed in changes.items()),
        )
    ).one()
    counts.imported += row.new
    counts.updated += row.changed
    counts.already_there += row.rows - row.new - row.changed
    for name in changes:
        counts.changed[name] += getattr(row, f"other_{name}")
    changed = sa.join(decided, reviews, reviews.c.review_id == decided.c.review_id)
    for name in attributes:
        differs = decided.c.attributes[name].as_string().is_distinct_from(reviews.c.attributes[name].as_string())
        counted = sa.select(total()).select_from(changed).where(decided.c.other_attributes, differs)
        counts.changed[f"attributes.{name}"] += connection.scalar(counted) or 0
    counts.changed = +counts.changed  # without zeros


def _insert(connection: Connection, decided: sa.Table, now: datetime) -> None:
    new = decided.c
    written = sa.literal(now, reviews.c.updated_at.type)
    rows = sa.select(
        *(new.review_id, new.review_text, new.product),
        sa.func.coalesce(new.created_at, written, type_=reviews.c.created_at.type),
        *(written, new.attributes),
    )
    names = ["review_id", "review_text", "product", "created_at", "updated_at", "attributes"]
    try:
        connection.execute(sa.insert(reviews).from_select(names, rows.where(new.is_new).order_by(new.review_id)))
    except sa.exc.IntegrityError as error:
        if getattr(error.orig, "sqlstate", None) != UNIQUE_VIOLATION:
            raise
        # Not chained: the database's error quotes rows.
        raise LockedError(
            "another import or program wrote reviews with the same ids at the same time: nothing was imported; "
            "import the file again, and what is there already will be skipped or updated"
        ) from None


def _update(connection: Connection, decided: sa.Table, now: datetime) -> None:
    new = decided.c
    read_again = sa.or_(new.other_review_text, new.other_created_at)
    changes: dict[str, sa.ColumnElement[Any]] = {name: new[name] for name in _FIELDS}
    changes["updated_at"] = sa.case(
        (read_again, sa.literal(now, reviews.c.updated_at.type)), else_=reviews.c.updated_at
    )
    same_review = reviews.c.review_id == new.review_id
    connection.execute(sa.update(reviews).where(same_review, _is_changed(decided)).values(changes))
