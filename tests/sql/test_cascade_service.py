"""A cascade in service: each run says how much was escalated, checks a sample, and withdraws what breaks the limit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from typer.testing import CliRunner

from senti_tasks import cli
from senti_tasks.artifacts import ArtifactStore
from senti_tasks.jobs import scoring
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.scoring import loading as jobs_loading
from senti_tasks.scoring import loading
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import registry
from senti_tasks.warehouse.schema import (
    model_variants,
    review_labels,
    run_checks,
    run_shards,
    scoring_runs,
    staged_labels,
)
from tests.cascades import VERSION, build_teacher, deploy_cascade, reviews
from tests.faults.scored_runs import score_run
from tests.situations import TUESDAY, WEDNESDAY, add_reviews, on_sqlite, rows

REVIEWS = 900
CAREFUL = (0.9, 0.9)
BOLD = (0.0, 0.0)
"""The student answers everything, and the teacher gives another label to more than one review in a hundred."""


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_teacher(tmp_path_factory.mktemp("teacher"))


@pytest.fixture
def texts(home: Path, engine: Engine, one_thread: None) -> list[str]:
    """Reviews with the keys 1 to ``REVIEWS``."""
    written = reviews(REVIEWS)
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(written, start=1)))
    return written


def score(key: str, shards: int = 2) -> int:
    run = score_run(key, WEDNESDAY, shards)
    scoring.publish(run)
    return run


def cascade_of(engine: Engine, home: Path) -> Any:
    (row,) = [row for row in rows(engine, model_variants) if row["variant"] == "cascade"]
    folder = ArtifactStore(str(home / "var/artifacts"), home).fetch(row["artifact"], row["digest"])
    return loading.load(folder, "cascade", "cpu")


def view(engine: Engine) -> list[dict[str, Any]]:
    with database.reading(engine) as connection:
        return [dict(row._mapping) for row in connection.execute(sa.text("SELECT * FROM cascade_checks"))]


def test_a_run_stores_what_was_escalated_and_what_the_sample_shows(
    texts: list[str], home: Path, engine: Engine, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_CASCADE_CHECKS", "40")
    deploy_cascade(engine, home, teacher, CAREFUL)
    run = score("run")
    found = cascade_of(engine, home).predict(texts)
    labels = {row["review_id"]: row["label"] for row in rows(engine, review_labels)}
    assert labels == dict(enumerate(found.labels.tolist(), start=1))
    (checked,) = rows(engine, run_checks)
    assert (checked["run_id"], checked["answered"]) == (run, REVIEWS)
    assert checked["escalated"] == (found.stages == 1).sum()
    assert 0 < checked["escalated"] < REVIEWS
    # 40 are expected of the tenth that is not escalated by the layout; here more of them are not.
    assert 100 < checked["checked"] < REVIEWS - checked["escalated"]
    assert (checked["differing"], checked["disagreement"], checked["alarm"]) == (0, 0.0, None)
    assert checked["disagreement_least"] == 0.0 < checked["disagreement_most"] < 0.05
    assert (checked["recent_runs"], checked["recent_disagreement_most"]) == (1, checked["disagreement_most"])
    (shown,) = view(engine)
    assert shown["escalated_share"] == checked["escalated"] / REVIEWS
    assert (shown["model_version"], shown["state"], shown["disagreement_limit"]) == (VERSION, "published", 0.005)


def test_known_answers_are_not_counted_again_and_the_recent_runs_are_added_up(
    texts: list[str], home: Path, engine: Engine, teacher: Path
) -> None:
    deploy_cascade(engine, home, teacher, CAREFUL)
    score("first")
    with database.writing(engine) as connection:
        add_reviews(
            connection, {1_000: texts[0], 1_001: texts[1], 1_002: "早餐很干净，位置太差。新", 1_003: "  "}, now=TUESDAY
        )
    score("second")
    first, second = rows(engine, run_checks, order_by="run_id")
    assert (first["answered"], second["answered"], second["recent_runs"]) == (REVIEWS, 1, 2)
    assert second["recent_disagreement_most"] == pytest.approx(first["disagreement_most"], rel=0.05)


def test_a_cascade_that_breaks_the_limit_is_withdrawn_and_the_next_run_says_so(
    texts: list[str], home: Path, engine: Engine, teacher: Path
) -> None:
    deploy_cascade(engine, home, teacher, BOLD)
    opened = scoring.open_series("opened before the alarm", "2026-11-04T02:00:00+08:00")
    score("run")
    run, waiting = rows(engine, scoring_runs, order_by="run_id")[-1], opened[0]
    (checked,) = [row for row in rows(engine, run_checks) if row["run_id"] == run["run_id"]]
    assert (checked["answered"], checked["escalated"]) == (REVIEWS, 0)
    assert checked["disagreement_least"] > checked["disagreement_limit"]
    assert "answers that were checked at random are not those of the last stage" in checked["alarm"]
    assert (run["variant"], run["state"], run["fell_back"]) == ("cascade", "published", None)
    with database.reading(engine) as connection:
        assert registry.serving_variant(connection, VERSION)["variant"] == "fp32"
        withdrawn = registry.withdrawn(connection, VERSION)
    assert withdrawn is not None
    assert (withdrawn["variant"], withdrawn["serves"]) == ("cascade", False)
    assert withdrawn["withdrawn_because"].startswith(f"run {run['run_id']}: in the run, ")

    with database.writing(engine) as connection:
        add_reviews(connection, {2_000: "位置太脏了，屏幕很糟。"}, now=TUESDAY)
    scoring.plan(waiting, 1)
    scoring.score_shard(waiting, 0)
    scoring.audit(waiting)
    scoring.publish(waiting)
    (later,) = [row for row in rows(engine, scoring_runs) if row["run_id"] == waiting]
    assert (later["variant"], later["labelled"]) == ("fp32", 1)
    assert later["fell_back"] == withdrawn["withdrawn_because"]
    assert [row["run_id"] for row in rows(engine, run_checks)] == [run["run_id"]]
    assert {row["variant"] for row in rows(engine, review_labels) if row["review_id"] == 2_000} == {"fp32"}
    shown = CliRunner().invoke(cli.app, ["status"], env={"COLUMNS": "400"}).output
    assert "its variant cascade was withdrawn on" in shown
    assert "and runs score with fp32: run" in shown


def test_another_domain_is_noticed_within_one_run_of_5000(
    home: Path, engine: Engine, teacher: Path, one_thread: None
) -> None:
    """The reviews of before keep the limit. Then come reviews of words that the student never saw, and of which it is
    sure because of the few that it knows."""
    deploy_cascade(engine, home, teacher, CAREFUL, share=0.3)
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(reviews(2_000, seed=4), start=1)))
    score("usual")
    strange = [
        f"{text[:-3]}，不推荐，不是非常满意，没有物超所值{number}" for number, text in enumerate(reviews(5_000, seed=5))
    ]
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(strange, start=10_000)), now=TUESDAY)
    score("strange")
    usual, shifted = rows(engine, run_checks, order_by="run_id")
    assert usual["alarm"] is None
    cascade = cascade_of(engine, home)
    ((_, found),) = cascade.stream([(0, strange)], check=lambda tag: np.ones(len(strange), dtype=bool))
    differing = (found.checked >= 0) & (found.checked != found.labels)
    assert differing.mean() > 0.02, "the shift is none for this student"
    assert shifted["alarm"] is not None
    assert 100 < shifted["checked"] < 400


@on_sqlite
def test_a_shard_that_is_scored_again_has_the_same_sample_and_counts_once(
    texts: list[str], home: Path, engine: Engine, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy_cascade(engine, home, teacher, CAREFUL)
    scorer = jobs_loading.scorer_of(load_context(), VERSION)
    monkeypatch.setattr(scorer, "chunk_rows", 100)
    (run,) = scoring.open_series("run", "2026-11-04T02:00:00+08:00")
    (shard,) = scoring.plan(run, 1)
    staged: list[int] = []

    def stop(number: int) -> None:
        staged.append(number)
        if len(staged) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scoring.score_shard(run, shard, stop)
    before = rows(engine, staged_labels)
    assert 0 < len(before) < REVIEWS
    scoring.score_shard(run, shard)
    scoring.audit(run)
    (counted,) = rows(engine, run_checks)
    in_pieces = {row["review_id"] for row in rows(engine, staged_labels) if row["checked_label"] is not None}
    assert (counted["answered"], counted["checked"]) == (REVIEWS, len(in_pieces))
    assert [row["attempt"] for row in rows(engine, run_shards)] == [2]
    scoring.audit(run)
    assert rows(engine, run_checks) == [counted]


@on_sqlite
def test_without_checks_nothing_is_checked(
    texts: list[str], home: Path, engine: Engine, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_CASCADE_CHECKS", "0")
    deploy_cascade(engine, home, teacher, BOLD)
    score("run")
    (counted,) = rows(engine, run_checks)
    assert (counted["answered"], counted["checked"], counted["disagreement"], counted["alarm"]) == (
        REVIEWS, 0, None, None,
    )  # fmt: skip
