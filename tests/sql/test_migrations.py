"""Bringing a database to the newest schema, keys of three types, and a team's own table of reviews underneath."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from senti_tasks.errors import WarehouseError
from senti_tasks.jobs import scoring, upkeep, workplace
from senti_tasks.warehouse import database, migrations
from senti_tasks.warehouse.schema import metadata, review_labels
from tests.situations import add_model, deploy, night, on_postgresql, on_sqlite, promote, rows

NEWEST = migrations.newest_revision()
UUID_1, UUID_2 = "0b0e2a5c-4d52-4c5e-9d8e-111111111111", "0b0e2a5c-4d52-4c5e-9d8e-222222222222"


def migrate(engine: Engine, review_id_type: str = "bigint", reviews_table: str = "reviews") -> dict[str, Any]:
    return migrations.migrate(engine, review_id_type=review_id_type, reviews_table=reviews_table)


def execute(engine: Engine, *statements: str) -> None:
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
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


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


def test_an_analysts_view_survives_the_next_migration(engine: Engine) -> None:
    execute(engine, "CREATE VIEW complaints AS SELECT review_id FROM review_sentiment WHERE label = 0")
    migrate(engine)
    assert rows(engine, "complaints") == []


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
    counts = [upkeep.import_reviews(file, {"id": "id"}) for _ in range(2)]
    assert [(count["imported"], count["already_there"], count["labelled"]) for count in counts] == [
        (2, 0, 2),
        (0, 2, 0),
    ]
    unnamed = bare_home / "more.csv"
    unnamed.write_text("review\n一般\n", "utf-8")
    assert [upkeep.import_reviews(unnamed, {})["imported"] for _ in range(2)] == [1, 0]
    run = scoring.open_run("night", "2026-11-02T12:00:00+08:00")
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
            if column["name"] in ("review_id", "staged_through")
        }
    assert set(types.values()) == {"UUID"}


def test_a_changed_type_of_the_key_is_refused(engine: Engine) -> None:
    with pytest.raises(WarehouseError, match=r"SENTI_REVIEW_ID_TYPE is 'uuid', but .* was made with 'bigint'"):
        migrate(engine, review_id_type="uuid")


def test_another_table_of_reviews_is_refused_later(engine: Engine) -> None:
    with pytest.raises(WarehouseError, match=r"SENTI_REVIEWS_TABLE is 'comments', but .* was made with 'reviews'"):
        migrate(engine, reviews_table="comments")


OWN_TABLE = (
    "CREATE TABLE {} (review_id BIGINT PRIMARY KEY, review_text TEXT NOT NULL, product TEXT, shop TEXT, "
    "created_at {} NOT NULL, updated_at {} NOT NULL)"
)
OWN_EDIT = "UPDATE {} SET review_text = '太差', updated_at = '2026-11-03 08:00:00+00:00' WHERE review_id = 1"
OWN_ROWS = "INSERT INTO {} VALUES (1, '很好', '面馆', 'x', {}, {}), (2, '满意', '面馆', 'x', {}, {})"


@on_sqlite
@pytest.mark.parametrize("moment", ["2026-11-02 12:00:00", "2026-11-02T12:00:00Z"])
def test_a_table_of_the_team_by_another_name_with_times_as_others_write_them(moment: str, empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, OWN_TABLE.format("comments", "TEXT", "TEXT"), OWN_ROWS.format("comments", *[f"'{moment}'"] * 4))
    migrate(engine, reviews_table="comments")
    assert scored_and_edited(engine, "comments") == [0, 1]


@on_postgresql
def test_a_table_of_the_team_in_another_schema(empty_url: str) -> None:
    engine = database.connect(empty_url)
    table = OWN_TABLE.format("shop.comments", "timestamptz", "timestamptz")
    execute(
        engine, "CREATE SCHEMA shop", table, OWN_ROWS.format("shop.comments", *["timestamptz '2026-11-02 12:00Z'"] * 4)
    )
    migrate(engine, reviews_table="shop.comments")
    assert scored_and_edited(engine, "shop.comments") == [0, 1]


def scored_and_edited(engine: Engine, table: str) -> list[int]:
    """The labels of a night over the team's table, which then has one stale row, and none after the next night."""
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
    assert night(engine)["labelled"] == 2
    execute(engine, OWN_EDIT.format(table))
    assert [row["stale"] for row in rows(engine, "review_sentiment", order_by="review_id")] == [True, False]
    assert night(engine, "next")["labelled"] == 1
    assert not any(row["stale"] for row in rows(engine, "review_sentiment"))
    return [row["label"] for row in rows(engine, "review_sentiment", order_by="review_id")]


def test_the_teams_own_table_named_reviews_is_left_as_it_is(empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, OWN_TABLE.format("reviews", "timestamp", "timestamp"))
    migrate(engine)
    with database.reading(engine) as connection:
        assert "shop" in {column["name"] for column in sa.inspect(connection).get_columns("reviews")}


def test_nothing_is_imported_into_a_table_of_the_team(
    empty_url: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", empty_url)
    monkeypatch.setenv("SENTI_REVIEWS_TABLE", "comments")
    execute(database.connect(empty_url), OWN_TABLE.format("comments", "timestamp", "timestamp"))
    upkeep.migrate()
    (bare_home / "reviews.csv").write_text("review\n很好\n", "utf-8")
    with pytest.raises(WarehouseError, match=r"reviews is a view over your own table"):
        upkeep.import_reviews(bare_home / "reviews.csv", {})


def test_a_table_without_the_columns_is_refused_and_says_which(empty_url: str) -> None:
    engine = database.connect(empty_url)
    execute(engine, "CREATE TABLE comments (review_id BIGINT, review_text TEXT, created_at TEXT)")
    with pytest.raises(
        WarehouseError, match=r"comments lacks the column product, updated_at .it has created_at, review"
    ):
        migrate(engine, reviews_table="comments")


def test_a_warehouse_that_was_never_migrated_says_so(
    empty_url: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", empty_url)
    with pytest.raises(WarehouseError, match=r"is at revision none.* run `senti migrate`"):
        workplace.enter()


def test_a_missing_table_says_so(empty_url: str) -> None:
    with pytest.raises(WarehouseError, match=r"is not migrated .* run `senti migrate`"):
        rows(database.connect(empty_url), review_labels)


@on_sqlite
def test_a_sqlite_file_in_no_folder_says_so(tmp_path: Path, dialect: str) -> None:
    with pytest.raises(WarehouseError, match=r"there is no warehouse at sqlite:.*run `senti migrate`"):
        rows(database.connect(f"sqlite:///{tmp_path}/none/warehouse.db"), review_labels)


@on_sqlite
def test_a_file_that_is_no_database_says_so(tmp_path: Path, dialect: str) -> None:
    (tmp_path / "reviews.csv").write_text("review\n很好\n" * 100, "utf-8")
    with pytest.raises(WarehouseError, match=r"cannot reach the warehouse at .*reviews.csv .file is not a database"):
        rows(database.connect(f"sqlite:///{tmp_path}/reviews.csv"), review_labels)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (
            "postgresql+psycopg://me:secret@127.0.0.1:1/warehouse",
            r"cannot reach the warehouse at .*me:\*\*\*@.* running\?",
        ),
        ("postgresql+psycopg://me@/warehouse?host=/nowhere", "cannot reach the warehouse"),
        ("mysql://me@db/warehouse", "runs on SQLite and PostgreSQL, found 'mysql'"),
        ("warehouse.db", "is no database URL: 'warehouse.db'; expected sqlite:///FILE or"),
    ],
)
def test_a_database_that_cannot_be_reached_says_so(url: str, complaint: str) -> None:
    with pytest.raises(WarehouseError, match=complaint):
        rows(database.connect(url), review_labels)
