"""The clock of publications: one row, whose lock makes them follow one another, and the switch that keeps them back.

A freeze keeps back publications and nothing else: nights go on being scored, and wait.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.errors import FrozenError
from senti_tasks.warehouse.schema import publish_clock


def lock(connection: Connection) -> dict[str, Any]:
    """The newest publish_seq and the freeze, with their row locked until the transaction ends: whoever changes
    published labels takes this turn."""
    unchanged = sa.update(publish_clock).values(publish_seq=publish_clock.c.publish_seq)
    return dict(connection.execute(unchanged.returning(publish_clock)).mappings().one())


def freeze(connection: Connection, *, by: str, reason: str, at: datetime) -> dict[str, Any]:
    """Keeps publications back from the next one on: one that is under way ends first. A freeze in force stays as it
    is. Returns since when, by whom and why."""
    thawed = publish_clock.c.frozen_at.is_(None)
    values = {"frozen_at": at, "frozen_by": by, "frozen_reason": reason}
    connection.execute(sa.update(publish_clock).where(thawed).values(values))
    return state(connection) or {}


def unfreeze(connection: Connection) -> bool:
    """Lets publications go on; returns whether they were kept back."""
    frozen = publish_clock.c.frozen_at.is_not(None)
    nothing = dict.fromkeys(("frozen_at", "frozen_by", "frozen_reason"))
    return connection.execute(sa.update(publish_clock).where(frozen).values(nothing)).rowcount == 1


def state(connection: Connection) -> dict[str, Any] | None:
    """Since when, by whom and why publications are kept back; ``None`` when they are not."""
    names = ("frozen_at", "frozen_by", "frozen_reason")
    row = connection.execute(sa.select(*(publish_clock.c[name] for name in names))).mappings().one()
    return dict(row) if row["frozen_at"] is not None else None


def require_thawed(held: Mapping[str, Any], run_id: int) -> None:
    """Raises ``FrozenError`` when ``held``, the row that a publication holds, says that publications are kept back."""
    if held["frozen_at"] is not None:
        raise FrozenError(
            f"run {run_id} is scored and audited, and waits: publishing was frozen by {held['frozen_by']} on "
            f"{held['frozen_at']:%Y-%m-%d %H:%M} UTC ({held['frozen_reason']}). After `senti unfreeze` clear the "
            f"task, or run `senti score --run {run_id}`"
        )
