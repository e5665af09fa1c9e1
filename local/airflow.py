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
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import psutil

from local import configuration
from senti_tasks.errors import SentiError

COMPONENTS = Path(__file__).with_name("components.py")
MARK = "SENTI_LOCAL_AIRFLOW"
"""Environment variable that every process started from here inherits; its value is the home folder."""
FINAL = frozenset({"success", "failed"})
T = TypeVar("T")


class LocalAirflowError(SentiError):
    """The embedded Airflow did not start, died, or did not do in time what was asked of it."""


@dataclass(frozen=True)
class TaskState:
    task_id: str
    map_index: int
    """-1 for a task that is not mapped."""
    state: str | None
    """None before the scheduler has looked at it."""
    try_number: int
    pid: int | None
    """Of the process that runs the task's own code, while the state is running."""

    @property
    def name(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


class LocalAirflow:
    """
    A running Airflow between ``__enter__`` and ``__exit__``.

    ``environment`` is added to what the components and tasks inherit; ``AIRFLOW__…`` names in it win over the
    settings made here, those of the calling process are dropped. ``home`` may be used again: runs, secrets and the
    password are kept. Two at once on one home are refused; what a killed predecessor left running is ended first.
    """

    user = "admin"

    def __init__(
        self, home: Path, dags: Path, environment: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        self.home = home.resolve()
        self.logs = self.home / "logs"
        self._log = self.logs / "components.log"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.password = ""
        self._dags = dags.resolve()
        self._environment = dict(environment or {})
        self._launcher: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)  # never through a proxy
        self._started = datetime.max.replace(tzinfo=UTC)
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

    def trigger(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None, timeout: float = 60
    ) -> str:
        """Starts a run of the DAG, unpausing it once it has been parsed, and gives its run id."""
        self.unpause(dag_id, timeout)
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        return str(self._call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def wait(
        self, dag_id: str, run_id: str, timeout: float, on_state: Callable[[TaskState], None] | None = None
    ) -> str:
        """The run's final state, ``success`` or ``failed``. ``on_state`` hears of each change of each task's state."""
        seen: dict[str, tuple[str | None, int]] = {}

        def finished() -> str | None:
            state = str(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])
            for task in self.task_states(dag_id, run_id) if on_state else []:
                if seen.get(task.name) != (task.state, task.try_number) and task.state is not None and on_state:
                    seen[task.name] = (task.state, task.try_number)
                    on_state(task)
            return state if state in FINAL else None

        return self._until(finished, timeout, f"the run {run_id!r} of {dag_id!r} is not over", every=0.2)

    def unpause(self, dag_id: str, timeout: float = 60) -> None:
        """Lets the DAG's own schedule start its runs, once it has been parsed."""
        self._until(lambda: self._parsed(dag_id), timeout, f"the DAG {dag_id!r} does not appear in {self._dags}")
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Keeps the DAG's schedule from starting runs."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": True})

    def runs(self, dag_id: str) -> list[str]:
        """The run ids of the DAG, oldest first."""
        answer = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "id", "limit": 1000})
        return [str(run["dag_run_id"]) for run in answer["dag_runs"]]

    def until_new_run(self, dag_id: str, known: Collection[str], timeout: float = 60) -> str:
        """The first run that is not among ``known``: one that a schedule or an asset has started."""
        say = f"nothing starts a run of {dag_id!r}"
        return self._until(lambda: next(iter(set(self.runs(dag_id)) - set(known)), None), timeout, say)

    def task_states(self, dag_id: str, run_id: str) -> list[TaskState]:
        """Every task of the run, in the order of their ids and map indices, as of now."""
        path, tasks = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", list[TaskState]()
        while True:
            page = self._call("GET", path, params={"limit": 100, "offset": len(tasks)})
            tasks += [
                TaskState(row["task_id"], row["map_index"], row["state"], row["try_number"], row["pid"])
                for row in page["task_instances"]
            ]
            if not page["task_instances"] or len(tasks) >= page["total_entries"]:
                return sorted(tasks, key=lambda task: (task.task_id, task.map_index))

    def task_log(self, dag_id: str, run_id: str, task: TaskState, lines: int = 40) -> str:
        """The last ``lines`` of the log of the task's newest attempt; empty when it has none yet."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/logs/{task.try_number}"
        events = self._call("GET", path, params={"map_index": task.map_index})["content"]
        return "\n".join([text for event in events for text in _readable(event)][-lines:])

    def failure(self, dag_id: str, run_id: str) -> str:
        """What to show of a run that failed: the tail of the log of each task that failed itself."""
        failed = [task for task in self.task_states(dag_id, run_id) if task.state == "failed"]
        return "\n\n".join(f"--- {task.name} ---\n{self.task_log(dag_id, run_id, task)}" for task in failed)

    def running(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, timeout: float = 30) -> TaskState:
        """The task once it runs, with the pid of its process (for tests that kill it)."""

        def started() -> TaskState | None:
            for task in self.task_states(dag_id, run_id):
                if (task.task_id, task.map_index, task.state) == (task_id, map_index, "running") and task.pid:
                    return task
            return None

        return self._until(started, timeout, f"the task {task_id!r} of {run_id!r} does not run", every=0.05)

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Has the task, and what comes after it, run again."""
        which = {"dag_run_id": run_id, "task_ids": [task_id], "include_downstream": True, "only_failed": False}
        self._call("POST", f"/dags/{dag_id}/clearTaskInstances", json={**which, "dry_run": False})

    def question(self, dag_id: str, run_id: str, task_id: str, timeout: float = 120) -> dict[str, Any]:
        """What the task asks a person, once it does: subject, body (Markdown), options and more."""

        def asked() -> dict[str, Any] | None:
            states = {task.task_id: task.state for task in self.task_states(dag_id, run_id)}
            if states.get(task_id) != "awaiting_input":
                return None
            found: dict[str, Any] = self._call("GET", self._question(dag_id, run_id, task_id))
            return found

        return self._until(asked, timeout, f"the task {task_id!r} of {run_id!r} asks nobody")

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Answers for the person that the task asks."""
        self._call("PATCH", self._question(dag_id, run_id, task_id), json={"chosen_options": [option]})

    @staticmethod
    def _question(dag_id: str, run_id: str, task_id: str) -> str:
        return f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"

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
            MARK: str(self.home),
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
        executor workers and the triggerer's child are not told to end: they end with their parents, or are killed.
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
            return alive and bool(process.environ().get(MARK) == str(self.home))
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

    def _log_in(self) -> None:
        answer = self._client.post("/auth/token", json={"username": self.user, "password": self.password})
        if answer.status_code != httpx.codes.CREATED:
            raise LocalAirflowError(f"{self.url} refuses the password kept in {self.home}: {answer.text}")
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _parsed(self, dag_id: str) -> bool:
        """Whether the DAG was parsed since the start: its row may be one that an earlier start on this home left."""
        for dag in self._call("GET", "/dags", params={"dag_id_pattern": dag_id, "limit": 1000})["dags"]:
            if dag["dag_id"] == dag_id and self._since_start(dag["last_parsed_time"]):
                return True
        for error in self._call("GET", "/importErrors")["import_errors"]:
            if self._since_start(error["timestamp"]):
                raise LocalAirflowError(f"{error['filename']} cannot be imported:\n{error['stack_trace']}")
        return False

    def _since_start(self, moment: str | None) -> bool:
        return moment is not None and datetime.fromisoformat(moment) > self._started

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._client.request(method, f"/api/v2{path}", **arguments)
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise LocalAirflowError(f"{error}: {error.response.text}") from error
        except httpx.HTTPError as error:
            self.check()
            raise LocalAirflowError(f"Airflow does not answer on {self.url}: {error}") from error
        return answer.json()

    def _until(self, condition: Callable[[], T | None], timeout: float, else_say: str, every: float = 0.1) -> T:
        """The first true answer of ``condition``, asked until ``timeout`` seconds are over."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check()
            if answer := condition():
                return answer
            time.sleep(every)
        raise LocalAirflowError(f"{else_say} after {timeout:g} s; the logs are in {self.logs}")


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


def _readable(event: Mapping[str, Any] | str) -> list[str]:
    """A line of a task's log as Airflow keeps it, with the traceback when it carries one."""
    if isinstance(event, str):
        return [event]
    lines = [str(event.get("event", ""))]
    for error in event.get("error_detail") or []:
        frames = [f"  {frame['filename']}:{frame['lineno']} in {frame['name']}" for frame in error.get("frames", [])]
        lines += [*frames, f"{error.get('exc_type')}: {error.get('exc_value')}"]
    return lines
