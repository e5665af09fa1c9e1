"""Freezing a corpus through its job: what the ledger of splits keeps apart, week after week."""

import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.corpus import snapshot
from senti_tasks.corpus.leak_check import leaking_rows
from senti_tasks.errors import CorpusError
from senti_tasks.jobs import corpora as job
from senti_tasks.jobs import suspects
from senti_tasks.jobs.operations import erasure
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import corpora
from senti_tasks.warehouse.schema import corpora as corpora_table
from tests.made_up_reviews import made_up_reviews, of_split
from tests.situations import MONDAY, add_reviews, annotate, edit

pytestmark = pytest.mark.usefixtures("home")

REAL_DATA = os.environ.get("SENTI_REAL_DATA")  # read here: a test's home hides the settings
STORY = "酒店的位置很好，离地铁站只有两分钟，房间也很干净，早餐的种类不少，就是隔音差了一点，晚上能听见走廊里的声音"


@pytest.fixture
def labelled(engine: Engine) -> Engine:
    """400 reviews in short, labelled."""
    with database.writing(engine) as connection:
        rows = dict(enumerate(made_up_reviews(400)))
        add_reviews(connection, {number: one.text for number, one in rows.items()})
        for number, one in rows.items():
            annotate(connection, number, one.label or 0, one.text)
    return engine


def add(engine: Engine, key: int, text: str, label: int = 1, week: int = 0) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {key: text}, now=MONDAY + timedelta(weeks=week))
        annotate(connection, key, label, text, now=MONDAY + timedelta(weeks=week))


def take(week: int) -> str:
    due = (MONDAY + timedelta(weeks=week)).isoformat()
    return str(job.snapshot_corpus(due, f"week {week}", "scratch:tiny")["corpus"])


def parts_of(engine: Engine, home: Path, name: str) -> tuple[dict[str, set[str]], dict[str, Any]]:
    """The review ids of each split, and the summary."""
    with database.reading(engine) as connection:
        row = corpora.corpus(connection, name)
    data = snapshot.load(home / "var" / "artifacts" / row["artifact"])
    assert leaking_rows(list(data["train"]["text"]), list(data["test"]["text"])) == set()
    return {split: set(data[split]["review_id"]) for split in data}, row["summary"]


STRANGE = {
    "postgresql": (
        *("created_at = 'infinity'", "created_at = '-infinity'", "created_at = '12000-01-01'"),
        *("updated_at = 'infinity'", "product = repeat('货', 10000)", "product = ''"),
    ),
    "sqlite": (
        *("created_at = ''", "created_at = 7", "created_at = '2020/1/3'", "created_at = x'ff'", "updated_at = 7"),
        *("product = x'b7bf00'", "product = CAST(x'b7bf' AS TEXT)", "product = 7", "product = ''"),
    ),
}


def test_strange_values_stop_neither_a_snapshot_nor_the_search_for_wrong_labels(
    labelled: Engine, home: Path, dialect: str
) -> None:
    with database.writing(labelled) as connection:
        for number, change in enumerate(STRANGE[dialect]):
            connection.exec_driver_sql(f"UPDATE reviews SET {change} WHERE review_id = {number}")
        earliest = "'-infinity'" if dialect == "postgresql" else "''"
        connection.exec_driver_sql(f"UPDATE review_annotations SET annotated_at = {earliest} WHERE review_id <= 1")
    name = take(0)
    parts, summary = parts_of(labelled, home, name)
    assert {str(number) for number in range(len(STRANGE[dialect]))} <= set().union(*parts.values())
    assert sum(summary["rows"].values()) == len(set().union(*parts.values()))
    assert suspects.rank_suspects(name)["corpus"] == name


def test_a_near_duplicate_follows_its_elder_and_nothing_moves(labelled: Engine, home: Path) -> None:
    add(labelled, 1000, of_split("test", STORY))
    first, _ = parts_of(labelled, home, take(0))
    assert "1000" in first["test"]
    add(labelled, 1001, of_split("train", STORY), week=1)
    second, _ = parts_of(labelled, home, take(1))
    assert {"1000", "1001"} <= second["test"]
    assert all(first[split] <= second[split] for split in first)


def test_two_runs_with_the_same_due_time_and_the_same_labels_use_one_corpus(labelled: Engine) -> None:
    one, another = (job.snapshot_corpus(MONDAY.isoformat(), key, "scratch:tiny") for key in ("scheduled", "by hand"))
    assert another == one
    with database.reading(labelled) as connection:
        assert [row["corpus"] for row in corpora.all_corpora(connection)] == [one["corpus"]]


def test_a_snapshot_is_made_again_without_what_is_erased_meanwhile(
    labelled: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, write = ["7"], snapshot.write

    def overtaken(*arguments: Any) -> dict[str, Any]:
        if late:
            erasure.erase([late.pop()], "一封信", "小李")
        return write(*arguments)

    monkeypatch.setattr(snapshot, "write", overtaken)
    parts, _ = parts_of(labelled, home, take(0))
    assert not late
    assert "7" not in set().union(*parts.values())
    assert len(list((home / "var/artifacts/corpora").iterdir())) == 1, "nothing is left of the first attempt"


def test_what_resembles_two_splits_is_left_out_for_good_and_counted(labelled: Engine, home: Path) -> None:
    add(labelled, 1000, of_split("test", STORY[:-6]))
    add(labelled, 1001, of_split("train", STORY[6:]))
    take(0)
    add(labelled, 1002, STORY, week=1)
    for week in (1, 2):
        rows, summary = parts_of(labelled, home, take(week))
        assert "1002" not in set().union(*rows.values())
        assert summary["dropped"]["near-duplicate of several splits"] == 1


def test_an_edited_review_stays_with_the_text_that_it_was(labelled: Engine, home: Path) -> None:
    add(labelled, 1000, of_split("validation", STORY))
    take(0)
    edited = of_split("train", STORY)
    with database.writing(labelled) as connection:
        edit(connection, 1000, edited, now=MONDAY + timedelta(days=1))
    _, summary = parts_of(labelled, home, take(1))
    assert summary["dropped"]["label of an earlier text"] == 1
    with database.writing(labelled) as connection:
        annotate(connection, 1000, 1, edited, now=MONDAY + timedelta(weeks=2))
    rows, _ = parts_of(labelled, home, take(2))
    assert "1000" in rows["validation"]


def test_a_corpus_that_cannot_be_used_leaves_no_trace_in_the_ledger(engine: Engine) -> None:
    add(engine, 1, STORY)
    with pytest.raises(CorpusError):
        take(0)
    with database.reading(engine) as connection:
        assert corpora.count_ledger(connection) == 0


def test_the_summary_says_what_the_vocabulary_does_not_know_before_and_after(labelled: Engine, home: Path) -> None:
    add(labelled, 1000, of_split("test", "龘龘龘" + STORY))
    _, summary = parts_of(labelled, home, take(0))
    before, after = summary["unknown_characters"]["before"], summary["unknown_characters"]["after"]
    assert "龘" in after["most_frequent"]
    assert 0 < after["share"] <= before["share"] < 0.01


def test_reviews_in_weekly_portions_leak_nothing_and_never_move(engine: Engine, home: Path) -> None:
    rows = [(one.text, one.label or 0) for one in made_up_reviews(700)]
    assert_nothing_leaks_or_moves(
        engine, home, [rows[:400], *(rows[start : start + 60] for start in range(400, 700, 60))]
    )


@pytest.mark.skipif(REAL_DATA is None, reason="SENTI_REAL_DATA does not point to the real files")
def test_real_reviews_in_twenty_weekly_portions_leak_nothing_and_never_move(engine: Engine, home: Path) -> None:
    folder = Path(str(REAL_DATA)) / "chnsenticorp"
    lines = [
        line.split("\t", 1)
        for name in ("train.tsv", "dev.tsv")
        for line in (folder / name).read_text("utf-8").strip().split("\n")[1:]
    ]
    rows = [(text, int(label)) for label, text in lines if text.strip()]
    portion = -(-len(rows) // 20)
    weeks = [rows[start : start + portion] for start in range(0, len(rows), portion)]
    assert len(weeks) == 20
    assert_nothing_leaks_or_moves(engine, home, weeks)


def assert_nothing_leaks_or_moves(engine: Engine, home: Path, weeks: list[list[tuple[str, int]]]) -> None:
    """Freezes a corpus after each week's reviews (text and label) have come in."""
    was: dict[str, str] = {}
    key = 0
    for week, arrived in enumerate(weeks):
        at = MONDAY + timedelta(weeks=week)
        keyed = dict(enumerate(arrived, start=key))
        key += len(arrived)
        with database.writing(engine) as connection:
            add_reviews(connection, {number: text for number, (text, _) in keyed.items()}, now=at)
            for number, (text, label) in keyed.items():
                annotate(connection, number, label, text, now=at)
        held, summary = parts_of(engine, home, take(week))
        now = {review: split for split, reviews in held.items() for review in reviews}
        assert not [review for review, split in now.items() if was.get(review, split) != split]
        was |= now
    logging.getLogger(__name__).info("%s %s", summary["rows"], summary["dropped"])
    held_out = [text for split in ("validation", "test") for text in texts_of(engine, home, split)]
    assert leaking_rows(texts_of(engine, home, "train"), held_out) == set()


def texts_of(engine: Engine, home: Path, split: str) -> list[str]:
    """The texts of a split of the newest corpus."""
    with database.reading(engine) as connection:
        row = max(connection.execute(sa.select(corpora_table)).mappings(), key=lambda row: row["due"])
    return list(snapshot.load(home / "var" / "artifacts" / row["artifact"])[split]["text"])
