"""Labels what the model that analysts see, or are to see, has not labelled yet, after a promotion or a rollback."""

import logging

from senti_tasks.config import PlanConfig
from senti_tasks.errors import FrozenError
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.scoring.runs import open_series, publish_series
from senti_tasks.jobs.scoring.shards import complete_series
from senti_tasks.warehouse.models import promotions, service
from senti_tasks.warehouse.scoring import publication_lock

log = logging.getLogger(__name__)

ROUNDS = 10
"""Rounds of ``catch_up`` in one call. Each needs another publication in between; nobody publishes that often."""


def scope_to_catch_up() -> str | None:
    """The scope of the run that is needed, or ``None``. During a freeze none is needed: it could not be published.

    ``rescore`` if there is an incoming model: promoted, but not in service before it has labelled what the model in
    service has. ``reconcile`` if labels of another model were carried over to the model in service, by a rollback.
    """
    with load_context().reading() as connection:
        if promotions.champion(connection) is None or publication_lock.current_freeze(connection) is not None:
            return None
        incoming, serving = promotions.awaiting_service(connection), promotions.in_service(connection)
        log.info("in service: %s; incoming: %s", serving, incoming["model_version"] if incoming else "none")
        if incoming is not None:
            return "rescore"
        return "reconcile" if service.has_work(connection, serving) else None


def catch_up(idempotency_key: str, due: str) -> bool:
    """Labels what was published for the model in service while the incoming model's re-scoring was running, until
    that model is in service. Returns whether no model is incoming any more.

    Each round takes less time than the one before it. It returns ``False`` if more than ``PlanConfig.range_rows``
    reviews are missing, or when publishing is frozen; then the next call goes on.
    """
    few = PlanConfig().range_rows
    for number in range(ROUNDS):
        with load_context().reading() as connection:
            incoming = promotions.awaiting_service(connection)
            if incoming is None:
                return True
            model, serving = incoming["model_version"], promotions.in_service(connection)
            missing = service.count_missing(connection, model, serving)
            frozen = publication_lock.current_freeze(connection) is not None
        log.info("%s: %d reviews missing", model, missing)
        if missing > few or frozen:
            return False
        run_ids = open_series(f"{idempotency_key}/{number}", due, "rescore")
        complete_series(run_ids)
        try:
            publish_series(run_ids)
        except FrozenError:  # it was frozen meanwhile; the labels wait staged
            return False
    return False
