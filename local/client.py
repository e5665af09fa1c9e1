"""A small client of Airflow's REST API, for the demo and the tests."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from senti_tasks.errors import SentiError

FINAL = frozenset({"success", "failed"})
T = TypeVar("T")


class LocalAirflowError(SentiError):
    """The embedded Airflow did not start, has ended, refused a call, or did not finish something in time."""

    retry_can_help = False


@dataclass(frozen=True)
class TaskState:
    task_id: str
    map_index: int
    """-1 for a task that is not mapped."""
    state: str | None
    """``None`` until the scheduler has scheduled the task."""
    try_number: int
    pid: int | None
    """Of the process that runs the task's code, while the state is ``running``."""

    @property
    def name(self) -> str:
        return self.task_id if self.map_index < 0 else f"{self.task_id}[{self.map_index}]"


class AirflowClient:
    """Calls of the REST API at ``url``. Raises ``LocalAirflowError`` if a call fails or a timeout (in s) is over."""

    user = "admin"

    def __init__(self, url: str) -> None:
        self.url = url
        self.password = ""
        self._client = httpx.Client(base_url=url, timeout=60, trust_env=False)  # ignores proxy settings
        self._started = datetime.max.replace(tzinfo=UTC)

    def check(self) -> None:
        """Raises if Airflow has ended; a subclass that starts Airflow overrides this."""

    def trigger(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None, timeout: float = 60
    ) -> str:
        """Waits until the DAG is parsed, unpauses it, starts a run and returns the run id."""
        self.unpause(dag_id, timeout)
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf or {})}
        return str(self._call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def wait(
        self,
        dag_id: str,
        run_id: str,
        timeout: float,
        on_state: Callable[[TaskState], None] | None = None,
        on_poll: Callable[[Sequence[TaskState]], None] | None = None,
        every: float = 0.2,
    ) -> str:
        """Waits for the run and returns its final state, ``success`` or ``failed``. It looks ``every`` so many seconds:
        ``on_state`` is called with each change of a task's state, then ``on_poll`` with all tasks."""
        seen: dict[str, tuple[str | None, int]] = {}

        def finished() -> str | None:
            state = str(self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])
            tasks = self.task_states(dag_id, run_id) if on_state or on_poll else []
            for task in tasks:
                if seen.get(task.name) != (task.state, task.try_number) and task.state is not None and on_state:
                    seen[task.name] = (task.state, task.try_number)
                    on_state(task)
            if on_poll:
                on_poll(tasks)
            return state if state in FINAL else None

        return self._until(finished, timeout, f"the run {run_id!r} of {dag_id!r} is not over", every=every)

    def unpause(self, dag_id: str, timeout: float = 60) -> None:
        """Waits until the DAG is parsed, and lets its schedule start runs."""
        self._until(lambda: self._parsed(dag_id), timeout, f"the DAG {dag_id!r} does not appear")
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Stops the DAG's schedule from starting runs."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": True})

    def runs(self, dag_id: str) -> list[str]:
        """The run ids of the DAG, oldest first."""
        answer = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "id", "limit": 1000})
        return [str(run["dag_run_id"]) for run in answer["dag_runs"]]

    def until_new_run(self, dag_id: str, known: Collection[str], timeout: float = 60) -> str:
        """Waits for a run that is not in ``known``, which a schedule or an asset starts, and returns its run id."""
        failure = f"nothing starts a run of {dag_id!r}"
        return self._until(lambda: next(iter(set(self.runs(dag_id)) - set(known)), None), timeout, failure)

    def task_states(self, dag_id: str, run_id: str) -> list[TaskState]:
        """The present states of all tasks of the run, sorted by task id and map index."""
        path, tasks = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", list[TaskState]()
        while True:
            page = self._call("GET", path, params={"limit": 100, "offset": len(tasks)})
            tasks += [
                TaskState(row["task_id"], row["map_index"], row["state"], row["try_number"], row["pid"])
                for row in page["task_instances"]
            ]
            if not page["task_instances"] or len(tasks) >= page["total_entries"]:
                return sorted(tasks, key=lambda task: (task.task_id, task.map_index))

    def result(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """What a task returned."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        return self._call("GET", path, params={"map_index": map_index, "deserialize": True})["value"]

    def task_log(self, dag_id: str, run_id: str, task: TaskState, lines: int = 40) -> str:
        """The last ``lines`` lines of the log of the task's newest attempt; empty if there is none yet."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/logs/{task.try_number}"
        events = self._call("GET", path, params={"map_index": task.map_index})["content"]
        return "\n".join([text for event in events for text in _readable(event)][-lines:])

    def own_log_lines(self, dag_id: str, run_id: str, task: TaskState) -> list[str]:
        """The log lines of senti_tasks in the newest attempt of the task, without warnings."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task_id}/logs/{task.try_number}"
        events = self._call("GET", path, params={"map_index": task.map_index})["content"]
        own = [event for event in events if isinstance(event, dict) and event.get("level") == "info"]
        return [str(one["event"]) for one in own if str(one.get("logger", "")).startswith("senti_tasks")]

    def failure(self, dag_id: str, run_id: str) -> str:
        """The end of the log of each task of the run that failed."""
        failed = [task for task in self.task_states(dag_id, run_id) if task.state == "failed"]
        return "\n\n".join(f"--- {task.name} ---\n{self.task_log(dag_id, run_id, task)}" for task in failed)

    def running(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1, timeout: float = 30) -> TaskState:
        """Waits until the task runs, and returns its state, with the pid of its process for tests that kill it."""

        def started() -> TaskState | None:
            for task in self.task_states(dag_id, run_id):
                if (task.task_id, task.map_index, task.state) == (task_id, map_index, "running") and task.pid:
                    return task
            return None

        return self._until(started, timeout, f"the task {task_id!r} of {run_id!r} does not run", every=0.05)

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clears the task and the tasks after it, so that they run again."""
        which = {"dag_run_id": run_id, "task_ids": [task_id], "include_downstream": True, "only_failed": False}
        self._call("POST", f"/dags/{dag_id}/clearTaskInstances", json={**which, "dry_run": False})

    def question(self, dag_id: str, run_id: str, task_id: str, timeout: float = 120) -> dict[str, Any]:
        """Waits until the task asks a person, and returns its question: subject, body (Markdown), options and more."""

        def asked() -> dict[str, Any] | None:
            states = {task.task_id: task.state for task in self.task_states(dag_id, run_id)}
            if states.get(task_id) != "awaiting_input":
                return None
            found: dict[str, Any] = self._call("GET", self._question(dag_id, run_id, task_id))
            return found

        return self._until(asked, timeout, f"the task {task_id!r} of {run_id!r} asks no question")

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Answers the question of the task with ``option``."""
        self._call("PATCH", self._question(dag_id, run_id, task_id), json={"chosen_options": [option]})

    @staticmethod
    def _question(dag_id: str, run_id: str, task_id: str) -> str:
        return f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"

    def _log_in(self) -> None:
        answer = self._client.post("/auth/token", json={"username": self.user, "password": self.password})
        if answer.status_code != httpx.codes.CREATED:
            raise LocalAirflowError(f"{self.url} refuses the password: {answer.text}")
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _parsed(self, dag_id: str) -> bool:
        """Whether the DAG was parsed since Airflow started. Its row may be from an earlier start in this home."""
        for dag in self._call("GET", "/dags", params={"dag_id_pattern": dag_id, "limit": 1000})["dags"]:
            if dag["dag_id"] == dag_id and self._since_start(dag["last_parsed_time"]):
                return True
        for error in self._call("GET", "/importErrors")["import_errors"]:
            if self._since_start(error["timestamp"]):
                raise LocalAirflowError(f"{error['filename']} cannot be imported:\n{error['stack_trace']}")
        return False

    def _since_start(self, timestamp: str | None) -> bool:
        return timestamp is not None and datetime.fromisoformat(timestamp) > self._started

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

    def _until(self, condition: Callable[[], T | None], timeout: float, failure: str, every: float = 0.1) -> T:
        """The first true result of ``condition``, called every ``every`` seconds for up to ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check()
            if answer := condition():
                return answer
            time.sleep(every)
        raise LocalAirflowError(f"{failure} after {timeout:g} s")


def _readable(event: Mapping[str, Any] | str) -> list[str]:
    """The lines of an event in a task's log, with its traceback, if any."""
    if isinstance(event, str):
        return [event]
    lines = [str(event.get("event", ""))]
    for error in event.get("error_detail") or []:
        frames = [f"  {frame['filename']}:{frame['lineno']} in {frame['name']}" for frame in error.get("frames", [])]
        lines += [*frames, f"{error.get('exc_type')}: {error.get('exc_value')}"]
    return lines
