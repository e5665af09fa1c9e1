"""Airflow's API server with the plugin, as a process of its own. Run as a program, it is that process:

    api_server.py AUTH_MANAGER PORT

With FAB, it makes the users first. The tests keep their users' passwords in ``PASSWORD``.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
MANAGERS = {
    "simple": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
    "fab": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
}
USERS = {"viewer": "viewer", "admin": "admin"}
"""Names and roles."""
PASSWORD = "a-password"  # noqa: S105  of tests
DEADLINE_S = 120


@dataclass
class Server:
    """A running API server; ``home`` is SENTI_HOME, whose ``.env`` is read with each request."""

    url: str
    home: Path
    process: "subprocess.Popen[bytes]"
    log: Path
    _tokens: dict[str, str] = field(default_factory=dict)

    def use(self, database_url: str, **settings: str) -> None:
        """Has the page read this warehouse from now on."""
        lines = {"SENTI_DATABASE_URL": database_url, **settings}
        (self.home / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in lines.items()), "utf-8")

    def browser(self, user: str | None = None) -> httpx.Client:
        """A client with the cookie of ``user``, as a browser has it after the login; without one for ``None``."""
        client = httpx.Client(base_url=self.url, timeout=60, trust_env=False, headers={"Origin": self.url})
        if user is not None:
            if user not in self._tokens:
                answer = client.post("/auth/token", json={"username": user, "password": PASSWORD})
                assert answer.status_code == 201, answer.text
                self._tokens[user] = answer.json()["access_token"]
            client.cookies.set("_token", self._tokens[user])
        return client


@contextmanager
def running(manager: str, folder: Path, port: int) -> Iterator[Server]:
    """A server with this auth manager, on an empty database of Airflow's in ``folder``."""
    from local import configuration

    home, log = folder / "senti", folder / "server.log"
    home.mkdir()
    airflow = folder / "airflow"
    airflow.mkdir()
    url = f"http://127.0.0.1:{port}"
    configuration.write(airflow, ROOT / "dags", url, port, "admin")
    passwords = dict.fromkeys(USERS, PASSWORD)
    (airflow / "passwords.json").write_text(str(passwords).replace("'", '"'), "utf-8")
    command = [sys.executable, "-P", str(Path(__file__)), manager, str(port)]
    environment = _environment(airflow, home, manager)
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(process, url, log)
        yield Server(url, home, process, log)
    finally:
        process.terminate()
        process.wait()


def _environment(airflow: Path, home: Path, manager: str) -> Mapping[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "SENTI_"))}
    users = ",".join(f"{name}:{role}" for name, role in USERS.items())
    return inherited | {
        "AIRFLOW_HOME": str(airflow),
        "AIRFLOW__CORE__AUTH_MANAGER": MANAGERS[manager],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": users,
        "SENTI_HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "NO_PROXY": "127.0.0.1",
    }


def _wait(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    for _ in range(DEADLINE_S * 10):
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/api/v2/monitor/health", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(log.read_text("utf-8", errors="replace")[-4000:])


def serve(manager: str, port: int) -> None:
    import uvicorn
    from airflow.utils.db import initdb

    initdb()
    if manager == "fab":
        _make_users()
    from airflow.api_fastapi.app import create_app

    uvicorn.run(create_app(apps="core"), host="127.0.0.1", port=port, log_level="warning")


def _make_users() -> None:
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        for name, role in USERS.items():
            found = builder.sm.find_role(role.capitalize())
            assert builder.sm.add_user(name, name, name, f"{name}@localhost", found, PASSWORD)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
