"""
Airflow on one machine, without servers: SQLite for its metadata, LocalExecutor, everything under one folder.

    with LocalAirflow(home, dags) as airflow:
        run_id = airflow.trigger("score_reviews")
        state = airflow.wait("score_reviews", run_id, timeout=600)

`make run` triggers DAGs with it, `make up` serves the UI with it, the tests kill tasks under it. It never imports
Airflow: the four components are child processes, and everything asked of them goes over the REST API.
"""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from local import configuration
from local.client import AirflowClient, LocalAirflowError

COMPONENTS = Path(__file__).with_name("components.py")
HOME_VARIABLE = "SENTI_LOCAL_AIRFLOW"
"""Environment variable that every process started from here inherits; its value is the home folder."""


class LocalAirflow(AirflowClient):
    """
    A running Airflow between ``__enter__`` and ``__exit__``.

    ``environment`` is added to what the components and tasks inherit; ``AIRFLOW__…`` names in it win over the
    settings made here, those of the calling process are dropped. ``home`` may be used again: runs, secrets and the
    password are kept. Two at once on one home are refused; what a killed predecessor left running is ended first.
    """

    def __init__(
        self, home: Path, dags: Path, environment: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        self.home = home.resolve()
        self.logs = self.home / "logs"
        self._log = self.logs / "components.log"
        self.port = port or free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self._dags = dags.resolve()
        self._environment = dict(environment or {})
        self._launcher: subprocess.Popen[bytes] | None = None
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(self._lock())
            stack.callback(self._client.close)
            stack.callback(self._stop)
            self._stop()  # what a killed predecessor left
            self.password = configuration.write(self.home, self._dags, self.url, self.port, self.user)
            self._started = datetime.now(UTC)
            self._launcher = self._start()
            self._until(self._healthy, 240, "Airflow's components do not all report healthy")
            self._log_in()
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def processes(self) -> list[psutil.Process]:
        """Every live process that came from here: components, workers, supervisors, tasks, their children."""
        return [process for process in psutil.process_iter() if self._ours(process)]

    def check(self) -> None:
        """Raises when a component has ended, with the end of what it had to say."""
        if self._launcher and self._launcher.poll() is not None:
            end = "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])
            raise LocalAirflowError(f"the Airflow in {self.home} has ended; the end of {self._log}:\n{end}")

    def _start(self) -> subprocess.Popen[bytes]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_")}
        direct = f"127.0.0.1,localhost,{os.environ.get('no_proxy', '')}"
        environment = inherited | {
            "AIRFLOW_HOME": str(self.home),
            "NO_PROXY": direct,
            "no_proxy": direct,
            "PYTHONUNBUFFERED": "1",
            "SPT_NOENV": "1",  # setproctitle would overwrite the environment that _ours reads
            **self._environment,
            HOME_VARIABLE: str(self.home),
        }
        with self._log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603  our own file, by this interpreter
                [sys.executable, "-P", str(COMPONENTS), str(self.logs)],  # -P: or local/airflow.py would shadow Airflow
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal reaches us alone
            )

    def _stop(self) -> None:
        """
        SIGTERM to the components and the tasks, and after 5 s SIGKILL to all that is left. The two lead process groups;
        executor workers and the triggerer's child get no signal: they end with their parents, or are killed.
        """
        leaders = [process for process in self.processes() if _leads_group(process)]
        _send(psutil.Process.terminate, leaders)
        while left := self.processes():
            _send(psutil.Process.kill, left)
        if self._launcher:
            self._launcher.wait()
            self._launcher = None

    def _ours(self, process: psutil.Process) -> bool:
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            return alive and bool(process.environ().get(HOME_VARIABLE) == str(self.home))
        except (psutil.Error, OSError):  # gone, or another user's
            return False

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.home / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LocalAirflowError(f"another Airflow already runs in {self.home}: stop it first") from None
            yield

    def _healthy(self) -> bool:
        try:
            health = self._client.get("/api/v2/monitor/health").json()
            parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
            if not all(health.get(part, {}).get("status") == "healthy" for part in parts):
                return False
            return self._client.get("/execution/health").is_success  # else the first task waits until this app is built
        except (httpx.HTTPError, ValueError):
            return False


def free_port(first: int = 0) -> int:
    """A port that nothing listens on: the first such one from ``first`` on, or any."""
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was closed a moment ago is free
            try:
                probe.bind(("127.0.0.1", first))
            except OSError:
                first += 1
                continue
            return int(probe.getsockname()[1])


def _send(end: Callable[[psutil.Process], None], processes: Sequence[psutil.Process]) -> None:
    """Signals the processes, never one that merely inherited a pid, and gives them 5 s to go."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            end(process)
    psutil.wait_procs(processes, timeout=5)


def _leads_group(process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == int(process.pid)
    except ProcessLookupError:
        return False
