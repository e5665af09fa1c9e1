"""Rows in PostgreSQL's binary COPY format, encoded a column at a time.

The format: https://www.postgresql.org/docs/current/sql-copy.html, 'Binary Format'; a value looks as its type's ``send``
function writes it. A driver encodes value by value, which takes about as long as PostgreSQL takes to store them.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

int2, int4, int8, float8 = (np.dtype(name) for name in (">i2", ">i4", ">i8", ">f8"))

Column = npt.NDArray[Any] | Sequence[bytes] | None
"""Of n rows: an array (n,) of values of one width, in network byte order; or n values of any width; or NULL in all."""


def rows(columns: Sequence[Column], n: int) -> bytes:
    """``n`` rows of these columns, in order. A COPY has ``BEGIN`` before its first row and ``END`` after its last.

    Values of any width cost more, and so does what comes after them.
    """
    fixed = next((at for at, column in enumerate(columns) if not _is_fixed(column)), len(columns))
    layout: list[tuple[str, Any]] = [("columns", int2)]
    for number, column in enumerate(columns[:fixed]):
        layout.append((f"width {number}", int4))
        if isinstance(column, np.ndarray):
            layout.append((f"value {number}", column.dtype))
    records = np.empty(n, layout)  # without padding
    records["columns"] = len(columns)
    for number, column in enumerate(columns[:fixed]):
        records[f"width {number}"] = column.dtype.itemsize if isinstance(column, np.ndarray) else -1
        if isinstance(column, np.ndarray):
            records[f"value {number}"] = column
    if fixed == len(columns):
        return records.tobytes()
    rests = ([len(value).to_bytes(4) + value for value in _values(column)] for column in columns[fixed:])
    return b"".join(b"".join(parts) for parts in zip(_values(records), *rests, strict=True))


def _is_fixed(column: Column) -> bool:
    return column is None or isinstance(column, np.ndarray)


def _values(column: Column) -> Sequence[bytes]:
    """The encoded values one by one. A NULL has none: such a column comes before those of any width."""
    if column is None:
        raise ValueError("expected a column of values after one of any width, found one of NULL: put it before")
    if not isinstance(column, np.ndarray):
        return column
    encoded, size = column.tobytes(), column.dtype.itemsize
    return [encoded[start : start + size] for start in range(0, len(encoded), size)]


def dates(values: Sequence[date]) -> npt.NDArray[Any]:
    """A column of type date: days since ``EPOCH``."""
    # Not by datetime64, which takes eight times as long for objects as it takes PostgreSQL to store them.
    first = EPOCH.toordinal()
    return np.array([value.toordinal() - first for value in values], int4)


def moments(value: datetime, n: int) -> npt.NDArray[Any]:
    """A column of type timestamptz that says the same aware time n times: microseconds since ``EPOCH``."""
    return np.full(n, (value - EPOCH) // timedelta(microseconds=1), int8)


def keys(values: Sequence[Any]) -> Column:
    """A column of keys, all of one type: int, UUID or str."""
    if isinstance(values[0], int):
        return np.asarray(values, int8)
    if isinstance(values[0], uuid.UUID):
        return np.frombuffer(b"".join(value.bytes for value in values), "V16")
    return [value.encode() for value in values]
