"""Reviews that have to go: from the warehouse, and from what was frozen and written while they were there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.context import Workplace, enter, now

if TYPE_CHECKING:
    from pathlib import Path

    from senti_tasks.corpus.erasure import Forgotten

log = logging.getLogger(__name__)

KINDS = ("corpora", "texts", "evaluations")
"""Artifacts with rows of reviews. Of the last there is no record: the gate reads one once, and nobody later."""


def forget(review_ids: Sequence[str], reason: str, actor: str) -> dict[str, Any]:
    """Forgets reviews for good, and records that it was done. Doing it again changes nothing, and ends what a killed
    call has left.

    Returns how many were forgotten now and before, the rows removed per table, the corpora and texts that were
    rewritten, the encoders pretrained on those, the models trained on either: what one of them learnt of a review stays
    in its weights until it is dropped; the artifacts that nobody has on record and that were removed, as they held a
    forgotten review; and the texts that do not say whose they are, in which a former text of a review may be left.
    Raises ``ConfigError`` for a key that cannot be one.
    """
    from senti_tasks.corpus.erasure import Forgotten
    from senti_tasks.errors import ConfigError
    from senti_tasks.warehouse import database, erasure, migrations
    from senti_tasks.warehouse.models import encoders, registry
    from senti_tasks.warehouse.types import review_id_value

    place = enter()
    with database.reading(place.engine) as connection:
        id_type = migrations.recorded_setting(connection, "review_id_type")
    try:
        keys = [review_id_value(spelling, id_type) for spelling in dict.fromkeys(review_ids)]
    except ValueError as error:
        raise ConfigError(f"{error}: nothing was forgotten") from error
    # Texts without keys first, while the reviews can still be read; nothing is frozen like that any more.
    with database.reading(place.engine) as connection:
        split_keys, digests = erasure.wordings(connection, keys)
    by_wording = _erase(place, Forgotten(split_keys=split_keys, digests=digests))
    # Then the rows, and everything that has keys: of this call and of those before, one of which may have been killed.
    with database.writing(place.engine) as connection:
        new, removed = erasure.forget(connection, keys, actor=actor, reason=reason, at=now())
    erased = erase_forgotten(place)
    corpora = sorted(erased.corpora)
    with database.reading(place.engine) as connection:
        pretrained = encoders.trained_on(connection, by_wording.origins | erased.origins)
        models = {*registry.trained_on(connection, corpora), *encoders.fine_tuned(connection, pretrained)}
    return {
        "forgotten": new,
        "known_before": len(keys) - new,
        "removed": removed,
        "corpora": corpora,
        "texts": sorted(by_wording.texts | erased.texts),
        "encoders": pretrained,
        "models": sorted(models),
        "discarded": sorted(by_wording.discarded | erased.discarded),
        "texts_without_keys": sorted(erased.without_keys),
    }


@dataclass
class Erased:
    """What was changed in the artifact store."""

    corpora: set[str] = field(default_factory=set)
    """Names of those that were rewritten."""
    texts: set[str] = field(default_factory=set)
    """Those that were rewritten, as they were called when they were frozen."""
    origins: set[str] = field(default_factory=set)
    """Who froze those."""
    without_keys: set[str] = field(default_factory=set)
    """Texts that do not say whose they are, rewritten or not."""
    discarded: set[str] = field(default_factory=set)
    """What nobody has on record, held a forgotten review, and was removed."""


def erase_forgotten(place: Workplace) -> Erased:
    """Brings what lies in the artifact store in line with ``forgotten_reviews``."""
    from senti_tasks.corpus.erasure import Forgotten
    from senti_tasks.warehouse import database, erasure

    with database.reading(place.engine) as connection:
        return _erase(place, Forgotten({str(key) for key in erasure.every_key(connection)}))


def _erase(place: Workplace, forgotten: Forgotten) -> Erased:
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import corpora, texts

    erased = Erased()
    if forgotten.keys:
        _erase_from_corpora(place, forgotten, erased)
    _erase_from_texts(place, forgotten, erased)
    with database.reading(place.engine) as connection:
        recorded = {row["artifact"] for row in (*corpora.every_corpus(connection), *texts.every(connection))}
    for kind in KINDS if forgotten.keys else ("texts",):
        for artifact in set(place.store.names(kind)) - recorded:
            _discard(place, artifact, forgotten, erased)
    return erased


def _erase_from_corpora(place: Workplace, forgotten: Forgotten, erased: Erased) -> None:
    from senti_tasks.corpus import snapshot
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import corpora

    with database.reading(place.engine) as connection:
        frozen = corpora.every_corpus(connection)
    for row in frozen:
        if (folder := _fetched(place, row)) is None:
            continue
        with place.scratch() as scratch:
            summary = snapshot.without(folder, forgotten.keys, scratch / "rest")
            if summary is None:
                continue
            artifact, digest = place.store.put(scratch / "rest", "corpora", row["corpus"])
        with database.writing(place.engine) as connection:
            corpora.replace_artifact(connection, row["corpus"], artifact=artifact, digest=digest, summary=summary)
        _replaced(place, row["artifact"], artifact)
        erased.corpora.add(row["corpus"])


def _erase_from_texts(place: Workplace, forgotten: Forgotten, erased: Erased) -> None:
    from senti_tasks.corpus import unlabelled
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import texts

    with database.reading(place.engine) as connection:
        frozen = texts.every(connection)
    for row in {row["artifact"]: row for row in frozen}.values():
        if (folder := _fetched(place, row)) is None:
            continue
        keyed = unlabelled.is_keyed(folder)
        artifact = row["artifact"]
        with place.scratch() as scratch:
            counts = unlabelled.without(folder, forgotten, scratch / "rest")
            if counts is not None:
                artifact, digest = place.store.put(scratch / "rest", "texts", f"{row['due']:%Y-%m-%d}")
        if counts is not None:
            with database.writing(place.engine) as connection:
                texts.replace_artifact(connection, row["artifact"], artifact=artifact, digest=digest, counts=counts)
            _replaced(place, row["artifact"], artifact)
            same = [other for other in frozen if other["artifact"] == row["artifact"]]
            erased.texts.update(other["texts"] for other in same)
            erased.origins.update(other["origin"] for other in same)
        if not keyed:
            erased.without_keys.add(artifact)


def _fetched(place: Workplace, row: dict[str, Any]) -> Path | None:
    """Where the artifact that ``row`` names lies on this machine; ``None`` when it is gone."""
    artifact: str = row["artifact"]
    if place.store.holds(artifact):
        return place.store.fetch(artifact, row["digest"])
    log.warning("%s is no longer in the artifact store: nothing can be erased from it", artifact)
    place.store.remove(artifact)  # there may be a copy on this machine
    return None


def _replaced(place: Workplace, former: str, artifact: str) -> None:
    place.store.remove(former)
    log.info("%s was rewritten as %s, and the former removed", former, artifact)


def _discard(place: Workplace, artifact: str, forgotten: Forgotten, erased: Erased) -> None:
    """Removes what nobody has on record if it has a row of ``forgotten``: an evaluation, what a killed attempt has
    left, or the copy on this machine of what is gone."""
    from senti_tasks.corpus import unlabelled
    from senti_tasks.corpus.erasure import holds
    from senti_tasks.errors import CorpusError

    try:
        folder = place.store.unchecked(artifact)
        if holds(folder, forgotten):
            place.store.remove(artifact)
            log.info("%s held a forgotten review, and nobody has it on record: removed", artifact)
            erased.discarded.add(artifact)
        elif artifact.startswith("texts/") and not unlabelled.is_keyed(folder):
            erased.without_keys.add(artifact)
    except (CorpusError, OSError) as error:
        log.warning("%s cannot be searched: remove it once nothing is being frozen (%s)", artifact, error)
