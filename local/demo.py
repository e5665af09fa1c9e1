"""`make run`: from a file of reviews to labels in SQL, through Airflow, on this machine alone."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from local.airflow import LocalAirflow
from local.client import TaskState
from senti_tasks import console, settings
from senti_tasks.config import PRETRAINED
from senti_tasks.errors import SentiError
from senti_tasks.jobs import models, scoring, upkeep

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "local" / "reviews.csv"
SAMPLE_SOURCE = "sample"
MINUTES = 180
"""How long a training on the user's own reviews may take before the demo gives up on it."""


def main() -> None:
    """Imports reviews, retrains and scores through Airflow, and ends with what an analyst sees."""
    options = _options()
    os.environ["SENTI_HOME"] = str(ROOT)
    try:
        _walk(options)
    except SentiError as error:
        sys.exit(f"error: {error}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--reviews", type=Path, help="file of reviews (default: the sample that the project ships)")
    parser.add_argument("--text", help="its column of the review")
    parser.add_argument("--label", help="its column of the label")
    parser.add_argument("--base", default="scratch:tiny", help="what the training starts from")
    return parser.parse_args()


def _walk(options: argparse.Namespace) -> None:
    base = str(Path(options.base).resolve()) if Path(options.base).is_dir() else options.base
    _check(base)
    _step("The warehouse")
    migrated = upkeep.migrate()
    _say(f"{settings.load().url} is at revision {migrated['after']}")
    _step("Reviews in")
    _import(options)
    _step("Airflow starts (about half a minute)")
    environment = {"SENTI_HOME": str(ROOT), "SENTI_BASE_MODEL": base}
    with LocalAirflow(ROOT / "var" / "airflow", ROOT / "dags", environment) as airflow:
        _step(f"retrain_sentiment, from {base}")
        _run(airflow, "retrain_sentiment", {"base_model": base})
        _settle(models.scorecards()[0])
        _step("score_reviews")
        _run(airflow, "score_reviews")
        if scoring.has_incoming():
            _step("rescore_reviews, for the model that comes in")
            _run(airflow, "rescore_reviews")
    _scorecard()
    for query in ("products_with_most_negatives", "newest_labelled_reviews"):
        _ask(query)


def _check(base: str) -> None:
    """Whether the base model can be had, before Airflow would find out minutes later."""
    if not base.startswith(("scratch:", PRETRAINED)):  # a job looks an encoder of the warehouse up
        from senti_tasks.training import base_models

        base_models.revision_of(base)


def _import(options: argparse.Namespace) -> None:
    """The user's file, or the sample: never the two in one warehouse, where they would be trained on together."""
    columns = {"text": options.text, "label": options.label, "product": None, "id": None, "created_at": None}
    if options.reviews is None:
        counts = upkeep.import_reviews(SAMPLE, columns, source=SAMPLE_SOURCE)
    elif upkeep.holds_source(SAMPLE_SOURCE):
        raise SentiError(
            f"{settings.load().url} holds the sample of an earlier `make run`, and your reviews would be trained on "
            "together with it: `make reset` deletes it, or set SENTI_DATABASE_URL to another warehouse"
        )
    else:
        counts = upkeep.import_reviews(options.reviews.resolve(), columns)
    _say(
        f"{counts['source']}: {counts['imported']:,} imported, {counts['already_there']:,} there already, "
        f"{counts['refused']:,} refused; {counts['labelled']:,} new labels of people",
        *(f"  line {refusal['line']}: {refusal['reason']}" for refusal in counts["refusals"][:10]),
    )
    if counts["refused"] == counts["rows"]:
        raise SentiError("not one row could be imported: nothing to train on")


def _run(airflow: LocalAirflow, dag: str, conf: dict[str, Any] | None = None) -> None:
    def report(task: TaskState) -> None:
        if task.state not in ("scheduled", "queued"):
            _say(f"  {task.name}: {task.state}")
        if task.state == "up_for_retry":
            _say(airflow.task_log(dag, run, task, lines=5))

    run = airflow.trigger(dag, conf)
    state = airflow.wait(dag, run, timeout=60 * MINUTES, on_state=report)
    airflow.pause(dag)  # as it was: whoever wants its schedule unpauses it
    if state != "success":
        raise SentiError(f"{dag} has failed:\n{airflow.failure(dag, run)}")


def _settle(card: dict[str, Any]) -> None:
    """Says what the gate decided; a model that it refused is promoted all the same, on record, to have one to show."""
    version = card["model_version"]
    if card["verdict"] == "promote":
        _say(f"The gate let {version} through.")
        return
    failed = [rule for rule in models.show(version)["gate"] if not rule["passed"] and not rule["slice"]]
    reasons = [f"  - {rule['reason']}" for rule in failed]
    _say(f"The gate refused {version}:", *reasons)
    reason = "demonstration: promoted by `make run` against the gate, to have labels to show"
    done = models.promote(version, reason, actor="make run")
    _say(f"It is promoted all the same, as an {done['kind']} on record ({reason}).")


def _scorecard() -> None:
    _step("The model's scorecard")
    card = models.scorecards()[0]
    shown = ("model_version", "base_model", "test_rows", "accuracy", "macro_f1", "baseline_accuracy", "verdict")
    _say(console.table([card], {name: name.replace("_", " ") for name in shown}))


def _ask(query: str) -> None:
    statement, rows = upkeep.ask(query)
    _step(f"sql/queries/{query}.sql")
    _say(statement, "", console.table(rows, {column: column for column in rows[0]}) if rows else "(no rows)")


def _step(title: str) -> None:
    _say(f"\n== {title}")


def _say(*parts: str | Table) -> None:
    console.show(None, False, *parts)


if __name__ == "__main__":
    main()
