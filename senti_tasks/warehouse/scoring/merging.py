"""Writes labels to ``review_labels``, with the history of those they replace and the rollups. The publication lock is
held meanwhile."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import upsert
from senti_tasks.warehouse.schema import review_label_history, review_labels, reviews
from senti_tasks.warehouse.scoring import publication_lock, rollups

LABEL_COLUMNS = [column.name for column in review_labels.c if column.name != "publish_seq"]


def merge(connection: Connection, decided: sa.Select[Any], seq: int) -> sa.Table:
    """Writes the labels that ``decided`` publishes, the history of those they replace, and the rollups. Returns
    ``decided`` as a temporary table, which the caller drops."""
    publishing = _create_publishing(connection, decided)
    _keep_history(connection, publishing, seq)
    rollups.add(connection, publishing)
    _write(connection, publishing, seq)
    return publishing


def _create_publishing(connection: Connection, decided: sa.Select[Any]) -> sa.Table:
    """Stores ``decided`` in the temporary table ``publishing``, since several statements of a publication read it."""
    creation = decided.into("publishing", temporary=True)
    connection.execute(creation)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE publishing (review_id, label, publishes, replaces)")
    return creation.table


def _keep_history(connection: Connection, publishing: sa.Table, seq: int) -> None:
    old, new = review_labels, publishing.c
    replaced = (
        sa.select(*old.c, sa.literal(seq, sa.BigInteger))
        .join(publishing, sa.and_(new.model_version == old.c.model_version, new.review_id == old.c.review_id))
        .where(new.replaces, new.text_hash != old.c.text_hash)
    )
    connection.execute(sa.insert(review_label_history).from_select([*old.c.keys(), "replaced_by"], replaced))


def _write(connection: Connection, publishing: sa.Table, seq: int) -> None:
    new = publishing.c
    # In order of the key, rows that are neighbours in the index are written together.
    labels = sa.select(*(new[name] for name in LABEL_COLUMNS), sa.literal(seq, sa.BigInteger)).order_by(new.review_id)
    names = [*LABEL_COLUMNS, "publish_seq"]
    # Most labels of a run are new. A plain INSERT for these saves the search for conflicts: a fifth of the time.
    connection.execute(sa.insert(review_labels).from_select(names, labels.where(new.publishes & ~new.replaces)))
    connection.execute(upsert(connection, review_labels).from_select(names, labels.where(new.replaces)))


def carry_over(connection: Connection, source: str, target: str) -> None:
    """Copies the labels of the model ``source`` that ``target`` lacks. The caller is about to put ``target`` into
    service instead of ``source``, so that no review that had a label is without one.

    ``target`` lacks a label if it has none for the review, or only one of an older text while ``source`` has one of the
    present text, or only an earlier copy. A copy names the model that made the label in ``carried_from``, and is not an
    answer of ``target``: the review stays pending for it.
    """
    seq = publication_lock.take(connection)["publish_seq"] + 1
    theirs, own = review_labels.alias("theirs"), review_labels.alias("own")
    same_review = sa.and_(own.c.model_version == target, own.c.review_id == theirs.c.review_id)
    # A subquery instead of a join: it is computed only for the few reviews that have a label of another version.
    present = sa.select(reviews.c.updated_at).where(reviews.c.review_id == theirs.c.review_id).scalar_subquery()
    is_stale = sa.and_(own.c.review_updated_at != theirs.c.review_updated_at, theirs.c.review_updated_at == present)
    is_earlier_copy = sa.and_(  # of the label that another run has made, for the same text
        own.c.carried_from.is_not(None),
        own.c.review_updated_at == theirs.c.review_updated_at,
        own.c.run_id != theirs.c.run_id,
    )
    copied: dict[str, sa.ColumnElement[Any]] = {name: theirs.c[name] for name in LABEL_COLUMNS}
    copied["model_version"] = sa.literal(target, sa.Text).label("model_version")
    made_by = sa.func.coalesce(theirs.c.carried_from, theirs.c.model_version)
    copied["carried_from"] = sa.func.nullif(made_by, target).label("carried_from")
    is_missing = own.c.review_id.is_(None)
    lacking = (
        sa.select(*copied.values(), sa.true().label("publishes"), (~is_missing).label("replaces"))
        .select_from(theirs.outerjoin(own, same_review))
        .where(theirs.c.model_version == source, sa.or_(is_missing, is_stale, is_earlier_copy))
    )
    merge(connection, lacking, seq).drop(connection)
    publication_lock.advance(connection, seq)
