"""A frozen corpus to a registered model: the task of ``retrain_sentiment`` that trains."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from typing import Any

from senti_tasks.jobs.base_models import starting_point
from senti_tasks.jobs.context import enter, now, version_of

log = logging.getLogger(__name__)


def train(
    corpus: str,
    origin: str,
    base_model: str | None = None,
    config: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Fine-tunes ``base_model`` on a frozen corpus and registers the model; returns its version.

    ``pretrained:newest`` is the encoder that the corpus was frozen for, also when there is a newer one by now.
    A killed training goes on from its last checkpoint on the same machine. Of two attempts at once the second waits,
    and then finds the first one's model.
    """
    place = enter()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from senti_tasks import __version__
    from senti_tasks.config import TrainConfig
    from senti_tasks.corpus.snapshot import label_set
    from senti_tasks.text import NORMALISER_VERSION
    from senti_tasks.training import fine_tuning
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import corpora, registry

    with database.reading(place.engine) as connection:
        frozen = corpora.corpus(connection, corpus)
    start = starting_point(place, base_model, frozen["summary"].get("base_model", ""))
    settled = TrainConfig.for_base_model(start.recipe, config)
    with place.bench("training", corpus, start.base_model, settled.to_json()) as folder:
        with database.reading(place.engine) as connection:
            if (known := registry.model_of_origin(connection, origin)) is not None:
                log.info("%s trained %s before: it stands", origin, known["version"])
                return {"model": known["version"]}
        data = place.store.fetch(frozen["artifact"], frozen["digest"])
        names = label_set(data).names  # now: an erasure may move the corpus while this computes
        checkpoints, output = folder / "checkpoints", folder / "model"
        device, report_to = place.settings.device, place.settings.report_to
        result = fine_tuning.train(
            data, start.base_model, settled, checkpoints, output, report, device, report_to, start.folder
        )
        version = version_of(frozen["due"], origin)
        artifact, digest = place.store.put(output, "models", version)
        model = {
            "version": version,
            "origin": origin,
            "corpus": corpus,
            "base_model": start.base_model,
            "base_revision": result.pop("base_revision"),
            "config": result.pop("config"),
            "code_version": __version__,
            "normaliser_version": NORMALISER_VERSION,
            "artifact": artifact,
            "digest": digest,
            "training": result,
            "trained_at": now(),
        }
        with database.writing(place.engine) as connection:
            form = _fp32_form(artifact, digest)
            version = registry.register(connection, model, label_names=names, form=form)
        shutil.rmtree(folder)
    return {"model": version}


def _fp32_form(artifact: str, digest: str) -> dict[str, Any]:
    import torch

    return {
        "form": "fp32",
        "verdict": "proven",
        "reason": "the model as it was trained",
        "artifact": artifact,
        "digest": digest,
        "library": f"torch {torch.__version__}",
        "agreement": 1.0,
        "reviews_compared": None,
        "reviews_per_second": None,
        "temperature": 1.0,
        "serves": True,
    }
