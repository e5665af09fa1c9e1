"""Weekly maintenance: the tasks of ``maintain_warehouse`` beside its scoring run, in the order in which they run."""

import logging
from datetime import timedelta
from typing import Any

from senti_tasks.errors import DeletedReviewsError
from senti_tasks.jobs.context import load_context, now
from senti_tasks.jobs.erasure import erase
from senti_tasks.warehouse import database, erasure, migrations, product_names
from senti_tasks.warehouse.models import promotions, retention
from senti_tasks.warehouse.scoring import publication, publication_lock, rollups, runs
from senti_tasks.warehouse.types import is_review_id

log = logging.getLogger(__name__)

DELETED_AT_ONCE = 20_000
"""Reviews per call of ``erase``. A call searches all labels and all snapshots, so small batches would be slow."""
FEW_DELETED = 100
"""Up to this number of reviews may be erased, whatever their share of all reviews is."""
VACUUMED = (
    *("review_labels", "review_label_history", "scoring_errors", "label_rollups", "product_rollups", "products"),
    *("run_shards", "scoring_runs", "erased_reviews"),
)
"""The tables that change most."""


def settle_deleted(idempotency_key: str) -> dict[str, int]:
    """Counts the labelled reviews that are no longer in ``reviews``; SENTI_DELETED_REVIEWS=erase also erases them.

    In SQLite, a key that is not of SENTI_REVIEW_ID_TYPE cannot be recorded as erased, so the labels of such a review
    stay. Returns deleted (their number) and erased. Raises ``DeletedReviewsError``, and erases nothing, if they are
    more than ``FEW_DELETED`` and more than SENTI_DELETED_SHARE of all reviews, or if ``reviews`` is empty.
    """
    context = load_context()
    with context.reading() as connection:
        deleted, present = erasure.count_deleted(connection)
        id_type = migrations.recorded_setting(connection, "review_id_type")
    erased = 0
    if context.settings.deleted_reviews == "erase":
        most = context.settings.deleted_share * (deleted + present)
        if deleted > most and (deleted > FEW_DELETED or not present):
            raise DeletedReviewsError(
                f"{deleted:,} of {deleted + present:,} reviews are gone from reviews, more than SENTI_DELETED_SHARE "
                f"({context.settings.deleted_share:g}) allows at once: nothing was erased, because an erasure cannot "
                "be undone. Is the source being reloaded, or is its view wrong? If these reviews should be erased, "
                "raise the setting and clear the task"
            )
        while erased < deleted:
            with context.reading() as connection:
                gone = erasure.deleted_at_source(connection, limit=DELETED_AT_ONCE)
            keys = [str(key) for key in gone if is_review_id(key, id_type)]  # SQLite sorts all others behind these
            if not keys:
                break
            erased += erase(keys, "deleted at the source", idempotency_key)["erased"]
    log.info("%d reviews with labels are no longer in reviews; erased: %d", deleted, erased)
    return {"deleted": deleted, "erased": erased}


def retain() -> list[str]:
    """Drops the labels of all models but the last SENTI_KEEP_MODELS that served and those in use. Then gives the labels
    of the model in service the present products of their reviews, and rebuilds its rollups. Returns the versions whose
    labels were dropped."""
    context, dropped = load_context(), []
    keep = context.settings.keep_models
    with context.reading() as connection:
        versions = retention.unneeded_versions(connection, keep=keep)
    for version in versions:
        with context.writing() as connection:
            publication_lock.take(connection)
            if version not in retention.unneeded_versions(connection, keep=keep):
                continue  # a rollback has put it into service meanwhile
            retention.drop_labels(connection, version)
        dropped.append(version)
        log.info("the labels of %s were dropped: a rollback to it needs a re-scoring", version)
    with context.writing() as connection:
        publication_lock.take(connection)
        if promotions.champion(connection) is not None:
            serving = promotions.in_service(connection)
            moved = product_names.refresh(connection, serving)
            rollups.rebuild(connection, serving)
            log.info("%d labels got another product, because it had changed without updated_at", moved)
    return dropped


def tidy() -> dict[str, Any]:
    """Abandons unpublished runs that nobody needs, deletes the staged rows of finished runs, and vacuums ``VACUUMED``,
    whose names it returns as tidied.

    Not needed are runs older than a week if a later series was published, and those of models that are neither in
    service nor incoming. Held and audited runs wait for their publication.
    """
    context = load_context()
    with context.writing() as connection:
        if overtaken := runs.abandon_overtaken(connection, before=now() - timedelta(days=7)):
            log.info("abandoned, because later runs were published: %s", overtaken)
        champion = promotions.champion(connection)
        if champion is not None:
            in_use = {champion, promotions.in_service(connection)}
            if unneeded := runs.abandon_unused(connection, in_use=in_use):
                log.info("abandoned, because their models are no longer in use: %s", unneeded)
    with context.writing() as connection:
        publication.sweep(connection)
    database.vacuum(context.engine, VACUUMED)
    return {"tidied": list(VACUUMED)}
