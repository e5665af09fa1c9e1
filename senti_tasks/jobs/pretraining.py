"""Unlabelled reviews in, an encoder out: the tasks of ``pretrain_encoder``, in their order."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

from senti_tasks.jobs.base_models import own_base_model
from senti_tasks.jobs.corpora import ledger
from senti_tasks.jobs.workplace import enter, instant, now, version_of

log = logging.getLogger(__name__)


def freeze_texts(
    due: str, origin: str, base_model: str | None = None, config: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Freezes the texts that may be learnt from without labels; an ``origin`` with an encoder gets that one's texts.

    Returns texts (the artifact), its digest, due, base_model (what ``pretrain`` starts from) and the counts of what was
    read, left out and kept.
    """
    place = enter()
    from senti_tasks.config import PretrainConfig
    from senti_tasks.learning import near_duplicates, unlabelled
    from senti_tasks.warehouse import corpora, database, encoders, texts

    own = own_base_model(place, base_model)
    settled = PretrainConfig.for_base_model(own, config)
    with database.reading(place.engine) as connection:
        if (known := encoders.encoder_of_origin(connection, origin)) is not None:
            log.info("%s pretrained %s before: its texts stand", origin, known["version"])
            frozen: dict[str, Any] = known["training"]["frozen"]
            return frozen
        judging = near_duplicates.NearDuplicates()
        for number, (split, shingles) in enumerate(ledger(connection)):
            if split != "train":
                judging.add(str(number), shingles)
        selection = unlabelled.Selection(judging, settled.texts)
        for page in texts.pages(connection):
            selection.offer(page, partial(corpora.splits_of, connection))
            if selection.is_full:
                break
    with place.scratch() as folder:
        counts = unlabelled.freeze(selection, folder)
        artifact, digest = place.store.put(folder, "texts", f"{instant(due):%Y-%m-%d}")
    return {"texts": artifact, "digest": digest, "due": due, "base_model": own, "counts": counts}


def pretrain(
    frozen: dict[str, Any],
    origin: str,
    config: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Pretrains an encoder on frozen texts and registers it; returns its version.

    A killed training goes on from its last checkpoint on the same machine, also one of another origin, if texts, base
    model and configuration are the same. Of two attempts at once the second waits, and then finds the first one's.
    """
    place = enter()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from senti_tasks import __version__
    from senti_tasks.config import PretrainConfig
    from senti_tasks.learning import pretraining
    from senti_tasks.text import NORMALISER_VERSION
    from senti_tasks.warehouse import database, encoders

    base_model = frozen["base_model"]
    settled = PretrainConfig.for_base_model(base_model, config)
    with place.bench("pretraining", frozen["digest"], base_model, settled.to_json()) as folder:
        with database.reading(place.engine) as connection:
            if (known := encoders.encoder_of_origin(connection, origin)) is not None:
                log.info("%s pretrained %s before: it stands", origin, known["version"])
                return {"encoder": known["version"]}
        texts = place.store.fetch(frozen["texts"], frozen["digest"])
        checkpoints, output = folder / "checkpoints", folder / "encoder"
        result = pretraining.pretrain(texts, base_model, settled, checkpoints, output, report, place.settings.device)
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
            "training": {**result, "frozen": frozen},
            "trained_at": now(),
        }
        with database.writing(place.engine) as connection:
            version = encoders.register(connection, encoder)
        shutil.rmtree(folder)
    return {"encoder": version}
