"""Runs of a shop that goes on working, and what has to be true of its tables whatever became of a run."""

import os
import random
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.jobs import scoring
from senti_tasks.text import text_hash
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import (
    review_label_history,
    review_labels,
    reviews,
    scoring_runs,
    staged_labels,
)
from tests.recounts import check_rollups
from tests.situations import PHRASES, add_reviews, edit, rows

SEED = int(os.environ.get("SENTI_KILL_SEED", "2026"))
REVIEWS = 400
CHANGES = 20
CHUNK = 60
"""Reviews that the shop's model reads at a time."""


def score_run(idempotency_key: str, due: datetime, shards: int = 2) -> int:
    """Takes a run to where it can be published; returns its run_id."""
    (run,) = scoring.open_series(idempotency_key, due.isoformat())
    for shard in scoring.plan(run, shards):
        scoring.score_shard(run, shard)
    scoring.audit(run)
    return run


def complete_run(idempotency_key: str, due: datetime, shards: int = 2) -> None:
    scoring.publish(score_run(idempotency_key, due, shards))


def text(key: int, version: int) -> str:
    return f"{PHRASES[key % 12]}{PHRASES[(key + version) % 12]}第{key}条，第{version}次"


def change(engine: Engine, number: int, draw: random.Random, now: datetime) -> int:
    """Edits some reviews and adds some; returns how many had a label, which has to go to the history now."""
    edited = draw.sample(range(REVIEWS), CHANGES)
    first = REVIEWS + number * CHANGES
    with database.writing(engine) as connection:
        for key in edited:
            edit(connection, key, text(key, number + 1), now=now)
        add_reviews(connection, {key: text(key, 0) for key in range(first, first + CHANGES)}, now=now)
    return len(edited)


def check(engine: Engine, history: int, where: str) -> None:
    present = {row["review_id"]: text_hash(row["review_text"]) for row in rows(engine, reviews)}
    labels = rows(engine, review_labels)
    assert {row["review_id"]: row["text_hash"] for row in labels} == present, where
    assert len(labels) == len(present), where
    replaced = rows(engine, review_label_history)
    assert len(replaced) == history, where
    assert len({(row["review_id"], row["text_hash"]) for row in replaced}) == history, where
    runs: list[dict[str, Any]] = rows(engine, scoring_runs, order_by="run_id")
    assert {row["state"] for row in runs} == {"published"}, where
    assert sorted(row["publish_seq"] for row in runs) == list(range(1, len(runs) + 1)), where
    check_rollups(engine, where)


def phase(engine: Engine, idempotency_key: str) -> str:
    """How far the run had come."""
    with database.reading(engine) as connection:
        state = connection.scalar(
            sa.select(scoring_runs.c.state).where(scoring_runs.c.idempotency_key == idempotency_key)
        )
        staged = connection.scalar(sa.select(sa.func.count()).select_from(staged_labels))
    return f"{state}, staged" if staged and state == "planned" else str(state)
