"""Figures about the warehouse for monitoring: what waits, the last run, and the models in use.

Each statement reads an index, sums or small tables only, so that a monitor may ask every few seconds. The exact counts
of deleted, edited and missing reviews are in the views, which read more.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import count_rows, fetch_all, fetch_one
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.schema import (
    label_rollups,
    models,
    review_labels,
    reviews,
    run_shards,
    run_summaries,
    scoring_errors,
    scoring_runs,
)
from senti_tasks.warehouse.schema import promotions as promotions_table
from senti_tasks.warehouse.scoring import held_runs, pending, publication_lock, watermarks

PATIENCE_S = 10
"""How long PostgreSQL may take for one statement, in seconds."""
MOST_REVIEWS = 1_000_000
"""Reviews are counted up to this number on PostgreSQL, which then estimates how many there are."""
MOST_PENDING = 100_000
"""Pending reviews are counted up to this number, so that the count takes about as long however many there are."""


def read(connection: Connection, *, overlap: timedelta) -> dict[str, Any]:
    """The figures by name; ``jobs.metrics`` says what each means. Figures that do not exist yet are left out.

    A value is a number, a timestamp, or for a figure with a label a mapping of the label's values to numbers; ``model``
    is a mapping of roles (in_service, incoming) to (version, variant). ``overlap`` is that of ``pending.scan_start``.
    Raises ``sqlalchemy.exc.OperationalError`` when a statement on PostgreSQL takes longer than ``PATIENCE_S``.
    """
    limit_statements(connection)
    figures = {**_held(connection), **_published(connection), **_last_training(connection)}
    figures["publishing_frozen"] = publication_lock.current_freeze(connection) is not None
    if promotions.champion(connection) is not None:
        figures |= _models(connection) | _reviews(connection, promotions.in_service(connection), overlap)
    return {name: value for name, value in figures.items() if value is not None}


def count_reviews(connection: Connection) -> tuple[int, bool]:
    """How many reviews there are, and whether that is exact. On PostgreSQL, more than ``MOST_REVIEWS`` are estimated by
    its planner, also those of a view: to count 100 million takes a minute."""
    if connection.dialect.name != "postgresql":
        return count_rows(connection, reviews), True
    limited = sa.select(reviews.c.review_id).limit(MOST_REVIEWS)
    if (found := count_rows(connection, limited.subquery())) < MOST_REVIEWS:
        return found, True
    (plan,) = connection.exec_driver_sql("EXPLAIN (FORMAT JSON) SELECT 1 FROM reviews").scalar_one()
    return max(int(plan["Plan"]["Plan Rows"]), MOST_REVIEWS), False


def limit_statements(connection: Connection) -> None:
    """Has PostgreSQL give up a statement of this transaction after ``PATIENCE_S``."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{PATIENCE_S}s'")


def _held(connection: Connection) -> dict[str, Any]:
    run = scoring_runs.c
    counted = sa.select(sa.func.count().label("runs"), sa.func.sum(run.planned).label("reviews"))
    (found,) = fetch_all(connection, counted.where(held_runs.IS_HELD))
    return {"held_runs": found["runs"], "held_reviews": found["reviews"] or 0}


def _published(connection: Connection) -> dict[str, Any]:
    """What all runs published, how late the last night was, and the last run that planned a review."""
    run = scoring_runs.c
    published = run.state == "published"
    sums = sa.select(sa.func.count().label("runs"), sa.func.sum(run.labelled).label("labels")).where(published)
    (total,) = fetch_all(connection, sums)
    newest = sa.select(scoring_runs).where(published).order_by(run.publish_seq.desc()).limit(1)
    figures: dict[str, Any] = {"published_runs": total["runs"], "published_labels": total["labels"] or 0}
    if (night := fetch_one(connection, newest.where(run.scope == "new"))) is not None:
        figures["publication_lag_seconds"] = _seconds(night["due"], night["published_at"])
        figures["publication_timestamp_seconds"] = night["published_at"]
    if (last := fetch_one(connection, newest.where(run.planned > 0))) is not None:
        figures["run_reviews"] = {name: last[name] for name in ("labelled", "failed", "superseded", "truncated")}
        figures |= _speed(connection, last) | _labels_of(connection, last["run_id"])
    return figures


def _speed(connection: Connection, run: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds per stage of a published run, and reviews per second of its scoring. The times of shards that an earlier
    version of senti scored are not known."""
    shard = run_shards.c
    times = sa.select(sa.func.min(shard.claimed_at).label("begun"), sa.func.max(shard.accepted_at).label("scored"))
    (found,) = fetch_all(connection, times.where(shard.run_id == run["run_id"]))
    begun, scored = found["begun"], found["scored"]
    if begun is None or scored is None:
        return {}
    seconds = _seconds(begun, scored)
    stages = {
        "plan": _seconds(run["opened_at"], begun),
        "score": seconds,
        "publish": _seconds(scored, run["published_at"]),
    }
    answered = run["labelled"] + run["failed"]
    return {"run_stage_seconds": stages, "run_reviews_per_second": answered / seconds if seconds else None}


def _labels_of(connection: Connection, run_id: int) -> dict[str, Any]:
    """The share of the lowest label and the mean confidence among the labels of a run."""
    summary = run_summaries.c
    rows = fetch_all(connection, sa.select(run_summaries).where(summary.run_id == run_id))
    if not (labels := sum(row["labels"] for row in rows)):
        return {}
    return {
        "run_negative_ratio": sum(row["labels"] for row in rows if row["label"] == 0) / labels,
        "run_confidence_ratio": sum(row["confidence_sum"] for row in rows) / labels,
    }


def _last_training(connection: Connection) -> dict[str, Any]:
    newest = fetch_one(connection, sa.select(models).order_by(models.c.trained_at.desc()).limit(1))
    if newest is None:
        return {}
    tried = [row["seconds"] for row in newest["training"].get("rates", []) if row["seconds"] is not None]
    return {
        "last_training_timestamp_seconds": newest["trained_at"],
        "last_training_seconds": sum(tried) if tried else None,
    }


def _models(connection: Connection) -> dict[str, Any]:
    """The models in use, the age and the agreement of the one in service, and the last check of the champion."""
    serving = promotions.in_service(connection)
    variant = registry.serving_variant(connection, serving)
    incoming = promotions.awaiting_service(connection)
    served = promotions_table.c
    since = sa.select(served.serving_since).where(served.model_version == serving, served.serving_since.is_not(None))
    figures: dict[str, Any] = {
        "model": {"in_service": (serving, variant["variant"])},
        "model_trained_timestamp_seconds": registry.model(connection, serving)["trained_at"],
        "model_in_service_timestamp_seconds": connection.scalar(since.order_by(served.seq.desc()).limit(1)),
        "model_disagreement_ratio": None if variant["agreement"] is None else 1 - variant["agreement"],
    }
    if incoming is not None:
        version = incoming["model_version"]
        figures["model"]["incoming"] = (version, registry.serving_variant(connection, version)["variant"])
        figures["incoming_labelled_reviews"] = _labelled(connection, version)
    checks = registry.champion_checks_of(connection, promotions.champion(connection) or serving)
    if checks:
        last = max(checks, key=lambda check: check["checked_at"])
        figures["champion_accuracy_ratio"] = {"check": last["accuracy"], "promotion": last["accuracy_at_promotion"]}
        figures["champion_alarm"] = last["alarm"]
    return figures


def _reviews(connection: Connection, serving: str, overlap: timedelta) -> dict[str, Any]:
    carried = sa.select(sa.func.count()).where(
        review_labels.c.model_version == serving, review_labels.c.carried_from.is_not(None)
    )
    failed = sa.select(sa.func.count()).where(scoring_errors.c.model_version == serving)
    return {
        "labelled_reviews": _labelled(connection, serving),
        "carried_over_reviews": connection.scalar(carried) or 0,
        "failed_reviews": connection.scalar(failed) or 0,
        "pending_reviews": _pending(connection, serving, overlap),  # last, because it changes the planner's settings
    }


def _pending(connection: Connection, serving: str, overlap: timedelta) -> int | None:
    """``MOST_PENDING`` at most. ``None`` before the model's first publication: only reading all reviews would say."""
    if (watermark := watermarks.of(connection, serving)) is None:
        return None
    held = held_runs.of_model(connection, serving)
    found = pending.pending_reviews(serving, since=pending.scan_start(watermark, overlap), without=held)
    if connection.dialect.name == "postgresql":
        # Otherwise PostgreSQL reads all labels into a hash table: at 1,000,000 labels 430 ms instead of 110 ms.
        connection.exec_driver_sql("SET LOCAL enable_hashjoin = off")
        connection.exec_driver_sql("SET LOCAL enable_mergejoin = off")
    return count_rows(connection, found.limit(MOST_PENDING).subquery())


def _labelled(connection: Connection, model_version: str) -> int:
    rollup = label_rollups.c
    summed = sa.select(sa.func.sum(rollup.reviews)).where(rollup.model_version == model_version)
    return int(connection.scalar(summed) or 0)


def _seconds(start: datetime, end: datetime) -> float:
    return max((end - start).total_seconds(), 0.0)
