"""The three DAGs, run by a real Airflow on a part of the sample: a week in the life, with one murder."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import sample
from local.airflow import WORKER_MODULES, LocalAirflow
from local.client import TaskState
from senti_tasks.jobs import imports, models
from senti_tasks.jobs.operations import upkeep
from tests.leaks import TOKEN, leaks
from tests.situations import LENIENT, SAMPLE_ROWS

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"base_model": "scratch:tiny", "config": {"epochs": 1}}
LENIENT_GATE = {**QUICK, "gate": LENIENT}
PATIENCE_S = 15
COLUMNS = dict.fromkeys(("text", "label", "product", "id", "created_at"))


POLICY = f"""
from datetime import timedelta


def task_policy(task):
    task.retry_delay = timedelta(seconds=1)
    if getattr(task, "response_timeout", None):
        task.response_timeout = timedelta(seconds={PATIENCE_S})
"""
"""A cluster policy of Airflow: a retry comes after one second, and nobody waits long for an answer."""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    home, policies = tmp_path_factory.mktemp("senti"), tmp_path_factory.mktemp("policies")
    (policies / "airflow_local_settings.py").write_text(POLICY, "utf-8")
    environment = {"SENTI_HOME": str(home), "PYTHONPATH": f"{policies}:{ROOT}"}
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SENTI_")]:
            patch.delenv(name)
        patch.setenv("SENTI_HOME", str(home))
        upkeep.migrate()
        (home / ".env").write_text(f"HF_TOKEN={TOKEN}\n")
        imports.import_reviews(sample.write(home / "sample.csv", SAMPLE_ROWS), COLUMNS)
        with LocalAirflow(home / "airflow", ROOT / "dags", environment, modules=WORKER_MODULES) as running:
            yield running


def run(airflow: LocalAirflow, dag: str, conf: dict[str, Any] | None = None) -> dict[str, str | None]:
    """Runs the DAG to success; gives the final state of each of its tasks."""
    run_id = airflow.trigger(dag, conf)
    return finish(airflow, dag, run_id)


def finish(airflow: LocalAirflow, dag: str, run_id: str) -> dict[str, str | None]:
    assert airflow.wait(dag, run_id, timeout=600) == "success", airflow.failure(dag, run_id)
    return {task.name: task.state for task in airflow.task_states(dag, run_id)}


def test_the_gate_refuses_a_hasty_model_although_its_training_was_killed_on_the_way(airflow: LocalAirflow) -> None:
    run_id = airflow.trigger("retrain_sentiment", QUICK)
    training = airflow.running("retrain_sentiment", run_id, "train", timeout=120)
    assert training.pid
    os.kill(training.pid, signal.SIGKILL)
    states = finish(airflow, "retrain_sentiment", run_id)
    assert [task.try_number for task in airflow.task_states("retrain_sentiment", run_id) if task.name == "train"] == [2]
    assert states["judge"] == "success"
    assert states["promote"] == "skipped"
    (card,) = models.scorecards()
    assert card["verdict"] == "refuse"
    assert upkeep.status()["champion"] is None


def test_a_person_overrules_the_gate_and_a_run_labels_every_review(airflow: LocalAirflow) -> None:
    (card,) = models.scorecards()
    assert models.promote(card["model_version"], "to have one to test with", actor="a test")["kind"] == "overruling"
    assert run(airflow, "score_reviews")["publish_series"] == "success"
    status = upkeep.status()
    assert (status["reviews"], status["pending"]) == (SAMPLE_ROWS, 0)
    assert status["in_service"] == card["model_version"]


def test_a_run_with_nothing_to_do_is_published_as_empty(airflow: LocalAirflow) -> None:
    states = run(airflow, "score_reviews")
    assert set(states.values()) == {"success"}
    newest = upkeep.status()["runs"][0]
    assert (newest["state"], newest["planned"], newest["labelled"]) == ("published", 0, 0)


def test_a_deserving_model_is_promoted_and_its_asset_alone_rescores_every_review_before_it_serves(
    airflow: LocalAirflow,
) -> None:
    airflow.unpause("rescore_reviews")
    before = set(airflow.runs("rescore_reviews"))
    incumbent = upkeep.status()["in_service"]
    assert run(airflow, "retrain_sentiment", LENIENT_GATE)["promote"] == "success"
    while (
        finish(airflow, "rescore_reviews", new := airflow.until_new_run("rescore_reviews", before))["catch_up"]
        == "skipped"
    ):  # a run by time, before the promotion
        before.add(new)
    status = upkeep.status()
    assert status["in_service"] == status["champion"] != incumbent
    assert status["pending"] == 0


def test_unpausing_starts_no_run_for_a_time_that_has_passed(airflow: LocalAirflow) -> None:
    runs = [run for dag in ("retrain_sentiment", "score_reviews") for run in airflow.runs(dag)]
    assert runs
    assert not [run for run in runs if run.startswith("scheduled__")]


def test_a_rescoring_with_no_model_waiting_ends_green_at_its_first_task(airflow: LocalAirflow) -> None:
    states = run(airflow, "rescore_reviews")
    assert states.pop("scope_to_catch_up") == "success"
    assert set(states.values()) == {"skipped"}


def test_a_person_is_asked_and_no_answer_or_a_refusal_leaves_the_champion_and_an_approval_does_not(
    airflow: LocalAirflow,
) -> None:
    before = upkeep.status()["champion"]
    (Path(os.environ["SENTI_HOME"]) / ".env").write_text(f"HF_TOKEN={TOKEN}\nSENTI_PROMOTION=approval\n")
    asked = airflow.trigger("retrain_sentiment", LENIENT_GATE)
    question = airflow.question("retrain_sentiment", asked, "approve", timeout=600)
    assert question["subject"] == "Promote the newly trained model?"
    assert f"would replace {before}" in question["body"]
    assert answered(airflow, asked, None) == {"approve": "success", "promote_approved": "skipped", "promote": "skipped"}
    assert upkeep.status()["champion"] == before

    airflow.clear("retrain_sentiment", asked, "approve")  # as a person does who was away
    assert answered(airflow, asked, "Reject")["promote_approved"] == "skipped"
    assert upkeep.status()["champion"] == before

    airflow.clear("retrain_sentiment", asked, "approve")
    assert answered(airflow, asked, "Approve")["promote_approved"] == "success", log_of(airflow, asked, "approve")
    champion = str(upkeep.status()["champion"])
    (newest, *_) = models.show(champion)["promotions"]
    assert (newest["kind"], newest["actor"], newest["compared_with"]) == ("person", "admin", before)


def answered(airflow: LocalAirflow, run_id: str, option: str | None) -> dict[str, str | None]:
    """The states of the last tasks once the question got this answer each time it was asked, or none in time.

    Asked again it can be: to Airflow an answer that comes before the asking process has ended may look like a failure.
    """

    def respond(task: TaskState) -> None:
        if option is not None and (task.task_id, task.state) == ("approve", "awaiting_input"):
            airflow.answer("retrain_sentiment", run_id, "approve", option)

    assert airflow.wait("retrain_sentiment", run_id, 240, respond) == "success", airflow.failure(
        "retrain_sentiment", run_id
    )
    states = {task.name: task.state for task in airflow.task_states("retrain_sentiment", run_id)}
    return {name: states[name] for name in ("approve", "promote_approved", "promote")}


def test_neither_secrets_nor_texts_are_in_what_airflow_keeps(airflow: LocalAirflow) -> None:
    assert leaks(airflow.home) == {}


def log_of(airflow: LocalAirflow, run_id: str, task_id: str) -> str:
    (task,) = [task for task in airflow.task_states("retrain_sentiment", run_id) if task.task_id == task_id]
    return airflow.task_log("retrain_sentiment", run_id, task)
