"""Told events: those that people got an alert about, so that they get one alert and not one every minute."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import told_events

KEPT = timedelta(days=400)


def claim(connection: Connection, event: str, kind: str, *, now: datetime) -> bool:
    """Records that people are told of ``event`` now. Returns ``False`` if they were told before."""
    row = insert(connection, told_events).values(event=event, kind=kind, told_at=now).on_conflict_do_nothing()
    return connection.execute(row.returning(told_events.c.event)).one_or_none() is not None


def withdraw(connection: Connection, event: str) -> None:
    """Forgets ``event``: nobody could be told."""
    connection.execute(sa.delete(told_events).where(told_events.c.event == event))


def forget_old(connection: Connection, *, now: datetime) -> None:
    """Deletes events that are older than ``KEPT``."""
    connection.execute(sa.delete(told_events).where(told_events.c.told_at < now - KEPT))
