"""Appends answers to ``staged_labels`` as fast as the database takes them: binary COPY on PostgreSQL, one prepared
INSERT on SQLite."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse import binary_copy, partitions
from senti_tasks.warehouse.binary_copy import Column, float8, int2, int4, int8
from senti_tasks.warehouse.schema import staged_labels


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model said of n reviews, a column each, all in one order."""

    review_ids: Sequence[Any]
    text_digests: Sequence[str]
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


COPIED = (
    *("run_id", "shard", "attempt", "text_digest", "truncated", "local_day", "scored_at"),
    *("label", "score", "confidence", "reason", "review_id"),
)
"""The columns in the order in which they are copied."""


def _copy(connection: Connection, run_id: int, shard: int, attempt: int, answers: Answers) -> None:
    # Into the run's partition itself: nothing is routed, and no lock on the whole is taken.
    table = connection.dialect.identifier_preparer.quote(partitions.name_of(staged_labels, run_id))
    statement = f"COPY {table} ({', '.join(COPIED)}) FROM STDIN (FORMAT BINARY)"
    driver: Any = connection.connection.driver_connection
    import psycopg  # SQLite needs no driver of PostgreSQL

    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(binary_copy.BEGIN)
            for rows in copied(run_id, shard, attempt, answers):
                copy.write(rows)
            copy.write(binary_copy.END)
    except psycopg.Error as error:  # as SQLAlchemy, which knows no COPY, would raise it
        raise sa.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error, connection_invalidated=driver.closed, dialect=connection.dialect
        ) from error


COPIED_AT_ONCE = 2_048
"""Rows that are encoded while PostgreSQL stores those before them."""


def copied(run_id: int, shard: int, attempt: int, answers: Answers) -> Iterator[bytes]:
    """``answers`` as rows of ``COPIED``, in parts: those with a label, and then the others."""
    labelled = answers.labels >= 0
    keys = ((run_id, int8), (shard, int2), (attempt, int4))
    for places in (np.flatnonzero(labelled), np.flatnonzero(~labelled)):
        for start in range(0, len(places), COPIED_AT_ONCE):
            part = places[start : start + COPIED_AT_ONCE]
            n, at = len(part), part.tolist()
            columns: list[Column] = [
                *(np.full(n, key, kind) for key, kind in keys),
                np.array([answers.text_digests[place] for place in at], "S32"),
                answers.truncated[part].astype(np.int8),
                binary_copy.dates([answers.local_days[place] for place in at]),
                binary_copy.moments(answers.scored_at, n),
            ]
            if labelled[part[0]]:
                scores = (answers.scores, answers.confidences)
                columns += [answers.labels[part].astype(int2), *(of[part].astype(float8) for of in scores), None]
            else:
                columns += [None, None, None, [answers.reasons[place].encode() for place in at]]
            columns.append(binary_copy.keys([answers.review_ids[place] for place in at]))
            yield binary_copy.rows(columns, n)


def _insert(connection: Connection, run_id: int, shard: int, attempt: int, answers: Answers) -> None:
    labelled = (answers.labels >= 0).tolist()
    columns = {
        "run_id": repeat(run_id),
        "shard": repeat(shard),
        "attempt": repeat(attempt),
        "review_id": answers.review_ids,
        "text_digest": answers.text_digests,
        **{
            name: (value if known else None for value, known in zip(of.tolist(), labelled, strict=True))
            for name, of in (("label", answers.labels), ("score", answers.scores), ("confidence", answers.confidences))
        },
        "truncated": answers.truncated.tolist(),
        "local_day": map(date.isoformat, answers.local_days),
        "scored_at": repeat(answers.scored_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")),  # as SQLAlchemy does
        "reason": map(answers.reasons.get, range(len(answers))),
    }
    statement = sa.insert(staged_labels).compile(dialect=connection.dialect, column_keys=list(columns))
    order = statement.positiontup or []
    rows = list(zip(*(columns[name] for name in order), strict=False))  # some repeat for ever
    connection.exec_driver_sql(str(statement), rows)
