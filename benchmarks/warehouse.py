"""What a night costs the database: planning, staging and publishing with little and with much history behind it.

PostgreSQL is started for the measurement from the wheel that the tests use, with durability on; SQLite is a file. Both
lie below ``--folder``: ten million reviews with labels take about 6 GB there.
"""

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from benchmarks import machine, night, options
from benchmarks.seconds import timed
from benchmarks.tables import number, say, table
from benchmarks.warehouses import DIALECTS, NOW, promote, settle, warehouse
from senti_tasks.scoring import devices
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.schema import staged_labels
from senti_tasks.warehouse.scoring import publication, runs, shards, staging, watermarks

MODELS = ({"version": "before"}, {"version": "after"})


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Planning on both databases, staging on both, publishing on PostgreSQL."""
    folder = Path(tempfile.mkdtemp(prefix="senti-bench-", dir=arguments.folder))
    try:
        return {
            "planning": {
                "postgresql": [planning(folder, "postgresql", rows, arguments) for rows in arguments.behind],
                "sqlite": [planning(folder, "sqlite", rows, arguments) for rows in arguments.behind_sqlite],
            },
            "staging": {name: compare_staging(folder, name, arguments) for name in DIALECTS},
            "publishing": publishing(folder, arguments),
            "nights": night.measure(folder, arguments),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


SERIES = {
    "postgresql": "SELECT g FROM generate_series(CAST(:first AS BIGINT), CAST(:last AS BIGINT)) AS numbers (g)",
    "sqlite": "WITH RECURSIVE numbers (g) AS (SELECT :first UNION ALL SELECT g + 1 FROM numbers WHERE g < :last) "
    "SELECT g FROM numbers",
}
MOMENT = {
    "postgresql": "timestamptz '2026-11-23 12:00+00' - interval '1 second' * (:last - g) * :step",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S.000000', '2026-11-23 12:00:00', '-' || ((:last - g) * :step) || ' seconds')",
}
DIGEST = {"postgresql": "md5(review_text)", "sqlite": "lower(hex(randomblob(16)))"}


def add_reviews(engine: Engine, first: int, last: int, *, step: int) -> None:
    """Reviews with these keys, written ``step`` seconds apart; 0: all at once, as an import does."""
    name = engine.dialect.name
    statement = (
        "INSERT INTO reviews (review_id, review_text, product, created_at, updated_at) "  # noqa: S608  our own parts
        f"SELECT g, '房间干净，服务热情，下次还来' || g, 'p' || (g - g / 100 * 100), {MOMENT[name]}, {MOMENT[name]} "
        f"FROM ({SERIES[name]}) AS series"
    )
    with database.writing(engine) as connection:
        connection.execute(sa.text(statement), {"first": first, "last": last, "step": step})


def add_history(engine: Engine, rows: int) -> None:
    """``rows`` labelled reviews, with their rollups and the watermark, as nights would have left them."""
    add_reviews(engine, 1, rows, step=1)
    name = engine.dialect.name
    columns = (
        "review_updated_at, label, score, confidence, truncated, variant, run_id, scored_at, local_day, publish_seq"
    )
    labels = (
        f"INSERT INTO review_labels (model_version, review_id, text_hash, {columns}) "  # noqa: S608
        f"SELECT 'before', review_id, {DIGEST[name]}, updated_at, review_id % 2, 0.9, 0.9, FALSE, 'fp32', 0, "
        "updated_at, DATE(created_at), 0 FROM reviews"
    )
    rollups = (
        "INSERT INTO label_rollups SELECT model_version, local_day, label, COUNT(*), SUM(score), SUM(confidence) "
        "FROM review_labels GROUP BY model_version, local_day, label"
    )
    with database.writing(engine) as connection:
        connection.execute(sa.text(labels))
        connection.execute(sa.text(rollups))
        watermarks.advance(connection, "before", NOW)
    settle(engine)


def planning(folder: Path, dialect: str, behind: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds to plan a night of new reviews with ``behind`` labelled ones behind it, and to reconcile."""
    with warehouse(folder, dialect, *MODELS) as engine:
        add_history(engine, behind)
        add_reviews(engine, behind + 1, behind + arguments.night, step=0)
        nights = [timed(partial(plan, engine, f"night {night}")) for night in range(arguments.rounds)]
        everything = timed(lambda: plan(engine, "reconciliation", scope="reconcile"))
    return {
        "behind": behind,
        "planned": arguments.night,
        "seconds": statistics.median(nights),
        "seconds_to_reconcile": everything,
    }


def open_run(engine: Engine, idempotency_key: str, scope: str = "new") -> int:
    with database.writing(engine) as connection:
        values = {"idempotency_key": idempotency_key, "scope": scope, "model_version": "before", "variant": "fp32"}
        return int(runs.open_run(connection, **values, due=NOW, now=NOW)["run_id"])


def plan(engine: Engine, idempotency_key: str, scope: str = "new") -> int:
    run = open_run(engine, idempotency_key, scope)
    with database.writing(engine) as connection:
        runs.plan(connection, run)
    return run


def answers(first: int, rows: int) -> staging.Answers:
    keys = range(first, first + rows)
    same = np.full(rows, 0.9)
    return staging.Answers(
        keys,
        [f"{key:032x}" for key in keys],
        np.ones(rows, int),
        same,
        same,
        np.zeros(rows, bool),
        [NOW.date()] * rows,
        NOW,
        {},
    )


PAGES = (ScoreConfig().chunk_rows, 8 * ScoreConfig().chunk_rows)
"""Rows of a chunk: what a CPU scores together, and what a GPU does."""


def compare_staging(folder: Path, dialect: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Rows a second of staging in chunks, each a transaction; of others in one transaction, into tables without a rule:

    bare, the driver's bulk load (binary COPY, or executemany) of the same columns; and pandas, from a frame made
    before.
    """
    rows = arguments.staged
    everything = answers(0, rows)
    frame = pd.DataFrame(_records(everything), columns=[column.name for column in staged_labels.c])
    with warehouse(folder, dialect, *MODELS) as engine:
        add_reviews(engine, 1, 1, step=0)
        run = plan(engine, "night")
        with database.writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE bare AS SELECT * FROM staged_labels")
        ways: dict[str, Callable[[], object]] = {
            str(chunk): partial(
                stage, engine, run, [answers(at, min(chunk, rows - at)) for at in range(0, rows, chunk)]
            )
            for chunk in PAGES
        }
        ways["bare"] = partial(load_bare, engine, everything)
        ways["pandas"] = partial(frame.to_sql, "by_pandas", engine, if_exists="replace", index=False)
        seconds = [{name: timed(way) for name, way in ways.items()} for _ in range(arguments.rounds)]
    return {
        "rows": rows,
        "rows_per_second": {name: rows / statistics.median(one[name] for one in seconds) for name in ways},
        "staging_over": {
            str(chunk): {
                name: statistics.median(one[name] / one[str(chunk)] for one in seconds)
                for name in ("bare", "pandas")
                if name in ways
            }
            for chunk in PAGES
        },
    }


def stage(engine: Engine, run: int, chunks: Sequence[staging.Answers]) -> None:
    with database.writing(engine) as connection:
        claim = _claim(connection, run, 0)
    for chunk in chunks:
        with database.writing(engine) as connection:
            claim = shards.stage(connection, claim, chunk, cursor=chunk.review_ids[-1])


def _records(found: staging.Answers) -> Iterator[tuple[Any, ...]]:
    """The rows of ``staged_labels``, as a driver takes them."""
    columns = (of.tolist() for of in (found.labels, found.scores, found.confidences, found.truncated))
    for row in zip(found.review_ids, found.text_hashes, *columns, found.local_days, strict=True):
        yield (1, 0, 1, *row, found.scored_at, None)


def load_bare(engine: Engine, found: staging.Answers) -> None:
    with database.writing(engine) as connection:
        driver: Any = connection.connection.driver_connection
        if engine.dialect.name == "postgresql":
            with driver.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(COPIED_TYPES)
                for record in _records(found):
                    copy.write_row(record)
        else:
            marks = ", ".join("?" * len(staged_labels.c))
            stored = [
                tuple(str(value) if hasattr(value, "year") else value for value in record) for record in _records(found)
            ]
            driver.executemany(f"INSERT INTO bare VALUES ({marks})", stored)  # noqa: S608  question marks


COPIED_TYPES = (
    "int8",
    "int2",
    "int4",
    "int8",
    "varchar",
    "int2",
    "float8",
    "float8",
    "bool",
    "date",
    "timestamptz",
    "text",
)


def publishing(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """A large night with a long history behind it, then a promotion, a rollback and a month of sentiment_daily."""
    behind, rows = max(arguments.behind), arguments.published
    found: dict[str, Any] = {"behind": behind, "rows": rows}
    with warehouse(folder, "postgresql", *MODELS) as engine:
        add_history(engine, behind)
        add_reviews(engine, behind + 1, behind + rows, step=0)
        found["new"] = publish(engine, "new labels", "new")
        found["promotion_seconds"] = timed(lambda: _in_writing(engine, lambda connection: serve(connection, "after")))
        found["rollback_seconds"] = timed(
            lambda: _in_writing(engine, lambda connection: promote(connection, "before", kind="rollback"))
        )
        month = sa.text("SELECT * FROM sentiment_daily WHERE local_day >= DATE '2026-10-25' ORDER BY local_day")
        with database.reading(engine) as connection:
            found["month_seconds"] = timed(lambda: connection.execute(month).all())
    return found


def publish(engine: Engine, idempotency_key: str, scope: str) -> dict[str, Any]:
    """Seconds of each step, and what publishing wrote."""
    run = open_run(engine, idempotency_key, scope)
    seconds = {"plan": timed(lambda: _in_writing(engine, lambda connection: runs.plan(connection, run)))}
    seconds["read_and_stage"] = timed(lambda: answer_all(engine, run))
    seconds["audit"] = timed(lambda: _in_writing(engine, lambda connection: publication.audit(connection, run)))
    before = _size(engine)
    seconds["publish"] = timed(
        lambda: _in_writing(engine, lambda connection: publication.publish(connection, run, now=NOW))
    )
    after = _size(engine)
    grown = {name: (after[name] - before[name]) / 1e6 for name in before}
    return {"seconds": seconds, "wal_mb": grown["wal"], "grown_mb": grown["labels"]}


def _claim(connection: Connection, run: int, shard: int) -> shards.Claim:
    claim = shards.claim(connection, run, shard)
    if claim is None:
        raise RuntimeError(f"shard {shard} of run {run} is finished already")
    return claim


def answer_all(engine: Engine, run: int) -> None:
    with database.reading(engine) as connection:
        found = connection.execute(sa.text("SELECT shard FROM run_shards WHERE run_id = :run"), {"run": run})
        numbers = list(found.scalars())
    for shard in numbers:
        with database.writing(engine) as connection:
            claim = _claim(connection, run, shard)
        after = None
        while True:
            with database.reading(engine) as connection:
                chunk = shards.read_chunk(connection, run, shard, after=after, limit=ScoreConfig().chunk_rows)
            if not chunk:
                break
            after = chunk[-1].review_id
            with database.writing(engine) as connection:
                claim = shards.stage(connection, claim, answers(chunk[0].review_id, len(chunk)), cursor=after)
        with database.writing(engine) as connection:
            shards.accept(connection, claim)


def _in_writing(engine: Engine, work: Callable[[Connection], object]) -> None:
    with database.writing(engine) as connection:
        work(connection)


def _size(engine: Engine) -> dict[str, float]:
    wal, labels = "pg_current_wal_lsn() - '0/0'", "pg_total_relation_size('review_labels_before')"
    with database.reading(engine) as connection:
        row = connection.exec_driver_sql(f"SELECT {wal}, {labels}").one()
    return {"wal": float(row[0]), "labels": float(row[1])}


def serve(connection: Connection, version: str) -> None:
    """Lets ``version`` serve, as if every review had its label."""
    watermarks.advance(connection, version, NOW)
    promotions.start_service(connection, promote(connection, version)["seq"], now=NOW)


def show(found: dict[str, Any]) -> None:
    say("", "### Planning", "")
    head = ("database, labelled reviews behind", "planned", "s", "× the first", "reconcile, s")
    lines = []
    for name, measured in found["planning"].items():
        for one in measured:
            times = one["seconds"] / measured[0]["seconds"]
            figures = (number(one["seconds"]), number(times), number(one["seconds_to_reconcile"]))
            lines.append((f"{name}, {one['behind']:,}", f"{one['planned']:,}", *figures))
    say(*table(head, lines), "", "### Staging", "")
    others = ("bare", "pandas")
    staged: list[tuple[str, ...]] = [
        (
            f"{name}, chunks of {int(chunk):,}",
            number(one["rows_per_second"][chunk]),
            *(number(one["rows_per_second"].get(other)) for other in others),
            *(number(over.get(other)) for other in others),
        )
        for name, one in found["staging"].items()
        for chunk, over in one["staging_over"].items()
    ]
    say(
        *table(
            ("database", *(f"{name}, rows/s" for name in ("staging", *others)), *(f"over {name}" for name in others)),
            staged,
        )
    )
    one = found["publishing"]
    seconds = one["new"]["seconds"]
    say(
        *("", f"### Publishing {one['rows']:,} labels with {one['behind']:,} behind, PostgreSQL", ""),
        f"- plan {number(seconds['plan'])} s, read and stage {number(seconds['read_and_stage'])} s, audit "
        f"{number(seconds['audit'])} s, publish {number(seconds['publish'])} s",
        f"- WAL {number(one['new']['wal_mb'])} MB, labels grown by {number(one['new']['grown_mb'])} MB",
        f"- promotion {number(1e3 * one['promotion_seconds'])} ms, rollback "
        f"{number(1e3 * one['rollback_seconds'])} ms, "
        f"sentiment_daily over 30 days {number(1e3 * one['month_seconds'])} ms",
    )
    night.show(found["nights"])


def parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser("python -m benchmarks.warehouse", description=(__doc__ or "").partition("\n")[0])
    sizes = {"behind": [100_000, 10_000_000], "behind_sqlite": [100_000, 1_000_000]}
    own.add_argument("--json", action="store_true", help="one JSON object in the place of tables")
    own.add_argument("--folder", type=Path, help="where the databases lie; default: the system's temporary folder")
    own.add_argument("--behind", type=options.whole, nargs="+", default=sizes["behind"], metavar="ROWS")
    own.add_argument("--behind-sqlite", type=options.whole, nargs="+", default=sizes["behind_sqlite"], metavar="ROWS")
    own.add_argument("--night", type=options.whole, default=10_000, help="new reviews to plan; default: %(default)s")
    own.add_argument("--staged", type=options.whole, default=200_000, help="rows to stage; default: %(default)s")
    own.add_argument(
        "--published", type=options.whole, default=1_000_000, help="labels to publish; default: %(default)s"
    )
    own.add_argument("--reviews", type=options.whole, default=100_000, help="of a whole night; default: %(default)s")
    own.add_argument(
        "--memory-reviews",
        type=options.whole,
        nargs=2,
        default=[20_000, 200_000],
        metavar="ROWS",
        help="of the nights whose peak memory is compared; default: 20000 200000",
    )
    own.add_argument("--variants", nargs="+", choices=devices.VARIANTS, help="default: those that pay on this machine")
    own.add_argument("--rounds", type=options.whole, default=3, help="of planning and staging; default: %(default)s")
    return own


def main() -> None:
    options.quieten()
    arguments = parser().parse_args()
    described = machine.describe()
    found = measure(arguments)
    if arguments.json:
        say(json.dumps({**described, **found}, indent=2))
    else:
        say(*machine.lines(described))
        show(found)


if __name__ == "__main__":
    main()
