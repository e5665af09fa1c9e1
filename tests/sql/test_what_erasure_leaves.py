"""After an erasure, no text of the review can be read in what is left, nor be rebuilt from it."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.corpus import snapshot as corpus_snapshot
from senti_tasks.errors import LockedError
from senti_tasks.jobs import corpora as snapshots
from senti_tasks.jobs import judging, pretraining, training
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.operations import erasure as job
from senti_tasks.text import content_hash
from senti_tasks.training import base_names
from senti_tasks.warehouse import database, sessions
from senti_tasks.warehouse.models import corpora
from senti_tasks.warehouse.schema import metadata, text_split_reviews, text_splits
from senti_tasks.warehouse.scoring import publication_lock
from tests.made_up_reviews import made_up_reviews, review, splits_in_turn, write_corpus
from tests.reading_back import everything_left, read_back
from tests.situations import (
    LENIENT,
    MONDAY,
    add_reviews,
    annotate,
    answer,
    edit,
    on_sqlite,
    open_planned_run,
    promote,
    rows,
    scoring_run,
)
from tests.small_training import SHAPE

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
SENTENCE = "隔壁老王欠我八千块还说外卖里的牛腩早就凉透了"
EARLIER = "昨天骑手摔伤左脚却坚持送完最后两单"
SHORT = "贵死啦"
PLANTED = {900: EARLIER, 901: SHORT}
ALPHABET = "".join(sorted({*SENTENCE, *EARLIER, *SHORT, *"房间早餐很干净太脏了味道好差"}))
"""The characters that the attack tries. With all common ones it takes a minute instead of seconds."""


def snapshot(week: int) -> dict[str, Any]:
    due = MONDAY + timedelta(weeks=week)
    return snapshots.snapshot_corpus(due.isoformat(), f"week {week}", "scratch:tiny")


@pytest.fixture
def shop(engine: Engine, home: Path) -> Engine:
    """A hundred labelled reviews, and two planted ones. One of these was edited after it was in a corpus."""
    with database.writing(engine) as connection:
        for one in made_up_reviews(100):
            add_reviews(connection, {int(one.review_id): one.text})
            annotate(connection, int(one.review_id), one.label or 0, one.text)
        add_reviews(connection, PLANTED)
        for key, text in PLANTED.items():
            annotate(connection, key, 0, text)
    snapshot(0)
    with database.writing(engine) as connection:
        edit(connection, 900, SENTENCE)
        annotate(connection, 900, 0, SENTENCE, now=MONDAY + timedelta(days=2))
    return engine


@pytest.fixture
def used_shop(
    shop: Engine, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, one_thread: None
) -> Engine:
    """The shop after all that reads reviews: corpora, training, evaluation, pretraining, and two runs. What the tasks
    returned and logged is in files, as Airflow keeps it."""
    monkeypatch.setitem(base_names.SCRATCH, "scratch:tiny", SHAPE)
    caplog.set_level("DEBUG", "senti_tasks")
    quick = {"epochs": 1, "batch_size": 8, "max_length": 64}
    made = snapshot(1)
    model = training.train(made["corpus"], "weekly", "scratch:tiny", quick)["model"]
    evaluation = judging.evaluate(model)
    judgement = judging.judge(evaluation, LENIENT)
    suspect = {"review_id": "900", "label": 0, "suggested_label": 1}
    with database.writing(shop) as connection:
        promote(connection, model)
        figures = {"label_probability": 0.1, "suggested_probability": 0.9}
        corpora.replace_suspects(connection, made["corpus"], [{**suspect, **figures}])
    texts = pretraining.snapshot_texts(MONDAY.isoformat(), "monthly", "scratch:tiny")
    pretraining.pretrain(texts, "monthly", {"epochs": 1, "batch_size": 8, "held_out_share": 0.1})
    scoring_run(shop, "published")
    with database.writing(shop) as connection:
        edit(connection, 901, f"{SHORT}！", now=MONDAY + timedelta(days=3))
        answer(connection, open_planned_run(connection, "under way"))
    (home / "xcom.json").write_text(json.dumps([made, evaluation, judgement, texts]), "utf-8")
    (home / "tasks.log").write_text(caplog.text, "utf-8")
    return shop


def left(engine: Engine, home: Path) -> str:
    with database.writing(engine) as connection:
        connection.exec_driver_sql("ANALYZE")  # as both databases do by themselves from time to time
    return read_back(everything_left(engine, home), ALPHABET)


def pieces(text: str) -> Iterator[str]:
    return (text[start : start + 6] for start in range(max(1, len(text) - 5)))


def test_no_text_of_an_erased_review_can_be_read_back(
    used_shop: Engine, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert [text for text in (SENTENCE, EARLIER, SHORT) if text not in left(used_shop, home)] == []
    done = job.erase(["900", "901"], "一封信", "小李")
    (home / "erasure.log").write_text(caplog.text + str(done), "utf-8")
    assert len((home / "tasks.log").read_text("utf-8").splitlines()) > 1
    found = read_back(everything_left(used_shop, home), ALPHABET)
    assert [piece for text in (SENTENCE, EARLIER, SHORT) for piece in pieces(text) if piece in found] == []
    assert made_up_reviews(1)[0].text in found, "others are still there"


def test_only_the_record_of_the_erasure_has_a_row_about_the_review(used_shop: Engine) -> None:
    def about() -> set[str]:
        tables = [table for table in metadata.tables.values() if "review_id" in table.c]
        return {table.name for table in tables if {900, 901} & {row["review_id"] for row in rows(used_shop, table)}}

    before = {"reviews", "review_annotations", "review_labels", "run_items", "staged_labels", "annotation_suspects"}
    assert about() == {*before, "text_split_reviews"}
    job.erase(["900", "901"], "一封信", "小李")
    assert about() == {"erased_reviews"}


@on_sqlite
def test_a_file_has_nothing_left_of_what_another_program_overwrote_and_reads(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "BUSY_TIMEOUT_MS", 50)
    file = Path(str(shop.url.database))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA secure_delete = OFF")
        for text in ("从前说过的一句长长的话，" * 9, "后来"):
            other.execute("UPDATE reviews SET review_text = ? WHERE review_id = 900", (text,))
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert "从前说过的一句".encode() in file.read_bytes()
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM reviews").fetchall()
        with pytest.raises(LockedError, match=r"another process reads .*: deleted rows are still in .*-wal; run this"):
            job.erase(["900"], "一封信", "小李")
        other.execute("COMMIT")
        assert job.erase(["900"], "一封信", "小李")["erased_before"] == 1
        files = [file.read_bytes(), file.with_name(f"{file.name}-wal").read_bytes()]
    for text in ("从前说过的一句", "后来", SENTENCE, EARLIER):
        assert not [one for one in files if text.encode() in one]


@on_sqlite
def test_files_of_a_killed_task_go_and_those_of_a_task_under_way_stay(shop: Engine, home: Path) -> None:
    killed = (
        "import os; from pathlib import Path; from senti_tasks.jobs.context import load_context\n"
        "with load_context().scratch() as folder: "
        f"(folder / 'texts.parquet').write_text('{SENTENCE}', 'utf-8'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    with load_context().scratch() as folder:
        (folder / "under_way").touch()
        assert len([one for one in folder.parent.iterdir() if one.is_dir()]) == 2
        job.erase(["900"], "一封信", "小李")
        assert [one.name for one in folder.parent.glob("*/*")] == ["under_way"]
    assert list(folder.parent.iterdir()) == []


def test_characters_that_only_an_erased_review_has_are_no_longer_named(tmp_path: Path) -> None:
    rare = [review(900, "龘靐齉爩" * 9), review(901, "这里有个龘字")]
    examples, _ = corpus_snapshot.clean([*made_up_reviews(60), *rare])
    splits = splits_in_turn(examples) | {content_hash(one.text): "test" for one in rare}
    whole, rest = write_corpus(examples, splits, {}, tmp_path / "whole"), tmp_path / "rest"
    before = json.loads((whole / "summary.json").read_text("utf-8"))["unknown_characters"]["after"]
    assert set("龘靐齉爩") <= set(before["most_frequent"])
    after = (corpus_snapshot.without(whole, ["900"], rest) or {})["unknown_characters"]["after"]
    assert set(before["most_frequent"]) - set(after["most_frequent"]) == set("靐齉爩")


def ledger(engine: Engine) -> dict[str, str]:
    return {row["content_hash"]: row["split"] for row in rows(engine, text_splits)}


def test_the_ledger_loses_every_text_of_the_review_and_no_other(shop: Engine) -> None:
    snapshot(1)
    before = ledger(shop)
    assert {content_hash(text) for text in (SENTENCE, EARLIER, SHORT)} <= set(before)
    removed = job.erase(["900"], "一封信", "小李")["removed"]
    assert (removed["text_splits"], removed["text_split_reviews"]) == (2, 2)
    gone = {content_hash(SENTENCE), content_hash(EARLIER)}
    assert ledger(shop) == {key: split for key, split in before.items() if key not in gone}


def test_a_text_that_another_review_has_too_keeps_its_split(shop: Engine) -> None:
    with database.writing(shop) as connection:
        add_reviews(connection, {902: f"{SHORT}！"}, now=MONDAY + timedelta(hours=1))
        annotate(connection, 902, 0, f"{SHORT}！", now=MONDAY + timedelta(hours=1))
        connection.execute(
            sa.update(text_splits).values(split="validation").filter_by(content_hash=content_hash(SHORT))
        )
    snapshot(1)
    job.erase(["901"], "一封信", "小李")
    assert ledger(shop)[content_hash(SHORT)] == "validation"
    assert {
        row["review_id"] for row in rows(shop, text_split_reviews) if row["content_hash"] == content_hash(SHORT)
    } == {902}
    job.erase(["902"], "一封信", "小李")
    assert content_hash(SHORT) not in ledger(shop)


def test_near_duplicates_of_an_erased_text_stay_with_those_that_are_left(shop: Engine) -> None:
    alike = {910: f"{SENTENCE}{EARLIER}", 911: f"{SENTENCE}{EARLIER}一", 912: f"{SENTENCE}{EARLIER}二"}
    with database.writing(shop) as connection:
        for key in (910, 911):
            add_reviews(connection, {key: alike[key]})
            annotate(connection, key, 0, alike[key])
    snapshot(1)
    (split,) = {ledger(shop)[content_hash(alike[key])] for key in (910, 911)}
    job.erase(["910"], "一封信", "小李")
    with database.writing(shop) as connection:
        add_reviews(connection, {912: alike[912]})
        annotate(connection, 912, 0, alike[912])
    snapshot(2)
    assert ledger(shop)[content_hash(alike[912])] == ledger(shop)[content_hash(alike[911])] == split


def test_a_snapshot_that_an_erasure_overtakes_records_nothing_of_it(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, take = ["900"], publication_lock.take

    def overtaken(connection: sa.Connection) -> dict[str, Any]:
        if late and connection.dialect.name == "postgresql":
            job.erase([late.pop()], "一封信", "小李")
        return take(connection)

    count = corpora.count_ledger

    def overtaken_before(connection: sa.Connection) -> int:
        if late and connection.dialect.name == "sqlite":
            job.erase([late.pop()], "一封信", "小李")
        return count(connection)

    monkeypatch.setattr(publication_lock, "take", overtaken)
    monkeypatch.setattr(corpora, "count_ledger", overtaken_before)
    snapshot(1)
    assert not late
    assert not {content_hash(SENTENCE), content_hash(EARLIER)} & set(ledger(shop))


@on_sqlite
def test_each_promise_of_the_docs_names_a_test_that_is_there(dialect: str) -> None:
    page = (ROOT / "docs/erasure.md").read_text("utf-8")
    promises = [line for line in page.splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"`(test_\w+)` \|$", line) for line in promises]
    present = {
        name for file in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    assert len(promises) > 20
    assert [line for line, tests in zip(promises, named, strict=True) if len(tests) != 1] == []
    assert {name for tests in named for name in tests} - present == set()
