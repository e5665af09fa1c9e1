"""The first labels of a large table: ranges of keys, two processes side by side, one of them killed in the middle.

The warehouse is on PostgreSQL, and no review has a label. The model is ``scratch:tiny`` (2 layers, 128 wide, random
weights), so that the database is a large part of the work. Two processes of `senti score` share the work; when half of
the ranges are published, one of them is killed with SIGKILL and started again.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from sqlalchemy import Engine

from benchmarks.options import configure_logging, positive_int
from benchmarks.reviews import synthetic
from benchmarks.scoring_run import _store_model as store_model
from benchmarks.tables import number, print_lines, table
from benchmarks.temporary_warehouse import add_reviews, open_warehouse, vacuum
from benchmarks.workers import run_in_process
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import review_labels, scoring_runs

PROCESSES = 2
LOOK_S = 0.5
"""Seconds between two looks at the processes and at the runs."""


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Labels ``arguments.reviews`` reviews; returns seconds, the figures of each range, and the peak memory."""
    home = folder / "home"
    model = run_in_process(store_model, home, arguments.variant, synthetic("short", 2_000)).value
    with open_warehouse(folder, "postgresql", model) as engine:
        add_reviews(engine, 1, arguments.reviews, step=0)
        vacuum(engine)
        return _score(engine, home)


def _score(engine: Engine, home: Path) -> dict[str, Any]:
    settings = {"SENTI_HOME": home, "SENTI_ARTIFACTS": "artifacts", "SENTI_WORK": "work", "SENTI_DEVICE": "cpu"}
    settings["SENTI_DATABASE_URL"] = engine.url.render_as_string(hide_password=False)
    environment = {**os.environ, **{name: str(value) for name, value in settings.items()}, "OMP_NUM_THREADS": "1"}

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "senti_tasks", "score"], env=environment, stdout=subprocess.DEVNULL
        )

    started, wal = time.perf_counter(), _wal(engine)
    running = [start() for _ in range(PROCESSES)]
    peaks: dict[int, int] = {}
    killed, published, ranges = None, 0, []
    while any(process.poll() is None for process in running):
        time.sleep(LOOK_S)
        for process in running:
            if process.poll() is None:
                peaks[process.pid] = max(peaks.get(process.pid, 0), _memory(process.pid))
        states = _states(engine)
        if states.count("published") > published:
            published, position = states.count("published"), _wal(engine)
            ranges.append({"published": published, "seconds": time.perf_counter() - started, "wal": position - wal})
        if killed is None and published and published >= len(states) // 2:
            os.kill(running[0].pid, signal.SIGKILL)
            running[0].wait()
            killed = time.perf_counter() - started
            running.append(start())
    with database.reading(engine) as connection:
        labels = connection.scalar(sa.select(sa.func.count()).select_from(review_labels))
        attempts = connection.exec_driver_sql("SELECT count(*) FROM run_shards WHERE attempt > 1").scalar()
    return {
        "codes": [process.returncode for process in running],
        "seconds": time.perf_counter() - started,
        "killed_after": killed,
        "resumed_shards": attempts,
        "labels": labels,
        "states": sorted(set(_states(engine))),
        "ranges": ranges,
        "wal": _wal(engine) - wal,
        "publications": _publications(engine),
        "peak_mb": [peak / 1e6 for peak in peaks.values()],
    }


def _wal(engine: Engine) -> int:
    """The position in the write-ahead log, in bytes."""
    with database.reading(engine) as connection:
        position = connection.exec_driver_sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").scalar()
    return int(position or 0)


def _states(engine: Engine) -> list[str]:
    with database.reading(engine) as connection:
        return list(connection.execute(sa.select(scoring_runs.c.state)).scalars())


def _publications(engine: Engine) -> list[dict[str, Any]]:
    wanted = (scoring_runs.c.run_id, scoring_runs.c.planned, scoring_runs.c.labelled)
    with database.reading(engine) as connection:
        return [dict(row) for row in connection.execute(sa.select(*wanted).order_by(wanted[0])).mappings()]


def _memory(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def show(reviews: int, results: dict[str, Any]) -> None:
    """Prints the result of ``measure`` as Markdown."""
    print_lines(
        "",
        f"### The first labels of {reviews:,} reviews: {len(results['publications'])} ranges, {PROCESSES} processes",
        "",
        f"{results['seconds']:,.0f} s, {results['labels'] / results['seconds']:,.0f} reviews/s; "
        f"{results['labels']:,} labels. One process was killed after {results['killed_after'] or 0:,.0f} s; "
        f"{results['resumed_shards']} shards were continued by another attempt. "
        f"Peak memory: {', '.join(f'{peak:,.0f} MB' for peak in results['peak_mb'])}. "
        f"WAL: {results['wal'] / 1e6:,.0f} MB, {results['wal'] / len(results['publications']) / 1e6:,.0f} MB a range.",
        "",
    )
    rows = [(str(one["published"]), number(one["seconds"]), f"{one['wal'] / 1e6:,.0f}") for one in results["ranges"]]
    print_lines(*table(("ranges published", "seconds", "WAL so far, MB"), rows))


def main() -> None:
    configure_logging()
    parser = argparse.ArgumentParser("python -m benchmarks.large_table", description=__doc__)
    parser.add_argument("--reviews", type=positive_int, default=2_000_000)
    parser.add_argument("--variant", default="fp32")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), arguments)
    if arguments.json:
        print_lines(json.dumps(results, indent=2))
    else:
        show(arguments.reviews, results)


if __name__ == "__main__":
    main()
