"""The source side: reviews and what people said of them.

The pipeline only reads ``reviews`` and ``review_annotations``. Nothing refers to them by a foreign key, since
``reviews`` may be a view over the team's own table.
"""

import sqlalchemy as sa
from sqlalchemy import Column, Table

from senti_tasks.warehouse.schema.metadata import Counter, TextHash, metadata
from senti_tasks.warehouse.types import ReviewId, ReviewText, UTCDateTime

reviews = Table(
    "reviews",
    metadata,
    Column("review_id", ReviewId, primary_key=True),
    Column("review_text", ReviewText, nullable=False),
    Column("product", sa.Text),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False, index=True),  # changes when the text changes
)

review_annotations = Table(
    "review_annotations",
    metadata,
    Column("review_id", ReviewId, primary_key=True),
    Column("annotator", sa.Text, primary_key=True),
    Column("annotated_at", UTCDateTime, primary_key=True),
    Column("label", sa.SmallInteger, nullable=False),
    Column("text_hash", TextHash, nullable=False),  # of the text that was judged
)

import_sources = Table(
    "import_sources",
    metadata,
    Column("source_id", Counter, primary_key=True),
    Column("name", sa.Text, nullable=False, unique=True),
    Column("revision", sa.Text),  # of a data set on the hub: the commit its rows were read at
)
