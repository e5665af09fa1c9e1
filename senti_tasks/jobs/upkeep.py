"""The warehouse itself: migrate it, fill its source side, say how it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from senti_tasks import intake, settings
from senti_tasks.errors import ConfigError
from senti_tasks.intake import Columns, Refusal, Row
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.labels import Spellings
from senti_tasks.warehouse import database, importing, migrations, overview
from senti_tasks.warehouse.importing import ImportCounts, Incoming
from senti_tasks.warehouse.scoring import publication_lock, runs
from senti_tasks.warehouse.types import review_id_of_row, review_id_value


def migrate() -> dict[str, Any]:
    """Brings the warehouse to the newest schema; safe to repeat. Returns the revisions before and after."""
    context = load_context(migrated=False)
    return migrations.migrate(
        context.engine,
        review_id_type=context.settings.review_id_type,
        reviews_table=context.settings.reviews_table,
        label_set=context.settings.label_set,
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
    ``ImportCounts``, with the first refused rows. Raises ``InputFileError``.
    """
    context = load_context()
    named = intake.Columns(**columns)
    spellings = _spellings(context, named, label_map)
    rows = intake.read(path, named, file_format, timezone=context.settings.zone, spellings=spellings)
    return _import(context, rows, source or path.name, has_ids=named.id is not None)


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
    context = load_context()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from senti_tasks.intake import hub_datasets

    named = Columns(**columns)
    spellings = _spellings(context, named, label_map)
    found = hub_datasets.fetch(name, config, split, revision)
    rows = hub_datasets.read(found, named, context.settings.zone, spellings)
    counts = _import(context, rows, source or found.source, has_ids=named.id is not None, revision=found.commit)
    return {**counts, "revision": found.commit}


def _spellings(context: JobContext, columns: Columns, label_map: str | None) -> Spellings:
    if label_map is None:
        return context.settings.label_set.spellings
    if columns.label is None:
        raise ConfigError("--label-map needs --label-column: name the column whose values it is about")
    return context.settings.label_set.mapped(label_map)


def _import(
    context: JobContext, rows: Iterable[Row | Refusal], source: str, *, has_ids: bool, revision: str | None = None
) -> dict[str, Any]:
    counts = importing.ImportCounts()
    with database.writing(context.engine) as connection:
        migrations.check_settings(connection, labels=str(context.settings.label_set))
        importing.require_own_table(connection)
        id_type = migrations.recorded_setting(connection, "review_id_type")
        number = importing.source_id(connection, source)
        incoming = _incoming(rows, counts, id_type, number, source)
        importing.store(connection, incoming, counts, source=source, has_ids=has_ids, now=now())
        if revision is not None:
            importing.record_revision(connection, number, revision)
    return {"source": source, **asdict(counts)}


def search_datasets(text: str, limit: int = 20) -> list[dict[str, Any]]:
    """Data sets on the Hugging Face Hub that have to do with ``text``, the most downloaded first."""
    settings.load()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from senti_tasks import hub

    return hub.search_datasets(text, limit)


def _incoming(
    rows: Iterable[Row | Refusal], counts: ImportCounts, id_type: str, source_id: int, source: str
) -> Iterator[Incoming]:
    """The good rows with their keys; the others are counted as refused."""
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
    context = load_context()
    with database.reading(context.engine) as connection:
        return overview.status(connection, overlap=timedelta(hours=context.settings.overlap_hours))


def freeze(reason: str, actor: str) -> dict[str, Any]:
    """Freezes publishing; returns since when, by whom and why. A freeze in force stays as it is."""
    context = load_context()
    with database.writing(context.engine) as connection:
        return publication_lock.freeze(connection, by=actor, reason=reason, now=now())


def unfreeze() -> dict[str, Any]:
    """Ends the freeze; returns whether there was one, and the runs that are audited and wait."""
    context = load_context()
    with database.writing(context.engine) as connection:
        return {"was_frozen": publication_lock.unfreeze(connection), "waiting": runs.waiting(connection)}


def holds_source(source: str) -> bool:
    """Whether a file was imported under this name."""
    context = load_context()
    with database.reading(context.engine) as connection:
        return importing.knows_source(connection, source)


def ask(query: str) -> tuple[str, list[dict[str, Any]]]:
    """The statement of one of ``sql/queries`` and its rows."""
    context = load_context()
    with database.reading(context.engine) as connection:
        return overview.ask(connection, query)
