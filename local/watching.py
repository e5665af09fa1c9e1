"""Shows a DAG run while it goes on: the state of its tasks, and how far they are, from their logs."""

import time
from collections.abc import Sequence

from local.client import AirflowClient, TaskState
from senti_tasks.cli.stages import Stage, Stages
from senti_tasks.errors import SentiError
from senti_tasks.progress import LOG_EVERY_S, Progress

POLL_S = 0.5
"""Seconds between two looks at the run: each takes the API server some time of a core, which the tasks lack."""
_LOG_POLL_S = 2.0


class RunWatch:
    """Shows one run. Of the tasks that run, the log of the one that began last is read."""

    def __init__(self, airflow: AirflowClient, dag: str, run: str, stages: Stages, stage: Stage) -> None:
        self._airflow = airflow
        self._dag = dag
        self._run = run
        self._stages = stages
        self._stage = stage
        self._begun: dict[str, float] = {}
        self._read_at = 0.0

    def on_state(self, task: TaskState) -> None:
        """Prints a line for a task that has ended, and for the first one that waits to be tried again its log."""
        now = time.monotonic()
        if task.state == "running":
            self._begun[task.name] = now
            self._show(task.name)
            return
        if task.state in ("scheduled", "queued", None):
            return
        began = self._begun.pop(task.name, None)
        took = "" if began is None or now - began < 1 else f" after {now - began:.0f} s"
        self._stages.note(f"  {task.name}: {task.state}{took}")
        self._show("waiting for the next task")
        if task.state == "up_for_retry":
            self._stages.note(self._airflow.task_log(self._dag, self._run, task, lines=5))

    def on_poll(self, tasks: Sequence[TaskState]) -> None:
        """Reads the log of the newest task that runs, now and then."""
        now = time.monotonic()
        running = [task for task in tasks if task.state == "running" and task.name in self._begun]
        if not running or now - self._read_at < _LOG_POLL_S:
            return
        self._read_at = now
        newest = max(running, key=lambda task: self._begun[task.name])
        try:
            lines = self._airflow.own_log_lines(self._dag, self._run, newest)
        except SentiError:  # its log is not there yet
            return
        self._show(newest.name)
        if lines and (progress := Progress.parse(lines[-1])) is not None:
            self._stage.watch(progress)
        elif lines:
            self._stage.detail = lines[-1]

    def _show(self, what: str) -> None:
        if self._stage.what != what:
            self._stage.what, self._stage.begun, self._stage.detail = what, time.monotonic(), ""
            self._stage.progress = None


def new_stages() -> Stages:
    """On a terminal a line that moves; elsewhere a line at least every ten seconds."""
    return Stages(every_s=LOG_EVERY_S - 1)
