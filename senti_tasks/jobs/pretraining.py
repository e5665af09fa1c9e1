"""Unlabelled reviews in, an encoder out: the tasks of ``pretrain_encoder``, in their order."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from senti_tasks import __version__
from senti_tasks.config import PretrainConfig
from senti_tasks.errors import CorpusError
from senti_tasks.jobs.base_models import own_base_model
from senti_tasks.jobs.context import load_context, now, parse_timestamp, version_of
from senti_tasks.jobs.corpora import ledger
from senti_tasks.jobs.erasure import erase_from_artifacts
from senti_tasks.text import NORMALISER_VERSION
from senti_tasks.warehouse import database, erasure
from senti_tasks.warehouse.models import corpora, encoders, texts
from senti_tasks.warehouse.scoring import publication_lock

if TYPE_CHECKING:
    from senti_tasks.corpus.unlabelled import Selection

log = logging.getLogger(__name__)


def snapshot_texts(
    due: str, idempotency_key: str, base_model: str | None = None, config: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Makes a snapshot of the texts that an encoder may learn from. The same ``idempotency_key`` always gets the same
    one.

    Returns texts (the artifact), its digest, due, base_model (what ``pretrain`` starts from) and the counts of what was
    read, left out and kept.
    """
    from senti_tasks.corpus import unlabelled

    context = load_context()

    own = own_base_model(context, base_model)
    settled = PretrainConfig.for_base_model(own, config)
    while True:
        with database.reading(context.engine) as connection:
            if (known := texts.by_key(connection, idempotency_key)) is not None:
                log.info("%s made the snapshot %s before: it is used", idempotency_key, known["texts"])
                return _texts_answer(known)
            erased_before = erasure.number(connection)
            selection = _select(connection, settled.texts)
        with context.scratch() as folder:
            counts = unlabelled.write(selection, folder)
            artifact, digest = context.store.put(folder, "texts", f"{parse_timestamp(due):%Y-%m-%d}")
        values = {
            "texts": artifact,
            "due": parse_timestamp(due),
            "base_model": own,
            "artifact": artifact,
            "digest": digest,
        }
        with database.writing(context.engine) as connection:
            publication_lock.take(connection)  # an erasure under way ends first, and a later one finds these texts
            if erasure.number(connection) == erased_before:
                texts.record(
                    connection, {"idempotency_key": idempotency_key, **values, "counts": counts, "created_at": now()}
                )
                continue
        log.info("reviews were erased while the snapshot %s was made: it is made again without them", artifact)
        erase_from_artifacts(context)


def _select(connection: Connection, limit: int) -> Selection:
    from senti_tasks.corpus import near_duplicates, unlabelled

    judging = near_duplicates.NearDuplicates()
    for number, (split, shingles) in enumerate(ledger(connection)):
        if split != "train":
            judging.add(str(number), shingles)
    selection = unlabelled.Selection(judging, limit)
    for chunk in texts.chunks(connection):
        selection.offer(chunk, partial(corpora.splits_of, connection))
        if selection.is_full:
            break
    return selection


def _texts_answer(snapshot: dict[str, Any]) -> dict[str, Any]:
    named = {name: snapshot[name] for name in ("texts", "digest", "base_model", "counts")}
    return {**named, "due": snapshot["due"].isoformat()}


def pretrain(
    snapshot: dict[str, Any],
    idempotency_key: str,
    config: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Pretrains an encoder on a text snapshot and registers it; returns its version.

    A killed training continues from its last checkpoint on the same machine, also under another idempotency key, if
    texts, base model and configuration are the same. Where reviews were erased meanwhile, it starts again with the
    texts that are left. Of two attempts at once the second waits, and then returns the encoder of the first.
    """
    context = load_context()
    from senti_tasks.training import pretraining

    with database.reading(context.engine) as connection:
        recorded = texts.by_key(connection, idempotency_key)  # without the texts that were erased since
    if recorded is None:
        raise CorpusError(f"{idempotency_key} has no text snapshot: run the task snapshot_texts first")
    base_model = snapshot["base_model"]
    settled = PretrainConfig.for_base_model(base_model, config)
    with context.resumable_folder("pretraining", recorded["digest"], base_model, settled.to_json()) as folder:
        with database.reading(context.engine) as connection:
            if (known := encoders.encoder_by_key(connection, idempotency_key)) is not None:
                log.info("%s pretrained %s before: it is used", idempotency_key, known["version"])
                return {"encoder": known["version"]}
        data = context.store.fetch(recorded["artifact"], recorded["digest"])
        checkpoints, output = folder / "checkpoints", folder / "encoder"
        result = pretraining.pretrain(data, base_model, settled, checkpoints, output, report, context.settings.device)
        version = version_of(parse_timestamp(snapshot["due"]), idempotency_key)
        artifact, digest = context.store.put(output, "encoders", version)
        encoder = {
            "version": version,
            "idempotency_key": idempotency_key,
            "base_model": base_model,
            "base_revision": result.pop("base_revision"),
            "config": settled.to_json(),
            "code_version": __version__,
            "normaliser_version": NORMALISER_VERSION,
            "artifact": artifact,
            "digest": digest,
            "training": {**result, "snapshot": {**snapshot, "digest": recorded["digest"]}},
            "trained_at": now(),
        }
        with database.writing(context.engine) as connection:
            version = encoders.register(connection, encoder)
        shutil.rmtree(folder)
    return {"encoder": version}
