"""What a connection sets itself, what it refuses in one line, and which file or server a URL names."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks import settings
from senti_tasks.errors import WarehouseError
from senti_tasks.jobs.operations import upkeep
from senti_tasks.warehouse import database, migrations, sessions
from senti_tasks.warehouse.schema import publication_lock, review_labels
from tests.conftest import Databases
from tests.faults.servers import Server
from tests.situations import (
    MONDAY,
    add_model,
    add_reviews,
    on_postgresql,
    promote,
    rows,
    scoring_run,
)


def migrate(engine: Engine) -> None:
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")


def alter(engine: Engine, *settings: str) -> None:
    """Gives the database other defaults, as its administrator would."""
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for setting in settings:
            connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET {setting}")


# What a connection sets

DEFAULTS = {
    "TimeZone": ("'America/New_York'", "UTC"),
    "DateStyle": ("'SQL, DMY'", "ISO, YMD"),
    "client_encoding": ("'GBK'", "UTF8"),
    "default_transaction_isolation": ("'serializable'", "serializable"),
    "standard_conforming_strings": ("off", "on"),
    "extra_float_digits": ("-5", "1"),
}


@on_postgresql
def test_the_defaults_of_a_database_change_nothing(engine: Engine) -> None:
    alter(engine, *(f"{name} = {value}" for name, (value, _) in DEFAULTS.items()))
    with database.writing(engine) as connection:
        for name, (_, expected) in DEFAULTS.items():
            assert connection.exec_driver_sql(f"SHOW {name}").scalar() == expected
        assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, {1: "很好 🏨", 2: "太差\\'"}, created_at=datetime(2026, 11, 2, 23, tzinfo=UTC))
    assert scoring_run(engine)["labelled"] == 2
    found = rows(engine, review_labels, order_by="review_id")
    assert [row["score"] for row in found] == [0.9, 0.2]
    assert {row["review_updated_at"] for row in found} == {MONDAY}
    assert [row["review_text"] for row in rows(engine, "sentiment_latest", order_by="review_id")] == [
        "很好 🏨",
        "太差\\'",
    ]


@on_postgresql
def test_what_is_set_ends_with_the_transaction(engine: Engine) -> None:
    """PgBouncer in transaction mode gives the connection to another program next."""
    alter(engine, "TimeZone = 'America/New_York'")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW TimeZone").scalar() == "UTC"
        connection.commit()
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.execute("SHOW TimeZone").fetchone() == ("America/New_York",)


# What it refuses


@on_postgresql
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "EUC_CN", "LATIN1"])
def test_a_database_that_cannot_hold_chinese_is_refused(encoding: str, empty_url: str, databases: Databases) -> None:
    url = sa.make_url(empty_url)
    name = f"in_{encoding.lower()}_{url.database}"
    with database.connect(empty_url).execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    other = url.set(database=name)
    with pytest.raises(WarehouseError, match=f"'{name}' has the encoding {encoding}, .* ENCODING 'UTF8'"):
        migrate(database.connect(other))
    databases.drop(other.render_as_string(hide_password=False))


def test_too_old_a_server_or_library_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"runs PostgreSQL 14, and the warehouse needs 15 or newer"):
        sessions.require_postgresql(140_012)
    sessions.require_postgresql(150_000)
    monkeypatch.setattr(sessions, "OLDEST_SQLITE", (99, 0))
    with pytest.raises(WarehouseError, match=r"has SQLite 3\..*, and the warehouse needs 99\.0 or newer"):
        database.connect(f"sqlite:///{tmp_path}/warehouse.db")


@on_postgresql
def test_a_database_that_is_set_read_only_can_be_read_and_refuses_to_be_written(engine: Engine) -> None:
    alter(engine, "default_transaction_read_only = on")
    assert len(rows(engine, publication_lock)) == 1
    with (
        pytest.raises(WarehouseError, match=r"is read-only .*standby.* default_transaction_read_only") as caught,
        database.writing(engine) as connection,
    ):
        connection.execute(sa.update(publication_lock).values(publish_seq=1))
    assert "\n" not in str(caught.value)


@pytest.fixture
def standby() -> Iterator[str]:
    """The URL of a hot standby of a migrated warehouse; its primary is gone."""
    folder = Path(tempfile.mkdtemp(prefix="senti-standby-"))
    server = Server(folder)
    server.start()
    try:
        url = server.url.render_as_string(hide_password=False)
        migrate(database.connect(url))
        server.stop()
        (folder / "standby.signal").touch()
        shutil.chown(folder / "standby.signal", folder.owner())
        server.start()
        yield url
    finally:
        server.stop()
        shutil.rmtree(folder)


def test_a_standby_can_be_read_and_refuses_to_be_written(
    standby: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", standby)
    assert upkeep.status()["reviews"] == 0
    with pytest.raises(WarehouseError, match=r"is read-only .*Name the primary server"):
        upkeep.migrate()
    with pytest.raises(WarehouseError, match=r"is read-only .*Name the primary server"):
        upkeep.freeze("小李", "演示")


@on_postgresql
def test_a_search_path_without_a_schema_is_refused(empty_url: str) -> None:
    engine = database.connect(empty_url)
    alter(engine, "search_path = nowhere")
    with pytest.raises(WarehouseError, match=r"no schema of the search path exists"):
        migrate(engine)


@contextmanager
def as_nobody() -> Iterator[None]:
    """root may write every file."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_sqlite_file_that_may_only_be_read_says_so() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "warehouse.db"
        engine = database.connect(sa.URL.create("sqlite", database=str(file)))
        migrate(engine)
        file.chmod(0o444)
        Path(folder).chmod(0o555)
        with as_nobody(), pytest.raises(WarehouseError, match=r"must be a file that this user may write"):
            migrate(engine)
        Path(folder).chmod(0o755)


# Which file or server a URL names


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_spelling_of_postgresql_names_the_same_server(scheme: str) -> None:
    engine = database.connect(f"{scheme}://me@db/shop")
    assert engine.url.render_as_string() == "postgresql+psycopg://me@db/shop"


@pytest.mark.parametrize("folder", ["a b", "100%", "100%20", "谁?", "a?mode=ro", "#1", "a;b&c=d", "'\"", "~"])
def test_any_name_of_the_home_folder_names_the_file_in_it(
    folder: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = bare_home / folder
    home.mkdir()
    monkeypatch.setenv("SENTI_HOME", str(home))
    upkeep.migrate()
    assert upkeep.status()["reviews"] == 0
    assert (home / "var/warehouse.db").is_file()
    assert os.listdir(bare_home) == [folder]  # noqa: PTH208


def placed(url: str, home: Path) -> str | None:
    return database.connect(url, home=home).url.database


def test_a_relative_file_is_below_home_and_nothing_else_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/li")
    assert placed(settings.Settings.model_fields["database_url"].default, tmp_path) == f"{tmp_path}/var/warehouse.db"
    assert placed("sqlite:////data/warehouse.db", tmp_path) == "/data/warehouse.db"
    assert placed("sqlite:///mine.db", tmp_path) == f"{tmp_path}/mine.db"
    assert placed("sqlite+pysqlite:///mine.db", tmp_path) == f"{tmp_path}/mine.db"
    assert placed("sqlite:///~/mine.db", tmp_path) == "/home/li/mine.db"
    assert placed("sqlite:///what%3F.db", tmp_path) == f"{tmp_path}/what?.db"
    assert placed("sqlite:///:memory:", tmp_path) == ":memory:"
    with pytest.raises(WarehouseError, match="there is no such user: write the whole path"):
        database.connect("sqlite:///~nobody_of_that_name/mine.db")
