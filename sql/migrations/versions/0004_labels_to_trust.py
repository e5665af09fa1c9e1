"""Nights that cost what is new: watermarks, rollups, staged rows in partitions; a freeze, overrulings and erasure."""

from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import context, op

from senti_tasks.warehouse.types import UTCDateTime, review_id_column_type

revision = "0004"
down_revision = "0003"

FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2059, 12, 31)
Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    review_id = review_id_column_type(context.config.attributes["review_id_type"])
    _runs(review_id)
    _tables(review_id)
    _fill()
    if op.get_bind().dialect.name == "postgresql":
        _partition_by_run("run_items", ["pk_run_items"])
        _partition_by_run("staged_labels", ["ck_staged_labels_answer"])


def _runs(review_id: sa.types.TypeEngine[object]) -> None:
    with op.batch_alter_table("publish_clock") as table:
        table.add_column(sa.Column("frozen_at", UTCDateTime()))
        table.add_column(sa.Column("frozen_by", sa.Text()))
        table.add_column(sa.Column("frozen_reason", sa.Text()))
    with op.batch_alter_table("scoring_runs") as table:  # SQLite cannot change a constraint in place
        table.drop_constraint(op.f("ck_scoring_runs_scope"), type_="check")
    with op.batch_alter_table("scoring_runs") as table:
        table.create_check_constraint(op.f("ck_scoring_runs_scope"), "scope IN ('new', 'all', 'rescore', 'reconcile')")
        table.add_column(sa.Column("after_id", review_id))
        table.add_column(sa.Column("through_id", review_id))
        table.add_column(sa.Column("late", Counter))
        table.add_column(sa.Column("seconds", sa.Double()))
        table.add_column(sa.Column("overruled", sa.Text()))
        table.add_column(sa.Column("overruled_by", sa.Text()))
        table.add_column(sa.Column("overruled_reason", sa.Text()))


def _tables(review_id: sa.types.TypeEngine[object]) -> None:
    op.create_table(
        "scoring_watermarks",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("through", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "run_summaries",
        sa.Column("run_id", Counter, sa.ForeignKey("scoring_runs.run_id"), primary_key=True),
        sa.Column("label", sa.SmallInteger(), primary_key=True),
        sa.Column("labels", Counter, nullable=False),
        sa.Column("confidence_sum", sa.Double(), nullable=False),
        sa.Column("confidence_squares", sa.Double(), nullable=False),
    )
    op.create_table(
        "calendar_days",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("day_number", sa.Integer(), nullable=False),
        sa.Column("week_start", sa.Date(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
    )
    op.create_table(
        "label_rollups",
        sa.Column("model_version", sa.Text(), primary_key=True),
        sa.Column("local_day", sa.Date(), primary_key=True),
        sa.Column("label", sa.SmallInteger(), primary_key=True),
        sa.Column("reviews", Counter, nullable=False),
        sa.Column("score_sum", sa.Double(), nullable=False),
        sa.Column("confidence_sum", sa.Double(), nullable=False),
    )
    op.create_table(
        "forgotten_reviews",
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )


def _fill() -> None:
    kinds: dict[str, Any] = {"day": sa.Date(), "day_number": sa.Integer(), "week_start": sa.Date(), "month": sa.Text()}
    days = sa.table("calendar_days", *(sa.column(name, kind) for name, kind in kinds.items()))
    op.bulk_insert(days, [_day(number) for number in range((LAST_DAY - FIRST_DAY).days + 1)])
    # A run planned everything that was pending, whenever it had changed.
    op.execute(
        "INSERT INTO scoring_watermarks (model_version, through) "
        "SELECT model_version, MAX(CASE WHEN due < opened_at THEN due ELSE opened_at END) FROM scoring_runs "
        "WHERE state = 'published' GROUP BY model_version"
    )
    op.execute(
        "INSERT INTO label_rollups (model_version, local_day, label, reviews, score_sum, confidence_sum) "
        "SELECT model_version, local_day, label, COUNT(*), SUM(score), SUM(confidence) FROM review_labels "
        "GROUP BY model_version, local_day, label"
    )


def _day(number: int) -> dict[str, object]:
    day = FIRST_DAY + timedelta(days=number)
    return {
        "day": day,
        "day_number": (day - date(1970, 1, 1)).days,
        "week_start": day - timedelta(days=day.weekday()),
        "month": f"{day:%Y-%m}",
    }


def _partition_by_run(name: str, constraints: list[str]) -> None:
    """The same table, partitioned: what runs under way have planned and staged stays where they find it."""
    before = f"{name}_before"
    op.rename_table(name, before)
    for constraint in constraints:
        op.execute(f"ALTER TABLE {before} RENAME CONSTRAINT {constraint} TO {constraint}_before")
    op.execute(f"CREATE TABLE {name} (LIKE {before}) PARTITION BY LIST (run_id)")
    for constraint in constraints:
        definition = op.get_bind().scalar(
            sa.text(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE conname = :name AND conrelid = to_regclass(:on)"
            ),
            {"name": f"{constraint}_before", "on": before},
        )
        op.execute(f"ALTER TABLE {name} ADD CONSTRAINT {constraint} {definition}")
    runs = op.get_bind().execute(sa.text(f"SELECT DISTINCT run_id FROM {before}")).scalars().all()  # noqa: S608  our own
    for run in runs:
        op.execute(f"CREATE TABLE {name}_{run:d} PARTITION OF {name} FOR VALUES IN ({run:d})")
    op.execute(f"INSERT INTO {name} SELECT * FROM {before}")  # noqa: S608  our own names
    op.drop_table(before)
