"""The analysts' cookbook: every question runs, and answers a known situation rightly."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.warehouse import database
from senti_tasks.warehouse.migrations import SQL
from tests.situations import TUESDAY, add_model, add_reviews, night, promote

QUERIES = sorted((SQL / "queries").glob("*.sql"))


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Ten noodles of which one is bad, and ten nights of which five are; the last review is of Tuesday."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {key: "太差" if key == 1 else "很好" for key in range(1, 11)}, product="面馆")
        add_reviews(connection, {key: "太差" if key <= 15 else "一般" for key in range(11, 20)}, product="酒店")
        add_reviews(connection, {20: "一般"}, product="酒店", at=TUESDAY)
    night(engine)
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
