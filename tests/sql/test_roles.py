"""What each role may do on PostgreSQL, and what it is refused."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from senti_tasks.errors import WarehouseError
from senti_tasks.jobs import erasure, maintenance, scoring, upkeep
from senti_tasks.warehouse import database, migrations, partitions
from senti_tasks.warehouse.migrations import SQL, view_statements
from senti_tasks.warehouse.schema import review_labels
from senti_tasks.warehouse.scoring import publication
from tests.situations import (
    WEDNESDAY,
    add_model,
    add_reviews,
    annotate,
    answer,
    delete,
    on_postgresql,
    open_planned_run,
    promote,
    rows,
)

pytestmark = on_postgresql
NAMES = ("pipeline", "importer", "analyst")


def grant(connection: Connection, name: str) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None
    # libpq sends a statement without parameters as it is, several at once
    driver.execute((SQL / "roles" / f"{name}.sql").read_text("utf-8"))


def person(connection: Connection, role: str, name: str) -> str:
    """The URL of somebody new who has the role."""
    connection.exec_driver_sql(f'CREATE ROLE "{name}" LOGIN IN ROLE senti_{role}')
    return connection.engine.url.set(username=name).render_as_string(hide_password=False)


@pytest.fixture
def roles(engine: Engine, champion: str) -> Iterator[dict[str, str]]:
    """The URL of somebody who has each role; the files are run twice, as after a second migration."""
    people = {}
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for _ in range(2):
            for name in NAMES:
                grant(connection, name)
        for name in NAMES:
            people[name] = person(connection, name, f"{name}_{engine.url.database}")
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
    (run,) = scoring.open_series("run", "2026-11-04T02:00:00+08:00")
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


def test_analysts_may_ask_every_question_of_the_cookbook(
    roles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.reading(connected(roles, "analyst", monkeypatch)) as connection:
        for query in sorted((SQL / "queries").glob("*.sql")):
            connection.execute(sa.text(query.read_text("utf-8"))).all()


def test_two_who_are_the_pipeline_end_what_the_other_began(
    roles: dict[str, str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        roles["second"] = person(connection, "pipeline", f"second_{engine.url.database}")
    first, second = (connected(roles, name, monkeypatch) for name in ("pipeline", "second"))
    with database.writing(first) as connection:
        add_model(connection, "next")
        run = open_planned_run(connection)
    with database.writing(second) as connection:
        answer(connection, run)
    with database.writing(second) as connection:
        publication.audit(connection, run)
        publication.publish(connection, run, now=WEDNESDAY)
    with database.writing(second) as connection:
        publication.sweep(connection)
        partitions.drop(connection, review_labels, "next")
    assert len(rows(engine, "review_sentiment")) == 2


def test_the_pipeline_settles_what_was_deleted_at_the_source_and_erases_nothing_that_is_there(
    roles: dict[str, str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected(roles, "pipeline", monkeypatch)
    monkeypatch.setenv("SENTI_DELETED_REVIEWS", "erase")
    with database.writing(engine) as connection:
        annotate(connection, 1, 1, "很好")
        delete(connection, 1)
    assert maintenance.settle_deleted("maintenance") == {"deleted": 1, "erased": 1}
    with pytest.raises(WarehouseError, match="may not do this"):
        erasure.erase(["2"], "演示", "小李")


def test_what_stands_beside_the_warehouse_in_its_schema_is_given_to_nobody(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = database.connect(empty_url)
    with database.writing(engine) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE comments (review_id BIGINT PRIMARY KEY, review_text TEXT, product TEXT, "
            "created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ)"
        )
        connection.exec_driver_sql("CREATE VIEW salaries AS SELECT 1 AS salary")
    migrations.migrate(engine, review_id_type="bigint", reviews_table="comments")
    people = {}
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for name in ("pipeline", "analyst"):
            grant(connection, name)
            people[name] = person(connection, name, f"{name}_beside_{engine.url.database}")
    pipeline, analyst = (connected(people, name, monkeypatch) for name in ("pipeline", "analyst"))
    rows(pipeline, "reviews")
    for statement in ("UPDATE comments SET review_text = ''", "DROP TABLE comments CASCADE", "SELECT * FROM salaries"):
        refused(pipeline, statement)
    rows(analyst, "sentiment_latest")
    refused(analyst, "SELECT * FROM salaries")
    with database.reading(engine) as connection:
        theirs = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner <> 'senti_pipeline'"
        kept = set(connection.execute(sa.text(theirs)).scalars())
    assert kept == {"comments", "review_annotations", "import_sources", "warehouse_settings", "alembic_version"}
