"""Erases reviews for good: from the warehouse, and from artifacts that were written while the reviews were there."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from senti_tasks.errors import ConfigError, CorpusError
from senti_tasks.jobs.context import JobContext, load_context, now
from senti_tasks.warehouse import database, erasure, migrations
from senti_tasks.warehouse.models import corpora, encoders, registry, texts
from senti_tasks.warehouse.types import parse_review_id

log = logging.getLogger(__name__)

KINDS = ("corpora", "texts", "evaluations")
"""Artifacts that hold rows of reviews. Evaluations have no table: the gate reads each once."""


def find_unknown(review_ids: Sequence[str]) -> list[str]:
    """Those of ``review_ids`` of which nothing is stored: no review, no label, no annotation, and no erasure.

    Raises ``ConfigError`` for a key of the wrong type.
    """
    context = load_context()
    with context.reading() as connection:
        known = erasure.known_among(connection, keys := _parsed(connection, review_ids))
    return [str(key) for key in keys if key not in known]


def erase(review_ids: Sequence[str], reason: str, actor: str) -> dict[str, Any]:
    """Erases reviews for good, and records it. A repeated call changes nothing; it completes a call that was killed.

    Returns erased (how many are new), erased_before, removed (rows per table), corpora and texts (the snapshots that
    were rewritten), encoders and models (trained on those snapshots: what they learnt of a review stays in their
    weights until they are deleted) and unrecorded (artifacts without a row in the warehouse that held an erased review
    and were deleted). Raises ``ConfigError`` for a key of the wrong type.
    """
    context = load_context()
    with context.reading() as connection:
        keys = _parsed(connection, review_ids)
    with context.writing() as connection:
        new, removed = erasure.erase(connection, keys, actor=actor, reason=reason, now=now())
    # Snapshots are searched for every erased review, not only for those of this call: an earlier call may have been
    # killed before it rewrote them.
    done = erase_from_artifacts(context)
    keys_of_texts = done.pop("idempotency_keys")
    with context.reading() as connection:
        pretrained = encoders.trained_on(connection, keys_of_texts)
        models = {*registry.trained_on(connection, done["corpora"]), *encoders.fine_tuned(connection, pretrained)}
    context.remove_left_scratch()
    database.remove_remains(context.engine, [name for name, rows in removed.items() if rows])
    counts = {"erased": new, "erased_before": len(keys) - new, "removed": removed}
    return {**counts, **done, "encoders": pretrained, "models": sorted(models)}


def _parsed(connection: Connection, review_ids: Sequence[str]) -> list[int | str]:
    id_type = migrations.recorded_setting(connection, "review_id_type")
    try:
        return [parse_review_id(spelling, id_type) for spelling in dict.fromkeys(review_ids)]
    except ValueError as error:
        raise ConfigError(f"{error}: nothing was erased") from error


def erase_from_artifacts(context: JobContext) -> dict[str, list[str]]:
    """Removes the reviews in ``erased_reviews`` from every artifact that still holds one of them.

    Returns corpora (names of those that were rewritten), texts (the text snapshots that were rewritten, under their
    first names), idempotency_keys (of these text snapshots) and unrecorded (artifacts without a row in the warehouse
    that were deleted), each sorted.
    """
    done: dict[str, set[str]] = {"corpora": set(), "texts": set(), "idempotency_keys": set(), "unrecorded": set()}
    with context.reading() as connection:
        review_ids = {str(key) for key in erasure.erased_keys(connection)}
        corpus_rows, text_rows = corpora.all_corpora(connection), texts.all_snapshots(connection)
    if not review_ids:
        return {name: [] for name in done}

    from senti_tasks.corpus import snapshot, unlabelled

    for row in corpus_rows:
        if stored := _stored_without(context, row, row["corpus"], review_ids, snapshot.without):
            location, summary = stored
            with context.writing() as connection:
                corpora.replace_artifact(connection, row["corpus"], **location, summary=summary)
            context.store.remove(row["artifact"])
            done["corpora"].add(row["corpus"])
    for row in {row["artifact"]: row for row in text_rows}.values():
        day = row["due"].astimezone(context.settings.zone)
        if stored := _stored_without(context, row, f"{day:%Y-%m-%d}", review_ids, unlabelled.without):
            location, counts = stored
            with context.writing() as connection:
                texts.replace_artifact(connection, row["artifact"], **location, counts=counts)
            context.store.remove(row["artifact"])
            same = [other for other in text_rows if other["artifact"] == row["artifact"]]
            done["texts"].update(other["texts"] for other in same)
            done["idempotency_keys"].update(other["idempotency_key"] for other in same)
    with context.reading() as connection:
        recorded = {row["artifact"] for row in (*corpora.all_corpora(connection), *texts.all_snapshots(connection))}
    for kind in KINDS:
        for artifact in set(context.store.names(kind)) - recorded:
            if _delete_unrecorded(context, artifact, review_ids):
                done["unrecorded"].add(artifact)
    return {name: sorted(found) for name, found in done.items()}


def _stored_without(
    context: JobContext,
    row: dict[str, Any],
    name: str,
    review_ids: set[str],
    without: Callable[[Path, set[str], Path], dict[str, Any] | None],
) -> tuple[dict[str, str], dict[str, Any]] | None:
    """Stores the snapshot of ``row`` without ``review_ids`` as an artifact of the same kind, called ``name``.

    ``without`` writes the remaining rows to a folder and returns their counts. Returns the new location (artifact and
    digest) and these counts; or ``None`` if the snapshot is no longer in the store, or holds none of the reviews.
    """
    former: str = row["artifact"]
    if row["retired_at"] is not None:
        context.store.remove(former)
        return None
    if not context.store.holds(former):
        log.warning("%s is no longer in the artifact store: nothing can be erased from it", former)
        context.store.remove(former)  # there may be a copy on this machine
        return None
    with context.scratch() as folder:
        counts = without(context.store.fetch(former, row["digest"]), review_ids, folder / "rest")
        if counts is None:
            return None
        artifact, digest = context.store.put(folder / "rest", former.split("/")[0], name)
    log.info("%s held erased reviews; %s, without them, replaces it", former, artifact)
    return {"artifact": artifact, "digest": digest}, counts


def _delete_unrecorded(context: JobContext, artifact: str, review_ids: set[str]) -> bool:
    """Deletes an artifact without a row in the warehouse if it holds an erased review; returns whether it did.

    Such an artifact is an evaluation, a remainder of a killed attempt, or a local copy of an artifact that is gone.
    """
    from senti_tasks.corpus.erasure import holds

    try:
        if holds(context.store.fetch_unchecked(artifact), review_ids):
            context.store.remove(artifact)
            log.info("%s held an erased review and has no row in the warehouse: removed", artifact)
            return True
    except (CorpusError, OSError) as error:
        log.warning(
            "%s cannot be searched for erased reviews: remove it when no snapshot is being made (%s)", artifact, error
        )
    return False
