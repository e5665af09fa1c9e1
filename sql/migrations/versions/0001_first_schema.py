"""The first schema: the reviews, the registry of models, scoring runs and the published labels.

The tables are created by the modules in ``first_schema/``. Alembic takes only the files beside this one for revisions.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from alembic.util import load_python_file

from senti_tasks.warehouse.types import UTCDateTime, review_id_column_type

revision = "0001"
down_revision = None

# Loaded by path: this folder is no importable package where senti is installed from a wheel.
source, registry, runs = (
    load_python_file(Path(__file__).parent / "first_schema", f"{name}.py") for name in ("source", "registry", "runs")
)

FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2059, 12, 31)


def upgrade() -> None:
    attributes = context.config.attributes
    review_id = review_id_column_type(attributes["review_id_type"])
    reviews_made_by = source.create_tables(attributes["review_id_type"], attributes["reviews_table"])
    _create_settings(attributes, reviews_made_by)
    _create_publication_lock()
    _create_calendar()
    registry.create_tables(review_id)
    runs.create_tables(review_id)
    _keep_texts_out_of_statistics(reviews_made_by)


def _keep_texts_out_of_statistics(reviews_made_by: str) -> None:
    """PostgreSQL samples values for its planner, and would show texts in pg_stats for months after their erasure."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE text_splits ALTER COLUMN shingles SET STATISTICS 0")
        if reviews_made_by == "senti":
            op.execute("ALTER TABLE reviews ALTER COLUMN review_text SET STATISTICS 0")
            op.execute("ALTER TABLE reviews ALTER COLUMN attributes SET STATISTICS 0")


def _create_settings(attributes: Any, reviews_made_by: str) -> None:
    settings = op.create_table(
        "warehouse_settings",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    fixed = {name: attributes[name] for name in ("review_id_type", "reviews_table", "labels", "timezone")}
    values = {**fixed, "reviews_made_by": reviews_made_by}
    op.bulk_insert(settings, [{"name": name, "value": value} for name, value in values.items()])


def _create_publication_lock() -> None:
    lock = op.create_table(
        "publication_lock",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("publish_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("frozen_at", UTCDateTime()),
        sa.Column("frozen_by", sa.Text()),
        sa.Column("frozen_reason", sa.Text()),
        sa.CheckConstraint("id = 1", name="one_row"),
    )
    op.bulk_insert(lock, [{"id": 1, "publish_seq": 0}])


def _create_calendar() -> None:
    days = op.create_table(
        "calendar_days",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("day_number", sa.Integer(), nullable=False),
        sa.Column("week_start", sa.Date(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
    )
    op.bulk_insert(days, [_day(number) for number in range((LAST_DAY - FIRST_DAY).days + 1)])


def _day(number: int) -> dict[str, object]:
    day = FIRST_DAY + timedelta(days=number)
    return {
        "day": day,
        "day_number": (day - date(1970, 1, 1)).days,
        "week_start": day - timedelta(days=day.weekday()),
        "month": f"{day:%Y-%m}",
    }
