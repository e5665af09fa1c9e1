"""How far each model's labels reach: every review changed up to the mark was planned, answered and published.

A mark moves in the transaction that publishes, to the time the run was due, and never backwards. It never follows the
data: one review dated 2099 would end all scoring.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.database import insert
from senti_tasks.warehouse.schema import scoring_watermarks


def of(connection: Connection, model_version: str) -> datetime | None:
    """The mark of ``model_version``; ``None`` before its first publication: nothing is known to be labelled."""
    found: datetime | None = connection.scalar(
        sa.select(scoring_watermarks.c.through).where(scoring_watermarks.c.model_version == model_version)
    )
    return found


def advance(connection: Connection, model_version: str, through: datetime) -> None:
    """Moves the mark to ``through``, unless it is there or further already."""
    table = scoring_watermarks
    statement = insert(connection, table).values(model_version=model_version, through=through)
    later = statement.excluded.through > table.c.through
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["model_version"], set_={"through": statement.excluded.through}, where=later
        )
    )


def forget(connection: Connection, model_version: str) -> None:
    """Removes the mark: the model's labels are gone."""
    connection.execute(sa.delete(scoring_watermarks).where(scoring_watermarks.c.model_version == model_version))
