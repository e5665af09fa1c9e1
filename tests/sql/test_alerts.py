"""People are told of each event once, of every kind, and without the text of a review."""

import json
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from sqlalchemy import Engine

from senti_tasks import alerts as delivery
from senti_tasks.alerts import Kind
from senti_tasks.errors import AuditError, ChampionAlarmError, HeldRunError, RunStateError
from senti_tasks.jobs import judging, models, scoring
from senti_tasks.jobs.operations import alerts, watching
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import told_events
from tests import inbox
from tests.inbox import Inbox
from tests.situations import PHRASES, add_reviews, count, deploy, on_sqlite
from tests.stacks import redis_server

MORNING = datetime(2026, 11, 5, 6, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
NIGHT = MORNING.replace(hour=2, minute=0)
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


@pytest.fixture
def received(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    with inbox.opened() as opened:
        monkeypatch.setenv("SENTI_ALERT_URL", opened.url)
        yield opened


def test_a_task_that_failed_for_good_is_told_once_with_what_to_do(engine: Engine, received: Inbox) -> None:
    error = RunStateError("run 3 was abandoned: open another one")
    for _ in range(2):  # two mapped tasks of one run
        alerts.tell_failure("score_reviews", "complete_series", "scheduled__2026-11-05T02:00:00+08:00", error)
    (alert,) = received.received
    assert alert["title"] == "Sentiment: task failed"
    for part in (
        "complete_series of score_reviews failed for good (scheduled__2026-11-05",
        "RunStateError: run 3 was abandoned: open another one",
        "What it means: reviews of this night have no label yet.",
        "clear the task in Airflow",
        "http://localhost:8080/dags/score_reviews/runs/scheduled__2026-11-05T02%3A00%3A00%2B08%3A00/tasks/complete_series",
        "docs/runbook.md#task-failed",
    ):
        assert part in alert["message"]
    assert count(engine, told_events) == 1
    alerts.tell_failure("score_reviews", "complete_series", "scheduled__2026-11-06T02:00:00+08:00", error)
    assert len(received.received) == 2, "another night is another event"


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (HeldRunError("run 7 is held: senti score --run 7 --publish-anyway REASON"), "held run"),
        (ChampionAlarmError("62.9 % of 70 labels right"), "champion alarm"),
        (AuditError("two labels for one review"), "task failed"),
        (None, "task failed"),  # the process was killed
    ],
)
def test_an_alert_is_named_after_what_happened(error: Exception | None, title: str, received: Inbox) -> None:
    alerts.tell_failure("score_reviews", "publish_series", "manual__1", error)
    assert received.titles == [title]
    assert str(error or "no error of its own") in received.received[0]["message"]


def test_an_error_of_another_library_is_named_and_not_quoted(received: Inbox) -> None:
    """It may hold a review."""
    alerts.tell_failure("score_reviews", "publish_series", "manual__1", ValueError("bad row: 房间很干净，服务也好"))
    (alert,) = received.received
    assert "ValueError" in alert["message"]
    assert not re.search("房间", json.dumps(alert, ensure_ascii=False))


def test_models_that_are_refused_promoted_approved_and_rolled_back(
    engine: Engine, champion: str, model_folder: Path, home: Path, received: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgement = {"model": "2026-11-08-abc", "champion": champion, "promote": False, "reasons": ["accuracy 0.71 < 0.80"]}
    assert not judging.is_deserved(judgement)
    monkeypatch.setenv("SENTI_PROMOTION", "approval")
    assert judging.who_promotes({**judgement, "promote": True}) == "scorecard"
    version = deploy(engine, model_folder, home, "2026-11-09-next")
    models.rollback("比昨天差", "小李")
    models.promote(version, "又好了", "小李")
    assert received.titles == ["model refused", "approval wanted", "model rolled back", "model promoted"]
    assert "accuracy 0.71 < 0.80" in received.received[0]["message"]
    assert "小李: 比昨天差" in received.received[2]["message"]


@pytest.mark.parametrize("address", ["json://127.0.0.1:9/nobody", "no address", "mailto://user:geheim@127.0.0.1:9"])
def test_a_broken_address_fails_nothing_and_its_password_is_in_no_log(
    address: str, engine: Engine, received: Inbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SENTI_ALERT_URL", f"{address},{received.url}")
    assert alerts.tell_failure("score_reviews", "publish_series", "manual__1", None)
    assert received.titles == ["task failed"], "the other address got it"
    assert "address 1 of SENTI_ALERT_URL" in caplog.text
    assert "geheim" not in caplog.text


def test_what_nobody_could_be_told_is_told_at_the_next_occasion(engine: Engine, received: Inbox) -> None:
    received.status = 500
    assert not alerts.tell_failure("score_reviews", "publish_series", "manual__1", None)
    received.status = 200
    assert alerts.tell_failure("score_reviews", "publish_series", "manual__1", None)


def test_without_an_address_nothing_is_told_or_recorded(engine: Engine, home: Path) -> None:
    assert not alerts.tell_failure("score_reviews", "publish_series", "manual__1", None)
    assert count(engine, told_events) == 0


def test_a_database_that_is_away_does_not_keep_an_alert_back(received: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTI_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:9/nowhere")
    assert alerts.tell_failure("score_reviews", "publish_series", "manual__1", None)
    looking = watching.Watch()
    for _ in range(watching.OFTEN + 2):
        looking.look(MORNING)
    assert received.titles == ["task failed", "warehouse unreachable"], "once, and not for a short restart"


# The watch


def labelled(engine: Engine, due: datetime) -> None:
    (run,) = scoring.open_series(f"night {due}", due.isoformat())
    scoring.complete_series([run])
    scoring.publish_series([run])


@pytest.fixture
def shop(engine: Engine, champion: str, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Labels of the night of the 4th; since then nothing ran."""
    with database.writing(engine) as connection:
        add_reviews(connection, dict(enumerate(PHRASES)), now=NIGHT - timedelta(days=1, hours=1))
    at(monkeypatch, NIGHT - timedelta(days=1))
    labelled(engine, NIGHT - timedelta(days=1))
    return engine


def at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """The clock of the runs."""
    monkeypatch.setattr("senti_tasks.jobs.scoring.runs.now", lambda: moment)


def test_a_night_that_never_began_is_noticed_in_the_morning_and_told_once(shop: Engine, received: Inbox) -> None:
    looking = watching.Watch()
    assert [alert.kind for alert in looking.look(MORNING - timedelta(hours=1))] == []
    for minutes in range(3):
        assert [alert.kind for alert in looking.look(MORNING + timedelta(minutes=minutes))] == [Kind.LATE]
    watching.Watch().look(MORNING + timedelta(hours=1))  # it was started again
    assert received.titles == ["labels late"]
    assert "senti score" in received.received[0]["message"]


def test_a_night_that_was_published_or_held_is_not_late(shop: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, NIGHT)
    labelled(shop, NIGHT)
    assert watching.Watch().look(MORNING) == []


def test_reviews_that_the_nights_leave_out_are_counted(
    shop: Engine, received: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, NIGHT)
    labelled(shop, NIGHT)
    with database.writing(shop) as connection:
        add_reviews(connection, {100: "很好", 101: "太差"}, now=NIGHT)
    monkeypatch.setattr(watching, "WAITED", timedelta(hours=2))
    found = watching.Watch().look(MORNING)
    assert [alert.kind for alert in found] == [Kind.PENDING]
    assert "2 reviews have waited" in found[0].happened


@on_sqlite
def test_a_disk_that_is_filling_is_told_a_day(shop: Engine, received: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FREE_SHARE", 1.1)
    monkeypatch.setattr(watching, "FREE_BYTES", shutil.disk_usage("/").total * 2)
    looking = watching.Watch()
    for day in range(2):
        for _ in range(2):
            looking.look(NIGHT + timedelta(days=day))
    assert set(received.titles) == {"disk filling"}
    assert len(received.titles) in (2, 4), "a day and disk; home and work may be on two"


@on_sqlite
def test_airflow_without_a_heartbeat_and_without_an_api_server(shop: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    health: dict[str, Any] = {
        part: {"status": "healthy"} for part in ("metadatabase", "scheduler", "dag_processor", "triggerer")
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(health).encode())

        def log_message(self, *arguments: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SENTI_AIRFLOW_HEALTH_URL", f"http://127.0.0.1:{server.server_port}/")
        assert watching.Watch().look(NIGHT) == []
        health["scheduler"]["status"] = "unhealthy"
        (alert,) = watching.Watch().look(NIGHT)
        assert (alert.kind, alert.happened) == (Kind.AIRFLOW, "scheduler of Airflow: no heartbeat.")
        server.shutdown()
    (alert,) = watching.Watch().look(NIGHT)
    assert "API server of Airflow does not answer" in alert.happened


@on_sqlite
def test_a_queue_without_a_worker_and_a_broker_that_is_away(
    shop: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server(tmp_path) as url:
        monkeypatch.setenv("SENTI_BROKER_URL", url)
        found = watching.Watch().look(NIGHT)
        assert [alert.happened for alert in found] == [
            "no worker takes tasks of the queue default.",
            "no worker takes tasks of the queue gpu.",
        ]
        with monkeypatch.context() as other:
            other.setenv("SENTI_GPU_EXECUTOR", "EdgeExecutor")  # whose workers do not use the broker
            assert [alert.event.split("/")[1] for alert in watching.Watch().look(NIGHT)] == ["default"]
        app = Celery(broker=url)
        worker = app.WorkController(pool_cls="solo", queues=["gpu"], without_heartbeat=True, quiet=True)
        thread = Thread(target=worker.start, daemon=True)
        thread.start()
        while not app.control.ping(timeout=0.5):
            pass
        found = watching.Watch().look(NIGHT)
        assert [alert.event.split("/")[1] for alert in found] == ["default"]
        worker.stop()
    found = watching.Watch().look(NIGHT)
    assert [alert.kind for alert in found] == [Kind.BROKER]


def test_every_kind_has_its_part_of_the_runbook() -> None:
    headings = re.findall(r"^## (.+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    assert {kind.value for kind in Kind} <= {heading.strip() for heading in headings}


def test_addresses_are_separated_by_commas() -> None:
    assert delivery.addresses(" json://a/b , mailtos://c:d@e ,") == ["json://a/b", "mailtos://c:d@e"]
    assert delivery.addresses(None) == []
