"""Days are those of SENTI_TIMEZONE: in the names of models and corpora, and in the labels, which a recount changes."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import WarehouseError
from senti_tasks.jobs import corpora as corpora_job
from senti_tasks.jobs import scoring
from senti_tasks.jobs.context import version_of
from senti_tasks.jobs.operations import checkup, upkeep
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import label_rollups, review_label_history, review_labels, reviews, staged_labels
from tests.made_up_reviews import made_up_reviews
from tests.situations import SHANGHAI, add_reviews, annotate, count, delete, edit, rows

EARLY_ON_SUNDAY = datetime(2026, 11, 21, 19, tzinfo=UTC)  # 03:00 on Sunday the 22nd in China
WRITTEN = datetime(2026, 11, 2, 17, tzinfo=UTC)  # the 3rd in China, the 2nd in New York


def score(key: str, due: str) -> None:
    (run,) = scoring.open_series(key, due)
    scoring.plan(run)
    scoring.score_shard(run, 0)
    scoring.audit(run)
    scoring.publish(run)


@pytest.fixture
def labelled(engine: Engine, champion: str) -> Engine:
    """Three labels, one of them replaced and one of a review that was deleted since; all written at ``WRITTEN``."""
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "味道不错", 2: "太差", 3: "不错"}, now=WRITTEN)
    score("first", "2026-11-04T02:00:00+08:00")
    with database.writing(engine) as connection:
        edit(connection, 1, "味道很差", now=datetime(2026, 11, 4, 12, tzinfo=UTC))
        delete(connection, 3)
    score("second", "2026-11-05T02:00:00+08:00")
    return engine


def days(engine: Engine, table: sa.Table) -> dict[int, str]:
    return {row["review_id"]: str(row["local_day"]) for row in rows(engine, table)}


def test_a_corpus_of_early_sunday_in_china_is_named_sunday(engine: Engine, home: Path) -> None:
    with database.writing(engine) as connection:
        for number, one in enumerate(made_up_reviews(400)):
            add_reviews(connection, {number: one.text})
            annotate(connection, number, one.label or 0, one.text)
    found = corpora_job.snapshot_corpus(EARLY_ON_SUNDAY.isoformat(), "weekly", "scratch:tiny")
    assert found["corpus"].startswith("2026-11-22-")


def test_a_model_of_early_sunday_in_china_is_named_sunday() -> None:
    assert version_of(EARLY_ON_SUNDAY, "weekly", SHANGHAI).startswith("2026-11-22-")


def test_another_time_zone_is_refused_and_doctor_reports_both(
    labelled: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "days are those of Asia/Shanghai" in finding()["finding"]
    monkeypatch.setenv("SENTI_TIMEZONE", "America/New_York")
    complaint = r"SENTI_TIMEZONE is 'America/New_York', but .*'Asia/Shanghai': set it back, or run `senti migrate --rec"
    for call in (upkeep.migrate, upkeep.status, lambda: scoring.open_series("third", "2026-11-06T02:00:00+08:00")):
        with pytest.raises(WarehouseError, match=complaint):
            call()
    assert not finding()["ok"]
    assert "Asia/Shanghai" in finding()["finding"]


def finding() -> dict[str, Any]:
    (found,) = [row for row in checkup.run_checks() if row["name"] == "migrations"]
    return found


def test_a_recount_gives_each_label_its_day_in_the_new_time_zone(
    labelled: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (held,) = scoring.open_series("held", "2026-11-06T02:00:00+08:00")
    with database.writing(labelled) as connection:
        written = {"created_at": WRITTEN, "updated_at": datetime(2026, 11, 5, 12, tzinfo=UTC)}
        connection.execute(sa.insert(reviews).values(review_id=4, review_text="很好", **written))
    scoring.plan(held)
    scoring.score_shard(held, 0)
    tables = (review_labels, review_label_history, staged_labels)
    assert [days(labelled, table) for table in tables] == [
        dict.fromkeys((1, 2, 3), "2026-11-03"), {1: "2026-11-03"}, {4: "2026-11-03"}
    ]  # fmt: skip

    monkeypatch.setenv("SENTI_TIMEZONE", "America/New_York")
    found = upkeep.migrate(recount_days=True)["recounted"]
    assert found == {"before": "Asia/Shanghai", "after": "America/New_York", "labels": 2, "history": 1, "staged": 1}
    gone = {3: "2026-11-03"}  # nobody knows any more when it was written
    assert days(labelled, review_labels) == {1: "2026-11-02", 2: "2026-11-02", **gone}
    assert [days(labelled, table) for table in tables[1:]] == [{1: "2026-11-02"}, {4: "2026-11-02"}]
    counted: dict[date, int] = {}
    for row in rows(labelled, label_rollups):
        counted[row["local_day"]] = counted.get(row["local_day"], 0) + row["reviews"]
    assert {day: n for day, n in counted.items() if n} == {date(2026, 11, 2): 2, date(2026, 11, 3): 1}

    scoring.audit(held)
    scoring.publish(held)
    assert days(labelled, review_labels)[4] == "2026-11-02"
    assert upkeep.migrate(recount_days=True)["recounted"] is None


def test_a_run_that_is_being_scored_is_finished_before_a_recount(
    labelled: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from senti_tasks.warehouse.scoring import shards

    (run,) = scoring.open_series("under way", "2026-11-06T02:00:00+08:00")
    scoring.plan(run)
    with database.writing(labelled) as connection:
        assert shards.claim(connection, run, 0) is not None
    monkeypatch.setenv("SENTI_TIMEZONE", "America/New_York")
    with pytest.raises(WarehouseError, match=f"run {run} is being scored with the days of Asia/Shanghai"):
        upkeep.migrate(recount_days=True)
    assert set(days(labelled, review_labels).values()) == {"2026-11-03"}
    assert count(labelled, label_rollups) > 0
