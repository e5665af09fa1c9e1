"""The warehouse itself: migrate it, fill its source side, say how it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.context import enter, now

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from senti_tasks.intake import Columns, Refusal, Row
    from senti_tasks.jobs.context import Workplace
    from senti_tasks.labels import Spellings
    from senti_tasks.warehouse.importing import Incoming, Intake


def migrate() -> dict[str, Any]:
    """Brings the warehouse to the newest schema; safe to repeat. Returns the revisions before and after."""
    from senti_tasks.warehouse import migrations

    place = enter(migrated=False)
    return migrations.migrate(
        place.engine,
        review_id_type=place.settings.review_id_type,
        reviews_table=place.settings.reviews_table,
        label_set=place.settings.label_set,
    )


def import_reviews(
    path: Path,
    columns: dict[str, str | None],
    *,
    source: str | None = None,
    file_format: str | None = None,
    label_map: str | None = None,
) -> dict[str, Any]:
    """Imports a file in one transaction: all of its good rows, or, when it cannot be read to its end, none.

    ``source`` names the file for good (default: its name): with the row's number it is a row's key where there is no id
    column. ``columns`` names those of text, label, product, id and created_at; ``None`` looks for usual names.
    ``label_map`` says what the values of the label column mean, as ``LabelSet.mapped`` takes it. Returns the counts of
    ``Intake``, with the first refused rows. Raises ``InputFileError``.
    """
    from senti_tasks import intake

    place = enter()
    named = intake.Columns(**columns)
    spellings = _spellings(place, named, label_map)
    rows = intake.read(path, named, file_format, timezone=place.settings.zone, spellings=spellings)
    return _import(place, rows, source or path.name, has_ids=named.id is not None)


def import_dataset(
    name: str,
    columns: dict[str, str | None],
    *,
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
    source: str | None = None,
    label_map: str | None = None,
) -> dict[str, Any]:
    """Imports a split of the data set ``name`` (OWNER/NAME) on the Hugging Face Hub, as ``import_reviews`` does a file.

    Its source is named after data set, configuration and split. The commit that ``revision`` is at (default: main) is
    recorded and stands in the answer as ``revision``. Raises ``HubError`` and ``InputFileError``.
    """
    place = enter()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from senti_tasks.intake import Columns, hub_datasets

    named = Columns(**columns)
    spellings = _spellings(place, named, label_map)
    found = hub_datasets.fetch(name, config, split, revision)
    rows = hub_datasets.read(found, named, place.settings.zone, spellings)
    counts = _import(place, rows, source or found.source, has_ids=named.id is not None, revision=found.commit)
    return {**counts, "revision": found.commit}


def _spellings(place: Workplace, columns: Columns, label_map: str | None) -> Spellings:
    from senti_tasks.errors import ConfigError

    if label_map is None:
        return place.settings.label_set.spellings
    if columns.label is None:
        raise ConfigError("--label-map needs --label-column: name the column whose values it is about")
    return place.settings.label_set.mapped(label_map)


def _import(
    place: Workplace, rows: Iterable[Row | Refusal], source: str, *, has_ids: bool, revision: str | None = None
) -> dict[str, Any]:
    from dataclasses import asdict

    from senti_tasks.warehouse import database, importing, migrations

    counts = importing.Intake()
    with database.writing(place.engine) as connection:
        migrations.check_settings(connection, labels=str(place.settings.label_set))
        importing.require_own_table(connection)
        id_type = migrations.recorded_setting(connection, "review_id_type")
        number = importing.source_id(connection, source)
        incoming = _incoming(rows, counts, id_type, number, source)
        importing.store(connection, incoming, counts, source=source, has_ids=has_ids, at=now())
        if revision is not None:
            importing.record_revision(connection, number, revision)
    return {"source": source, **asdict(counts)}


def search_datasets(text: str, limit: int = 20) -> list[dict[str, Any]]:
    """Data sets on the Hugging Face Hub that have to do with ``text``, the most downloaded first."""
    from senti_tasks import settings

    settings.load()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from senti_tasks import hub

    return hub.search_datasets(text, limit)


def _incoming(
    rows: Iterable[Row | Refusal], counts: Intake, id_type: str, source_id: int, source: str
) -> Iterator[Incoming]:
    """The good rows with their keys; the others are counted as refused."""
    from senti_tasks.intake import Refusal
    from senti_tasks.warehouse.importing import Incoming
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
    """Reviews, annotated, pending, champion, model in service, the freeze in force and the last runs."""
    from datetime import timedelta

    from senti_tasks.warehouse import database, overview

    place = enter()
    with database.reading(place.engine) as connection:
        return overview.status(connection, overlap=timedelta(hours=place.settings.overlap_hours))


def freeze(reason: str, actor: str) -> dict[str, Any]:
    """Keeps publications back; returns since when, by whom and why. A freeze in force stays as it is."""
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.scoring import publication_lock

    place = enter()
    with database.writing(place.engine) as connection:
        return publication_lock.freeze(connection, by=actor, reason=reason, at=now())


def unfreeze() -> dict[str, Any]:
    """Lets publications go on; returns whether they were kept back, and the runs that are audited and wait."""
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.scoring import publication_lock, runs

    place = enter()
    with database.writing(place.engine) as connection:
        return {"was_frozen": publication_lock.unfreeze(connection), "waiting": runs.waiting(connection)}


def holds_source(source: str) -> bool:
    """Whether a file was imported under this name."""
    from senti_tasks.warehouse import database, importing

    place = enter()
    with database.reading(place.engine) as connection:
        return importing.knows_source(connection, source)


def ask(query: str) -> tuple[str, list[dict[str, Any]]]:
    """The statement of one of ``sql/queries`` and its rows."""
    from senti_tasks.warehouse import database, overview

    place = enter()
    with database.reading(place.engine) as connection:
        return overview.ask(connection, query)
