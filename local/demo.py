"""`make run`: from a file of reviews to labels in SQL, through Airflow, on this machine alone."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from local.airflow import LocalAirflow, TaskState
from senti_tasks import console, settings
from senti_tasks.errors import SentiError
from senti_tasks.jobs import models, scoring, upkeep
from senti_tasks.warehouse import database
from senti_tasks.warehouse.migrations import SQL

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "local" / "reviews.csv"
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
    parser.add_argument("--reviews", type=Path, default=SAMPLE, help="file of reviews (default: the sample)")
    parser.add_argument("--text", help="its column of the review")
    parser.add_argument("--label", help="its column of the label")
    parser.add_argument("--base", default="scratch:tiny", help="what the training starts from")
    return parser.parse_args()


def _walk(options: argparse.Namespace) -> None:
    _step("The warehouse")
    migrated = upkeep.migrate()
    console.show(None, False, f"{settings.load().url} is at revision {migrated['after']}")
    _step("Reviews in")
    columns = {"text": options.text, "label": options.label, "product": None, "id": None, "created_at": None}
    counts = upkeep.import_reviews(options.reviews.resolve(), columns)
    console.show(
        None,
        False,
        f"{counts['source']}: {counts['imported']:,} imported, {counts['already_there']:,} there already, "
        f"{counts['refused']:,} refused; {counts['labelled']:,} labels of people",
    )
    _step("Airflow starts (about half a minute)")
    with LocalAirflow(ROOT / "var" / "airflow", ROOT / "dags", {"SENTI_HOME": str(ROOT)}) as airflow:
        _step(f"retrain_sentiment, from {options.base}")
        _run(airflow, "retrain_sentiment", {"base_model": options.base})
        _settle(models.scorecards()[0])
        _step("score_reviews")
        _run(airflow, "score_reviews")
        if scoring.has_incoming():
            _step("rescore_reviews, for the model that comes in")
            _run(airflow, "rescore_reviews")
    _scorecard()
    for query in ("products_with_most_negatives", "newest_labelled_reviews"):
        _query(query)


def _run(airflow: LocalAirflow, dag: str, conf: dict[str, Any] | None = None) -> None:
    def tell(task: TaskState) -> None:
        if task.state not in ("scheduled", "queued"):
            console.show(None, False, f"  {task.name}: {task.state}")

    run = airflow.trigger(dag, conf)
    state = airflow.wait(dag, run, timeout=60 * MINUTES, on_state=tell)
    if state != "success":
        raise SentiError(f"{dag} has failed:\n{airflow.failure(dag, run)}")


def _settle(card: dict[str, Any]) -> None:
    """Says what the gate decided; a model that it refused is promoted all the same, on record, to have one to show."""
    version = card["model_version"]
    if card["verdict"] == "promote":
        console.show(None, False, f"The gate let {version} through.")
        return
    reasons = [f"  - {rule['reason']}" for rule in models.show(version)["gate"] if not rule["passed"]]
    console.show(None, False, f"The gate refused {version}:", *reasons)
    reason = "demonstration: promoted by `make run` against the gate, to have labels to show"
    done = models.promote(version, reason, actor="make run")
    console.show(None, False, f"It is promoted all the same, as an {done['kind']} on record ({reason}).")


def _scorecard() -> None:
    _step("The model's scorecard")
    card = models.scorecards()[0]
    shown = ("model_version", "base_model", "test_rows", "accuracy", "macro_f1", "baseline_accuracy", "verdict")
    console.show(None, False, console.table([card], {name: name.replace("_", " ") for name in shown}))


def _query(name: str) -> None:
    statement = (SQL / "queries" / f"{name}.sql").read_text("utf-8").strip()
    engine = database.connect(settings.load().url)
    with database.reading(engine) as connection:
        rows = [dict(row) for row in connection.execute(sa.text(statement)).mappings()]
    _step(f"sql/queries/{name}.sql")
    console.show(None, False, statement, "")
    console.show(None, False, console.table(rows, {column: column for column in rows[0]}) if rows else "(no rows)")


def _step(title: str) -> None:
    console.show(None, False, f"\n== {title}")


if __name__ == "__main__":
    main()
