"""Weekly maintenance: the tasks of ``maintain_warehouse`` beside its scoring run, in the order in which they run."""

import logging
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from senti_tasks.errors import DeletedReviewsError
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.jobs.operations.erasure import erase_from_artifacts
from senti_tasks.warehouse import database, erasure, migrations, product_names
from senti_tasks.warehouse.models import promotions, retention
from senti_tasks.warehouse.scoring import publication, publication_lock, rollups, runs
from senti_tasks.warehouse.types import is_review_id

log = logging.getLogger(__name__)

DELETED_AT_ONCE = 20_000
"""Reviews erased in one transaction. Each searches all labels, so small batches would be slow."""
FEW_DELETED = 100
"""Up to this number of reviews may be erased, whatever their share of all reviews is."""
JUDGEMENT_DAYS = 365
"""What a promotion or a judgement of so many days rests on is never deleted."""
DAYS_SHOWN = 90
"""Without SENTI_KEEP_ARTIFACTS_DAYS, nothing is deleted; shown is what is older than this number of days."""
KINDS = ("corpora", "texts", "encoders", "models", "variants", "evaluations")
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
    erased, removed = 0, set[str]()
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
            keys = [key for key in gone if is_review_id(key, id_type)]  # SQLite sorts all others behind these
            if not keys:
                break
            with context.writing() as connection:
                new, rows = erasure.erase(
                    connection, keys, actor=idempotency_key, reason="deleted at the source", now=now()
                )
            erased += new
            removed.update(name for name, number in rows.items() if number)
        # Once for all batches, and each week: a call may have been killed before it came to the artifacts.
        erase_from_artifacts(context)
        context.remove_left_scratch()
        if removed:
            database.remove_remains(context.engine, removed)
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


def retire_artifacts(days: int | None = None, delete: bool | None = None) -> dict[str, Any]:
    """Deletes artifacts that nothing needs and that are older than ``days``, or only finds them.

    ``days`` defaults to SENTI_KEEP_ARTIFACTS_DAYS, and ``delete`` to whether that is set; without it, ``days`` is
    ``DAYS_SHOWN``. What stays is what ``retention.unneeded_artifacts`` calls needed, for the last SENTI_KEEP_MODELS
    models that served and the judgements of the last ``JUDGEMENT_DAYS``; and the evaluations of models that stay.
    Artifacts without a row in the warehouse, which killed attempts leave, are deleted by their age alone. So are the
    checkpoints on this machine. A call that was killed is completed by the next one.

    Returns days, deleted (whether), artifacts (artifact, bytes and made_at of each, oldest first), bytes (in all) and
    checkpoints (folders on this machine).
    """
    context, today = load_context(), now()
    setting = context.settings.keep_artifacts_days
    days = days or setting or DAYS_SHOWN
    delete = setting is not None if delete is None else delete
    limits: dict[str, Any] = {
        "keep": context.settings.keep_models,
        "before": today - timedelta(days=days),
        "judged_since": today - timedelta(days=max(days, JUDGEMENT_DAYS)),
    }
    with context.reading() as connection:
        recorded = {row["artifact"]: row["made_at"] for row in retention.unneeded_artifacts(connection, **limits)}
        unrecorded = _unrecorded(context, connection, limits)
    if delete:
        with context.writing() as connection:
            retention.lock_models(connection)  # a model that is promoted meanwhile is needed
            still = {row["artifact"] for row in retention.unneeded_artifacts(connection, **limits)}
            retention.retire(connection, still & set(recorded), now=today)
        recorded = {artifact: made for artifact, made in recorded.items() if artifact in still}
    found = [
        {"artifact": artifact, "bytes": context.store.size_and_age(artifact)[0], "made_at": made.isoformat()}
        for artifact, made in sorted((recorded | unrecorded).items(), key=lambda item: (item[1], item[0]))
    ]
    if delete:
        for row in found:
            context.store.remove(row["artifact"])
        context.store.remove_orphans()
    before = limits["before"]
    checkpoints = context.remove_left_trainings(before) if delete else context.left_trainings(before)
    total = sum(row["bytes"] for row in found)
    log.info(
        "%d artifacts (%.1f MB) older than %d days that nothing needs %s",
        *(len(found), total / 1e6, days, "were deleted" if delete else "can be deleted: set SENTI_KEEP_ARTIFACTS_DAYS"),
    )
    answer = {"days": days, "deleted": delete, "artifacts": found, "bytes": total}
    return {**answer, "checkpoints": [str(folder) for folder in checkpoints]}


def _unrecorded(context: JobContext, connection: Connection, limits: dict[str, Any]) -> dict[str, datetime]:
    """The artifacts in the store that can go and that no row says are there, with the time of their newest change:
    remainders of killed attempts, artifacts that a killed retention left, and evaluations of models that went."""
    present, retired = retention.recorded_artifacts(connection)
    versions = retention.needed_versions(connection, **limits)
    found = {}
    for artifact in {name for kind in KINDS for name in context.store.names(kind)} - present:
        kind, _, name = artifact.partition("/")
        if kind == "evaluations" and name.rpartition("-")[0] in versions:
            continue
        changed = context.store.size_and_age(artifact)[1]
        if artifact in retired or (changed is not None and changed < limits["before"]):
            found[artifact] = changed or limits["before"]
    return found


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
