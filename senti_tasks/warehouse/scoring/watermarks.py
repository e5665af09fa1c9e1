"""How far each model's labels reach: every review that changed up to the watermark was planned, answered and published.

A watermark moves in the transaction that publishes, to the time at which the run was due, and never backwards. It does
not follow the dates in the data: one review dated 2099 would end all scoring.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import scoring_watermarks


def of(connection: Connection, model_version: str) -> datetime | None:
    """The watermark of ``model_version``; ``None`` before its first publication."""
    found: datetime | None = connection.scalar(
        sa.select(scoring_watermarks.c.watermark).where(scoring_watermarks.c.model_version == model_version)
    )
    return found


def advance(connection: Connection, model_version: str, watermark: datetime) -> None:
    """Moves the watermark forward to ``watermark``; an earlier time changes nothing."""
    table = scoring_watermarks
    statement = insert(connection, table).values(model_version=model_version, watermark=watermark)
    later = statement.excluded.watermark > table.c.watermark
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["model_version"], set_={"watermark": statement.excluded.watermark}, where=later
        )
    )


def remove(connection: Connection, model_version: str) -> None:
    """Removes the watermark, when the model's labels are dropped."""
    connection.execute(sa.delete(scoring_watermarks).where(scoring_watermarks.c.model_version == model_version))
