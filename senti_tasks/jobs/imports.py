"""Imports reviews and labels from files, data sets on the hub, and queries of other databases."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from senti_tasks import intake, settings
from senti_tasks.errors import ConfigError, InputFileError
from senti_tasks.intake import Columns, Options, Record, Refusal, Row, Table
from senti_tasks.intake.readers import queries
from senti_tasks.intake.summary import LeftEmpty, summarise
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.text import text_hash
from senti_tasks.warehouse import importing, migrations
from senti_tasks.warehouse.importing import ImportCounts, ImportedRow
from senti_tasks.warehouse.types import parse_review_id, review_id_of_row

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 2.0
"""An import says how far it is each time that this many seconds have passed."""


@dataclass(frozen=True)
class Storing:
    """How an import stores what it reads."""

    annotator: str | None = None
    """Who gave the labels. ``None``: ``import:`` and the source."""
    clears_empty: bool = False
    """Whether an empty cell empties the field of a review that is stored; otherwise the field stays as it is."""
    finds_texts: bool = True
    """Whether a row without an id is a stored review with its text; otherwise it is always one of its own."""


Announce = Callable[[dict[str, Any]], None]
"""Called with the summary of an import, before anything is stored."""


def import_reviews(
    path: Path,
    columns: dict[str, Any],
    *,
    source: str | None = None,
    options: dict[str, Any] | None = None,
    label_map: str | None = None,
    storing: dict[str, Any] | None = None,
    dry_run: bool = False,
    announce: Announce | None = None,
    say: Callable[[str], None] = log.info,
) -> dict[str, Any]:
    """Imports a file in one transaction: all rows that are not refused, or none if the file cannot be read to its end.

    ``columns`` are the fields of ``intake.Columns``, ``options`` those of ``intake.Options``, and ``storing`` those of
    ``Storing``. ``source`` (default: the file's name) identifies the file in later imports: without an id column, the
    key of a row is made of ``source`` and the row's number. ``label_map`` gives the meaning of the values in the label
    column, as ``LabelSet.mapped`` reads it; without it, all values of the column decide. ``announce`` is called with
    the summary (``summary.summarise``) before anything is stored, and ``say`` with a line of progress every
    ``PROGRESS_SECONDS``.

    A file with an id and a label and without a text is an import of annotations: its labels are for stored reviews,
    also for those of a team's own table.

    Returns source, summary, annotator (of the labels), the fields of ``ImportCounts``, and left_empty
    (``summary.LeftEmpty``). ``dry_run`` stores nothing, reads a sample, and returns source and summary. Raises
    ``InputFileError``.
    """
    context, named = load_context(), _columns(columns, label_map)
    table = intake.open(path, Options(**options or {}))
    name = source or path.name
    how = Storing(**storing or {})
    return _import(context, table, path, named, name, label_map, how, dry_run=dry_run, announce=announce, say=say)


def import_query(
    url: str,
    query: Path,
    columns: dict[str, Any],
    *,
    source: str | None = None,
    label_map: str | None = None,
    storing: dict[str, Any] | None = None,
    dry_run: bool = False,
    announce: Announce | None = None,
    say: Callable[[str], None] = log.info,
) -> dict[str, Any]:
    """Imports the rows that the SQL in the file ``query`` gives in the database at ``url``; otherwise as
    ``import_reviews``. The default of ``source`` is made of the names of the database and the file."""
    context, named = load_context(), _columns(columns, label_map)
    try:
        sql = query.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputFileError(f"{query} cannot be read ({error}): expected a file with one SELECT") from error
    table, name = queries.open_query(url, sql), source or queries.source_name(url, query)
    how = Storing(**storing or {})
    return _import(context, table, query, named, name, label_map, how, dry_run=dry_run, announce=announce, say=say)


def find_files(patterns: list[str]) -> list[str]:
    """The files that ``patterns`` name: see ``intake.find``."""
    return [str(path) for path in intake.find(patterns)]


def import_dataset(
    name: str,
    columns: dict[str, Any],
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
    *,
    source: str | None = None,
    label_map: str | None = None,
    storing: dict[str, Any] | None = None,
    dry_run: bool = False,
    announce: Announce | None = None,
    say: Callable[[str], None] = log.info,
) -> dict[str, Any]:
    """Imports a split of the data set ``name`` (OWNER/NAME) on the Hugging Face Hub; otherwise as ``import_reviews``.

    The default of ``source`` is made of data set, configuration and split. ``revision`` is a branch, tag or commit
    (default: main); its commit is recorded, and returned as revision. Raises ``HubError`` and ``InputFileError``.
    """
    context, named = load_context(), _columns(columns, label_map)
    # Imported after load_context, because the hub's client reads HF_ENDPOINT when it is imported.
    from senti_tasks.intake.readers import hub_datasets

    found = hub_datasets.fetch(name, config, split, revision)
    result = _import(
        *(context, hub_datasets.open_split(found), found.source, named, source or found.source, label_map),
        Storing(**storing or {}),
        dry_run=dry_run,
        announce=announce,
        say=say,
        revision=found.commit,
    )
    return {**result, "revision": found.commit}


def _columns(columns: dict[str, Any], label_map: str | None) -> Columns:
    named = Columns(**columns)
    if label_map is not None and named.label is None:
        raise ConfigError("--label-map needs --label-column: name the column whose values it maps")
    return named


def _import(
    context: JobContext,
    table: Table,
    where: Path | str,
    columns: Columns,
    source: str,
    label_map: str | None,
    storing: Storing,
    *,
    dry_run: bool,
    announce: Announce | None,
    say: Callable[[str], None],
    revision: str | None = None,
) -> dict[str, Any]:
    """As ``import_reviews``, of the rows of ``table``, which messages call ``where``."""
    labels, zone = context.settings.label_set, context.settings.zone
    if not columns.is_annotations and columns.names_annotations(table.header):
        columns = columns.for_annotations()
    with context.reading() as connection:
        migrations.check_settings(connection, labels=str(labels))
        if not columns.is_annotations:
            importing.require_own_table(connection)
    if dry_run:
        summary = summarise(table, where, columns, zone, labels, label_map)
        return {"source": source, "summary": summary}
    coding = intake.code(_watched(table, f"{source}: reading the labels", say), where, columns, labels, label_map)
    summary = summarise(table, where, columns, zone, labels, coding=coding)
    if announce is not None:
        announce({"source": source, "summary": summary})
    counts, left_empty, annotator = ImportCounts(), LeftEmpty(), storing.annotator or f"import:{source}"
    rows = intake.build(_watched(table, f"{source}: importing", say), where, columns, zone, coding)
    with context.writing() as connection:
        id_type = migrations.recorded_setting(connection, "review_id_type")
        number = importing.source_id(connection, source)
        clears = storing.clears_empty
        clears_product = clears and columns.find(table.header, where)[2] is not None
        incoming = _incoming(rows, counts, left_empty, id_type, number, source, clears, clears_product)
        if columns.is_annotations:
            importing.annotate(connection, incoming, counts, annotator=annotator, now=now())
        else:
            importing.store(
                *(connection, incoming, counts),
                source=source,
                has_ids=columns.id is not None,
                now=now(),
                annotator=annotator,
                find_texts=storing.finds_texts,
                attributes=list(columns.further(table.header, where)),
            )
        if revision is not None:
            importing.record_revision(connection, number, revision)
    answer = {"source": source, "annotator": annotator, **asdict(counts), "changed": dict(counts.changed)}
    return {**answer, "left_empty": left_empty.fields, "summary": summary}


def _watched(table: Table, doing: str, say: Callable[[str], None]) -> Table:
    """``table``, of whose rows every reading says how many rows it has read, and how fast."""

    def rows() -> Iterator[Record]:
        started = said = time.monotonic()
        for number, row in enumerate(table.rows(), start=1):
            if number % 256 == 0 and (seconds := time.monotonic()) - said >= PROGRESS_SECONDS:
                said = seconds
                say(f"{doing}: {number:,} rows, {number / (seconds - started):,.0f} rows/s")
            yield row

    return replace(table, rows=rows)


def search_datasets(text: str, limit: int = 20) -> list[dict[str, Any]]:
    """Up to ``limit`` data sets that the Hugging Face Hub finds for ``text``: see ``hub.search_datasets``."""
    settings.load()  # first, because the hub's client reads HF_ENDPOINT when it is imported
    from senti_tasks import hub

    return hub.search_datasets(text, limit)


def _incoming(
    rows: Iterable[Row | Refusal],
    counts: ImportCounts,
    left_empty: LeftEmpty,
    id_type: str,
    source_id: int,
    source: str,
    clears: bool,
    clears_product: bool,
) -> Iterator[ImportedRow]:
    """The rows that are not refused, with their keys. ``clears`` and ``clears_product``: whether an empty cell empties
    an attribute or the product. Counts all rows, the refused ones with their reasons, and the
    cells that were left empty."""
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
        left_empty.add(row)
        attributes = {name: value for name, value in row.attributes.items() if clears or value is not None}
        yield ImportedRow(
            *(row.number, row.line, key, row.text or None),
            text_hash=None if row.label is None else text_hash(row.text),
            label=row.label,
            product=row.product,
            created_at=row.created_at,
            attributes=json.dumps(attributes, ensure_ascii=False, separators=(",", ":")) if attributes else None,
            clears_product=clears_product and row.product is None and not _is_unread(row, "product"),
        )


def _is_unread(row: Row, field: str) -> bool:
    return any(name == field for name, _ in row.left_empty)
