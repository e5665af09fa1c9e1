"""An OpenLineage server hears which tables and artifacts each job read and made; without one, nothing changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from senti_tasks import settings
from senti_tasks.artifacts import ArtifactStore
from senti_tasks.errors import ConfigError
from senti_tasks.jobs import corpora, judging, scoring
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.operations import lineage
from senti_tasks.warehouse import database
from tests import inbox
from tests.inbox import Inbox
from tests.made_up_reviews import made_up_reviews
from tests.situations import LENIENT, MONDAY, WEDNESDAY, add_model, add_reviews, annotate, deploy


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    with inbox.opened() as opened:
        monkeypatch.setenv("SENTI_LINEAGE_URL", opened.address)
        yield opened


def label(run_key: str) -> list[dict[str, Any]]:
    runs = scoring.open_series(run_key, WEDNESDAY.isoformat())
    scoring.complete_series(runs)
    return scoring.publish_series(runs)


def names(event: dict[str, Any], side: str) -> set[str]:
    return {str(data["name"]).rpartition("/")[2].rpartition(".")[2] for data in event[side]}


def test_a_run_is_told_with_its_tables_its_model_and_the_rows_it_wrote(
    server: Inbox, engine: Engine, model_folder: Path, home: Path, one_thread: None
) -> None:
    version = deploy(engine, model_folder, home)
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好", 2: "太差"})
    label("night")
    (event,) = server.received
    assert event["eventType"] == "COMPLETE"
    assert (event["job"]["namespace"], event["job"]["name"]) == ("senti", "publish")
    assert names(event, "inputs") > {"reviews"}
    assert next(data for data in event["inputs"] if version in data["name"])["facets"]["version"]["datasetVersion"]
    labels, view = event["outputs"]
    assert labels["name"].endswith("review_labels")
    assert view["name"].endswith("review_sentiment")
    assert labels["outputFacets"]["outputStatistics"]["rowCount"] == 2
    kind = "postgres://" if engine.dialect.name == "postgresql" else "sqlite:///"
    assert labels["namespace"].startswith(kind)
    assert "很好" not in str(event)


def test_a_retry_is_the_same_run_and_another_run_is_not(
    server: Inbox, engine: Engine, model_folder: Path, home: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(engine, model_folder, home)
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "score_reviews")
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", "manual__1")
    runs = scoring.open_series("night", WEDNESDAY.isoformat())
    scoring.complete_series(runs)
    scoring.publish_series(runs)
    scoring.publish_series(runs)
    label("another night")
    ids = [event["run"]["runId"] for event in server.received]
    assert len(ids) == len(set(ids)) == 2
    again = lineage.tell(load_context(), "publish", str(runs[0]), inputs=[], outputs=[])
    assert again
    assert server.received[-1]["run"]["runId"] == ids[0]
    assert {event["run"]["facets"]["parent"]["job"]["name"] for event in server.received} == {"score_reviews"}


def test_a_training_week_is_told_from_the_reviews_to_the_promotion(
    server: Inbox, engine: Engine, model_folder: Path, home: Path, one_thread: None
) -> None:
    with database.writing(engine) as connection:
        for key, one in enumerate(made_up_reviews(300), start=1):
            add_reviews(connection, {key: one.text})
            annotate(connection, key, one.label or 0, one.text)
    corpus = str(corpora.snapshot_corpus(MONDAY.isoformat(), "week 0", "scratch:tiny")["corpus"])
    store = ArtifactStore(str(home / "var/artifacts"), home / "var/work")
    artifact, digest = store.put(model_folder, "models", "tiny")
    with database.writing(engine) as connection:
        add_model(connection, "m1", artifact=artifact, checksum=digest, verdict=None, corpus=corpus)
    judging.promote(judging.judge(judging.evaluate("m1"), LENIENT), "the gate")
    told = {event["job"]["name"]: event for event in server.received}
    assert list(told) == ["snapshot_corpus", "judge", "promote"]
    assert names(told["snapshot_corpus"], "inputs") == {"reviews", "review_annotations"}
    made, *_ = told["snapshot_corpus"]["outputs"]
    assert made["name"].endswith(corpus)
    assert made["outputFacets"]["outputStatistics"]["rowCount"] > 200
    assert names(told["judge"], "outputs") == names(told["promote"], "inputs") - {artifact.rpartition("/")[2]}
    assert names(told["promote"], "outputs") == {"promotions"}


def test_a_server_that_is_away_or_refuses_fails_nothing(
    server: Inbox, engine: Engine, model_folder: Path, home: Path, one_thread: None, caplog: pytest.LogCaptureFixture
) -> None:
    deploy(engine, model_folder, home)
    server.status = 400
    assert label("night")[0]["publish_seq"] == 1
    assert "the lineage of publish was not sent" in caplog.text


@pytest.mark.parametrize("url", ["marquez:5000", "file:///etc/passwd", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_LINEAGE_URL", url)
    with pytest.raises(ConfigError, match=r"SENTI_LINEAGE_URL.*expected http://HOST:PORT"):
        settings.load()
