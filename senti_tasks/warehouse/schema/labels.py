"""Published labels, their products, history and sums, scoring errors, and erased reviews."""

import sqlalchemy as sa
from sqlalchemy import Column, Index, Table

from senti_tasks.warehouse.schema.metadata import Counter, TextHash, metadata
from senti_tasks.warehouse.types import ReviewId, SourceTimestamp, UTCDateTime


def _label_columns() -> list[Column[object]]:
    return [
        Column("text_hash", TextHash, nullable=False),
        Column("review_updated_at", SourceTimestamp, nullable=False),  # the version of the text that was read
        Column("label", sa.SmallInteger, nullable=False),
        Column("score", sa.Double, nullable=False),
        Column("confidence", sa.Double, nullable=False),
        Column("truncated", sa.Boolean, nullable=False),
        Column("variant", sa.Text, nullable=False),
        Column("run_id", Counter, nullable=False),
        Column("scored_at", UTCDateTime, nullable=False),
        Column("local_day", sa.Date, nullable=False),  # the day the review was written, in SENTI_TIMEZONE
        Column("carried_from", sa.Text),  # the model that made the label, if it is another one than model_version
        Column("product_id", sa.Integer, nullable=False),
    ]


def _partial_index(name: str, columns: tuple[str, ...], condition: str) -> Index:
    """An index of the rows that fulfil ``condition``."""
    return Index(name, *columns, postgresql_where=sa.text(condition), sqlite_where=sa.text(condition))


products = Table(  # the products of labelled reviews: a number is smaller in labels, indexes and rollups than a name
    "products",
    metadata,
    Column("product_id", sa.Integer, primary_key=True),
    Column("product", sa.Text, unique=True),  # NULL in one row, of the number 0: reviews without a product
)

review_labels = Table(
    "review_labels",
    metadata,
    Column("model_version", sa.Text, primary_key=True),
    Column("review_id", ReviewId, primary_key=True),
    *_label_columns(),
    Column("publish_seq", Counter, nullable=False),
    Index("ix_review_labels_text_hash", "model_version", "text_hash"),
    _partial_index("ix_review_labels_carried", ("model_version",), "carried_from IS NOT NULL"),
    Index("ix_review_labels_local_day", "model_version", "local_day"),
    Index("ix_review_labels_product_id", "model_version", "product_id", "local_day"),
    # The labels that people look for by confidence; the conditions are those of the views and the cookbook.
    _partial_index("ix_review_labels_negative", ("model_version", "confidence"), "label = 0"),
    _partial_index("ix_review_labels_uncertain", ("model_version", "confidence"), "confidence < 0.7"),
    postgresql_partition_by="LIST (model_version)",
)

review_label_history = Table(  # labels of texts that were edited afterwards
    "review_label_history",
    metadata,
    Column("model_version", sa.Text, primary_key=True),
    Column("review_id", ReviewId, primary_key=True),
    *_label_columns(),
    Column("publish_seq", Counter, primary_key=True),
    Column("replaced_by", Counter, nullable=False),  # the publish_seq of the label that replaced it
)

scoring_errors = Table(
    "scoring_errors",
    metadata,
    Column("model_version", sa.Text, primary_key=True),
    Column("review_id", ReviewId, primary_key=True),
    Column("review_updated_at", SourceTimestamp, primary_key=True),
    Column("text_hash", TextHash, nullable=False),
    Column("reason", sa.Text, nullable=False),
    Column("run_id", Counter, nullable=False),
    Column("failed_at", UTCDateTime, nullable=False),
)

label_rollups = Table(  # sums over review_labels, updated with every publication: views read one row a day
    "label_rollups",
    metadata,
    Column("model_version", sa.Text, primary_key=True),
    Column("local_day", sa.Date, primary_key=True),
    Column("label", sa.SmallInteger, primary_key=True),
    Column("reviews", Counter, nullable=False),
    Column("score_sum", sa.Double, nullable=False),
    Column("confidence_sum", sa.Double, nullable=False),
)

product_rollups = Table(  # sums by product, in one row a day: views need not add up labels
    "product_rollups",
    metadata,
    Column("model_version", sa.Text, primary_key=True),
    Column("product_id", sa.Integer, primary_key=True),
    Column("local_day", sa.Date, primary_key=True),
    Column("reviews", Counter, nullable=False),
    Column("positive", Counter, nullable=False),  # labels that are the model's highest
    Column("negative", Counter, nullable=False),  # labels that are the lowest, 0
    Column("score_sum", sa.Double, nullable=False),
    Column("confidence_sum", sa.Double, nullable=False),
    Index("ix_product_rollups_local_day", "model_version", "local_day"),
    sqlite_with_rowid=False,  # its rows are in the order of the key: sums by product need no sort
)

erased_reviews = Table(  # erased on request: never labelled, published or imported again
    "erased_reviews",
    metadata,
    Column("review_id", ReviewId, primary_key=True),
    Column("erased_at", UTCDateTime, nullable=False),
    Column("actor", sa.Text, nullable=False),
    Column("reason", sa.Text, nullable=False),
)
