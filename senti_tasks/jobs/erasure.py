"""Reviews that have to go: from the warehouse, and from the corpora that were frozen while they were there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.workplace import Workplace, enter, now

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


def forget(review_ids: Sequence[str], reason: str, actor: str) -> dict[str, Any]:
    """Forgets reviews for good, and records that it was done. Doing it again changes nothing.

    Returns how many were forgotten now and before, the rows removed per table, the corpora that were rewritten, and the
    models trained on those: what a model learnt of a review stays in its weights until it is dropped.
    Raises ``ConfigError`` for a key that cannot be one.
    """
    from senti_tasks.errors import ConfigError
    from senti_tasks.warehouse import database, erasure, migrations
    from senti_tasks.warehouse.types import review_id_value

    place = enter()
    with database.reading(place.engine) as connection:
        id_type = migrations.recorded_setting(connection, "review_id_type")
    try:
        keys = [review_id_value(spelling, id_type) for spelling in dict.fromkeys(review_ids)]
    except ValueError as error:
        raise ConfigError(f"{error}: nothing was forgotten") from error
    # First the rows: from here on nothing new is frozen or published with them.
    with database.writing(place.engine) as connection:
        new, removed = erasure.forget(connection, keys, actor=actor, reason=reason, at=now())
    corpora, models = _erase_from_corpora(place, {str(key) for key in keys})
    return {
        "forgotten": new,
        "known_before": len(keys) - new,
        "removed": removed,
        "corpora": corpora,
        "models": models,
    }


def _erase_from_corpora(place: Workplace, review_ids: set[str]) -> tuple[list[str], list[str]]:
    """Rewrites each frozen corpus that holds one of ``review_ids``; returns their names, and the models trained on
    them."""
    from senti_tasks.learning import corpus
    from senti_tasks.warehouse import corpora, database, registry

    rewritten = []
    with database.reading(place.engine) as connection:
        frozen = corpora.every_corpus(connection)
    for row in frozen:
        if not place.store.holds(row["artifact"]):
            log.warning("%s is no longer in the artifact store: nothing can be erased from it", row["artifact"])
            continue
        folder = place.store.fetch(row["artifact"], row["digest"])
        with place.scratch() as scratch:
            target: Path = scratch / "corpus"
            summary = corpus.without(folder, review_ids, target)
            if summary is None:
                continue
            artifact, digest = place.store.put(target, "corpora", row["corpus"])
        with database.writing(place.engine) as connection:
            corpora.replace_artifact(connection, row["corpus"], artifact=artifact, digest=digest, summary=summary)
        place.store.remove(row["artifact"])
        log.info("%s was rewritten as %s, and the former removed", row["corpus"], artifact)
        rewritten.append(row["corpus"])
    with database.reading(place.engine) as connection:
        return rewritten, registry.trained_on(connection, rewritten)
