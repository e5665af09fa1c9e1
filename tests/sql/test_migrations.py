"""Bringing a database to the newest schema, keys of three types, and a team's own table of reviews underneath."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine

from senti_tasks.errors import RevisionError, UnreachableError, WarehouseError
from senti_tasks.jobs import context, imports, scoring
from senti_tasks.jobs.operations import upkeep
from senti_tasks.labels import DEFAULT, LabelSet
from senti_tasks.warehouse import database, migrations
from senti_tasks.warehouse.schema import metadata, review_labels, warehouse_settings
from tests.situations import add_model, deploy, on_postgresql, on_sqlite, promote, rows, scoring_run

NEWEST = migrations.newest_revision()
THREE = LabelSet(("negative", "neutral", "positive"))
UUID_1, UUID_2 = "0b0e2a5c-4d52-4c5e-9d8e-111111111111", "0b0e2a5c-4d52-4c5e-9d8e-222222222222"


def migrate(engine: Engine, review_id_type: str = "bigint", reviews_table: str = "reviews") -> dict[str, Any]:
    return migrations.migrate(engine, review_id_type=review_id_type, reviews_table=reviews_table)


def execute(engine: Engine, *statements: str) -> None:
    database.create_file(engine)
    with database.writing(engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_migrating_twice_changes_nothing(empty_url: str) -> None:
    engine = database.connect(empty_url)
    first, second = migrate(engine), migrate(engine)
    assert (first["before"], first["after"]) == (None, NEWEST)
    assert (second["before"], second["after"]) == (NEWEST, NEWEST)
    assert first["views"] == second["views"]


def test_the_migrations_make_the_tables_of_the_schema(engine: Engine) -> None:
    with database.reading(engine) as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    # Comments of tables and columns are in sql/columns.toml; test_column_comments.py checks them.
    changes = [change for entry in found for change in (entry if isinstance(entry, list) else [entry])]
    assert [change for change in changes if change[0] not in ("modify_comment", "remove_table_comment")] == []


def test_the_migrations_make_the_constraints_of_the_schema(engine: Engine) -> None:
    with database.reading(engine) as connection:
        inspector, quote = sa.inspect(connection), connection.dialect.identifier_preparer.format_constraint
        for table in metadata.tables.values():
            stated = {*table.constraints, *(rule for column in table.c for rule in column.constraints)}
            rules = {quote(rule) for rule in stated if isinstance(rule, sa.CheckConstraint)}
            assert {rule["name"] for rule in inspector.get_check_constraints(table.name)} == rules


def test_a_migration_that_fails_leaves_nothing(empty_url: str) -> None:
    engine = database.connect(empty_url)
    with pytest.raises(WarehouseError, match=r"there is no such table or view"):
        migrate(engine, reviews_table="nowhere")
    with database.reading(engine) as connection:
        assert sa.inspect(connection).get_table_names() == []


# Beside people who read


def columns_of(engine: Engine, view: str) -> set[str]:
    with database.reading(engine) as connection:
        return {column["name"] for column in sa.inspect(connection).get_columns(view)}


@contextmanager
def an_analyst_reads(engine: Engine) -> Iterator[Connection]:
    """A session that has read a view and keeps its transaction open."""
    with database.reading(engine) as connection:
        connection.exec_driver_sql("SELECT * FROM calendar LIMIT 1").all()
        yield connection


CALENDAR_OF_THE_NEXT_RELEASE = """
-- One row per day from 1990 to 2059.
SELECT day, day_number, week_start, month, day_number - 1 AS day_before FROM calendar_days
"""


@pytest.fixture
def a_view_has_changed(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next release of the SQL files, after ``engine`` was migrated: a view has one more column."""
    shutil.copytree(migrations.SQL, tmp_path / "sql")
    (tmp_path / "sql" / "views" / "calendar.sql").write_text(CALENDAR_OF_THE_NEXT_RELEASE, "utf-8")
    monkeypatch.setattr(migrations, "SQL", tmp_path / "sql")


IMPATIENT: dict[str, Any] = {"review_id_type": "bigint", "reviews_table": "reviews", "lock_timeout_s": 0.05}


def test_migrating_with_nothing_to_do_waits_for_no_reader(engine: Engine) -> None:
    with an_analyst_reads(engine):
        assert migrations.migrate(engine, **IMPATIENT, pauses_s=())["before"] == NEWEST


def test_a_view_that_somebody_dropped_comes_back(engine: Engine) -> None:
    execute(engine, "DROP VIEW sentiment_daily")
    migrate(engine)
    assert "mean_score" in columns_of(engine, "sentiment_daily")


def test_a_changed_view_is_replaced_once(engine: Engine, a_view_has_changed: None) -> None:
    migrate(engine)
    assert "day_before" in columns_of(engine, "calendar")
    with an_analyst_reads(engine):
        migrations.migrate(engine, **IMPATIENT, pauses_s=())


@on_postgresql
def test_a_changed_view_is_replaced_when_its_reader_is_done(engine: Engine, a_view_has_changed: None) -> None:
    with ExitStack() as open_sessions:
        open_sessions.enter_context(an_analyst_reads(engine))

        def pauses() -> Iterator[float]:
            open_sessions.close()  # between the first attempt and the second
            yield 0

        migrations.migrate(engine, **IMPATIENT, pauses_s=pauses())
    assert "day_before" in columns_of(engine, "calendar")


@on_postgresql
def test_a_reader_who_stays_is_named_and_nothing_is_changed(engine: Engine, a_view_has_changed: None) -> None:
    before = columns_of(engine, "calendar"), rows(engine, warehouse_settings, order_by="name")
    with an_analyst_reads(engine) as analyst:
        pid = analyst.scalar(sa.func.pg_backend_pid())
        complaint = rf"somebody is reading .*\(pid {pid} of postgres\), and 3 attempts .*: nothing was changed\. Run"
        with pytest.raises(WarehouseError, match=complaint):
            migrations.migrate(engine, **IMPATIENT, pauses_s=(0, 0))
    assert (columns_of(engine, "calendar"), rows(engine, warehouse_settings, order_by="name")) == before


def test_an_analysts_view_survives_the_next_migration(engine: Engine) -> None:
    execute(engine, "CREATE VIEW complaints AS SELECT review_id FROM review_sentiment WHERE label = 0")
    migrate(engine)
    assert rows(engine, "complaints") == []


# Keys


@pytest.mark.parametrize(
    ("review_id_type", "ids"), [("bigint", (7, 2**62)), ("text", ("b-7", "甲")), ("uuid", (UUID_1, UUID_2))]
)
def test_keys_of_each_type_go_all_the_way(
    review_id_type: str,
    ids: tuple[Any, Any],
    empty_url: str,
    bare_home: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", empty_url)
    monkeypatch.setenv("SENTI_REVIEW_ID_TYPE", review_id_type)
    engine = database.connect(empty_url)
    upkeep.migrate()
    deploy(engine, model_folder, bare_home)
    file = bare_home / "reviews.csv"
    file.write_text(f"id,review,label\n{ids[0]},很好,1\n{ids[1]},太差,0\n", "utf-8")
    counts = [imports.import_reviews(file, {"id": "id"}) for _ in range(2)]
    assert [(count["imported"], count["already_there"], count["labelled"]) for count in counts] == [
        (2, 0, 2),
        (0, 2, 0),
    ]
    unnamed = bare_home / "more.csv"
    unnamed.write_text("review\n一般\n", "utf-8")
    assert [imports.import_reviews(unnamed, {})["imported"] for _ in range(2)] == [1, 0]
    (run,) = scoring.open_series("run", "2026-11-02T12:00:00+08:00")
    for shard in scoring.plan(run, shards=2):
        scoring.score_shard(run, shard)
    scoring.audit(run)
    assert scoring.publish(run)["labelled"] == 3
    assert {str(row["review_id"]) for row in rows(engine, "review_sentiment")} >= {str(key) for key in ids}
    assert upkeep.status()["pending"] == 0


@on_postgresql
def test_a_uuid_key_is_a_uuid_on_postgresql(empty_url: str) -> None:
    engine = database.connect(empty_url)
    migrate(engine, review_id_type="uuid")
    with database.reading(engine) as connection:
        types = {
            table: str(column["type"])
            for table in metadata.tables
            for column in sa.inspect(connection).get_columns(table)
            if column["name"] in ("review_id", "cursor")
        }
    assert set(types.values()) == {"UUID"}


def test_a_changed_type_of_the_key_is_refused(engine: Engine) -> None:
    with pytest.raises(WarehouseError, match=r"SENTI_REVIEW_ID_TYPE is 'uuid', but .* was made with 'bigint'"):
        migrate(engine, review_id_type="uuid")


@pytest.mark.parametrize(("recorded", "wanted"), [(DEFAULT, THREE), (THREE, DEFAULT)])
def test_other_labels_are_refused_later(recorded: LabelSet, wanted: LabelSet, empty_url: str) -> None:
    engine = database.connect(empty_url)
    keys: dict[str, Any] = {"review_id_type": "bigint", "reviews_table": "reviews"}
    migrations.migrate(engine, **keys, label_set=recorded)
    with pytest.raises(WarehouseError, match=f"SENTI_LABELS is '{wanted}', but .* was made with '{recorded}'"):
        migrations.migrate(engine, **keys, label_set=wanted)
    assert migrations.migrate(engine, **keys, label_set=recorded)["before"] == NEWEST


def test_another_table_of_reviews_is_refused_later(engine: Engine) -> None:
    with pytest.raises(WarehouseError, match=r"SENTI_REVIEWS_TABLE is 'comments', but .* was made with 'reviews'"):
        migrate(engine, reviews_table="comments")


# A team's own table


OWN_EDIT = "UPDATE {} SET review_text = '太差', updated_at = '2026-11-04 08:00:00+00:00' WHERE review_id = 1"
OWN_ROWS = "INSERT INTO {} VALUES (1, '很好', '面馆', 'x', {}, {}), (2, '满意', '面馆', 'x', {}, {})"


@on_sqlite
@pytest.mark.parametrize("time", ["2026-11-02 12:00:00", "2026-11-02T12:00:00Z"])
def test_a_table_of_the_team_by_another_name_with_times_as_others_write_them(time: str, empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, own_table(engine, "comments"), OWN_ROWS.format("comments", *[f"'{time}'"] * 4))
    migrate(engine, reviews_table="comments")
    assert scored_and_edited(engine, "comments") == [0, 1]


@on_postgresql
def test_a_table_of_the_team_in_another_schema(empty_url: str) -> None:
    engine = database.connect(empty_url)
    table = own_table(engine, "shop.comments")
    execute(
        engine, "CREATE SCHEMA shop", table, OWN_ROWS.format("shop.comments", *["timestamptz '2026-11-02 12:00Z'"] * 4)
    )
    migrate(engine, reviews_table="shop.comments")
    assert scored_and_edited(engine, "shop.comments") == [0, 1]


def scored_and_edited(engine: Engine, table: str) -> list[int]:
    """The labels of a run over the team's table, which then has one stale row, and none after the next run."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
    assert scoring_run(engine)["labelled"] == 2
    execute(engine, OWN_EDIT.format(table))
    assert [row["stale"] for row in rows(engine, "review_sentiment", order_by="review_id")] == [True, False]
    assert scoring_run(engine, "next")["labelled"] == 1
    assert not any(row["stale"] for row in rows(engine, "review_sentiment"))
    return [row["label"] for row in rows(engine, "review_sentiment", order_by="review_id")]


def own_table(engine: Engine, name: str, review_id: str = "BIGINT", time_type: str | None = None) -> str:
    """The statement that makes the team's table, as PostgreSQL or SQLite has it."""
    time_type = time_type or ("timestamptz" if engine.dialect.name == "postgresql" else "TEXT")
    return (
        f"CREATE TABLE {name} (review_id {review_id} PRIMARY KEY, review_text TEXT NOT NULL, product TEXT, shop TEXT, "
        f"created_at {time_type} NOT NULL, updated_at {time_type} NOT NULL)"
    )


SCHEMAS = {"postgresql": "public", "sqlite": "main"}


@pytest.mark.parametrize("spelling", ["reviews", "{schema}.reviews"])
def test_the_teams_own_table_named_reviews_is_left_as_it_is(spelling: str, empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, own_table(engine, "reviews"))
    migrate(engine, reviews_table=spelling.format(schema=SCHEMAS[engine.dialect.name]))
    assert "shop" in columns_of(engine, "reviews")


@on_sqlite
def test_the_teams_own_table_is_known_by_any_case_on_sqlite(empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, own_table(engine, "Reviews"))
    migrate(engine, reviews_table="Reviews")
    assert "shop" in columns_of(engine, "reviews")


def test_our_own_table_may_be_named_with_its_schema(empty_url: str) -> None:
    engine = database.connect(empty_url)
    name = f"{SCHEMAS[engine.dialect.name]}.reviews"
    migrate(engine, reviews_table=name)
    assert migrate(engine, reviews_table=name)["before"] == NEWEST
    with database.reading(engine) as connection:
        assert "reviews" in sa.inspect(connection).get_table_names()
        assert migrations.recorded_setting(connection, "reviews_made_by") == "senti"


def test_a_second_table_named_reviews_is_in_the_way_of_the_view(empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, own_table(engine, "comments"), own_table(engine, "reviews"))
    with pytest.raises(WarehouseError, match=r"is 'comments', and the view .* there is a reviews already: rename that"):
        migrate(engine, reviews_table="comments")


@on_postgresql
def test_a_materialized_view_named_reviews_is_the_teams(empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, own_table(engine, "comments"), "CREATE MATERIALIZED VIEW reviews AS SELECT * FROM comments")
    migrate(engine)
    with database.reading(engine) as connection:
        assert migrations.recorded_setting(connection, "reviews_made_by") == "team"


@pytest.mark.parametrize(
    ("declared", "review_id_type", "complaint"),
    [
        ("BIGINT", "text", r"review_id of the type BIGINT, .* is text: set SENTI_REVIEW_ID_TYPE to bigint"),
        ("INTEGER", "uuid", r"review_id of the type INTEGER, .* is uuid: set SENTI_REVIEW_ID_TYPE to bigint"),
        (
            "VARCHAR(40)",
            "bigint",
            r"review_id of the type VARCHAR\(40\), .* is bigint: set SENTI_REVIEW_ID_TYPE to text",
        ),
    ],
)
def test_a_key_that_the_setting_does_not_fit_is_refused(
    declared: str, review_id_type: str, complaint: str, empty_url: str
) -> None:
    engine = database.connect(empty_url)
    execute(engine, own_table(engine, "comments", declared))
    with pytest.raises(WarehouseError, match=complaint):
        migrate(engine, review_id_type, reviews_table="comments")


@on_postgresql
def test_a_key_that_no_setting_fits_is_refused(empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, own_table(engine, "comments", "NUMERIC(20, 0)"))
    with pytest.raises(WarehouseError, match=r"type NUMERIC\(20, 0\), .* no SENTI_REVIEW_ID_TYPE fits it"):
        migrate(engine, reviews_table="comments")


@pytest.mark.parametrize(
    ("declared", "review_id_type"), [("INTEGER", "bigint"), ("VARCHAR(40)", "text"), ("UUID", "uuid"), ("sku", "text")]
)
@on_postgresql
def test_every_type_that_holds_such_keys_is_taken(declared: str, review_id_type: str, empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, "CREATE DOMAIN sku AS varchar(20)", own_table(engine, "comments", declared))
    assert migrate(engine, review_id_type, reviews_table="comments")["after"] == NEWEST


@on_sqlite
def test_a_view_that_declares_no_types_is_taken_on_sqlite(empty_url: str) -> None:
    engine = database.connect(empty_url)
    view = "CREATE VIEW comments AS SELECT 1 + 1 AS review_id, '好' AS review_text, '' AS product, '' AS created_at"
    execute(engine, f"{view}, '2026-11-02' AS updated_at")
    assert migrate(engine, "text", reviews_table="comments")["after"] == NEWEST


@on_postgresql
@pytest.mark.parametrize(
    ("table", "declared", "complaint"),
    [
        (
            "comments",
            "timestamp",
            r"created_at AT TIME ZONE 'Asia/Shanghai' AS .* name that view in SENTI_REVIEWS_TABLE",
        ),
        ("reviews", "timestamp", r"created_at AT TIME ZONE .* rename the table, so that the view can be named reviews"),
        ("comments", "text", r"created_at of the type TEXT, .* put a view with created_at as TIMESTAMP WITH TIME ZONE"),
    ],
)
def test_times_without_a_zone_are_refused(table: str, declared: str, complaint: str, empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, own_table(engine, table, time_type=declared))
    with pytest.raises(WarehouseError, match=complaint):
        migrate(engine, reviews_table=table)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [("comments", "reviews is a view over your own table here"), ("reviews", "reviews is your own table here")],
)
def test_nothing_is_imported_into_a_table_of_the_team(
    table: str, complaint: str, empty_url: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", empty_url)
    monkeypatch.setenv("SENTI_REVIEWS_TABLE", table)
    engine = database.connect(empty_url)
    execute(engine, own_table(engine, table))
    upkeep.migrate()
    (bare_home / "reviews.csv").write_text("review\n很好\n", "utf-8")
    with pytest.raises(WarehouseError, match=complaint):
        imports.import_reviews(bare_home / "reviews.csv", {})


def test_a_table_without_the_columns_is_refused_and_says_which(empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, "CREATE TABLE comments (review_id BIGINT, review_text TEXT, created_at TEXT)")
    with pytest.raises(
        WarehouseError, match=r"comments lacks the column product, updated_at .it has created_at, review"
    ):
        migrate(engine, reviews_table="comments")


# What is not there, or not as it should be


def test_a_warehouse_that_was_never_migrated_says_so(
    empty_url: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", empty_url)
    database.create_file(database.connect(empty_url))
    with pytest.raises(RevisionError, match=r"is at revision none.* run `senti migrate`"):
        context.load_context()


def test_a_missing_table_says_so(empty_url: str) -> None:
    engine = database.connect(empty_url)
    database.create_file(engine)
    with pytest.raises(RevisionError, match=r"is not migrated .* run `senti migrate`"):
        rows(engine, review_labels)


@on_sqlite
@pytest.mark.parametrize("name", ["none/warehouse.db", "warehause.db"])
def test_a_sqlite_file_that_is_not_there_says_so_and_is_not_made(name: str, tmp_path: Path, dialect: str) -> None:
    with pytest.raises(RevisionError, match=r"there is no warehouse at sqlite:.*run `senti migrate`"):
        rows(database.connect(f"sqlite:///{tmp_path}/{name}"), review_labels)
    assert list(tmp_path.iterdir()) == []


@on_sqlite
def test_only_migrating_makes_a_sqlite_file(tmp_path: Path, dialect: str) -> None:
    engine = database.connect(f"sqlite:///{tmp_path}/评论 100%/warehouse.db")
    migrate(engine)
    assert rows(engine, review_labels) == []
    assert (tmp_path / "评论 100%" / "warehouse.db").exists()


@on_sqlite
@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("file/warehouse.db", "cannot make the warehouse .*file/warehouse.db .*must name a file in a folder"),
        ("file/deeper/warehouse.db", "cannot make the warehouse .*Not a directory"),
        ("folder", "cannot open or write the warehouse at .*folder .*must be a file"),
    ],
)
def test_a_place_where_no_file_can_be_says_so(path: str, complaint: str, tmp_path: Path, dialect: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(WarehouseError, match=complaint):
        migrate(database.connect(f"sqlite:///{tmp_path}/{path}"))


@on_sqlite
def test_a_file_that_is_no_database_says_so(tmp_path: Path, dialect: str) -> None:
    (tmp_path / "reviews.csv").write_text("review\n很好\n" * 100, "utf-8")
    complaint = r"cannot reach the warehouse at .*reviews.csv .file is not a database"
    with pytest.raises(WarehouseError, match=complaint) as raised:
        rows(database.connect(f"sqlite:///{tmp_path}/reviews.csv"), review_labels)
    assert not raised.value.retry_can_help


@pytest.mark.parametrize(
    ("url", "kind", "complaint"),
    [
        (
            "postgresql+psycopg://me:secret@127.0.0.1:1/warehouse",
            UnreachableError,
            r"cannot reach the warehouse at .*me:\*\*\*@.* running\?",
        ),
        ("postgresql+psycopg://me@/warehouse?host=/nowhere", UnreachableError, "cannot reach the warehouse"),
        ("mysql://me@db/warehouse", WarehouseError, "runs on SQLite and PostgreSQL, found 'mysql'"),
        ("warehouse.db", WarehouseError, "is no database URL: expected sqlite:///FILE or"),
    ],
)
def test_a_database_that_cannot_be_reached_says_so(url: str, kind: type[WarehouseError], complaint: str) -> None:
    with pytest.raises(WarehouseError, match=complaint) as raised:
        rows(database.connect(url), review_labels)
    assert type(raised.value) is kind
