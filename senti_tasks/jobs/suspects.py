"""Finds annotations that are probably wrong, for a person to check."""

import logging
from dataclasses import asdict
from typing import Any

from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.warehouse.models import corpora

log = logging.getLogger(__name__)


def rank_suspects(corpus: str) -> dict[str, Any]:
    """Finds the labels of a corpus, in all three splits, that disagree with the other reviews in it.

    Stores them in ``annotation_suspects``, in place of those found in this corpus before. No other task reads them.
    Returns corpus and suspects (how many).
    """
    context = load_context()  # first, because the hub's client reads HF_ENDPOINT when it is imported
    from senti_tasks.corpus.snapshot import load
    from senti_tasks.judging import suspects

    data = load(corpus_folder(context, corpus))
    rows = [row for split in data.values() for row in split.select_columns(["review_id", "text", "label"])]
    log.info("comparing %d labels with the labels of the other reviews", len(rows))
    found = suspects.find([row["text"] for row in rows], [row["label"] for row in rows])
    values = [{"review_id": rows[row]["review_id"], **asdict(suspect)} for row, suspect in found.items()]
    with context.writing() as connection:
        corpora.replace_suspects(connection, corpus, values)
    log.info("%d of %d labels in %s look wrong: SELECT * FROM suspect_annotations", len(found), len(rows), corpus)
    return {"corpus": corpus, "suspects": len(found)}
