"""The tables of scoring runs, of the labels they publish, and of erased reviews."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from senti_tasks.warehouse.types import UTCDateTime

Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create_tables(review_id: Any) -> None:
    """``review_id`` is the type of the reviews' keys."""
    _create_runs(review_id)
    _create_labels(review_id)
    _create_decisions()
    op.create_table(
        "told_events",
        sa.Column("event", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("told_at", UTCDateTime(), nullable=False),
    )


def _create_decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("decision", Counter, primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("run_id", Counter, sa.ForeignKey("scoring_runs.run_id")),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("kind IN ('freeze', 'unfreeze', 'give_up')", name="kind"),
        sa.CheckConstraint("(kind = 'give_up') = (run_id IS NOT NULL)", name="subject"),
    )


def _create_runs(review_id: Any) -> None:
    op.create_table(
        "scoring_runs",
        sa.Column("run_id", Counter, primary_key=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False, unique=True),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("due", UTCDateTime(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("opened_at", UTCDateTime(), nullable=False),
        sa.Column("published_at", UTCDateTime()),
        sa.Column("publish_seq", Counter, unique=True),
        *(sa.Column(name, Counter) for name in ("planned", "labelled", "failed", "superseded", "truncated")),
        sa.Column("after_id", review_id),
        sa.Column("through_id", review_id),
        sa.Column("late", Counter),
        sa.Column("seconds", sa.Double()),
        *(sa.Column(name, sa.Text()) for name in ("overruled", "overruled_by", "overruled_reason")),
        sa.Column("held_at", UTCDateTime()),
        sa.Column("held_because", sa.Text()),
        sa.Column("planned_from", UTCDateTime()),
        sa.Column("fell_back", sa.Text()),
        sa.CheckConstraint("scope IN ('new', 'all', 'rescore', 'reconcile')", name="scope"),
        sa.CheckConstraint("state IN ('open', 'planned', 'audited', 'held', 'published', 'abandoned')", name="state"),
        sa.CheckConstraint("(state = 'published') = (publish_seq IS NOT NULL)", name="published"),
        sa.CheckConstraint("state <> 'held' OR held_at IS NOT NULL", name="held"),
        sa.CheckConstraint("(held_at IS NULL) = (held_because IS NULL)", name="held_because"),
    )
    op.create_index("ix_scoring_runs_series", "scoring_runs", ["series"])
    op.create_table(
        "scoring_watermarks",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("watermark", UTCDateTime(), nullable=False),
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
        "run_drift",
        sa.Column("run_id", Counter, sa.ForeignKey("scoring_runs.run_id"), primary_key=True),
        sa.Column("part", sa.Text(), primary_key=True),
        sa.Column("product_id", sa.Integer(), primary_key=True),
        *(sa.Column(name, Counter, nullable=False) for name in ("reviews", "negative")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("confidence_sum", "confidence_squares")),
        *(sa.Column(name, Counter) for name in ("characters", "unknown_characters", "unlike")),
        sa.Column("unlikeness_sum", sa.Double()),
        *(sa.Column(f"bin_{number}", Counter) for number in range(1, 11)),
        *(sa.Column(name, sa.Double()) for name in ("psi", "psi_training")),
        sa.Column("drift", sa.Text()),
        sa.CheckConstraint("part IN ('run', 'product')", name="part"),
    )
    op.create_table(
        "run_checks",
        sa.Column("run_id", Counter, sa.ForeignKey("scoring_runs.run_id"), primary_key=True),
        *(sa.Column(name, Counter, nullable=False) for name in ("answered", "escalated", "checked", "differing")),
        *(sa.Column(name, sa.Double()) for name in ("disagreement", "disagreement_least", "disagreement_most")),
        *(sa.Column(f"recent_disagreement{bound}", sa.Double()) for bound in ("", "_least", "_most")),
        sa.Column("recent_runs", sa.Integer(), nullable=False),
        sa.Column("disagreement_limit", sa.Double(), nullable=False),
        sa.Column("alarm", sa.Text()),
        sa.CheckConstraint("escalated + checked <= answered AND differing <= checked", name="counts"),
    )
    op.create_table(
        "run_items",
        sa.Column("run_id", Counter, primary_key=True),
        sa.Column("shard", sa.SmallInteger(), primary_key=True),
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("review_updated_at", UTCDateTime(), nullable=False),
        postgresql_partition_by="LIST (run_id)",
    )
    op.create_table(
        "run_shards",
        sa.Column("run_id", Counter, sa.ForeignKey("scoring_runs.run_id"), primary_key=True),
        sa.Column("shard", sa.SmallInteger(), primary_key=True),
        sa.Column("planned", Counter, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("accepted_attempt", sa.Integer()),
        sa.Column("cursor", review_id),
        sa.Column("lease_until", UTCDateTime()),
        sa.Column("claimed_at", UTCDateTime()),
        sa.Column("accepted_at", UTCDateTime()),
        sa.CheckConstraint("accepted_attempt <= attempt", name="accepted"),
    )
    op.create_table(
        "staged_labels",
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("review_id", review_id, nullable=False),
        sa.Column("text_hash", sa.String(32), nullable=False),
        sa.Column("label", sa.SmallInteger()),
        sa.Column("score", sa.Double()),
        sa.Column("confidence", sa.Double()),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("local_day", sa.Date(), nullable=False),
        sa.Column("product", sa.Text()),
        sa.Column("scored_at", UTCDateTime(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("characters", sa.Integer()),
        sa.Column("unknown_characters", sa.Integer()),
        sa.Column("unlike", sa.Boolean()),
        sa.Column("unlikeness", sa.REAL()),
        sa.Column("escalated", sa.Boolean()),
        sa.Column("checked_label", sa.SmallInteger()),
        sa.CheckConstraint("(label IS NULL) = (reason IS NOT NULL)", name="answer"),
        postgresql_partition_by="LIST (run_id)",
    )


def _label() -> list[sa.Column[Any]]:
    """The columns of a published label, current or replaced."""
    return [
        sa.Column("text_hash", sa.String(32), nullable=False),
        sa.Column("review_updated_at", UTCDateTime(), nullable=False),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("scored_at", UTCDateTime(), nullable=False),
        sa.Column("local_day", sa.Date(), nullable=False),
        sa.Column("carried_from", sa.Text()),
        sa.Column("product_id", sa.Integer(), nullable=False),
    ]


def _create_labels(review_id: Any) -> None:
    products = op.create_table(
        "products",
        sa.Column("product_id", sa.Integer(), primary_key=True),
        sa.Column("product", sa.Text(), unique=True),
    )
    op.bulk_insert(products, [{"product_id": 0, "product": None}])
    op.create_table(
        "review_labels",
        sa.Column("model_version", sa.Text(), primary_key=True),
        sa.Column("review_id", review_id, primary_key=True),
        *_label(),
        sa.Column("publish_seq", Counter, nullable=False),
        postgresql_partition_by="LIST (model_version)",
    )
    for indexed in (["text_hash"], ["local_day"], ["product_id", "local_day"]):
        op.create_index(f"ix_review_labels_{indexed[0]}", "review_labels", ["model_version", *indexed])
    for name, further, condition in (
        ("carried", [], "carried_from IS NOT NULL"),
        ("negative", ["confidence"], "label = 0"),
        ("uncertain", ["confidence"], "confidence < 0.7"),
    ):
        op.create_index(
            f"ix_review_labels_{name}",
            "review_labels",
            ["model_version", *further],
            postgresql_where=sa.text(condition),
            sqlite_where=sa.text(condition),
        )
    op.create_table(
        "review_label_history",
        sa.Column("model_version", sa.Text(), primary_key=True),
        sa.Column("review_id", review_id, primary_key=True),
        *_label(),
        sa.Column("publish_seq", Counter, primary_key=True),
        sa.Column("replaced_by", Counter, nullable=False),
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
        "product_rollups",
        sa.Column("model_version", sa.Text(), primary_key=True),
        sa.Column("product_id", sa.Integer(), primary_key=True),
        sa.Column("local_day", sa.Date(), primary_key=True),
        *(sa.Column(name, Counter, nullable=False) for name in ("reviews", "positive", "negative")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("score_sum", "confidence_sum")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_product_rollups_local_day", "product_rollups", ["model_version", "local_day"])
    op.create_table(
        "scoring_errors",
        sa.Column("model_version", sa.Text(), primary_key=True),
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("review_updated_at", UTCDateTime(), primary_key=True),
        sa.Column("text_hash", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run_id", Counter, nullable=False),
        sa.Column("failed_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "erased_reviews",
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("erased_at", UTCDateTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
