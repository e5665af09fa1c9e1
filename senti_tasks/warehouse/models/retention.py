"""Which models keep their labels: those in use, the one to roll back to, and the last ones that served."""

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import NoChampionError, RegistryError
from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.schema import (
    label_rollups,
    review_label_history,
    review_labels,
    scoring_errors,
    scoring_runs,
)
from senti_tasks.warehouse.scoring import publication_lock, watermarks


def expendable(connection: Connection, *, keep: int) -> list[str]:
    """Versions that have labels and need not: neither in use, nor where a rollback goes, nor of the last ``keep``."""
    needed = {promotions.champion(connection), *_served(connection)[:keep]}
    for wanted in (promotions.in_service, promotions.previous_champion):
        try:
            needed.add(wanted(connection))
        except (NoChampionError, RegistryError):
            continue  # there is none to keep
    with_labels = set(connection.execute(sa.select(label_rollups.c.model_version).distinct()).scalars())
    return sorted(with_labels - needed)


def _served(connection: Connection) -> list[str]:
    """Versions that ever served, each once, the last one first."""
    served = [row["model_version"] for row in promotions.history(connection) if row["serving_since"] is not None]
    return list(dict.fromkeys(served))


def drop_labels(connection: Connection, version: str) -> None:
    """Removes the labels of a model, its history and errors. A rollback to it then takes a re-scoring.

    Its runs that were not published are abandoned: one that was published later would set a watermark with only a few
    labels behind it. On PostgreSQL the labels are a partition, which goes at once. Raises ``LockedError`` when a reader
    holds it too long.
    """
    publication_lock.take(connection)
    of_it = sa.and_(scoring_runs.c.model_version == version, scoring_runs.c.state != "published")
    connection.execute(sa.update(scoring_runs).where(of_it).values(state="abandoned"))
    for table in (review_label_history, scoring_errors, label_rollups):
        connection.execute(sa.delete(table).where(table.c.model_version == version))
    watermarks.remove(connection, version)
    partitions.drop(connection, review_labels, version)  # last: nobody can read any model's labels from here on
    partitions.make(connection, review_labels, version)  # it may be promoted again
