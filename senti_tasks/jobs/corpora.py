"""Makes a corpus snapshot of the labelled reviews: the first task of ``retrain_sentiment``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection

from senti_tasks.config import GateConfig, TrainConfig, training_config
from senti_tasks.jobs.base_models import starting_point
from senti_tasks.jobs.context import JobContext, load_context, now, parse_timestamp
from senti_tasks.jobs.operations import lineage
from senti_tasks.jobs.operations.erasure import erase_from_artifacts
from senti_tasks.warehouse import erasure, migrations
from senti_tasks.warehouse.models import corpora
from senti_tasks.warehouse.scoring import publication_lock

if TYPE_CHECKING:
    from senti_tasks.corpus.near_duplicates import Shingles
    from senti_tasks.corpus.snapshot import Example

log = logging.getLogger(__name__)


def snapshot_corpus(
    due: str,
    idempotency_key: str,
    base_model: str | None = None,
    config: dict[str, Any] | None = None,
    gate: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Makes a snapshot of the labelled reviews as of ``due``. A repeated call with the same ``idempotency_key`` returns
    the same snapshot.

    ``base_model``, ``config`` (fields of ``TrainConfig``, or of ``TfidfConfig``) and ``gate`` (fields of
    ``GateConfig``) are those of the training and the judgement that follow. They are validated here, so that a wrong
    one fails before hours of training.

    Returns corpus (its name), due and rows (per split). Raises ``CorpusError`` if a model cannot be trained and judged
    on the labelled reviews.
    """
    context = load_context()  # first, because the hub's client reads HF_ENDPOINT when it is imported
    start = starting_point(context, base_model)  # before what is imported next: a folder with a fault fails at once
    from senti_tasks.corpus import snapshot
    from senti_tasks.training import base_models

    label_set, due_at = context.settings.label_set, parse_timestamp(due)
    train_config = training_config(start.recipe, config)
    max_length = train_config.max_length if isinstance(train_config, TrainConfig) else None
    GateConfig.from_json(gate or {})
    with context.reading() as connection:
        if (known := corpora.corpus_by_key(connection, idempotency_key)) is not None:
            log.info("%s made the snapshot %s before; it is returned", idempotency_key, known["corpus"])
            return _corpus_answer(known)
        migrations.check_settings(connection, labels=str(label_set))
        erased_before = erasure.count_erased(connection)
        reviews = (snapshot.LabelledReview(**row) for row in corpora.labelled_reviews(connection, due=due_at))
        examples, dropped = snapshot.clean(reviews)
    log.info("%d labelled reviews are usable; now each text gets its split", len(examples))
    if (parted := _split(context, examples, due_at, erased_before)) is None:
        log.info("reviews were erased while a snapshot was made; it is made again without them")
        return snapshot_corpus(due, idempotency_key, base_model, config, gate)
    examples, splits, left_out = parted
    train_texts = [example.text for example in examples if splits[example.content_hash] == "train"]
    shipped = base_models.load_tokenizer(start.base_model, train_texts, folder=start.folder, fitted=False)
    tokenizer = base_models.load_tokenizer(start.base_model, train_texts, folder=start.folder)
    with context.scratch() as folder:
        tokenizers, counts = (shipped, tokenizer), dropped | left_out
        summary = snapshot.write(
            examples, splits, counts, due_at, start.base_model, tokenizers, folder, max_length, label_set
        )
        artifact, digest = context.store.put(folder, "corpora", f"{due_at.astimezone(context.settings.zone):%Y-%m-%d}")
    values = {
        "corpus": artifact.removeprefix("corpora/"),
        "idempotency_key": idempotency_key,
        "due": due_at,
        "artifact": artifact,
        "digest": digest,
        "summary": summary,
    }
    with context.writing() as connection:
        # Erasures take this lock too. One that is under way ends first; a later one finds this corpus recorded.
        publication_lock.take(connection)
        is_current = erasure.count_erased(connection) == erased_before
        if is_current:
            corpora.record_corpus(connection, {**values, "created_at": now()})
        # Without a corpus of this key, another run has recorded this one: its name has the digest of rows and due time.
        recorded = corpora.corpus_by_key(connection, idempotency_key)
        if is_current and recorded is None:
            recorded = corpora.corpus(connection, artifact.removeprefix("corpora/"))
    if recorded is None or not is_current:
        log.info("reviews were erased while the snapshot %s was made; it is made again without them", artifact)
        erase_from_artifacts(context)
        return snapshot_corpus(due, idempotency_key, base_model, config, gate)
    lineage.tell(
        context,
        "snapshot_corpus",
        idempotency_key,
        inputs=[lineage.table(name) for name in ("reviews", "review_annotations")],
        outputs=[lineage.artifact(artifact, digest=digest, rows=sum(summary["rows"].values()))],
    )
    return _corpus_answer(recorded)


def corpus_folder(context: JobContext, name: str) -> Path:
    """The local folder of the corpus ``name``, after checking it against its digest."""
    with context.reading() as connection:
        row = corpora.corpus(connection, name)
    return context.fetch(row)


def _corpus_answer(row: dict[str, Any]) -> dict[str, Any]:
    log.info(
        "corpus %s: %s", row["corpus"], ", ".join(f"{rows} {split}" for split, rows in row["summary"]["rows"].items())
    )
    return {"corpus": row["corpus"], "due": row["due"].isoformat(), "rows": row["summary"]["rows"]}


def _split(
    context: JobContext, examples: list[Example], due: datetime, erased_before: int
) -> tuple[list[Example], dict[str, str], dict[str, int]] | None:
    """Gives each text its split and leaves out the examples that leak from one split into another.

    Returns the examples that are kept, the split of each content hash, and the number left out per reason. New texts
    get their split in the order of (created_at, content hash), and the ledger records it with the reviews that have the
    text. Returns ``None`` and records nothing if more reviews are erased than ``erased_before``. If the corpus cannot
    be used, this raises ``CorpusError`` before it records anything.
    """
    from senti_tasks.corpus import leak_check, near_duplicates, snapshot, splits

    arrived = sorted(examples, key=lambda example: (example.created_at, example.content_hash))
    texts = {example.content_hash: near_duplicates.shingles(example.text) for example in arrived}
    present = {(one.content_hash, review_id) for one in examples for review_id in (one.review_id, *one.copies)}
    while True:
        with context.reading() as connection:
            rows = corpora.count_ledger(connection)
            known = corpora.splits_of(connection, list(texts))
            new = {key: text for key, text in texts.items() if key not in known}
            decided = splits.decide(new, ledger(connection)) if new else {}
            unrecorded = sorted(present - set(corpora.reviews_in_ledger(connection)))
        kept, left_out = leak_check.keep_apart(examples, known | decided, texts)
        snapshot.check(kept, known | decided, context.settings.label_set)
        with context.writing() as connection:
            # Erasures take this lock too. One that is under way ends first; a later one finds these texts recorded.
            publication_lock.take(connection)
            if erasure.count_erased(connection) != erased_before:
                return None
            corpora.lock_ledger(connection)
            if corpora.count_ledger(connection) != rows:
                continue  # another corpus added texts meanwhile; these may be near-duplicates of them: decide again
            stored = {key: text.astype("<u4").tobytes() for key, text in new.items()}
            corpora.record_splits(connection, decided, shingles=stored, now=due)
            corpora.record_reviews_in_ledger(connection, unrecorded)
        return kept, known | decided, left_out


def ledger(connection: Connection) -> Iterator[tuple[str, Shingles]]:
    """The split and the shingles of each text in the ledger that has shingles."""
    return ((split, np.frombuffer(stored, dtype="<u4")) for split, stored in corpora.read_ledger(connection))
