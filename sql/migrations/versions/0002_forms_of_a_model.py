"""What a form of a model had to show before it could serve, and the forms that were refused."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("model_forms") as table:  # SQLite cannot relax a column in place
        table.add_column(sa.Column("verdict", sa.Text(), nullable=False, server_default="proven"))
        table.add_column(sa.Column("reason", sa.Text(), nullable=False, server_default="the model as it was trained"))
        table.add_column(sa.Column("reviews_compared", Counter))
        table.add_column(sa.Column("reviews_per_second", sa.Double()))
        for name, kind in (("artifact", sa.Text()), ("digest", sa.String(64)), ("agreement", sa.Double())):
            table.alter_column(name, existing_type=kind, nullable=True)
    with op.batch_alter_table("model_forms") as table:
        table.alter_column("verdict", existing_type=sa.Text(), server_default=None)
        table.alter_column("reason", existing_type=sa.Text(), server_default=None)
        table.create_check_constraint(op.f("ck_model_forms_verdict"), "verdict IN ('proven', 'refused')")
        table.create_check_constraint(op.f("ck_model_forms_kept"), "(verdict = 'proven') = (digest IS NOT NULL)")
        table.create_check_constraint(op.f("ck_model_forms_serves"), "verdict = 'proven' OR NOT serves")
