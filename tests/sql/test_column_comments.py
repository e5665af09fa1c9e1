"""Every view and table, and every column of one, says what it means, and PostgreSQL shows it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.warehouse import column_comments, database, migrations
from senti_tasks.warehouse.migrations import SQL, view_statements
from tests.situations import on_postgresql

KNOWN = column_comments.read(SQL)
TABLES = KNOWN["tables"]

SAID = sa.text(
    "SELECT attribute.attname, obj_description(relation.oid), col_description(relation.oid, attribute.attnum) "
    "FROM pg_class AS relation INNER JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid "
    "WHERE relation.oid = to_regclass(:name) AND attribute.attnum > 0 AND NOT attribute.attisdropped"
)


def columns_of(engine: Engine) -> set[tuple[str, str]]:
    """Every view and table of the warehouse, but for partitions of one, and its columns."""
    with database.reading(engine) as connection:
        inspector = sa.inspect(connection)
        names = {*inspector.get_view_names(), *inspector.get_table_names()}
        return {(name, column["name"]) for name in names for column in inspector.get_columns(name)}


def said(engine: Engine, name: str) -> dict[str, str | None]:
    """The comments of a view or table, under the empty name, and of its columns."""
    with database.reading(engine) as connection:
        rows = connection.execute(SAID, {"name": name}).all()
    return {"": rows[0][1], **{column: comment for column, _, comment in rows}}


def test_every_view_and_table_and_every_column_has_a_comment(engine: Engine) -> None:
    present = columns_of(engine)
    assert {name for name, _ in present} == {*view_statements(), *TABLES}
    assert all(column_comments.of_view(statement) for statement in view_statements().values())
    assert {pair for pair in present if not column_comments.of_column(KNOWN, *pair)} == set()


def test_every_comment_is_of_something_that_is_there(engine: Engine) -> None:
    present = columns_of(engine)
    assert KNOWN["columns"].keys() <= {column for _, column in present}
    for name, comments in KNOWN.items():
        if name not in ("columns", "tables"):
            assert {(name, column) for column in comments} <= present


@on_postgresql
def test_the_catalog_holds_them(engine: Engine) -> None:
    wholes = {
        **TABLES,
        **{name: column_comments.of_view(statement) for name, statement in view_statements().items()},
    }
    for name, whole in wholes.items():
        found = said(engine, name)
        assert found.pop("") == whole
        assert found == {column: column_comments.of_column(KNOWN, name, column) for column in found}


# As time goes on


def migrate(engine: Engine, reviews_table: str = "reviews", **patience: float | tuple[float, ...]) -> None:
    migrations.migrate(engine, review_id_type="bigint", reviews_table=reviews_table, **patience)  # type: ignore[arg-type]


@pytest.fixture
def better_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The next release of the SQL files, after ``engine`` was migrated: three comments are other ones."""
    better = "the verdict, 100 % the gate's: promote or refuse"
    shutil.copytree(SQL, tmp_path / "sql")
    file = tmp_path / "sql" / "columns.toml"
    words = file.read_text("utf-8")
    for before in (TABLES["promotions"], KNOWN["columns"]["verdict"], KNOWN["columns"]["stale"]):
        assert words.count(f'"{before}"') == 1
        words = words.replace(before, better)
    file.write_text(words, "utf-8")
    monkeypatch.setattr(migrations, "SQL", tmp_path / "sql")
    yield better


@on_postgresql
def test_what_is_said_anew_is_written_beside_whoever_reads_and_writes(engine: Engine, better_said: str) -> None:
    with database.writing(engine) as busy:
        for name in ("promotions", "models", "review_sentiment"):
            busy.exec_driver_sql(f"SELECT * FROM {name}").all()
        busy.exec_driver_sql("UPDATE promotions SET reason = reason")
        migrate(engine, lock_timeout_s=0.05, pauses_s=())
    assert said(engine, "promotions")[""] == better_said
    assert said(engine, "models")["verdict"] == said(engine, "model_scorecard")["verdict"] == better_said
    assert said(engine, "review_sentiment")["stale"] == better_said


@on_postgresql
def test_what_is_said_already_waits_for_no_vacuum(engine: Engine) -> None:
    with database.writing(engine) as vacuum:
        for name in TABLES:
            vacuum.exec_driver_sql(f"LOCK TABLE {name} IN SHARE UPDATE EXCLUSIVE MODE")
        migrate(engine, lock_timeout_s=0.05, pauses_s=())


@on_postgresql
def test_a_view_that_comes_back_says_again_what_it_means(engine: Engine) -> None:
    with database.writing(engine) as connection:
        connection.exec_driver_sql("DROP VIEW sentiment_daily")
    migrate(engine)
    assert all(said(engine, "sentiment_daily").values())


OWN = (
    "CREATE TABLE {} (review_id BIGINT PRIMARY KEY, review_text TEXT, product TEXT, created_at TIMESTAMPTZ, "
    "updated_at TIMESTAMPTZ)"
)


@on_postgresql
def test_a_view_over_the_teams_table_says_what_it_means_and_the_table_what_the_team_says(empty_url: str) -> None:
    engine = database.connect(empty_url)
    with database.writing(engine) as connection:
        connection.exec_driver_sql(OWN.format("comments"))
        connection.exec_driver_sql("COMMENT ON TABLE comments IS 'ours'")
        connection.exec_driver_sql(
            "CREATE TABLE review_annotations (review_id BIGINT, annotator TEXT, annotated_at TIMESTAMPTZ, "
            "label SMALLINT, text_hash VARCHAR(32))"
        )
        connection.exec_driver_sql("COMMENT ON TABLE review_annotations IS 'ours, too'")
    migrate(engine, "comments")
    assert said(engine, "reviews")[""] == TABLES["reviews"]
    assert said(engine, "comments")[""] == "ours"
    assert said(engine, "review_annotations") == {
        "": "ours, too",
        **dict.fromkeys(("review_id", "annotator", "annotated_at", "label", "text_hash")),
    }


@on_postgresql
def test_the_teams_own_reviews_say_what_the_team_says(empty_url: str) -> None:
    engine = database.connect(empty_url)
    with database.writing(engine) as connection:
        connection.exec_driver_sql(OWN.format("reviews"))
    migrate(engine)
    assert set(said(engine, "reviews").values()) == {None}
    assert said(engine, "review_annotations")[""] == TABLES["review_annotations"]
