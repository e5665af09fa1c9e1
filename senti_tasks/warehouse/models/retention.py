"""Removes labels of old models. Models in use, the rollback target and the last ones in service keep theirs."""

from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import NoChampionError, RegistryError
from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.schema import (
    label_rollups,
    product_rollups,
    review_label_history,
    review_labels,
    scoring_errors,
    scoring_runs,
    scoring_watermarks,
)
from senti_tasks.warehouse.scoring import held_runs, publication_lock


def unneeded_versions(connection: Connection, *, keep: int) -> list[str]:
    """The versions, in order, whose labels can be removed: they are not in use, a rollback does not return to them,
    they are not among the last ``keep`` that were in service, and they have no held run."""
    served = [row["model_version"] for row in promotions.history(connection) if row["serving_since"] is not None]
    needed = {promotions.champion(connection), *list(dict.fromkeys(served))[:keep]}
    for find in (promotions.in_service, promotions.previous_champion):
        with suppress(NoChampionError, RegistryError):
            needed.add(find(connection))
    needed.update(connection.execute(sa.select(scoring_runs.c.model_version).where(held_runs.IS_HELD)).scalars())
    with_labels = set(connection.execute(sa.select(label_rollups.c.model_version).distinct()).scalars())
    return sorted(with_labels - needed)


def drop_labels(connection: Connection, version: str) -> None:
    """Removes the labels, label history, errors and watermark of a model. A rollback to it then needs a re-scoring.

    Its unpublished runs are abandoned: if one were published later, the watermark would claim labels that were removed.
    On PostgreSQL the labels are a partition, which is dropped. Raises ``LockedError`` when a reader holds its lock for
    too long.
    """
    publication_lock.take(connection)
    unpublished = sa.and_(scoring_runs.c.model_version == version, scoring_runs.c.state != "published")
    connection.execute(sa.update(scoring_runs).where(unpublished).values(state="abandoned"))
    for table in (review_label_history, scoring_errors, label_rollups, product_rollups, scoring_watermarks):
        connection.execute(sa.delete(table).where(table.c.model_version == version))
    partitions.drop(connection, review_labels, version)  # last: its lock blocks readers of every model's labels
    partitions.create(connection, review_labels, version)  # the model may be promoted again
