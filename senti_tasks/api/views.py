"""What the warehouse shows to analysts, as DataFrames with the same types on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from senti_tasks.errors import ConfigError
from senti_tasks.jobs.context import load_context
from senti_tasks.warehouse import column_comments, overview
from senti_tasks.warehouse.migrations import SQL

if TYPE_CHECKING:
    import pandas as pd

_TIMES = {"serving_since"}
"""Columns that hold a timestamp, beside those whose name ends in _at."""
_DAYS = {"day", "week_start", "local_day", "first_day", "last_day"}
_FLAGS = {
    *("agrees", "carried_over", "changed", "in_service", "new_label_alarm", "same_text", "stale", "truncated"),
    "unlike",
}


def views() -> pd.DataFrame:
    """One row per view that analysts query: view (its name) and description (what a row of it means)."""
    import pandas as pd

    files = sorted((SQL / "views").glob("*.sql"))
    rows = [(file.stem, column_comments.of_view(file.read_text("utf-8"))) for file in files]
    return pd.DataFrame(rows, columns=["view", "description"])


def read_view(name: str, *, columns: Iterable[str] | None = None, limit: int | None = None) -> pd.DataFrame:
    """The rows of a view, in no particular order; all its columns, or ``columns`` in their order; at most ``limit``
    rows. Types: see ``read_sql``.

    Raises ``ConfigError`` if there is no view ``name`` (``views`` lists them) or no such column, and ``WarehouseError``
    if the warehouse is not migrated.
    """
    if not (SQL / "views" / f"{name}.sql").is_file():
        raise ConfigError(f"there is no view {name!r}: expected one of {', '.join(views()['view'])}")
    wanted = None if columns is None else list(columns)
    with load_context().reading() as connection:
        found, rows = overview.rows_of_view(connection, name, wanted, limit)
    return _frame(found, rows)


def read_query(name: str) -> pd.DataFrame:
    """The result of ``sql/queries/NAME.sql``, a question that analysts have. Types: see ``read_sql``.

    Raises ``ConfigError`` if there is no such file.
    """
    path = SQL / "queries" / f"{name}.sql"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.sql")))
        raise ConfigError(f"there is no query {name!r}: expected one of {known}")
    return read_sql(path.read_text("utf-8"))


def read_sql(statement: str, **values: Any) -> pd.DataFrame:
    """The result of a SELECT; ``:name`` in it stands for the value of that name. It runs in a read-only transaction.

    Types, by the names of the columns: ``*_at`` and serving_since are timestamps in UTC; day, week_start and the like
    are dates (datetime64); flags such as stale are nullable booleans. The other columns are as the database returns
    them, with exact decimals as floats.

    Raises ``ConfigError`` if the database does not understand the statement.
    """
    with load_context().reading() as connection:
        found, rows = overview.rows_of_query(connection, statement, values)
    return _frame(found, rows)


def _frame(columns: list[str], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    from decimal import Decimal

    import pandas as pd

    frame = pd.DataFrame(rows, columns=columns)
    for name in dict.fromkeys(columns):
        if name.endswith("_at") or name in _TIMES:
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601", errors="coerce")
        elif name in _DAYS:
            frame[name] = pd.to_datetime(frame[name], format="ISO8601", errors="coerce")
        elif name in _FLAGS:
            frame[name] = frame[name].astype("boolean")
        elif frame[name].map(lambda value: isinstance(value, Decimal)).any():
            frame[name] = frame[name].astype(float)
    return frame
