"""Figures about the warehouse that people read: its status, checks of ``reviews``, and rows of views and queries."""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import ConfigError
from senti_tasks.warehouse.database import count_rows, fetch_all
from senti_tasks.warehouse.migrations import SQL, recorded_setting
from senti_tasks.warehouse.models import promotions, registry
from senti_tasks.warehouse.schema import review_annotations, reviews, scoring_runs
from senti_tasks.warehouse.scoring import held_runs, pending, publication_lock, watermarks
from senti_tasks.warehouse.types import is_key, readable

RUNS_SHOWN = 5


def status(connection: Connection, *, overlap: timedelta = pending.DAY) -> dict[str, Any]:
    """The counts of reviews, the models in use, the freeze of publishing if any, the held runs, and the last
    ``RUNS_SHOWN`` runs.

    ``annotated`` counts the reviews that people labelled. ``pending`` counts the reviews that the next run would plan:
    without a label of the model in service, not in a held run, and changed since ``overlap`` before its watermark.
    ``carried_over``, ``incoming`` and ``missing`` are those of the view ``service_health``. ``held`` are the held runs,
    as ``held_runs.waiting`` returns them; their reviews are not in ``pending``. ``withdrawn`` says which variant of the
    model in service was withdrawn, why, and which one serves instead; ``None`` if none was.
    """
    champion = promotions.champion(connection)
    serving = None if champion is None else promotions.in_service(connection)
    total = count_rows(connection, reviews)
    annotated = sa.select(sa.func.count(sa.distinct(review_annotations.c.review_id)))
    newest = sa.select(scoring_runs).order_by(scoring_runs.c.run_id.desc()).limit(RUNS_SHOWN)
    waiting = total
    if serving is not None:
        since = pending.scan_start(watermarks.of(connection, serving), overlap)
        waiting = pending.count(connection, serving, since=since)
    return {
        "reviews": total,
        "annotated": connection.scalar(annotated) or 0,
        "pending": waiting,
        "held": held_runs.waiting(connection),
        "champion": champion,
        "in_service": serving,
        **_service(connection),
        "withdrawn": None if serving is None else _withdrawn(connection, serving),
        "frozen": publication_lock.current_freeze(connection),
        "runs": fetch_all(connection, newest),
    }


def _withdrawn(connection: Connection, serving: str) -> dict[str, Any] | None:
    """variant, withdrawn_at and withdrawn_because of the variant of the model in service that was withdrawn, and the
    variant that serves ``instead``; ``None`` if none was."""
    found = registry.withdrawn(connection, serving)
    if found is None:
        return None
    shown = {name: found[name] for name in ("variant", "withdrawn_at", "withdrawn_because")}
    return shown | {"instead": registry.serving_variant(connection, serving)["variant"]}


def _service(connection: Connection) -> dict[str, Any]:
    """carried_over, incoming and missing of the view ``service_health``."""
    names = ("carried_over", "incoming", "missing")
    found = fetch_all(connection, sa.select(*map(sa.column, names)).select_from(sa.table("service_health")))
    return found[0] if found else {"carried_over": 0, "incoming": None, "missing": 0}


def count_strange(connection: Connection) -> dict[str, int]:
    """How many reviews there are, and how many have a value that the pipeline cannot use, by kind; reads all of them.

    Returns reviews; unversioned (without ``updated_at``) and unkeyed (without a key that can be stored), which are
    never scored; undated (a ``created_at`` that is missing or not readable), whose day is that of their scoring; and
    unreadable (an ``updated_at`` that is not readable), which are scored.
    """
    key, created_at, updated_at = reviews.c.review_id, reviews.c.created_at, reviews.c.updated_at
    conditions = {
        "unversioned": updated_at.is_(None),
        "unkeyed": ~is_key(key),
        "undated": readable(created_at).is_(None),
        "unreadable": sa.and_(updated_at.is_not(None), readable(updated_at).is_(None)),
    }
    counted = [sa.func.count(sa.case((condition, 1))).label(name) for name, condition in conditions.items()]
    (found,) = fetch_all(connection, sa.select(sa.func.count().label("reviews"), *counted).select_from(reviews))
    return found


def unindexed_columns(connection: Connection) -> list[str]:
    """Those of ``review_id`` and ``updated_at`` that have no usable index in ``reviews``, e.g. computed columns of a
    view. Foreign tables count as indexed: this database does not have the list of their indexes."""
    # The planner prefers a sequential scan for a small table. Without this it uses any index that exists.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    some_key = {"bigint": 0, "text": "", "uuid": str(uuid.UUID(int=0))}
    lookups = {
        "review_id": (FIND_BY_KEY, some_key[recorded_setting(connection, "review_id_type")]),
        "updated_at": (FIND_BY_TIME, datetime.now(UTC)),
    }
    explain = "EXPLAIN (FORMAT JSON) " if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    found = []
    for column, (lookup, value) in lookups.items():
        statement = sa.text(explain + lookup).bindparams(sa.bindparam("value", value, type_=reviews.c[column].type))
        if not re.search(r"Index Cond|Foreign Scan|\bSEARCH ", str(connection.execute(statement).all())):
            found.append(column)
    return found


FIND_BY_KEY = "SELECT review_text FROM reviews WHERE review_id = :value"
FIND_BY_TIME = "SELECT review_text FROM reviews WHERE updated_at >= :value"


def run_query(connection: Connection, query: str) -> tuple[str, list[dict[str, Any]]]:
    """The statement of ``sql/queries/QUERY.sql`` and its rows."""
    statement = (SQL / "queries" / f"{query}.sql").read_text("utf-8").strip()
    return statement, fetch_all(connection, sa.text(statement))


def rows_of_query(
    connection: Connection, statement: str, values: Mapping[str, Any]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of a SELECT of a person; ``:name`` in it is the value of that name. Nothing can be written.

    Raises ``ConfigError`` if the database refuses it.
    """
    if connection.dialect.name == "sqlite":  # PostgreSQL's transaction is read-only already
        connection.exec_driver_sql("PRAGMA query_only = ON")
    try:
        found = connection.execute(sa.text(statement), dict(values))
        if not found.returns_rows:
            raise ConfigError("expected a SELECT: the statement returns no rows")
        return list(found.keys()), [tuple(row) for row in found]
    except (sa.exc.ProgrammingError, sa.exc.StatementError) as error:
        if getattr(error, "connection_invalidated", False):
            raise
        cause = getattr(error, "orig", None) or error
        raise ConfigError(f"the warehouse refuses the statement: {str(cause).strip()}") from error


def rows_of_view(
    connection: Connection, name: str, columns: Sequence[str] | None, limit: int | None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of the view ``name``: all columns, or ``columns``; at most ``limit`` rows.

    Raises ``ConfigError`` if it has no such column.
    """
    has = [column["name"] for column in sa.inspect(connection).get_columns(name)]
    if absent := [column for column in columns or () if column not in has]:
        raise ConfigError(f"the view {name} has no column {', '.join(absent)}; it has {', '.join(has)}")
    wanted = has if columns is None else list(columns)
    selected: list[sa.ColumnElement[Any]] = [sa.column(column) for column in wanted]
    statement = sa.select(*selected).select_from(sa.table(name)).limit(limit)
    return wanted, [tuple(row) for row in connection.execute(statement)]


def read_view(connection: Connection, name: str, *, order_by: str, limit: int | None = None) -> list[dict[str, Any]]:
    """At most ``limit`` rows of the view ``name``, the largest ``order_by`` first."""
    rows = sa.select(sa.text("*")).select_from(sa.table(name)).order_by(sa.column(order_by).desc())
    return fetch_all(connection, rows.limit(limit))
