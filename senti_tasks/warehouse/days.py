"""The days on which reviews were written, ``local_day``: computes them again after a change of SENTI_TIMEZONE."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Table

from senti_tasks.errors import WarehouseError
from senti_tasks.warehouse.database import upsert
from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import (
    label_rollups,
    review_label_history,
    review_labels,
    reviews,
    run_shards,
    scoring_runs,
    staged_labels,
    warehouse_settings,
)
from senti_tasks.warehouse.scoring import publication_lock, rollups
from senti_tasks.warehouse.types import readable

TABLES = {"labels": review_labels, "history": review_label_history, "staged": staged_labels}


def recount(connection: Connection, timezone: str) -> dict[str, Any] | None:
    """Gives each label its day in ``timezone`` (an IANA name), rebuilds the rollups and records the time zone.

    The day is that of the review's present ``created_at``, or of the scoring if that is no readable time. Labels of
    reviews that are no longer in ``reviews`` keep their day. Returns before and after (time zones), and how many rows
    got another day: labels, history and staged; ``None``, without a change, if ``timezone`` is the recorded one. Raises
    ``WarehouseError`` while a shard is being scored, because its next rows would have the former days.
    """
    publication_lock.take(connection)  # no run is published meanwhile
    before = recorded_setting(connection, "timezone")
    if before == timezone:
        return None
    _require_no_scoring(connection, before)
    changed = {name: _recount(connection, table, timezone) for name, table in TABLES.items()}
    for version in connection.execute(sa.select(label_rollups.c.model_version).distinct()).scalars().all():
        rollups.rebuild(connection, version)
    connection.execute(upsert(connection, warehouse_settings), {"name": "timezone", "value": timezone})
    return {"before": before, "after": timezone, **changed}


def _require_no_scoring(connection: Connection, timezone: str) -> None:
    under_way = (
        sa.select(run_shards.c.run_id)
        .join(scoring_runs, scoring_runs.c.run_id == run_shards.c.run_id)
        .where(scoring_runs.c.state == "planned", run_shards.c.attempt > 0, run_shards.c.accepted_attempt.is_(None))
        .limit(1)
    )
    if (run := connection.scalar(under_way)) is not None:
        raise WarehouseError(
            f"run {run} is being scored with the days of {timezone}: nothing was changed. Set SENTI_TIMEZONE back and "
            f"wait for the run, or finish it with `senti score --run {run}`; then recount the days"
        )


def _recount(connection: Connection, table: Table, timezone: str) -> int:
    day = _day_in(connection, timezone, sa.func.coalesce(readable(reviews.c.created_at), table.c.scored_at))
    outdated = sa.update(table).where(reviews.c.review_id == table.c.review_id, table.c.local_day != day)
    return connection.execute(outdated.values(local_day=day)).rowcount


def _day_in(connection: Connection, timezone: str, timestamp: ColumnElement[Any]) -> ColumnElement[Any]:
    """The day of ``timestamp`` in ``timezone``; SQLite knows no time zones, so it calls Python for that."""
    if connection.dialect.name == "postgresql":
        return sa.cast(sa.func.timezone(timezone, timestamp), sa.Date)
    zone = ZoneInfo(timezone)

    def local_day(stored: str) -> str:
        found = datetime.fromisoformat(stored)
        return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).astimezone(zone).date().isoformat()

    driver: Any = connection.connection.driver_connection
    driver.create_function("senti_local_day", 1, local_day, deterministic=True)
    return sa.func.senti_local_day(timestamp, type_=sa.Date)
