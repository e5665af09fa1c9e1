"""The publication lock, one row that each publication locks, and the freeze of publishing that it records.

A freeze stops publications only. Runs are still scored and audited, and then wait.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import FrozenError
from senti_tasks.warehouse.database import fetch_all, fetch_one
from senti_tasks.warehouse.schema import publication_lock as table


def take(connection: Connection) -> dict[str, Any]:
    """Locks the row until the transaction ends, and returns it: the newest publish_seq and the freeze, if any. Every
    transaction that changes published labels takes this lock first."""
    unchanged = sa.update(table).values(publish_seq=table.c.publish_seq)
    (row,) = fetch_all(connection, unchanged.returning(table))
    return row


def advance(connection: Connection, publish_seq: int) -> None:
    """Records the number of the newest publication."""
    connection.execute(sa.update(table).values(publish_seq=publish_seq))


def freeze(connection: Connection, *, by: str, reason: str, now: datetime) -> dict[str, Any]:
    """Freezes publishing, after a running publication has ended; returns the freeze as ``current_freeze`` does. If
    publishing is already frozen, that freeze stays as it is."""
    unfrozen = sa.update(table).where(table.c.frozen_at.is_(None))
    connection.execute(unfrozen.values(frozen_at=now, frozen_by=by, frozen_reason=reason))
    return current_freeze(connection) or {}


def unfreeze(connection: Connection) -> bool:
    """Ends the freeze; returns whether there was one."""
    frozen = sa.update(table).where(table.c.frozen_at.is_not(None))
    return connection.execute(frozen.values(frozen_at=None, frozen_by=None, frozen_reason=None)).rowcount == 1


def current_freeze(connection: Connection) -> dict[str, Any] | None:
    """The freeze of publishing: frozen_at, frozen_by and frozen_reason; ``None`` when publishing is not frozen."""
    frozen = sa.select(table.c.frozen_at, table.c.frozen_by, table.c.frozen_reason)
    return fetch_one(connection, frozen.where(table.c.frozen_at.is_not(None)))


def require_unfrozen(row: Mapping[str, Any], run_id: int) -> None:
    """Raises ``FrozenError`` when ``row``, as ``take`` returns it, has a freeze; ``run_id`` is for the message."""
    if row["frozen_at"] is not None:
        raise FrozenError(
            f"run {run_id} is scored and audited, and waits: publishing was frozen by {row['frozen_by']} on "
            f"{row['frozen_at']:%Y-%m-%d %H:%M} UTC ({row['frozen_reason']}). After `senti unfreeze` clear the "
            f"task, or run `senti score --run {run_id}`"
        )
