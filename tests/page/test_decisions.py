"""Each button of the page, with its effect in the warehouse and the name of the user on record."""

import re

import httpx
import pytest
from sqlalchemy import Engine

from senti_tasks.jobs import models, scoring
from senti_tasks.jobs.operations import upkeep
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import decisions, promotions, review_labels, scoring_runs
from senti_tasks.warehouse.scoring import publication_lock
from tests.page.api_server import Server
from tests.situations import PHRASES, count, on_sqlite, promote, rows


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
    models.promote("m2", "更准", "小赵")
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
    assert "m2 is the champion by now" in answer.text
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
