"""deploy/edge/docker-compose.yml, and the setting that gives the queue gpu to the workers of another executor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from local.compose import Service, load
from tests.stacks import new_variables

ROOT = Path(__file__).parents[1]
EDGE = ROOT / "deploy" / "edge" / "docker-compose.yml"
VARIABLES = new_variables() | {
    "AIRFLOW_BASE_URL": "https://airflow.example",
    "SENTI_ARTIFACTS": "s3://senti/artifacts",
    "SENTI_DATABASE_URL": "postgresql+psycopg://senti_pipeline:secret@warehouse.example/senti",
    "SENTI_GPU_EXECUTOR": "EdgeExecutor",
}
READ = """
import sys
sys.path.insert(0, sys.argv[1])
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
print(sorted({(task.queue, task.executor) for dag in bag.dags.values() for task in dag.tasks}))
"""


@pytest.fixture
def edge() -> Service:
    return load(EDGE, VARIABLES)["edge-worker"]


@pytest.fixture
def gpu() -> Service:
    return load(ROOT / "docker-compose.yml", VARIABLES)["gpu-worker"]


def test_the_file_fits_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests" / "compose-spec.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(EDGE.read_text()))


def test_the_edge_worker_has_the_settings_of_the_gpu_worker(edge: Service, gpu: Service) -> None:
    moved = {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "https://airflow.example/execution/"}
    ours = {name: value for name, value in gpu.environment.items() if not name.startswith("AIRFLOW__")}
    shared = {name: value for name, value in gpu.environment.items() if name in edge.environment}
    assert edge.environment == {
        **ours,
        **shared,
        **moved,
        "AIRFLOW__EDGE__API_URL": "https://airflow.example/edge_worker/v1/rpcapi",
    }


def test_the_edge_worker_has_neither_the_broker_nor_the_database_of_airflow(edge: Service, gpu: Service) -> None:
    missing = {"airflow-database", "broker", "fernet-key", "api-key"}
    assert edge.configs == {path: text for path, text in gpu.configs.items() if Path(path).name not in missing}
    assert not [name for name in edge.environment if name.startswith(("AIRFLOW__DATABASE", "AIRFLOW__CELERY"))]


def test_a_setting_gives_the_tasks_of_the_queue_gpu_to_the_edge_executor(gpu: Service, tmp_path: Path) -> None:
    names = ("AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__LOAD_EXAMPLES", "SENTI_GPU_EXECUTOR")
    done = subprocess.run(
        [sys.executable, "-c", READ, ROOT / "dags"],
        env=os.environ | {name: gpu.environment[name] for name in names} | {"AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([("default", None), ("gpu", "EdgeExecutor")])
