"""What each role may do on PostgreSQL, and what it is refused."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import WarehouseError
from senti_tasks.jobs import imports, page, scoring
from senti_tasks.jobs.operations import erasure, maintenance
from senti_tasks.warehouse import database, migrations, partitions
from senti_tasks.warehouse.migrations import SQL, view_statements
from senti_tasks.warehouse.roles import ROLES
from senti_tasks.warehouse.schema import review_labels
from senti_tasks.warehouse.scoring import held_runs, publication
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
from tests.sql.conftest import NO_PARAMETERS, somebody

pytestmark = on_postgresql


@pytest.fixture
def warehouse_url(owned_url: str) -> str:
    return owned_url


@pytest.fixture
def roles(people: dict[str, str], engine: Engine, champion: str) -> dict[str, str]:
    """The URL of somebody who has each role, at a warehouse with a model and two reviews."""
    with database.writing(engine) as connection:
        add_reviews(connection, {1: "很好", 2: "太差"})
    return people


def connected(roles: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("SENTI_DATABASE_URL", roles[name])
    return database.connect(roles[name])


def refused(engine: Engine, statement: str) -> None:
    with pytest.raises(WarehouseError, match="may not do this"), database.writing(engine) as connection:
        connection.exec_driver_sql(statement)


def test_the_page_in_airflow_reads_and_decides_as_the_pipeline(
    roles: dict[str, str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.writing(engine) as connection:
        add_model(connection, "next")
        run = open_planned_run(connection)
        answer(connection, run)
        held_runs.hold(connection, run, because="shares_are_as_usual", now=WEDNESDAY)
    connected(roles, "pipeline", monkeypatch)
    assert "Run 1 is held" in page.show(("publish", "give-up"), "", "/sentiment")
    page.decide("freeze", None, "盘点", "小李")
    page.decide("unfreeze", None, "", "小李")
    page.decide("publish", str(run), "大促销", "小李")
    page.decide("promote", "next", "更准", "小李")
    assert "froze publishing" in page.show((), "", "/sentiment")


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
    found = imports.import_reviews(tmp_path / "more.csv", {"text": "text", "label": "label"})
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
    roles: dict[str, str], engine: Engine, postgres: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles["second"] = somebody("senti_pipeline", roles["pipeline"], postgres, "second")
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


def test_an_eraser_erases_reviews(roles: dict[str, str], engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    own = connected(roles, "eraser", monkeypatch)
    with database.writing(engine) as connection:
        annotate(connection, 2, 0, "太差")
    assert erasure.erase(["2"], "一封信", "小李")["erased"] == 1
    assert [row["review_id"] for row in rows(engine, "reviews")] == [1]
    assert rows(engine, "review_annotations") == []
    for statement in ("UPDATE reviews SET review_text = ''", "DELETE FROM warehouse_settings"):
        refused(own, statement)


def test_what_stands_beside_the_warehouse_in_its_schema_is_given_to_nobody(
    empty_url: str, postgres: sa.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = database.connect(empty_url)
    with database.writing(engine) as connection:
        connection.exec_driver_sql(
            "CREATE TABLE comments (review_id BIGINT PRIMARY KEY, review_text TEXT, product TEXT, "
            "created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ)"
        )
        connection.exec_driver_sql("CREATE VIEW salaries AS SELECT 1 AS salary")
        connection.exec_driver_sql((SQL / "roles" / "create.sql").read_text("utf-8"), execution_options=NO_PARAMETERS)
    migrations.migrate(engine, review_id_type="bigint", reviews_table="comments")
    people = {role: somebody(f"senti_{role}", empty_url, postgres) for role in ("pipeline", "importer", "analyst")}
    pipeline, importer, analyst = (connected(people, role, monkeypatch) for role in people)
    rows(pipeline, "reviews")
    for statement in ("UPDATE comments SET review_text = ''", "DROP TABLE comments CASCADE", "SELECT * FROM salaries"):
        refused(pipeline, statement)
    rows(analyst, "sentiment_latest")
    refused(analyst, "SELECT * FROM salaries")
    refused(importer, "SELECT * FROM comments")


READ = {"SELECT"}
WRITE = {"SELECT", "INSERT", "UPDATE", "DELETE"}
OF_SOURCE = ("reviews", "review_annotations", "import_sources")
ONLY_READ = ("calendar_days", "warehouse_settings", "alembic_version")
OF_PIPELINE = (
    *(
        "annotation_suspects",
        "champion_checks",
        "corpora",
        "decisions",
        "encoders",
        "erased_reviews",
        "gate_results",
        "label_rollups",
    ),
    *("model_labels", "model_metrics", "model_variants", "models", "product_rollups", "products", "promotions"),
    "publication_lock",
    *(
        "review_label_history",
        "review_labels",
        "run_items",
        "run_checks",
        "run_drift",
        "run_shards",
        "run_summaries",
        "scoring_errors",
    ),
    *(
        "scoring_runs",
        "scoring_watermarks",
        "staged_labels",
        "told_events",
        "text_snapshots",
        "text_split_reviews",
        "text_splits",
    ),
)
DECIDED = {
    "senti_pipeline": {
        **dict.fromkeys(OF_PIPELINE, WRITE | {"MAINTAIN"}),
        **dict.fromkeys((*OF_SOURCE, *ONLY_READ), READ),
        "review_annotations": READ | {"DELETE"},
    },
    "senti_importer": {
        **dict.fromkeys((*OF_SOURCE,), READ | {"INSERT"}),
        **dict.fromkeys(("alembic_version", "warehouse_settings", "erased_reviews"), READ),
    },
    "senti_eraser": {table: {"DELETE", "MAINTAIN"} for table in ("reviews", "review_annotations")},
    "senti_analyst": {},
}
"""The rights of each role on each table. A new table needs a decision here, and in sql/roles if the rule is wrong."""


def test_every_table_has_a_decision_who_may_do_what_with_it(engine: Engine) -> None:
    with database.reading(engine) as connection:
        tables = set(connection.exec_driver_sql(TABLES).scalars())
        granted = {role: dict[str, set[str]]() for role in DECIDED}
        for role, table, right in connection.exec_driver_sql(GRANTED):
            granted[role].setdefault(table, set()).add(right)
    assert tables - {*OF_PIPELINE, *OF_SOURCE, *ONLY_READ} == set(), "decide in DECIDED who may do what with them"
    assert granted == DECIDED


TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
GRANTED = """
SELECT grantee.rolname, relation.relname, acl.privilege_type
FROM pg_class AS relation, aclexplode(relation.relacl) AS acl, pg_roles AS grantee
WHERE grantee.oid = acl.grantee AND relation.relkind IN ('r', 'p') AND grantee.rolname LIKE 'senti%%'
"""


def test_no_role_owns_anything_or_is_more_than_a_role(engine: Engine) -> None:
    with database.reading(engine) as connection:
        assert connection.exec_driver_sql(OWNED).all() == []
        assert connection.exec_driver_sql(POWERFUL).all() == []


OWNED = """
SELECT depends.classid, depends.objid FROM pg_shdepend AS depends
INNER JOIN pg_roles AS role ON role.oid = depends.refobjid
WHERE depends.deptype = 'o' AND role.rolname LIKE 'senti%%'
"""
POWERFUL = """
SELECT rolname FROM pg_roles
WHERE rolname LIKE 'senti%%' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
"""


def test_functions_with_the_rights_of_their_owner_have_a_fixed_search_path(engine: Engine) -> None:
    with database.reading(engine) as connection:
        found = connection.exec_driver_sql(FUNCTIONS).all()
    assert {row.name for row in found} == {path.stem for path in (SQL / "functions").glob("*.sql")}
    for row in found:
        assert row.settings == ["search_path=public, pg_temp"], row.name
        assert row.callers == ["senti_pipeline"], row.name


FUNCTIONS = """
SELECT
    proname AS name, proconfig AS settings,
    (
        SELECT array_agg(CAST(CAST(grantee AS regrole) AS text)) FROM aclexplode(proacl) WHERE grantee <> proowner
    ) AS callers
FROM pg_proc WHERE pronamespace = CAST('public' AS regnamespace)
"""


def test_giving_the_rights_again_waits_for_nobody(roles: dict[str, str], engine: Engine) -> None:
    analyst, pipeline = (database.connect(roles[role]) for role in ("analyst", "pipeline"))
    with database.reading(analyst) as reader, database.writing(pipeline) as writer:
        reader.exec_driver_sql("SELECT * FROM sentiment_latest")
        open_planned_run(writer)
        writer.exec_driver_sql("LOCK TABLE text_splits IN SHARE ROW EXCLUSIVE MODE")
        done = migrations.migrate(
            engine, review_id_type="bigint", reviews_table="reviews", lock_timeout_s=0.1, pauses_s=()
        )
    assert done["roles"] == sorted(ROLES)


def test_partitions_that_were_made_before_the_roles_get_their_rights(
    roles: dict[str, str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.writing(engine) as connection:
        run = open_planned_run(connection)
        connection.exec_driver_sql(f"REVOKE ALL ON run_items_{run}, staged_labels_{run} FROM senti_pipeline")
    own = connected(roles, "pipeline", monkeypatch)
    refused(own, f"SELECT * FROM staged_labels_{run}")
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
    with database.writing(own) as connection:
        answer(connection, run)
        assert publication.audit(connection, run)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "may create objects in the schema"),
        ("GRANT {owner} TO senti_importer", "must not be or become the owner"),
    ],
)
def test_a_role_that_could_make_the_owner_run_its_code_stops_the_migration(
    statement: str, expected: str, owned_url: str, engine: Engine, postgres: sa.URL
) -> None:
    owner = sa.make_url(owned_url).username
    with sa.create_engine(
        sa.make_url(owned_url).set(username=postgres.username), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    ).connect() as connection:
        connection.exec_driver_sql(statement.format(owner=owner))
        try:
            with pytest.raises(WarehouseError, match=expected):
                migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
        finally:
            connection.exec_driver_sql(
                statement.format(owner=owner).replace("GRANT", "REVOKE").replace(" TO ", " FROM ")
            )
