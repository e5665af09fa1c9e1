"""Bytes that are not UTF-8, which SQLite keeps as text all the same: one review gets a reason, the others a label."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.jobs import corpora, imports, pretraining
from senti_tasks.text import text_hash
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import review_labels, reviews, scoring_errors, scoring_runs
from tests.faults.scored_runs import REVIEWS, complete_run
from tests.made_up_reviews import made_up_reviews
from tests.situations import MONDAY, TUESDAY, WEDNESDAY, add_reviews, annotate, count, edit, on_sqlite, rows

pytestmark = on_sqlite
REASON = "the text is not UTF-8: its byte 0xff is part of no character"


def break_column(engine: Engine, name: str, review_id: int) -> None:
    """As a program leaves it that writes bytes of another encoding."""
    with database.writing(engine) as connection:
        broken = sa.cast(sa.literal_column("x'e5a5bdff'"), sa.Text)
        changed = sa.update(reviews).where(reviews.c.review_id == review_id)
        connection.execute(changed.values({name: broken, "updated_at": TUESDAY}))


def failures(engine: Engine) -> dict[int, str]:
    return {row["review_id"]: row["reason"] for row in rows(engine, scoring_errors)}


def test_a_broken_text_gets_a_reason_and_the_run_labels_the_others(shop: Engine) -> None:
    break_column(shop, "review_text", 7)
    complete_run("first", WEDNESDAY)
    assert failures(shop) == {7: REASON}
    assert count(shop, review_labels) == REVIEWS - 1
    complete_run("second", WEDNESDAY + timedelta(hours=1))
    assert rows(shop, scoring_runs, order_by="run_id")[-1]["planned"] == 0


def test_a_text_that_was_written_as_bytes_is_read_as_text(shop: Engine) -> None:
    with database.writing(shop) as connection:
        for key, raw in ((7, "很好".encode()), (8, b"\xe5\xa5\xbd\xff")):
            connection.exec_driver_sql("UPDATE reviews SET review_text = ? WHERE review_id = ?", (raw, key))
    complete_run("run", WEDNESDAY)
    assert failures(shop) == {8: REASON}
    assert {row["review_id"]: row["text_hash"] for row in rows(shop, review_labels)}[7] == text_hash("很好")


def test_a_broken_text_is_tried_again_when_it_changes(shop: Engine) -> None:
    break_column(shop, "review_text", 7)
    complete_run("first", WEDNESDAY)
    with database.writing(shop) as connection:
        edit(connection, 7, "味道不错", now=WEDNESDAY)
    complete_run("second", WEDNESDAY + timedelta(hours=1))
    assert count(shop, review_labels) == REVIEWS


def test_an_import_mends_a_broken_text(engine: Engine, home: Path) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好", 2: "太差"})
    break_column(engine, "review_text", 2)
    file = home / "reviews.csv"
    file.write_text("id,review\n1,很好\n2,太差\n", "utf-8")
    found = imports.import_reviews(file, {"id": "id"})
    assert (found["already_there"], found["updated"]) == (1, 1)
    assert [row["review_text"] for row in rows(engine, reviews, order_by="review_id")] == ["很好", "太差"]


@pytest.fixture
def labelled(engine: Engine, home: Path) -> Engine:
    with database.writing(engine) as connection:
        for number, one in enumerate(made_up_reviews(200)):
            add_reviews(connection, {number: one.text}, product="面馆")
            annotate(connection, number, one.label or 0, one.text)
    return engine


def test_a_corpus_snapshot_is_without_the_label_of_a_text_that_broke(labelled: Engine) -> None:
    break_column(labelled, "review_text", 7)
    snapshot = corpora.snapshot_corpus(MONDAY.isoformat(), "week", "scratch:tiny")
    assert sum(snapshot["rows"].values()) == 199


def test_a_corpus_snapshot_is_made_where_a_product_is_broken(labelled: Engine) -> None:
    break_column(labelled, "product", 7)
    snapshot = corpora.snapshot_corpus(MONDAY.isoformat(), "week", "scratch:tiny")
    assert sum(snapshot["rows"].values()) == 200


def test_the_texts_of_a_pretraining_leave_a_broken_one_out(labelled: Engine) -> None:
    break_column(labelled, "review_text", 7)
    counts = pretraining.snapshot_texts(MONDAY.isoformat(), "month", "scratch:tiny")["counts"]
    assert (counts["read"], counts["blank"]) == (200, 1)
