"""Labelled reviews to a frozen corpus: the first task of ``retrain_sentiment``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.base_models import starting_point
from senti_tasks.jobs.context import Workplace, enter, instant, now
from senti_tasks.jobs.erasure import erase_forgotten

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from senti_tasks.corpus.near_duplicates import Shingles
    from senti_tasks.corpus.snapshot import Example

log = logging.getLogger(__name__)


def freeze_corpus(
    due: str,
    origin: str,
    base_model: str | None = None,
    config: dict[str, Any] | None = None,
    gate: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Freezes the labelled reviews as of ``due``; the same ``origin`` always gets the corpus it froze first.

    ``config`` and ``gate`` are those of the training and the judgement to come: a field that means nothing is an error
    now, and not after hours of training.

    Returns corpus (its name), due and rows per split.
    """
    place = enter()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from senti_tasks.config import GateConfig, TrainConfig
    from senti_tasks.corpus import snapshot
    from senti_tasks.errors import CorpusError
    from senti_tasks.training import base_models
    from senti_tasks.warehouse import database, erasure, migrations
    from senti_tasks.warehouse.models import corpora
    from senti_tasks.warehouse.scoring import publication_lock

    label_set = place.settings.label_set
    start = starting_point(place, base_model)
    max_length = TrainConfig.for_base_model(start.recipe, config).max_length
    GateConfig.from_json(gate or {})
    with database.reading(place.engine) as connection:
        if (frozen := corpora.corpus_of_origin(connection, origin)) is not None:
            log.info("%s froze %s before: it stands", origin, frozen["corpus"])
            return _corpus_answer(frozen)
        migrations.check_settings(connection, labels=str(label_set))
        forgotten = erasure.number(connection)
        reviews = (snapshot.LabelledReview(**row) for row in corpora.labelled_reviews(connection, due=instant(due)))
        examples, dropped = snapshot.clean(reviews)
    examples, splits, left_out = _split(place, examples, instant(due))
    train_texts = [example.text for example in examples if splits[example.split_key] == "train"]
    shipped = base_models.load_tokenizer(start.base_model, train_texts, folder=start.folder, fitted=False)
    tokenizer = base_models.load_tokenizer(start.base_model, train_texts, folder=start.folder)
    with place.scratch() as folder:
        tokenizers, counts = (shipped, tokenizer), dropped | left_out
        summary = snapshot.freeze(
            examples, splits, counts, instant(due), start.base_model, tokenizers, folder, max_length, label_set
        )
        artifact, digest = place.store.put(folder, "corpora", f"{instant(due):%Y-%m-%d}")
    with database.writing(place.engine) as connection:
        values = {
            "corpus": artifact.removeprefix("corpora/"),
            "origin": origin,
            "due": instant(due),
            "artifact": artifact,
        }
        publication_lock.lock(connection)  # an erasure under way ends first, and a later one finds this corpus
        is_current = erasure.number(connection) == forgotten
        if is_current:
            corpora.record_corpus(connection, {**values, "digest": digest, "summary": summary, "created_at": now()})
        recorded = corpora.corpus_of_origin(connection, origin)
    if not is_current:
        log.info("reviews were forgotten while %s was frozen: it is frozen again without them", artifact)
        erase_forgotten(place)
        return freeze_corpus(due, origin, base_model, config, gate)
    if recorded is None:
        raise CorpusError(f"corpus {artifact} was frozen by another run at the same moment: run this one again")
    return _corpus_answer(recorded)


def corpus_folder(place: Workplace, name: str) -> Path:
    """Where the frozen corpus ``name`` lies on this machine, checked against its digest."""
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import corpora

    with database.reading(place.engine) as connection:
        frozen = corpora.corpus(connection, name)
    return place.store.fetch(frozen["artifact"], frozen["digest"])


def _corpus_answer(frozen: dict[str, Any]) -> dict[str, Any]:
    return {"corpus": frozen["corpus"], "due": frozen["due"].isoformat(), "rows": frozen["summary"]["rows"]}


def _split(
    place: Workplace, examples: list[Example], due: datetime
) -> tuple[list[Example], dict[str, str], dict[str, int]]:
    """The examples that leak into no other split, the split of each key, and how many were left out, per reason.

    New keys get their split in order of first arrival, then key, and the ledger keeps it; of a corpus that cannot be
    used it keeps nothing.
    """
    from senti_tasks.corpus import leak_check, snapshot
    from senti_tasks.corpus.near_duplicates import shingles
    from senti_tasks.corpus.splits import decide
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import corpora

    arrived = sorted(examples, key=lambda example: (example.created_at, example.split_key))
    texts = {example.split_key: shingles(example.text) for example in arrived}
    while True:
        with database.reading(place.engine) as connection:
            rows = corpora.ledger_rows(connection)
            known = corpora.splits_of(connection, list(texts))
            bare = known.keys() & corpora.keys_without_shingles(connection)
            new = {key: text for key, text in texts.items() if key not in known}
            before = chain(((known[key], texts[key]) for key in bare), ledger(connection))
            decided = decide(new, before) if new else {}
        kept, left_out = leak_check.keep_apart(examples, known | decided, texts)
        snapshot.check(kept, known | decided, place.settings.label_set)
        with database.writing(place.engine) as connection:
            corpora.hold_ledger(connection)
            if corpora.ledger_rows(connection) != rows:
                continue  # another corpus was frozen meanwhile, with texts that these may resemble
            corpora.add_shingles(connection, {key: _stored(texts[key]) for key in bare})
            stored = {key: _stored(text) for key, text in new.items()}
            corpora.record_splits(connection, decided, shingles=stored, at=due)
        return kept, known | decided, left_out


def ledger(connection: Connection) -> Iterator[tuple[str, Shingles]]:
    """Split and shingles of each text in the ledger that near-duplicates can be compared with."""
    import numpy as np

    from senti_tasks.warehouse.models import corpora

    return ((split, np.frombuffer(stored, dtype="<u4")) for split, stored in corpora.ledger(connection))


def _stored(text: Shingles) -> bytes:
    return text.astype("<u4").tobytes()
