"""What the warehouse records about itself, and the days of the calendar."""

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, Column, Table

from senti_tasks.warehouse.schema.metadata import Counter, metadata
from senti_tasks.warehouse.types import UTCDateTime

warehouse_settings = Table(
    "warehouse_settings",
    metadata,
    Column("name", sa.Text, primary_key=True),
    Column("value", sa.Text, nullable=False),
)

publication_lock = Table(  # one row; updating it is the lock that makes publications follow one another
    "publication_lock",
    metadata,
    Column("id", sa.SmallInteger, CheckConstraint("id = 1", name="one_row"), primary_key=True),
    Column("publish_seq", Counter, nullable=False),
    Column("frozen_at", UTCDateTime),  # empty: publishing goes on
    Column("frozen_by", sa.Text),
    Column("frozen_reason", sa.Text),
)

calendar_days = Table(  # what databases spell differently: the week and the month of a day, and days between two
    "calendar_days",
    metadata,
    Column("day", sa.Date, primary_key=True),
    Column("day_number", sa.Integer, nullable=False),  # days since 1970-01-01
    Column("week_start", sa.Date, nullable=False),  # a Monday
    Column("month", sa.Text, nullable=False),  # 2026-11
)
