"""Scoring runs: plans, claimed shards, chunks staged exactly once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine

from senti_tasks.errors import RunStateError, ShardTakenError
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import run_items, run_shards, scoring_runs, staged_labels
from senti_tasks.warehouse.scoring import runs, series, shards
from tests.situations import (
    TUESDAY,
    WEDNESDAY,
    add_model,
    add_reviews,
    count,
    delete,
    edit,
    judged,
    promote,
    rows,
    scoring_run,
)


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Seven reviews and a model in service."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {key: f"第{key}条，不错" for key in range(1, 8)})
    return engine


def opened(engine: Engine, idempotency_key: str = "run", scope: str = "new") -> int:
    with database.writing(engine) as connection:
        (run,) = series.open_series(
            connection,
            idempotency_key=idempotency_key,
            scope=scope,
            model_version="m1",
            variant="fp32",
            due=WEDNESDAY,
            now=WEDNESDAY,
        )
    return run


def planned(engine: Engine, shards: int = 1, idempotency_key: str = "run") -> int:
    run = opened(engine, idempotency_key)
    with database.writing(engine) as connection:
        runs.plan(connection, run, shards=shards)
    return run


def plan_of(engine: Engine) -> list[tuple[int, Any]]:
    return sorted((row["shard"], row["review_id"]) for row in rows(engine, run_items))


# Opening and planning


def test_an_idempotency_key_opens_one_run(shop: Engine) -> None:
    assert opened(shop) == opened(shop)
    assert opened(shop, "another") != opened(shop)


def test_an_unknown_run_says_so(shop: Engine) -> None:
    with database.reading(shop) as connection, pytest.raises(RunStateError, match=r"there is no scoring run 99"):
        runs.run(connection, 99)


def test_shards_are_contiguous_and_of_like_size(shop: Engine) -> None:
    planned(shop, shards=3)
    assert plan_of(shop) == [(0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (2, 6), (2, 7)]
    assert [row["planned"] for row in rows(shop, run_shards, order_by="shard")] == [3, 2, 2]


def test_more_shards_than_reviews_make_a_shard_per_review(shop: Engine) -> None:
    run = opened(shop)
    with database.writing(shop) as connection:
        assert runs.plan(connection, run, shards=500) == list(range(7))


def test_five_hundred_shards_are_planned(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {key: f"第{key}条" for key in range(101, 1101)})
    run = opened(shop)
    with database.writing(shop) as connection:
        assert runs.plan(connection, run, shard_rows=1, max_shards=500) == list(range(500))
    assert {row["planned"] for row in rows(shop, run_shards)} == {2, 3}


@pytest.mark.parametrize(("reviews_a_shard", "shards"), [(1, 7), (3, 3), (4, 2), (7, 1), (100, 1)])
def test_the_number_of_shards_follows_the_number_of_reviews(shop: Engine, reviews_a_shard: int, shards: int) -> None:
    run = opened(shop)
    with database.writing(shop) as connection:
        assert runs.plan(connection, run, shard_rows=reviews_a_shard) == list(range(shards))


def test_a_run_with_nothing_to_do_has_one_empty_shard(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_model(connection, "m1")
    run = opened(engine)
    with database.writing(engine) as connection:
        assert runs.plan(connection, run, shards=1) == [0]
        assert runs.run(connection, run)["planned"] == 0
        assert shards.read_chunk(connection, run, 0, after=None, limit=10) == []


def test_a_plan_is_made_once(shop: Engine) -> None:
    run = planned(shop, shards=2)
    with database.writing(shop) as connection:
        add_reviews(connection, {8: "来晚了"})
        assert runs.plan(connection, run, shards=5) == [0, 1]
    assert len(plan_of(shop)) == 7


def test_of_two_planners_at_once_one_plans(shop: Engine) -> None:
    run = opened(shop)
    start = Barrier(2)

    def plan(shards: int) -> list[int]:
        start.wait()
        with database.writing(shop) as connection:
            return runs.plan(connection, run, shards=shards)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(plan, (2, 3))
    assert first == second
    assert len(plan_of(shop)) == 7


def test_a_run_plans_what_has_no_label_and_a_full_run_everything(shop: Engine) -> None:
    scoring_run(shop, "yesterday")
    with database.writing(shop) as connection:
        add_reviews(connection, {8: "新来的"}, now=TUESDAY)
        runs.plan(connection, opened_in(connection, "this_run", "new"))
        runs.plan(connection, opened_in(connection, "again", "all"))
    assert [row["planned"] for row in rows(shop, scoring_runs, order_by="run_id")] == [7, 1, 8]


def opened_in(connection: Any, idempotency_key: str, scope: str) -> int:
    (run,) = series.open_series(
        connection,
        idempotency_key=idempotency_key,
        scope=scope,
        model_version="m1",
        variant="fp32",
        due=WEDNESDAY,
        now=WEDNESDAY,
    )
    return run


def test_the_oldest_unfinished_run_of_its_kind_is_found(shop: Engine) -> None:
    scoring_run(shop, "senti score/new/1")
    older, _newer, _other = (
        planned(shop, 1, "senti score/new/2"),
        opened(shop, "senti score/new/3"),
        opened(shop, "airflow/1"),
    )
    with database.reading(shop) as connection:
        found = series.unfinished(connection, scope="new", key_prefix="senti score/new/")
        assert found is not None
        assert found["run_id"] == older
        assert series.unfinished(connection, scope="all", key_prefix="senti score/") is None
        assert series.unfinished(connection, scope="new", key_prefix="senti%") is None


# Claiming


def test_each_claim_raises_the_attempt(shop: Engine) -> None:
    run = planned(shop)
    with database.writing(shop) as connection:
        claims = [shards.claim(connection, run, 0) for _ in range(2)]
    assert [claim and claim.attempt for claim in claims] == [1, 2]


def test_claims_at_the_same_time_get_attempts_of_their_own(shop: Engine) -> None:
    run = planned(shop)
    start = Barrier(4)

    def claim(_worker: int) -> int:
        start.wait()
        with database.writing(shop) as connection:
            taken = shards.claim(connection, run, 0)
        assert taken is not None
        return taken.attempt

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(claim, range(4))) == [1, 2, 3, 4]


def test_an_earlier_attempt_writes_nothing_once_the_shard_is_claimed_again(shop: Engine) -> None:
    run = planned(shop)
    with database.writing(shop) as connection:
        earlier = shards.claim(connection, run, 0)
        later = shards.claim(connection, run, 0)
        chunk = shards.read_chunk(connection, run, 0, after=None, limit=3)
    assert earlier is not None
    assert later is not None
    with (
        pytest.raises(ShardTakenError, match=r"shard 0 of run .* was claimed again"),
        database.writing(shop) as connection,
    ):
        shards.stage(connection, earlier, judged(chunk), cursor=3)
    with pytest.raises(ShardTakenError), database.writing(shop) as connection:
        shards.accept(connection, earlier)
    assert count(shop, staged_labels) == 0
    with database.writing(shop) as connection:
        shards.stage(connection, later, judged(chunk), cursor=3)
    assert count(shop, staged_labels) == 3


def test_the_next_attempt_goes_on_where_the_last_one_staged(shop: Engine) -> None:
    run = planned(shop)
    with database.writing(shop) as connection:
        first = shards.claim(connection, run, 0)
        assert first is not None
        assert first.cursor is None
        chunk = shards.read_chunk(connection, run, 0, after=None, limit=3)
        shards.stage(connection, first, judged(chunk), cursor=chunk[-1].review_id)
        second = shards.claim(connection, run, 0)
        assert second is not None
        assert second.cursor == 3
        rest = shards.read_chunk(connection, run, 0, after=second.cursor, limit=10)
    assert [item.review_id for item in rest] == [4, 5, 6, 7]


def test_an_attempt_whose_last_chunk_a_crash_took_back_does_not_go_on_as_if_it_were_there(shop: Engine) -> None:
    run = planned(shop)
    with database.writing(shop) as connection:
        before = shards.claim(connection, run, 0)
        assert before is not None
        chunk = shards.read_chunk(connection, run, 0, after=None, limit=3)
    with pytest.raises(RuntimeError, match="lost"), database.writing(shop) as connection:
        after = shards.stage(connection, before, judged(chunk), cursor=3)
        raise RuntimeError("lost")
    assert after.cursor == 3
    with pytest.raises(ShardTakenError, match="lost its last chunk"), database.writing(shop) as connection:
        shards.stage(connection, after, judged([]), cursor=7)
    with pytest.raises(ShardTakenError), database.writing(shop) as connection:
        shards.accept(connection, after)
    with database.writing(shop) as connection:
        shards.stage(connection, before, judged(chunk), cursor=3)
    assert count(shop, staged_labels) == 3


def test_a_finished_shard_cannot_be_claimed_or_staged(shop: Engine) -> None:
    run = planned(shop)
    with database.writing(shop) as connection:
        claim = shards.claim(connection, run, 0)
        assert claim is not None
        shards.accept(connection, claim)
        assert shards.claim(connection, run, 0) is None
        with pytest.raises(ShardTakenError):
            shards.stage(connection, claim, judged([]), cursor=7)


def test_a_shard_that_was_never_planned_says_so(shop: Engine) -> None:
    run = opened(shop)
    with database.writing(shop) as connection, pytest.raises(RunStateError, match=r"has no shard 0: plan it first"):
        shards.claim(connection, run, 0)


def test_a_chunk_and_its_cursor_are_written_together(shop: Engine) -> None:
    run = planned(shop)
    with pytest.raises(RuntimeError), database.writing(shop) as connection:
        claim = shards.claim(connection, run, 0)
        assert claim is not None
        chunk = shards.read_chunk(connection, run, 0, after=None, limit=3)
        shards.stage(connection, claim, judged(chunk), cursor=3)
        raise RuntimeError
    assert count(shop, staged_labels) == 0
    assert rows(shop, run_shards)[0]["cursor"] is None


# Reading


def test_chunks_follow_one_another_without_gap_or_overlap(shop: Engine) -> None:
    run = planned(shop)
    seen: list[int] = []
    with database.reading(shop) as connection:
        while chunk := shards.read_chunk(connection, run, 0, after=seen[-1] if seen else None, limit=3):
            assert len(chunk) <= 3
            seen += [item.review_id for item in chunk]
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_a_shard_reads_its_own_reviews(shop: Engine) -> None:
    run = planned(shop, shards=3)
    with database.reading(shop) as connection:
        assert [item.review_id for item in shards.read_chunk(connection, run, 1, after=None, limit=9)] == [4, 5]


def test_what_was_edited_or_deleted_since_the_plan_is_superseded(shop: Engine) -> None:
    run = planned(shop)
    with database.writing(shop) as connection:
        edit(connection, 2, "改主意了，太差")
        delete(connection, 3)
        chunk = shards.read_chunk(connection, run, 0, after=None, limit=4)
    assert [(item.review_id, item.superseded, item.text) for item in chunk] == [
        (1, False, "第1条，不错"),
        (2, True, None),
        (3, True, None),
        (4, False, "第4条，不错"),
    ]
