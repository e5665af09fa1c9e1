"""The tables of corpora, encoders and models, and of what judged and promoted the models."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from senti_tasks.warehouse.types import UTCDateTime

Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def create_tables(review_id: Any) -> None:
    """``review_id`` is the type of the reviews' keys."""
    _create_corpora(review_id)
    _create_models()
    _create_judgements()


def _artifact() -> list[sa.Column[Any]]:
    """The folder of a finished artifact, and its digest."""
    return [sa.Column("artifact", sa.Text(), nullable=False), sa.Column("digest", sa.String(64), nullable=False)]


def _training() -> list[sa.Column[Any]]:
    """What is recorded about every training."""
    return [
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("base_revision", sa.Text()),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("normaliser_version", sa.SmallInteger(), nullable=False),
        *_artifact(),
        sa.Column("training", sa.JSON(), nullable=False),
    ]


def _create_corpora(review_id: Any) -> None:
    op.create_table(
        "text_splits",
        sa.Column("content_hash", sa.String(64), primary_key=True),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("first_seen", UTCDateTime(), nullable=False),
        sa.Column("shingles", sa.LargeBinary(), nullable=False),
        sa.Column("judgements", sa.Integer(), nullable=False, server_default="0"),
        sa.CheckConstraint("split IN ('train', 'validation', 'test', 'set_aside')", name="split"),
    )
    op.create_table(
        "text_split_reviews",
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column(
            "content_hash", sa.String(64), sa.ForeignKey("text_splits.content_hash"), primary_key=True, index=True
        ),
    )
    op.create_table(
        "corpora",
        sa.Column("corpus", sa.Text(), primary_key=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False, unique=True),
        sa.Column("due", UTCDateTime(), nullable=False),
        *_artifact(),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("retired_at", UTCDateTime()),
    )
    op.create_table(
        "text_snapshots",
        sa.Column("idempotency_key", sa.Text(), primary_key=True),
        sa.Column("texts", sa.Text(), nullable=False),
        sa.Column("due", UTCDateTime(), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        *_artifact(),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("retired_at", UTCDateTime()),
    )
    op.create_table(
        "annotation_suspects",
        sa.Column("corpus", sa.Text(), sa.ForeignKey("corpora.corpus"), primary_key=True),
        sa.Column("review_id", review_id, primary_key=True),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("suggested_label", sa.SmallInteger(), nullable=False),
        sa.Column("label_probability", sa.Double(), nullable=False),
        sa.Column("suggested_probability", sa.Double(), nullable=False),
    )


def _create_models() -> None:
    op.create_table(
        "encoders",
        sa.Column("version", sa.Text(), primary_key=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False, unique=True),
        *_training(),
        sa.Column("trained_at", UTCDateTime(), nullable=False),
        sa.Column("retired_at", UTCDateTime()),
    )
    op.create_table(
        "models",
        sa.Column("version", sa.Text(), primary_key=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False, unique=True),
        sa.Column("corpus", sa.Text(), sa.ForeignKey("corpora.corpus"), nullable=False),
        *_training(),
        sa.Column("verdict", sa.Text()),
        sa.Column("trained_at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("verdict IN ('promote', 'refuse')", name="verdict"),
    )
    op.create_table(
        "model_labels",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("label", sa.SmallInteger(), primary_key=True),
        sa.Column("label_name", sa.Text(), nullable=False),
    )
    op.create_table(
        "model_variants",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("variant", sa.Text(), primary_key=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("artifact", sa.Text()),
        sa.Column("digest", sa.String(64)),
        sa.Column("library", sa.Text(), nullable=False),
        sa.Column("agreement", sa.Double()),
        sa.Column("labels_differing", Counter),
        sa.Column("disagreement_bound", sa.Double()),
        sa.Column("disagreement_limit", sa.Double()),
        sa.Column("reviews_compared", Counter),
        sa.Column("reviews_per_second", sa.Double()),
        sa.Column("escalated_share", sa.Double()),
        sa.Column("stages", sa.JSON()),
        sa.Column("temperature", sa.Double(), nullable=False),
        sa.Column("score_bins", sa.JSON()),
        sa.Column("serves", sa.Boolean(), nullable=False),
        sa.Column("withdrawn_at", UTCDateTime()),
        sa.Column("withdrawn_because", sa.Text()),
        sa.Column("retired_at", UTCDateTime()),
        sa.CheckConstraint("verdict IN ('proven', 'refused')", name="verdict"),
        sa.CheckConstraint("(verdict = 'proven') = (digest IS NOT NULL)", name="kept"),
        sa.CheckConstraint("verdict = 'proven' OR NOT serves", name="serves"),
        sa.CheckConstraint("(withdrawn_at IS NULL) = (withdrawn_because IS NULL)", name="withdrawn_because"),
        sa.CheckConstraint("withdrawn_at IS NULL OR NOT serves", name="withdrawn"),
    )


def _create_judgements() -> None:
    op.create_table(
        "model_metrics",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("subject", sa.Text(), primary_key=True),
        sa.Column("split", sa.Text(), primary_key=True),
        sa.Column("metric", sa.Text(), primary_key=True),
        sa.Column("value", sa.Double(), nullable=False),
    )
    op.create_table(
        "gate_results",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("position", sa.SmallInteger(), primary_key=True),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text()),
        sa.Column("reference_version", sa.Text(), sa.ForeignKey("models.version")),
        sa.Column("slice", sa.Text()),
        sa.Column("rows", Counter),
        sa.Column("figure", sa.Double()),
        sa.Column("bound", sa.Double()),
        sa.Column("threshold", sa.Double()),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_table(
        "promotions",
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("previous_seq", sa.Integer(), nullable=False, unique=True),
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("compared_with", sa.Text(), sa.ForeignKey("models.version")),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("serving_since", UTCDateTime()),
        sa.Column("anchors", sa.Boolean(), nullable=False),
        sa.CheckConstraint("seq = previous_seq + 1", name="chain"),
        sa.CheckConstraint("kind IN ('gate', 'person', 'overruling', 'rollback')", name="kind"),
    )
    op.create_table(
        "champion_checks",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("corpus", sa.Text(), sa.ForeignKey("corpora.corpus"), primary_key=True),
        sa.Column("rows", Counter, nullable=False),
        sa.Column("accuracy", sa.Double()),
        sa.Column("macro_f1", sa.Double()),
        sa.Column("lower_bound", sa.Double()),
        sa.Column("upper_bound", sa.Double()),
        sa.Column("accuracy_at_promotion", sa.Double()),
        sa.Column("alarm", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("checked_at", UTCDateTime(), nullable=False),
    )
