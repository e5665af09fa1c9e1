"""What a warehouse needs once a week besides a reconciliation: the tasks of ``maintain_warehouse``, in their order."""

from __future__ import annotations

import logging
from typing import Any

from senti_tasks.jobs.context import enter, now

log = logging.getLogger(__name__)

DELETED_AT_ONCE = 20_000
"""Every forgetting looks through all labels, and through all that was ever frozen."""
TIDIED = (
    *("review_labels", "review_label_history", "scoring_errors", "label_rollups", "run_shards", "scoring_runs"),
    "forgotten_reviews",
)


FEW_DELETED = 100
"""As many are forgotten whatever their share."""


def settle_deleted(origin: str) -> dict[str, int]:
    """What becomes of labels whose reviews are gone from ``reviews``: with SENTI_DELETED_REVIEWS=forget they are
    forgotten. Returns how many such reviews were found and forgotten.

    Raises ``DeletedReviewsError``, and forgets nothing, when they are more than SENTI_DELETED_SHARE of all.
    """
    from senti_tasks.errors import DeletedReviewsError
    from senti_tasks.jobs.erasure import forget
    from senti_tasks.warehouse import database, erasure

    place = enter()
    with database.reading(place.engine) as connection:
        deleted, present = erasure.count_deleted(connection)
    forgotten = 0
    if place.settings.deleted_reviews == "forget":
        most = place.settings.deleted_share * (deleted + present)
        if deleted > most and (deleted > FEW_DELETED or not present):
            raise DeletedReviewsError(
                f"{deleted:,} of {deleted + present:,} reviews are gone from reviews, more than SENTI_DELETED_SHARE "
                f"({place.settings.deleted_share:g}) lets go at once: nothing was forgotten, as that would be for "
                "good. Is the source being reloaded, or its view wrong? If they are meant to go, raise the setting and "
                "clear the task"
            )
        while forgotten < deleted:
            with database.reading(place.engine) as connection:
                gone = erasure.deleted_at_source(connection, limit=DELETED_AT_ONCE)
            if not gone:
                break
            forgotten += forget([str(key) for key in gone], "deleted at the source", origin)["forgotten"]
    log.info("%d reviews with labels are no longer in reviews; forgotten: %d", deleted, forgotten)
    return {"deleted": deleted, "forgotten": forgotten}


def retain() -> list[str]:
    """Drops the labels of models beyond the last SENTI_KEEP_MODELS, except those in use; returns their versions."""
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import promotions, retention
    from senti_tasks.warehouse.scoring import publication_lock, rollups

    place = enter()
    with database.reading(place.engine) as connection:
        versions = retention.expendable(connection, keep=place.settings.keep_models)
    for version in versions:
        with database.writing(place.engine) as connection:
            retention.drop_labels(connection, version)
        log.info("the labels of %s are dropped: a rollback to it takes a re-scoring", version)
    with database.writing(place.engine) as connection:
        publication_lock.lock(connection)
        if promotions.champion(connection) is not None:
            rollups.rebuild(connection, promotions.in_service(connection))
    return versions


def tidy() -> dict[str, Any]:
    """Gives up nights of more than a week ago that later ones made needless, sweeps what runs that are over have left,
    and vacuums what changes most."""
    from datetime import timedelta

    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.scoring import publication, runs

    place = enter()
    with database.writing(place.engine) as connection:
        if overtaken := runs.abandon_overtaken(connection, before=now() - timedelta(days=7)):
            log.info("given up, as later nights were published: runs %s", overtaken)
    with database.writing(place.engine) as connection:
        publication.sweep(connection)
    database.tidy(place.engine, TIDIED)
    return {"tidied": list(TIDIED)}
