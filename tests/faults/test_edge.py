"""An edge worker: a process with neither Airflow's database nor its broker, which reaches the API server over HTTP."""

import configparser
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.airflow import LocalAirflow

pytestmark = [
    pytest.mark.skipif(not os.environ.get("SENTI_FAULTS"), reason="takes a minute: set SENTI_FAULTS=1"),
    pytest.mark.skipif(
        importlib.util.find_spec("airflow.providers.edge3") is None, reason="needs apache-airflow-providers-edge3"
    ),
]

EXECUTORS = "LocalExecutor,EdgeExecutor:airflow.providers.edge3.executors.EdgeExecutor"
DAGS = """
import json
import os
from pathlib import Path

from airflow.sdk import dag, task


def told(number: int) -> dict[str, object]:
    seen = {name: os.environ.get(name, "") for name in ("AIRFLOW_HOME", "SENTI_DEVICE")}
    return {"number": number + 1, **seen}


@task
def here() -> dict[str, object]:
    return told(0)


@task(queue="gpu", executor="EdgeExecutor")
def there(before: dict[str, object]) -> dict[str, object]:
    return told(before["number"])


@task
def write(file: str, *all: dict[str, object]) -> None:
    Path(file).write_text(json.dumps(all))


@dag(schedule=None)
def both() -> None:
    first = here()
    second = there(first)
    write("{{ dag_run.conf['file'] }}", first, second)


both()
"""


@contextmanager
def _edge_worker(airflow: LocalAirflow, home: Path, dags: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the queue gpu, with what deploy/edge/docker-compose.yml gives it; its database is not there."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(airflow.home / "airflow.cfg")
    home.mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    environment = inherited | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__EXECUTOR": EXECUTORS,
        "AIRFLOW__CORE__EXECUTE_TASKS_NEW_PYTHON_INTERPRETER": "true",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{airflow.url}/execution/",
        "AIRFLOW__EDGE__API_URL": f"{airflow.url}/edge_worker/v1/rpcapi",
        "AIRFLOW__API_AUTH__JWT_SECRET": config["api_auth"]["jwt_secret"],
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql+psycopg2://nobody@127.0.0.1:1/none",
        "SENTI_DEVICE": "cuda",
    }
    with (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "airflow", "edge", "worker", "--queues", "gpu", "--concurrency", "2"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield worker
        finally:
            worker.terminate()
            worker.wait(30)


def test_tasks_of_the_queue_gpu_run_on_an_edge_worker_without_a_database(tmp_path: Path) -> None:
    dags, home = tmp_path / "dags", tmp_path / "box"
    dags.mkdir()
    (dags / "both.py").write_text(DAGS)
    environment = {"AIRFLOW__CORE__EXECUTOR": EXECUTORS, "AIRFLOW__EDGE__API_ENABLED": "true"}
    with LocalAirflow(tmp_path / "airflow", dags, environment) as airflow, _edge_worker(airflow, home, dags) as worker:
        run = airflow.trigger("both", {"file": str(tmp_path / "seen.json")})
        state = airflow.wait("both", run, timeout=120)
        assert state == "success", f"{airflow.failure('both', run)}\n{(home / 'worker.log').read_text()}"
        assert worker.poll() is None
    assert json.loads((tmp_path / "seen.json").read_text()) == [
        {"number": 1, "AIRFLOW_HOME": str(tmp_path / "airflow"), "SENTI_DEVICE": ""},
        {"number": 2, "AIRFLOW_HOME": str(home), "SENTI_DEVICE": "cuda"},
    ]
