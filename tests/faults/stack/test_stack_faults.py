"""The fault table: each service of docker-compose.yml is killed, starved or cut off while the pipeline works.

With ``SENTI_FAULTS=1`` (``make faults``), some 40 minutes. For each fault: how soon the work went on, and that the end
is that of an undisturbed run. ``--log-cli-level=INFO`` shows the times.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from senti_tasks.scoring import loading
from senti_tasks.warehouse import database, schema
from tests import inbox
from tests.inbox import Inbox
from tests.situations import build_model
from tests.stacks import Shop, opened_stack, sleep_until

pytestmark = pytest.mark.skipif(not os.environ.get("SENTI_FAULTS"), reason="SENTI_FAULTS=1 (make faults): 40 minutes")
log = logging.getLogger(__name__)

WORKERS = {"worker-default": "default", "worker-one": "gpu", "worker-two": "gpu"}
TRAINING = {"base_model": "scratch:tiny", "config": {"epochs": 3}, "gate": {"margin": 0.99}}
PATIENCE_S = 600


@pytest.fixture(scope="module")
def alerts() -> Iterator[Inbox]:
    with inbox.opened() as opened:
        yield opened


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("model"), layers=4, hidden=256)


@pytest.fixture(scope="module")
def shop(alerts: Inbox, model: Path) -> Iterator[Shop]:
    settings = {"SCORING_SLOTS": "2", "OMP_NUM_THREADS": "1", "SENTI_NO_TRAINING": ""}
    with opened_stack(alerts.url, settings, WORKERS) as opened:
        opened.put_into_service(model)
        yield opened


@pytest.fixture
def reviews() -> int:
    """How many reviews a night has."""
    return 6_000


@pytest.fixture
def night(shop: Shop, model: Path, reviews: int, alerts: Inbox) -> Iterator[Callable[[], str]]:
    """Adds reviews and starts the night's run, which then is under way. At the end, every review has the label that an
    undisturbed run gives it, and once."""
    first, told = shop.labelled(), len(alerts.received)

    def begin() -> str:
        shop.add(first, reviews)
        run = shop.stack.trigger("score_reviews", timeout=120)
        before = shop.staged()
        sleep_until(lambda: shop.staged() > before, 180)
        return run

    yield begin
    log.info("people were told: %s", ", ".join(alerts.titles[told:]) or "nothing")
    with database.reading(shop.engine) as connection:
        texts, labels = schema.reviews, schema.review_labels
        found = connection.execute(
            sa.select(texts.c.review_text, labels.c.label, labels.c.score)
            .join(labels, labels.c.review_id == texts.c.review_id)
            .where(texts.c.review_id >= first)
        ).all()
        states = set(connection.execute(sa.select(schema.scoring_runs.c.state)).scalars())
    assert len(found) == reviews
    assert states == {"published"}
    expected = loading.load(model, device="cpu").predict([row.review_text for row in found])
    assert [row.label for row in found] == expected.labels.tolist()
    assert np.allclose([row.score for row in found], expected.scores, atol=1e-5)


def ended(shop: Shop, run: str, fault: str, begun: float) -> None:
    """Waits until all is labelled, and until the DAG run ends well."""
    with database.reading(shop.engine) as connection:
        planned = connection.scalar(sa.select(sa.func.count()).select_from(schema.reviews)) or 0
    labelled = sleep_until(lambda: shop.labelled() == planned, PATIENCE_S)
    after = time.monotonic() - begun
    assert shop.stack.wait("score_reviews", run, timeout=PATIENCE_S) == "success", shop.stack.failure(
        "score_reviews", run
    )
    log.info(
        "%s: labelled %.0f s after the fault (waited %.0f s); run over after %.0f s",
        fault,
        after,
        labelled,
        time.monotonic() - begun,
    )


@pytest.mark.parametrize("reviews", [20_000])
def test_two_workers_are_busy_until_the_end(shop: Shop, night: Callable[[], str]) -> None:
    run = night()
    begun = time.monotonic()
    ended(shop, run, "no fault", begun)
    for worker in (0, 1):
        log.info("worker %d: %s", worker, shop.stack.result("score_reviews", run, "complete_series", worker))


@pytest.mark.parametrize("reviews", [20_000])
def test_one_of_two_workers_is_killed_in_the_middle_of_a_large_night(shop: Shop, night: Callable[[], str]) -> None:
    done = shop.staged()
    run = night()
    sleep_until(lambda: shop.staged() >= done + 5, 180)
    begun = time.monotonic()
    shop.stack.kill("worker-two")
    ended(shop, run, "kill -9 of one of two workers, in the middle of 20,000 reviews", begun)


def test_a_worker_is_killed_in_scoring(shop: Shop, night: Callable[[], str]) -> None:
    run, begun = night(), time.monotonic()
    shop.stack.kill("worker-two")
    ended(shop, run, "kill -9 of a worker in scoring", begun)


@pytest.mark.parametrize("service", ["scheduler", "dag-processor", "triggerer", "redis", "postgres", "api-server"])
def test_a_service_is_killed_in_scoring(service: str, shop: Shop, night: Callable[[], str]) -> None:
    run, begun = night(), time.monotonic()
    shop.stack.kill(service)
    sleep_until(shop.stack.container(service).is_running, 30)
    shop.stack.until_healthy(service, "api-server", timeout=180)
    ended(shop, run, f"kill -9 of {service}", begun)


def test_the_api_server_is_away_for_90_seconds(shop: Shop, night: Callable[[], str]) -> None:
    run, begun = night(), time.monotonic()
    shop.stack.rest("api-server")
    time.sleep(90)  # the fault itself
    shop.stack.resume("api-server")
    shop.stack.until_healthy("api-server", timeout=180)
    ended(shop, run, "API server away for 90 s", begun)
    tries = {
        task.try_number for task in shop.stack.task_states("score_reviews", run) if task.task_id == "complete_series"
    }
    log.info("tries of the tasks that scored: %s", tries)


def test_redis_refuses_writes_for_a_minute(shop: Shop, night: Callable[[], str]) -> None:
    run, begun = night(), time.monotonic()
    redis = shop.stack.container("redis")
    command = 'REDISCLI_AUTH="$(cat {})" redis-cli -p {} config set min-replicas-to-write {}'
    place = shop.stack.folder / "secrets" / "redis" / "redis-password", shop.stack.place.ports["redis"]
    assert "OK" in redis.run("sh", "-c", command.format(*place, 1)).stdout
    time.sleep(60)  # the fault itself
    assert "OK" in redis.run("sh", "-c", command.format(*place, 0)).stdout
    ended(shop, run, "Redis refuses writes for 60 s", begun)


@pytest.mark.parametrize("reviews", [500])
@pytest.mark.parametrize(
    ("service", "alert"),
    {
        "scheduler": "Airflow unhealthy",
        "dag-processor": "Airflow unhealthy",
        "triggerer": "Airflow unhealthy",
        "api-server": "Airflow unhealthy",
        "redis": "broker unreachable",
        "postgres": "warehouse unreachable",
    }.items(),
)
def test_a_service_stays_away_and_people_are_told(
    service: str, alert: str, shop: Shop, alerts: Inbox, night: Callable[[], str]
) -> None:
    before, begun = len(alerts.received), time.monotonic()
    shop.stack.rest(service)
    told = sleep_until(lambda: alert in alerts.titles[before:], 600)
    log.info("%s stays away: told after %.0f s: %s", service, told, alerts.received[-1]["message"].splitlines()[0])
    shop.stack.resume(service)
    shop.stack.until_healthy(service, "api-server", timeout=180)
    ended(shop, night(), f"{service} away until people were told", begun)


def test_a_queue_has_no_worker_and_people_are_told(shop: Shop, alerts: Inbox, night: Callable[[], str]) -> None:
    for worker in ("worker-one", "worker-two"):
        shop.stack.rest(worker)
    begun = time.monotonic()
    told = sleep_until(lambda: "queue without worker" in alerts.titles, 420)
    log.info("queue without a worker: told after %.0f s", told)
    for worker in ("worker-one", "worker-two"):
        shop.stack.resume(worker)
    ended(shop, night(), "queue without a worker", begun)


def test_a_training_is_under_way_and_the_night_begins_within_a_minute(shop: Shop, night: Callable[[], str]) -> None:
    stack = shop.stack
    long = {**TRAINING, "config": {"epochs": 30}}
    training = stack.trigger("retrain_sentiment", long)
    stack.running("retrain_sentiment", training, "train", timeout=300)
    begun = time.monotonic()
    run = night()
    log.info("beside a training, the first shard of the night was scored after %.0f s", time.monotonic() - begun)
    assert time.monotonic() - begun < timedelta(minutes=1).total_seconds()
    ended(shop, run, "a training under way", begun)
    assert stack.wait("retrain_sentiment", training, timeout=2 * PATIENCE_S) in ("success", "failed")


def test_init_runs_again_keeps_the_pools_and_takes_a_changed_password(shop: Shop) -> None:
    stack = shop.stack
    done = stack.container("api-server").run("airflow", "pools", "set", "training", "3", "by a person")
    assert done.returncode == 0, done.stderr
    (stack.folder / "secrets" / "init" / "admin-password").write_text("-another--one-", "utf-8")
    init = stack.container("init")
    init.start()
    assert init.wait() == 0, init.end_of_log()
    answer = httpx.post(f"{stack.url}/auth/token", json={"username": "admin", "password": "-another--one-"})
    assert answer.status_code == httpx.codes.CREATED
    pools = httpx.get(
        f"{stack.url}/api/v2/pools", headers={"Authorization": f"Bearer {answer.json()['access_token']}"}
    ).json()["pools"]
    assert {pool["name"]: pool["slots"] for pool in pools if pool["name"] != "default_pool"} == {
        "scoring": 2,
        "training": 3,
    }
