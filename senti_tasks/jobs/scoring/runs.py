"""Opens, plans, audits, publishes and abandons scoring runs."""

import logging
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from senti_tasks.config import PlanConfig
from senti_tasks.errors import AuditError, ConfigError, FrozenError, HeldRunError, LockedError, NoChampionError
from senti_tasks.jobs.context import JobContext, load_context, now, parse_timestamp
from senti_tasks.jobs.operations import alerts, lineage
from senti_tasks.judging import drift as judging
from senti_tasks.judging.shares import exact_bounds
from senti_tasks.warehouse.models import promotions, registry, service
from senti_tasks.warehouse.scoring import (
    decisions,
    drift,
    held_runs,
    publication,
    publication_lock,
    run_checks,
    runs,
    series,
)
from senti_tasks.warehouse.scoring.shards import measured_speed

log = logging.getLogger(__name__)

SCOPES = ("new", "reconcile", "all", "rescore")


def open_series(idempotency_key: str, due: str, scope: str = "new", *, joins: str | None = None) -> list[int]:
    """Opens the runs that answer the reviews of ``scope``; returns their run_ids, at least one.

    ``joins`` is a prefix of idempotency keys: if a series of this scope with such a key is unfinished, its runs are
    returned instead. Of several such calls at the same time, one opens a series.

    Scope ``new``: reviews changed since the watermark of the model in service that it has not answered yet.
    ``reconcile``: all reviews that it has not answered yet, whenever they changed. ``all``: every review, again.
    ``rescore``: all reviews that the incoming model has not answered yet.
    Up to ``PlanConfig.range_rows`` reviews are one run; more are several runs over ranges of keys, each planned, scored
    and published by itself. A repeated call with the same ``idempotency_key`` returns the same runs. Runs that earlier
    calls scored, and could not publish because of a freeze, are published first; while the freeze lasts, their reviews
    are left out. Raises ``NoChampionError`` if no model is in service, or none is incoming.
    """
    if scope not in SCOPES:
        raise ConfigError(f"scope must be one of {', '.join(SCOPES)}, found {scope!r}")
    context, config = load_context(), PlanConfig()
    with context.reading() as connection:
        if opened := series.by_key(connection, idempotency_key):
            return opened
        model = _model(connection, scope)
        waiting = runs.audited_runs(connection, model)
    for run in waiting:
        finish(run)
    with context.writing() as connection:
        if joins is not None:
            publication_lock.take(connection)
            if (found := series.unfinished(connection, scope=scope, key_prefix=joins)) is not None:
                return series.by_key(connection, found["series"])
        return series.open_series(
            connection,
            idempotency_key=idempotency_key,
            scope=scope,
            model_version=model,
            variant=registry.serving_variant(connection, model)["variant"],
            due=parse_timestamp(due),
            now=now(),
            rows=config.range_rows,
            most=config.max_shards,
            overlap=timedelta(hours=context.settings.overlap_hours),
        )


def _model(connection: Connection, scope: str) -> str:
    """The model whose labels a run of ``scope`` makes."""
    if scope != "rescore":
        return promotions.in_service(connection)
    incoming = promotions.awaiting_service(connection)
    if incoming is None:
        raise NoChampionError("no promoted model waits for its labels: there is nothing to re-score")
    version: str = incoming["model_version"]
    return version


def list_workers(run_ids: list[int]) -> list[int]:
    """Numbers for the tasks that score a series together with ``complete_series``: at least one, at most
    ``PlanConfig.max_workers``, and no more than there are shards or runs. A single run is planned now."""
    found = len(run_ids) if len(run_ids) > 1 else len(plan(run_ids[0]))
    return list(range(min(found, PlanConfig().max_workers)))


def list_shards(run_ids: list[int]) -> list[dict[str, int]]:
    """The shards of a series, each as run and shard. Runs that are not planned yet are planned now."""
    return [{"run": run, "shard": shard} for run in run_ids for shard in plan(run)]


def plan(run: int, shards: int | None = None) -> list[int]:
    """Records the reviews that the run answers, in ``shards`` shards. Returns the shard numbers, at least one. A
    planned run keeps its plan.

    ``None``: shards of ``PlanConfig.shard_seconds`` each, by the speed that was measured in earlier shards.
    """
    context, config = load_context(), PlanConfig()
    config.check_shards(shards)
    with context.writing() as connection:
        return runs.plan(
            connection,
            run,
            shards=shards,
            shard_rows=_shard_rows(connection, run, config),
            max_shards=config.max_shards,
            overlap=timedelta(hours=context.settings.overlap_hours),
        )


def plan_next(connection: Connection, run_ids: list[int], overlap: timedelta) -> int | None:
    """Plans the first of these runs that is not planned yet and returns its run_id; ``None`` if there is none."""
    run, config = runs.next_open(connection, run_ids), PlanConfig()
    if run is not None:
        rows = _shard_rows(connection, run, config)
        runs.plan(connection, run, shard_rows=rows, max_shards=config.max_shards, overlap=overlap)
    return run


def _shard_rows(connection: Connection, run: int, config: PlanConfig) -> int:
    found = runs.run(connection, run)
    speed = config.shard_seconds and measured_speed(connection, found["model_version"], found["variant"])
    return max(1, round(speed * config.shard_seconds)) if speed and config.shard_seconds else config.shard_rows


def counts(run: int) -> dict[str, int]:
    """How many reviews the run planned, and how many of them are answered or superseded already."""
    with load_context().reading() as connection:
        return {"planned": runs.run(connection, run)["planned"], "answered": runs.count_answered(connection, run)}


def audit(run: int, anyway: str | None = None, actor: str | None = None) -> dict[str, Any]:
    """Runs the checks of ``sql/checks`` on the labels that the run staged; returns run_id and checks (their names).

    ``anyway`` is the reason why ``actor`` overrules the checks that compare the run with earlier ones. Raises
    ``AuditError`` with the offenders, and ``HeldRunError`` if only those comparisons failed: from then on the run is
    held, and its reviews belong to it. Drift is recorded, people are told of it, and it holds nothing.
    """
    context, message = load_context(), None
    with context.writing() as connection:
        audited = publication.audit(connection, run, anyway=anyway, actor=actor)
        drifted = drift.record(connection, run, partial(judging.judge, config=context.drift_config))
        alarm = _check_cascade(connection, run)
        if (unusual := audited.pop("unusual")) is not None:
            held_runs.hold(connection, run, because=unusual, now=now())
            message = held_runs.message(connection, runs.run(connection, run))
        parts = drift.of_run(connection, run, limit=1) if drifted else []
    if alarm is not None:
        log.warning("run %d: %s", run, alarm["happened"])
        alerts.tell_cascade(run, **alarm)
    if drifted:
        alerts.tell_drift(run, drifted, parts[0])
    if message is not None:
        raise HeldRunError(message)  # after the transaction, so that the hold stays
    return audited


def _check_cascade(connection: Connection, run: int) -> dict[str, str] | None:
    """Records what the checks of a cascade in this run found. If they show that too many of its labels differ from
    those of its last stage, the model serves without it from the next run on.

    Returns happened, and the variant that serves instead, if the cascade was withdrawn now.
    """
    alarm = run_checks.record(connection, run, partial(exact_bounds, confidence=run_checks.CONFIDENCE))
    if alarm is None:
        return None
    found = runs.run(connection, run)
    version, variant = found["model_version"], found["variant"]
    row = registry.variant_of(connection, version, variant)
    instead = row["stages"][-1]["variant"] if row else "fp32"
    because = f"run {run}: {alarm}"
    if not registry.withdraw(connection, version, variant, instead=instead, because=because, now=now()):
        return None
    return {"happened": alarm, "instead": instead}


def publish(run: int) -> dict[str, Any]:
    """Publishes an audited run in one transaction and returns its counts. A repeated call changes nothing.

    If the run is the last one of a re-scoring, and the incoming model has then answered all that the model in service
    has labelled, the same transaction puts it into service.
    """
    context = load_context()
    with context.writing() as connection:
        was_published = runs.run(connection, run)["state"] == "published"
        published = publication.publish(connection, run, now=now())
        if published["scope"] == "rescore" and not series.others_left(connection, published):
            service.start_if_covered(connection, now=now())
    try:
        with context.writing() as connection:
            publication.sweep(connection)
    except LockedError as error:  # somebody reads staged rows
        log.info("staged rows stay until the next publication deletes them: %s", error)
    if not was_published:
        _tell_lineage(context, published)
    names = ("run_id", "model_version", "publish_seq", "planned", "labelled", "failed", "superseded", "truncated")
    return {name: published[name] for name in names}


def _tell_lineage(context: JobContext, published: dict[str, Any]) -> None:
    if context.settings.lineage_url is None:
        return
    version = published["model_version"]
    with context.reading() as connection:
        serving = registry.serving_variant(connection, version)
    lineage.tell(
        context,
        "publish",
        str(published["run_id"]),
        inputs=[
            lineage.table("reviews"),
            lineage.artifact(serving["artifact"], digest=serving["digest"]),
        ],
        outputs=[
            lineage.table("review_labels", rows=published["labelled"], version=str(published["publish_seq"])),
            lineage.table("review_sentiment", version=str(published["publish_seq"])),
        ],
    )


def finish(run: int) -> None:
    """Audits and publishes a run whose shards are finished. A freeze or a failed check is logged, and the run waits:
    ``publish_series`` raises the error."""
    try:
        audit(run)
        publish(run)
    except (FrozenError, AuditError) as error:
        log.warning("%s", error)


def publish_series(run_ids: list[int], anyway: str | None = None, actor: str | None = None) -> list[dict[str, Any]]:
    """Audits and publishes the runs of a series that are not published yet; returns the counts of each published run.

    ``anyway`` and ``actor`` are those of ``audit``. A run that was given up is left out if there are others. A run that
    cannot be published does not hold up the others; afterwards the first such error is raised.
    """
    published, errors = [], []
    for run in run_ids:
        if len(run_ids) > 1 and _is_abandoned(run):
            log.warning("run %d was given up: its reviews wait for a later run", run)
            continue
        try:
            audit(run, anyway, actor)
            published.append(publish(run))
        except (FrozenError, AuditError) as error:
            log.warning("%s", error)
            errors.append(error)
    if errors:
        raise errors[0]
    return published


def _is_abandoned(run: int) -> bool:
    with load_context().reading() as connection:
        return bool(runs.run(connection, run)["state"] == "abandoned")


def unfinished_series(scope: str, key_prefix: str, restart: bool = False) -> list[int]:
    """The runs of the oldest unpublished series of ``scope`` whose idempotency key begins with ``key_prefix``: a killed
    call left it, or another process works at it.

    Empty if there is none. Abandons such runs of models that are neither champion nor in service; with ``restart``
    abandons all of them. Held runs are left alone.
    """
    with load_context().writing() as connection:
        wanted = {promotions.champion(connection)}
        if None not in wanted:
            wanted.add(promotions.in_service(connection))
        while (found := series.unfinished(connection, scope=scope, key_prefix=key_prefix)) is not None:
            if found["model_version"] in wanted and not restart:
                return series.by_key(connection, found["series"])
            log.info("run %d of %s is abandoned", found["run_id"], found["model_version"])
            runs.abandon(connection, found["run_id"])
    return []


def abandon(run: int, actor: str, reason: str | None = None) -> None:
    """Abandons a run, whoever opened it, and records who did so; does nothing if it is published or abandoned already.
    The next run plans the reviews of a held run. Raises ``RunStateError`` if there is no such run."""
    with load_context().writing() as connection:
        publication_lock.take(connection)  # so that the state cannot change before the record is written
        if runs.run(connection, run)["state"] in ("published", "abandoned"):
            return
        runs.abandon(connection, run)
        decisions.record(connection, "give_up", run_id=run, actor=actor, reason=reason, now=now())
