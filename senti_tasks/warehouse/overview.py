"""What a person asks of the warehouse: where things stand, and what the views say."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse import clock, promotions
from senti_tasks.warehouse.migrations import SQL
from senti_tasks.warehouse.runs import DAY, count_pending, since
from senti_tasks.warehouse.schema import review_annotations, reviews, scoring_runs

RUNS_SHOWN = 5


def status(connection: Connection, *, overlap: timedelta = DAY) -> dict[str, Any]:
    """Reviews, how many have a label by a person, how many wait for one by the model (of those that the
    next night looks at), the models in use, whether publishing is frozen, last runs."""
    champion = promotions.champion(connection)
    serving = None if champion is None else promotions.in_service(connection)
    total = connection.scalar(sa.select(sa.func.count()).select_from(reviews)) or 0
    annotated = sa.select(sa.func.count(sa.distinct(review_annotations.c.review_id)))
    newest = sa.select(scoring_runs).order_by(scoring_runs.c.run_id.desc()).limit(RUNS_SHOWN)
    pending = total
    if serving is not None:
        pending = count_pending(connection, serving, since=since(connection, serving, overlap))
    return {
        "reviews": total,
        "annotated": connection.scalar(annotated) or 0,
        "pending": pending,
        "champion": champion,
        "in_service": serving,
        "frozen": clock.state(connection),
        "runs": [dict(row) for row in connection.execute(newest).mappings()],
    }


def reviews_without_version(connection: Connection) -> tuple[int, int]:
    """How many reviews there are, and how many of them say nothing of when they last changed."""
    count = sa.func.count
    total, versioned = connection.execute(sa.select(count(), count(reviews.c.updated_at))).one()
    return total, total - versioned


def ask(connection: Connection, query: str) -> tuple[str, list[dict[str, Any]]]:
    """The statement of ``sql/queries/QUERY.sql`` and its rows."""
    statement = (SQL / "queries" / f"{query}.sql").read_text("utf-8").strip()
    return statement, [dict(row) for row in connection.execute(sa.text(statement)).mappings()]


def view(connection: Connection, name: str, *, order_by: str, limit: int | None = None) -> list[dict[str, Any]]:
    """Rows of one of ``sql/views``, the largest ``order_by`` first."""
    rows = sa.select(sa.text("*")).select_from(sa.table(name)).order_by(sa.column(order_by).desc())
    return [dict(row) for row in connection.execute(rows.limit(limit)).mappings()]
