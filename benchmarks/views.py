"""Measure how long analysts wait: a typical question to each view, and every query of ``sql/queries``.

The reviews are synthetic: a year of days, with equally many reviews for each product and day, which is the worst case
for the rollups by product and day. Two models have labelled all of them. PostgreSQL is started for the measurement,
from the wheel that the tests use; SQLite is a file. Ten million reviews take about 10 GB below ``--folder``.
"""

import argparse
import json
import logging
import re
import shutil
import statistics
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from benchmarks import machine, options
from benchmarks.tables import number, print_lines, table
from benchmarks.temporary_warehouse import MODELS, NEW_MODEL, NOW, OLD_MODEL, open_warehouse, promote, vacuum
from benchmarks.timer import seconds_of
from benchmarks.view_questions import QUESTIONS
from senti_tasks.warehouse import database, partitions
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.schema import review_labels, reviews
from senti_tasks.warehouse.scoring import rollups, watermarks

log = logging.getLogger(__name__)

TEXT = "房间干净，服务热情，早餐种类不多但是味道不错，离地铁站走路五分钟，下次出差还会来住"
PEOPLES_LABELS = 20_000
FAILURES = 1_000
DAYS = 365

# Parts of SQL statements, by dialect. g numbers the reviews from 1; equal steps of g are equal steps in time.
_SERIES = {
    "postgresql": "generate_series(1, CAST(:rows AS BIGINT)) AS numbers (g)",
    "sqlite": "(WITH RECURSIVE numbers (g) AS (SELECT 1 UNION ALL SELECT g + 1 FROM numbers WHERE g < :rows) "
    "SELECT g FROM numbers) AS numbers",
}
_AGO = "(:rows - numbers.g) * 86400.0 * :days / :rows"
_WRITTEN_AT = {
    "postgresql": f"timestamptz '2026-11-23 12:00+00' - interval '1 second' * ({_AGO})",
    "sqlite": f"strftime('%Y-%m-%d %H:%M:%f000', '2026-11-23 12:00:00', '-' || ({_AGO}) || ' seconds')",
}
_HASH = {"postgresql": "md5(CAST(review_id AS TEXT))", "sqlite": "printf('%032x', review_id)"}
_HOUR_BEFORE = {
    "postgresql": "updated_at - interval '1 hour'",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', updated_at, '-1 hours')",
}
_RANDOM = "(review_id * 48271 % 999983)"
"""A number from 0 to 999,982 that looks random, for each review."""


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The figures of each database and number of reviews: seconds of each question and query, plans, seconds to fill.

    The databases are deleted at the end.
    """
    wanted = [("postgresql", rows) for rows in arguments.rows] + [("sqlite", rows) for rows in arguments.rows_sqlite]
    folder = Path(tempfile.mkdtemp(prefix="senti-bench-", dir=arguments.folder))
    try:
        return [measure_one(folder, dialect, rows, arguments) for dialect, rows in wanted]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure_one(folder: Path, dialect: str, rows: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of one database with ``rows`` reviews."""
    with open_warehouse(folder, dialect, *MODELS) as engine:
        fill_seconds = seconds_of(partial(fill, engine, rows, arguments.products))
        log.info("%s is filled with %d reviews after %.0f s", dialect, rows, fill_seconds)
        with database.reading(engine) as connection:
            names = {"review_id": rows // 2, "product": f"p{arguments.products // 2}"}
            measured = {
                name: measure_statement(connection, statement, names, arguments.rounds)
                for name, statement in statements().items()
            }
            sizes = _sizes(connection)
    return {
        "database": dialect,
        "reviews": rows,
        "products": arguments.products,
        "fill_seconds": fill_seconds,
        "mb": sizes,
        "statements": measured,
    }


def statements() -> dict[str, str]:
    """The statements to measure: the questions to views, then the cookbook."""
    cookbook = {f"{path.name}": path.read_text("utf-8") for path in sorted((SQL / "queries").glob("*.sql"))}
    return {**QUESTIONS, **cookbook}


def measure_statement(connection: Connection, statement: str, names: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """The median of ``rounds`` executions after a first one, the number of rows, and the plan. ``names`` are the values
    of parameters."""
    query = sa.text(statement)
    used = {name: value for name, value in names.items() if re.search(rf":{name}\b", statement)}
    rows = len(connection.execute(query, used).all())
    seconds = [seconds_of(lambda: connection.execute(query, used).all()) for _ in range(rounds)]
    return {"seconds": statistics.median(seconds), "rows": rows, "plan": explain(connection, statement, used)}


def explain(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> list[str]:
    """The lines of the plan by which the database executes ``statement``; on PostgreSQL it is executed once more."""
    if connection.dialect.name == "sqlite":
        steps = connection.execute(sa.text(f"EXPLAIN QUERY PLAN {statement}"), parameters)
        return [row[3] for row in steps]
    options_ = "ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF"
    return list(connection.execute(sa.text(f"EXPLAIN ({options_}) {statement}"), parameters).scalars())


def fill(engine: Engine, rows: int, products: int) -> None:
    """Adds ``rows`` reviews over ``DAYS`` days, with labels of both models and what else the views read.

    In 2 % of the reviews the models disagree, and one in a thousand was edited after it was labelled.
    """
    dialect = engine.dialect.name
    with database.writing(engine) as connection:
        if dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '512MB'")
        indexes = [*reviews.indexes, *review_labels.indexes]
        for index in indexes:  # building an index at the end is faster than adding ten million keys one by one
            index.drop(connection)
        size = {"rows": rows, "days": DAYS, "products": products}
        _execute(connection, _PRODUCTS, {"rows": products})
        _execute(connection, _REVIEWS.replace("«at»", _WRITTEN_AT[dialect]), size)
        for model, flipped in ((OLD_MODEL, 0), (NEW_MODEL, 1)):
            partitions.create(connection, review_labels, model)
            labels = _LABELS.replace("«hash»", _HASH[dialect]).replace("«before»", _HOUR_BEFORE[dialect])
            _execute(connection, labels, {"model": model, "flipped": flipped, "products": products})
        for index in indexes:
            index.create(connection)
        values = {"every": max(1, rows // PEOPLES_LABELS), "failures": FAILURES, "rows": DAYS, "now": NOW}
        for statement in (_ANNOTATIONS, _FAILURES, _RUNS, _SUSPECTS):
            filled = statement.replace("«hash»", _HASH[dialect])
            _execute(connection, filled, {**values, "model": NEW_MODEL, "old": OLD_MODEL})
        for model in (OLD_MODEL, NEW_MODEL):
            rollups.rebuild(connection, model)
            watermarks.advance(connection, model, NOW)
        promotions.start_service(connection, promote(connection, NEW_MODEL)["seq"], now=NOW)
    vacuum(engine)
    if dialect == "sqlite":
        database.vacuum(engine, ())


def _execute(connection: Connection, statement: str, values: Mapping[str, Any]) -> None:
    series = statement.replace("«series»", _SERIES[connection.dialect.name])
    used = {name: value for name, value in values.items() if re.search(rf":{name}\b", series)}
    typed = [sa.bindparam("now", type_=review_labels.c.scored_at.type)] if "now" in used else []
    connection.execute(sa.text(series).bindparams(*typed), used)


_PRODUCTS = "INSERT INTO products (product_id, product) SELECT numbers.g, 'p' || numbers.g FROM «series»"
_REVIEWS = (
    "INSERT INTO reviews (review_id, review_text, product, created_at, updated_at) "  # noqa: S608  fixed parts only
    f"SELECT numbers.g, '{TEXT}' || numbers.g, 'p' || (1 + numbers.g * 7919 % :products), «at», «at» FROM «series»"
)
_LABELS = (
    "INSERT INTO review_labels "  # noqa: S608  fixed parts only
    "(model_version, review_id, text_hash, review_updated_at, label, score, confidence, "
    "truncated, variant, run_id, scored_at, local_day, product_id, publish_seq) "
    "SELECT :model, review_id, «hash», CASE WHEN review_id % 1000 = 0 THEN «before» ELSE updated_at END, "
    f"CASE WHEN ({_RANDOM} % 10 < 3) = ({_RANDOM} / 10 % 50 < :flipped) THEN 1 ELSE 0 END, "
    f"{_RANDOM} / 999983.0, 0.5 + {_RANDOM} / 1999966.0, "
    "FALSE, 'fp32', 1, updated_at, DATE(created_at), 1 + review_id * 7919 % :products, 1 FROM reviews"
)
_ANNOTATIONS = (
    "INSERT INTO review_annotations (review_id, annotator, annotated_at, label, text_hash) "
    "SELECT review_id, 'benchmark', created_at, review_id / 7 % 2, «hash» FROM reviews WHERE review_id % :every = 0"
)
_FAILURES = (
    "INSERT INTO scoring_errors (model_version, review_id, review_updated_at, text_hash, reason, run_id, failed_at) "
    "SELECT :model, review_id, updated_at, «hash», 'the text is blank', 1, updated_at FROM reviews "
    "WHERE review_id <= :failures"
)
_RUNS = (
    "INSERT INTO scoring_runs (run_id, idempotency_key, series, scope, model_version, variant, due, state, opened_at, "
    "published_at, publish_seq, planned, labelled, failed, superseded, truncated, seconds) "
    "SELECT g, 'run ' || g, 'run ' || g, 'new', :old, 'fp32', :now, 'published', :now, :now, g, 1000, 1000, 0, "
    "0, 0, 60 "
    "FROM «series»"
)
_SUSPECTS = (
    "INSERT INTO annotation_suspects "
    "(corpus, review_id, label, suggested_label, label_probability, suggested_probability) "
    "SELECT 'c', review_id, label, 1 - label, 0.1, 0.9 FROM review_annotations WHERE review_id <= 50 * :every"
)


def _sizes(connection: Connection) -> dict[str, float]:
    """Megabytes of tables with their indexes. PostgreSQL only; empty on SQLite."""
    if connection.dialect.name == "sqlite":
        return {}
    names = ("reviews", f"review_labels_{NEW_MODEL}", "label_rollups", "product_rollups")
    size = sa.text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
    found = {name: connection.scalar(size, {"name": name}) / 1e6 for name in names}
    indexes = sa.text(
        "SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_index WHERE indrelid = "
        "CAST(:name AS regclass)"
    )
    for name, size_ in connection.execute(indexes, {"name": f"review_labels_{NEW_MODEL}"}):
        found[name] = size_ / 1e6
    return found


def show(results: list[dict[str, Any]], *, plans: bool) -> None:
    """Prints the result of ``measure`` as Markdown."""
    head = ("milliseconds", *(f"{one['database']}, {one['reviews']:,}" for one in results))
    rows = [
        (name, *(number(1e3 * one["statements"][name]["seconds"]) for one in results))
        for name in results[0]["statements"]
    ]
    print_lines("", *table(head, rows))
    for one in results if plans else ():
        for name, found in one["statements"].items():
            print_lines("", f"### {one['database']}, {one['reviews']:,}: {name}", "", "```text", *found["plan"], "```")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.views", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--plans", action="store_true", help="print the plans after the table")
    parser.add_argument("--folder", type=Path, help="folder of the databases; default: the system's temporary folder")
    for option, database_name, rows in (
        ("--rows", "PostgreSQL", [1_000_000, 10_000_000]),
        ("--rows-sqlite", "SQLite", [300_000]),
    ):
        parser.add_argument(
            option,
            type=options.positive_int,
            nargs="*",
            default=rows,
            metavar="N",
            help=f"reviews, on {database_name}; default: {' '.join(map(str, rows))}",
        )
    for option, default, description in (
        ("--products", 500, "products, at most 10,000"),
        ("--rounds", 3, "times that each statement is measured"),
    ):
        parser.add_argument(
            option, type=options.positive_int, default=default, metavar="N", help=f"{description}; default: %(default)s"
        )
    return parser


def main() -> None:
    options.configure_logging()
    arguments = build_parser().parse_args()
    description = machine.describe()
    results = measure(arguments)
    if arguments.json:
        print_lines(json.dumps({**description, "views": results}, indent=2))
    else:
        print_lines(*machine.lines(description))
        show(results, plans=arguments.plans)


if __name__ == "__main__":
    main()
