"""What a warehouse needs once a week besides a reconciliation: the tasks of ``maintain_warehouse``, in their order."""

from __future__ import annotations

import logging
from typing import Any

from senti_tasks.jobs.workplace import enter

log = logging.getLogger(__name__)

DELETED_AT_ONCE = 20_000
"""Every forgetting looks through all labels, and through all that was ever frozen."""
TIDIED = ("review_labels", "review_label_history", "scoring_errors", "label_rollups", "run_shards", "scoring_runs")


def settle_deleted(origin: str) -> dict[str, int]:
    """What becomes of labels whose reviews are gone from ``reviews``: with SENTI_DELETED_REVIEWS=forget they are
    forgotten. Returns how many such reviews were found (counted up to 20,000 where they are kept) and forgotten."""
    from senti_tasks.jobs.erasure import forget
    from senti_tasks.warehouse import database, erasure

    place = enter()
    found = forgotten = 0
    while True:
        with database.reading(place.engine) as connection:
            gone = erasure.deleted_at_source(connection, limit=DELETED_AT_ONCE)
        found += len(gone)
        if not gone or place.settings.deleted_reviews == "keep":
            log.info("%d reviews with labels are no longer in reviews; forgotten: %d", found, forgotten)
            return {"deleted": found, "forgotten": forgotten}
        forgotten += forget([str(key) for key in gone], "deleted at the source", origin)["forgotten"]


def retain() -> list[str]:
    """Drops the labels of models beyond the last SENTI_KEEP_MODELS, except those in use; returns their versions."""
    from senti_tasks.warehouse import clock, database, promotions, retention, rollups

    place = enter()
    with database.reading(place.engine) as connection:
        versions = retention.expendable(connection, keep=place.settings.keep_models)
    for version in versions:
        with database.writing(place.engine) as connection:
            retention.drop_labels(connection, version)
        log.info("the labels of %s are dropped: a rollback to it takes a re-scoring", version)
    with database.writing(place.engine) as connection:
        clock.lock(connection)
        if promotions.champion(connection) is not None:
            rollups.rebuild(connection, promotions.in_service(connection))
    return versions


def tidy() -> dict[str, Any]:
    """Sweeps what runs that are over have left, and vacuums what changes most."""
    from senti_tasks.warehouse import database, publication

    place = enter()
    with database.writing(place.engine) as connection:
        publication.sweep(connection)
    database.tidy(place.engine, TIDIED)
    return {"tidied": list(TIDIED)}
