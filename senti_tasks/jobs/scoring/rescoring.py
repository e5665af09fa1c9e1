"""Labels every review with a newly promoted model, range by range, until it can serve."""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Connection

from senti_tasks.config import PlanConfig
from senti_tasks.errors import NoChampionError
from senti_tasks.jobs.context import load_context, now, parse_timestamp
from senti_tasks.jobs.scoring.publication import audit, publish
from senti_tasks.jobs.scoring.runs import plan
from senti_tasks.jobs.scoring.shards import score_shard
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.scoring import pending, runs, watermarks

log = logging.getLogger(__name__)


def has_incoming() -> bool:
    """Whether a promoted model waits for its labels before it may serve."""
    context = load_context()
    with database.reading(context.engine) as connection:
        waiting = promotions.incoming(connection)
    log.info("waiting for its labels: %s", waiting["model_version"] if waiting else "no model")
    return waiting is not None


def open_ranges(idempotency_key: str, due: str) -> list[int]:
    """Opens runs of scope ``rescore``, each of a range of keys that the incoming model has not answered, or finds those
    that ``idempotency_key`` opened before; at least one. Raises ``NoChampionError`` when no promoted model waits."""
    context, config = load_context(), PlanConfig()
    with database.writing(context.engine) as connection:
        if opened := runs.ranges_by_key(connection, idempotency_key):
            return opened
        waiting = promotions.incoming(connection)
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


def score_range(run: int) -> dict[str, Any]:
    """A run from its plan to its publication: what is done of a re-scoring stays done, range by range."""
    for shard in plan(run, 1):
        score_shard(run, shard)
    audit(run)
    return publish(run)


def is_covered(run_ids: list[int]) -> bool:
    """Whether the model of these runs waits to serve and has answered every review as it stood at their due time."""
    context = load_context()
    with database.reading(context.engine) as connection:
        if _awaited(connection, run_ids) is None:
            return False
        found = runs.run(connection, run_ids[0])
        missing = pending.count(connection, found["model_version"], due=found["due"])
    log.info("%s: %d reviews missing", found["model_version"], missing)
    return missing == 0


def start_service(run_ids: list[int]) -> dict[str, Any]:
    """Lets the model that the runs completed serve, unless it was superseded; returns the model in service."""
    context = load_context()
    with database.writing(context.engine) as connection:
        if (promotion := _awaited(connection, run_ids)) is not None:
            first = runs.run(connection, run_ids[0])
            watermarks.advance(connection, promotion["model_version"], min(first["due"], first["opened_at"]))
            promotions.start_service(connection, promotion["seq"], now=now())
        return {"model": promotions.in_service(connection)}


def _awaited(connection: Connection, run_ids: list[int]) -> dict[str, Any] | None:
    """The promotion that waits for the labels of the runs' model, if there is one."""
    waiting = promotions.incoming(connection)
    model = runs.run(connection, run_ids[0])["model_version"]
    return waiting if waiting is not None and waiting["model_version"] == model else None
