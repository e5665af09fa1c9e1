"""Labels by people that are probably wrong: from a corpus to the view that a person looks at."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import CorpusError
from senti_tasks.jobs import corpora as freezing
from senti_tasks.jobs import suspects as jobs
from senti_tasks.warehouse import database, migrations, schema
from senti_tasks.warehouse.models import corpora
from tests.made_up_reviews import made_up_reviews
from tests.situations import TUESDAY, WEDNESDAY, add_model, add_reviews, annotate, edit, promote, rows

PLANTED = set(range(7, 300, 25))


def write_corpus(engine: Engine, corpus: str, *suspects: object, now: datetime = WEDNESDAY) -> None:
    """A corpus in which label 1 of each of ``suspects`` looks wrong, the first one most."""
    values = {"corpus": corpus, "idempotency_key": corpus, "due": WEDNESDAY, "artifact": f"corpora/{corpus}"}
    found = [
        {
            "review_id": str(key),
            "label": 1,
            "suggested_label": 0,
            "label_probability": 0.01 * (1 + place),
            "suggested_probability": 0.99 - 0.01 * place,
        }
        for place, key in enumerate(suspects)
    ]
    with database.writing(engine) as connection:
        corpora.record_corpus(connection, {**values, "digest": "0" * 64, "summary": {}, "created_at": now})
        corpora.replace_suspects(connection, corpus, found)


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Three bad reviews that 小王 has called positive, of which two look wrong."""
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "太差", 2: "很差", 3: "还行"}, product="面馆")
        for key, text in {1: "太差", 2: "很差", 3: "还行"}.items():
            annotate(connection, key, 1, text)
    write_corpus(engine, "first", 2, 1)
    return engine


def shown(engine: Engine) -> list[dict[str, Any]]:
    return rows(engine, "suspect_annotations", order_by="label_probability")


def keys(engine: Engine) -> list[int]:
    return [row["review_id"] for row in shown(engine)]


def test_planted_wrong_labels_come_to_light_and_again_changes_nothing(home: Path, engine: Engine) -> None:
    reviews = dict(enumerate(made_up_reviews(300)))
    with database.writing(engine) as connection:
        add_reviews(connection, {number: one.text for number, one in reviews.items()})
        for number, one in reviews.items():
            annotate(connection, number, 1 - (one.label or 0) if number in PLANTED else (one.label or 0), one.text)
    corpus = freezing.snapshot_corpus(WEDNESDAY.isoformat(), "weekly", "scratch:tiny")["corpus"]
    answer = jobs.rank_suspects(corpus)
    found = shown(engine)
    assert answer == {"corpus": corpus, "suspects": len(found)}
    caught = {row["review_id"] for row in found} & PLANTED
    assert len(caught) >= 0.6 * len(PLANTED)
    assert len(caught) >= 0.8 * len(found)
    assert jobs.rank_suspects(corpus) == answer
    assert shown(engine) == found


def test_an_unknown_corpus_is_an_error(home: Path) -> None:
    with pytest.raises(CorpusError, match="there is no corpus 'none'"):
        jobs.rank_suspects("none")


def test_a_suspect_is_shown_with_its_review_and_who_labelled_it(shop: Engine) -> None:
    first, second = shown(shop)
    assert (first["review_id"], second["review_id"]) == (2, 1)
    assert {name: first[name] for name in ("product", "review_text", "annotator", "corpus")} == {
        "product": "面馆",
        "review_text": "很差",
        "annotator": "小王",
        "corpus": "first",
    }
    assert (first["label"], first["suggested_label"], first["label_name"]) == (1, 0, None)
    assert (first["label_probability"], first["suggested_probability"]) == (0.01, 0.99)


def test_labels_have_their_names_once_a_model_serves(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
    assert {(row["label_name"], row["suggested_label_name"]) for row in shown(shop)} == {("positive", "negative")}


def test_a_label_that_was_mended_is_no_suspect_any_more(shop: Engine) -> None:
    with database.writing(shop) as connection:
        annotate(connection, 2, 0, "很差", annotator="小李", now=TUESDAY)
    assert keys(shop) == [1]
    with database.writing(shop) as connection:
        annotate(connection, 1, 1, "太差", annotator="小李", now=TUESDAY)
    assert [(row["review_id"], row["annotator"]) for row in shown(shop)] == [(1, "小李")]


def test_a_review_that_was_edited_since_is_no_suspect_any_more(shop: Engine) -> None:
    with database.writing(shop) as connection:
        edit(connection, 2, "后来很好", now=WEDNESDAY + timedelta(hours=1))
    assert keys(shop) == [1]


def test_the_newest_corpus_is_shown_and_three_are_kept(shop: Engine) -> None:
    for number, name in enumerate(("second", "third", "fourth")):
        write_corpus(shop, name, 3, now=WEDNESDAY + timedelta(days=7 * (number + 1)))
        assert keys(shop) == [3]
        assert {row["corpus"] for row in shown(shop)} == {name}
    kept = {row["corpus"] for row in rows(shop, schema.annotation_suspects)}
    assert kept == {"second", "third", "fourth"}


def test_the_label_to_check_first_comes_first(shop: Engine) -> None:
    query = (migrations.SQL / "queries" / "labels_to_check_first.sql").read_text("utf-8")
    with database.reading(shop) as connection:
        found = [dict(row) for row in connection.execute(sa.text(query)).mappings()]
    assert [(row["review_id"], row["suggested_label"], row["annotator"]) for row in found] == [
        (2, 0, "小王"),
        (1, 0, "小王"),
    ]


@pytest.mark.parametrize("id_type", ["text", "uuid"])
def test_keys_of_every_type_find_their_reviews(id_type: str, bare_home: Path, empty_url: str) -> None:
    key = "0b0e2a5c-4d52-4c5e-9d8e-aaaaaaaaaaaa"
    engine = database.connect(empty_url)
    migrations.migrate(engine, review_id_type=id_type, reviews_table="reviews")
    with database.writing(engine) as connection:
        add_reviews(connection, {key: "太差"})
        annotate(connection, key, 1, "太差")
    write_corpus(engine, "first", key)
    assert [str(row["review_id"]) for row in shown(engine)] == [key]
    engine.dispose()
