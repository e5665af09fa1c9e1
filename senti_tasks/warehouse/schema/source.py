"""The source tables: reviews, the labels that people gave them, and the files they were imported from.

The pipeline only reads ``reviews`` and ``review_annotations``. No foreign key refers to them, since ``reviews`` may be
a view over the team's own table.
"""

import sqlalchemy as sa
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from senti_tasks.warehouse.schema.metadata import Counter, TextHash, metadata
from senti_tasks.warehouse.types import ReviewId, ReviewText, SourceTimestamp

Attributes = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")

reviews = Table(
    "reviews",
    metadata,
    Column("review_id", ReviewId, primary_key=True),
    Column("review_text", ReviewText, nullable=False),
    Column("product", sa.Text),
    Column("created_at", SourceTimestamp, nullable=False),
    Column("updated_at", SourceTimestamp, nullable=False, index=True),  # changes when the text changes
    Column("attributes", Attributes),  # further columns of imported files; a team's own table may lack it
)

review_annotations = Table(
    "review_annotations",
    metadata,
    Column("review_id", ReviewId, primary_key=True),
    Column("annotator", sa.Text, primary_key=True),
    Column("annotated_at", SourceTimestamp, primary_key=True),
    Column("label", sa.SmallInteger, nullable=False),
    Column("text_hash", TextHash, nullable=False),  # of the text that was labelled
)

import_sources = Table(
    "import_sources",
    metadata,
    Column("source_id", Counter, primary_key=True),
    Column("name", sa.Text, nullable=False, unique=True),
    Column("revision", sa.Text),  # the commit that was read, if it is a data set on the hub
)
