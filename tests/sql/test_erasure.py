"""Reviews that are forgotten: gone from every table and corpus that is ours, on record, and never labelled again."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.artifacts import ArtifactStore, folder_digest
from senti_tasks.errors import ConfigError
from senti_tasks.jobs import erasure as job
from senti_tasks.jobs import maintenance, upkeep
from senti_tasks.learning import corpus
from senti_tasks.text import digest
from senti_tasks.warehouse import corpora, database, erasure, publication
from senti_tasks.warehouse.schema import (
    forgotten_reviews,
    label_rollups,
    review_annotations,
    review_label_history,
    review_labels,
    reviews,
    run_items,
    scoring_errors,
    staged_labels,
)
from tests.situations import (
    MONDAY,
    WEDNESDAY,
    add_model,
    add_reviews,
    annotate,
    answer,
    count,
    delete,
    edit,
    night,
    open_night,
    promote,
    rows,
)


@pytest.fixture
def shop(engine: Engine, home: Path) -> Engine:
    """Two published nights: review 1 was edited between them, 3 is blank; 1 and 2 have labels by people."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {1: "很好", 2: "太差", 3: " "})
        annotate(connection, 1, 1, "很好")
        annotate(connection, 2, 0, "太差")
    night(engine, "first")
    with database.writing(engine) as connection:
        edit(connection, 1, "一般", at=WEDNESDAY)
    night(engine, "second")
    return engine


def known(engine: Engine, table: sa.Table) -> set[int]:
    return {row["review_id"] for row in rows(engine, table)}


def recounted(engine: Engine) -> dict[tuple[Any, ...], int]:
    counts: dict[tuple[Any, ...], int] = {}
    for row in rows(engine, review_labels):
        key = (row["model_version"], row["local_day"], row["label"])
        counts[key] = counts.get(key, 0) + 1
    return counts


def rolled_up(engine: Engine) -> dict[tuple[Any, ...], int]:
    kept = [row for row in rows(engine, label_rollups) if row["reviews"]]
    return {(row["model_version"], row["local_day"], row["label"]): row["reviews"] for row in kept}


def test_the_rollups_follow_labels_edits_and_erasures(shop: Engine) -> None:
    assert rolled_up(shop) == recounted(shop)
    job.forget(["1"], "一封信", "小李")
    assert rolled_up(shop) == recounted(shop)
    night(shop, "again", scope="all")
    assert rolled_up(shop) == recounted(shop)


def test_a_forgotten_review_is_gone_from_every_table_and_on_record(shop: Engine) -> None:
    done = job.forget(["1", "3"], "一封信", "小李")
    assert done["forgotten"] == 2
    for table in (reviews, review_labels, review_label_history, review_annotations, scoring_errors):
        assert not known(shop, table) & {1, 3}, table.name
        assert done["removed"][table.name] >= 1, table.name
    assert {(row["review_id"], row["actor"], row["reason"]) for row in rows(shop, forgotten_reviews)} == {
        (1, "小李", "一封信"),
        (3, "小李", "一封信"),
    }
    assert known(shop, review_labels) == {2}


def test_forgetting_twice_changes_nothing_and_an_unknown_one_is_recorded(shop: Engine) -> None:
    job.forget(["1"], "一封信", "小李")
    again = job.forget(["1", "1", "99"], "又一封信", "小王")
    assert (again["forgotten"], again["known_before"]) == (1, 1)
    assert {row["review_id"]: row["actor"] for row in rows(shop, forgotten_reviews)} == {1: "小李", 99: "小王"}


def test_what_is_no_key_is_an_error_and_nothing_is_forgotten(shop: Engine) -> None:
    with pytest.raises(ConfigError, match=r"'no key' is not a whole number of 64 bits .*nothing was forgotten"):
        job.forget(["1", "no key"], "一封信", "小李")
    assert count(shop, forgotten_reviews) == 0


def test_a_forgotten_review_that_stands_in_a_table_of_the_team_is_not_labelled_again(shop: Engine) -> None:
    with database.writing(shop) as connection:
        erasure.forget(connection, [4], actor="小李", reason="一封信", at=WEDNESDAY)
        add_reviews(connection, {4: "不错"}, at=WEDNESDAY)  # where the rows are not ours to delete
    assert night(shop, "third")["planned"] == 0
    assert night(shop, "all", scope="all")["planned"] == 3


def test_a_review_forgotten_in_the_middle_of_a_night_is_not_published(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {4: "不错", 5: "太差"}, at=WEDNESDAY)
        run = open_night(connection, "third")
        answer(connection, run)
    staged = rows(shop, staged_labels)
    job.forget(["4"], "一封信", "小李")
    assert 4 not in known(shop, run_items)
    late = next(row for row in staged if row["review_id"] == 4)  # by an attempt that had read it before
    with database.writing(shop) as connection:
        connection.execute(sa.insert(staged_labels).values(late))
        publication.audit(connection, run)
        publication.publish(connection, run, at=WEDNESDAY)
    assert known(shop, review_labels) == {1, 2, 5}


def test_an_import_does_not_bring_it_back(shop: Engine, tmp_path: Path) -> None:
    job.forget(["1"], "一封信", "小李")
    (tmp_path / "more.csv").write_text("id,text\n1,很好\n7,不错\n", "utf-8")
    found = upkeep.import_reviews(tmp_path / "more.csv", {"text": "text", "id": "id"})
    assert (found["imported"], found["refused"]) == (1, 1)
    assert "was forgotten on request" in found["refusals"][0]["reason"]


def test_frozen_corpora_are_rewritten_without_it(shop: Engine, home: Path) -> None:
    folder = freeze(home / "frozen", {"1": "很好", "2": "太差"})
    store = ArtifactStore(str(home / "var/artifacts"), home / "var/work")
    artifact, checksum = store.put(folder, "corpora", "2026-11-04")
    row = {"corpus": "c", "origin": "c", "due": MONDAY, "artifact": artifact, "digest": checksum, "created_at": MONDAY}
    with database.writing(shop) as connection:
        corpora.record_corpus(connection, {**row, "summary": {"rows": {"train": 2}}})
    done = job.forget(["1"], "一封信", "小李")
    assert "c" in done["corpora"]
    with database.reading(shop) as connection:
        left = corpora.corpus(connection, "c")
    kept = store.fetch(left["artifact"], left["digest"])
    assert corpus.load(kept)["train"]["review_id"] == ["2"]
    assert (left["summary"]["rows"]["train"], left["summary"]["forgotten"]) == (1, 1)
    assert not (home / "var/artifacts" / artifact).exists()
    assert folder_digest(kept) == left["digest"]


def freeze(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir()
    row = {"label": 1, "product": None, "created_at": MONDAY}
    train = [{"review_id": key, "text": text, "split_key": digest(text), **row} for key, text in texts.items()]
    for split, part in (("train", train), ("validation", []), ("test", [])):
        pq.write_table(pa.Table.from_pylist(part, schema=corpus.SCHEMA), folder / f"{split}.parquet")
    (folder / "summary.json").write_text('{"rows": {"train": 2, "validation": 0, "test": 0}}', "utf-8")
    return folder


@pytest.mark.parametrize(("setting", "left"), [("keep", {1, 2}), ("forget", {1})])
def test_labels_of_reviews_deleted_at_the_source_are_kept_or_forgotten(
    setting: str, left: set[int], shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DELETED_REVIEWS", setting)
    with database.writing(shop) as connection:
        delete(connection, 2)
    found = maintenance.settle_deleted("maintenance")
    assert found == {"deleted": 1, "forgotten": 2 - len(left)}
    assert known(shop, review_labels) == left
