"""Appends labels to ``staged_labels``: with a binary COPY on PostgreSQL, with one prepared INSERT on SQLite."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
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
    """The result of scoring n reviews, in columns of n values in the same order."""

    review_ids: Sequence[Any]
    text_hashes: Sequence[str]
    labels: npt.NDArray[np.int64]
    """(n,); -1 if the review could not be scored."""
    scores: npt.NDArray[np.float64]
    """(n,), in [0, 1]."""
    confidences: npt.NDArray[np.float64]
    """(n,), in [0, 1]."""
    truncated: npt.NDArray[np.bool_]
    """(n,)"""
    local_days: Sequence[date]
    products: Sequence[str | None]
    scored_at: datetime
    reasons: Mapping[int, str]
    """Why reviews could not be scored, by their position."""
    characters: npt.NDArray[np.int64] | None = None
    """(n,): characters of the texts. This and the next three are ``None`` if the model has no profile of its texts."""
    unknown_characters: npt.NDArray[np.int64] | None = None
    """(n,): characters for which the model has no token."""
    unlike: npt.NDArray[np.bool_] | None = None
    """(n,): whether the text is unlike those of the training."""
    unlikeness: npt.NDArray[np.float32] | None = None
    """(n,): how unlike those of the training the text is; mean 0 and standard deviation 1 on the validation split."""
    escalated: Sequence[bool | None] | None = None
    """(n,): whether the last stage of a cascade answered; ``None`` for answers that were known before, and without a
    cascade."""
    checked_labels: Sequence[int | None] | None = None
    """(n,): the label of the last stage for an answer in the sample that is checked."""

    def __len__(self) -> int:
        return len(self.review_ids)


def append(connection: Connection, run_id: int, shard: int, attempt: int, answers: Answers) -> None:
    """Appends a row for each review of ``answers``, all or none. Appends nothing if ``answers`` are empty."""
    if not len(answers):
        return
    labelled = (answers.labels >= 0).tolist()

    def values(column: npt.NDArray[Any]) -> list[Any]:
        return [value if known else None for value, known in zip(column.tolist(), labelled, strict=True)]

    columns: dict[str, Iterable[Any]] = {
        "run_id": repeat(run_id),
        "shard": repeat(shard),
        "attempt": repeat(attempt),
        "review_id": answers.review_ids,
        "text_hash": answers.text_hashes,
        "label": values(answers.labels),
        "score": values(answers.scores),
        "confidence": values(answers.confidences),
        "truncated": answers.truncated.tolist(),
        "local_day": answers.local_days,
        "product": answers.products,
        "scored_at": repeat(answers.scored_at),
        "reason": map(answers.reasons.get, range(len(answers))),
        "characters": _optional(answers.characters),
        "unknown_characters": _optional(answers.unknown_characters),
        "unlike": _optional(answers.unlike),
        "unlikeness": _optional(answers.unlikeness),
        "escalated": answers.escalated or repeat(None),
        "checked_label": answers.checked_labels or repeat(None),
    }
    if connection.dialect.name == "postgresql":
        _copy(connection, run_id, columns, KEY_TYPES[type(answers.review_ids[0])])
    else:
        columns["local_day"] = map(date.isoformat, answers.local_days)
        columns["scored_at"] = repeat(answers.scored_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"))
        _insert(connection, columns)


def _optional(column: npt.NDArray[Any] | None) -> Iterable[Any]:
    return repeat(None) if column is None else column.tolist()


KEY_TYPES = {int: "int8", str: "text", uuid.UUID: "uuid"}
"""The PostgreSQL type of the review_id by its Python type."""


def _copy(connection: Connection, run_id: int, columns: Mapping[str, Iterable[Any]], key_type: str) -> None:
    types = {
        column.name: column.type.compile(connection.dialect).lower().split("(")[0]  # psycopg has no lengths
        for column in staged_labels.c
        if column.name != "review_id"
    }
    types["review_id"] = key_type
    # Copying into the run's own partition needs no routing of rows and no lock on the whole table.
    table = connection.dialect.identifier_preparer.quote(partitions.name_of(staged_labels, run_id))
    statement = f"COPY {table} ({', '.join(types)}) FROM STDIN (FORMAT BINARY)"
    driver: Any = connection.connection.driver_connection
    import psycopg  # here, because a warehouse in SQLite does not need it

    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(list(types.values()))
            for row in zip(*(columns[name] for name in types), strict=False):  # ``repeat`` has no end
                copy.write_row(row)
    except psycopg.Error as error:  # SQLAlchemy does not see the COPY: raise what it would raise
        raise sa.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error, connection_invalidated=driver.closed, dialect=connection.dialect
        ) from error


def _insert(connection: Connection, columns: Mapping[str, Iterable[Any]]) -> None:
    # The statement is compiled once, and the driver gets tuples: SQLAlchemy would process each value of each row.
    statement = sa.insert(staged_labels).compile(dialect=connection.dialect, column_keys=list(columns))
    rows = list(zip(*(columns[name] for name in statement.positiontup or []), strict=False))  # ``repeat`` has no end
    connection.exec_driver_sql(str(statement), rows)
