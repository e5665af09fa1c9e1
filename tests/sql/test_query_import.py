"""Rows of a SQL query into the warehouse, from the databases that people have."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from senti_tasks.errors import InputFileError
from senti_tasks.intake.readers import queries
from senti_tasks.jobs import imports
from senti_tasks.warehouse.schema import reviews
from tests.conftest import Databases
from tests.situations import count

SETUP = (
    "CREATE TABLE comments (id integer, body text, stars numeric(3, 1), at timestamp)",
    "INSERT INTO comments VALUES (1, '100% 很好: 真的', 5, '2024-05-01 18:30:00'), (2, '太差', 1.5, NULL)",
)


@pytest.fixture
def shop(databases: Databases) -> str:
    """The URL of another database, with reviews."""
    url = databases.empty()
    execute(url, *SETUP)
    return url


def execute(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def cells(url: str, query: str) -> list[Any]:
    return [row for _, row in queries.open_query(url, query).rows()]


def test_the_rows_of_a_query_are_imported_once(shop: str, home: Path, engine: sa.Engine) -> None:
    query = home / "comments.sql"
    query.write_text("SELECT id, body AS review FROM comments WHERE body LIKE '%' -- 100 %\n;\n", "utf-8")
    found = imports.import_query(shop, query, {"id": "id"})
    assert (found["rows"], found["imported"]) == (2, 2)
    assert found["source"].endswith("/comments.sql")
    assert imports.import_query(shop, query, {"id": "id"})["already_there"] == 2
    assert "://" not in json.dumps(found["source"])


def test_values_keep_their_meaning(shop: str) -> None:
    table = queries.open_query(shop, "SELECT * FROM comments ORDER BY id")
    assert table.header == ("id", "body", "stars", "at")
    [first, second] = [row for _, row in table.rows()]
    assert first[:3] == (1, "100% 很好: 真的", 5)
    assert str(first[3]) == "2024-05-01 18:30:00"
    assert second == (2, "太差", 1.5, None)


def test_a_url_as_other_programs_write_it_works(shop: str) -> None:
    url = shop.replace("postgresql+psycopg://", "postgres://")
    assert len(cells(url, "SELECT body FROM comments")) == 2


def test_a_strange_date_or_byte_does_not_end_the_query(shop: str) -> None:
    if shop.startswith("sqlite"):
        execute(shop, "INSERT INTO comments VALUES (3, CAST(x'E5E5' AS text), 1, '一月')")
        assert [type(row) for row in cells(shop, "SELECT * FROM comments ORDER BY id")] == [tuple, tuple, str]
        return
    execute(shop, "INSERT INTO comments VALUES (3, '好', 1, 'infinity'), (4, '好', 1, '0044-03-15 BC')")
    found = cells(shop, "SELECT at, at::date, at::timestamptz FROM comments WHERE id > 2 ORDER BY id")
    assert found[0] == ("infinity",) * 3
    assert found[1][:2] == ("0044-03-15 00:00:00 BC", "0044-03-15 BC")
    zoned = cells(shop, "SELECT '2024-05-01 10:30+00'::timestamptz")
    assert zoned == [(datetime(2024, 5, 1, 10, 30, tzinfo=UTC),)]


@pytest.mark.parametrize("query", ["DELETE FROM comments", "DELETE FROM comments RETURNING id", "SELECT nothing", ""])
def test_a_query_that_writes_or_fails_is_an_error_and_changes_nothing(shop: str, query: str) -> None:
    with pytest.raises(InputFileError):
        cells(shop, query)
    assert len(cells(shop, "SELECT id FROM comments")) == 2


def test_an_error_says_neither_password_nor_row(tmp_path: Path) -> None:
    for url in ("postgresql://li:secret@127.0.0.1:1/shop", "postgresql://li:secret@[", "nonsense://li:secret@x/y"):
        with pytest.raises(InputFileError) as caught:
            queries.open_query(url, "SELECT 1")
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None or "secret" not in str(caught.value.__cause__)
    with pytest.raises(InputFileError, match="is no file"):
        queries.open_query(f"sqlite:///{tmp_path}/none.db", "SELECT 1")
    assert not (tmp_path / "none.db").exists()


def test_a_file_of_sqlite_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "a b#%?.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE comments (body)")
    connection.close()
    url = sa.URL.create("sqlite", database=str(path)).render_as_string()
    with pytest.raises(InputFileError, match=r"readonly database|no rows"):
        cells(url, "INSERT INTO comments VALUES (1) RETURNING body")
    assert cells(url, "SELECT * FROM comments") == []


def test_an_import_of_a_query_that_fails_keeps_nothing(shop: str, home: Path, engine: sa.Engine) -> None:
    query = home / "comments.sql"
    query.write_text("SELECT body AS review, 1 / (id - 2) AS x FROM comments", "utf-8")
    if shop.startswith("postgresql"):
        with pytest.raises(InputFileError, match="division by zero"):
            imports.import_query(shop, query, {})
        assert count(engine, reviews) == 0
