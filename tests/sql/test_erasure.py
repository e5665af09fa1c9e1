"""Reviews that are erased: gone from every table and corpus that is ours, on record, and never labelled again."""

import shutil
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.artifacts import ArtifactStore, folder_digest
from senti_tasks.corpus import snapshot, unlabelled
from senti_tasks.corpus.near_duplicates import shingles
from senti_tasks.errors import ConfigError, DeletedReviewsError
from senti_tasks.jobs import imports, pretraining
from senti_tasks.jobs.operations import erasure as job
from senti_tasks.jobs.operations import maintenance
from senti_tasks.text import content_hash, text_hash
from senti_tasks.training import base_names
from senti_tasks.warehouse import database, erasure
from senti_tasks.warehouse.models import corpora, texts
from senti_tasks.warehouse.schema import (
    erased_reviews,
    models,
    review_annotations,
    review_label_history,
    review_labels,
    reviews,
    run_items,
    scoring_errors,
    staged_labels,
)
from senti_tasks.warehouse.scoring import publication
from tests.recounts import check_rollups
from tests.situations import (
    MONDAY,
    PHRASES,
    WEDNESDAY,
    add_model,
    add_reviews,
    annotate,
    answer,
    count,
    delete,
    edit,
    on_sqlite,
    open_planned_run,
    promote,
    rows,
    scoring_run,
)


@pytest.fixture
def shop(engine: Engine, home: Path) -> Engine:
    """Two published runs: review 1 was edited between them, 3 is blank; 1 and 2 have labels by people."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {1: "很好", 2: "太差", 3: " "})
        annotate(connection, 1, 1, "很好")
        annotate(connection, 2, 0, "太差")
    scoring_run(engine, "first")
    with database.writing(engine) as connection:
        edit(connection, 1, "一般", now=WEDNESDAY)
    scoring_run(engine, "second")
    return engine


def known(engine: Engine, table: sa.Table) -> set[int]:
    return {row["review_id"] for row in rows(engine, table)}


def test_the_rollups_follow_labels_edits_and_erasures(shop: Engine) -> None:
    check_rollups(shop)
    job.erase(["1"], "一封信", "小李")
    check_rollups(shop)
    scoring_run(shop, "again", scope="all")
    check_rollups(shop)


def test_an_erased_review_is_gone_from_every_table_and_on_record(shop: Engine) -> None:
    done = job.erase(["1", "3"], "一封信", "小李")
    assert done["erased"] == 2
    for table in (reviews, review_labels, review_label_history, review_annotations, scoring_errors):
        assert not known(shop, table) & {1, 3}, table.name
        assert done["removed"][table.name] >= 1, table.name
    assert {(row["review_id"], row["actor"], row["reason"]) for row in rows(shop, erased_reviews)} == {
        (1, "小李", "一封信"),
        (3, "小李", "一封信"),
    }
    assert known(shop, review_labels) == {2}


def test_erasing_twice_changes_nothing_and_an_unknown_one_is_recorded(shop: Engine) -> None:
    job.erase(["1"], "一封信", "小李")
    again = job.erase(["1", "1", "99"], "又一封信", "小王")
    assert (again["erased"], again["erased_before"]) == (1, 1)
    assert {row["review_id"]: row["actor"] for row in rows(shop, erased_reviews)} == {1: "小李", 99: "小王"}


def test_what_is_no_key_is_an_error_and_nothing_is_erased(shop: Engine) -> None:
    with pytest.raises(ConfigError, match=r"'no key' is not a whole number of 64 bits .*nothing was erased"):
        job.erase(["1", "no key"], "一封信", "小李")
    assert count(shop, erased_reviews) == 0


def test_an_erased_review_that_stands_in_a_table_of_the_team_is_not_labelled_again(shop: Engine) -> None:
    with database.writing(shop) as connection:
        erasure.erase(connection, [4], actor="小李", reason="一封信", now=WEDNESDAY)
        add_reviews(connection, {4: "不错"}, now=WEDNESDAY)  # where the rows are not ours to delete
    assert scoring_run(shop, "third")["planned"] == 0
    assert scoring_run(shop, "all", scope="all")["planned"] == 3


def test_a_review_erased_in_the_middle_of_a_run_is_not_published(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {4: "不错", 5: "太差"}, now=WEDNESDAY)
        run = open_planned_run(connection, "third")
        answer(connection, run)
    staged = rows(shop, staged_labels)
    job.erase(["4"], "一封信", "小李")
    assert 4 not in known(shop, run_items)
    late = next(row for row in staged if row["review_id"] == 4)  # by an attempt that had read it before
    with database.writing(shop) as connection:
        connection.execute(sa.insert(staged_labels).values(late))
        publication.audit(connection, run)
        publication.publish(connection, run, now=WEDNESDAY)
    assert known(shop, review_labels) == {1, 2, 5}


@on_sqlite
def test_nothing_of_it_is_left_in_the_file(shop: Engine) -> None:
    file = Path(str(shop.url.database))
    with database.writing(shop) as connection:
        add_reviews(connection, {4: "只有我说过的话"}, now=WEDNESDAY)
    assert "只有我说过的话".encode() in file.read_bytes()
    job.erase(["4"], "一封信", "小李")
    assert "只有我说过的话".encode() not in file.read_bytes()


def test_an_import_does_not_bring_it_back(shop: Engine, tmp_path: Path) -> None:
    job.erase(["1"], "一封信", "小李")
    (tmp_path / "more.csv").write_text("id,text\n1,很好\n7,不错\n", "utf-8")
    found = imports.import_reviews(tmp_path / "more.csv", {"text": "text", "id": "id"})
    assert (found["imported"], found["refused"]) == (1, 1)
    assert "was erased on request" in found["refusals"][0]["reason"]


def test_corpora_are_rewritten_without_it(shop: Engine, home: Path) -> None:
    folder = write_corpus(home / "frozen", {"1": "很好", "2": "太差"})
    store = ArtifactStore(str(home / "var/artifacts"), home / "var/work")
    artifact, checksum = store.put(folder, "corpora", "2026-11-04")
    row = {
        "corpus": "c",
        "idempotency_key": "c",
        "due": MONDAY,
        "artifact": artifact,
        "digest": checksum,
        "created_at": MONDAY,
    }
    with database.writing(shop) as connection:
        corpora.record_corpus(connection, {**row, "summary": {"rows": {"train": 2}}})
    done = job.erase(["1"], "一封信", "小李")
    assert "c" in done["corpora"]
    with database.reading(shop) as connection:
        left = corpora.corpus(connection, "c")
    kept = store.fetch(left["artifact"], left["digest"])
    assert snapshot.load(kept)["train"]["review_id"] == ["2"]
    assert (left["summary"]["rows"]["train"], left["summary"]["erased"]) == (1, 1)
    assert not (home / "var/artifacts" / artifact).exists()
    assert folder_digest(kept) == left["digest"]


def write_corpus(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir()
    row = {"label": 1, "product": None, "created_at": MONDAY}
    train = [{"review_id": key, "text": text, "content_hash": text_hash(text), **row} for key, text in texts.items()]
    for split, part in (("train", train), ("validation", []), ("test", [])):
        pq.write_table(pa.Table.from_pylist(part, schema=snapshot.SCHEMA), folder / f"{split}.parquet")
    (folder / "summary.json").write_text('{"rows": {"train": 2, "validation": 0, "test": 0}}', "utf-8")
    return folder


@pytest.fixture
def small_shape(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    """``scratch:tiny``, smaller still."""
    shape = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    monkeypatch.setitem(base_names.SCRATCH, "scratch:tiny", shape)


LEARNT = {10 + number: f"{phrase}{phrase}" for number, phrase in enumerate(PHRASES)}
QUICK = {"epochs": 1, "batch_size": 4, "held_out_share": 0.1}


@pytest.fixture
def text_snapshot(shop: Engine) -> dict[str, Any]:
    """A text snapshot for a pretraining: the texts of the shop that an encoder may learn from."""
    with database.writing(shop) as connection:
        add_reviews(connection, LEARNT, now=WEDNESDAY)
        ledger = {content_hash(text): shingles(text).tobytes() for text in LEARNT.values()}
        corpora.record_splits(connection, dict.fromkeys(ledger, "train"), shingles=ledger, now=MONDAY)
    return pretraining.snapshot_texts("2026-11-05T00:00:00+00:00", "monthly", "scratch:tiny")


def texts_of(engine: Engine, home: Path, idempotency_key: str = "monthly") -> set[str]:
    """The texts of the snapshot that the warehouse has on record."""
    with database.reading(engine) as connection:
        row = texts.snapshot_by_key(connection, idempotency_key)
    assert row is not None
    folder = ArtifactStore(str(home / "var/artifacts"), home / "var/work").fetch(row["artifact"], row["digest"])
    assert row["counts"] == unlabelled.counts(folder)
    train, held_out = unlabelled.load(folder, 0.1)
    return {*train, *held_out}


def test_texts_of_a_pretraining_under_way_are_rewritten_and_it_learns_from_what_is_left(
    text_snapshot: dict[str, Any], shop: Engine, home: Path, small_shape: None
) -> None:
    former = home / "var/artifacts" / text_snapshot["texts"]
    assert LEARNT[10] in texts_of(shop, home)
    done = job.erase(["10"], "一封信", "小李")
    assert (done["texts"], done["encoders"]) == ([text_snapshot["texts"]], [])
    assert LEARNT[10] not in texts_of(shop, home)
    assert LEARNT[11] in texts_of(shop, home)
    assert not former.exists()
    again = pretraining.snapshot_texts("2026-11-05T00:00:00+00:00", "monthly", "scratch:tiny")
    assert again["texts"] == text_snapshot["texts"], "the same idempotency key gets the same texts"
    assert again["counts"]["kept"] == text_snapshot["counts"]["kept"] - 1
    version = pretraining.pretrain(text_snapshot, "monthly", QUICK)["encoder"]
    assert pretraining.pretrain(text_snapshot, "monthly", QUICK)["encoder"] == version
    with database.writing(shop) as connection:
        add_model(connection, "m2")
        start = sa.update(models).where(models.c.version == "m2").values(base_model=f"pretrained:{version}")
        connection.execute(start)
    known = job.erase(["11"], "一封信", "小李")
    assert (known["texts"], known["encoders"], known["models"]) == ([text_snapshot["texts"]], [version], ["m2"])
    assert job.erase(["11"], "一封信", "小李")["texts"] == []


def test_what_a_killed_call_has_left_is_erased_by_the_next(
    text_snapshot: dict[str, Any], shop: Engine, home: Path
) -> None:
    with database.writing(shop) as connection:
        erasure.erase(connection, [10], actor="小李", reason="一封信", now=WEDNESDAY)  # and no more
    assert LEARNT[10] in texts_of(shop, home)
    assert job.erase(["10"], "一封信", "小李")["texts"] == [text_snapshot["texts"]]
    assert LEARNT[10] not in texts_of(shop, home)


@on_sqlite
def test_on_a_remote_store_the_copy_on_this_machine_goes_too(
    shop: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"memory://{uuid.uuid4().hex}"
    monkeypatch.setenv("SENTI_ARTIFACTS", root)
    store, fetched = ArtifactStore(root, home / "var/work"), home / "var/work/fetched"
    artifact, checksum = store.put(write_corpus(home / "frozen", {"1": "很好", "2": "太差"}), "corpora", "2026-11-04")
    row = {
        "corpus": "c",
        "idempotency_key": "c",
        "due": MONDAY,
        "artifact": artifact,
        "digest": checksum,
        "created_at": MONDAY,
    }
    with database.writing(shop) as connection:
        corpora.record_corpus(connection, {**row, "summary": {"rows": {"train": 2}}})
    store.fetch(artifact, checksum)
    evaluation, _ = store.put(write_corpus(home / "judged", {"1": "很好"}), "evaluations", "m1")
    done = job.erase(["1"], "一封信", "小李")
    assert (done["corpora"], done["unrecorded"]) == (["c"], [evaluation])
    assert not (fetched / artifact).exists()
    assert not (fetched / evaluation).exists()
    (left,) = store.names("corpora")
    assert left != artifact
    assert store.names("evaluations") == []


def test_what_has_no_row_in_the_warehouse_is_removed_if_it_holds_an_erased_review(shop: Engine, home: Path) -> None:
    store = ArtifactStore(str(home / "var/artifacts"), home / "var/work")
    corpus_left, _ = store.put(write_corpus(home / "killed", {"1": "很好"}), "corpora", "2026-11-04")
    (home / "judged").mkdir()
    pq.write_table(pa.table({"review_id": ["1", "2"], "label": [1, 0]}), home / "judged" / "test.parquet")
    evaluation, _ = store.put(home / "judged", "evaluations", "m1")
    pq.write_table(pa.table({"review_id": ["2"], "label": [0]}), home / "judged" / "test.parquet")
    other, _ = store.put(home / "judged", "evaluations", "m1")
    copy = home / "var/work/fetched/corpora/gone"
    shutil.copytree(home / "killed", copy)
    done = job.erase(["1"], "一封信", "小李")
    assert done["unrecorded"] == sorted([corpus_left, evaluation, "corpora/gone"])
    assert not copy.exists()
    assert store.names("evaluations") == [other]


def test_a_text_snapshot_is_made_again_without_what_is_erased_meanwhile(
    text_snapshot: dict[str, Any], shop: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, write = ["10"], unlabelled.write

    def overtaken(selection: unlabelled.Selection, folder: Path) -> dict[str, int]:
        if late:
            job.erase([late.pop()], "一封信", "小李")
        return write(selection, folder)

    monkeypatch.setattr(unlabelled, "write", overtaken)
    other = pretraining.snapshot_texts("2026-11-06T00:00:00+00:00", "yearly", "scratch:tiny")
    assert LEARNT[10] not in texts_of(shop, home, "yearly")
    assert LEARNT[11] in texts_of(shop, home, "yearly")
    store = ArtifactStore(str(home / "var/artifacts"), home / "var/work")
    assert len(store.names("texts")) == 2, "nothing is left of the first attempt"
    assert other["texts"] in store.names("texts")


def test_an_erased_review_that_stands_in_a_table_of_the_team_is_not_learnt_from(shop: Engine) -> None:
    with database.writing(shop) as connection:
        erasure.erase(connection, [4, 5], actor="小李", reason="一封信", now=WEDNESDAY)
        # Where the rows are not ours to delete:
        add_reviews(connection, {4: "不错", 5: "难吃", 6: "再来"}, now=WEDNESDAY)
        annotate(connection, 4, 1, "不错")
        assert [row["review_id"] for row in corpora.labelled_reviews(connection, due=WEDNESDAY)] == ["1", "2"]
        assert sorted(corpora.unlabelled_texts(connection, limit=10, seed=1)) == [" ", "再来"]
        (chunk,) = texts.read_chunks(connection)
        assert [key for key, _ in chunk] == ["6", "3", "2", "1"]


@pytest.mark.parametrize(("setting", "left"), [("keep", {1, 2}), ("erase", {1})])
def test_labels_of_reviews_deleted_at_the_source_are_kept_or_erased(
    setting: str, left: set[int], shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DELETED_REVIEWS", setting)
    with database.writing(shop) as connection:
        delete(connection, 2)
    found = maintenance.settle_deleted("maintenance")
    assert found == {"deleted": 1, "erased": 2 - len(left)}
    assert known(shop, review_labels) == left


def test_a_source_that_looks_empty_or_lost_too_much_is_not_erased(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DELETED_REVIEWS", "erase")
    before = known(shop, review_labels)
    with database.writing(shop) as connection:
        connection.execute(sa.delete(reviews))
    with pytest.raises(DeletedReviewsError, match=r"are gone from reviews, more than SENTI_DELETED_SHARE \(0.1\)"):
        maintenance.settle_deleted("maintenance")
    assert known(shop, review_labels) == before
    monkeypatch.setenv("SENTI_DELETED_SHARE", "1")
    found = maintenance.settle_deleted("maintenance")
    assert found["erased"] == found["deleted"] > 0
    assert known(shop, review_labels) == set()


def test_annotations_in_a_view_of_the_team_outlast_their_review_and_are_met_once(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DELETED_REVIEWS", "erase")
    with database.writing(shop) as connection:
        connection.exec_driver_sql("ALTER TABLE review_annotations RENAME TO peoples_labels")
        connection.exec_driver_sql("CREATE VIEW review_annotations AS SELECT * FROM peoples_labels")
        delete(connection, 2)
    assert maintenance.settle_deleted("maintenance") == {"deleted": 1, "erased": 1}
    assert maintenance.settle_deleted("maintenance") == {"deleted": 0, "erased": 0}


@on_sqlite
def test_labels_are_looked_up_and_not_read_through(shop: Engine) -> None:
    scanned: list[str] = []

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("DELETE", "SELECT", "INSERT INTO label_rollups")):
            plan = connection.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            scanned.extend(step for *_, step in plan if step.startswith("SCAN"))

    sa.event.listen(shop, "before_cursor_execute", explain)
    with database.writing(shop) as connection:
        erasure.erase(connection, [1, 2], actor="小李", reason="演示", now=WEDNESDAY)
    assert {"SCAN staged_labels"} <= set(scanned), "which has no index, and holds no more than runs under way"
    assert not {step for step in scanned if "review_label" in step or "scoring_errors" in step}
