"""What an import changes in stored reviews, what it leaves alone, and what it keeps of further columns."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import ConfigError, InputFileError
from senti_tasks.jobs import imports
from senti_tasks.text import text_hash
from senti_tasks.warehouse import database, migrations
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.schema import review_annotations, reviews
from tests.situations import MONDAY, add_model, count, promote, rows, scoring_run

FULL = "id,review,label,product,date,city\n1,很好,1,面馆,2026-10-01,北京\n2,太差,0,酒店,2026-10-02,上海\n"
WITH_ID = {"id": "id"}


@pytest.fixture
def csv(home: Path) -> Path:
    return home / "reviews.csv"


def load(file: Path, content: str, columns: dict[str, Any] | None = None, **storing: Any) -> dict[str, Any]:
    file.write_text(content, "utf-8", newline="")
    found = imports.import_reviews(file, columns or {}, storing=storing)
    assert found["rows"] == sum(found[name] for name in ("imported", "already_there", "updated", "refused"))
    return found


def stored(engine: Engine, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows(engine, reviews, order_by="review_id")]


# Columns that a file has, and those that it has not


def test_a_column_that_is_not_in_the_file_stays_as_it_is(engine: Engine, csv: Path) -> None:
    load(csv, FULL, WITH_ID)
    before = rows(engine, reviews, order_by="review_id")
    found = load(csv, "id,review,label\n1,很好,0\n2,太差,1\n", WITH_ID)
    assert (found["updated"], found["already_there"], found["labelled"], found["changed"]) == (0, 2, 2, {})
    assert rows(engine, reviews, order_by="review_id") == before


@pytest.mark.parametrize(
    ("clears", "expected", "changed"),
    [
        (False, ("面馆", {"city": "北京"}), {}),
        (True, (None, None), {"product": 1, "attributes.city": 1}),
    ],
)
def test_an_empty_cell_empties_a_field_only_if_that_is_asked_for(
    clears: bool, expected: tuple[Any, ...], changed: dict[str, int], engine: Engine, csv: Path
) -> None:
    load(csv, FULL, WITH_ID)
    found = load(csv, "id,review,label,product,date,city\n1,很好,,,,\n", WITH_ID, clears_empty=clears)
    assert stored(engine, "product", "attributes")[0] == expected
    assert found["changed"] == changed
    assert (found["updated"], found["labelled"]) == (int(bool(changed)), 0)
    assert count(engine, review_annotations) == 2


def test_a_cell_that_cannot_be_read_empties_nothing(engine: Engine, home: Path) -> None:
    load(home / "reviews.csv", FULL, WITH_ID)
    file = home / "reviews.jsonl"
    file.write_text(json.dumps({"id": 1, "text": "很好", "product": ["面", "馆"], "date": "昨天"}) + "\n", "utf-8")
    found = imports.import_reviews(file, WITH_ID, storing={"clears_empty": True})
    assert set(found["left_empty"]) == {"product", "created_at"}
    assert found["already_there"] == 1


def test_changed_fields_are_counted_by_name(engine: Engine, csv: Path) -> None:
    load(csv, FULL, WITH_ID)
    content = "id,review,product,date,city,stars\n1,还行,饭店,2026-10-01,南京,3\n2,太差,,2026-10-05,,1\n"
    found = load(csv, content, WITH_ID)
    changed = {"text": 1, "product": 1, "created_at": 1, "attributes.city": 1, "attributes.stars": 2}
    assert (found["updated"], found["changed"]) == (2, changed)
    assert stored(engine, "attributes") == [({"city": "南京", "stars": "3"},), ({"city": "上海", "stars": "1"},)]
    again = load(csv, content, WITH_ID)
    assert (again["already_there"], again["changed"]) == (2, {})


def test_another_date_has_the_review_read_again_because_its_day_is_another(engine: Engine, csv: Path) -> None:
    load(csv, "id,review\n1,很好\n", WITH_ID)
    ((_, before),) = stored(engine, "created_at", "updated_at")
    assert load(csv, "id,review,date\n1,很好,2026-10-01\n", WITH_ID)["changed"] == {"created_at": 1}
    ((created_at, updated_at),) = stored(engine, "created_at", "updated_at")
    assert created_at.isoformat() == "2026-09-30T16:00:00+00:00"
    assert updated_at > before


def test_without_ids_further_fields_of_the_same_texts_are_added(engine: Engine, csv: Path) -> None:
    load(csv, "review\n很好\n太差\n")
    found = load(csv, "review,product,city\n很好,面馆,北京\n太差,酒店,\n")
    assert (found["updated"], found["changed"]) == (2, {"product": 2, "attributes.city": 1})


# Further columns


def test_further_columns_are_kept_as_they_are_in_the_file(engine: Engine, home: Path) -> None:
    file = home / "reviews.parquet"
    pd.DataFrame(
        {
            "text": ["很好", "太差", "一般"],
            "stars": [5, None, 3],
            "verified": [True, False, None],
            "ordered": [pd.Timestamp("2026-10-01"), pd.NaT, pd.Timestamp("2026-10-03")],
            "tags": [["快", "好"], None, []],
            'the "shop"': ["甲", "NULL", float("nan")],
        }
    ).to_parquet(file)
    found = imports.import_reviews(file, {})
    assert found["summary"]["attributes"] == ["stars", "verified", "ordered", "tags", "the 'shop'"]
    assert stored(engine, "attributes") == [
        ({"stars": 5, "verified": True, "ordered": "2026-10-01 00:00:00", "tags": ["快", "好"], "the 'shop'": "甲"},),
        ({"verified": False},),
        ({"stars": 3, "ordered": "2026-10-03 00:00:00", "tags": []},),
    ]
    assert imports.import_reviews(file, {})["already_there"] == 3


def test_some_of_them_can_be_named_or_none(engine: Engine, csv: Path) -> None:
    content = "id,review,city,shop,city\n1,很好,北京,甲,南京\n"
    found = load(csv, content, {**WITH_ID, "attributes": ("shop",)})
    assert (found["summary"]["attributes"], found["summary"]["ignored"]) == (["shop"], ["city", "city"])
    assert stored(engine, "attributes") == [({"shop": "甲"},)]
    assert load(csv, content, {**WITH_ID, "attributes": ()})["already_there"] == 1
    assert load(csv, content, WITH_ID)["changed"] == {"attributes.city": 1, "attributes.city (5)": 1}
    with pytest.raises(InputFileError, match=r"has no further column 'town', which --attribute names"):
        load(csv, content, {"attributes": ("town",)})


def test_a_cell_that_no_database_stores_is_left_out_and_counted(engine: Engine, home: Path) -> None:
    file = home / "reviews.jsonl"
    file.write_text(json.dumps({"text": "很好", "shop": "a\0b", "city": "北京"}) + "\n", "utf-8")
    found = imports.import_reviews(file, {})
    assert found["left_empty"]["attributes.shop"]["count"] == 1
    assert stored(engine, "attributes") == [({"city": "北京"},)]


def test_labels_can_be_counted_by_a_further_column(engine: Engine, csv: Path) -> None:
    load(csv, "review,city\n很好,北京\n太差,北京\n太差,上海\n很好,\n")
    with database.writing(engine) as connection:
        promote(connection, add_model(connection, "m"))
    scoring_run(engine, "night", model="m")
    with database.reading(engine) as connection:
        question = sa.text((SQL / "queries" / "negative_share_by_city.sql").read_text("utf-8"))
        found = [(row.city, row.reviews, row.negative) for row in connection.execute(question)]
    assert found == [("上海", 1, 1), ("北京", 2, 1)]


# Texts that are stored already


def test_the_same_file_under_another_name_brings_nothing(engine: Engine, csv: Path) -> None:
    content = "review,label\n很好,1\n很好,1\n太差,0\n"
    load(csv, content)
    found = load(csv.with_name("copy.csv"), content)
    assert (found["already_there"], found["found_by_text"], found["labelled"]) == (3, 3, 3)
    assert count(engine, reviews) == 3
    again = load(csv.with_name("copy.csv"), content)
    assert (again["already_there"], again["labelled"]) == (3, 0)


def test_as_many_reviews_are_found_as_there_are_with_that_text(engine: Engine, csv: Path) -> None:
    load(csv, "review\n很好\n很好\n")
    found = load(csv.with_name("more.csv"), "review\n很好\n很好\n很好\n太差\n")
    assert (found["found_by_text"], found["imported"]) == (2, 2)


@pytest.mark.parametrize(
    ("first", "second", "is_found"),
    [
        ("review\n很好\n", "review,product,date\n很好,面馆,2026-10-01\n", True),
        ("review,product,date\n很好,面馆,2026-10-01\n", "review\n很好\n", True),
        ("review,product,date\n很好,面馆,2026-10-01\n", "review,product,date\n很好,面馆,2026-10-01\n", True),
        ("review,product\n很好,面馆\n", "review,product\n很好,酒店\n", False),
        ("review,date\n很好,2026-10-01\n", "review,date\n很好,2026-10-02\n", False),
        ("review\n很好\n", "review\n很好！\n", False),
    ],
)
def test_what_both_state_must_be_equal(first: str, second: str, is_found: bool, engine: Engine, csv: Path) -> None:
    load(csv, first)
    found = load(csv.with_name("other.csv"), second)
    assert (found["found_by_text"], count(engine, reviews)) == (1, 1) if is_found else (0, 2)


def test_every_row_can_be_a_review_of_its_own(engine: Engine, csv: Path) -> None:
    load(csv, "review\n很好\n")
    assert load(csv.with_name("other.csv"), "review\n很好\n", finds_texts=False)["imported"] == 1


def test_a_file_with_ids_finds_nothing_by_text(engine: Engine, csv: Path) -> None:
    load(csv, "review\n很好\n")
    assert load(csv.with_name("other.csv"), "id,review\n7,很好\n", WITH_ID)["imported"] == 1


# Annotations


def labels(engine: Engine) -> list[tuple[Any, ...]]:
    found = rows(engine, review_annotations, order_by="review_id")
    return [(row["review_id"], row["annotator"], row["label"], row["text_hash"]) for row in found]


def test_a_file_of_ids_and_labels_holds_annotations(engine: Engine, csv: Path) -> None:
    load(csv, "id,review,product\n1,很好,面馆\n2,太差,酒店\n", WITH_ID)
    before = rows(engine, reviews, order_by="review_id")
    found = load(csv.with_name("by_li.csv"), "review_id,label\n1,正面\n2,负面\n3,正面\n1,负面\n2,\n", annotator="小李")
    assert (found["labelled"], found["refused"], found["annotator"]) == (2, 3, "小李")
    assert [row["reason"] for row in found["refusals"]] == [
        "there is no review with the id 3",
        "id 1 stands in an earlier line with another label",
        "id 2 stands in an earlier line with another label",
    ]
    expected = [(1, "小李", 1, text_hash("很好")), (2, "小李", 0, text_hash("太差"))]
    assert labels(engine) == expected
    again = load(csv.with_name("by_li.csv"), "review_id,label\n1,正面\n2,负面\n", annotator="小李")
    assert (again["labelled"], again["already_there"], labels(engine)) == (0, 2, expected)
    assert rows(engine, reviews, order_by="review_id") == before


def test_a_label_of_an_earlier_text_is_refused(engine: Engine, csv: Path) -> None:
    load(csv, "id,review\n1,很好\n", WITH_ID)
    asked = {**WITH_ID, "is_annotations": True, "attributes": ()}
    found = load(csv.with_name("labelled.csv"), "id,review,label\n1,其实一般,负面\n", asked)
    assert "has another text now" in found["refusals"][0]["reason"]
    assert load(csv.with_name("labelled.csv"), "id,review,label\n1,很好,正面\n", asked)["labelled"] == 1


def test_a_teams_own_table_takes_annotations_and_no_reviews(
    empty_url: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", empty_url)
    monkeypatch.setenv("SENTI_REVIEWS_TABLE", "comments")
    engine = database.connect(empty_url)
    database.create_file(engine)
    with database.writing(engine) as connection:
        time = "TIMESTAMP WITH TIME ZONE" if engine.dialect.name == "postgresql" else "TEXT"
        connection.exec_driver_sql(
            f"CREATE TABLE comments (review_id BIGINT PRIMARY KEY, review_text TEXT, product TEXT, created_at {time}, "
            f"updated_at {time}, attributes TEXT)"
        )
        moment = f"'{MONDAY:%Y-%m-%d %H:%M:%S}+00:00'"
        connection.exec_driver_sql(f"INSERT INTO comments VALUES (5, '很好', NULL, {moment}, {moment}, NULL)")
    migrations.migrate(engine, review_id_type="bigint", reviews_table="comments")
    file = bare_home / "labels.csv"
    file.write_text("id,label\n5,正面\n6,负面\n", "utf-8")
    found = imports.import_reviews(file, {}, storing={"annotator": "王"})
    assert (found["labelled"], found["refused"]) == (1, 1)
    assert labels(engine) == [(5, "王", 1, text_hash("很好"))]
    engine.dispose()


def test_annotations_need_an_id_and_a_label(csv: Path, engine: Engine) -> None:
    with pytest.raises(InputFileError, match=r"pass --label-column"):
        load(csv, "id,review\n1,很好\n", {"is_annotations": True})
    with pytest.raises(InputFileError, match=r"pass --id-column"):
        load(csv, "review,label\n很好,1\n", {"is_annotations": True})
    with pytest.raises(ConfigError, match="--no-label-column"):
        load(csv, "id,label\n1,1\n", {"is_annotations": True, "off": ("label",)})
