"""What a person asks of the warehouse: where things stand, and what the views say."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.migrations import SQL, recorded_setting
from senti_tasks.warehouse.models import promotions
from senti_tasks.warehouse.schema import review_annotations, reviews, scoring_runs
from senti_tasks.warehouse.scoring import pending, publication_lock

RUNS_SHOWN = 5


def status(connection: Connection, *, overlap: timedelta = pending.DAY) -> dict[str, Any]:
    """Reviews, how many have a label by a person, how many wait for one by the model (of those that the
    next run looks at), the models in use, whether publishing is frozen, last runs."""
    champion = promotions.champion(connection)
    serving = None if champion is None else promotions.in_service(connection)
    total = connection.scalar(sa.select(sa.func.count()).select_from(reviews)) or 0
    annotated = sa.select(sa.func.count(sa.distinct(review_annotations.c.review_id)))
    newest = sa.select(scoring_runs).order_by(scoring_runs.c.run_id.desc()).limit(RUNS_SHOWN)
    waiting = total
    if serving is not None:
        waiting = pending.count(connection, serving, since=pending.since(connection, serving, overlap))
    return {
        "reviews": total,
        "annotated": connection.scalar(annotated) or 0,
        "pending": waiting,
        "champion": champion,
        "in_service": serving,
        "frozen": publication_lock.freeze_in_force(connection),
        "runs": [dict(row) for row in connection.execute(newest).mappings()],
    }


def reviews_without_version(connection: Connection) -> tuple[int, int]:
    """How many reviews there are, and how many of them say nothing of when they last changed."""
    count = sa.func.count
    total, versioned = connection.execute(sa.select(count(), count(reviews.c.updated_at))).one()
    return total, total - versioned


def unindexed(connection: Connection) -> list[str]:
    """Of ``review_id`` and ``updated_at`` those by which reviews are found only by reading all of them, as where a view
    computes them. What stands in another database is passed over: this one does not know its indexes."""
    # With that switched off the planner takes any index there is, however few the rows are.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    some_key = {"bigint": 0, "text": "", "uuid": str(uuid.UUID(int=0))}
    probes = {
        "review_id": (FIND_BY_KEY, some_key[recorded_setting(connection, "review_id_type")]),
        "updated_at": (FIND_BY_TIME, datetime.now(UTC)),
    }
    explain = EXPLAIN[connection.dialect.name]
    found = {}
    for column, (lookup, probe) in probes.items():
        statement = sa.text(explain + lookup).bindparams(sa.bindparam("probe", probe, type_=reviews.c[column].type))
        found[column] = str(connection.execute(statement).all())
    return [column for column, plan in found.items() if not re.search(r"Index Cond|Foreign Scan|\bSEARCH ", plan)]


EXPLAIN = {"postgresql": "EXPLAIN (FORMAT JSON) ", "sqlite": "EXPLAIN QUERY PLAN "}
FIND_BY_KEY = "SELECT review_text FROM reviews WHERE review_id = :probe"
FIND_BY_TIME = "SELECT review_text FROM reviews WHERE updated_at >= :probe"


def ask(connection: Connection, query: str) -> tuple[str, list[dict[str, Any]]]:
    """The statement of ``sql/queries/QUERY.sql`` and its rows."""
    statement = (SQL / "queries" / f"{query}.sql").read_text("utf-8").strip()
    return statement, [dict(row) for row in connection.execute(sa.text(statement)).mappings()]


def view(connection: Connection, name: str, *, order_by: str, limit: int | None = None) -> list[dict[str, Any]]:
    """Rows of one of ``sql/views``, the largest ``order_by`` first."""
    rows = sa.select(sa.text("*")).select_from(sa.table(name)).order_by(sa.column(order_by).desc())
    return [dict(row) for row in connection.execute(rows.limit(limit)).mappings()]
