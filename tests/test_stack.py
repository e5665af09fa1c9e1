"""The whole of docker-compose.yml as it runs on one machine: two workers share a night, and one of them dies."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import inbox
from tests.inbox import Inbox
from tests.situations import build_model
from tests.stacks import Shop, opened_stack, sleep_until

REVIEWS = 4_000
WORKERS = {"worker-default": "default", "worker-one": "gpu", "worker-two": "gpu"}


@pytest.fixture(scope="module")
def alerts() -> Iterator[Inbox]:
    with inbox.opened() as opened:
        yield opened


@pytest.fixture(scope="module")
def shop(alerts: Inbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    # two slots, so that the two workers score at the same time
    with opened_stack(alerts.url, {"SCORING_SLOTS": "2", "OMP_NUM_THREADS": "1"}, WORKERS) as opened:
        opened.put_into_service(build_model(tmp_path_factory.mktemp("model"), layers=4, hidden=256))
        opened.add(0, REVIEWS)
        yield opened


def test_the_shards_of_a_worker_that_is_killed_are_scored_by_the_other_worker(shop: Shop) -> None:
    shop.stack.trigger("score_reviews", timeout=300)
    sleep_until(lambda: shop.staged() >= 1, 300)
    shop.stack.rest("worker-two")
    sleep_until(lambda: shop.labelled() == REVIEWS, 300)
    shop.stack.resume("worker-two")


def test_a_task_that_fails_for_good_is_told_with_a_link(shop: Shop, alerts: Inbox) -> None:
    run = shop.stack.trigger("pretrain_encoder", {"base_model": "pretrained:unheard-of"}, timeout=120)
    assert shop.stack.wait("pretrain_encoder", run, timeout=300) == "failed"
    sleep_until(lambda: alerts.titles, 120)
    assert alerts.titles == ["task failed"]
    message = alerts.received[0]["message"]
    assert "RegistryError" in message
    assert "/dags/pretrain_encoder/runs/" in message


def test_ctrl_c_leaves_no_process(shop: Shop) -> None:
    """The fixture stops the stack; here only a container."""
    container = shop.stack.container("triggerer")
    assert container.processes()
    shop.stack.rest("triggerer")
    assert container.processes() == []
    shop.stack.resume("triggerer")


def test_the_health_checks_are_cheap(shop: Shop, tmp_path: Path) -> None:
    """CPU seconds of one check each."""
    for name, container in shop.stack.containers.items():
        check = container.service.health_check
        if not check or name == "worker-two":
            continue
        times = tmp_path / name
        command = ["bash", "-c", f"TIMEFORMAT='%U %S'; {{ time \"$@\" >/dev/null 2>&1; }} 2> {times}", "check"]
        subprocess.run(
            [*command, *(container.translated(part) for part in check)], env=container.environment, check=True
        )
        assert sum(map(float, times.read_text().split())) < 1.5, name
