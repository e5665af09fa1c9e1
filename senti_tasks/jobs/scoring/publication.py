"""A scored run to published labels: the audit, then one transaction."""

from __future__ import annotations

import logging
from typing import Any

from senti_tasks.errors import LockedError
from senti_tasks.jobs.context import load_context, now
from senti_tasks.warehouse import database
from senti_tasks.warehouse.scoring import publication

log = logging.getLogger(__name__)


def audit(run: int, anyway: str | None = None, actor: str | None = None) -> dict[str, Any]:
    """Runs the checks of ``sql/checks`` on what the run staged. Raises ``AuditError`` with the offenders.

    ``anyway``: why ``actor`` overrules the checks that compare the run with those before it.
    """
    context = load_context()
    with database.writing(context.engine) as connection:
        return publication.audit(connection, run, anyway=anyway, actor=actor)


def publish(run: int) -> dict[str, Any]:
    """Publishes an audited run in one transaction; returns its counts. Publishing twice changes nothing."""
    context = load_context()
    with database.writing(context.engine) as connection:
        published = publication.publish(connection, run, now=now())
    try:
        with database.writing(context.engine) as connection:
            publication.sweep(connection)
    except LockedError as error:  # somebody reads staged rows: the next publication sweeps them too
        log.info("staged rows are left for the next sweep: %s", error)
    counts = ("run_id", "model_version", "publish_seq", "planned", "labelled", "failed", "superseded", "truncated")
    return {name: published[name] for name in counts}
