"""Labels every review with a newly promoted model, range by range, until it can serve."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.context import enter, instant, now
from senti_tasks.jobs.scoring.publication import audit, publish
from senti_tasks.jobs.scoring.runs import plan
from senti_tasks.jobs.scoring.shards import score_shard

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger(__name__)


def has_incoming() -> bool:
    """Whether a promoted model waits for its labels before it may serve."""
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import promotions

    place = enter()
    with database.reading(place.engine) as connection:
        waiting = promotions.incoming(connection)
    log.info("waiting for its labels: %s", waiting["model_version"] if waiting else "no model")
    return waiting is not None


def open_ranges(origin: str, due: str) -> list[int]:
    """Opens runs of scope ``rescore``, each of a range of keys that the incoming model has not answered, or finds those
    that ``origin`` opened before; at least one. Raises ``NoChampionError`` when no promoted model waits."""
    from senti_tasks.config import ScoreConfig
    from senti_tasks.errors import NoChampionError
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import promotions, registry
    from senti_tasks.warehouse.scoring import runs

    place, config = enter(), ScoreConfig()
    with database.writing(place.engine) as connection:
        if opened := runs.ranges_of_origin(connection, origin):
            return opened
        waiting = promotions.incoming(connection)
        if waiting is None:
            raise NoChampionError("no promoted model waits for its labels: there is nothing to re-score")
        model = waiting["model_version"]
        return runs.open_ranges(
            connection,
            origin=origin,
            model_version=model,
            form=registry.serving_form(connection, model)["form"],
            due=instant(due),
            at=now(),
            rows=config.range_rows,
            most=config.max_shards,
        )


def score_range(run: int) -> dict[str, Any]:
    """A run from its plan to its publication: what is done of a re-scoring stays done, range by range."""
    for shard in plan(run, 1):
        score_shard(run, shard)
    audit(run)
    return publish(run)


def is_covered(runs: list[int]) -> bool:
    """Whether the model of these runs waits to serve and has answered every review as it stood at their due time."""
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.scoring import pending
    from senti_tasks.warehouse.scoring.runs import run as run_of

    place = enter()
    with database.reading(place.engine) as connection:
        if _awaited(connection, runs) is None:
            return False
        found = run_of(connection, runs[0])
        missing = pending.count(connection, found["model_version"], due=found["due"])
    log.info("%s: %d reviews missing", found["model_version"], missing)
    return missing == 0


def start_service(runs: list[int]) -> dict[str, Any]:
    """Lets the model that the runs completed serve, unless it was superseded; returns the model in service."""
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import promotions
    from senti_tasks.warehouse.scoring import watermarks
    from senti_tasks.warehouse.scoring.runs import run as run_of

    place = enter()
    with database.writing(place.engine) as connection:
        if (promotion := _awaited(connection, runs)) is not None:
            first = run_of(connection, runs[0])
            watermarks.advance(connection, promotion["model_version"], min(first["due"], first["opened_at"]))
            promotions.start_service(connection, promotion["seq"], at=now())
        return {"model": promotions.in_service(connection)}


def _awaited(connection: Connection, runs: list[int]) -> dict[str, Any] | None:
    """The promotion that waits for the labels of the runs' model, if there is one."""
    from senti_tasks.warehouse.models import promotions
    from senti_tasks.warehouse.scoring.runs import run as run_of

    waiting = promotions.incoming(connection)
    model = run_of(connection, runs[0])["model_version"]
    return waiting if waiting is not None and waiting["model_version"] == model else None
