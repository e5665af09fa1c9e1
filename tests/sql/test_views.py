"""What analysts query, on situations small enough to know the answer."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import upkeep
from senti_tasks.warehouse import database, migrations, overview
from senti_tasks.warehouse.models import promotions, registry
from tests.situations import (
    SHANGHAI,
    TUESDAY,
    WEDNESDAY,
    add_model,
    add_reviews,
    delete,
    edit,
    promote,
    rows,
    scoring_run,
)

VIEWS = list(migrations.view_statements())


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Reviews of two products and of none, labelled by the model in service."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {1: "很好", 2: "太差"}, product="面馆")
        add_reviews(connection, {3: "一般"}, product="酒店")
        add_reviews(connection, {4: "差"})
    scoring_run(engine)
    return engine


def by_id(engine: Engine, view: str) -> dict[int, dict[str, Any]]:
    return {row["review_id"]: row for row in rows(engine, view)}


@pytest.mark.parametrize("view", sorted({*VIEWS} - {"calendar"}))
def test_every_view_runs_on_a_warehouse_with_nothing_in_it(view: str, engine: Engine) -> None:
    assert rows(engine, view) == []


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_says_what_a_row_means(view: str) -> None:
    assert migrations.view_statements()[view].startswith("-- One row ")


def test_review_sentiment_has_each_label_with_its_name(shop: Engine) -> None:
    shown = by_id(shop, "review_sentiment")
    assert {key: (row["label"], row["label_name"], row["score"], row["confidence"]) for key, row in shown.items()} == {
        1: (1, "positive", 0.9, 0.9),
        2: (0, "negative", 0.2, 0.8),
        3: (1, "positive", 0.6, 0.6),
        4: (0, "negative", 0.2, 0.8),
    }
    assert {row["model_version"] for row in shown.values()} == {"m1"}


def test_a_label_is_stale_from_an_edit_to_the_next_run(shop: Engine) -> None:
    with database.writing(shop) as connection:
        edit(connection, 1, "后来坏了，差")
    assert [key for key, row in by_id(shop, "review_sentiment").items() if row["stale"]] == [1]
    assert [key for key, row in by_id(shop, "sentiment_latest").items() if row["stale"]] == [1]
    scoring_run(shop, "next")
    assert not [key for key, row in by_id(shop, "review_sentiment").items() if row["stale"]]


def test_sentiment_latest_shows_the_review_beside_its_label_while_it_exists(shop: Engine) -> None:
    with database.writing(shop) as connection:
        delete(connection, 2)
    shown = by_id(shop, "sentiment_latest")
    assert set(shown) == {1, 3, 4}
    assert (shown[1]["review_text"], shown[1]["product"], shown[1]["label_name"]) == ("很好", "面馆", "positive")
    assert not by_id(shop, "review_sentiment")[2]["stale"]


def test_sentiment_by_product_counts_each_product_and_the_reviews_without_one(shop: Engine) -> None:
    shown = {row["product"]: row for row in rows(shop, "sentiment_by_product")}
    assert {
        product: (row["reviews"], row["positive"], row["negative"], row["negative_share"], row["mean_score"])
        for product, row in shown.items()
    } == {
        "面馆": (2, 1, 1, 0.5, pytest.approx(0.55)),
        "酒店": (1, 1, 0, 0.0, pytest.approx(0.6)),
        None: (1, 0, 1, 1.0, pytest.approx(0.2)),
    }


def test_sentiment_daily_counts_each_day(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {5: "很好"}, now=TUESDAY)
    scoring_run(shop, "next")
    shown = {str(row["local_day"]): row for row in rows(shop, "sentiment_daily")}
    assert {
        day: (row["reviews"], row["positive"], row["negative"], row["negative_share"]) for day, row in shown.items()
    } == {
        "2026-11-02": (4, 2, 2, 0.5),
        "2026-11-03": (1, 1, 0, 0.0),
    }


def test_a_day_begins_at_midnight_in_shanghai(engine: Engine, champion: str) -> None:
    times = {
        1: datetime(2026, 11, 2, 23, 59, 59, 999999, SHANGHAI),
        2: datetime(2026, 11, 3, 0, 0, 0, 0, SHANGHAI),  # 16:00 of the second in UTC
        3: datetime(2026, 11, 3, 23, 59, 59, 0, SHANGHAI),
    }
    with database.writing(engine) as connection:
        for key, time in times.items():
            add_reviews(connection, {key: "味道不错"}, created_at=time)
    (run,) = scoring.open_series("run", "2026-11-04T02:00:00+08:00")
    scoring.plan(run)
    scoring.score_shard(run, 0)
    scoring.audit(run)
    scoring.publish(run)
    days = {key: date.fromisoformat(str(row["local_day"])) for key, row in by_id(engine, "review_sentiment").items()}
    assert days == {1: date(2026, 11, 2), 2: date(2026, 11, 3), 3: date(2026, 11, 3)}
    assert {str(row["local_day"]): row["reviews"] for row in rows(engine, "sentiment_daily")} == {
        "2026-11-02": 1,
        "2026-11-03": 2,
    }


def test_a_day_begins_where_the_setting_says(
    engine: Engine, champion: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_TIMEZONE", "America/New_York")
    upkeep.migrate(recount_days=True)
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "味道不错"}, created_at=datetime(2026, 11, 3, 1, tzinfo=SHANGHAI))
    (run,) = scoring.open_series("run", "2026-11-04T02:00:00+08:00")
    scoring.plan(run)
    scoring.score_shard(run, 0)
    scoring.audit(run)
    scoring.publish(run)
    assert str(by_id(engine, "review_sentiment")[1]["local_day"]) == "2026-11-02"


def test_sentiment_uncertain_shows_what_the_model_is_least_sure_of(shop: Engine) -> None:
    assert list(by_id(shop, "sentiment_uncertain")) == [3]


def test_analysts_see_the_model_in_service_while_the_champion_waits(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_model(connection, "m2")
        waiting = promote(connection, "m2")
    assert [row["model_version"] for row in rows(shop, "model_in_service")] == ["m1"]
    scoring_run(shop, "incoming", scope="rescore", model="m2")
    assert {row["model_version"] for row in rows(shop, "review_sentiment")} == {"m1"}
    with database.writing(shop) as connection:
        assert promotions.start_service(connection, waiting["seq"], now=TUESDAY)
    assert {row["model_version"] for row in rows(shop, "review_sentiment")} == {"m2"}
    assert len(rows(shop, "review_sentiment")) == 4


def test_after_a_rollback_analysts_see_the_earlier_labels_again(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_model(connection, "m2")
        waiting = promote(connection, "m2")
    scoring_run(shop, "incoming", scope="rescore", model="m2")
    with database.writing(shop) as connection:
        promotions.start_service(connection, waiting["seq"], now=TUESDAY)
        promote(connection, "m1", kind="rollback")
    assert {row["model_version"] for row in rows(shop, "review_sentiment")} == {"m1"}
    assert len(rows(shop, "review_sentiment")) == 4


def test_the_scorecard_puts_a_models_figures_beside_its_references(shop: Engine) -> None:
    subjects = {"candidate": 0.91, "champion": 0.89, "baseline": 0.9}
    figures = [
        {"subject": subject, "split": "test", "metric": metric, "value": value}
        for subject, accuracy in subjects.items()
        for metric, value in {"rows": 600.0, "accuracy": accuracy, "macro_f1": accuracy - 0.01}.items()
    ]
    validation = {"subject": "candidate", "split": "validation", "metric": "accuracy", "value": 0.99}
    with database.writing(shop) as connection:
        add_model(connection, "m2", verdict=None)
        registry.record_metrics(connection, "m2", [*figures, validation])
    cards = {row["model_version"]: row for row in rows(shop, "model_scorecard")}
    assert set(cards) == {"m1", "m2"}
    names = ("test_rows", "accuracy", "macro_f1", "roc_auc", "champion_accuracy", "baseline_accuracy", "verdict")
    assert [cards["m2"][name] for name in names] == [600, 0.91, pytest.approx(0.9), None, 0.89, 0.9, None]
    assert (bool(cards["m1"]["in_service"]), bool(cards["m2"]["in_service"])) == (True, False)
    assert (cards["m1"]["accuracy"], cards["m1"]["verdict"]) == (None, "promote")


def test_scoring_health_shows_each_run(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {5: " "}, now=WEDNESDAY)
    scoring_run(shop, "next")
    shown = [(row["idempotency_key"], row["state"], row["planned"], row["labelled"], row["failed"]) for row in rows(
        shop, "scoring_health", order_by="run_id"
    )]  # fmt: skip
    assert shown == [("run#0", "published", 4, 4, 0), ("next#0", "published", 1, 0, 1)]


def test_the_overview_says_where_things_stand(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {5: "新来的"}, now=WEDNESDAY)
        found = overview.status(connection)
        newest = overview.read_view(connection, "sentiment_latest", order_by="review_id", limit=2)
    assert {key: found[key] for key in ("reviews", "annotated", "pending", "champion", "in_service")} == {
        "reviews": 5,
        "annotated": 0,
        "pending": 1,
        "champion": "m1",
        "in_service": "m1",
    }
    assert [run["idempotency_key"] for run in found["runs"]] == ["run#0"]
    assert [row["review_id"] for row in newest] == [4, 3]


def test_without_a_model_every_review_is_pending(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好"})
        found = overview.status(connection)
    assert (found["pending"], found["champion"], found["in_service"], found["runs"]) == (1, None, None, [])
