"""Labels by people that are probably wrong: found in a corpus, for a person to look at."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import annotation_suspects

log = logging.getLogger(__name__)


def rank_suspects(corpus: str) -> dict[str, Any]:
    """Finds the labels of a corpus that are probably wrong, as the other reviews in it suggest, in all three splits.

    They go to ``annotation_suspects``, in place of what was found in this corpus before; nothing else depends on them.
    Returns corpus and suspects, how many there are.
    """
    context = load_context()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from senti_tasks.corpus.snapshot import load
    from senti_tasks.judging import suspects

    data = load(corpus_folder(context, corpus))
    rows = [row for split in data.values() for row in split.select_columns(["review_id", "text", "label"])]
    found = suspects.find([row["text"] for row in rows], [row["label"] for row in rows])
    with database.writing(context.engine) as connection:
        values = [{"review_id": rows[row]["review_id"], **asdict(suspect)} for row, suspect in found.items()]
        annotation_suspects.record(connection, corpus, values)
    log.info("%d of %d labels in %s look wrong: SELECT * FROM suspect_annotations", len(found), len(rows), corpus)
    return {"corpus": corpus, "suspects": len(found)}
