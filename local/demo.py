"""`make run`: imports a file of reviews, trains and scores through Airflow, and shows the labels in SQL."""

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from local import sample, watching
from local.airflow import WORKER_MODULES, LocalAirflow
from senti_tasks import console
from senti_tasks.cli import tables
from senti_tasks.config import PRETRAINED, TFIDF, GateConfig
from senti_tasks.errors import SentiError
from senti_tasks.jobs import imports, models, reports, scoring
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.operations import upkeep
from senti_tasks.warehouse import database, importing, overview

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_SOURCE = "sample"
SAMPLE_GATE: dict[str, float] = {"margin": 0.04}
"""The gate of a model of the sample. Its test split, some 290 rows, is too small for the usual margin."""
SAMPLE_CONFIG: dict[str, float] = {"learning_rate": 5e-4, "epochs": 6}
"""How a model of the sample is trained from ``scratch:tiny``: slower, so that its confidences differ more."""
BUDGET_MINUTES = 4.0
"""Minutes of a training on a file of the user's own, so that labels are there ten minutes after the start."""
MINUTES = 180
"""Timeout of a DAG run, long enough for a training on the user's own reviews."""


def main() -> None:
    """Runs the demo. Exits with the message of a ``SentiError``. Ctrl-C and SIGTERM end Airflow and all of its
    tasks."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.setdefault("SENTI_HOME", str(ROOT))
    try:
        _run_demo(options, Path(os.environ["SENTI_HOME"]).resolve())
    except SentiError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped: nothing runs any more. `make run` goes on where it was")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--reviews", type=Path, help="file of reviews (default: the project's sample)")
    parser.add_argument("--text", help="column of the review")
    parser.add_argument("--label", help="column of the label")
    parser.add_argument(
        "--minutes",
        type=float,
        default=BUDGET_MINUTES,
        help="budget of the training on your file: the best epoch until then is kept; 0: none (default: %(default)g)",
    )
    parser.add_argument("--base", default="scratch:tiny", help="base model")
    return parser.parse_args()


def _run_demo(options: argparse.Namespace, home: Path) -> None:
    base = str(Path(options.base).resolve()) if Path(options.base).is_dir() else options.base
    _check(base)
    _heading("The warehouse")
    with watching.new_stages().stage("migrating"):
        migrated = upkeep.migrate()
    _print(f"{_warehouse()} is at revision {migrated['after']}")
    _heading("Reviews in")
    _import(options, home)
    _heading("Airflow starts (about half a minute)")
    environment = {"SENTI_HOME": str(home), "SENTI_BASE_MODEL": base}
    environment["SENTI_TRAINING_PROCESSES"] = os.environ.get("SENTI_TRAINING_PROCESSES", "auto")
    if base == "scratch:tiny":
        environment["SENTI_VARIANT"] = "fp32"  # of so small a model, int8 is not faster, and takes a minute to build
    with ExitStack() as stack:
        with watching.new_stages().stage("Airflow starts"):
            airflow = stack.enter_context(
                LocalAirflow(home / "var" / "airflow", ROOT / "dags", environment, modules=WORKER_MODULES)
            )
        _heading(f"retrain_sentiment, from {base}")
        _run(airflow, "retrain_sentiment", {"base_model": base, "gate": _gate(options), "config": _config(options)})
        _verdict(models.scorecards()[0])
        _heading("score_reviews")
        _run(airflow, "score_reviews")
        if scoring.scope_to_catch_up() == "rescore":
            _heading("rescore_reviews, for the incoming model")
            _run(airflow, "rescore_reviews")
    _scorecard()
    for query in ("products_that_got_worse", "weeks_that_stood_out", "newest_labelled_reviews"):
        _query(query)
    _reports(options)


def _check(base: str) -> None:
    """Raises ``BaseModelError`` now if the base model cannot be found, and not minutes later in Airflow."""
    if not base.startswith(("scratch:", PRETRAINED)):  # of the other names, a job checks encoders of the warehouse
        from senti_tasks.training import base_names

        base_names.revision_of(base)


def _import(options: argparse.Namespace, home: Path) -> None:
    """Imports the user's file, or the sample. Refuses to mix them, because one model would train on both."""
    columns = {"text": options.text, "label": options.label, "product": None, "id": None, "created_at": None}
    if options.reviews is None:
        if not _has_sample() and (own := upkeep.status()["reviews"]):
            raise SentiError(
                f"{_warehouse()} holds {own:,} reviews of your own, and a model would train on the sample together "
                "with them: name your file (REVIEWS=…), use `senti retrain` and `senti score`, or set "
                "SENTI_DATABASE_URL to another warehouse"
            )
        with watching.new_stages().stage("importing the sample"):
            file = sample.write(home / "var" / "sample.csv")
            counts = imports.import_reviews(file, columns, source=SAMPLE_SOURCE)
    elif _has_sample():
        raise SentiError(
            f"{_warehouse()} holds the sample of an earlier `make run`, and a model would train on it together "
            "with your reviews: `make reset` deletes it, or set SENTI_DATABASE_URL to another warehouse"
        )
    else:
        with watching.new_stages().stage(f"importing {options.reviews.name}"):
            counts = imports.import_reviews(options.reviews.resolve(), columns)
    _print(
        f"{counts['source']}: {counts['imported']:,} imported, {counts['already_there']:,} there already, "
        f"{counts['refused']:,} refused; {counts['labelled']:,} new labels of people",
        *(f"  line {refusal['line']}: {refusal['reason']}" for refusal in counts["refusals"][:10]),
    )
    if counts["refused"] == counts["rows"]:
        raise SentiError("not one row could be imported: correct the file, or name its columns with TEXT= and LABEL=")


def _warehouse() -> str:
    """The URL of the warehouse, without its password."""
    return database.location(load_context(migrated=False).engine)


def _has_sample() -> bool:
    with load_context().reading() as connection:
        return importing.has_source(connection, SAMPLE_SOURCE)


def _run(airflow: LocalAirflow, dag: str, conf: dict[str, Any] | None = None) -> None:
    stages = watching.new_stages()
    with stages.stage("the DAG is parsed") as stage:
        run = airflow.trigger(dag, conf)
        watch = watching.RunWatch(airflow, dag, run, stages, stage)
        state = airflow.wait(
            dag, run, 60 * MINUTES, on_state=watch.on_state, on_poll=watch.on_poll, every=watching.POLL_S
        )
    airflow.pause(dag)  # as before: the user decides whether its schedule starts runs
    if state != "success":
        raise SentiError(f"{dag} has failed:\n{airflow.failure(dag, run)}")


def _gate(options: argparse.Namespace) -> dict[str, float]:
    """What differs from the defaults of the gate: the margin, for the sample. Says so."""
    if options.reviews is not None:
        return {}
    for name, gate in (("for the sample", GateConfig.from_json(SAMPLE_GATE)), ("usually", GateConfig())):
        _print(
            f"The gate's margin is {100 * gate.margin:.0f} points {name}: {gate.rows_needed()} test rows are enough."
        )
    _print("All other rules of the gate are the usual ones.")
    return SAMPLE_GATE


def _config(options: argparse.Namespace) -> dict[str, float]:
    """What differs from the recipe: for the sample its own; for a file the budget of time."""
    if options.base == TFIDF:
        return {}
    if options.reviews is not None:
        return {"budget_minutes": options.minutes}
    return SAMPLE_CONFIG if options.base == "scratch:tiny" else {}


def _reports(options: argparse.Namespace) -> None:
    """Writes the report on the newest model and the one on the last run, and prints where they are."""
    if options.reviews is None:
        os.environ.setdefault("SENTI_REPORT_TEXTS", "true")  # the sample is made up
    _heading("Reports: one HTML file each, for your browser")
    with watching.new_stages().stage("writing them"):
        written = [reports.model_report()["report"], reports.run_report()["report"]]
    _print(*written)


def _verdict(card: dict[str, Any]) -> None:
    """Prints the verdict of the gate. Promotes a refused model by hand if there is no other, to have labels to show."""
    version = card["model_version"]
    trained = models.show(version)["training"]
    if trained.get("ended_by_budget"):
        _print(
            f"The training ended early, in epoch {trained['epochs_run']} of {trained['epochs_planned']}: its "
            f"budget was over. The model has the weights of epoch {trained['best_epoch']}, the best until then. "
            "MINUTES=20 gives it more time, MINUTES=0 all it wants."
        )
    if card["verdict"] == "promote":
        _print(f"{version} passed the gate and is promoted.")
        return
    failed = [rule for rule in models.show(version)["gate"] if not rule["passed"] and not rule["slice"]]
    _print(f"The gate refused {version}:", *(f"  - {rule['reason']}" for rule in failed))
    if champion := upkeep.status()["champion"]:
        _print(f"{champion} stays the champion.")
        return
    reason = "demonstration: promoted by `make run` against the gate, to have labels to show"
    done = models.promote(version, reason, actor="make run")
    _print(f"It is promoted all the same, because there is no other model, as an {done['kind']} on record ({reason}).")


def _scorecard() -> None:
    _heading("The model's scorecard")
    card = models.scorecards()[0]
    shown = ("model_version", "base_model", "test_rows", "accuracy", "macro_f1", "baseline_accuracy", "verdict")
    _print(tables.table([card], {name: name.replace("_", " ") for name in shown}))


def _query(query: str) -> None:
    with load_context().reading() as connection:
        statement, rows = overview.run_query(connection, query)
    _heading(f"sql/queries/{query}.sql")
    shown = tables.table(rows, {name: name for name in rows[0]}, one_line=("review_text",)) if rows else "(no rows)"
    _print(statement, "", shown)


def _heading(title: str) -> None:
    _print(f"\n== {title}")


def _print(*parts: str | RenderableType) -> None:
    console.show(None, False, *parts)


if __name__ == "__main__":
    main()
