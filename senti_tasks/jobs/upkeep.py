"""Jobs on the warehouse itself: migrate it, import reviews into it, report its state, freeze publishing."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from senti_tasks import intake, settings
from senti_tasks.errors import ConfigError, InputFileError
from senti_tasks.intake import Columns, Options, Refusal, Row
from senti_tasks.intake.readers import queries
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.labels import Spellings
from senti_tasks.warehouse import days, importing, migrations, overview
from senti_tasks.warehouse.importing import ImportCounts, ImportedRow
from senti_tasks.warehouse.scoring import publication_lock, runs
from senti_tasks.warehouse.types import parse_review_id, review_id_of_row


def migrate(recount_days: bool = False) -> dict[str, Any]:
    """Brings the warehouse to the newest schema and gives the roles of ``sql/roles`` their rights; safe to repeat.

    Returns before and after (revisions), views, and roles (those that the server has).

    ``recount_days`` allows a changed SENTI_TIMEZONE: see ``days.recount``, whose result is returned as recounted.
    Without it, such a setting raises ``WarehouseError``, and recounted is ``None``.
    """
    context = load_context(migrated=False)
    migrated = migrations.migrate(
        context.engine,
        review_id_type=context.settings.review_id_type,
        reviews_table=context.settings.reviews_table,
        label_set=context.settings.label_set,
        timezone=context.settings.timezone,
        check_timezone=not recount_days,
    )
    recounted = None
    if recount_days:
        with context.writing() as connection:
            recounted = days.recount(connection, context.settings.timezone)
    return {**migrated, "recounted": recounted}


def import_reviews(
    path: Path,
    columns: dict[str, str | None],
    *,
    source: str | None = None,
    options: dict[str, Any] | None = None,
    label_map: str | None = None,
) -> dict[str, Any]:
    """Imports a file in one transaction: all rows that are not refused, or none if the file cannot be read to its end.

    ``columns`` are the fields of ``intake.Columns``, and ``options`` those of ``intake.Options``. ``source``
    (default: the file's name) identifies the file in later
    imports: without an id column, the key of a row is made of ``source`` and the row's number. ``label_map`` gives the
    meaning of the values in the label column, as ``LabelSet.mapped`` reads it. Returns source and the fields of
    ``ImportCounts``. Raises ``InputFileError``.
    """
    context, named = load_context(), Columns(**columns)
    spellings = _spellings(context, named, label_map)
    table = intake.open(path, Options(**options or {}))
    rows = intake.build(table, path, named, context.settings.zone, spellings)
    return _import(context, rows, source or path.name, has_ids=named.id is not None)


def import_query(
    url: str,
    query: Path,
    columns: dict[str, str | None],
    *,
    source: str | None = None,
    label_map: str | None = None,
) -> dict[str, Any]:
    """Imports the rows that the SQL in the file ``query`` gives in the database at ``url``; otherwise as
    ``import_reviews``. The default of ``source`` is made of the names of the database and the file."""
    context, named = load_context(), Columns(**columns)
    spellings = _spellings(context, named, label_map)
    try:
        sql = query.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputFileError(f"{query} cannot be read ({error}): expected a file with one SELECT") from error
    rows = intake.build(queries.open_query(url, sql), query, named, context.settings.zone, spellings)
    return _import(context, rows, source or queries.source_name(url, query), has_ids=named.id is not None)


def find_files(patterns: list[str]) -> list[str]:
    """The files that ``patterns`` name: see ``intake.find``."""
    return [str(path) for path in intake.find(patterns)]


def import_dataset(
    name: str,
    columns: dict[str, str | None],
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
    *,
    source: str | None = None,
    label_map: str | None = None,
) -> dict[str, Any]:
    """Imports a split of the data set ``name`` (OWNER/NAME) on the Hugging Face Hub; otherwise as ``import_reviews``.

    The default of ``source`` is made of data set, configuration and split. ``revision`` is a branch, tag or commit
    (default: main); its commit is recorded, and returned as revision. Raises ``HubError`` and ``InputFileError``.
    """
    context, named = load_context(), Columns(**columns)
    # Imported after load_context, because the hub's client reads HF_ENDPOINT when it is imported.
    from senti_tasks.intake.readers import hub_datasets

    spellings = _spellings(context, named, label_map)
    found = hub_datasets.fetch(name, config, split, revision)
    rows = intake.build(hub_datasets.open_split(found), found.source, named, context.settings.zone, spellings)
    counts = _import(context, rows, source or found.source, has_ids=named.id is not None, revision=found.commit)
    return {**counts, "revision": found.commit}


def _spellings(context: JobContext, columns: Columns, label_map: str | None) -> Spellings:
    if label_map is None:
        return context.settings.label_set.spellings
    if columns.label is None:
        raise ConfigError("--label-map needs --label-column: name the column whose values it maps")
    return context.settings.label_set.mapped(label_map)


def _import(
    context: JobContext, rows: Iterable[Row | Refusal], source: str, *, has_ids: bool, revision: str | None = None
) -> dict[str, Any]:
    counts = ImportCounts()
    with context.writing() as connection:
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
    """Up to ``limit`` data sets that the Hugging Face Hub finds for ``text``: see ``hub.search_datasets``."""
    settings.load()  # first, because the hub's client reads HF_ENDPOINT when it is imported
    from senti_tasks import hub

    return hub.search_datasets(text, limit)


def _incoming(
    rows: Iterable[Row | Refusal], counts: ImportCounts, id_type: str, source_id: int, source: str
) -> Iterator[ImportedRow]:
    """The rows that are not refused, with their keys. Counts all rows, and the refused ones with their reasons."""
    for row in rows:
        counts.rows += 1
        if isinstance(row, Refusal):
            counts.refuse(row.line, row.reason)
            continue
        try:
            if row.id is None:
                key = review_id_of_row(source_id, source, row.number, id_type)
            else:
                key = parse_review_id(row.id, id_type)
        except ValueError as error:
            counts.refuse(row.line, str(error))
            continue
        yield ImportedRow(row.line, key, row.text, row.label, row.product, row.created_at)


def status() -> dict[str, Any]:
    """Numbers of reviews, annotated and pending, champion, model in service, the freeze in force, the held runs, and
    the last runs."""
    context = load_context()
    with context.reading() as connection:
        return overview.status(connection, overlap=timedelta(hours=context.settings.overlap_hours))


def freeze(reason: str, actor: str) -> dict[str, Any]:
    """Freezes publishing. Returns when, by whom and why it was frozen; an existing freeze is not changed."""
    with load_context().writing() as connection:
        return publication_lock.freeze(connection, by=actor, reason=reason, now=now())


def unfreeze() -> dict[str, Any]:
    """Ends the freeze. Returns was_frozen, and waiting: the audited runs that are not published."""
    with load_context().writing() as connection:
        return {"was_frozen": publication_lock.unfreeze(connection), "waiting": runs.audited_runs(connection)}
