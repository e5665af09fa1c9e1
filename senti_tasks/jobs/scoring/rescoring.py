"""Labels every review with a newly promoted model, range by range, until that model can serve."""

import logging
from typing import Any

from sqlalchemy import Connection

from senti_tasks.config import PlanConfig
from senti_tasks.errors import FrozenError, NoChampionError
from senti_tasks.jobs.context import load_context, now, parse_timestamp
from senti_tasks.jobs.scoring.runs import audit, plan, publish
from senti_tasks.jobs.scoring.shards import score_shard
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.scoring import pending, runs, watermarks

log = logging.getLogger(__name__)


def has_incoming() -> bool:
    """Whether there is an incoming model: promoted, but not in service before all reviews have its labels."""
    with load_context().reading() as connection:
        waiting = promotions.awaiting_service(connection)
    log.info("incoming model: %s", waiting["model_version"] if waiting else "none")
    return waiting is not None


def open_ranges(idempotency_key: str, due: str) -> list[int]:
    """Opens runs of scope ``rescore`` and returns their run_ids, at least one.

    Each covers a range of review keys that the incoming model has not answered. Ranges that earlier calls scored, and
    could not publish because of a freeze, are published first; while the freeze lasts, their reviews are left out. A
    repeated call with the same ``idempotency_key`` returns the same runs. Raises ``NoChampionError`` without an
    incoming model.
    """
    config = PlanConfig()
    _publish_waiting()
    with load_context().writing() as connection:
        if opened := runs.ranges_by_key(connection, idempotency_key):
            return opened
        waiting = promotions.awaiting_service(connection)
        if waiting is None:
            raise NoChampionError("no promoted model waits for its labels: there is nothing to re-score")
        model = waiting["model_version"]
        return runs.open_ranges(
            connection,
            idempotency_key=idempotency_key,
            model_version=model,
            variant=registry.serving_variant(connection, model)["variant"],
            due=parse_timestamp(due),
            now=now(),
            rows=config.range_rows,
            most=config.max_shards,
        )


def _publish_waiting() -> None:
    """Publishes the ranges of the incoming model that wait since a freeze, unless publishing is frozen still."""
    with load_context().reading() as connection:
        incoming = promotions.awaiting_service(connection)
        waiting = [] if incoming is None else runs.waiting_ranges(connection, incoming["model_version"])
    for run in waiting:
        _publish_unless_frozen(run)


def score_range(run: int) -> dict[str, Any]:
    """Plans, scores, audits and publishes one run. A later failure does not undo this range.

    Returns published, and the run's counts if it is ``True``. It is ``False`` during a freeze: the labels wait staged,
    and the next re-scoring after the freeze publishes them.
    """
    for shard in plan(run, 1):
        score_shard(run, shard)
    audit(run)
    return _publish_unless_frozen(run)


def _publish_unless_frozen(run: int) -> dict[str, Any]:
    try:
        return {"published": True, **publish(run)}
    except FrozenError as error:
        log.warning("%s; the next re-scoring after the freeze does so by itself", error)
        return {"published": False, "run_id": run}


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
            first = runs.run(connection, run_ids[0])
            watermarks.advance(connection, promotion["model_version"], min(first["due"], first["opened_at"]))
            promotions.start_service(connection, promotion["seq"], now=now())
        return {"model": promotions.in_service(connection)}


def _incoming_promotion(connection: Connection, run_ids: list[int]) -> dict[str, Any] | None:
    """The promotion of the runs' model, if that is the incoming model; otherwise ``None``."""
    waiting = promotions.awaiting_service(connection)
    model = runs.run(connection, run_ids[0])["model_version"]
    return waiting if waiting is not None and waiting["model_version"] == model else None
