"""Erases reviews for good: from the warehouse, and from artifacts that were written while the reviews were there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from senti_tasks.errors import ConfigError, CorpusError
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.warehouse import database, erasure, migrations
from senti_tasks.warehouse.models import corpora, encoders, registry, texts
from senti_tasks.warehouse.types import review_id_value

log = logging.getLogger(__name__)

KINDS = ("corpora", "texts", "evaluations")
"""Artifacts that hold rows of reviews. Evaluations have no table: the gate reads each once."""


def erase(review_ids: Sequence[str], reason: str, actor: str) -> dict[str, Any]:
    """Erases reviews for good, and records it. A repeated call changes nothing; it completes a call that was killed.

    Returns erased (how many are new), erased_before, removed (rows per table), corpora and texts (the snapshots that
    were rewritten), encoders and models (trained on those snapshots: what they learnt of a review stays in their
    weights until they are deleted) and unrecorded (artifacts without a row in the warehouse that held an erased review
    and were deleted). Raises ``ConfigError`` for a key of the wrong type.
    """
    context = load_context()
    with database.reading(context.engine) as connection:
        id_type = migrations.recorded_setting(connection, "review_id_type")
    try:
        keys = [review_id_value(spelling, id_type) for spelling in dict.fromkeys(review_ids)]
    except ValueError as error:
        raise ConfigError(f"{error}: nothing was erased") from error
    with database.writing(context.engine) as connection:
        new, removed = erasure.erase(connection, keys, actor=actor, reason=reason, now=now())
    # Snapshots are searched for every erased review, not only for those of this call: an earlier call may have been
    # killed before it rewrote them.
    done = erase_from_artifacts(context)
    names = sorted(done.corpora)
    with database.reading(context.engine) as connection:
        pretrained = encoders.trained_on(connection, done.idempotency_keys)
        models = {*registry.trained_on(connection, names), *encoders.fine_tuned(connection, pretrained)}
    return {
        "erased": new,
        "erased_before": len(keys) - new,
        "removed": removed,
        "corpora": names,
        "texts": sorted(done.texts),
        "encoders": pretrained,
        "models": sorted(models),
        "unrecorded": sorted(done.unrecorded),
    }


@dataclass
class ErasedArtifacts:
    """What an erasure changed in the artifact store."""

    corpora: set[str] = field(default_factory=set)
    """Names of the corpora that were rewritten."""
    texts: set[str] = field(default_factory=set)
    """The text snapshots that were rewritten, under the names that they had first."""
    idempotency_keys: set[str] = field(default_factory=set)
    """The idempotency keys of those text snapshots."""
    unrecorded: set[str] = field(default_factory=set)
    """Artifacts without a row in the warehouse that held an erased review and were deleted."""


def erase_from_artifacts(context: JobContext) -> ErasedArtifacts:
    """Removes the reviews in ``erased_reviews`` from every artifact that still holds one of them."""
    with database.reading(context.engine) as connection:
        review_ids = {str(key) for key in erasure.every_key(connection)}
    done = ErasedArtifacts()
    if not review_ids:
        return done
    _erase_from_corpora(context, review_ids, done)
    _erase_from_texts(context, review_ids, done)
    with database.reading(context.engine) as connection:
        recorded = {row["artifact"] for row in (*corpora.every_corpus(connection), *texts.every(connection))}
    for kind in KINDS:
        for artifact in set(context.store.names(kind)) - recorded:
            _delete_unrecorded(context, artifact, review_ids, done)
    return done


def _erase_from_corpora(context: JobContext, review_ids: set[str], done: ErasedArtifacts) -> None:
    from senti_tasks.corpus import snapshot

    with database.reading(context.engine) as connection:
        recorded = corpora.every_corpus(connection)
    for row in recorded:
        if (folder := _fetched(context, row)) is None:
            continue
        with context.scratch() as scratch:
            summary = snapshot.without(folder, review_ids, scratch / "rest")
            if summary is None:
                continue
            artifact, digest = context.store.put(scratch / "rest", "corpora", row["corpus"])
        with database.writing(context.engine) as connection:
            corpora.replace_artifact(connection, row["corpus"], artifact=artifact, digest=digest, summary=summary)
        _remove_former(context, row["artifact"], artifact)
        done.corpora.add(row["corpus"])


def _erase_from_texts(context: JobContext, review_ids: set[str], done: ErasedArtifacts) -> None:
    from senti_tasks.corpus import unlabelled

    with database.reading(context.engine) as connection:
        recorded = texts.every(connection)
    for row in {row["artifact"]: row for row in recorded}.values():
        if (folder := _fetched(context, row)) is None:
            continue
        with context.scratch() as scratch:
            counts = unlabelled.without(folder, review_ids, scratch / "rest")
            if counts is None:
                continue
            artifact, digest = context.store.put(scratch / "rest", "texts", f"{row['due']:%Y-%m-%d}")
        with database.writing(context.engine) as connection:
            texts.replace_artifact(connection, row["artifact"], artifact=artifact, digest=digest, counts=counts)
        _remove_former(context, row["artifact"], artifact)
        same = [other for other in recorded if other["artifact"] == row["artifact"]]
        done.texts.update(other["texts"] for other in same)
        done.idempotency_keys.update(other["idempotency_key"] for other in same)


def _fetched(context: JobContext, row: dict[str, Any]) -> Path | None:
    """Where the artifact that ``row`` names lies on this machine; ``None`` when it is gone."""
    artifact: str = row["artifact"]
    if context.store.holds(artifact):
        return context.store.fetch(artifact, row["digest"])
    log.warning("%s is no longer in the artifact store: nothing can be erased from it", artifact)
    context.store.remove(artifact)  # there may be a copy on this machine
    return None


def _remove_former(context: JobContext, former: str, artifact: str) -> None:
    context.store.remove(former)
    log.info("%s was rewritten as %s, and the former removed", former, artifact)


def _delete_unrecorded(context: JobContext, artifact: str, review_ids: set[str], done: ErasedArtifacts) -> None:
    """Deletes an artifact without a row in the warehouse if it holds an erased review: an evaluation, what a killed
    attempt has left, or the copy on this machine of an artifact that is gone."""
    from senti_tasks.corpus.erasure import holds

    try:
        if holds(context.store.unchecked(artifact), review_ids):
            context.store.remove(artifact)
            log.info("%s held an erased review and has no row in the warehouse: removed", artifact)
            done.unrecorded.add(artifact)
    except (CorpusError, OSError) as error:
        log.warning(
            "%s cannot be searched for erased reviews: remove it when no snapshot is being made (%s)", artifact, error
        )
