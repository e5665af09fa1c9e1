"""What each role may do on PostgreSQL, and what it is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import WarehouseError
from senti_tasks.jobs import maintenance, scoring, upkeep
from senti_tasks.warehouse import database
from senti_tasks.warehouse.migrations import SQL, view_statements
from tests.situations import add_model, add_reviews, on_postgresql, promote, rows

pytestmark = on_postgresql
NAMES = ("pipeline", "importer", "analyst")


@pytest.fixture
def roles(engine: Engine, champion: str) -> Iterator[dict[str, str]]:
    """The URL of somebody who has each role; the files are run twice, as after a second migration."""
    people = {}
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for _ in range(2):
            for name in NAMES:
                # libpq sends a statement without parameters as it is, several at once
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.execute((SQL / "roles" / f"{name}.sql").read_text("utf-8"))
        for name in NAMES:
            person = f"{name}_{engine.url.database}"
            connection.exec_driver_sql(f'CREATE ROLE "{person}" LOGIN IN ROLE senti_{name}')
            people[name] = engine.url.set(username=person).render_as_string(hide_password=False)
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好", 2: "太差"})
    yield people


def connected(roles: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("SENTI_DATABASE_URL", roles[name])
    return database.connect(roles[name])


def refused(engine: Engine, statement: str) -> None:
    with pytest.raises(WarehouseError, match="may not do this"), database.writing(engine) as connection:
        connection.exec_driver_sql(statement)


def test_the_pipeline_scores_publishes_promotes_and_maintains_and_cannot_change_reviews(
    roles: dict[str, str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = connected(roles, "pipeline", monkeypatch)
    run = scoring.open_run("night", "2026-11-04T02:00:00+08:00")
    scoring.plan(run)
    scoring.score_shard(run, 0)
    scoring.audit(run)
    assert scoring.publish(run)["labelled"] == 2
    with database.writing(own) as connection:
        add_model(connection, "next")
        promote(connection, "next")
    maintenance.retain()
    maintenance.tidy()
    for statement in (
        "UPDATE reviews SET review_text = ''",
        "DELETE FROM reviews",
        "INSERT INTO review_annotations VALUES (1, 'a', now(), 1, '')",
        "UPDATE warehouse_settings SET value = ''",
    ):
        refused(own, statement)
    assert len(rows(engine, "review_sentiment")) == 2, "views of the owner read what the pipeline owns"


def test_an_importer_imports_and_sees_no_label(
    roles: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = connected(roles, "importer", monkeypatch)
    (tmp_path / "more.csv").write_text("text,label\n不错,1\n难吃,0\n", "utf-8")
    found = upkeep.import_reviews(tmp_path / "more.csv", {"text": "text", "label": "label"})
    assert (found["imported"], found["labelled"]) == (2, 2)
    for statement in (
        "SELECT * FROM review_labels",
        "SELECT * FROM review_sentiment",
        "DELETE FROM reviews",
        "UPDATE promotions SET reason = ''",
    ):
        refused(own, statement)


def test_an_analyst_reads_every_view_and_nothing_else(roles: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    own = connected(roles, "analyst", monkeypatch)
    with database.reading(own) as connection:
        for view in view_statements():
            connection.execute(sa.select(sa.text("*")).select_from(sa.table(view)).limit(1))
    for statement in (
        "SELECT * FROM review_labels",
        "SELECT * FROM reviews",
        "SELECT * FROM scoring_runs",
        "INSERT INTO promotions SELECT * FROM promotions",
        "CREATE TABLE mine (id INTEGER)",
    ):
        refused(own, statement)
