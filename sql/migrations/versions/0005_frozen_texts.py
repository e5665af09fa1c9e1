"""Frozen texts are on record before an encoder is: an erasure finds them, and so does the pretraining it interrupts."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from senti_tasks.warehouse.types import UTCDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    table = op.create_table(
        "frozen_texts",
        sa.Column("origin", sa.Text(), primary_key=True),
        sa.Column("texts", sa.Text(), nullable=False),
        sa.Column("due", UTCDateTime(), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("artifact", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
    )
    kinds: dict[str, Any] = {"origin": sa.Text(), "training": sa.JSON(), "trained_at": UTCDateTime()}
    encoders = sa.table("encoders", *(sa.column(name, kind) for name, kind in kinds.items()))
    known = op.get_bind().execute(sa.select(encoders)).mappings().all()
    op.bulk_insert(table, [_texts_of(row) for row in known if "frozen" in row["training"]])


def _texts_of(encoder: Any) -> dict[str, Any]:
    """The texts that an encoder was pretrained on, as its row names them."""
    frozen = encoder["training"]["frozen"]
    return {
        "origin": encoder["origin"],
        "texts": frozen["texts"],
        "due": datetime.fromisoformat(frozen["due"]),
        "base_model": frozen["base_model"],
        "artifact": frozen["texts"],
        "digest": frozen["digest"],
        "counts": frozen["counts"],
        "created_at": encoder["trained_at"],
    }
