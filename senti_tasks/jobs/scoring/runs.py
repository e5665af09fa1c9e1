"""Opens, plans, audits, publishes and abandons scoring runs."""

import logging
from datetime import timedelta
from typing import Any

from senti_tasks.config import PlanConfig
from senti_tasks.errors import ConfigError, HeldRunError, LockedError
from senti_tasks.jobs.context import load_context, now, parse_timestamp
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.scoring import held_runs, publication, runs

log = logging.getLogger(__name__)


def open_run(idempotency_key: str, due: str, scope: str = "new") -> int:
    """Opens a run for the model in service and returns its run_id. A repeated call with the same ``idempotency_key``
    returns the same run.

    Scope ``new``: reviews changed since the model's watermark that it has not answered yet. ``reconcile``: all reviews
    that it has not answered yet, whenever they changed. ``all``: every review, again. Raises ``NoChampionError`` if no
    model is in service.
    """
    if scope not in ("new", "all", "reconcile"):
        raise ConfigError(f"scope must be new, all or reconcile (or rescore, for the incoming model), found {scope!r}")
    with load_context().writing() as connection:
        if (opened := runs.run_by_key(connection, idempotency_key)) is not None:
            return opened
        model = promotions.in_service(connection)
        run = runs.open_run(
            connection,
            idempotency_key=idempotency_key,
            scope=scope,
            model_version=model,
            variant=registry.serving_variant(connection, model)["variant"],
            due=parse_timestamp(due),
            now=now(),
        )
        return int(run["run_id"])


def plan(run: int, shards: int | None = None) -> list[int]:
    """Records the reviews that the run answers, in ``shards`` shards (``None``: as many as ``PlanConfig`` gives).

    Returns the shard numbers, at least one. A planned run keeps its plan.
    """
    context, config = load_context(), PlanConfig()
    config.check_shards(shards)
    with context.writing() as connection:
        return runs.plan(
            connection,
            run,
            shards=shards,
            shard_rows=config.shard_rows,
            max_shards=config.max_shards,
            overlap=timedelta(hours=context.settings.overlap_hours),
        )


def counts(run: int) -> dict[str, int]:
    """How many reviews the run planned, and how many of them are answered or superseded already."""
    with load_context().reading() as connection:
        return {"planned": runs.run(connection, run)["planned"], "answered": runs.count_answered(connection, run)}


def audit(run: int, anyway: str | None = None, actor: str | None = None) -> dict[str, Any]:
    """Runs the checks of ``sql/checks`` on the labels that the run staged; returns run_id and checks (their names).

    ``anyway`` is the reason why ``actor`` overrules the checks that compare the run with earlier ones. Raises
    ``AuditError`` with the offenders, and ``HeldRunError`` if only those comparisons failed: from then on the run is
    held, and its reviews belong to it.
    """
    with load_context().writing() as connection:
        audited = publication.audit(connection, run, anyway=anyway, actor=actor)
        if (unusual := audited.pop("unusual")) is None:
            return audited
        held_runs.hold(connection, run, because=unusual, now=now())
        message = held_runs.message(connection, runs.run(connection, run))
    raise HeldRunError(message)  # after the transaction, so that the hold stays


def publish(run: int) -> dict[str, Any]:
    """Publishes an audited run in one transaction and returns its counts. A repeated call changes nothing."""
    context = load_context()
    with context.writing() as connection:
        published = publication.publish(connection, run, now=now())
    try:
        with context.writing() as connection:
            publication.sweep(connection)
    except LockedError as error:  # somebody reads staged rows
        log.info("staged rows stay until the next publication deletes them: %s", error)
    names = ("run_id", "model_version", "publish_seq", "planned", "labelled", "failed", "superseded", "truncated")
    return {name: published[name] for name in names}


def unfinished_run(scope: str, key_prefix: str, restart: bool = False) -> int | None:
    """The oldest unpublished run of ``scope`` whose idempotency key begins with ``key_prefix``: a killed call left it.

    ``None`` if there is none. Abandons such runs of models that are neither champion nor in service; with ``restart``
    abandons all of them. Held runs are left alone.
    """
    with load_context().writing() as connection:
        wanted = {promotions.champion(connection)}
        if None not in wanted:
            wanted.add(promotions.in_service(connection))
        while (found := runs.unfinished_run(connection, scope=scope, key_prefix=key_prefix)) is not None:
            if found["model_version"] in wanted and not restart:
                return int(found["run_id"])
            log.info("run %d of %s is abandoned", found["run_id"], found["model_version"])
            runs.abandon(connection, found["run_id"])
    return None


def abandon(run: int) -> None:
    """Abandons a run unless it is published, whoever opened it. The next run plans the reviews of a held run. Raises
    ``RunStateError`` if there is no such run."""
    with load_context().writing() as connection:
        runs.run(connection, run)
        runs.abandon(connection, run)
