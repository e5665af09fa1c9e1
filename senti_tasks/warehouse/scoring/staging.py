"""Appends labels to ``staged_labels``: binary COPY on PostgreSQL, one prepared INSERT on SQLite."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse import partitions
from senti_tasks.warehouse.schema import staged_labels


@dataclass(frozen=True, slots=True)
class Answers:
    """The result of scoring n reviews, a column each, all in the same order."""

    review_ids: Sequence[Any]
    text_hashes: Sequence[str]
    labels: npt.NDArray[np.int64]
    """(n,); -1 where there is a reason instead."""
    scores: npt.NDArray[np.float64]
    """(n,), in [0, 1]."""
    confidences: npt.NDArray[np.float64]
    """(n,), in [0, 1]."""
    truncated: npt.NDArray[np.bool_]
    """(n,)"""
    local_days: Sequence[date]
    scored_at: datetime
    reasons: Mapping[int, str]
    """Why reviews could not be scored, by position."""

    def __len__(self) -> int:
        return len(self.review_ids)


def append(connection: Connection, run_id: int, shard: int, attempt: int, answers: Answers) -> None:
    """Appends ``answers`` under these keys, all or none."""
    if not len(answers):
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, run_id, shard, attempt, answers)
    else:
        _insert(connection, run_id, shard, attempt, answers)


TYPES = {
    "run_id": "int8",
    "shard": "int2",
    "attempt": "int4",
    "text_hash": "varchar",
    "label": "int2",
    "score": "float8",
    "confidence": "float8",
    "truncated": "bool",
    "local_day": "date",
    "scored_at": "timestamptz",
    "reason": "text",
}
"""PostgreSQL's types of the columns, but for the review_id, in the order in which they are copied."""
KEY_TYPES = {int: "int8", str: "text", uuid.UUID: "uuid"}


def _copy(connection: Connection, run_id: int, shard: int, attempt: int, answers: Answers) -> None:
    # Into the run's partition itself: nothing is routed, and no lock on the whole table is taken.
    table = connection.dialect.identifier_preparer.quote(partitions.name_of(staged_labels, run_id))
    statement = f"COPY {table} ({', '.join(TYPES)}, review_id) FROM STDIN (FORMAT BINARY)"
    driver: Any = connection.connection.driver_connection
    import psycopg  # SQLite needs no driver of PostgreSQL

    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([*TYPES.values(), KEY_TYPES[type(answers.review_ids[0])]])
            for row in _rows(run_id, shard, attempt, answers):
                copy.write_row(row)
    except psycopg.Error as error:  # as SQLAlchemy, which knows no COPY, would raise it
        raise sa.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error, connection_invalidated=driver.closed, dialect=connection.dialect
        ) from error


def _rows(run_id: int, shard: int, attempt: int, answers: Answers) -> Iterator[tuple[Any, ...]]:
    """The rows in the order of ``TYPES``, with the review_id last."""
    columns = _columns(answers)
    return zip(
        *(repeat(key) for key in (run_id, shard, attempt)),
        answers.text_hashes,
        *(columns[name] for name in ("label", "score", "confidence", "truncated")),
        answers.local_days,
        repeat(answers.scored_at),
        columns["reason"],
        answers.review_ids,
        strict=False,  # some repeat for ever
    )


def _columns(answers: Answers) -> dict[str, Sequence[Any]]:
    """The columns that come as arrays, as Python values; without a label, score and confidence where there is a
    reason."""
    labelled = (answers.labels >= 0).tolist()
    arrays = (("label", answers.labels), ("score", answers.scores), ("confidence", answers.confidences))
    return {
        **{
            name: [value if known else None for value, known in zip(of.tolist(), labelled, strict=True)]
            for name, of in arrays
        },
        "truncated": answers.truncated.tolist(),
        "reason": [answers.reasons.get(position) for position in range(len(answers))],
    }


def _insert(connection: Connection, run_id: int, shard: int, attempt: int, answers: Answers) -> None:
    columns = {
        "run_id": repeat(run_id),
        "shard": repeat(shard),
        "attempt": repeat(attempt),
        "review_id": answers.review_ids,
        "text_hash": answers.text_hashes,
        **_columns(answers),
        "local_day": map(date.isoformat, answers.local_days),
        "scored_at": repeat(answers.scored_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")),  # as SQLAlchemy does
    }
    statement = sa.insert(staged_labels).compile(dialect=connection.dialect, column_keys=list(columns))
    order = statement.positiontup or []
    rows = list(zip(*(columns[name] for name in order), strict=False))  # some repeat for ever
    connection.exec_driver_sql(str(statement), rows)
