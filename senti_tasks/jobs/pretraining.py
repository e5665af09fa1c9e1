"""Unlabelled reviews in, an encoder out: the tasks of ``pretrain_encoder``, in their order."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.base_models import own_base_model
from senti_tasks.jobs.context import enter, instant, now, version_of
from senti_tasks.jobs.corpora import ledger
from senti_tasks.jobs.erasure import erase_forgotten

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from senti_tasks.corpus.unlabelled import Selection

log = logging.getLogger(__name__)


def freeze_texts(
    due: str, origin: str, base_model: str | None = None, config: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Freezes the texts that may be learnt from without labels; the same ``origin`` always gets those it froze first.

    Returns texts (the artifact), its digest, due, base_model (what ``pretrain`` starts from) and the counts of what was
    read, left out and kept.
    """
    place = enter()
    from senti_tasks.config import PretrainConfig
    from senti_tasks.corpus import unlabelled
    from senti_tasks.warehouse import database, erasure
    from senti_tasks.warehouse.models import texts
    from senti_tasks.warehouse.scoring import publication_lock

    own = own_base_model(place, base_model)
    settled = PretrainConfig.for_base_model(own, config)
    while True:
        with database.reading(place.engine) as connection:
            if (known := texts.of_origin(connection, origin)) is not None:
                log.info("%s froze %s before: it stands", origin, known["texts"])
                return _texts_answer(known)
            forgotten = erasure.number(connection)
            selection = _select(connection, settled.texts)
        with place.scratch() as folder:
            counts = unlabelled.freeze(selection, folder)
            artifact, digest = place.store.put(folder, "texts", f"{instant(due):%Y-%m-%d}")
        frozen = {"texts": artifact, "due": instant(due), "base_model": own, "artifact": artifact, "digest": digest}
        with database.writing(place.engine) as connection:
            publication_lock.lock(connection)  # an erasure under way ends first, and a later one finds these texts
            if erasure.number(connection) == forgotten:
                texts.record(connection, {"origin": origin, **frozen, "counts": counts, "created_at": now()})
                continue
        log.info("reviews were forgotten while %s was frozen: it is frozen again without them", artifact)
        erase_forgotten(place)


def _select(connection: Connection, limit: int) -> Selection:
    from senti_tasks.corpus import near_duplicates, unlabelled
    from senti_tasks.warehouse.models import corpora, texts

    judging = near_duplicates.NearDuplicates()
    for number, (split, shingles) in enumerate(ledger(connection)):
        if split != "train":
            judging.add(str(number), shingles)
    selection = unlabelled.Selection(judging, limit)
    for page in texts.pages(connection):
        selection.offer(page, partial(corpora.splits_of, connection))
        if selection.is_full:
            break
    return selection


def _texts_answer(frozen: dict[str, Any]) -> dict[str, Any]:
    named = {name: frozen[name] for name in ("texts", "digest", "base_model", "counts")}
    return {**named, "due": frozen["due"].isoformat()}


def pretrain(
    frozen: dict[str, Any],
    origin: str,
    config: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Pretrains an encoder on frozen texts and registers it; returns its version.

    A killed training goes on from its last checkpoint on the same machine, also one of another origin, if texts, base
    model and configuration are the same; where reviews were forgotten meanwhile it begins anew with the texts that are
    left. Of two attempts at once the second waits, and then finds the first one's.
    """
    place = enter()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from senti_tasks import __version__
    from senti_tasks.config import PretrainConfig
    from senti_tasks.text import NORMALISER_VERSION
    from senti_tasks.training import pretraining
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import encoders, texts

    # What is left of them on record; texts that an earlier version of this program froze may not be on record.
    left = {"artifact": frozen["texts"], "digest": frozen["digest"]}
    with database.reading(place.engine) as connection:
        left = texts.of_origin(connection, origin) or left
    base_model = frozen["base_model"]
    settled = PretrainConfig.for_base_model(base_model, config)
    with place.bench("pretraining", left["digest"], base_model, settled.to_json()) as folder:
        with database.reading(place.engine) as connection:
            if (known := encoders.encoder_of_origin(connection, origin)) is not None:
                log.info("%s pretrained %s before: it stands", origin, known["version"])
                return {"encoder": known["version"]}
        data = place.store.fetch(left["artifact"], left["digest"])
        checkpoints, output = folder / "checkpoints", folder / "encoder"
        result = pretraining.pretrain(data, base_model, settled, checkpoints, output, report, place.settings.device)
        version = version_of(instant(frozen["due"]), origin)
        artifact, digest = place.store.put(output, "encoders", version)
        encoder = {
            "version": version,
            "origin": origin,
            "base_model": base_model,
            "base_revision": result.pop("base_revision"),
            "config": settled.to_json(),
            "code_version": __version__,
            "normaliser_version": NORMALISER_VERSION,
            "artifact": artifact,
            "digest": digest,
            "training": {**result, "frozen": {**frozen, "digest": left["digest"]}},
            "trained_at": now(),
        }
        with database.writing(place.engine) as connection:
            version = encoders.register(connection, encoder)
        shutil.rmtree(folder)
    return {"encoder": version}
