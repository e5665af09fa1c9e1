"""Series: many reviews are labelled range by range, each range published by itself, by several workers side by side."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, event

from senti_tasks.config import PlanConfig
from senti_tasks.errors import FrozenError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import upkeep
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import review_labels, run_shards, scoring_runs
from senti_tasks.warehouse.scoring import held_runs, publication, runs, series, shards, watermarks
from tests.situations import (
    MONDAY,
    PHRASES,
    TUESDAY,
    WEDNESDAY,
    add_model,
    add_reviews,
    answer,
    count,
    on_postgresql,
    promote,
    rows,
    scoring_run,
)

REVIEWS, EACH = 10, 4
MODEL = "m1"


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Ten reviews, and a model that has labelled none of them."""
    with database.writing(engine) as connection:
        add_model(connection, MODEL)
        promote(connection, MODEL)
        add_reviews(connection, {key: f"第{key}条，不错" for key in range(REVIEWS)}, now=MONDAY)
    return engine


def opened(engine: Engine, idempotency_key: str = "night", *, scope: str = "new", rows_each: int = EACH) -> list[int]:
    with database.writing(engine) as connection:
        return series.open_series(
            connection,
            idempotency_key=idempotency_key,
            scope=scope,
            model_version=MODEL,
            variant="fp32",
            due=TUESDAY,
            now=TUESDAY,
            rows=rows_each,
        )


def scored(engine: Engine, run: int) -> int:
    with database.writing(engine) as connection:
        runs.plan(connection, run, shards=1)
        answer(connection, run)
        publication.audit(connection, run)
    return run


def publish(engine: Engine, run: int) -> None:
    with database.writing(engine) as connection:
        publication.publish(connection, run, now=WEDNESDAY)


def watermark(engine: Engine) -> Any:
    with database.reading(engine) as connection:
        return watermarks.of(connection, MODEL)


def planned(engine: Engine) -> list[int]:
    return [row["planned"] for row in rows(engine, scoring_runs, order_by="run_id")]


@pytest.mark.parametrize("scope", ["new", "reconcile", "all", "rescore"])
def test_every_scope_is_published_range_by_range(scope: str, shop: Engine) -> None:
    found = opened(shop, scope=scope)
    labels = []
    for run in found:
        publish(shop, scored(shop, run))
        labels.append(count(shop, review_labels))
    assert labels == [4, 8, 10]
    assert [row["idempotency_key"] for row in rows(shop, scoring_runs, order_by="run_id")] == [
        f"night#{number}" for number in range(3)
    ]


def test_the_watermark_moves_with_the_last_range(shop: Engine) -> None:
    *most, last = opened(shop)
    for run in (last, *most[:-1]):
        publish(shop, scored(shop, run))
        assert watermark(shop) is None
    publish(shop, scored(shop, most[-1]))
    assert watermark(shop) == TUESDAY


def test_a_held_range_does_not_keep_the_watermark_and_a_range_that_was_given_up_does(shop: Engine) -> None:
    first, second, third = opened(shop)
    scored(shop, first)
    with database.writing(shop) as connection:
        connection.execute(sa.update(scoring_runs).where(scoring_runs.c.run_id == first).values(state="planned"))
        held_runs.hold(connection, first, because="as_usual", now=WEDNESDAY)
    for run in (second, third):
        publish(shop, scored(shop, run))
    assert watermark(shop) == TUESDAY
    with database.writing(shop) as connection:
        runs.abandon(connection, first)
    assert watermark(shop) == MONDAY
    assert scoring_run(shop, "the next night")["labelled"] == EACH


def test_a_range_that_was_given_up_keeps_the_watermark(shop: Engine) -> None:
    first, second, third = opened(shop)
    with database.writing(shop) as connection:
        runs.abandon(connection, first)
    for run in (second, third):
        publish(shop, scored(shop, run))
    assert watermark(shop) is None
    assert scoring_run(shop, "the next night")["labelled"] == EACH


def test_a_review_that_comes_while_others_are_scored_is_in_a_range_that_is_planned_later(shop: Engine) -> None:
    first, *_, last = opened(shop)
    scored(shop, first)
    with database.writing(shop) as connection:
        add_reviews(connection, {-1: "早", 100: "晚"}, now=TUESDAY)
    scored(shop, last)
    assert planned(shop) == [EACH, None, 3]


def test_what_is_audited_belongs_to_its_run_whatever_the_scope(shop: Engine) -> None:
    waiting = scored(shop, *opened(shop, rows_each=100))
    for scope in ("new", "reconcile", "all"):
        (other,) = opened(shop, scope, scope=scope, rows_each=100)
        with database.writing(shop) as connection:
            assert runs.plan(connection, other) == [0]
    assert planned(shop) == [REVIEWS, 0, 0, 0]
    with database.writing(shop) as connection:
        runs.abandon(connection, waiting)
    assert scoring_run(shop, "the next night")["labelled"] == REVIEWS


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


def test_neither_the_bounds_nor_the_plan_of_a_range_number_all_that_is_pending(shop: Engine) -> None:
    with statements(shop) as found:
        run = opened(shop)[0]
        with database.writing(shop) as connection:
            runs.plan(connection, run, shards=1)
    assert found
    assert not [statement for statement in found if " OVER (" in statement]


# Side by side


def reserved(engine: Engine, run_ids: list[int], minutes: float = 0) -> tuple[int, int] | None:
    """What a process finds that comes so many minutes after Wednesday."""
    now = WEDNESDAY + timedelta(minutes=minutes)
    with database.writing(engine) as connection:
        return shards.reserve(connection, run_ids, now=now, lease_until=now + scoring.LEASE)


def test_each_process_finds_another_shard_and_a_dead_one_loses_its_own(shop: Engine) -> None:
    (run,) = opened(shop, rows_each=100)
    with database.writing(shop) as connection:
        runs.plan(connection, run, shards=2)
    assert [reserved(shop, [run]) for _ in range(3)] == [(run, 0), (run, 1), None]
    assert reserved(shop, [run], minutes=0.1) is None
    assert reserved(shop, [run], minutes=1.5) == (run, 0)


def test_a_lease_is_renewed_by_the_attempt_that_owns_the_shard_and_by_no_other(shop: Engine) -> None:
    (run,) = opened(shop, rows_each=100)
    later = WEDNESDAY + timedelta(minutes=10)
    with database.writing(shop) as connection:
        runs.plan(connection, run, shards=1)
        old = shards.claim(connection, run, 0, lease_until=WEDNESDAY)
        new = shards.claim(connection, run, 0, lease_until=WEDNESDAY)
        assert old is not None
        assert new is not None
        shards.renew(connection, old, lease_until=later)
    assert rows(shop, run_shards)[0]["lease_until"] == WEDNESDAY
    with database.writing(shop) as connection:
        shards.renew(connection, new, lease_until=later)
    assert rows(shop, run_shards)[0]["lease_until"] == later


# The jobs


@pytest.fixture
def live(engine: Engine, champion: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A real model, reviews without a label, and ranges of five of them."""
    monkeypatch.setattr("senti_tasks.jobs.scoring.runs.PlanConfig", lambda: PlanConfig(range_rows=5))
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(PHRASES)))
    return engine


def test_a_series_is_scored_by_its_shards_and_each_publishes_its_run(live: Engine) -> None:
    run_ids = scoring.open_series("night", WEDNESDAY.isoformat())
    assert scoring.count_left(run_ids) == 3
    while (shard := scoring.reserve_shard(run_ids)) is not None:
        before = count(live, review_labels)
        scoring.complete_shard(shard["run"], shard["shard"])
        assert count(live, review_labels) > before
    assert scoring.count_left(run_ids) == 0
    assert [found["labelled"] for found in scoring.publish_series(run_ids)] == [5, 5, 2]


@on_postgresql
def test_a_worker_whose_clock_is_ahead_leaves_a_shard_to_the_process_that_has_it(
    live: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_ids = scoring.open_series("night", WEDNESDAY.isoformat())
    taken = {str(scoring.reserve_shard(run_ids)) for _ in range(3)}
    for minutes in (5, -5):  # of the other worker
        ahead = timedelta(minutes=minutes)
        monkeypatch.setattr("senti_tasks.jobs.scoring.shards.now", lambda ahead=ahead: datetime.now(UTC) + ahead)
        assert scoring.reserve_shard(run_ids) is None
    assert len(taken) == 3


def test_what_a_freeze_keeps_back_is_published_by_the_next_run_and_scored_once(live: Engine) -> None:
    upkeep.freeze("盘点", "小李")
    for number in range(2):
        run_ids = scoring.open_series(f"night {number}", WEDNESDAY.isoformat())
        for shard in scoring.list_shards(run_ids):
            scoring.complete_shard(shard["run"], shard["shard"])
        with pytest.raises(FrozenError, match="frozen by 小李"):
            scoring.publish_series(run_ids)
    assert planned(live) == [5, 5, 2, 0]
    upkeep.unfreeze("小李")
    scoring.open_series("night 2", WEDNESDAY.isoformat())
    assert count(live, review_labels) == len(PHRASES)


def test_two_processes_at_once_open_one_series(live: Engine) -> None:
    def opened_by(number: int) -> list[int]:
        return scoring.open_series(f"senti score new/{number}", WEDNESDAY.isoformat(), joins="senti score new/")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(opened_by, range(4)))
    assert found == [found[0]] * 4
    assert count(live, scoring_runs) == 3


def test_two_processes_that_finish_a_run_at_once_publish_it_once(live: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scores one shard of a run, and then both see that none is left."""
    monkeypatch.setattr("senti_tasks.jobs.scoring.runs.PlanConfig", lambda: PlanConfig(shard_rows=6))
    run_ids = scoring.open_series("night", WEDNESDAY.isoformat())
    parts = scoring.list_shards(run_ids)
    for part in parts:
        scoring.score_shard(part["run"], part["shard"])
    assert len(parts) == 2
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: scoring.complete_shard(part["run"], part["shard"]), parts * 2))
    (found,) = scoring.publish_series(run_ids)
    assert found["labelled"] == len(PHRASES)


def test_two_calls_with_one_key_open_one_series(live: Engine, home: Path) -> None:
    first = scoring.open_series("night", WEDNESDAY.isoformat())
    assert scoring.open_series("night", WEDNESDAY.isoformat()) == first
