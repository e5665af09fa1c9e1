"""Weekly maintenance runs whatever its reconciliation comes to, and its DAG run is red if the reconciliation failed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

CASES = ("", "open_series", "publish_series", "settle_deleted")
"""In each, the task of that name fails."""

RUN = """
import json, sys
root, cases = sys.argv[1], sys.argv[2:]
sys.path[:0] = [root, root + "/dags"]
from airflow.utils.db import initdb

initdb()
from airflow.dag_processing.dagbag import DagBag

from senti_tasks.errors import RunStateError
from senti_tasks.jobs import scoring
from senti_tasks.jobs.operations import maintenance

ran, failing = [], ""


def made(name):
    def step(*arguments, **named):
        ran.append(name)
        if name == failing:
            raise RunStateError(f"{name} fails here")
        return {"open_series": [1], "list_workers": [0, 1]}.get(name)
    step.__name__ = name
    return step


for module, names in (
    (scoring, ("open_series", "list_workers", "complete_series", "publish_series")),
    (maintenance, ("settle_deleted", "retain", "retire_artifacts", "tidy")),
):
    for name in names:
        setattr(module, name, made(name))
bag = DagBag(root + "/dags/maintain_warehouse.py")
assert not bag.import_errors, bag.import_errors
dag, found = bag.dags["maintain_warehouse"], {}
for failing in cases:
    run = dag.test()
    states = {task.task_id: str(task.state) for task in run.get_task_instances()}
    found[failing] = {"state": str(run.state), "ran": list(ran), "states": states}
    ran.clear()
print(json.dumps({**found, "before upkeep": sorted(dag.get_task("settle_deleted").upstream_task_ids)}))
"""
"""Runs the DAG once for each case. Each task does nothing, or fails."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """For each case the state of the DAG run, the tasks that ran, in order, and the state of each task."""
    home = tmp_path_factory.mktemp("airflow")
    environment = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PATH": "",
    }
    command = [sys.executable, "-c", RUN, str(ROOT), *CASES]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


RECONCILIATION = ["open_series", "list_workers", "complete_series", "complete_series", "publish_series"]
UPKEEP = ["settle_deleted", "retain", "retire_artifacts", "tidy"]


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param("open_series", id="no champion"),
        pytest.param("publish_series", id="a freeze or a failed check"),
    ],
)
def test_upkeep_does_not_wait_for_a_reconciliation_that_fails(failing: str, runs: dict[str, Any]) -> None:
    found = runs[failing]
    assert [name for name in found["ran"] if name in UPKEEP] == UPKEEP
    assert found["states"][failing] == "failed"
    assert found["state"] == "failed"


def test_a_reconciliation_and_an_upkeep_that_succeed_do_not_wait_for_each_other(runs: dict[str, Any]) -> None:
    found = runs[""]
    assert [name for name in found["ran"] if name in UPKEEP] == UPKEEP
    assert [name for name in found["ran"] if name not in UPKEEP] == RECONCILIATION
    assert (found["state"], runs["before upkeep"]) == ("success", [])


def test_a_deletion_that_a_person_must_look_at_stops_neither_the_retention_nor_the_vacuum(runs: dict[str, Any]) -> None:
    found = runs["settle_deleted"]
    assert [name for name in found["ran"] if name in UPKEEP] == UPKEEP
    assert (found["states"]["retain"], found["states"]["tidy"], found["state"]) == ("success", "success", "failed")
