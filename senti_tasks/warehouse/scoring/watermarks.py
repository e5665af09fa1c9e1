"""The watermark of each model: every review that changed up to this time was planned, scored and published.

The reviews of held runs are excepted. The transaction that publishes a run moves the watermark to the time at which the
run was due, never backwards. The dates of the reviews do not move it: after one review dated 2099, no run would find
new reviews. Giving up a held run moves the watermark back to the oldest review of that run, so that the next run finds
its reviews.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import insert_missing
from senti_tasks.warehouse.schema import scoring_watermarks


def of(connection: Connection, model_version: str) -> datetime | None:
    """The watermark of ``model_version``; ``None`` before its first publication."""
    found: datetime | None = connection.scalar(
        sa.select(scoring_watermarks.c.watermark).where(scoring_watermarks.c.model_version == model_version)
    )
    return found


def advance(connection: Connection, model_version: str, watermark: datetime) -> None:
    """Moves the watermark forward to ``watermark``; an earlier time changes nothing."""
    insert_missing(connection, scoring_watermarks, {"model_version": model_version, "watermark": watermark})
    earlier = sa.and_(scoring_watermarks.c.model_version == model_version, scoring_watermarks.c.watermark < watermark)
    connection.execute(sa.update(scoring_watermarks).where(earlier).values(watermark=watermark))


def move_back(connection: Connection, model_version: str, watermark: datetime) -> None:
    """Moves the watermark back to ``watermark``; a later time changes nothing."""
    later = sa.and_(scoring_watermarks.c.model_version == model_version, scoring_watermarks.c.watermark > watermark)
    connection.execute(sa.update(scoring_watermarks).where(later).values(watermark=watermark))
