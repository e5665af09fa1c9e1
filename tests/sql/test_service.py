"""A switch of models loses no label: what analysts see before, at and after a promotion and a rollback."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.config import PlanConfig
from senti_tasks.jobs import models, scoring
from senti_tasks.jobs.operations import erasure, upkeep
from senti_tasks.text import text_hash
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions, retention, service
from senti_tasks.warehouse.schema import review_label_history, review_labels, scoring_errors
from senti_tasks.warehouse.scoring import publication, shards
from tests.recounts import check_rollups
from tests.situations import (
    MONDAY,
    PHRASES,
    WEDNESDAY,
    add_model,
    add_reviews,
    answer,
    count,
    deploy,
    edit,
    open_planned_run,
    promote,
    rows,
    scoring_run,
)

OLD, NEW, NEWEST = "m1", "m2", "m3"
DAY = timedelta(days=1)
REVIEWS = len(PHRASES)


@pytest.fixture
def shop(engine: Engine, home: Path) -> Engine:
    """Reviews that the model in service has labelled, and two more models."""
    with database.writing(engine) as connection:
        for version in (OLD, NEW, NEWEST):
            add_model(connection, version)
        promote(connection, OLD)
        add_reviews(connection, dict(enumerate(PHRASES)), now=MONDAY)
    scoring_run(engine, "first night")
    return engine


def rescored(engine: Engine, idempotency_key: str = "rescore", model: str = NEW) -> bool:
    """Labels with the incoming model what it has not labelled; whether that put it into service."""
    scoring_run(engine, idempotency_key, scope="rescore", model=model)
    with database.writing(engine) as connection:
        return service.start_if_covered(connection, now=WEDNESDAY)


def shown(engine: Engine) -> dict[Any, dict[str, Any]]:
    return {row["review_id"]: row for row in rows(engine, "review_sentiment")}


def current(engine: Engine) -> set[Any]:
    """The reviews whose present text has a label that analysts see."""
    return {key for key, row in shown(engine).items() if not row["stale"]}


def in_service(engine: Engine) -> str:
    with database.reading(engine) as connection:
        return promotions.in_service(connection)


def health(engine: Engine) -> dict[str, Any]:
    (row,) = rows(engine, "service_health")
    return row


class KilledError(Exception):
    """Ends a transaction as the death of its process does."""


# Promotion


def test_what_the_old_model_labels_during_a_rescoring_is_labelled_before_the_switch(shop: Engine) -> None:
    with database.writing(shop) as connection:
        promote(connection, NEW)
        run = open_planned_run(connection, "rescore", scope="rescore", model=NEW)
        add_reviews(connection, {100: "很好", 101: "太差"}, now=WEDNESDAY)
        edit(connection, 3, "改了，还不错", now=WEDNESDAY)
    scoring_run(shop, "a night in between")
    before = current(shop)
    with database.writing(shop) as connection:
        answer(connection, run)
        publication.audit(connection, run)
        publication.publish(connection, run, now=WEDNESDAY)
        assert not service.start_if_covered(connection, now=WEDNESDAY)
    assert (in_service(shop), health(shop)["incoming"], health(shop)["missing"]) == (OLD, NEW, 3)
    assert rescored(shop, "the rest")
    assert in_service(shop) == NEW
    assert current(shop) == before
    assert {row["model_version"] for row in shown(shop).values()} == {NEW}
    check_rollups(shop)


def test_a_review_that_the_new_model_cannot_label_keeps_its_label(shop: Engine) -> None:
    with database.writing(shop) as connection:
        promote(connection, NEW)
        failed = {"model_version": NEW, "review_id": 2, "review_updated_at": MONDAY, "text_hash": text_hash(PHRASES[2])}
        connection.execute(
            sa.insert(scoring_errors), {**failed, "reason": "the model failed", "run_id": 1, "failed_at": WEDNESDAY}
        )
    before = shown(shop)[2]
    assert rescored(shop)
    after = shown(shop)[2]
    assert (after["label"], after["score"], after["model_version"]) == (before["label"], before["score"], OLD)
    assert after["carried_over"]
    assert health(shop)["carried_over"] == 1
    assert scoring.scope_to_catch_up() is None, "no run can replace this label"
    check_rollups(shop)


def test_a_late_commit_that_the_old_model_labels_after_the_rescoring_was_planned_is_not_lost(shop: Engine) -> None:
    with database.writing(shop) as connection:
        promote(connection, NEW)
        run = open_planned_run(connection, "rescore", scope="rescore", model=NEW)
        add_reviews(connection, {100: "很好"}, now=MONDAY - 30 * DAY)
    scoring_run(shop, "a reconciliation", scope="reconcile")
    with database.writing(shop) as connection:
        answer(connection, run)
        publication.audit(connection, run)
        publication.publish(connection, run, now=WEDNESDAY)
        assert not service.start_if_covered(connection, now=WEDNESDAY)
    assert rescored(shop, "the rest")
    assert 100 in current(shop)


def test_a_switch_that_is_killed_leaves_the_publication_and_the_service_as_they_were(shop: Engine) -> None:
    with database.writing(shop) as connection:
        promote(connection, NEW)
        run = open_planned_run(connection, "rescore", scope="rescore", model=NEW)
        answer(connection, run)
        publication.audit(connection, run)
    before = shown(shop)
    with pytest.raises(KilledError), database.writing(shop) as connection:
        publication.publish(connection, run, now=WEDNESDAY)
        assert service.start_if_covered(connection, now=WEDNESDAY)
        raise KilledError
    assert (in_service(shop), shown(shop)) == (OLD, before)
    scoring.publish(run)
    assert in_service(shop) == NEW
    assert set(shown(shop)) == set(before)
    check_rollups(shop)


def test_a_model_that_was_rescored_to_its_end_serves_from_the_publication_of_the_last_range(
    engine: Engine, champion: str, home: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("senti_tasks.jobs.scoring.runs.PlanConfig", lambda: PlanConfig(range_rows=5))
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(PHRASES)))
    for shard in scoring.list_shards(scoring.open_series("night", WEDNESDAY.isoformat())):
        scoring.complete_shard(shard["run"], shard["shard"])
    incoming = deploy(engine, model_folder, home, "2026-11-09-tiny")
    assert scoring.scope_to_catch_up() == "rescore"
    assert scoring.catch_up("rescore", WEDNESDAY.isoformat())
    assert in_service(engine) == incoming
    assert scoring.scope_to_catch_up() is None
    assert len(current(engine)) == REVIEWS


# Rollback


@pytest.fixture
def rolled_back(shop: Engine) -> Engine:
    """A second model has served for a night with new and edited reviews; then the first one was promoted again."""
    with database.writing(shop) as connection:
        promote(connection, NEW)
    assert rescored(shop)
    with database.writing(shop) as connection:
        add_reviews(connection, {100: "很好", 101: "太差"}, now=WEDNESDAY)
        edit(connection, 3, "改了，还不错", now=WEDNESDAY)
    scoring_run(shop, "a night of the second model")
    before = current(shop)
    assert len(before) == REVIEWS + 2
    with pytest.raises(KilledError), database.writing(shop) as connection:
        service.roll_back(connection, actor="小李", reason="比昨天差", now=WEDNESDAY)
        raise KilledError
    assert (in_service(shop), current(shop)) == (NEW, before)
    done = models.rollback("比昨天差", actor="小李")
    assert (done["serves"], done["carried_over"], done["model"]) == (True, 3, OLD)
    assert current(shop) == before
    return shop


def test_after_a_rollback_reviews_without_a_label_show_the_one_they_had(rolled_back: Engine) -> None:
    carried = {key: row["model_version"] for key, row in shown(rolled_back).items() if row["carried_over"]}
    assert carried == dict.fromkeys((3, 100, 101), NEW)
    latest = {row["review_id"]: bool(row["carried_over"]) for row in rows(rolled_back, "sentiment_latest")}
    assert latest[100]
    assert not latest[0]
    assert health(rolled_back)["carried_over"] == 3
    assert upkeep.status()["carried_over"] == 3
    assert {row["review_id"] for row in rows(rolled_back, "sentiment_changes")} == set(range(REVIEWS)) - {3}
    check_rollups(rolled_back)


def test_a_run_replaces_them_without_history_of_the_same_text(rolled_back: Engine) -> None:
    history = count(rolled_back, review_label_history)
    assert scoring.scope_to_catch_up() == "reconcile"
    assert scoring_run(rolled_back, "catching up", scope="reconcile")["labelled"] == 3
    assert not [row for row in shown(rolled_back).values() if row["carried_over"]]
    assert {row["model_version"] for row in shown(rolled_back).values()} == {OLD}
    assert scoring.scope_to_catch_up() is None
    assert count(rolled_back, review_label_history) == history
    check_rollups(rolled_back)


def test_a_nightly_run_replaces_them_too(rolled_back: Engine) -> None:
    scoring_run(rolled_back, "the next night")
    assert not [row for row in shown(rolled_back).values() if row["carried_over"]]
    check_rollups(rolled_back)


def test_a_promotion_while_labels_are_carried_over_loses_none(rolled_back: Engine) -> None:
    before = current(rolled_back)
    with database.writing(rolled_back) as connection:
        promote(connection, NEW)
    assert rescored(rolled_back, "again")
    assert in_service(rolled_back) == NEW
    assert current(rolled_back) == before
    assert not [row for row in shown(rolled_back).values() if row["carried_over"]]
    check_rollups(rolled_back)


def test_a_carried_label_of_an_edited_review_is_replaced(rolled_back: Engine) -> None:
    with database.writing(rolled_back) as connection:
        edit(connection, 100, "其实太差", now=WEDNESDAY + DAY)
    scoring_run(rolled_back, "the next night")
    row = shown(rolled_back)[100]
    assert (row["label"], bool(row["carried_over"]), row["model_version"]) == (0, False, OLD)
    check_rollups(rolled_back)


def test_an_erased_review_has_no_carried_label(rolled_back: Engine) -> None:
    erasure.erase(["100"], "一封信", "小李")
    assert not [row for row in rows(rolled_back, review_labels) if row["review_id"] == 100]
    assert health(rolled_back)["carried_over"] == 2
    check_rollups(rolled_back)


def test_a_model_with_carried_labels_answers_no_text_from_them(rolled_back: Engine) -> None:
    with database.reading(rolled_back) as connection:
        known = shards.known_labels(connection, OLD, "fp32", [text_hash("很好"), text_hash(PHRASES[0])])
    assert set(known) == {text_hash(PHRASES[0])}


@pytest.fixture
def third_served(rolled_back: Engine) -> Engine:
    """After the rollback, before any catching up, a third model has labelled all reviews and has served."""
    with database.writing(rolled_back) as connection:
        promote(connection, NEWEST)
    assert rescored(rolled_back, "third", NEWEST)
    assert {row["model_version"] for row in shown(rolled_back).values()} == {NEWEST}
    return rolled_back


def test_a_label_that_was_carried_over_earlier_gives_way_to_that_of_the_model_that_served_last(
    third_served: Engine,
) -> None:
    before, history = current(third_served), count(third_served, review_label_history)
    done = models.rollback("也不好", actor="小李")
    assert (done["model"], done["carried_over"]) == (OLD, 3)
    assert current(third_served) == before
    carried = {key: row["model_version"] for key, row in shown(third_served).items() if row["carried_over"]}
    assert carried == dict.fromkeys((3, 100, 101), NEWEST)
    assert count(third_served, review_label_history) == history, "the text is the same"
    check_rollups(third_served)


def test_after_two_rollbacks_every_label_names_the_model_that_made_it(shop: Engine) -> None:
    for number, version in enumerate((NEW, NEWEST)):
        with database.writing(shop) as connection:
            promote(connection, version)
        assert rescored(shop, f"rescore {number}", version)
        with database.writing(shop) as connection:
            add_reviews(connection, {100 + number: "很好"}, now=WEDNESDAY)
        scoring_run(shop, f"night {number}")
    before = current(shop)
    for target in (NEW, OLD):
        assert models.rollback("比昨天差", actor="小李")["model"] == target
        assert current(shop) == before
        check_rollups(shop)
    made_by = {key: row["model_version"] for key, row in shown(shop).items() if row["carried_over"]}
    assert made_by == {100: NEW, 101: NEWEST}
    scoring_run(shop, "catching up", scope="reconcile")
    assert {row["model_version"] for row in shown(shop).values()} == {OLD}


def test_a_carried_label_stays_when_the_labels_of_its_model_are_dropped(rolled_back: Engine) -> None:
    before = shown(rolled_back)
    with database.writing(rolled_back) as connection:
        retention.drop_labels(connection, NEW)
    assert shown(rolled_back) == before
    assert shown(rolled_back)[100]["label_name"] == "positive"


def test_during_a_freeze_nothing_new_is_caught_up(rolled_back: Engine) -> None:
    upkeep.freeze("盘点", "小李")
    assert scoring.scope_to_catch_up() is None, "a run could not be published"
    with database.writing(rolled_back) as connection:
        promote(connection, NEW)
    assert scoring.scope_to_catch_up() is None
    assert not scoring.catch_up("frozen", WEDNESDAY.isoformat())
    upkeep.unfreeze("小李")
    assert scoring.scope_to_catch_up() == "rescore"
