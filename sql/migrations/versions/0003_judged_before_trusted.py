"""What the judgement of a model rests on: its labels, near-duplicates in the ledger, bounds and slices of the gate."""

import sqlalchemy as sa
from alembic import context, op

from senti_tasks.warehouse.types import UTCDateTime, review_id_column_type

revision = "0003"
down_revision = "0002"

Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _settings()
    _ledger()
    _gate()
    _tables()


def _settings() -> None:
    settings = sa.table("warehouse_settings", sa.column("name"), sa.column("value"))
    op.bulk_insert(settings, [{"name": "labels", "value": context.config.attributes["labels"]}])


def _ledger() -> None:
    with op.batch_alter_table("text_splits") as table:  # SQLite cannot change a constraint in place
        table.drop_constraint(op.f("ck_text_splits_split"), type_="check")
    with op.batch_alter_table("text_splits") as table:
        table.create_check_constraint(
            op.f("ck_text_splits_split"), "split IN ('train', 'validation', 'test', 'set_aside')"
        )
        table.add_column(sa.Column("shingles", sa.LargeBinary()))
        table.add_column(sa.Column("judgements", sa.Integer(), nullable=False, server_default="0"))


def _gate() -> None:
    with op.batch_alter_table("gate_results") as table:
        table.add_column(sa.Column("slice", sa.Text()))
        table.add_column(sa.Column("rows", Counter))
        table.add_column(sa.Column("bound", sa.Double()))
    # What the first gate called the figure of a comparison was its lower bound.
    op.execute("UPDATE gate_results SET bound = figure, figure = NULL WHERE rule = 'accuracy'")
    with op.batch_alter_table("promotions") as table:
        table.add_column(sa.Column("anchors", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE promotions SET anchors = (seq = 1 OR kind IN ('person', 'overruling'))")
    with op.batch_alter_table("promotions") as table:
        table.alter_column("anchors", existing_type=sa.Boolean(), server_default=None)


def _tables() -> None:
    op.create_table(
        "champion_checks",
        sa.Column("model_version", sa.Text(), sa.ForeignKey("models.version"), primary_key=True),
        sa.Column("corpus", sa.Text(), sa.ForeignKey("corpora.corpus"), primary_key=True),
        sa.Column("rows", Counter, nullable=False),
        sa.Column("accuracy", sa.Double()),
        sa.Column("macro_f1", sa.Double()),
        sa.Column("lower_bound", sa.Double()),
        sa.Column("upper_bound", sa.Double()),
        sa.Column("promised", sa.Double()),
        sa.Column("alarm", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("checked_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "encoders",
        sa.Column("version", sa.Text(), primary_key=True),
        sa.Column("origin", sa.Text(), nullable=False, unique=True),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("base_revision", sa.Text()),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("normaliser_version", sa.SmallInteger(), nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("training", sa.JSON(), nullable=False),
        sa.Column("trained_at", UTCDateTime(), nullable=False),
    )
    op.create_table(
        "annotation_suspects",
        sa.Column("corpus", sa.Text(), sa.ForeignKey("corpora.corpus"), primary_key=True),
        sa.Column("review_id", review_id_column_type(context.config.attributes["review_id_type"]), primary_key=True),
        sa.Column("label", sa.SmallInteger(), nullable=False),
        sa.Column("suggested_label", sa.SmallInteger(), nullable=False),
        sa.Column("label_probability", sa.Double(), nullable=False),
        sa.Column("suggested_probability", sa.Double(), nullable=False),
    )
    with op.batch_alter_table("import_sources") as table:
        table.add_column(sa.Column("revision", sa.Text()))
