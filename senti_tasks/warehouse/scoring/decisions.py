"""The record of what people decided: freezes, their ends, and runs that were given up.

Other decisions are recorded where they count: a promotion in ``promotions``, the reason for publishing a held run in
``scoring_runs``.
"""

from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import fetch_all
from senti_tasks.warehouse.schema import decisions, promotions, scoring_runs

Kind = Literal["freeze", "unfreeze", "give_up"]


def record(
    connection: Connection, kind: Kind, *, actor: str, reason: str | None, now: datetime, run_id: int | None = None
) -> None:
    """Appends a decision. ``run_id`` is for ``give_up`` only."""
    row = {"kind": kind, "run_id": run_id, "actor": actor, "reason": reason, "at": now}
    connection.execute(sa.insert(decisions).values(row))


def newest(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The last ``limit`` decisions of people and of the gate, the newest first.

    Each has at, kind (that of the decision or promotion, or ``publish_anyway``), subject (run or model; ``None`` for a
    freeze), actor and reason. A run that was published anyway has the time of its publication.
    """
    decided, promoted, run = decisions.c, promotions.c, scoring_runs.c
    overruled = sa.and_(run.overruled_by.is_not(None), run.published_at.is_not(None))
    found = sa.union_all(
        sa.select(
            decided.at, decided.kind, sa.cast(decided.run_id, sa.Text).label("subject"), decided.actor, decided.reason
        ),
        sa.select(promoted.at, promoted.kind, promoted.model_version, promoted.actor, promoted.reason),
        sa.select(
            run.published_at,
            sa.literal("publish_anyway", sa.Text),
            sa.cast(run.run_id, sa.Text),
            run.overruled_by,
            run.overruled_reason,
        ).where(overruled),
    ).subquery()
    return fetch_all(connection, sa.select(found).order_by(found.c.at.desc()).limit(limit))
