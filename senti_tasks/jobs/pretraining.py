"""Pretrains an encoder on unlabelled reviews: the tasks of ``pretrain_encoder``, in the order in which they run."""

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
from senti_tasks.jobs.base_models import pretraining_base_model
from senti_tasks.jobs.context import load_context, now, parse_timestamp, version_of
from senti_tasks.jobs.corpora import ledger
from senti_tasks.jobs.operations.erasure import erase_from_artifacts
from senti_tasks.progress import Watcher
from senti_tasks.text import NORMALISER_VERSION
from senti_tasks.warehouse import erasure
from senti_tasks.warehouse.models import corpora, encoders, texts
from senti_tasks.warehouse.scoring import publication_lock

if TYPE_CHECKING:
    from senti_tasks.corpus.near_duplicates import NearDuplicates
    from senti_tasks.corpus.unlabelled import Selection

log = logging.getLogger(__name__)


def snapshot_texts(
    due: str, idempotency_key: str, base_model: str | None = None, config: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Makes a snapshot of the texts that an encoder may learn from. A repeated call with the same ``idempotency_key``
    returns the same snapshot.

    ``config`` overrides fields of ``PretrainConfig``. Returns texts (the artifact), digest (of it), base_model (that
    ``pretrain`` starts from), counts (of texts read, left out and kept) and due.
    """
    from senti_tasks.corpus import unlabelled

    context = load_context()
    start = pretraining_base_model(context, base_model)
    pretrain_config = PretrainConfig.for_base_model(start, config)
    while True:
        with context.reading() as connection:
            if (known := texts.snapshot_by_key(connection, idempotency_key)) is not None:
                log.info("%s made the snapshot %s before; it is returned", idempotency_key, known["texts"])
                answer = {name: known[name] for name in ("texts", "digest", "base_model", "counts")}
                return {**answer, "due": known["due"].isoformat()}
            erased_before = erasure.count_erased(connection)
            selection = _select(connection, pretrain_config.texts)
        with context.scratch() as folder:
            counts = unlabelled.write(selection, folder)
            day = parse_timestamp(due).astimezone(context.settings.zone)
            artifact, digest = context.store.put(folder, "texts", f"{day:%Y-%m-%d}")
        values = {
            "texts": artifact,
            "idempotency_key": idempotency_key,
            "due": parse_timestamp(due),
            "base_model": start,
            "artifact": artifact,
            "digest": digest,
            "counts": counts,
        }
        with context.writing() as connection:
            # Erasures take this lock too. One that is under way ends first; a later one finds these texts recorded.
            publication_lock.take(connection)
            if erasure.count_erased(connection) == erased_before:
                texts.record_snapshot(connection, {**values, "created_at": now()})
                continue
        log.info("reviews were erased while the snapshot %s was made; it is made again without them", artifact)
        erase_from_artifacts(context)


def _select(connection: Connection, limit: int) -> Selection:
    """Up to ``limit`` texts, without those of the validation and test splits and their near-duplicates."""
    from senti_tasks.corpus import unlabelled

    selection = unlabelled.Selection(held_out_texts(connection), limit)
    for chunk in texts.read_chunks(connection):
        selection.offer(chunk, partial(corpora.splits_of, connection))
        if selection.is_full:
            break
    return selection


def held_out_texts(connection: Connection) -> NearDuplicates:
    """The texts of the ledger that no model may learn from: those of the validation and test splits."""
    from senti_tasks.corpus import near_duplicates

    held_out = near_duplicates.NearDuplicates()
    for number, (split, shingles) in enumerate(ledger(connection)):
        if split != "train":
            held_out.add(str(number), shingles)
    return held_out


def pretrain(
    snapshot: dict[str, Any],
    idempotency_key: str,
    config: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    turn_minutes: float | None = None,
    watch: Watcher | None = None,
) -> dict[str, Any]:
    """Pretrains an encoder on a text snapshot (the result of ``snapshot_texts``) and registers it; returns encoder (its
    version).

    After a kill, the next call on the same machine continues from the last checkpoint if texts, base model and
    configuration are the same; the idempotency key may differ. If reviews were erased meanwhile, the training starts
    again with the remaining texts. Of two calls at once, the second waits and returns the encoder of the first.
    ``report`` is called with the metrics of each epoch, ``watch`` twice a second with the progress. Raises
    ``TrainingStoppedError`` after SIGTERM, in the hours of SENTI_NO_TRAINING, and after ``turn_minutes``.
    SENTI_TRAINING_PROCESSES processes train together.
    """
    context = load_context()  # first, because the hub's client reads HF_ENDPOINT when it is imported
    from senti_tasks.training import pretraining

    with context.reading() as connection:
        # ``snapshot`` may name a former artifact: an erasure replaces it.
        recorded = texts.snapshot_by_key(connection, idempotency_key)
    if recorded is None:
        raise CorpusError(f"{idempotency_key} has no text snapshot: run the task snapshot_texts first")
    base_model = snapshot["base_model"]
    pretrain_config = PretrainConfig.for_base_model(base_model, config)
    with context.resumable_folder("pretraining", recorded["digest"], base_model, pretrain_config.to_json()) as folder:
        with context.reading() as connection:
            if (known := encoders.encoder_by_key(connection, idempotency_key)) is not None:
                log.info("%s pretrained %s before; it is returned", idempotency_key, known["version"])
                return {"encoder": known["version"]}
        interruptions = context.interruptions(turn_minutes)
        data = context.fetch(recorded)
        checkpoints, output = folder / "checkpoints", folder / "encoder"
        outside = (report, context.settings.device, interruptions, context.settings.training_processes)
        result = pretraining.pretrain(data, base_model, pretrain_config, checkpoints, output, *outside, watch)
        version = version_of(parse_timestamp(snapshot["due"]), idempotency_key, context.settings.zone)
        artifact, digest = context.store.put(output, "encoders", version)
        encoder = {
            "version": version,
            "idempotency_key": idempotency_key,
            "base_model": base_model,
            "base_revision": result.pop("base_revision"),
            "config": pretrain_config.to_json(),
            "code_version": __version__,
            "normaliser_version": NORMALISER_VERSION,
            "artifact": artifact,
            "digest": digest,
            "training": {**result, "snapshot": {**snapshot, "digest": recorded["digest"]}},
            "trained_at": now(),
        }
        with context.writing() as connection:
            version = encoders.register(connection, encoder)
        shutil.rmtree(folder)
    return {"encoder": version}
