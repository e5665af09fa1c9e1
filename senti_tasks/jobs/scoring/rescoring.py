"""Labels every review with a newly promoted model, range by range, until that model can serve."""

import logging
from typing import Any

from sqlalchemy import Connection

from senti_tasks.jobs.context import load_context, now
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.scoring import pending, runs

log = logging.getLogger(__name__)


def has_incoming() -> bool:
    """Whether there is an incoming model: promoted, but not in service before all reviews have its labels."""
    with load_context().reading() as connection:
        waiting = promotions.awaiting_service(connection)
    log.info("incoming model: %s", waiting["model_version"] if waiting else "none")
    return waiting is not None


def is_covered(run_ids: list[int]) -> bool:
    """Whether the model of these runs is the incoming one and has answered every review as of their due time."""
    with load_context().reading() as connection:
        if _incoming_promotion(connection, run_ids) is None:
            return False
        found = runs.run(connection, run_ids[0])
        missing = pending.count(connection, found["model_version"], due=found["due"])
    log.info("%s: %d reviews missing", found["model_version"], missing)
    return missing == 0


def start_service(run_ids: list[int]) -> dict[str, Any]:
    """Puts the model of the runs into service if it is still the incoming one; returns model (the one in service)."""
    with load_context().writing() as connection:
        if (promotion := _incoming_promotion(connection, run_ids)) is not None:
            promotions.start_service(connection, promotion["seq"], now=now())
        return {"model": promotions.in_service(connection)}


def _incoming_promotion(connection: Connection, run_ids: list[int]) -> dict[str, Any] | None:
    """The promotion of the runs' model, if that is the incoming model; otherwise ``None``."""
    waiting = promotions.awaiting_service(connection)
    model = runs.run(connection, run_ids[0])["model_version"]
    return waiting if waiting is not None and waiting["model_version"] == model else None
