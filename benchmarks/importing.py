"""Import a million reviews from CSV, Parquet and xlsx, beside pandas, which only copies the rows into a new table.

Each import is a process of its own: `senti import`, or pandas with ``read_csv`` (``read_parquet``, ``read_excel``) and
``to_sql``. Seconds include the start of the process. Pandas checks no row, decides on no coding, finds no review again
and writes no annotations; its table has no key.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Engine

from benchmarks import machine
from benchmarks.options import configure_logging, positive_int
from benchmarks.reviews import synthetic
from benchmarks.tables import number, print_lines, table
from benchmarks.temporary_warehouse import DIALECTS, open_warehouse
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import reviews

SHEET_ROWS = 1_048_575
"""Rows of a sheet of .xlsx, without the header."""
FORMATS = ("csv", "parquet", "xlsx")
COLUMNS = ("review", "label", "product", "created_at", "city")
_TEXTS = 20_000  # different ones; the rows have a number behind them
_WITH_PANDAS = """
import sys
import pandas as pd
import sqlalchemy as sa
path, url = sys.argv[1:]
read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "xlsx": pd.read_excel}[path.rpartition(".")[2]]
read(path).to_sql("copied", sa.create_engine(url), if_exists="replace", index=False, chunksize=10_000)
"""


def write(folder: Path, form: str, rows: int) -> Path:
    """A file of ``rows`` reviews, all different."""
    texts = synthetic("short", _TEXTS)
    frame = pd.DataFrame(
        {
            "review": [f"{texts[row % len(texts)]}{row}" for row in range(rows)],
            "label": [row % 2 for row in range(rows)],
            "product": [f"店{row % 500}" for row in range(rows)],
            "created_at": pd.date_range("2024-01-01", periods=rows, freq="min").strftime("%Y-%m-%d %H:%M:%S"),
            "city": [("北京", "上海", "广州")[row % 3] for row in range(rows)],
        }
    )
    file = folder / f"reviews.{form}"
    if form == "csv":
        frame.to_csv(file, index=False)
    elif form == "parquet":
        frame.to_parquet(file, index=False)
    else:
        _write_sheet(file, frame)
    return file


def _write_sheet(file: Path, frame: pd.DataFrame) -> None:
    from openpyxl import Workbook

    book = Workbook(write_only=True)  # to_excel would hold all cells in memory
    sheet = book.create_sheet()
    sheet.append(list(frame.columns))
    for row in frame.itertuples(index=False):
        sheet.append(list(row))
    book.save(file)


def measure(folder: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per format, database and program: seconds, rows per second, peak memory, and seconds of a repetition."""
    found = []
    for form in arguments.formats:
        rows = min(arguments.rows, SHEET_ROWS) if form == "xlsx" else arguments.rows
        file = write(folder, form, rows)
        for dialect in arguments.dialects:
            with open_warehouse(folder, dialect, {"version": "m"}) as engine:
                common = {"format": form, "database": dialect, "rows": rows}
                found.append({**common, "program": "senti", **_import(engine, file, folder, rows)})
                if arguments.pandas:
                    url = engine.url.render_as_string(hide_password=False)
                    copied = _run([sys.executable, "-c", _WITH_PANDAS, str(file), url], {})
                    found.append({**common, "program": "pandas", **copied, "rows_per_second": rows / copied["seconds"]})
        file.unlink()
    return found


def _import(engine: Engine, file: Path, folder: Path, rows: int) -> dict[str, Any]:
    settings = {"SENTI_HOME": str(folder), "SENTI_DATABASE_URL": engine.url.render_as_string(hide_password=False)}
    command = [sys.executable, "-m", "senti_tasks", "import", str(file), "--json"]
    first = _run(command, settings)
    with database.reading(engine) as connection:
        stored = connection.scalar(sa.select(sa.func.count()).select_from(reviews))
    if stored != rows:
        raise SystemExit(f"{stored} of {rows} reviews were imported")
    again = _run(command, settings)
    return {**first, "rows_per_second": rows / first["seconds"], "again_seconds": again["seconds"]}


_LAUNCHER = """
import json, os, resource, sys, time
started = time.perf_counter()
status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)[1])
seconds, peak = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"status": status, "seconds": seconds, "peak_mb": peak}), file=sys.stderr)
"""
"""A small process: the peak that the system reports of a child is at least what its parent had when it began."""


def _run(command: list[str], settings: dict[str, str]) -> dict[str, Any]:
    """Seconds and peak memory of a process."""
    done = subprocess.run(  # noqa: S603  this interpreter, with our own arguments
        [sys.executable, "-ISc", _LAUNCHER, *command],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    if found.pop("status"):
        raise SystemExit(f"{command[-2:]} has failed: {done.stderr}")
    return found


def show(results: list[dict[str, Any]]) -> None:
    """Prints the result of ``measure`` as Markdown."""
    names = ("format", "database", "program")
    rows = [
        (
            *(one[name] for name in names),
            *(f"{one['rows']:,}", number(one["seconds"]), number(one["rows_per_second"]), number(one["peak_mb"])),
            number(one.get("again_seconds")),
        )
        for one in results
    ]
    print_lines(*table((*names, "rows", "seconds", "rows/s", "peak MB", "again, seconds"), rows))


def main() -> None:
    configure_logging()
    parser = argparse.ArgumentParser("python -m benchmarks.importing", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=positive_int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--dialects", nargs="+", choices=DIALECTS, default=DIALECTS)
    parser.add_argument("--no-pandas", dest="pandas", action="store_false")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), arguments)
    if arguments.json:
        print_lines(json.dumps({**machine.describe(), "importing": results}, indent=2))
    else:
        print_lines(*machine.lines(machine.describe()), "")
        show(results)


if __name__ == "__main__":
    main()
