"""Secrets and texts of reviews stay out of everything that Airflow keeps: logs, XComs, its metadata database.

``test_pipeline`` searches what it leaves on SQLite. ``SENTI_LEAKS=1`` runs another pipeline on PostgreSQL."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from local import sample
from local.airflow import LocalAirflow
from senti_tasks.jobs import imports, models
from senti_tasks.jobs.operations import upkeep
from senti_tasks.warehouse import database
from tests.leaks import KEY_PASSWORD, PASSWORD, SENTENCE, TOKEN, WINDOW, leaks
from tests.situations import SAMPLE_ROWS, add_reviews, annotate, on_postgresql

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = dict.fromkeys(("text", "label", "product", "id", "created_at"))
PLANTED = 990_000

POLICY = """
from datetime import timedelta


def task_policy(task):
    task.retry_delay = timedelta(seconds=1)
"""


@pytest.fixture
def airflow(home: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAirflow]:
    """An Airflow with the sample and some planted reviews; the URL of the warehouse and ``.env`` hold secrets."""
    with_secrets = engine.url.set(password=PASSWORD).update_query_dict({"sslpassword": KEY_PASSWORD})
    monkeypatch.setenv("SENTI_DATABASE_URL", with_secrets.render_as_string(hide_password=False))
    (home / ".env").write_text(f"HF_TOKEN={TOKEN}\n", "utf-8")
    imports.import_reviews(sample.write(home / "sample.csv", SAMPLE_ROWS), COLUMNS)
    with database.writing(engine) as connection:
        texts = {PLANTED + number: f"{SENTENCE}，第{number}回" for number in range(20)}
        add_reviews(connection, texts, product=SENTENCE[:3])
        for key in list(texts)[:10]:
            annotate(connection, key, key % 2, texts[key])
    policies = home / "policies"
    policies.mkdir()
    (policies / "airflow_local_settings.py").write_text(POLICY, "utf-8")
    environment = {"SENTI_HOME": str(home), "PYTHONPATH": f"{policies}:{ROOT}"}
    with LocalAirflow(home / "airflow", ROOT / "dags", environment) as running:
        yield running


def run(airflow: LocalAirflow, dag: str, conf: dict[str, Any] | None = None) -> str | None:
    return airflow.wait(dag, airflow.trigger(dag, conf), timeout=240)


@pytest.mark.skipif("SENTI_LEAKS" not in os.environ, reason="takes minutes; SENTI_LEAKS=1 asks for it")
@on_postgresql
def test_neither_secrets_nor_texts_are_in_what_airflow_keeps(airflow: LocalAirflow, home: Path, engine: Engine) -> None:
    assert run(airflow, "retrain_sentiment", {"base_model": "scratch:tiny", "config": {"epochs": 1}}) == "success"
    (card,) = models.scorecards()
    models.promote(card["model_version"], "to have one to test with", actor="a test")
    with database.writing(engine) as connection:  # as somebody might, who keeps labels off some reviews
        connection.exec_driver_sql(f"ALTER TABLE review_labels ADD CONSTRAINT mine CHECK (review_id < {PLANTED})")
    assert run(airflow, "score_reviews") == "failed"
    assert "IntegrityError" in "".join(file.read_text("utf-8") for file in (home / "airflow/logs").rglob("*.log"))
    with database.writing(engine) as connection:
        connection.exec_driver_sql("ALTER TABLE review_labels DROP CONSTRAINT mine")
    assert run(airflow, "maintain_warehouse") == "success"
    assert upkeep.status()["pending"] == 0
    assert leaks(home / "airflow") == {}


def test_the_search_finds_words_in_every_spelling(tmp_path: Path) -> None:
    leaked = f"{{'review': '{SENTENCE[4:12]}'}}"
    (tmp_path / "plain.log").write_text(leaked, "utf-8")
    (tmp_path / "json.log").write_text(json.dumps(leaked), "utf-8")
    (tmp_path / "utf-16.log").write_text(leaked, "utf-16-le")
    (tmp_path / "base64.log").write_bytes(base64.b64encode(leaked.encode()))
    (tmp_path / "token.log").write_text(f"HF_TOKEN={TOKEN}", "utf-8")
    (tmp_path / "nothing.log").write_text(SENTENCE[: WINDOW - 1], "utf-8")
    assert set(leaks(tmp_path)) == {"plain.log", "json.log", "utf-16.log", "base64.log", "token.log"}
