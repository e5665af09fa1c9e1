"""The page with every state of a warehouse, and each of its buttons with its effect and the name on record."""

import gc
import re
import socket
import time
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from senti_tasks.jobs import models as model_jobs
from senti_tasks.jobs import page, reports, scoring
from senti_tasks.jobs.operations import upkeep
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import decisions, models, promotions, review_labels, scoring_runs
from senti_tasks.warehouse.scoring import publication_lock
from tests.page.api_server import Server
from tests.page.conftest import fill
from tests.situations import (
    PHRASES,
    add_model,
    add_reviews,
    count,
    on_postgresql,
    on_sqlite,
    open_planned_run,
    promote,
    rows,
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
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    followed = server.browser("viewer").get("/sentiment/?done=publish&subject=7", headers=elsewhere)
    assert "Run 7 is published" not in followed.text


@on_sqlite
def test_the_reports_are_those_of_the_command(
    server: Server, shop: Engine, warehouse_url: str, bare_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", warehouse_url)
    back = '<p class="way"><a href="/sentiment/">← Sentiment</a></p>'
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
def test_many_pages_leave_nothing_behind(
    bare_home: Path, warehouse_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", warehouse_url)
    fill(engine)
    shown, before = page.show((), "", "/sentiment"), _objects()
    for _ in range(15):
        assert len(page.show((), "", "/sentiment")) == len(shown)
    assert _objects() - before < 500


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


@pytest.fixture
def admin(server: Server) -> httpx.Client:
    return server.browser("admin")


def decide(browser: httpx.Client, name: str, reason: str = "大促销") -> httpx.Response:
    """Opens the question, and sends its form."""
    question = browser.get(f"/sentiment/decide/{name}")
    assert question.status_code == 200, question.text
    action = re.search(r'action="([^"]+)"', question.text)
    seen = re.search(r'name="seen" value="([^"]*)"', question.text)
    assert action
    assert seen
    answer = browser.post(action[1], data={"reason": reason, "seen": seen[1]})
    assert answer.status_code == 303, answer.text
    return browser.get(answer.headers["location"])


def test_a_held_run_is_published_with_the_reason_and_the_name(shop: Engine, admin: httpx.Client) -> None:
    shown = decide(admin, "publish/2")
    assert "Run 2 is published." in shown.text
    assert "published the held run anyway" in shown.text
    row = rows(shop, scoring_runs)[1]
    assert (row["state"], row["overruled_by"], row["overruled_reason"]) == ("published", "admin", "大促销")
    assert count(shop, review_labels) == 2 * len(PHRASES)
    again = admin.post("/sentiment/decide/publish/2", data={"reason": "twice"})
    assert again.status_code == 409
    assert "run 2 is not held (any more), it is published" in again.text.lower()


def test_a_held_run_is_given_up_with_the_reason_and_the_name(shop: Engine, admin: httpx.Client) -> None:
    assert "Run 2 is given up" in decide(admin, "give-up/2").text
    assert rows(shop, scoring_runs)[1]["state"] == "abandoned"
    (row,) = rows(shop, decisions)
    assert (row["kind"], row["run_id"], row["actor"], row["reason"]) == ("give_up", 2, "admin", "大促销")


def test_a_model_is_promoted_and_the_page_shows_its_rescoring(shop: Engine, admin: httpx.Client) -> None:
    shown = decide(admin, "promote/m3").text
    row = rows(shop, promotions)[-1]
    assert (row["model_version"], row["kind"], row["actor"], row["reason"]) == ("m3", "overruling", "admin", "大促销")
    assert "Incoming" in shown
    assert '<progress max="100" value="0"' in shown
    assert "promoted against the gate" in shown


def test_a_rollback_serves_at_once(shop: Engine, admin: httpx.Client) -> None:
    decide(admin, "promote/m2")
    shown = decide(admin, "roll-back/m2", "标签不对").text
    row = rows(shop, promotions)[-1]
    assert (row["model_version"], row["kind"], row["actor"], row["reason"]) == ("m1", "rollback", "admin", "标签不对")
    assert "Incoming" not in shown


def test_publishing_is_frozen_and_unfrozen_on_record(shop: Engine, admin: httpx.Client) -> None:
    assert "admin froze it on" in decide(admin, "freeze", "盘点").text
    with database.reading(shop) as connection:
        frozen = publication_lock.current_freeze(connection)
    assert frozen
    assert (frozen["frozen_by"], frozen["frozen_reason"]) == ("admin", "盘点")
    waits = admin.post("/sentiment/decide/publish/2", data={"reason": "大促销"})
    assert waits.status_code == 409
    assert "publishing was frozen by admin" in waits.text
    assert "Publishing is possible again" in decide(admin, "unfreeze", "").text
    assert [(row["kind"], row["actor"], row["reason"]) for row in rows(shop, decisions)] == [
        ("freeze", "admin", "盘点"),
        ("unfreeze", "admin", None),
    ]


@on_sqlite
def test_what_was_decided_at_a_shell_is_on_the_same_record(
    shop: Engine, admin: httpx.Client, warehouse_url: str, bare_home: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", warehouse_url)
    upkeep.freeze("盘点", "小李")
    upkeep.unfreeze("小王")
    scoring.abandon(2, "小张", "senti score --restart")
    model_jobs.promote("m2", "更准", "小赵")
    shown = admin.get("/sentiment/").text
    for name, did in (
        ("小李", "froze"),
        ("小王", "ended the freeze"),
        ("小张", "gave the run up"),
        ("小赵", "promoted"),
    ):
        assert re.search(rf"<td>{name}</td><td>{did}", shown), name


@on_sqlite
def test_a_question_that_was_asked_before_another_promotion_is_refused(shop: Engine, admin: httpx.Client) -> None:
    """The user saw ``m1`` as the champion."""
    with database.writing(shop) as connection:
        promote(connection, "m2")
    answer = admin.post("/sentiment/decide/promote/m3", data={"reason": "更准", "seen": "m1"})
    assert answer.status_code == 409
    assert "m2 is the champion by now" in answer.text.lower()
    assert admin.post("/sentiment/decide/roll-back/m1", data={"reason": "更准"}).status_code == 409
    assert len(rows(shop, promotions)) == 2


@on_sqlite
@pytest.mark.parametrize("reason", ["", " \n ", "长" * 501, "a\0b"], ids=["none", "blank", "long", "NUL"])
def test_a_decision_needs_a_reason_that_can_be_recorded(shop: Engine, admin: httpx.Client, reason: str) -> None:
    assert admin.post("/sentiment/decide/freeze", data={"reason": reason}).status_code == 400
    assert count(shop, decisions) == 0


@on_sqlite
def test_what_is_not_there_cannot_be_decided(shop: Engine, admin: httpx.Client) -> None:
    for name in (
        "publish/7",
        "publish/x",
        "publish/9999999999999999999999",
        "publish/1",
        "promote/m9",
        "promote/m1",
        "roll-back/m2",
    ):
        assert admin.get(f"/sentiment/decide/{name}").status_code == 404, name
        assert admin.post(f"/sentiment/decide/{name}", data={"reason": "更准"}).status_code == 409, name
    assert admin.get("/sentiment/decide/erase").status_code == 404
    assert admin.post("/sentiment/decide/freeze", content=b"x" * 30_000).status_code == 413
    for path in ("reports/run/7", "reports/run/x", "reports/model/m9"):
        assert admin.get(f"/sentiment/{path}").status_code == 404, path


@on_sqlite
def test_a_program_may_decide_with_a_token(shop: Engine, admin: httpx.Client) -> None:
    token = admin.cookies["_token"]
    program = httpx.Client(base_url=admin.base_url, trust_env=False, headers={"Authorization": f"Bearer {token}"})
    assert program.post("/sentiment/decide/freeze", data={"reason": "盘点"}).status_code == 303
    assert rows(shop, decisions)[0]["actor"] == "admin"
