"""The analysts' cookbook: every question runs, and answers a known situation rightly."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.warehouse import database
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.scoring import publication
from tests.situations import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    add_model,
    add_reviews,
    annotate,
    answer,
    edit,
    open_planned_run,
    promote,
    scoring_run,
)

QUERIES = sorted((SQL / "queries").glob("*.sql"))


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Ten noodles of which one is bad, and ten runs of which five are; the last review is of Tuesday."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {key: "太差" if key == 1 else "很好" for key in range(1, 11)}, product="面馆")
        add_reviews(connection, {key: "太差" if key <= 15 else "一般" for key in range(11, 20)}, product="酒店")
        add_reviews(connection, {20: "一般"}, product="酒店", now=TUESDAY)
    scoring_run(engine)
    return engine


def ask(engine: Engine, name: str) -> list[dict[str, Any]]:
    with database.reading(engine) as connection:
        statement = sa.text((SQL / "queries" / f"{name}.sql").read_text("utf-8"))
        return [dict(row) for row in connection.execute(statement).mappings()]


@pytest.mark.parametrize("query", QUERIES, ids=lambda path: path.stem)
def test_every_query_is_headed_by_its_question_and_runs_on_an_empty_warehouse(query: Path, engine: Engine) -> None:
    assert query.read_text("utf-8").splitlines()[0].endswith("?")
    assert ask(engine, query.stem) == []


def test_the_product_with_the_largest_share_of_negatives_comes_first(shop: Engine) -> None:
    found = ask(shop, "products_with_most_negatives")
    assert [(row["product"], row["negative"], float(row["negative_percent"])) for row in found] == [
        ("酒店", 5, 50.0),
        ("面馆", 1, 10.0),
    ]


def test_the_newest_review_comes_first_with_its_label(shop: Engine) -> None:
    newest, *_ = ask(shop, "newest_labelled_reviews")
    assert (newest["product"], newest["review_text"], newest["label_name"]) == ("酒店", "一般", "positive")


def test_the_negatives_to_read_first_are_negatives_only(shop: Engine) -> None:
    found = ask(shop, "negatives_to_read_first")
    assert [row["review_id"] for row in found] == [1, 11, 12, 13, 14, 15]
    assert {row["review_text"] for row in found} == {"太差"}


def shown(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Values as text, dates and decimals as both databases spell them."""
    return tuple(str(row[name]).removesuffix(".0").removesuffix(" 00:00:00") for name in names)


def test_the_share_of_negatives_has_its_wilson_interval(shop: Engine) -> None:
    found = ask(shop, "negative_share_by_product_and_week")
    names = ("product", "week_start", "reviews", "negative_percent", "at_least", "at_most")
    assert [shown(row, *names) for row in found] == [
        ("酒店", "2026-11-02", "10", "50", "23.7", "76.3"),
        ("面馆", "2026-11-02", "10", "10", "1.8", "40.4"),
    ]


def test_a_product_without_negatives_may_have_none_at_all(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {1: "很好", 2: "很好"}, product="面馆")
        add_reviews(connection, {3: "太差", 4: "太差", 5: "太差"}, product="酒店")
    scoring_run(engine)
    found = ask(engine, "negative_share_by_product_and_week")
    assert [shown(row, "product", "at_least", "at_most") for row in found] == [
        ("酒店", "43.8", "100"),  # 3 / (3 + 1.96²)
        ("面馆", "0", "65.8"),  # 1.96² / (2 + 1.96²)
    ]


def test_ranges_of_a_rescoring_are_no_runs(shop: Engine) -> None:
    scoring_run(shop, "of another model", scope="rescore")
    with database.writing(shop) as connection:
        connection.execute(sa.text("UPDATE scoring_runs SET seconds = 4, labelled = 20"))
    assert [row["runs"] for row in ask(shop, "speed_of_runs")] == [1]
    assert len(ask(shop, "how_complete_is_it")) == 1


def test_a_product_that_got_worse_is_found_and_one_that_did_not_is_not(shop: Engine) -> None:
    long_ago = MONDAY - timedelta(days=30)
    with database.writing(shop) as connection:
        for product, keys in (("酒店", range(100, 120)), ("面馆", range(200, 220))):
            texts = {key: "太差" if key == keys[0] else "很好" for key in keys}
            add_reviews(connection, texts, product=product, now=WEDNESDAY, created_at=long_ago)
    scoring_run(shop, "next")
    (worse,) = ask(shop, "products_that_got_worse")
    assert shown(worse, "product", "negative_percent_before", "negative_percent") == ("酒店", "5", "50")
    assert float(worse["z"]) == pytest.approx(2.81, abs=0.01)  # (0.5 - 0.05) / sqrt(7/32 * 25/32 * (1/10 + 1/20))


def test_a_week_stands_out_if_its_share_is_far_from_that_of_the_other_weeks_of_its_product(shop: Engine) -> None:
    with database.writing(shop) as connection:
        for product, first_key in (("酒店", 100), ("面馆", 200)):
            for weeks, keys in ((3, range(first_key, first_key + 20)), (4, range(first_key + 20, first_key + 40))):
                texts = {key: "太差" if key == keys[0] else "很好" for key in keys}
                long_ago = MONDAY - timedelta(weeks=weeks)
                add_reviews(connection, texts, product=product, now=WEDNESDAY, created_at=long_ago)
    scoring_run(shop, "next")
    (week,) = ask(shop, "weeks_that_stood_out")  # z = (0.5 - 0.05) / sqrt(8/52 * 44/52 * (1/10 + 1/40)) = 3.5
    names = ("product", "week_start", "reviews", "negative_percent", "at_least", "at_most", "otherwise_percent")
    assert shown(week, *names) == ("酒店", "2026-11-02", "10", "50", "23.7", "76.3", "5")


def test_the_certain_negatives_are_of_the_newest_day(shop: Engine) -> None:
    assert ask(shop, "certain_negatives_of_the_newest_day") == []
    with database.writing(shop) as connection:
        add_reviews(connection, {30: "差得很", 31: "很好"}, now=WEDNESDAY)
    scoring_run(shop, "next")
    assert [row["review_id"] for row in ask(shop, "certain_negatives_of_the_newest_day")] == [30]


def test_labels_that_the_new_model_changed_are_counted_by_direction(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_model(connection, "m2")
        promotions.start_service(connection, promote(connection, "m2")["seq"], now=TUESDAY)
        run = open_planned_run(connection, "m2")
        answer(connection, run)
        flipped = "UPDATE staged_labels SET label = 0, score = 0.4 WHERE run_id = :run AND review_id IN (2, 3)"
        connection.execute(sa.text(flipped), {"run": run})
        publication.audit(connection, run)
        publication.publish(connection, run, now=WEDNESDAY)
    (found,) = ask(shop, "labels_that_flipped")
    names = ("old_model_version", "new_model_version", "old_label_name", "new_label_name", "reviews")
    assert shown(found, *names) == ("m1", "m2", "positive", "negative", "2")
    assert float(found["mean_change_of_score"]) == pytest.approx(-0.5)


def test_the_model_is_held_against_the_newest_label_by_a_person_of_the_same_text(shop: Engine) -> None:
    with database.writing(shop) as connection:
        annotate(connection, 1, 1, "太差", now=MONDAY)
        annotate(connection, 1, 0, "太差", now=TUESDAY)  # the newest one counts
        annotate(connection, 2, 0, "很好")
        annotate(connection, 3, 0, "另一条")  # of another text
    (found,) = ask(shop, "model_against_people_by_month")
    assert shown(found, "month", "reviews", "agreement_percent") == ("2026-11", "2", "50")


def test_the_runs_say_how_complete_they_are_and_how_fast_they_were(shop: Engine) -> None:
    (run,) = ask(shop, "how_complete_is_it")
    assert (run["state"], run["planned"], run["labelled"], run["failed"]) == ("published", 20, 20, 0)
    with database.writing(shop) as connection:
        connection.execute(sa.text("UPDATE scoring_runs SET seconds = 4"))
    (speed,) = ask(shop, "speed_of_runs")
    assert shown(speed, "model_version", "variant", "runs", "labelled", "reviews_per_second") == (
        *("m1", "fp32", "1", "20", "5"),
    )


def test_what_could_not_be_scored_is_counted_by_its_reason(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {40: " ", 41: ""}, now=WEDNESDAY)
    scoring_run(shop, "next")
    (found,) = ask(shop, "what_could_not_be_scored")
    assert shown(found, "reason", "reviews", "for_instance") == ("the text is blank", "2", "40")


def test_the_weeks_show_the_mood(shop: Engine) -> None:
    (found,) = ask(shop, "drift_by_week")
    assert shown(found, "week_start", "reviews", "negative_percent") == ("2026-11-02", "20", "30")
    assert float(found["mean_confidence"]) == pytest.approx((6 * 0.8 + 9 * 0.9 + 5 * 0.6) / 20, abs=0.001)


def test_a_label_of_an_edited_text_is_listed_until_the_next_run(shop: Engine) -> None:
    with database.writing(shop) as connection:
        edit(connection, 1, "改了", now=WEDNESDAY)
    assert [row["review_id"] for row in ask(shop, "stale_labels")] == [1]
    scoring_run(shop, "next")
    assert ask(shop, "stale_labels") == []


def test_each_review_is_labelled_pending_held_or_failed(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {40: " "}, now=WEDNESDAY)
    scoring_run(shop, "next")
    with database.writing(shop) as connection:
        add_reviews(connection, {50: "还没有", 51: "也没有"}, now=WEDNESDAY)
        edit(connection, 1, "改了", now=WEDNESDAY)
    assert ask(shop, "how_many_reviews_wait") == [
        {"reviews": 23, "labelled": 19, "pending": 3, "held": 0, "failed": 1},
    ]
    with database.writing(shop) as connection:
        run = open_planned_run(connection, "third")
        held = "UPDATE scoring_runs SET state = 'held', held_at = opened_at, held_because = '[]' WHERE run_id = :run"
        connection.execute(sa.text(held), {"run": run})
    assert ask(shop, "how_many_reviews_wait") == [
        {"reviews": 23, "labelled": 19, "pending": 0, "held": 3, "failed": 1},
    ]
