"""Which errors the DAGs retry: each class states it for itself, whatever its base class states."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

ERRORS = """
import importlib, json, re, sys
from pathlib import Path

root = Path(sys.argv[1])
sys.path[:0] = [str(root), str(root / "dags")]
from conventions import DEFAULTS
from senti_tasks.errors import SentiError

for file in (*root.glob("senti_tasks/**/*.py"), *root.glob("local/*.py")):
    if re.search("^class .*Error.*:$", file.read_text("utf-8"), re.MULTILINE):
        importlib.import_module(".".join(file.relative_to(root).with_suffix("").parts))


def below(kind):
    return [kind, *(found for child in kind.__subclasses__() for found in below(child))]


policy = DEFAULTS["default_args"]["retry_policy"]


def decision(error):
    return policy.evaluate(error, try_number=1, max_tries=3).action.value


found = {kind.__name__: [vars(kind).get("retry_can_help"), decision(kind("found"))] for kind in below(SentiError)}
from datetime import UTC, datetime, timedelta
from senti_tasks.errors import TrainingStoppedError

paused = policy.evaluate(TrainingStoppedError("a pause", datetime.now(UTC) + timedelta(hours=3)), 1, 3)
found["a pause"] = [paused.action.value, round(paused.retry_delay.total_seconds() / 60)]
for number in (3, 4):
    found[f"failure {number} of 500"] = [None, policy.evaluate(OSError(), number, 500).action.value]
print(json.dumps({**found, "OSError": [None, decision(OSError("found"))]}))
"""

RETRIED = {
    # the database and the hub answer again, locks are released, an upgrade ends, temporary files go
    *("UnreachableError", "LockedError", "RevisionError", "NoRoomError", "BaseModelUnreachableError", "NoAnswerError"),
    "DeviceGoneError",  # a GPU comes back
    "StoreError",  # room is made, and mounts come back
    "ShardTakenError",  # the next attempt continues after the last staged chunk
    *("TrainingStoppedError", "TrainingProcessError"),  # the next attempt continues from the checkpoint
    "TurnOverError",  # the next attempt scores the other shards
}


@pytest.fixture(scope="module")
def decisions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """By the name of each error class: what the class itself states, and what the retry policy of the DAGs decides."""
    home = str(tmp_path_factory.mktemp("airflow"))
    environment = {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PATH": ""}
    command = [sys.executable, "-c", ERRORS, str(ROOT)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout.splitlines()[-1])
    return {name: (stated, decided) for name, (stated, decided) in found.items()}


def test_each_error_class_states_whether_a_retry_can_help_and_the_dags_do_as_it_says(
    decisions: dict[str, tuple[Any, Any]],
) -> None:
    ours = {name: answer for name, answer in decisions.items() if answer[0] is not None and name != "a pause"}
    assert {name for name, (_, decided) in ours.items() if decided == "default"} == RETRIED
    assert ours == {name: (name in RETRIED, "default" if name in RETRIED else "fail") for name in ours}


def test_an_error_of_another_library_is_retried(decisions: dict[str, tuple[Any, Any]]) -> None:
    assert decisions["OSError"] == (None, "default")


def test_a_training_that_pauses_is_retried_when_the_pause_ends_and_not_in_two_minutes(
    decisions: dict[str, tuple[Any, Any]],
) -> None:
    assert decisions["a pause"] == ("retry", 180)


def test_a_task_that_may_give_its_slot_up_many_times_may_not_fail_more_often_than_others(
    decisions: dict[str, tuple[Any, Any]],
) -> None:
    assert decisions["failure 3 of 500"] == (None, "default")
    assert decisions["failure 4 of 500"] == (None, "fail")
