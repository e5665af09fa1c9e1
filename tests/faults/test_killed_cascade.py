"""A run of a cascade that is killed ends with the labels of one that was not."""

from pathlib import Path
from typing import Protocol

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.jobs import scoring
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import review_labels, run_checks, run_shards, scoring_runs, staged_labels
from tests.cascades import build_teacher, deploy_cascade, reviews
from tests.processes import kill_when, start
from tests.situations import add_reviews, count, rows

REVIEWS = 4 * ScoreConfig().chunk_rows - 10
THRESHOLDS = (0.9, 0.9)


class Databases(Protocol):
    def migrated(self) -> str: ...


def fill(engine: Engine) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(reviews(REVIEWS), start=1)))


def rows_staged(engine: Engine) -> int:
    with database.reading(engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(staged_labels)) or 0


def complete() -> None:
    for run in scoring.unfinished_series("new", "") or scoring.open_series("run", "2026-11-04T02:00:00+08:00"):
        for shard in scoring.plan(run, 1):
            scoring.score_shard(run, shard)
        scoring.audit(run)
        scoring.publish(run)


def test_a_killed_run_gives_the_same_labels_the_same_sample_and_the_same_counts(
    engine: Engine,
    databases: Databases,
    home: Path,
    tmp_path_factory: pytest.TempPathFactory,
    one_thread: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher = build_teacher(tmp_path_factory.mktemp("teacher"))
    deploy_cascade(engine, home, teacher, THRESHOLDS)
    fill(engine)
    kill_when(start("senti_tasks", "score", "--shards", "1"), lambda: rows_staged(engine) > 0)
    assert 0 < rows_staged(engine) < REVIEWS, "it was not killed in the middle"
    assert count(engine, review_labels) == 0
    complete()
    (run,) = rows(engine, scoring_runs)
    assert (run["state"], run["variant"], run["labelled"]) == ("published", "cascade", REVIEWS)
    assert [row["accepted_attempt"] for row in rows(engine, run_shards)] == [2]

    other = database.connect(databases.migrated())
    fill(other)
    deploy_cascade(other, home, teacher, THRESHOLDS)
    monkeypatch.setenv("SENTI_DATABASE_URL", other.url.render_as_string(hide_password=False))
    complete()
    assert labels(engine) == labels(other)
    assert len(labels(engine)) == REVIEWS
    (killed,), (whole,) = rows(engine, run_checks), rows(other, run_checks)
    assert killed == whole
    assert 0 < killed["escalated"] < killed["answered"] == REVIEWS
    other.dispose()


def labels(engine: Engine) -> dict[int, int]:
    return {row["review_id"]: row["label"] for row in rows(engine, review_labels)}
