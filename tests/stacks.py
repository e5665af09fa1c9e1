"""The stack of docker-compose.yml for tests."""

import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from local import make_secrets, processes
from local.airflow import free_port
from local.client import LocalAirflowError
from local.stack import Stack
from senti_tasks.artifacts import ArtifactStore
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import review_labels, run_shards
from tests.faults.deadlines import wait_until
from tests.situations import PHRASES, add_model, add_reviews, count, promote

EXAMPLE = Path(__file__).parents[1] / ".env.example"


def new_variables() -> dict[str, str]:
    """What is set in a new .env."""
    content, _ = make_secrets.fill(EXAMPLE.read_text("utf-8"), "")
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", content, re.MULTILINE))


def odd_variables(draw: random.Random) -> dict[str, str]:
    """The same with secrets that begin and end with every kind of character that is allowed."""
    edges = "-_aZ09"
    return {
        name: secret if name == "AIRFLOW_FERNET_KEY" else f"{draw.choice(edges)}{secret[1:-1]}{draw.choice(edges)}"
        for name, secret in new_variables().items()
    }


class Shop:
    """A stack with a model in service, and reviews that nobody has labelled."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.engine = database.connect(self._address("init"))
        """As the owner, who may do everything."""

    def _address(self, service: str) -> str:
        return (self.stack.folder / "secrets" / service / "warehouse-url").read_text("utf-8")

    def put_into_service(self, model: Path, version: str = "2026-11-02-tiny") -> None:
        home = self.stack.folder / "senti"
        artifact, checksum = ArtifactStore(str(home / "artifacts"), home / "work").put(model, "models", version)
        with database.writing(self.engine) as connection:
            add_model(connection, version, artifact=artifact, checksum=checksum)
            promote(connection, version)

    def add(self, first: int, number: int) -> None:
        """Adds reviews with these keys, all different."""
        texts = {key: f"{PHRASES[key % 12]}{PHRASES[key % 11]}第{key}条" * 2 for key in range(first, first + number)}
        with database.writing(self.engine) as connection:
            add_reviews(connection, texts, now=datetime.now(UTC) - timedelta(minutes=1))

    def labelled(self) -> int:
        return count(self.engine, review_labels)

    def staged(self) -> int:
        with database.reading(self.engine) as connection:
            done = sa.select(sa.func.count()).select_from(run_shards).where(run_shards.c.accepted_attempt.is_not(None))
            return connection.scalar(done) or 0


def sleep_until(condition: Callable[[], object], seconds: float) -> float:
    """Waits until ``condition()`` holds; how long that took, in seconds."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "nothing happened"
        time.sleep(0.2)
    return time.monotonic() - begun


@contextmanager
def opened_stack(
    alert_url: str = "", settings: Mapping[str, str] | None = None, workers: Mapping[str, str] | None = None
) -> Iterator[Shop]:
    """The whole stack in a folder of its own: not below ``tmp_path``, which pytest closes to the user of PostgreSQL."""
    _redis()
    folder = Path(tempfile.mkdtemp(prefix="senti-stack-"))
    variables = {**odd_variables(random.Random(str(folder))), "SENTI_ALERT_URL": alert_url}  # noqa: S311
    try:
        with Stack(folder, variables, settings=settings, workers=workers) as stack:
            shop = Shop(stack)
            yield shop
            shop.engine.dispose()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def redis_server(folder: Path, conf: Path | None = None) -> Iterator[str]:
    """A Redis on loopback; its address without a password."""
    port = free_port()
    command = [
        str(_redis() / "redis-server"),
        *([str(conf)] if conf else []),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port) as client:
                wait_until(lambda: answers(client))
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def _redis() -> Path:
    """The folder of Redis. Skips the test where there is none."""
    try:
        return processes.redis_programs()
    except LocalAirflowError as error:
        pytest.skip(str(error))


def answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.AuthenticationError:
        return True
    except redis.exceptions.ConnectionError:
        return False
