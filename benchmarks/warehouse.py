"""Measure what a scoring run costs the database: planning, staging and publishing, with few and with many old labels.

PostgreSQL is started for the measurement, from the wheel that the tests use, with durability on. SQLite is a file. Both
are stored below ``--folder``: ten million labelled reviews take about 6 GB there.
"""

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from benchmarks import machine, options, scoring_run, staging
from benchmarks.tables import number, print_lines, table
from benchmarks.temporary_warehouse import (
    DIALECTS,
    MODELS,
    NEW_MODEL,
    NOW,
    OLD_MODEL,
    add_history,
    add_reviews,
    open_run,
    open_warehouse,
    plan_run,
    promote,
    vacuum,
)
from benchmarks.timer import seconds_of
from senti_tasks.scoring import devices
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import service
from senti_tasks.warehouse.schema import review_labels
from senti_tasks.warehouse.scoring import publication, rollups, runs, shards, watermarks


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures planning, staging and whole runs on both databases, and publishing on PostgreSQL.

    Returns the figures as JSON values. The databases are deleted at the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="senti-bench-", dir=arguments.folder))
    try:
        return {
            "planning": {
                "postgresql": [measure_planning(folder, "postgresql", rows, arguments) for rows in arguments.behind],
                "sqlite": [measure_planning(folder, "sqlite", rows, arguments) for rows in arguments.behind_sqlite],
            },
            "staging": {name: staging.measure(folder, name, arguments) for name in DIALECTS},
            "publishing": measure_publishing(folder, arguments),
            "scoring_runs": scoring_run.measure(folder, arguments),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_planning(folder: Path, dialect: str, labelled: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds to plan a run of new reviews, and a reconciliation, with ``labelled`` older reviews in the warehouse."""
    with open_warehouse(folder, dialect, *MODELS) as engine:
        add_history(engine, labelled)
        add_reviews(engine, labelled + 1, labelled + arguments.new_reviews, step=0)
        seconds = [seconds_of(partial(plan_run, engine, f"run {round_}")) for round_ in range(arguments.rounds)]
        seconds_to_reconcile = seconds_of(lambda: plan_run(engine, "reconciliation", scope="reconcile"))
    return {
        "labelled": labelled,
        "planned": arguments.new_reviews,
        "seconds": statistics.median(seconds),
        "seconds_to_reconcile": seconds_to_reconcile,
    }


def measure_publishing(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Publishes a large run on top of many labels, then switches to a new model, rolls back and reads 30 days of
    sentiment_daily.

    The new model has labelled all reviews, one per cent of which the old one has not. Returns seconds, megabytes
    written, and the labels that the rollback carried over. PostgreSQL only.
    """
    labelled, rows = max(arguments.behind), arguments.published
    figures: dict[str, Any] = {"labelled": labelled, "rows": rows}
    with open_warehouse(folder, "postgresql", *MODELS) as engine:
        add_history(engine, labelled)
        add_reviews(engine, labelled + 1, labelled + rows, step=0)
        figures["new"] = _measure_steps(engine)
        _label_with_new_model(engine)
        figures["switch_seconds"] = _seconds_of_transaction(engine, partial(service.start_if_covered, now=NOW))
        figures["rollback_seconds"] = _seconds_of_transaction(
            engine, partial(service.roll_back, actor="benchmark", reason="benchmark", now=NOW)
        )
        with database.reading(engine) as connection:
            figures["carried_over"] = service.count_carried(connection, OLD_MODEL)
        month = sa.text("SELECT * FROM sentiment_daily WHERE local_day >= DATE '2026-10-25' ORDER BY local_day")
        with database.reading(engine) as connection:
            figures["month_seconds"] = seconds_of(lambda: connection.execute(month).all())
    return figures


def _measure_steps(engine: Engine) -> dict[str, Any]:
    """Seconds of each step of a run of new reviews, and the megabytes that publishing wrote."""
    run = open_run(engine, "new labels")
    seconds = {
        "plan": _seconds_of_transaction(engine, lambda connection: runs.plan(connection, run)),
        "read_and_stage": seconds_of(lambda: _stage_run(engine, run)),
        "audit": _seconds_of_transaction(engine, lambda connection: publication.audit(connection, run)),
    }
    before = _bytes_written(engine)
    seconds["publish"] = _seconds_of_transaction(
        engine, lambda connection: publication.publish(connection, run, now=NOW)
    )
    after = _bytes_written(engine)
    return {
        "seconds": seconds,
        "wal_mb": (after["wal"] - before["wal"]) / 1e6,
        "grown_mb": (after["labels"] - before["labels"]) / 1e6,
    }


def _stage_run(engine: Engine, run: int) -> None:
    """Reads, stages and accepts every shard of ``run`` with synthetic labels."""
    with database.reading(engine) as connection:
        rows = connection.execute(sa.text("SELECT shard FROM run_shards WHERE run_id = :run"), {"run": run})
        numbers = list(rows.scalars())
    for shard in numbers:
        with database.writing(engine) as connection:
            claim = staging.claim_shard(connection, run, shard)
        after = None
        while True:
            with database.reading(engine) as connection:
                chunk = shards.read_chunk(connection, run, shard, after=after, limit=ScoreConfig().chunk_rows)
            if not chunk:
                break
            after = chunk[-1].review_id
            answers = staging.make_answers(chunk[0].review_id, len(chunk))
            with database.writing(engine) as connection:
                claim = shards.stage(connection, claim, answers, cursor=after)
        with database.writing(engine) as connection:
            shards.accept(connection, claim)


def _label_with_new_model(engine: Engine) -> None:
    """Copies all labels to the new model, promotes it, and deletes one per cent of the old model's labels."""
    names = [column.name for column in review_labels.c if column.name != "model_version"]
    labels = sa.select(sa.literal(NEW_MODEL), *(review_labels.c[name] for name in names))
    removed = sa.and_(review_labels.c.model_version == OLD_MODEL, review_labels.c.review_id % 100 == 0)
    with database.writing(engine) as connection:
        connection.execute(sa.insert(review_labels).from_select(["model_version", *names], labels))
        connection.execute(sa.delete(review_labels).where(removed))
        for version in (OLD_MODEL, NEW_MODEL):
            rollups.rebuild(connection, version)
        watermarks.advance(connection, NEW_MODEL, NOW)
        promote(connection, NEW_MODEL)
    vacuum(engine)


def _seconds_of_transaction(engine: Engine, statements: Callable[[Connection], object]) -> float:
    """Seconds of ``statements`` in a writing transaction, commit included."""

    def transaction() -> None:
        with database.writing(engine) as connection:
            statements(connection)

    return seconds_of(transaction)


def _bytes_written(engine: Engine) -> dict[str, float]:
    """The position in the WAL, and the size of the old model's labels with their indexes, in bytes."""
    wal, labels = "pg_current_wal_lsn() - '0/0'", f"pg_total_relation_size('review_labels_{OLD_MODEL}')"
    with database.reading(engine) as connection:
        row = connection.exec_driver_sql(f"SELECT {wal}, {labels}").one()
    return {"wal": float(row[0]), "labels": float(row[1])}


def show(results: dict[str, Any]) -> None:
    """Prints the result of ``measure`` as Markdown."""
    print_lines("", "### Planning", "", *_planning_table(results["planning"]))
    print_lines("", "### Staging", "", *_staging_table(results["staging"]))
    published = results["publishing"]
    seconds = published["new"]["seconds"]
    print_lines(
        "",
        f"### Publishing {published['rows']:,} labels with {published['labelled']:,} older ones, PostgreSQL",
        "",
        f"- plan {number(seconds['plan'])} s, read and stage {number(seconds['read_and_stage'])} s, audit "
        f"{number(seconds['audit'])} s, publish {number(seconds['publish'])} s",
        f"- publishing wrote {number(published['new']['wal_mb'])} MB of WAL; the table of labels grew by "
        f"{number(published['new']['grown_mb'])} MB",
        f"- a switch to a new model {number(published['switch_seconds'])} s, a rollback that carries "
        f"{published['carried_over']:,} labels over {number(published['rollback_seconds'])} s",
        f"- sentiment_daily over 30 days {number(1e3 * published['month_seconds'])} ms",
    )
    scoring_run.show(results["scoring_runs"])


def _planning_table(planning: dict[str, Any]) -> list[str]:
    head = ("database, reviews labelled before", "planned", "s", "× first row", "reconcile, s")
    rows = []
    for name, measured in planning.items():
        for one in measured:
            ratio = one["seconds"] / measured[0]["seconds"]
            figures = (number(one["seconds"]), number(ratio), number(one["seconds_to_reconcile"]))
            rows.append((f"{name}, {one['labelled']:,}", f"{one['planned']:,}", *figures))
    return table(head, rows)


def _staging_table(staged: dict[str, Any]) -> list[str]:
    others = ("bare", "pandas")
    rates = [f"{name}, rows/s" for name in ("staging", *others)]
    rows = [
        (
            f"{name}, chunks of {int(size):,}",
            *(number(one["rows_per_second"][load]) for load in (size, *others)),
            *(number(ratios[other]) for other in others),
        )
        for name, one in staged.items()
        for size, ratios in one["staging_over"].items()
    ]
    return table(("database", *rates, *(f"staging / {name}" for name in others)), rows)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.warehouse", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--folder", type=Path, help="folder of the databases; default: the system's temporary folder")
    labelled = {"postgresql": [100_000, 10_000_000], "sqlite": [100_000, 1_000_000]}
    for option, dialect in (("--behind", "postgresql"), ("--behind-sqlite", "sqlite")):
        parser.add_argument(
            option,
            type=options.positive_int,
            nargs="+",
            default=labelled[dialect],
            metavar="ROWS",
            help=f"reviews labelled before the run, on {dialect}; default: {' '.join(map(str, labelled[dialect]))}",
        )
    counts = {
        "--night": ("new_reviews", 10_000, "new reviews to plan"),
        "--staged": ("staged", 200_000, "rows to stage"),
        "--published": ("published", 1_000_000, "labels to publish"),
        "--reviews": ("reviews", 100_000, "reviews of a whole run"),
        "--rounds": ("rounds", 3, "rounds of planning, of staging and of whole runs"),
    }
    for option, (name, default, description) in counts.items():
        parser.add_argument(
            option,
            dest=name,
            type=options.positive_int,
            default=default,
            metavar="N",
            help=f"{description}; default: %(default)s",
        )
    parser.add_argument(
        "--memory-reviews",
        type=options.positive_int,
        nargs=2,
        default=[20_000, 200_000],
        metavar="ROWS",
        help="reviews of the two runs whose peak memory is compared; default: 20000 200000",
    )
    parser.add_argument("--variants", nargs="+", choices=devices.VARIANTS, help="default: those fast on this machine")
    return parser


def main() -> None:
    options.configure_logging()
    arguments = build_parser().parse_args()
    description = machine.describe()
    results = measure(arguments)
    if arguments.json:
        print_lines(json.dumps({**description, **results}, indent=2))
    else:
        print_lines(*machine.lines(description))
        show(results)


if __name__ == "__main__":
    main()
