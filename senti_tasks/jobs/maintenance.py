"""What a warehouse needs once a week besides a reconciliation: the tasks of ``maintain_warehouse``, in their order."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from senti_tasks.errors import DeletedReviewsError
from senti_tasks.jobs.context import load_context, now
from senti_tasks.jobs.erasure import erase
from senti_tasks.warehouse import database, erasure
from senti_tasks.warehouse.models import promotions, retention
from senti_tasks.warehouse.scoring import publication, publication_lock, rollups, runs

log = logging.getLogger(__name__)

DELETED_AT_ONCE = 20_000
"""Reviews per call of ``erase``: each call searches all labels and all snapshots."""
TIDIED = (
    *("review_labels", "review_label_history", "scoring_errors", "label_rollups", "run_shards", "scoring_runs"),
    "erased_reviews",
)


FEW_DELETED = 100
"""So many may be erased whatever their share is."""


def settle_deleted(idempotency_key: str) -> dict[str, int]:
    """Deals with labels whose reviews are gone from ``reviews``: SENTI_DELETED_REVIEWS=erase erases them.

    Returns deleted (how many such reviews there are) and erased.

    Raises ``DeletedReviewsError``, and erases nothing, when they are more than SENTI_DELETED_SHARE of all.
    """
    context = load_context()
    with database.reading(context.engine) as connection:
        deleted, present = erasure.count_deleted(connection)
    erased = 0
    if context.settings.deleted_reviews == "erase":
        most = context.settings.deleted_share * (deleted + present)
        if deleted > most and (deleted > FEW_DELETED or not present):
            raise DeletedReviewsError(
                f"{deleted:,} of {deleted + present:,} reviews are gone from reviews, more than SENTI_DELETED_SHARE "
                f"({context.settings.deleted_share:g}) lets go at once: nothing was erased, as that would be for "
                "good. Is the source being reloaded, or its view wrong? If they are meant to go, raise the setting and "
                "clear the task"
            )
        while erased < deleted:
            with database.reading(context.engine) as connection:
                gone = erasure.deleted_at_source(connection, limit=DELETED_AT_ONCE)
            if not gone:
                break
            erased += erase([str(key) for key in gone], "deleted at the source", idempotency_key)["erased"]
    log.info("%d reviews with labels are no longer in reviews; erased: %d", deleted, erased)
    return {"deleted": deleted, "erased": erased}


def retain() -> list[str]:
    """Drops the labels of models beyond the last SENTI_KEEP_MODELS, except those in use; returns their versions."""
    context = load_context()
    with database.reading(context.engine) as connection:
        versions = retention.expendable(connection, keep=context.settings.keep_models)
    for version in versions:
        with database.writing(context.engine) as connection:
            retention.drop_labels(connection, version)
        log.info("the labels of %s are dropped: a rollback to it takes a re-scoring", version)
    with database.writing(context.engine) as connection:
        publication_lock.take(connection)
        if promotions.champion(connection) is not None:
            rollups.rebuild(connection, promotions.in_service(connection))
    return versions


def tidy() -> dict[str, Any]:
    """Gives up runs of more than a week ago that later ones replaced, sweeps what finished runs have left, and vacuums
    the tables that change most."""
    context = load_context()
    with database.writing(context.engine) as connection:
        if overtaken := runs.abandon_overtaken(connection, before=now() - timedelta(days=7)):
            log.info("given up, as later runs were published: %s", overtaken)
    with database.writing(context.engine) as connection:
        publication.sweep(connection)
    database.tidy(context.engine, TIDIED)
    return {"tidied": list(TIDIED)}
