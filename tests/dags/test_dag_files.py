"""What holds for every DAG file, found by looking into the folder."""

import subprocess
import sys
from pathlib import Path

import pytest

DAGS = Path(__file__).resolve().parents[2] / "dags"
FILES = sorted(path for path in DAGS.glob("*.py") if path.stem != "conventions")

# Airflow's SDK comes first: what it loads by itself is not the file's doing.
READ = """
import runpy, sys
import airflow.sdk
import airflow.sdk.definitions.retry_policy
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[2])
heavy = {"torch", "transformers", "datasets", "pandas", "sklearn"}
print(sorted(heavy & (set(sys.modules) - before)))
"""

SETTINGS = """
import sys
sys.path.insert(0, sys.argv[1])  # as Airflow does with a bundle's folder
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
for dag in bag.dags.values():
    for task in dag.tasks:
        pool = f"{task.pool}:{task.priority_weight}" if task.queue == "gpu" else ""
        print(
            dag.dag_id, task.task_id, pool, task.retries, task.retry_exponential_backoff,
            bool(task.execution_timeout or task.response_timeout),
            bool(dag.doc_md and dag.description and dag.owner == "sentiment"), dag.catchup, dag.max_active_runs,
            sep=",",
        )
from airflow.serialization.serialized_objects import DagSerialization

print([DagSerialization.serialize_dag(dag)["timetable"] for dag in bag.dags.values()])
"""


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_reading_a_dag_file_loads_nothing_heavy(file: Path, tmp_path: Path) -> None:
    assert python(READ, str(DAGS), str(file), home=tmp_path).strip() == "[]"


def test_each_task_retries_with_backoff_and_a_timeout_and_no_training_holds_up_a_night(tmp_path: Path) -> None:
    lines = [
        line.split(",") for line in python(SETTINGS, str(DAGS), home=tmp_path).splitlines() if line.count(",") == 8
    ]
    assert {line[0] for line in lines} == {path.stem for path in FILES}
    of_pools = {(dag, task, *pool.split(":")) for dag, task, pool, *_ in lines if pool}
    assert {(dag, task) for dag, task, pool, _ in of_pools if pool == "scoring"} == {
        ("score_reviews", "complete_series"),
        ("maintain_warehouse", "complete_series"),
    }
    training = sorted((-int(weight), dag, task) for dag, task, pool, weight in of_pools if pool == "training")
    assert [task for *_, task in training] == [
        *("check_champion", "build_variants", "evaluate", "train", "catch_up", "complete_series", "pretrain")
    ]
    for dag, task, _, retries, backoff, timeout, runbook, catchup, active in lines:
        assert int(retries) >= 1, (dag, task)
        assert float(backoff) > 1, (dag, task)
        assert (timeout, runbook, catchup, active) == ("True", "True", "False", "1"), (dag, task)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_dag_file_is_wiring_of_at_most_sixty_lines(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) <= 60


def test_schedules_are_in_the_time_zone_of_the_settings(tmp_path: Path) -> None:
    found = python(SETTINGS, str(DAGS), home=tmp_path, SENTI_TIMEZONE="Europe/Berlin").splitlines()[-1]
    assert "Europe/Berlin" in found
    assert "Asia/Shanghai" not in found


def python(code: str, *arguments: str, home: Path, **settings: str) -> str:
    environment = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PATH": "", **settings}
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout
