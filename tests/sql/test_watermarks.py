"""What a run looks at: what changed since the model's watermark, less an overlap; and what a reconciliation finds."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine

from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import review_labels, scoring_runs
from senti_tasks.warehouse.scoring import held_runs, pending, publication, runs, series, watermarks
from tests.situations import (
    MONDAY,
    WEDNESDAY,
    add_model,
    add_reviews,
    answer,
    open_planned_run,
    promote,
    rows,
    scoring_run,
)

THURSDAY = WEDNESDAY + timedelta(days=1)


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Two reviews of Monday, labelled by the run that was due on Wednesday."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {1: "很好", 2: "太差"})
    scoring_run(engine, "wednesday")
    return engine


def mark(engine: Engine, model: str = "m1") -> datetime | None:
    with database.reading(engine) as connection:
        return watermarks.of(connection, model)


def labelled(engine: Engine) -> set[int]:
    return {row["review_id"] for row in rows(engine, review_labels)}


def test_a_publication_moves_the_watermark_to_the_time_the_run_was_due(shop: Engine) -> None:
    assert mark(shop) == WEDNESDAY


def test_a_model_without_a_watermark_looks_at_everything(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_model(connection, "m2")
    assert mark(shop, "m2") is None
    assert scoring_run(shop, "first of m2", model="m2")["planned"] == 2


def test_a_review_that_committed_within_the_overlap_is_found_by_the_next_run(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {3: "不错"}, now=WEDNESDAY - timedelta(hours=23))
    assert scoring_run(shop, "next")["labelled"] == 1


def test_a_review_that_committed_later_than_that_is_found_and_counted_by_a_reconciliation(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {3: "不错"}, now=MONDAY)
        add_reviews(connection, {4: "一般"}, now=WEDNESDAY)
    assert scoring_run(shop, "next")["labelled"] == 1
    assert labelled(shop) == {1, 2, 4}
    assert scoring_run(shop, "monday", scope="reconcile")["labelled"] == 1
    assert labelled(shop) == {1, 2, 3, 4}
    assert [row["late"] for row in rows(shop, "scoring_health", order_by="run_id")] == [None, None, 1]


BEFORE_ALL_TIMES = {"postgresql": ("'-infinity'", "'0044-03-15 BC'"), "sqlite": ("''", "0", "1577836800.5")}
AFTER_ALL_TIMES = {
    "postgresql": ("'infinity'", "'12000-01-01'"),
    "sqlite": ("x'00ff'", "'9999-12-31 23:59:59'", "'永远'"),
}


def add_changed_at(engine: Engine, first: int, times: tuple[str, ...]) -> None:
    """Reviews whose ``updated_at`` is each of ``times`` (SQL literals)."""
    with database.writing(engine) as connection:
        for number, time in enumerate(times, first):
            add_reviews(connection, {number: f"不错{number}"})
            connection.exec_driver_sql(f"UPDATE reviews SET updated_at = {time} WHERE review_id = {number}")


def test_a_time_before_or_after_all_others_is_found_by_the_next_run_and_ends_nothing(
    shop: Engine, dialect: str
) -> None:
    strange = BEFORE_ALL_TIMES[dialect] + AFTER_ALL_TIMES[dialect]
    add_changed_at(shop, 10, strange)
    assert scoring_run(shop, "thursday")["labelled"] == len(strange)
    assert mark(shop) == WEDNESDAY
    with database.writing(shop) as connection:
        add_reviews(connection, {4: "一般"}, now=WEDNESDAY)
    assert scoring_run(shop, "friday")["planned"] == 1, "the others have their label"
    assert scoring_run(shop, "weekly", scope="reconcile")["planned"] == 0
    assert [row["late"] for row in rows(shop, "scoring_health", order_by="run_id")] == [None, None, None, 0]


def test_a_given_up_run_with_such_a_time_moves_the_watermark_back_to_its_oldest_other_review(
    shop: Engine, dialect: str
) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {3: "不错"}, now=MONDAY)
    add_changed_at(shop, 10, BEFORE_ALL_TIMES[dialect] + AFTER_ALL_TIMES[dialect])
    with database.writing(shop) as connection:
        run = open_planned_run(connection, "given up", scope="reconcile")
        held_runs.hold(connection, run, because="a test", now=WEDNESDAY)
        runs.abandon(connection, run)
    assert mark(shop) == MONDAY


def test_a_review_dated_2099_is_labelled_and_ends_nothing(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {3: "不错"}, now=datetime(2099, 1, 1, tzinfo=UTC))
    assert scoring_run(shop, "thursday")["labelled"] == 1
    assert mark(shop) == WEDNESDAY
    with database.writing(shop) as connection:
        add_reviews(connection, {4: "一般"}, now=WEDNESDAY)
    assert scoring_run(shop, "friday")["labelled"] == 1


def test_the_watermark_never_moves_backwards_and_never_past_the_opening(shop: Engine) -> None:
    for idempotency_key, due, opened, expected in (
        ("an earlier run", MONDAY, MONDAY, WEDNESDAY),
        ("a run that was due tomorrow", THURSDAY, WEDNESDAY, WEDNESDAY),
        ("the next run", THURSDAY, THURSDAY, THURSDAY),
    ):
        with database.writing(shop) as connection:
            (run,) = series.open_series(
                connection,
                idempotency_key=idempotency_key,
                scope="new",
                model_version="m1",
                variant="fp32",
                due=due,
                now=opened,
            )
            runs.plan(connection, run)
            answer(connection, run)
            publication.audit(connection, run)
            publication.publish(connection, run, now=THURSDAY)
        assert mark(shop) == expected, idempotency_key


def test_a_run_that_was_not_published_leaves_the_watermark(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {1: "很好"})
        run = open_planned_run(connection)
        answer(connection, run)
        publication.audit(connection, run)
    assert mark(engine) is None


def test_after_a_rollback_a_run_completes_what_the_old_model_has_not_seen(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_model(connection, "m2")
        add_reviews(connection, {3: "不错"}, now=WEDNESDAY)
    scoring_run(shop, "m2", model="m2")
    with database.writing(shop) as connection:
        assert pending.count(connection, "m1") == 1
    assert scoring_run(shop, "back to m1", model="m1")["labelled"] == 1


def test_ranges_of_keys_cover_what_waits_and_are_opened_once(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_model(connection, "m2")
        add_reviews(connection, dict.fromkeys(range(3, 11), "不错"))
        found = ranges(connection, rows_each=3)
        assert series.by_key(connection, "rescore") == found
        assert ranges(connection, rows_each=1) == found, "another attempt, at the same time, opened ranges of its own"
        assert series.by_key(connection, "another") == []
        for run in found:
            runs.plan(connection, run)
    bounds = [(row["after_id"], row["through_id"], row["planned"]) for row in rows(shop, scoring_runs)[1:]]
    assert bounds == [(None, 3, 3), (3, 6, 3), (6, 9, 3), (9, None, 1)]


def test_ranges_are_larger_where_there_would_be_too_many_and_one_where_nothing_waits(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_model(connection, "m2")
        add_reviews(connection, dict.fromkeys(range(3, 11), "不错"))
        assert len(ranges(connection, rows_each=1, most=4)) == 4
    scoring_run(shop, "all of it", model="m2")
    with database.writing(shop) as connection:
        (run,) = ranges(connection, rows_each=3, idempotency_key="nothing waits")
        assert runs.plan(connection, run) == [0]


def ranges(connection: Connection, *, rows_each: int, most: int = 500, idempotency_key: str = "rescore") -> list[int]:
    return series.open_series(
        connection,
        idempotency_key=idempotency_key,
        scope="rescore",
        model_version="m2",
        variant="fp32",
        due=WEDNESDAY,
        now=WEDNESDAY,
        rows=rows_each,
        most=most,
    )
