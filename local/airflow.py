"""
Runs Airflow on one machine, without servers: SQLite for its metadata, LocalExecutor, all files in one folder.

    with LocalAirflow(home, dags) as airflow:
        run_id = airflow.trigger("score_reviews")
        state = airflow.wait("score_reviews", run_id, timeout=600)

`make run` triggers DAGs with it, `make up` serves the UI with it, and tests kill its tasks. This module does not import
Airflow: the four components are child processes, and all requests to them go through the REST API.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil
from filelock import FileLock, Timeout

from local import configuration, processes
from local.client import AirflowClient, LocalAirflowError

COMPONENTS = Path(__file__).with_name("components.py")
WORKER_MODULES = (
    "senti_tasks.corpus.leak_check",
    "senti_tasks.corpus.near_duplicates",
    "senti_tasks.corpus.snapshot",
    "senti_tasks.judging.baseline",
    "senti_tasks.judging.evaluation",
    "senti_tasks.judging.gate",
    "senti_tasks.judging.suspects",
    "senti_tasks.scoring.loading",
    "senti_tasks.training.fine_tuning",
    "senti_tasks.training.variants",
)
"""What the tasks of a retraining import: torch, transformers, scikit-learn and the rest of a worker."""
HOME_VARIABLE = "SENTI_LOCAL_AIRFLOW"
"""Environment variable that all processes of the embedded Airflow inherit. Its value is the home folder."""


class LocalAirflow(AirflowClient):
    """
    An Airflow that runs between ``__enter__`` and ``__exit__``.

    ``environment`` is added to the environment of the components and tasks. ``AIRFLOW__…`` variables in it override the
    settings made here; those of the calling process are dropped. Plugins are those of the folder ``plugins`` beside
    ``dags``. ``port`` defaults to a free one. ``modules`` are imported by the scheduler, whose forks are the tasks:
    with ``WORKER_MODULES`` each task of a training needs some 5 s of computing less. ``home`` can be used
    again: runs, secrets and the password are kept. ``__enter__`` kills processes that a killed predecessor has left. It
    raises ``LocalAirflowError`` if another Airflow runs in ``home``, or if this one is not healthy after 240 s.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        self.home = home.resolve()
        self.logs = self.home / "logs"
        self._log = self.logs / "components.log"
        self.port = port or free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self._dags = dags.resolve()
        self._environment = dict(environment or {})
        self._modules = modules
        self._launcher: subprocess.Popen[bytes] | None = None
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(self.home / "lock", timeout=0))
            except Timeout:
                raise LocalAirflowError(f"another Airflow already runs in {self.home}: stop it first") from None
            stack.callback(self._client.close)
            stack.callback(self._stop)
            self._stop()  # kills processes that a killed predecessor has left
            self.password = configuration.write(self.home, self._dags, self.url, self.port, self.user)
            self._started = datetime.now(UTC)
            self._launcher = self._start()
            self._until(self._healthy, 240, "not all components of Airflow are healthy")
            self._log_in()
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def processes(self) -> list[psutil.Process]:
        """Every live process of this Airflow: components, workers, supervisors, tasks and their children."""
        return processes.marked(HOME_VARIABLE, str(self.home))

    def check(self) -> None:
        """Raises ``LocalAirflowError`` with the end of the log if a component has ended."""
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
            "SPT_NOENV": "1",  # or setproctitle would overwrite the environment that ``processes`` reads
            **self._environment,
            HOME_VARIABLE: str(self.home),
        }
        with self._log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603  our own file, by this interpreter
                # -P: else local/airflow.py would shadow Airflow
                [sys.executable, "-P", str(COMPONENTS), str(self.logs), *self._modules],
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that Ctrl-C in the terminal reaches only this process
            )

    def _stop(self) -> None:
        """
        Ends all processes: SIGTERM to the components and the tasks, and after 5 s SIGKILL to the remaining processes.

        Components and tasks lead process groups. Other processes (executor workers, the triggerer's child) get no
        SIGTERM, because they end with their parents.
        """
        processes.send(psutil.Process.terminate, [one for one in self.processes() if processes.leads_group(one)])
        processes.kill_all(HOME_VARIABLE, str(self.home))
        if self._launcher:
            self._launcher.wait()
            self._launcher = None

    def _healthy(self) -> bool:
        try:
            health = self._client.get("/api/v2/monitor/health").json()
            parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
            if not all(health.get(part, {}).get("status") == "healthy" for part in parts):
                return False
            return self._client.get(
                "/execution/health"
            ).is_success  # without it, the first task would wait for this app to start
        except (httpx.HTTPError, ValueError):
            return False


def free_port(first: int = 0) -> int:
    """A port that nothing listens on: the lowest one from ``first`` upwards, or any if ``first`` is 0."""
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just closed counts as free
            try:
                probe.bind(("127.0.0.1", first))
            except OSError:
                first += 1
                continue
            return int(probe.getsockname()[1])
