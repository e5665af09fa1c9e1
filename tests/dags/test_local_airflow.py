"""Runs a real Airflow: scheduler, API server, DAG processor, triggerer and their task processes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from local import configuration
from local.airflow import LocalAirflow
from local.client import LocalAirflowError, TaskState

DAGS = """
from datetime import timedelta
from pathlib import Path
from time import sleep

from airflow.sdk import dag, task


@task
def numbers() -> list[int]:
    return [1, 2]


@task(pool="training")
def double(number: int) -> int:
    return 2 * number


@task
def check(doubled: list[int]) -> None:
    if sum(doubled) != 6:
        raise ValueError(f"the sum is {sum(doubled)}")


@dag(schedule=None)
def chain() -> None:
    check(double.expand(number=numbers()))


@task(retries=1, retry_delay=timedelta(seconds=1))
def wait(file: str) -> None:
    while not Path(file).exists():
        sleep(0.05)


@dag(schedule=None)
def waiting() -> None:
    wait("{{ dag_run.conf['file'] }}")


@task
def fall() -> None:
    raise ValueError("the review is not text")


@dag(schedule=None)
def failing() -> None:
    fall()


chain()
waiting()
failing()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="module")
def airflow(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    dags = tmp_path_factory.mktemp("dags")
    (dags / "toys.py").write_text(DAGS)
    with LocalAirflow(home, dags) as running:
        yield running
        left = running.processes()
    assert left, "there was something to stop"
    assert [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []


def test_a_chain_with_mapped_tasks_in_a_pool_succeeds_and_tells_of_each_task(airflow: LocalAirflow) -> None:
    seen: list[TaskState] = []
    run = airflow.trigger("chain")
    assert airflow.wait("chain", run, timeout=60, on_state=seen.append) == "success", airflow.failure("chain", run)
    succeeded = {task.name for task in seen if task.state == "success"}
    assert succeeded == {"numbers", "double[0]", "double[1]", "check"}


def test_a_killed_task_is_retried(airflow: LocalAirflow, tmp_path: Path) -> None:
    file = tmp_path / "go on"
    run = airflow.trigger("waiting", {"file": str(file)})
    task = airflow.running("waiting", run, "wait")
    assert task.pid
    os.kill(task.pid, signal.SIGKILL)
    file.touch()
    assert airflow.wait("waiting", run, timeout=60) == "success"
    assert [(task.state, task.try_number) for task in airflow.task_states("waiting", run)] == [("success", 2)]


def test_a_failed_run_shows_the_log_of_the_task_that_failed(airflow: LocalAirflow) -> None:
    run = airflow.trigger("failing")
    assert airflow.wait("failing", run, timeout=60) == "failed"
    assert "ValueError: the review is not text" in airflow.failure("failing", run)


def test_a_dag_that_is_not_there_or_a_second_airflow_on_one_home_is_refused(airflow: LocalAirflow, home: Path) -> None:
    with pytest.raises(LocalAirflowError, match="already runs"), LocalAirflow(home, home):
        pass
    with pytest.raises(LocalAirflowError, match="'nobody' does not appear"):
        airflow.trigger("nobody", timeout=3)


def test_stopping_in_the_middle_of_a_task_leaves_no_process(airflow: LocalAirflow, tmp_path: Path) -> None:
    """The fixture looks, after the last test of the module: this one leaves a task running for it."""
    run = airflow.trigger("waiting", {"file": str(tmp_path / "never")})
    assert airflow.running("waiting", run, "wait").pid in [process.pid for process in airflow.processes()]


READ_SETTINGS = """
import json
from airflow.configuration import conf
print(json.dumps([conf.get("database", "sql_alchemy_conn"), conf.get("core", "plugins_folder")]))
"""


def test_airflow_reads_the_paths_of_a_folder_with_any_name(tmp_path: Path) -> None:
    home = tmp_path / "a b 100%?#%(x)s"
    home.mkdir()
    for _ in range(2):  # a second start keeps the secrets that the first one wrote
        configuration.write(home, home / "dags", "http://127.0.0.1:1", 1, "me")
    read = [sys.executable, "-c", READ_SETTINGS]
    answer = subprocess.run(read, env={**os.environ, "AIRFLOW_HOME": str(home)}, capture_output=True, check=True)
    url, plugins = json.loads(answer.stdout.splitlines()[-1])
    assert sa.make_url(url).database == str(home / "airflow.db")
    assert plugins == str(home / "plugins")
