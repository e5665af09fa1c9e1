"""Scoring that dies in the middle: the next call goes on, and the tables end as if nothing had happened."""

import sys
from pathlib import Path
from typing import Any, Protocol

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks import cli
from senti_tasks.errors import RunStateError, ShardTakenError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import upkeep
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.schema import review_label_history, review_labels, run_shards, scoring_runs, staged_labels
from senti_tasks.warehouse.scoring import runs
from tests.processes import kill_when, start
from tests.situations import PHRASES, WEDNESDAY, add_model, add_reviews, count, deploy, edit, promote, rows

PAGES = 5
REVIEWS = PAGES * ScoreConfig().chunk_rows - 10
DUE = "2026-11-04T02:00:00+08:00"


class Databases(Protocol):
    def migrated(self) -> str: ...


def fill(engine: Engine) -> None:
    """Texts of two to four phrases, of many lengths and with many scores."""
    texts = {key: "".join(PHRASES[key * step % 12] for step in range(1, 3 + key % 3)) for key in range(1, REVIEWS + 1)}
    with database.writing(engine) as connection:
        add_reviews(connection, texts)


def labels(engine: Engine) -> dict[int, tuple[int, str]]:
    return {row["review_id"]: (row["label"], row["model_version"]) for row in rows(engine, review_labels)}


def scores(engine: Engine) -> list[float]:
    return [row["score"] for row in rows(engine, review_labels, order_by="review_id")]


def test_a_killed_scoring_is_finished_by_the_next_call(
    engine: Engine,
    champion: str,
    databases: Databases,
    home: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(engine)
    kill_when(start("senti_tasks", "score", "--shards", "1"), lambda: rows_staged(engine) > 0)
    assert 0 < rows_staged(engine) < REVIEWS, "it was not killed in the middle"
    assert count(engine, review_labels) == 0
    staged_before = rows_staged(engine)

    monkeypatch.setattr(sys, "argv", ["senti", "score"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "continuing run" in capsys.readouterr().err
    (run,) = rows(engine, scoring_runs)
    assert (run["state"], run["planned"], run["labelled"], run["failed"]) == ("published", REVIEWS, REVIEWS, 0)
    (shard,) = rows(engine, run_shards)
    assert (shard["attempt"], shard["accepted_attempt"]) == (2, 2)
    assert staged_before % ScoreConfig().chunk_rows == 0

    other = database.connect(databases.migrated())
    fill(other)
    deploy(other, model_folder, home)
    monkeypatch.setenv("SENTI_DATABASE_URL", other.url.render_as_string(hide_password=False))
    uninterrupted(*scoring.open_series("uninterrupted", DUE))
    assert labels(engine) == labels(other)
    assert len(labels(engine)) == REVIEWS
    assert {label for label, _ in labels(engine).values()} == {0, 1}
    assert scores(engine) == pytest.approx(scores(other), abs=1e-3)
    assert count(engine, review_label_history) == 0
    other.dispose()


def rows_staged(engine: Engine) -> int:
    with database.reading(engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(staged_labels)) or 0


def uninterrupted(run: int) -> dict[str, Any]:
    for shard in scoring.plan(run, 1):
        scoring.score_shard(run, shard)
    scoring.audit(run)
    return scoring.publish(run)


def test_each_step_can_be_done_twice(engine: Engine, champion: str) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(PHRASES)))
    (run,) = scoring.open_series("run", DUE)
    assert scoring.open_series("run", DUE) == [run]
    assert scoring.plan(run, 2) == scoring.plan(run, 3) == [0, 1]
    assert [scoring.score_shard(run, shard)["answered"] for shard in (0, 0, 1, 1)] == [6, 0, 6, 0]
    assert scoring.audit(run) == scoring.audit(run)
    assert scoring.publish(run) == scoring.publish(run)
    assert scoring.plan(run, 2) == [0, 1]
    assert scoring.score_shard(run, 0)["answered"] == 0
    assert scoring.audit(run)["run_id"] == run
    assert count(engine, review_labels) == len(PHRASES)


def test_an_attempt_that_was_presumed_dead_stops_when_another_took_its_shard(engine: Engine, champion: str) -> None:
    chunks = 2 * ScoreConfig().chunk_rows
    with database.writing(engine) as connection:
        add_reviews(connection, dict.fromkeys(range(chunks), "味道不错"))
    (run,) = scoring.open_series("run", DUE)
    scoring.plan(run, 1)
    answered: list[int] = []

    def another_attempt_takes_over(_rows: int) -> None:
        answered.append(scoring.score_shard(run, 0)["answered"])

    with pytest.raises(ShardTakenError):
        scoring.score_shard(run, 0, progress=another_attempt_takes_over)
    assert answered == [chunks // 2]
    scoring.audit(run)
    assert scoring.publish(run)["labelled"] == chunks


def test_a_review_edited_between_reading_and_publishing_is_labelled_anew(engine: Engine, champion: str) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(PHRASES)))
    (run,) = scoring.open_series("run", DUE)
    scoring.plan(run)
    scoring.score_shard(run, 0)
    with database.writing(engine) as connection:
        edit(connection, 3, "完全不是这么回事")
    scoring.audit(run)
    assert scoring.publish(run)["labelled"] == len(PHRASES)
    assert upkeep.status()["pending"] == 1
    assert [row["review_id"] for row in rows(engine, "review_sentiment") if row["stale"]] == [3]
    assert uninterrupted(*scoring.open_series("next run", DUE))["labelled"] == 1
    assert upkeep.status()["pending"] == 0
    assert not [row for row in rows(engine, "review_sentiment") if row["stale"]]
    assert [row["review_id"] for row in rows(engine, review_label_history)] == [3]


def test_a_review_edited_between_plan_and_reading_waits_for_the_next_run(engine: Engine, champion: str) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(PHRASES)))
    (run,) = scoring.open_series("run", DUE)
    scoring.plan(run)
    with database.writing(engine) as connection:
        edit(connection, 3, "完全不是这么回事")
    scoring.score_shard(run, 0)
    scoring.audit(run)
    found = scoring.publish(run)
    assert (found["labelled"], found["superseded"]) == (len(PHRASES) - 1, 1)
    assert upkeep.status()["pending"] == 1
    assert 3 not in labels(engine)


def test_a_run_of_a_model_that_no_longer_serves_is_abandoned_and_the_next_call_goes_on(
    engine: Engine, champion: str, model_folder: Path, home: Path
) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好", 2: "太差"})
    (stuck,) = scoring.open_series("senti score new/stuck", WEDNESDAY.isoformat())
    scoring.plan(stuck)
    assert scoring.unfinished_series("new", "senti score new") == [stuck]
    row = deploy(engine, model_folder, home, "2026-11-09-next")
    with database.writing(engine) as connection:
        waiting = promotions.awaiting_service(connection)
        assert waiting is not None
        promotions.start_service(connection, waiting["seq"], now=WEDNESDAY)
        next_model = add_model(connection, "2026-11-16-after")
        promote(connection, next_model)
    assert row == "2026-11-09-next"
    assert scoring.unfinished_series("new", "senti score new") == []
    with pytest.raises(RunStateError, match="abandoned"):
        scoring.plan(stuck)
    with pytest.raises(RunStateError, match="abandoned"):
        scoring.audit(stuck)


def test_restarting_abandons_what_a_failed_call_left(engine: Engine, champion: str) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好"})
    (failed,) = scoring.open_series("senti score new/failed", WEDNESDAY.isoformat())
    assert scoring.unfinished_series("new", "senti score new", restart=True) == []
    with database.reading(engine) as connection:
        assert runs.run(connection, failed)["state"] == "abandoned"


def test_a_run_is_found_again_by_its_idempotency_key_after_its_model_went_into_service(
    engine: Engine, champion: str, model_folder: Path, home: Path
) -> None:
    deploy(engine, model_folder, home, "2026-11-09-next")
    found = scoring.open_series("rescore", WEDNESDAY.isoformat(), "rescore")
    scoring.complete_series(found)
    assert upkeep.status()["in_service"] == "2026-11-09-next"
    assert scoring.open_series("rescore", WEDNESDAY.isoformat(), "rescore") == found
    assert scoring.scope_to_catch_up() is None, "there is nothing left to put into service"
