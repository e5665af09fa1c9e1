"""
Starts Airflow's four components as forks of one process. That process imports Airflow once for all of them; `airflow
standalone` would import it once per component, which is most of the time that a start takes. `local/airflow.py` runs
this file as a child process, with the folder of the logs as its argument, and after it the modules that the scheduler
imports for the tasks, which are its forks.
"""

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow import settings
from airflow.__main__ import main
from airflow.cli.commands import api_server_command, dag_processor_command, scheduler_command, triggerer_command
from airflow.models.pool import Pool
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.utils.db import initdb

from senti_tasks.jobs import champion, corpora, judging, scoring, suspects, training, variants

COMMANDS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],  # the API server reads the log files itself, on the same machine
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
IMPORTED_FOR_THE_CHILDREN = (api_server_command, dag_processor_command, scheduler_command, triggerer_command)


IMPORTED_FOR_THE_TASKS = (corpora, judging, scoring, training, variants, suspects, champion, ApprovalOperator)
"""What the DAG files import. Each task is a fork of the scheduler; its own import took a core two seconds a task."""


def initialise() -> None:
    """Creates or migrates the metadata database and the pools; safe to repeat. Closes its connections for the forks."""
    initdb()
    for name, does in (("scoring", "score reviews"), ("training", "train or evaluate")):
        if Pool.get_pool(name) is None:  # a person may have changed the number of slots
            Pool.create_or_update_pool(name, slots=1, description=f"tasks that {does}", include_deferred=False)
    settings.get_engine().dispose()  # type: ignore[no-untyped-call]


def start(name: str, log: Path, modules: Sequence[str]) -> int:
    """Forks the component into a new session, with its output in the file ``log``, and returns its pid."""
    if pid := os.fork():
        return pid
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if name == "scheduler":
        for module in modules:
            importlib.import_module(module)
    sys.argv = ["airflow", *COMMANDS[name]]
    main()  # type: ignore[no-untyped-call]
    sys.exit(0)


def supervise(logs: Path, modules: Sequence[str]) -> None:
    """Runs the components until SIGTERM. If one ends before, exits with its name, exit code and the end of its log."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    names = {start(name, logs / f"{name}.log", modules): name for name in COMMANDS}
    while names:
        pid, status = os.wait()
        name = names.pop(pid, "")
        if name and not stopping:
            log = logs / f"{name}.log"
            end = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
            sys.exit(f"the {name} ended with {os.waitstatus_to_exitcode(status)}; the end of {log}:\n{end}")


if __name__ == "__main__":
    initialise()
    supervise(Path(sys.argv[1]), sys.argv[2:])
