"""Weekly maintenance runs whatever its reconciliation comes to, and its DAG run is red if the reconciliation failed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Each task does nothing; those named in the second argument fail.
RUN = """
import json, sys
root, failing = sys.argv[1], set(sys.argv[2].split(","))
sys.path[:0] = [root, root + "/dags"]
from airflow.utils.db import initdb

initdb()
from airflow.dag_processing.dagbag import DagBag

from senti_tasks.errors import RunStateError
from senti_tasks.jobs import maintenance, scoring

ran = []


def made(name):
    def step(*arguments, **named):
        ran.append(name)
        if name in failing:
            raise RunStateError(f"{name} fails here")
        return {"open_series": [1], "list_shards": [{"run": 1, "shard": 0}, {"run": 1, "shard": 1}]}.get(name)
    step.__name__ = name
    return step


for module, names in (
    (scoring, ("open_series", "list_shards", "complete_shard", "publish_series")),
    (maintenance, ("settle_deleted", "retain", "retire_artifacts", "tidy")),
):
    for name in names:
        setattr(module, name, made(name))
bag = DagBag(root + "/dags/maintain_warehouse.py")
assert not bag.import_errors, bag.import_errors
run = bag.dags["maintain_warehouse"].test()
states = {task.task_id: str(task.state) for task in run.get_task_instances()}
before = sorted(bag.dags["maintain_warehouse"].get_task("settle_deleted").upstream_task_ids)
print(json.dumps({"state": str(run.state), "ran": ran, "states": states, "before upkeep": before}))
"""


def maintain(home: Path, *failing: str) -> dict[str, Any]:
    """Runs the DAG; gives the state of its run, the tasks that ran, in order, and the state of each task."""
    database = f"sqlite:///{home}/airflow.db"
    environment = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "PATH": "",
    }
    command = [sys.executable, "-c", RUN, str(ROOT), ",".join(failing)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


RECONCILIATION = ["open_series", "list_shards", "complete_shard", "complete_shard", "publish_series"]
UPKEEP = ["settle_deleted", "retain", "retire_artifacts", "tidy"]


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param("open_series", id="no champion"),
        pytest.param("publish_series", id="a freeze or a failed check"),
    ],
)
def test_upkeep_does_not_wait_for_a_reconciliation_that_fails(failing: str, tmp_path: Path) -> None:
    found = maintain(tmp_path, failing)
    assert [name for name in found["ran"] if name in UPKEEP] == UPKEEP
    assert found["states"][failing] == "failed"
    assert found["state"] == "failed"


def test_a_reconciliation_and_an_upkeep_that_succeed_do_not_wait_for_each_other(tmp_path: Path) -> None:
    found = maintain(tmp_path)
    assert [name for name in found["ran"] if name in UPKEEP] == UPKEEP
    assert [name for name in found["ran"] if name not in UPKEEP] == RECONCILIATION
    assert (found["state"], found["before upkeep"]) == ("success", [])


def test_a_deletion_that_a_person_must_look_at_stops_neither_the_retention_nor_the_vacuum(tmp_path: Path) -> None:
    found = maintain(tmp_path, "settle_deleted")
    assert [name for name in found["ran"] if name in UPKEEP] == UPKEEP
    assert (found["states"]["retain"], found["states"]["tidy"], found["state"]) == ("success", "success", "failed")
