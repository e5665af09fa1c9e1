"""The publication lock: one row, whose lock makes publications follow one another, and the switch that freezes them.

A freeze holds back publications only: runs are still scored and audited, and wait.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import FrozenError
from senti_tasks.warehouse.schema import publication_lock as table


def take(connection: Connection) -> dict[str, Any]:
    """Locks the row until the transaction ends, and returns it: the newest publish_seq and the freeze, if any.

    Everything that changes published labels takes this lock first.
    """
    unchanged = sa.update(table).values(publish_seq=table.c.publish_seq)
    return dict(connection.execute(unchanged.returning(table)).mappings().one())


def advance(connection: Connection, publish_seq: int) -> None:
    """Records the number of the newest publication."""
    connection.execute(sa.update(table).values(publish_seq=publish_seq))


def freeze(connection: Connection, *, by: str, reason: str, now: datetime) -> dict[str, Any]:
    """Freezes publishing, and returns since when, by whom and why.

    A publication under way is finished first. A freeze that is in force already stays as it is.
    """
    unfrozen = table.c.frozen_at.is_(None)
    values = {"frozen_at": now, "frozen_by": by, "frozen_reason": reason}
    connection.execute(sa.update(table).where(unfrozen).values(values))
    return freeze_in_force(connection) or {}


def unfreeze(connection: Connection) -> bool:
    """Ends the freeze; returns whether there was one."""
    frozen = table.c.frozen_at.is_not(None)
    nothing = dict.fromkeys(("frozen_at", "frozen_by", "frozen_reason"))
    return connection.execute(sa.update(table).where(frozen).values(nothing)).rowcount == 1


def freeze_in_force(connection: Connection) -> dict[str, Any] | None:
    """Since when, by whom and why publishing is frozen; ``None`` when it is not."""
    names = ("frozen_at", "frozen_by", "frozen_reason")
    row = connection.execute(sa.select(*(table.c[name] for name in names))).mappings().one()
    return dict(row) if row["frozen_at"] is not None else None


def require_unfrozen(row: Mapping[str, Any], run_id: int) -> None:
    """Raises ``FrozenError`` when ``row``, as ``take`` returns it, has a freeze."""
    if row["frozen_at"] is not None:
        raise FrozenError(
            f"run {run_id} is scored and audited, and waits: publishing was frozen by {row['frozen_by']} on "
            f"{row['frozen_at']:%Y-%m-%d %H:%M} UTC ({row['frozen_reason']}). After `senti unfreeze` clear the "
            f"task, or run `senti score --run {run_id}`"
        )
