"""Labelled reviews as a corpus sees them, and the ledger of splits."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine

from senti_tasks.errors import CorpusError
from senti_tasks.warehouse import database, migrations, overview
from senti_tasks.warehouse.models import corpora
from senti_tasks.warehouse.scoring import pending
from tests.situations import MONDAY, TUESDAY, WEDNESDAY, add_reviews, annotate, edit


def labelled(engine: Engine, due: object = WEDNESDAY) -> list[tuple[str, int | None]]:
    with database.reading(engine) as connection:
        found = corpora.labelled_reviews(connection, due=due)  # type: ignore[arg-type]
        return [(row["review_id"], row["label"]) for row in found]


def test_the_newest_label_that_fits_the_present_text_counts(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好", 2: "太差"})
        annotate(connection, 1, 0, "很好", annotator="小王", now=MONDAY)
        annotate(connection, 1, 1, "很好", annotator="小李", now=TUESDAY)
        annotate(connection, 2, 0, "太差", now=MONDAY)
    assert labelled(engine) == [("1", 1), ("2", 0)]


def test_a_label_of_an_earlier_text_says_nothing_of_the_present_one(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好", 2: "一般"})
        annotate(connection, 1, 1, "很好", now=MONDAY)
        annotate(connection, 2, 0, "一般", now=MONDAY)
        annotate(connection, 2, 1, "从前的话", now=TUESDAY)
        edit(connection, 1, "用坏了")
    assert labelled(engine) == [("1", None), ("2", 0)]


def test_labels_given_after_the_due_time_wait_for_the_next_corpus(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好"})
        annotate(connection, 1, 1, "很好", now=MONDAY)
        annotate(connection, 1, 0, "很好", now=WEDNESDAY)
    assert labelled(engine, MONDAY - timedelta(seconds=1)) == []
    assert labelled(engine, MONDAY) == labelled(engine, TUESDAY) == [("1", 1)]
    assert labelled(engine, WEDNESDAY) == [("1", 0)]


def test_a_labelled_review_comes_with_what_a_corpus_needs(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好"}, product="面馆")
        annotate(connection, 1, 1, "很好")
        found = list(corpora.labelled_reviews(connection, due=WEDNESDAY))
    assert found == [{"review_id": "1", "text": "很好", "label": 1, "product": "面馆", "created_at": MONDAY}]


def test_more_reviews_than_a_chunk_come_in_order(engine: Engine) -> None:
    texts = {key: f"第{key}条" for key in range(1, corpora.CHUNK_ROWS + 3)}
    with database.writing(engine) as connection:
        add_reviews(connection, texts)
        for key in (1, corpora.CHUNK_ROWS, corpora.CHUNK_ROWS + 2):
            annotate(connection, key, 1, texts[key])
    assert [key for key, _ in labelled(engine)] == ["1", str(corpora.CHUNK_ROWS), str(corpora.CHUNK_ROWS + 2)]


def record(connection: Connection, splits: dict[str, str], *, now: datetime = MONDAY) -> None:
    corpora.record_splits(connection, splits, shingles=dict.fromkeys(splits, b"\1\0\0\0"), now=now)


def test_a_split_once_decided_never_moves(engine: Engine) -> None:
    with database.writing(engine) as connection:
        record(connection, {"a" * 64: "test", "b" * 64: "train"})
        record(connection, {"a" * 64: "train", "c" * 64: "validation"}, now=TUESDAY)
        assert corpora.splits_of(connection, ["a" * 64, "b" * 64, "c" * 64, "d" * 64]) == {
            "a" * 64: "test",
            "b" * 64: "train",
            "c" * 64: "validation",
        }


def test_no_keys_no_splits(engine: Engine) -> None:
    with database.writing(engine) as connection:
        record(connection, {})
        assert corpora.splits_of(connection, []) == {}


def test_more_keys_than_a_chunk_are_found(engine: Engine) -> None:
    splits = {f"{number:064x}": "train" for number in range(corpora.CHUNK_ROWS + 1)}
    with database.writing(engine) as connection:
        record(connection, splits)
        assert corpora.splits_of(connection, list(splits)) == splits
        assert corpora.count_ledger(connection) == len(splits)


def test_an_idempotency_key_has_one_corpus(engine: Engine) -> None:
    values = {
        "idempotency_key": "weekly",
        "due": MONDAY,
        "artifact": "corpora/x",
        "digest": "0" * 64,
        "summary": {"rows": {"train": 3}},
    }
    with database.writing(engine) as connection:
        corpora.record_corpus(connection, {**values, "corpus": "first", "created_at": MONDAY})
        corpora.record_corpus(connection, {**values, "corpus": "second", "created_at": TUESDAY})
        found = corpora.corpus_by_key(connection, "weekly")
        assert found is not None
        assert (found["corpus"], found["summary"], found["due"]) == ("first", {"rows": {"train": 3}}, MONDAY)
        with pytest.raises(CorpusError, match="no corpus 'second'; the newest are first"):
            corpora.corpus(connection, "second")


def test_a_review_whose_text_or_time_was_lost_breaks_no_corpus(bare_home: Path, empty_url: str) -> None:
    engine = database.connect(empty_url)
    database.create_file(engine)
    time_type = "TIMESTAMPTZ" if engine.dialect.name == "postgresql" else "TIMESTAMP"
    with database.writing(engine) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE comments (review_id BIGINT PRIMARY KEY, review_text TEXT, product TEXT, "
            f"created_at {time_type}, updated_at {time_type})"
        )
        connection.exec_driver_sql(
            "INSERT INTO comments VALUES (1, NULL, NULL, '2026-11-02 12:00:00', '2026-11-02 12:00:00'), "
            "(2, '很好', NULL, NULL, '2026-11-02 12:00:00'), (3, '太差', NULL, NULL, NULL)"
        )
    migrations.migrate(engine, review_id_type="bigint", reviews_table="comments")
    with database.writing(engine) as connection:
        for review_id, text in {1: "", 2: "很好", 3: "太差"}.items():
            annotate(connection, review_id, 1, text)
    assert labelled(engine) == [("2", 1), ("3", 1)]
    with database.reading(engine) as connection:
        assert {row["created_at"] for row in corpora.labelled_reviews(connection, due=WEDNESDAY)} == {MONDAY}
        assert pending.count(connection, "no model yet") == 2, "a review without a version has none to label"
        assert overview.count_strange(connection) == {
            "reviews": 3,
            "unversioned": 1,
            "unkeyed": 0,
            "undated": 2,
            "unreadable": 0,
        }
    engine.dispose()
