"""Scoring runs: opened once, planned once, resumed or given up."""

from __future__ import annotations

import logging
from datetime import timedelta

from senti_tasks.config import PlanConfig
from senti_tasks.errors import ConfigError
from senti_tasks.jobs.context import load_context, now, parse_timestamp
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.scoring import runs

log = logging.getLogger(__name__)


def open_run(idempotency_key: str, due: str, scope: str = "new") -> int:
    """Opens the run of ``idempotency_key``, or finds the one it opened before; returns its run_id.

    Scope ``new`` answers what the model in service has not answered of what changed since its watermark, ``reconcile``
    the same of all reviews, whenever they changed, ``all`` every review again. Raises ``NoChampionError`` when no model
    is in service.
    """
    if scope not in ("new", "all", "reconcile"):
        raise ConfigError(f"scope must be new, all or reconcile (or rescore, for the incoming model), found {scope!r}")
    context = load_context()
    with database.writing(context.engine) as connection:
        if (opened := runs.run_by_key(connection, idempotency_key)) is not None:
            return opened
        model = promotions.in_service(connection)
        variant = registry.serving_variant(connection, model)["variant"]
        run = runs.open_run(
            connection,
            idempotency_key=idempotency_key,
            scope=scope,
            model_version=model,
            variant=variant,
            due=parse_timestamp(due),
            now=now(),
        )
    run_id: int = run["run_id"]
    return run_id


def plan(run: int, shards: int | None = None) -> list[int]:
    """Freezes what the run answers; returns its shards, at least one. A planned run keeps its plan."""
    context, config = load_context(), PlanConfig()
    config.check_shards(shards)
    with database.writing(context.engine) as connection:
        return runs.plan(
            connection,
            run,
            shards=shards,
            shard_rows=config.shard_rows,
            max_shards=config.max_shards,
            overlap=timedelta(hours=context.settings.overlap_hours),
        )


def planned(run: int) -> int:
    """How many reviews the run planned."""
    context = load_context()
    with database.reading(context.engine) as connection:
        rows: int = runs.run(connection, run)["planned"]
    return rows


def answered(run: int) -> int:
    """How many reviews of the run's plan earlier attempts have answered or passed."""
    context = load_context()
    with database.reading(context.engine) as connection:
        return runs.answered(connection, run)


def unfinished_run(scope: str, key_prefix: str, restart: bool = False) -> int | None:
    """The oldest run that was opened under ``key_prefix`` and not published: what a killed call left behind.

    Runs of a model that neither serves nor is about to are abandoned, and with ``restart`` every such run is.
    """
    context = load_context()
    with database.writing(context.engine) as connection:
        wanted = {promotions.champion(connection)}
        if None not in wanted:
            wanted.add(promotions.in_service(connection))
        while (found := runs.unfinished_run(connection, scope=scope, key_prefix=key_prefix)) is not None:
            if found["model_version"] in wanted and not restart:
                run_id: int = found["run_id"]
                return run_id
            log.info("run %d of %s is abandoned", found["run_id"], found["model_version"])
            runs.abandon(connection, found["run_id"])
    return None


def abandon(run: int) -> None:
    """Gives up a run, whoever opened it, unless it is published. Raises ``RunStateError`` when there is no such run."""
    context = load_context()
    with database.writing(context.engine) as connection:
        runs.run(connection, run)
        runs.abandon(connection, run)
