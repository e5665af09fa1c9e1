"""The reviews of a held run: no other run plans them, until a person decides or their text changes."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from senti_tasks.errors import AuditError, FrozenError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import upkeep
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions, retention
from senti_tasks.warehouse.schema import review_labels, run_items, scoring_runs
from senti_tasks.warehouse.scoring import held_runs, pending, publication, runs, series, shards, watermarks
from tests.conftest import Databases
from tests.situations import MONDAY, add_model, add_reviews, answer, edit, judged, on_postgresql, promote, rows

NIGHT = timedelta(days=1)
FIRST_HELD, HELD = 9_000, 200
MODEL = "m1"


def after(nights: int) -> datetime:
    return MONDAY + nights * NIGHT


def eight_nights(engine: Engine) -> None:
    """Without a negative review."""
    with database.writing(engine) as connection:
        add_model(connection, MODEL)
        promote(connection, MODEL)
    for number in range(8):
        write(engine, range(100 * number, 100 * number + 50), "很好", number)
        run = scored(engine, number)
        with database.writing(engine) as connection:
            publication.audit(connection, run)
            publication.publish(connection, run, now=after(number) + timedelta(hours=1))


@pytest.fixture
def warehouse_url(databases: Databases) -> Iterator[str]:
    url = databases.prepared("eight nights", eight_nights)
    yield url
    databases.drop(url)


@pytest.fixture
def shop(engine: Engine, home: Path) -> Engine:
    return engine


@pytest.fixture
def held(shop: Engine) -> int:
    """The ninth night, of 200 negative reviews, which its audit holds."""
    write(shop, range(FIRST_HELD, FIRST_HELD + HELD), "太差", 8)
    run = scored(shop, 8)
    assert "as_usual" in refusal(run)
    return run


def write(engine: Engine, keys: range, text: str, night: int) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, dict.fromkeys(keys, text), now=after(night))


def planned(engine: Engine, night: int, scope: str = "new") -> int:
    """A run that is due an hour after the reviews of this night were written."""
    due = after(night) + timedelta(hours=1)
    with database.writing(engine) as connection:
        (opened,) = series.open_series(
            connection,
            idempotency_key=f"{scope} {night}",
            scope=scope,
            model_version=promotions.in_service(connection),
            variant="fp32",
            due=due,
            now=due,
        )
        runs.plan(connection, opened, shards=1)
    return opened


def score(engine: Engine, run: int) -> int:
    with database.writing(engine) as connection:
        answer(connection, run)
    return run


def scored(engine: Engine, night: int, scope: str = "new") -> int:
    return score(engine, planned(engine, night, scope))


def publish(run: int) -> int:
    """Audits and publishes; returns the number of labels."""
    scoring.audit(run)
    return int(scoring.publish(run)["labelled"])


def refusal(run: int) -> str:
    with pytest.raises(AuditError) as error:
        scoring.audit(run)
    return str(error.value)


def labelled(engine: Engine, first: int = FIRST_HELD) -> list[Any]:
    return sorted(row["review_id"] for row in rows(engine, review_labels) if row["review_id"] >= first)


def plan_of(engine: Engine, run: int) -> list[Any]:
    return sorted(row["review_id"] for row in rows(engine, run_items) if row["run_id"] == run)


def run_row(engine: Engine, run: int) -> dict[str, Any]:
    (found,) = [row for row in rows(engine, scoring_runs) if row["run_id"] == run]
    return found


HELD_KEYS = list(range(FIRST_HELD, FIRST_HELD + HELD))


@pytest.mark.parametrize("scope", ["new", "reconcile", "all"])
def test_no_other_run_publishes_what_a_run_holds(shop: Engine, held: int, scope: str) -> None:
    run = scored(shop, 9, scope)
    assert plan_of(shop, run) == ([] if scope != "all" else [row["review_id"] for row in rows(
        shop, review_labels, order_by="review_id"
    )])  # fmt: skip
    publish(run)
    assert labelled(shop) == []


@pytest.mark.parametrize("scope", ["reconcile", "all"])
def test_runs_of_every_scope_are_compared_with_the_usual(shop: Engine, scope: str) -> None:
    write(shop, range(FIRST_HELD, FIRST_HELD + 400), "太差", 8)
    run = scored(shop, 8, scope)
    assert f"senti score --run {run} --publish-anyway REASON" in refusal(run)
    assert labelled(shop) == []


def test_the_next_night_publishes_the_rest(shop: Engine, held: int) -> None:
    write(shop, range(20_000, 20_050), "很好", 9)
    assert publish(scored(shop, 9)) == 50
    assert labelled(shop) == list(range(20_000, 20_050))
    with database.reading(shop) as connection:
        assert watermarks.of(connection, MODEL) == after(9) + timedelta(hours=1)


def test_a_person_publishes_exactly_the_reviews_that_were_held(shop: Engine, held: int) -> None:
    write(shop, range(20_000, 20_050), "很好", 9)
    waiting = planned(shop, 9)
    scoring.audit(held, anyway="大促销", actor="小李")
    assert scoring.publish(held)["labelled"] == HELD
    assert labelled(shop) == HELD_KEYS
    assert plan_of(shop, waiting) == list(range(20_000, 20_050))
    assert run_row(shop, held)["overruled_reason"] == "大促销"


def test_reviews_of_a_run_that_is_given_up_are_planned_by_the_next_night(shop: Engine, held: int) -> None:
    for night in range(9, 13):
        write(shop, range(1_000 * night + 10_000, 1_000 * night + 10_050), "很好", night)
        publish(scored(shop, night))
    scoring.abandon(held, "小李")
    assert upkeep.status()["pending"] == HELD, "although they are older than the watermark and the overlap"
    assert plan_of(shop, planned(shop, 13)) == HELD_KEYS


def test_a_run_planned_before_another_was_given_up_does_not_move_the_watermark_past_its_reviews(
    shop: Engine, held: int
) -> None:
    for night in range(9, 13):
        write(shop, range(1_000 * night + 10_000, 1_000 * night + 10_050), "很好", night)
        publish(scored(shop, night))
    write(shop, range(30_000, 30_050), "很好", 13)
    under_way = scored(shop, 13)
    scoring.abandon(held, "小李")
    assert publish(under_way) == 50
    assert plan_of(shop, planned(shop, 14)) == HELD_KEYS


def test_what_another_run_had_planned_before_the_hold_is_not_published_by_it(shop: Engine) -> None:
    write(shop, range(FIRST_HELD, FIRST_HELD + HELD), "太差", 8)
    first, second = planned(shop, 8), planned(shop, 8, "reconcile")
    write(shop, range(20_000, 24_000), "很好", 8)
    third = planned(shop, 9)
    for run in (first, second):
        score(shop, run)
        refusal(run)
    with database.writing(shop) as connection:
        for _ in range(6):
            answer_chunk(connection, third)
    assert publish(third) == 4_000
    assert labelled(shop) == list(range(20_000, 24_000))
    scoring.audit(second, anyway="大促销", actor="小李")
    assert scoring.publish(second)["labelled"] == 0, "the first run to be held has them"
    scoring.audit(first, anyway="大促销", actor="小李")
    assert scoring.publish(first)["labelled"] == HELD


def answer_chunk(connection: Any, run: int) -> None:
    """Stages up to 1,000 reviews, and accepts the shard after the last of them."""
    claim = shards.claim(connection, run, 0)
    if claim is None:
        return
    chunk = shards.read_chunk(connection, run, 0, after=claim.cursor, limit=1_000)
    if chunk:
        shards.stage(connection, claim, judged(chunk), cursor=chunk[-1].review_id)
    else:
        shards.accept(connection, claim)


def test_a_held_review_whose_text_changes_is_planned_again(shop: Engine, held: int) -> None:
    with database.writing(shop) as connection:
        edit(connection, FIRST_HELD, "很好", now=after(9))
    run = scored(shop, 9)
    assert plan_of(shop, run) == [FIRST_HELD]
    publish(run)
    scoring.audit(held, anyway="大促销", actor="小李")
    scoring.publish(held)
    labels = {row["review_id"]: row["label"] for row in rows(shop, review_labels)}
    assert [labels[key] for key in HELD_KEYS] == [1] + [0] * (HELD - 1)


@on_postgresql
def test_of_all_plans_only_those_of_held_runs_are_read(shop: Engine, held: int) -> None:
    write(shop, range(20_000, 20_050), "很好", 9)
    other = planned(shop, 9)
    with database.reading(shop) as connection:
        statement = pending.pending_reviews(MODEL, without=held_runs.of_model(connection, MODEL))
        literal = statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {literal}").scalars())
    assert f"run_items_{held} " in plan
    assert f"run_items_{other} " not in plan


def test_another_model_plans_them(shop: Engine, held: int) -> None:
    with database.writing(shop) as connection:
        add_model(connection, "m2")
        (run,) = series.open_series(
            connection,
            idempotency_key="rescore",
            scope="rescore",
            model_version="m2",
            variant="fp32",
            due=after(9),
            now=after(9),
        )
        runs.plan(connection, run, shards=1)
    assert set(HELD_KEYS) <= set(plan_of(shop, run))


def test_a_held_run_is_neither_resumed_nor_given_up_but_by_its_number(shop: Engine, held: int) -> None:
    for restart in (False, True):
        assert scoring.unfinished_series("new", "new", restart) == []
    publish(scored(shop, 9))
    with database.writing(shop) as connection:
        assert runs.abandon_overtaken(connection, before=after(1_000)) == []
    assert run_row(shop, held)["state"] == "held"


def test_a_cleared_task_does_not_compare_a_held_run_again(shop: Engine, held: int) -> None:
    """Later runs change what is usual; only a person ends a hold."""
    first = refusal(held)
    for night in range(9, 15):
        with database.writing(shop) as connection:
            texts = {1_000 * night + 10_000 + key: "太差" if key % 2 else "很好" for key in range(10)}
            add_reviews(connection, texts, now=after(night))
        run = scored(shop, night)
        scoring.audit(run, anyway="as every night now", actor="小李")
        scoring.publish(run)
    assert refusal(held) == first


def test_a_person_may_publish_a_held_run_during_a_freeze_and_it_keeps_its_reviews(shop: Engine, held: int) -> None:
    upkeep.freeze("盘点", "小王")
    scoring.audit(held, anyway="大促销", actor="小李")
    with pytest.raises(FrozenError):
        scoring.publish(held)
    assert plan_of(shop, planned(shop, 9)) == []
    with database.writing(shop) as connection:
        assert runs.abandon_overtaken(connection, before=after(1_000)) == []
    assert upkeep.unfreeze("小李")["waiting"] == [held]
    assert publish(held) == HELD


def test_what_waits_is_shown_with_what_to_type(shop: Engine, held: int) -> None:
    commands = [f"senti score --run {held} --publish-anyway REASON", f"senti score --run {held} --restart"]
    message = refusal(held)
    assert re.search(rf"run {held} is held since \d{{4}}-.* UTC: .*shares_are_as_usual: .*200 reviews", message)
    assert all(command in message for command in commands)
    status = upkeep.status()
    assert status["pending"] == 0
    (waiting,) = status["held"]
    assert (waiting["run_id"], waiting["scope"], waiting["reviews"]) == (held, "new", HELD)
    assert "shares_are_as_usual" in waiting["held_because"]
    (shown,) = [row for row in rows(shop, "scoring_health") if row["run_id"] == held]
    assert (shown["state"], shown["planned"]) == ("held", HELD)
    assert all(command in shown["next_step"] for command in commands)
    assert shown["held_at"] is not None
    scoring.audit(held, anyway="大促销", actor="小李")
    scoring.publish(held)
    (shown,) = [row for row in rows(shop, "scoring_health") if row["run_id"] == held]
    assert (shown["state"], shown["next_step"]) == ("published", None)
    assert shown["held_at"] is not None, "that it was held stays on record"
    assert upkeep.status()["held"] == []


def test_the_labels_of_a_model_with_a_held_run_are_kept(shop: Engine, held: int) -> None:
    with database.writing(shop) as connection:
        for number in (2, 3, 4):
            add_model(connection, f"m{number}")
            promote(connection, f"m{number}")
            if waiting := promotions.awaiting_service(connection):
                promotions.start_service(connection, waiting["seq"], now=after(9))
        assert retention.unneeded_versions(connection, keep=1) == []
    scoring.abandon(held, "小李")
    with database.reading(shop) as connection:
        assert retention.unneeded_versions(connection, keep=1) == [MODEL]
