"""Scoring runs: opened once, planned once, resumed or given up."""

from __future__ import annotations

import logging

from senti_tasks.jobs.context import enter, instant, now

log = logging.getLogger(__name__)


def open_run(origin: str, due: str, scope: str = "new") -> int:
    """Opens the run of ``origin``, or finds the one it opened before; returns its run_id.

    Scope ``new`` answers what the model in service has not answered of what changed since its watermark, ``reconcile``
    the same of all reviews, whenever they changed, ``all`` every review again. Raises ``NoChampionError`` when no model
    is in service.
    """
    from senti_tasks.errors import ConfigError
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import promotions, registry
    from senti_tasks.warehouse.scoring import runs

    if scope not in ("new", "all", "reconcile"):
        raise ConfigError(f"scope must be new, all or reconcile (or rescore, for the incoming model), found {scope!r}")
    place = enter()
    with database.writing(place.engine) as connection:
        if (opened := runs.run_of_origin(connection, origin)) is not None:
            return opened
        model = promotions.in_service(connection)
        form = registry.serving_form(connection, model)["form"]
        run = runs.open_run(
            connection, origin=origin, scope=scope, model_version=model, form=form, due=instant(due), at=now()
        )
    run_id: int = run["run_id"]
    return run_id


def plan(run: int, shards: int | None = None) -> list[int]:
    """Freezes what the run answers; returns its shards, at least one. A planned run keeps its plan."""
    from datetime import timedelta

    from senti_tasks.config import ScoreConfig
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.scoring import runs

    place, config = enter(), ScoreConfig()
    config.check_shards(shards)
    with database.writing(place.engine) as connection:
        return runs.plan(
            connection,
            run,
            shards=shards,
            shard_rows=config.shard_rows,
            max_shards=config.max_shards,
            overlap=timedelta(hours=place.settings.overlap_hours),
        )


def planned(run: int) -> int:
    """How many reviews the run planned."""
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.scoring import runs

    place = enter()
    with database.reading(place.engine) as connection:
        rows: int = runs.run(connection, run)["planned"]
    return rows


def answered(run: int) -> int:
    """How many reviews of the run's plan earlier attempts have answered or passed."""
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.scoring import runs

    place = enter()
    with database.reading(place.engine) as connection:
        return runs.answered(connection, run)


def unfinished_run(scope: str, origin_prefix: str, restart: bool = False) -> int | None:
    """The oldest run that was opened under ``origin_prefix`` and not published: what a killed call left behind.

    Runs of a model that neither serves nor is about to are abandoned, and with ``restart`` every such run is.
    """
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import promotions
    from senti_tasks.warehouse.scoring import runs

    place = enter()
    with database.writing(place.engine) as connection:
        wanted = {promotions.champion(connection)}
        if None not in wanted:
            wanted.add(promotions.in_service(connection))
        while (found := runs.unfinished_run(connection, scope=scope, origin_prefix=origin_prefix)) is not None:
            if found["model_version"] in wanted and not restart:
                run_id: int = found["run_id"]
                return run_id
            log.info("run %d of %s is abandoned", found["run_id"], found["model_version"])
            runs.abandon(connection, found["run_id"])
    return None


def abandon(run: int) -> None:
    """Gives up a run, whoever opened it, unless it is published. Raises ``RunStateError`` when there is no such run."""
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.scoring import runs

    place = enter()
    with database.writing(place.engine) as connection:
        runs.run(connection, run)
        runs.abandon(connection, run)
