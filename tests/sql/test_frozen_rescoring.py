"""A freeze during a re-scoring: what is scored waits staged, and is published after the freeze."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from senti_tasks.errors import FrozenError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import maintenance, upkeep
from senti_tasks.warehouse import database, partitions
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.schema import review_labels, run_items, scoring_runs, staged_labels
from tests.situations import PHRASES, WEDNESDAY, add_reviews, count, deploy, promote, rows

REVIEWS = len(PHRASES)
INCOMING = "2026-11-09-tiny"


@pytest.fixture
def shop(engine: Engine, champion: str, model_folder: Path, home: Path) -> Engine:
    """Reviews, a model in service and an incoming one; publishing is frozen."""
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(PHRASES)))
    (run,) = scoring.open_series("first", WEDNESDAY.isoformat())
    for shard in scoring.plan(run):
        scoring.score_shard(run, shard)
    scoring.audit(run)
    scoring.publish(run)
    deploy(engine, model_folder, home, INCOMING)
    upkeep.freeze("盘点", "小李")
    return engine


def dag_run(number: int) -> list[int]:
    """What a run of ``rescore_reviews`` does; returns its runs."""
    due = (WEDNESDAY + number * timedelta(hours=6)).isoformat()
    run_ids = scoring.open_series(f"rescore_reviews/{number}", due, "rescore")
    scoring.complete_series(run_ids)
    with suppress(FrozenError):
        scoring.publish_series(run_ids)
    return run_ids


def ranges(engine: Engine) -> list[dict[str, Any]]:
    return [row for row in rows(engine, scoring_runs, order_by="run_id") if row["scope"] == "rescore"]


def in_service(engine: Engine) -> str:
    with database.reading(engine) as connection:
        return promotions.in_service(connection)


def test_what_was_scored_during_a_freeze_is_published_after_it_and_scored_once(shop: Engine) -> None:
    dag_run(1)
    with database.writing(shop) as connection:
        add_reviews(connection, {100: "很好"})
    dag_run(2)
    assert [row["planned"] for row in ranges(shop)] == [REVIEWS, 1]
    assert count(shop, staged_labels) == REVIEWS + 1
    assert (count(shop, review_labels), in_service(shop) == INCOMING) == (REVIEWS, False)
    upkeep.unfreeze("小李")
    dag_run(3)
    assert sum(row["planned"] for row in ranges(shop)) == REVIEWS + 1
    assert {row["state"] for row in ranges(shop)} == {"published"}
    assert in_service(shop) == INCOMING
    assert count(shop, review_labels) == 2 * REVIEWS + 1


def test_ranges_of_a_model_that_is_no_longer_incoming_are_abandoned_by_the_next_upkeep(
    shop: Engine, champion: str
) -> None:
    (waiting,) = dag_run(1)
    with database.writing(shop) as connection:
        promote(connection, champion, kind="rollback", now=WEDNESDAY)
    upkeep.unfreeze("小李")
    maintenance.tidy()
    assert [(row["run_id"], row["state"]) for row in ranges(shop)] == [(waiting, "abandoned")]
    assert count(shop, staged_labels) == count(shop, run_items) == 0
    with database.reading(shop) as connection:
        assert partitions.keys(connection, staged_labels) == set()


def test_ranges_of_the_incoming_model_that_wait_for_the_end_of_a_freeze_are_kept(shop: Engine) -> None:
    dag_run(1)
    maintenance.tidy()
    assert [row["state"] for row in ranges(shop)] == ["audited"]
    assert count(shop, staged_labels) == REVIEWS
