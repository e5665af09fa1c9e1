"""Jobs on the warehouse itself: migrate it, report its state, freeze publishing."""

import logging
from datetime import timedelta
from typing import Any

from senti_tasks.jobs.context import load_context, now
from senti_tasks.warehouse import days, migrations, overview
from senti_tasks.warehouse.scoring import decisions, publication_lock, runs

log = logging.getLogger(__name__)


def migrate(recount_days: bool = False) -> dict[str, Any]:
    """Brings the warehouse to the newest schema and gives the roles of ``sql/roles`` their rights; safe to repeat.

    Returns before and after (revisions), views, and roles (those that the server has).

    ``recount_days`` allows a changed SENTI_TIMEZONE: see ``days.recount``, whose result is returned as recounted.
    Without it, such a setting raises ``WarehouseError``, and recounted is ``None``.
    """
    context = load_context(migrated=False)
    migrated = migrations.migrate(
        context.engine,
        review_id_type=context.settings.review_id_type,
        reviews_table=context.settings.reviews_table,
        label_set=context.settings.label_set,
        timezone=context.settings.timezone,
        check_timezone=not recount_days,
    )
    recounted = None
    if recount_days:
        with context.writing() as connection:
            recounted = days.recount(connection, context.settings.timezone)
    return {**migrated, "recounted": recounted}


def status() -> dict[str, Any]:
    """Numbers of reviews, annotated and pending, champion, model in service, the freeze in force, the held runs, and
    the last runs."""
    context = load_context()
    with context.reading() as connection:
        return overview.status(connection, overlap=timedelta(hours=context.settings.overlap_hours))


def freeze(reason: str, actor: str) -> dict[str, Any]:
    """Freezes publishing, on record. Returns when, by whom and why it was frozen; an existing freeze is not changed."""
    with load_context().writing() as connection:
        publication_lock.take(connection)
        if (frozen := publication_lock.current_freeze(connection)) is not None:
            return frozen
        at = now()
        decisions.record(connection, "freeze", actor=actor, reason=reason, now=at)
        return publication_lock.freeze(connection, by=actor, reason=reason, now=at)


def unfreeze(actor: str, reason: str | None = None) -> dict[str, Any]:
    """Ends the freeze, on record. Returns was_frozen, and waiting: the audited runs that are not published."""
    with load_context().writing() as connection:
        if was_frozen := publication_lock.unfreeze(connection):
            decisions.record(connection, "unfreeze", actor=actor, reason=reason, now=now())
        return {"was_frozen": was_frozen, "waiting": runs.audited_runs(connection)}
