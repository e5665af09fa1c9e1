"""Nobody who has a role can make the owner of the warehouse run code, whether the owner is a superuser or not."""

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.errors import LockedError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import erasure, maintenance, upkeep
from senti_tasks.warehouse import database, migrations
from tests.situations import WEDNESDAY, add_reviews, on_postgresql, rows
from tests.sql.conftest import NO_PARAMETERS

pytestmark = on_postgresql
ROLES = ("pipeline", "importer", "eraser", "analyst")
TEXTS = {1: "很好", 2: "太差"}

BODY = (
    "BEGIN UPDATE reviews SET review_text = 'changed'; "
    "BEGIN ALTER ROLE {me} SUPERUSER; EXCEPTION WHEN insufficient_privilege THEN NULL; END;"
)
"""What the owner would run. Any owner may do the first, and a superuser both."""
TRIGGER = f"CREATE FUNCTION {{schema}}.attack() RETURNS trigger LANGUAGE plpgsql AS $$ {BODY} RETURN OLD; END $$"
FUNCTION = f"CREATE FUNCTION {{schema}}.attack() RETURNS text LANGUAGE plpgsql AS $$ {BODY} RETURN ''; END $$"

REFUSED = {
    "trigger": (TRIGGER.replace("{schema}", "public"),),
    "trigger with a function of the session": (
        TRIGGER.replace("{schema}", "pg_temp"),
        "CREATE TRIGGER attack BEFORE DELETE ON review_labels FOR EACH ROW EXECUTE FUNCTION pg_temp.attack()",
    ),
    "trigger on what everybody may write": (
        TRIGGER.replace("{schema}", "pg_temp"),
        "CREATE TRIGGER attack {when} UPDATE ON {written} FOR EACH ROW EXECUTE FUNCTION pg_temp.attack()",
    ),
    "function": (FUNCTION.replace("{schema}", "public"),),
    "function in the place of one of PostgreSQL": (
        "CREATE FUNCTION public.lower(character varying) RETURNS text LANGUAGE sql AS 'SELECT CAST($1 AS text)'",
    ),
    "function in the place of ours": (
        "CREATE OR REPLACE FUNCTION senti_drop_partition(text, text) RETURNS void LANGUAGE sql AS ''",
    ),
    "search path of our function": ("ALTER FUNCTION senti_drop_partition(text, text) RESET search_path",),
    "view": ("CREATE VIEW public.attack AS SELECT 1 AS one",),
    "view in the place of ours": ("CREATE OR REPLACE VIEW sentiment_latest AS SELECT 1 AS one",),
    "rule": ("CREATE RULE attack AS ON DELETE TO review_labels DO ALSO DELETE FROM reviews",),
    "policy": (
        FUNCTION.replace("{schema}", "pg_temp"),
        "CREATE POLICY attack ON review_labels USING (pg_temp.attack() = '')",
    ),
    "default of a column": (
        FUNCTION.replace("{schema}", "pg_temp"),
        "ALTER TABLE review_labels ALTER COLUMN variant SET DEFAULT pg_temp.attack()",
    ),
    "index": (
        FUNCTION.replace("{schema}", "pg_temp"),
        "CREATE INDEX attack ON review_labels ((pg_temp.attack()))",
    ),
    "partition": ("CREATE TABLE review_labels_attack PARTITION OF review_labels FOR VALUES IN ('attack')",),
    "default privileges of the owner": ("ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT ALL ON TABLES TO {me}",),
    "schema": ("CREATE SCHEMA attack",),
    "schema in the search path of the owner": ("CREATE SCHEMA {owner}",),
    "role of the owner": ("SET ROLE {owner}",),
    "settings of the owner": ("ALTER ROLE {owner} SET search_path = pg_temp",),
    "settings of the database": ("ALTER DATABASE {database} SET search_path = pg_temp",),
    "membership": ("GRANT {owner} TO {me}",),
    "event trigger": (
        FUNCTION.replace("{schema}", "pg_temp").replace("text", "event_trigger").replace(" RETURN '';", ""),
        "CREATE EVENT TRIGGER attack ON ddl_command_start EXECUTE FUNCTION pg_temp.attack()",
    ),
    "program": ("COPY (SELECT 1) TO PROGRAM 'true'",),
    "recorded settings": ("UPDATE warehouse_settings SET value = 'pg_temp.attack()' WHERE name = 'reviews_table'",),
}
"""Each must fail for want of a right, at the latest at its last statement."""

WRITTEN = {"importer": "reviews", "analyst": "sentiment_latest"}
"""What somebody with this role may write, or read: the owner writes it too."""


@pytest.fixture
def warehouse_url(owned_url: str) -> str:
    return owned_url


@pytest.fixture
def attackers(people: dict[str, str], engine: Engine, champion: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The URL of somebody who has each role, at a warehouse with two labelled reviews."""
    with database.writing(engine) as connection:
        add_reviews(connection, TEXTS)
    monkeypatch.setenv("SENTI_DATABASE_URL", people["pipeline"])
    (run,) = scoring.open_series("run", "2026-11-04T02:00:00+08:00")
    scoring.plan(run)
    scoring.score_shard(run, 0)
    scoring.audit(run)
    scoring.publish(run)
    return people


def attack(url: str, role: str, owner: str, statements: tuple[str, ...]) -> None:
    """Executes the statements, each in a transaction of its own and all in one session."""
    parsed = sa.make_url(url)
    names = {"me": parsed.username, "owner": owner, "database": parsed.database}
    names["written"] = WRITTEN.get(role, "review_labels")
    names["when"] = "INSTEAD OF" if role == "analyst" else "BEFORE"  # sentiment_latest is a view
    engine = sa.create_engine(url, poolclass=sa.StaticPool)
    try:
        with engine.connect() as connection:
            for statement in statements:
                for name, value in names.items():
                    statement = statement.replace(f"{{{name}}}", str(value))
                connection.exec_driver_sql(statement, execution_options=NO_PARAMETERS)
                connection.commit()
    finally:
        engine.dispose()


def outcome(url: str, role: str, owner: str, statements: tuple[str, ...]) -> str | None:
    """The SQLSTATE with which the statements fail; 42501: a right is missing. ``None`` if they do not fail."""
    try:
        attack(url, role, owner, statements)
    except sa.exc.DBAPIError as error:
        return str(getattr(error.orig, "sqlstate", error))
    return None


def owner_works(url: str, engine: Engine, attackers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner migrates and erases, somebody else erases; then nothing was changed and nobody was raised."""
    monkeypatch.setenv("SENTI_DATABASE_URL", url)
    upkeep.migrate()
    erasure.erase(["2"], "一封信", "小李")
    with database.writing(engine) as connection:
        connection.exec_driver_sql("UPDATE reviews SET product = '面馆'")
    rows(engine, "sentiment_latest")
    assert [row["review_text"] for row in rows(engine, "reviews")] == [TEXTS[1]]
    names = [sa.make_url(attacker).username for attacker in attackers.values()]
    with database.reading(engine) as connection:
        raised = sa.text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names) AND rolsuper")
        assert connection.execute(raised, {"names": names}).all() == []


@pytest.mark.parametrize("role", ROLES)
def test_what_could_make_the_owner_run_code_is_refused(
    role: str, attackers: dict[str, str], owned_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = str(engine.url.username)
    ended = {name: outcome(attackers[role], role, owner, statements) for name, statements in REFUSED.items()}
    assert ended == dict.fromkeys(REFUSED, "42501")
    owner_works(owned_url, engine, attackers, monkeypatch)


def test_what_somebody_puts_in_the_place_of_a_table_is_not_what_the_functions_read(
    attackers: dict[str, str], owned_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = (
        FUNCTION.replace("{schema}", "pg_temp"),
        "CREATE TEMPORARY VIEW warehouse_settings AS SELECT 'comments:run_items' || pg_temp.attack() AS name",
        "GRANT SELECT ON pg_temp.warehouse_settings TO PUBLIC",
        "SET search_path = pg_temp, public",
        "SELECT senti_drop_partition('run_items', '77')",
        "SELECT senti_create_partition('run_items', '77')",
    )
    attack(attackers["pipeline"], "pipeline", str(engine.url.username), statements)
    owner_works(owned_url, engine, attackers, monkeypatch)


def test_a_partition_has_the_rights_of_its_table_whatever_the_caller_grants_by_default(
    attackers: dict[str, str], engine: Engine
) -> None:
    statements = (
        "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO PUBLIC",
        "SELECT senti_create_partition('run_items', '77')",
    )
    attack(attackers["pipeline"], "pipeline", str(engine.url.username), statements)
    with database.reading(engine) as connection:
        found = {row.relname: row.rights for row in connection.exec_driver_sql(RIGHTS)}
    assert found["run_items_77"] == found["run_items"]


RIGHTS = """
SELECT relname, (SELECT array_agg(CAST(acl AS text) ORDER BY CAST(acl AS text)) FROM unnest(relacl) AS acl) AS rights
FROM pg_class WHERE relname IN ('run_items', 'run_items_77')
"""


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("SELECT senti_create_partition('pg_class', 'x')", "is no table of senti"),
        ("SELECT senti_drop_partition('pg_class', 'x')", "is no table of senti"),
        ("SELECT senti_create_partition('reviews', 'x')", "ATTACH PARTITION cannot be performed"),
        ("SELECT senti_create_partition('reviews; DROP TABLE reviews', 'x')", "is no table of senti"),
        ("SELECT senti_create_partition('run_items', '1); DROP TABLE reviews --')", "invalid input syntax"),
    ],
)
def test_the_functions_do_nothing_else(call: str, error: str, attackers: dict[str, str], engine: Engine) -> None:
    with pytest.raises(sa.exc.DBAPIError, match=error):
        attack(attackers["pipeline"], "pipeline", str(engine.url.username), (call,))


def test_a_partition_that_is_not_there_is_dropped_without_a_change(attackers: dict[str, str], engine: Engine) -> None:
    attack(attackers["pipeline"], "pipeline", "", ("SELECT senti_drop_partition('reviews', 'x')",))
    assert len(rows(engine, "reviews")) == 2


@pytest.mark.parametrize("role", ["importer", "analyst"])
def test_only_the_pipeline_may_call_the_functions(role: str, attackers: dict[str, str]) -> None:
    for call in ("SELECT senti_create_partition('run_items', '77')", "SELECT senti_drop_partition('run_items', '1')"):
        with pytest.raises(sa.exc.DBAPIError, match="permission denied"):
            attack(attackers[role], role, "", (call,))


# Locks

STRONG = ("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE", "SHARE UPDATE EXCLUSIVE")
"""The locks on a table that some writer waits for."""
BUSY_IMPORT = (
    "LOCK TABLE reviews, review_annotations, import_sources IN ROW EXCLUSIVE MODE",
    "LOCK TABLE erased_reviews, warehouse_settings, alembic_version IN ACCESS SHARE MODE",
    "SELECT review_id FROM reviews FOR UPDATE",
    "UPDATE reviews SET review_text = '半路'",
    "INSERT INTO reviews VALUES (3, '不错', NULL, now(), now())",
    "INSERT INTO review_annotations VALUES (1, '小王', now(), 1, '')",
    "SELECT pg_advisory_lock(7236341)",
)
"""The strongest locks that an importer may take."""


@pytest.mark.parametrize("role", ["importer", "analyst"])
def test_an_importer_and_an_analyst_lock_no_table(role: str, attackers: dict[str, str], engine: Engine) -> None:
    with database.reading(engine) as connection:
        relations = sa.inspect(connection).get_table_names() + sa.inspect(connection).get_view_names()
    for relation in relations:
        for mode in STRONG:
            with pytest.raises(sa.exc.DBAPIError, match="permission denied"):
                attack(attackers[role], role, "", (f'LOCK TABLE "{relation}" IN {mode} MODE',))


def test_a_night_passes_while_an_importer_holds_every_lock_it_can(
    attackers: dict[str, str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.writing(engine) as connection:
        add_reviews(connection, {4: "味道不错"}, now=WEDNESDAY)
    impatient = sa.make_url(attackers["pipeline"]).update_query_dict({"options": "-clock_timeout=2s"})
    monkeypatch.setenv("SENTI_DATABASE_URL", impatient.render_as_string(hide_password=False))
    with sa.create_engine(attackers["importer"], poolclass=sa.NullPool).connect() as importer:
        for statement in BUSY_IMPORT:
            importer.exec_driver_sql(statement)
        (run,) = scoring.open_series("second", "2026-11-05T02:00:00+08:00")
        scoring.plan(run)
        scoring.score_shard(run, 0)
        scoring.audit(run)
        assert scoring.publish(run)["labelled"] == 1
        maintenance.settle_deleted("maintenance")
        maintenance.retain()
        maintenance.tidy()


def test_a_migration_does_not_wait_for_ever_for_a_lock_that_anybody_may_take(
    attackers: dict[str, str], engine: Engine
) -> None:
    with sa.create_engine(attackers["analyst"], poolclass=sa.NullPool).connect() as analyst:
        analyst.exec_driver_sql("SELECT pg_advisory_lock(7236341)")
        with pytest.raises(LockedError, match=f"pid .* of {sa.make_url(attackers['analyst']).username}"):
            migrations.migrate(
                engine, review_id_type="bigint", reviews_table="reviews", lock_timeout_s=0.1, pauses_s=()
            )
