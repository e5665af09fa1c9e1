"""Labels by people that are probably wrong, as each corpus showed them: what ``suspect_annotations`` stands on."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from senti_tasks.warehouse.migrations import recorded_setting
from senti_tasks.warehouse.schema import annotation_suspects, corpora
from senti_tasks.warehouse.types import review_id_value

CORPORA_KEPT = 3
"""Suspects of so many of the newest corpora are kept. A suspect of an older one was corrected, or was found again."""


def record(connection: Connection, corpus: str, suspects: Sequence[dict[str, Any]]) -> None:
    """Puts ``suspects`` (columns of the table but corpus, review_id as text) in place of those known of ``corpus``."""
    table = annotation_suspects
    id_type = recorded_setting(connection, "review_id_type")
    newest = sa.select(corpora.c.corpus).order_by(corpora.c.created_at.desc(), corpora.c.corpus.desc())
    kept = connection.execute(newest.limit(CORPORA_KEPT)).scalars().all()
    connection.execute(sa.delete(table).where((table.c.corpus == corpus) | table.c.corpus.not_in(kept)))
    if suspects and corpus in kept:
        rows = [{**row, "corpus": corpus, "review_id": review_id_value(row["review_id"], id_type)} for row in suspects]
        connection.execute(sa.insert(table), rows)
