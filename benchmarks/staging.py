"""The speed of staging labels, compared with a bulk load by the database driver and with pandas."""

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine

from benchmarks.temporary_warehouse import MODELS, NOW, add_reviews, open_warehouse, plan_run
from benchmarks.timer import seconds_of
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.warehouse import database
from senti_tasks.warehouse.schema import staged_labels
from senti_tasks.warehouse.scoring import shards, staging

CHUNK_SIZES = (ScoreConfig().chunk_rows, 8 * ScoreConfig().chunk_rows)
"""Rows of a chunk in scoring on a CPU, and on a GPU."""
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
    "text",
    "timestamptz",
    "text",
)
"""PostgreSQL's types of the columns of ``staged_labels``, for a binary COPY."""


def measure(folder: Path, dialect: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Rows per second of staging, which writes chunks in a transaction each, and of two loads in one transaction.

    The loads write into tables without constraints. "bare" is the driver's bulk load of the same columns: binary COPY
    on PostgreSQL, executemany on SQLite. "pandas" is ``DataFrame.to_sql``; making the frame is not in the time.
    """
    rows = arguments.staged
    answers = make_answers(0, rows)
    frame = pd.DataFrame(_records(answers), columns=[column.name for column in staged_labels.c])
    with open_warehouse(folder, dialect, *MODELS) as engine:
        add_reviews(engine, 1, 1, step=0)
        run = plan_run(engine, "staging")
        with database.writing(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE bare AS SELECT * FROM staged_labels")
        loads: dict[str, Callable[[], object]] = {
            str(size): partial(
                stage, engine, run, [make_answers(start, min(size, rows - start)) for start in range(0, rows, size)]
            )
            for size in CHUNK_SIZES
        }
        loads["bare"] = partial(load_bare, engine, answers)
        loads["pandas"] = partial(frame.to_sql, "by_pandas", engine, if_exists="replace", index=False)
        seconds = [{name: seconds_of(load) for name, load in loads.items()} for _ in range(arguments.rounds)]
    return {
        "rows": rows,
        "rows_per_second": {name: rows / statistics.median(one[name] for one in seconds) for name in loads},
        "staging_over": {
            str(size): {
                name: statistics.median(one[name] / one[str(size)] for one in seconds) for name in ("bare", "pandas")
            }
            for size in CHUNK_SIZES
        },
    }


def make_answers(first: int, rows: int) -> staging.Answers:
    """Synthetic labels of ``rows`` reviews, whose keys start at ``first``."""
    keys = range(first, first + rows)
    scores = np.full(rows, 0.9)
    return staging.Answers(
        keys,
        [f"{key:032x}" for key in keys],
        np.ones(rows, int),
        scores,
        scores,
        np.zeros(rows, bool),
        [NOW.date()] * rows,
        [f"p{key % 100}" for key in keys],
        NOW,
        {},
    )


def claim_shard(connection: Connection, run: int, shard: int) -> shards.Claim:
    """Claims a shard. Raises ``RuntimeError`` if it is already finished."""
    claim = shards.claim(connection, run, shard)
    if claim is None:
        raise RuntimeError(f"expected an unfinished shard {shard} of run {run}, found it finished")
    return claim


def stage(engine: Engine, run: int, chunks: Sequence[staging.Answers]) -> None:
    """Stages ``chunks`` in shard 0 of ``run``, each in its own transaction."""
    with database.writing(engine) as connection:
        claim = claim_shard(connection, run, 0)
    for chunk in chunks:
        with database.writing(engine) as connection:
            claim = shards.stage(connection, claim, chunk, cursor=chunk.review_ids[-1])


def load_bare(engine: Engine, answers: staging.Answers) -> None:
    """Loads ``answers`` into the table ``bare`` with the driver's bulk load, in one transaction."""
    with database.writing(engine) as connection:
        driver: Any = connection.connection.driver_connection
        if engine.dialect.name == "postgresql":
            with driver.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(COPIED_TYPES)
                for record in _records(answers):
                    copy.write_row(record)
        else:
            placeholders = ", ".join("?" * len(staged_labels.c))
            # SQLite has no date type: dates and timestamps are stored as text.
            records = [
                tuple(str(value) if hasattr(value, "year") else value for value in record)
                for record in _records(answers)
            ]
            driver.executemany(f"INSERT INTO bare VALUES ({placeholders})", records)  # noqa: S608  question marks only


def _records(answers: staging.Answers) -> Iterator[tuple[Any, ...]]:
    """The rows of ``staged_labels`` for ``answers``, as tuples of Python values in the order of the columns."""
    columns = (values.tolist() for values in (answers.labels, answers.scores, answers.confidences, answers.truncated))
    keys = (answers.review_ids, answers.text_hashes)
    for row in zip(*keys, *columns, answers.local_days, answers.products, strict=True):
        yield (1, 0, 1, *row, answers.scored_at, None)
