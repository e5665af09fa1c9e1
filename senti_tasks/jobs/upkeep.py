"""The warehouse itself: migrate it, fill its source side, say how it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.workplace import enter, now

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from senti_tasks.review_files import Refusal, Row
    from senti_tasks.warehouse.intake import Incoming, Intake


def migrate() -> dict[str, Any]:
    """Brings the warehouse to the newest schema; safe to repeat. Returns the revisions before and after."""
    from senti_tasks.warehouse import migrations

    place = enter(migrated=False)
    return migrations.migrate(
        place.engine, review_id_type=place.settings.review_id_type, reviews_table=place.settings.reviews_table
    )


def import_reviews(
    path: Path, columns: dict[str, str | None], *, source: str | None = None, file_format: str | None = None
) -> dict[str, Any]:
    """Imports a file in one transaction: all of its good rows, or, when it cannot be read to its end, none.

    ``source`` names the file for good (default: its name): with the row's number it is a row's key where there is no id
    column. ``columns`` names those of text, label, product, id and created_at; ``None`` looks for usual names. Returns
    the counts of ``Intake``, with the first refused rows. Raises ``InputFileError``.
    """
    from dataclasses import asdict

    from senti_tasks import review_files
    from senti_tasks.warehouse import database, intake, migrations

    place = enter()
    source = source or path.name
    counts = intake.Intake()
    named = review_files.Columns(**columns)
    rows = review_files.read(path, named, file_format, timezone=place.settings.zone)
    with database.writing(place.engine) as connection:
        intake.require_own_table(connection)
        id_type = migrations.recorded_setting(connection, "review_id_type")
        number = intake.source_id(connection, source)
        incoming = _incoming(rows, counts, id_type, number, source)
        intake.store(connection, incoming, counts, source=source, has_ids=named.id is not None, at=now())
    return {"source": source, **asdict(counts)}


def _incoming(
    rows: Iterable[Row | Refusal], counts: Intake, id_type: str, source_id: int, source: str
) -> Iterator[Incoming]:
    """The good rows with their keys; the others are counted as refused."""
    from senti_tasks.review_files import Refusal
    from senti_tasks.warehouse.intake import Incoming
    from senti_tasks.warehouse.types import review_id_of_row, review_id_value

    for row in rows:
        counts.rows += 1
        if isinstance(row, Refusal):
            counts.refuse(row.line, row.reason)
            continue
        try:
            if row.id is None:
                key = review_id_of_row(source_id, source, row.number, id_type)
            else:
                key = review_id_value(row.id, id_type)
        except ValueError as error:
            counts.refuse(row.line, str(error))
            continue
        yield Incoming(row.line, key, row.text, row.label, row.product, row.created_at)


def status() -> dict[str, Any]:
    """Reviews, annotated, pending, champion, model in service and the last runs."""
    from senti_tasks.warehouse import database, overview

    place = enter()
    with database.reading(place.engine) as connection:
        return overview.status(connection)


def holds_source(source: str) -> bool:
    """Whether a file was imported under this name."""
    from senti_tasks.warehouse import database, intake

    place = enter()
    with database.reading(place.engine) as connection:
        return intake.knows_source(connection, source)


def ask(query: str) -> tuple[str, list[dict[str, Any]]]:
    """The statement of one of ``sql/queries`` and its rows."""
    from senti_tasks.warehouse import database, overview

    place = enter()
    with database.reading(place.engine) as connection:
        return overview.ask(connection, query)
