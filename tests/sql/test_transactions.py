"""What every transaction keeps to."""

import traceback
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from local import demo
from senti_tasks.errors import LockedError, SentiError, WarehouseError
from senti_tasks.jobs.operations import upkeep
from senti_tasks.warehouse import database, sessions
from senti_tasks.warehouse.schema import publication_lock, reviews
from tests.situations import MONDAY, on_postgresql, on_sqlite, rows

WRITERS, TIMES = 4, 25


@on_sqlite
def test_four_writers_that_read_first_all_succeed(engine: Engine) -> None:
    def count_up(_writer: int) -> None:
        own = database.connect(engine.url.render_as_string(hide_password=False))
        for _ in range(TIMES):
            with database.writing(own) as connection:
                seq = connection.execute(sa.select(publication_lock.c.publish_seq)).scalar_one()
                connection.execute(sa.update(publication_lock).values(publish_seq=seq + 1))
        own.dispose()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(count_up, range(WRITERS)))
    assert rows(engine, publication_lock)[0]["publish_seq"] == WRITERS * TIMES


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    with pytest.raises(RuntimeError), database.writing(engine) as connection:
        connection.execute(sa.update(publication_lock).values(publish_seq=7))
        raise RuntimeError
    assert rows(engine, publication_lock)[0]["publish_seq"] == 0


def test_an_analyst_who_reads_does_not_hold_up_a_writer(engine: Engine) -> None:
    with database.reading(engine) as reader:
        assert reader.scalar(sa.select(publication_lock.c.publish_seq)) == 0
        with database.writing(engine) as connection:
            connection.execute(sa.update(publication_lock).values(publish_seq=1))
    assert rows(engine, publication_lock)[0]["publish_seq"] == 1


# What goes wrong


def opened_with(engine: Engine, options: str) -> Engine:
    """Another engine of the same warehouse; ``options`` are its sessions' settings on PostgreSQL."""
    url = engine.url
    if engine.dialect.name == "postgresql":
        url = url.update_query_dict({"options": options})
    return database.connect(url.render_as_string(hide_password=False))


@on_postgresql
def test_no_statement_is_prepared_on_the_server(engine: Engine) -> None:
    """PgBouncer in transaction mode gives the next transaction another server connection, without those prepared."""
    with database.writing(engine) as connection:
        for _ in range(20):
            connection.execute(sa.select(publication_lock.c.publish_seq))
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://senti:geheim@db:port/reviews",
        "postgresql+psycopg://senti:geheim@db/reviews?port=word",
        "postgresql:senti:geheim@db/reviews",
        "senti:geheim@db/reviews",
        "oracle://senti:geheim@db/reviews",
        "postgresql+psycopg//senti:geheim@db/reviews?password=geheim",
    ],
)
def test_an_unusable_url_is_an_error_without_its_password(url: str) -> None:
    with pytest.raises(WarehouseError, match=r"expected sqlite|SQLite and PostgreSQL") as caught:
        database.connect(url)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None


@on_sqlite
def test_make_run_shows_no_password(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only its first lines, up to the import, which would need the server."""
    url = "postgresql+psycopg://senti:geheim@db.example/reviews?password=geheim&sslmode=require"
    monkeypatch.setenv("SENTI_DATABASE_URL", url)
    monkeypatch.setattr(upkeep, "migrate", lambda: {"after": "0001"})
    monkeypatch.setattr(demo, "_has_sample", lambda: True)
    with pytest.raises(SentiError, match=r"db\.example") as caught:
        demo._run_demo(Namespace(base="scratch:tiny", reviews=Path("mine.csv"), text=None, label=None), home)
    shown = capsys.readouterr().out
    assert "db.example" in shown
    assert "geheim" not in shown + str(caught.value)


@on_sqlite
def test_an_unreachable_warehouse_is_named_without_its_password(home: Path) -> None:
    engine = database.connect("postgresql+psycopg://senti:geheim@127.0.0.1:9/reviews?password=geheim")
    reached = r"cannot reach the warehouse at .*127\.0\.0\.1:9"
    with pytest.raises(WarehouseError, match=reached) as caught, database.reading(engine):
        pass
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("others", [0, 3])
def test_an_error_quotes_no_row(engine: Engine, others: int) -> None:
    """Neither its message nor its traceback: the parameters are texts of reviews, and PostgreSQL quotes the row."""
    whole = {"review_text": "别人的评论", "created_at": MONDAY, "updated_at": MONDAY}
    broken = {"review_id": 99, "review_text": "植入的句子", "created_at": MONDAY, "updated_at": None}
    with pytest.raises(sa.exc.IntegrityError, match=r"updated_at") as caught, database.writing(engine) as connection:
        connection.execute(sa.insert(reviews), [*({"review_id": key, **whole} for key in range(others)), broken])
    shown = "".join(traceback.format_exception(caught.value))
    assert "INSERT INTO reviews" in shown
    assert "植入的句子" not in shown
    assert "别人的评论" not in shown


def test_a_lock_that_is_not_let_go_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "BUSY_TIMEOUT_MS", 50)
    other = opened_with(engine, "-c lock_timeout=50")
    with database.writing(engine) as holder:
        holder.execute(sa.update(publication_lock).values(publish_seq=1))
        with (
            pytest.raises(LockedError, match=r"held a lock in the warehouse .* nothing was changed; run this again"),
            database.writing(other) as connection,
        ):
            connection.execute(sa.update(publication_lock).values(publish_seq=2))
    assert rows(engine, publication_lock)[0]["publish_seq"] == 1


@on_postgresql
def test_a_missing_grant_says_so(engine: Engine) -> None:
    with database.writing(engine) as connection:
        connection.exec_driver_sql("CREATE ROLE guest")
    with pytest.raises(WarehouseError, match=r"may not do this .*publication_lock.*: have its owner GRANT it"):
        rows(opened_with(engine, "-c role=guest"), publication_lock)
    with database.writing(engine) as connection:
        connection.exec_driver_sql("DROP ROLE guest")


def test_a_broken_rule_is_a_bug_and_stays_one(engine: Engine) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.writing(engine) as connection:
        connection.execute(sa.insert(publication_lock).values(id=1, publish_seq=1))


@on_postgresql
def test_a_rule_that_breaks_at_the_commit_is_no_lost_connection(engine: Engine) -> None:
    with pytest.raises(sa.exc.IntegrityError), database.writing(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE late (n integer UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        connection.exec_driver_sql("INSERT INTO late VALUES (1), (1)")
