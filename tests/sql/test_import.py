"""Files into the warehouse: counted, repeatable, and in whole or not at all."""

import gc
import json
import tracemalloc
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from senti_tasks.errors import InputFileError, LockedError
from senti_tasks.intake import summary
from senti_tasks.jobs import imports, scoring
from senti_tasks.jobs.operations import upkeep
from senti_tasks.text import text_hash
from senti_tasks.warehouse import database, importing, sessions
from senti_tasks.warehouse.schema import import_sources, review_annotations, reviews
from tests.situations import MONDAY, count, on_sqlite, rows

BATCH_ROWS = 5_000
"""More rows than are written at once."""
COUNTS = ("rows", "imported", "already_there", "updated", "refused", "labelled")


@pytest.fixture
def csv(home: Path) -> Path:
    return home / "reviews.csv"


def load(
    file: Path, content: str, columns: Mapping[str, Any] | None = None, source: str | None = None, **storing: Any
) -> dict[str, Any]:
    file.write_text(content, "utf-8", newline="")
    return imports.import_reviews(file, dict(columns or {}), source=source, storing=storing)


def counts(found: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(found[name] for name in COUNTS)


def texts(engine: Engine) -> list[str]:
    return [row["review_text"] for row in rows(engine, reviews, order_by="review_id")]


# Counting and repeating


def test_each_row_is_counted_once(engine: Engine, csv: Path) -> None:
    found = load(csv, "review,label\n很好,1\n太差,0\n没人看过,\n ,1\n怪\n")
    assert counts(found) == (5, 3, 0, 0, 2, 2)
    assert [refusal["line"] for refusal in found["refusals"]] == [5, 6]
    assert texts(engine) == ["很好", "太差", "没人看过"]


def test_importing_again_changes_nothing(engine: Engine, csv: Path) -> None:
    content = "review,label,product\n很好,1,面馆\n太差,0,\n"
    assert counts(load(csv, content)) == (2, 2, 0, 0, 0, 2)
    before = [rows(engine, table) for table in (reviews, review_annotations)]
    assert counts(load(csv, content)) == (2, 0, 2, 0, 0, 0)
    assert [rows(engine, table) for table in (reviews, review_annotations)] == before


def test_a_file_that_grew_at_its_end_brings_what_is_new(engine: Engine, csv: Path) -> None:
    load(csv, "review\n很好\n")
    assert counts(load(csv, "review\n很好\n太差\n")) == (2, 1, 1, 0, 0, 0)


def test_files_of_two_names_do_not_meet(engine: Engine, csv: Path) -> None:
    load(csv, "review\n很好\n")
    assert load(csv.with_name("more.csv"), "review\n太差\n")["imported"] == 1
    assert load(csv, "review\n很好\n", source="again", finds_texts=False)["imported"] == 1
    assert [row["review_id"] for row in rows(engine, reviews, order_by="review_id")] == [
        1_000_000_001, 2_000_000_001, 3_000_000_001,
    ]  # fmt: skip
    assert sorted(row["name"] for row in rows(engine, import_sources)) == ["again", "more.csv", "reviews.csv"]


def test_a_batch_boundary_is_no_boundary(engine: Engine, csv: Path) -> None:
    size = BATCH_ROWS + 1
    content = "id,review\n" + "".join(f"{number},第{number}条\n" for number in range(size)) + "0,第0条\n"
    assert counts(load(csv, content, {"id": "id"})) == (size + 1, size, 1, 0, 0, 0)
    assert counts(load(csv, content, {"id": "id"})) == (size + 1, 0, size + 1, 0, 0, 0)


def test_a_row_that_repeats_the_id_of_an_earlier_chunk_is_refused(engine: Engine, csv: Path) -> None:
    """Also if that row was in the warehouse before this import, or was updated by it."""
    size = BATCH_ROWS
    load(csv, "id,review,label\n0,旧,正面\n1,很好,正面\n", {"id": "id"})
    lines = [f"{number},第{number}条,\n" for number in range(2, size)]
    repeated = ["0,新,1\n", "1,很好,0\n", "2,第2条,\n", "3,别的,\n", "1,很好,1\n"]
    found = load(csv, "id,review,label\n" + "".join(["0,新,1\n", "1,很好,1\n", *lines, *repeated]), {"id": "id"})
    assert counts(found) == (size + 5, size - 2, 4, 1, 2, 1)
    reasons = [refusal["reason"] for refusal in found["refusals"]]
    assert reasons == [
        "id 1 stands in an earlier line with another label", "id 3 stands in an earlier line with another text",
    ]  # fmt: skip


@on_sqlite
def test_the_memory_of_an_import_does_not_grow_with_its_rows(engine: Engine) -> None:
    kept: list[int] = []

    def incoming() -> Iterator[importing.ImportedRow]:
        for number in range(1, 30_001):
            if number in (10_000, 30_000):
                gc.collect()
                kept.append(tracemalloc.get_traced_memory()[0])
            yield importing.ImportedRow(number, number, 10**12 + number, f"第{number}条", created_at=MONDAY)

    tracemalloc.start()
    try:
        with database.writing(engine) as connection:
            importing.store(
                connection,
                incoming(),
                importing.ImportCounts(),
                source="评论",
                has_ids=True,
                now=MONDAY,
                annotator="小李",
            )
    finally:
        tracemalloc.stop()
    assert kept[1] - kept[0] < 400_000, "bytes for 20,000 rows"


def test_what_was_already_there_is_there_for_every_kind_of_file(engine: Engine, home: Path) -> None:
    file = home / "reviews.jsonl"
    lines = [{"text": "很好", "label": "正面", "created_at": "2026-11-01T08:00:00+08:00"}, {"text": "太差"}]
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    assert counts(imports.import_reviews(file, {})) == (2, 2, 0, 0, 0, 1)
    assert counts(imports.import_reviews(file, {})) == (2, 0, 2, 0, 0, 0)
    assert rows(engine, reviews, order_by="review_id")[0]["created_at"].isoformat() == "2026-11-01T00:00:00+00:00"


@pytest.mark.parametrize("before", [0, 1])
def test_a_source_is_one_imports_at_a_time(before: int, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "BUSY_TIMEOUT_MS", 50)
    for _ in range(before):
        with database.writing(engine) as connection:
            importing.source_id(connection, "评论.csv")
    with database.writing(engine) as first:
        number = importing.source_id(first, "评论.csv")
        with pytest.raises(LockedError), database.writing(engine) as second:
            if engine.dialect.name == "postgresql":
                second.exec_driver_sql("SET LOCAL lock_timeout = 50")
            importing.source_id(second, "评论.csv")
    with database.writing(engine) as second:
        assert importing.source_id(second, "评论.csv") == number


def test_two_imports_of_one_file_at_once_bring_it_once(engine: Engine, csv: Path) -> None:
    csv.write_text("review,label\n很好,1\n太差,0\n", "utf-8")
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: imports.import_reviews(csv, {}), range(2)))
    assert sorted(counts(each) for each in found) == [(2, 0, 2, 0, 0, 0), (2, 2, 0, 0, 0, 2)]
    assert count(engine, review_annotations) == 2


# With ids, and without


def test_with_ids_another_text_is_an_edit(engine: Engine, csv: Path) -> None:
    load(csv, "id,review,label\n7,很好,1\n8,太差,0\n", {"id": "id"})
    first = rows(engine, reviews, order_by="review_id")
    assert counts(load(csv, "id,review,label\n7,其实一般,0\n8,太差,0\n", {"id": "id"})) == (2, 0, 1, 1, 0, 1)
    edited, untouched = rows(engine, reviews, order_by="review_id")
    assert edited["review_text"] == "其实一般"
    assert edited["updated_at"] > first[0]["updated_at"]
    assert edited["created_at"] == first[0]["created_at"]
    assert untouched == first[1]


def test_another_product_alone_is_an_update_that_no_model_has_to_read_again(engine: Engine, csv: Path) -> None:
    load(csv, "id,review,product\n7,很好,面馆\n8,太差,\n", {"id": "id"})
    first = rows(engine, reviews, order_by="review_id")
    again = load(csv, "id,review,product\n7,很好,饭店\n8,太差了,面馆\n", {"id": "id"})
    assert counts(again) == (2, 0, 0, 2, 0, 0)
    moved, edited = rows(engine, reviews, order_by="review_id")
    assert (moved["product"], moved["updated_at"]) == ("饭店", first[0]["updated_at"])
    assert (edited["product"], edited["updated_at"] > first[1]["updated_at"]) == ("面馆", True)


def test_a_changed_label_is_written_beside_the_earlier_one(engine: Engine, csv: Path) -> None:
    load(csv, "id,review,label\n7,很好,正面\n", {"id": "id"})
    assert counts(load(csv, "id,review,label\n7,很好,0\n", {"id": "id"})) == (1, 0, 1, 0, 0, 1)
    labelled = rows(engine, review_annotations, order_by="annotated_at")
    assert [(row["label"], row["annotator"], row["text_hash"]) for row in labelled] == [
        (1, "import:reviews.csv", text_hash("很好")),
        (0, "import:reviews.csv", text_hash("很好")),
    ]


def test_without_ids_another_text_refuses_the_whole_file(engine: Engine, csv: Path) -> None:
    load(csv, "review\n很好\n太差\n")
    with pytest.raises(
        InputFileError, match=r"line 3: row .* of source 'reviews.csv' was imported before with another"
    ):
        load(csv, "review\n很好\n插进来的\n太差\n又一条\n")
    assert texts(engine) == ["很好", "太差"]


def test_an_id_that_comes_twice_with_two_texts_is_refused_the_second_time(engine: Engine, csv: Path) -> None:
    found = load(csv, "id,review\n7,很好\n7,太差\n7,很好\n", {"id": "id"})
    assert counts(found) == (3, 1, 1, 0, 1, 0)
    assert found["refusals"] == [{"line": 3, "reason": "id 7 stands in an earlier line with another text"}]
    assert texts(engine) == ["很好"]


@pytest.mark.parametrize("spelling", ["abc", "1.5", str(2**63)])
def test_an_id_that_is_no_bigint_is_refused_with_its_line(spelling: str, csv: Path) -> None:
    found = load(csv, f"id,review\n7,很好\n{spelling},太差\n", {"id": "id"})
    assert counts(found) == (2, 1, 0, 0, 1, 0)
    assert found["refusals"][0]["line"] == 3
    assert "SENTI_REVIEW_ID_TYPE is bigint" in found["refusals"][0]["reason"]


# What cannot be imported


def test_a_file_that_breaks_off_leaves_nothing(engine: Engine, csv: Path) -> None:
    csv.write_bytes("review\n很好\n".encode() * 200_000 + b"\xff\xff\xff\n" * 200_000)
    with pytest.raises(InputFileError, match=r"lines hold bytes that are not UTF-8"):
        imports.import_reviews(csv, {})
    assert count(engine, reviews) == 0
    assert count(engine, import_sources) == 0


def test_a_label_a_date_and_a_product_that_cannot_be_read_are_left_empty_and_counted(engine: Engine, csv: Path) -> None:
    labelled = "很好,1,2026-11-01\n太差,0,2026-11-01\n" * 5
    found = load(csv, f"review,label,date\n{labelled}还行,中性,2026-11-01\n行,0,昨天\n行,0,9999-12-31\n")
    assert counts(found) == (13, 13, 0, 0, 0, 12)
    assert found["left_empty"]["label"] == {
        "count": 1, "lines": [12], "examples": ["label '中性' is not one of 0 (negative), 1 (positive)"],
    }  # fmt: skip
    assert (found["left_empty"]["created_at"]["count"], found["left_empty"]["created_at"]["lines"]) == (2, [13, 14])
    assert count(engine, reviews) == 13


@pytest.mark.parametrize("cells", ["-1,0,1", "1,2,3,4,5", "好,坏"])
def test_labels_of_an_unclear_coding_leave_nothing(engine: Engine, csv: Path, cells: str) -> None:
    with pytest.raises(InputFileError, match=r"Nothing was imported: pass --label-column 'label' --label-map '"):
        load(csv, "review,label\n" + "".join(f"很好,{cell}\n" for cell in cells.split(",")))
    assert count(engine, reviews) == 0


@pytest.mark.parametrize(("cells", "expected"), [("1,2,1", [0, 1, 0]), ("-1,1,1", [0, 1, 1]), ("0,1,NULL", [0, 1])])
def test_a_coding_is_taken_from_the_whole_column(engine: Engine, csv: Path, cells: str, expected: list[int]) -> None:
    load(csv, "review,label\n" + "".join(f"很好,{cell}\n" for cell in cells.split(",")))
    assert [row["label"] for row in rows(engine, review_annotations, order_by="review_id")] == expected


def test_a_dry_run_shows_what_an_import_would_store_and_stores_nothing(engine: Engine, csv: Path) -> None:
    csv.write_text("review,label,date,shop\n很好,2,2026年11月1日,甲\n太差,1,昨天,乙\n很好,2,,甲\n ,1,,甲\n", "utf-8")
    found = imports.import_reviews(csv, {}, dry_run=True)["summary"]
    assert (count(engine, reviews), count(engine, import_sources)) == (0, 0)
    assert (found["sampled_rows"], found["is_whole"], found["refused"], found["duplicates"]["texts"]) == (4, True, 1, 1)
    assert found["label"]["coding"] == "numbers from 1"
    assert [(value["value"], value["label_name"], value["count"]) for value in found["label"]["values"]] == [
        ("2", "positive", 2), ("1", "negative", 2),
    ]  # fmt: skip
    assert (found["dates"]["read"], found["dates"]["missing"], found["left_empty"]["created_at"]["lines"]) == (
        1,
        1,
        [3],
    )
    assert found["columns"]["text"] == {"name": "review", "why": "its usual name"}
    assert (found["attributes"], found["ignored"]) == (["shop"], [])
    assert [row["label"] for row in found["first_rows"]] == ["positive", "negative", "positive"]


def test_a_dry_run_reads_the_beginning_and_an_import_decides_on_all(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "SAMPLE_ROWS", 10)
    csv.write_text("review,label\n" + "很好,1\n" * 20 + "太差,0\n" * 20, "utf-8")
    found = imports.import_reviews(csv, {}, dry_run=True)["summary"]
    assert (found["sampled_rows"], found["is_whole"]) == (10, False)
    assert "only 1 occurs" in found["label"]["coding"]
    announced: list[dict[str, Any]] = []
    assert imports.import_reviews(csv, {}, announce=announced.append)["labelled"] == 40
    assert announced[0]["summary"]["label"]["coding"] == "numbers from 0"


def test_an_import_says_how_far_it_is(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "PROGRESS_SECONDS", 0.0)
    csv.write_text("review\n" + "很好\n" * 600, "utf-8")
    said: list[str] = []
    imports.import_reviews(csv, {}, say=said.append)
    assert [line.split(" rows,")[0] for line in said] == [f"reviews.csv: importing: {number}" for number in (256, 512)]
    assert all(line.endswith("rows/s") for line in said)


def test_nul_is_refused_with_its_line(engine: Engine, csv: Path) -> None:
    found = load(csv, "review\n很好\n坏\0了\n")
    assert found["refusals"] == [{"line": 3, "reason": "the text holds a NUL character, which PostgreSQL cannot store"}]
    assert texts(engine) == ["很好"]


def test_only_the_first_refusals_are_listed_and_all_are_counted(csv: Path) -> None:
    found = load(csv, "review,label\n" + "很好\n" * 60)
    assert found["refused"] == 60
    assert len(found["refusals"]) == importing.REFUSALS_SHOWN


# What can


def test_texts_of_every_kind_are_imported_as_they_are_and_scored(engine: Engine, champion: str, csv: Path) -> None:
    strange = ["😡" * 40, "很好" * 50_000, "a'b\"c; DROP TABLE reviews --", "％_\\", "ＡＢＣ　１２３", "👨‍👩‍👧很满意"]
    quoted = [text.replace('"', '""') for text in strange]
    assert load(csv, "review\n" + "".join(f'"{text}"\n' for text in quoted))["imported"] == len(strange)
    assert texts(engine) == strange
    (run,) = scoring.open_series("run", "2026-11-04T02:00:00+08:00")
    scoring.plan(run)
    scoring.score_shard(run, 0)
    scoring.audit(run)
    found = scoring.publish(run)
    assert (found["labelled"], found["failed"], found["truncated"]) == (len(strange), 0, 1)
    shown = rows(engine, "review_sentiment", order_by="review_id")
    assert [bool(row["truncated"]) for row in shown] == [False, True, False, False, False, False]


@on_sqlite
def test_a_uuid_is_known_in_every_spelling(empty_url: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", empty_url)
    monkeypatch.setenv("SENTI_REVIEW_ID_TYPE", "uuid")
    upkeep.migrate()
    key = "0b0e2a5c-4d52-4c5e-9d8e-aaaaaaaaaaaa"
    assert load(bare_home / "a.csv", f"id,review\n{key},很好\n", {"id": "id"})["imported"] == 1
    found = load(bare_home / "a.csv", f"id,review\n{key.upper()},很好\n七,太差\n", {"id": "id"})
    assert counts(found) == (2, 0, 1, 0, 1, 0)
    assert found["refusals"] == [{"line": 3, "reason": "id '七' is not a UUID (SENTI_REVIEW_ID_TYPE is uuid)"}]
