"""Annotations: labels that an import brings, for the reviews that it stores or for those that are there."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import text_hash_of
from senti_tasks.warehouse.erasure import is_erased
from senti_tasks.warehouse.importing.incoming import ImportCounts, ImportedRow, refuse, stage
from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import review_annotations, reviews


def write(connection: Connection, labelled: sa.FromClause, annotator: str, *, now: datetime) -> int:
    """Writes a row for each row of ``labelled`` (review_id, label, text_hash) that has a label, unless the newest label
    of this annotator for the review is the same and of the same text. Returns how many were written."""
    table, newest = review_annotations, review_annotations.alias("newest")
    row = labelled.c
    later = table.alias("later")
    is_newest = ~sa.exists().where(
        later.c.review_id == newest.c.review_id,
        later.c.annotator == annotator,
        later.c.annotated_at > newest.c.annotated_at,
    )
    said = sa.exists().where(
        newest.c.review_id == row.review_id,
        newest.c.annotator == annotator,
        newest.c.label == row.label,
        newest.c.text_hash == row.text_hash,
        is_newest,
    )
    values = sa.select(
        *(row.review_id, sa.literal(annotator, sa.Text), sa.literal(now, table.c.annotated_at.type)),
        *(row.label, row.text_hash),
    ).where(row.label.is_not(None), ~said)
    names = ["review_id", "annotator", "annotated_at", "label", "text_hash"]
    statement = sa.insert(table).from_select(names, values).execution_options(preserve_rowcount=True)
    return connection.execute(statement).rowcount


def annotate(
    connection: Connection, rows: Iterable[ImportedRow], counts: ImportCounts, *, annotator: str, now: datetime
) -> None:
    """Writes the labels of ``rows`` for reviews that are stored, also in a team's own table, and no reviews.

    A row is refused if there is no review with its id, if it states a text that is not the review's present one, or if
    an earlier row has the same id and another label. A row without a label, or with one that this annotator gave
    before, counts as already there, the others as labelled.
    """
    incoming = stage(connection, rows, recorded_setting(connection, "review_id_type"))
    row, earlier = incoming.c, incoming.alias("earlier").c
    present = sa.outerjoin(incoming, reviews, sa.and_(reviews.c.review_id == row.review_id, ~is_erased(row.review_id)))
    contradicts = sa.exists().where(
        earlier.review_id == row.review_id, earlier.number < row.number, earlier.label.is_distinct_from(row.label)
    )
    reason = sa.case(
        (reviews.c.review_id.is_(None), "unknown"),
        (row.review_text != reviews.c.review_text, "text"),
        (contradicts, "label"),
    )
    checked = sa.select(
        row.number, row.line, row.review_id, row.label, reason.label("reason"),
        text_hash_of(connection, reviews.c.review_text).label("text_hash"),
    ).select_from(present)  # fmt: skip
    creation = checked.into("checked", temporary=True)
    connection.execute(creation)
    found = creation.table
    refused = sa.select(found.c.line, found.c.review_id, found.c.reason).where(found.c.reason.is_not(None))
    refuse(connection, counts, refused, lambda key, why: _REASONS[why].format(key))
    numbers = sa.select(sa.func.min(found.c.number)).where(found.c.reason.is_(None)).group_by(found.c.review_id)
    once = sa.select(found).where(found.c.number.in_(numbers)).subquery("once")
    written = write(connection, once, annotator, now=now)
    counts.labelled += written
    counts.imported += written
    counts.already_there += counts.rows - counts.refused - written


_REASONS = {
    "unknown": "there is no review with the id {}",
    "text": "review {} has another text now: the label was given to a text that it no longer has",
    "label": "id {} stands in an earlier line with another label",
}
