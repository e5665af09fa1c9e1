"""The page with every state of a warehouse: missing, empty, in the middle of a run, out of reach."""

import gc
import socket
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.jobs import page, reports
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import models, scoring_runs
from tests.page.api_server import Server
from tests.page.conftest import fill
from tests.situations import (
    PHRASES,
    add_model,
    add_reviews,
    on_postgresql,
    on_sqlite,
    open_planned_run,
    promote,
)

ATTACK = "<script>alert(1)</script>"


def text(server: Server, path: str = "", status: int = 200) -> str:
    answer = server.browser("viewer").get(f"/sentiment/{path}")
    assert answer.status_code == status, answer.text
    return answer.text


def test_before_the_migration_it_says_what_to_type(server: Server, empty_url: str) -> None:
    server.use(empty_url)
    assert "Type `senti migrate`" in text(server)


def test_without_a_warehouse_it_says_what_to_type(server: Server, tmp_path: Path) -> None:
    server.use(f"sqlite:///{tmp_path / 'none.db'}")
    assert "Type `senti migrate`" in text(server)


def test_an_empty_warehouse_has_a_page(server: Server, warehouse_url: str) -> None:
    server.use(warehouse_url)
    shown = text(server)
    assert "There are no reviews yet" in shown
    assert "No run yet" in shown


def test_reviews_without_a_model_wait_for_a_person(server: Server, warehouse_url: str, engine: Engine) -> None:
    server.use(warehouse_url)
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(PHRASES)))
    shown = text(server)
    assert "No model is in service" in shown
    assert f"<dt>pending</dt><dd>{len(PHRASES)}</dd>" in shown


def test_a_run_under_way_is_shown_with_its_shards(server: Server, warehouse_url: str, engine: Engine) -> None:
    server.use(warehouse_url)
    with database.writing(engine) as connection:
        add_model(connection, "m1")
        promote(connection, "m1")
        add_reviews(connection, dict(enumerate(PHRASES)))
        open_planned_run(connection, "score_reviews/manual__2026-11-04")
    shown = text(server)
    assert "under way (0 of 1 shards)" in shown
    assert 'href="/dags/score_reviews/runs/manual__2026-11-04"' in shown
    assert "This run is not finished" in text(server, "reports/run/1")


def test_the_runs_of_a_series_are_one_line(server: Server, shop: Engine) -> None:
    with database.writing(shop) as connection:
        (run,) = connection.execute(sa.select(scoring_runs).where(scoring_runs.c.run_id == 1)).mappings().all()
        for number in range(3, 40):
            other = {"run_id": number, "idempotency_key": f"rescore_reviews/r#{number}", "series": "rescore_reviews/r"}
            connection.execute(sa.insert(scoring_runs).values({**run, **other, "publish_seq": number}))
    shown = text(server)
    assert "(37 ranges)" in shown
    assert 'href="/dags/rescore_reviews/runs/r"' in shown


def test_the_page_shows_what_waits_and_the_history_without_markup_of_names(server: Server, shop: Engine) -> None:
    with database.writing(shop) as connection:
        connection.execute(sa.update(models).where(models.c.version == "m3").values(base_model=ATTACK))
        connection.execute(sa.update(scoring_runs).where(scoring_runs.c.run_id == 2).values(held_because=ATTACK))
    shown = text(server)
    assert ATTACK not in shown
    assert "The audit found: &lt;script&gt;" in shown
    for words in ("Run 2 is held", "passed", "refused", "One thing waits for a person", "<svg", "演示"):
        assert words in shown, words
    assert ATTACK not in text(server, f"?done=publish&subject={ATTACK}")


@on_sqlite
def test_the_reports_are_those_of_the_command(
    server: Server, shop: Engine, warehouse_url: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", warehouse_url)
    back = '<p class="way"><a href="/sentiment/">← Sentiment</a></p>\n'
    for path, report in (("model/m1", reports.model_report("m1")), ("run/1", reports.run_report(1))):
        written = Path(report["report"]).read_text("utf-8").splitlines()
        shown = text(server, f"reports/{path}").replace(back, "").splitlines()
        assert [line for line in shown if "Written" not in line and line] == [
            line for line in written if "Written" not in line and line
        ]


def test_a_warehouse_that_refuses_connections_is_an_answer_at_once(server: Server, nothing_listens: str) -> None:
    server.use(nothing_listens)
    begun = time.monotonic()
    shown = text(server, status=503)
    assert "cannot reach the warehouse" in shown.lower()
    assert "geheim" not in shown
    assert time.monotonic() - begun < 5


def test_a_warehouse_that_never_answers_holds_up_neither_the_page_nor_airflow(server: Server) -> None:
    """Connections are accepted, and nothing is ever sent, as by a server that hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as mute:
        server.use(f"postgresql+psycopg://senti:geheim@127.0.0.1:{mute.getsockname()[1]}/senti")
        begun = time.monotonic()
        assert "The warehouse does not answer" in text(server, status=503)
        assert time.monotonic() - begun < 10
        begun = time.monotonic()
        assert server.browser("viewer").get("/api/v2/dags").status_code == 200
        assert time.monotonic() - begun < 3


@on_sqlite
def test_fifty_pages_leave_nothing_behind(
    bare_home: Path, warehouse_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", warehouse_url)
    fill(engine)
    shown, before = page.show((), "", "/sentiment"), _objects()
    for _ in range(50):
        assert len(page.show((), "", "/sentiment")) == len(shown)
    assert _objects() - before < 1_000


def _objects() -> int:
    gc.collect()
    return len(gc.get_objects())


@on_postgresql
def test_a_lock_that_somebody_holds_is_an_answer_within_seconds(server: Server, shop: Engine) -> None:
    with database.writing(shop) as connection:
        connection.exec_driver_sql("UPDATE publication_lock SET publish_seq = publish_seq")
        answer = server.browser("admin").post("/sentiment/decide/publish/2", data={"reason": "大促销"})
    assert answer.status_code == 503
    assert "held a lock" in answer.text
