"""The ``MetaData``, constraint names and types of all tables; the tables of settings and of calendar days."""

import sqlalchemy as sa
from sqlalchemy import Column, MetaData, Table

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

TextHash = sa.String(32)
"""32 hex digits, as ``senti_tasks.text.text_hash`` returns them."""
Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""An integer of 64 bits. On SQLite INTEGER, since only that type can number rows itself."""

warehouse_settings = Table(
    "warehouse_settings",
    metadata,
    Column("name", sa.Text, primary_key=True),
    Column("value", sa.Text, nullable=False),
)

calendar_days = Table(  # week, month and number of each day: SQLite and PostgreSQL compute them differently
    "calendar_days",
    metadata,
    Column("day", sa.Date, primary_key=True),
    Column("day_number", sa.Integer, nullable=False),  # days since 1970-01-01
    Column("week_start", sa.Date, nullable=False),  # a Monday
    Column("month", sa.Text, nullable=False),  # 2026-11
)
