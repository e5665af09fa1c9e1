"""Fine-tunes a model on a corpus and registers it: a task of ``retrain_sentiment``."""

import logging
import shutil
from collections.abc import Callable
from typing import Any

from senti_tasks import __version__
from senti_tasks.config import TfidfConfig, training_config
from senti_tasks.jobs.base_models import starting_point
from senti_tasks.jobs.context import load_context, now, version_of
from senti_tasks.jobs.operations import lineage
from senti_tasks.progress import Watcher
from senti_tasks.text import NORMALISER_VERSION
from senti_tasks.warehouse.models import corpora, registry

log = logging.getLogger(__name__)


def train(
    corpus: str,
    idempotency_key: str,
    base_model: str | None = None,
    config: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
    watch: Watcher | None = None,
) -> dict[str, Any]:
    """Fine-tunes ``base_model`` on a corpus and registers the model; returns model (its version).

    ``config`` overrides fields of ``TrainConfig``, or with ``tfidf`` of ``TfidfConfig``. ``pretrained:newest`` is the
    encoder that the corpus snapshot was made for, also when there is a newer one. After a kill, the next call on the
    same machine continues from the last checkpoint. Of two calls at once, the second waits and returns the model of the
    first. ``report`` is called with the metrics of each epoch, ``watch`` twice a second with the progress. Raises
    ``TrainingStoppedError`` after SIGTERM and in the hours of SENTI_NO_TRAINING. SENTI_TRAINING_PROCESSES processes
    train together.
    """
    context = load_context()  # first, because the hub's client reads HF_ENDPOINT when it is imported
    from senti_tasks.corpus.snapshot import label_set
    from senti_tasks.training import fine_tuning, tfidf, variants

    with context.reading() as connection:
        recorded = corpora.corpus(connection, corpus)
    start = starting_point(context, base_model, recorded["summary"].get("base_model", ""))
    train_config = training_config(start.recipe, config, recorded["summary"]["rows"]["train"])
    with context.resumable_folder("training", corpus, start.base_model, train_config.to_json()) as folder:
        with context.reading() as connection:
            if (known := registry.model_by_key(connection, idempotency_key)) is not None:
                log.info("%s trained %s before; it is returned", idempotency_key, known["version"])
                return {"model": known["version"]}
        interruptions = context.interruptions()
        data = context.fetch(recorded)
        names = label_set(data).names  # before the training, during which an erasure may replace this folder
        checkpoints, output = folder / "checkpoints", folder / "model"
        device, report_to = context.settings.device, context.settings.report_to
        outside = (report, device, report_to, start.folder, interruptions, context.settings.training_processes)
        if isinstance(train_config, TfidfConfig):
            result = tfidf.train(data, train_config, output)
        else:
            result = fine_tuning.train(data, start.base_model, train_config, checkpoints, output, *outside, watch)
        library = result.pop("library", None) or variants.library("fp32")
        version = version_of(recorded["due"], idempotency_key, context.settings.zone)
        artifact, digest = context.store.put(output, "models", version)
        model = {
            "version": version,
            "idempotency_key": idempotency_key,
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
        variant = {
            "variant": "fp32",
            "verdict": "proven",
            "reason": "the model as it was trained",
            "artifact": artifact,
            "digest": digest,
            "library": library,
            "agreement": 1.0,
            "temperature": 1.0,
            "serves": True,
        }
        with context.writing() as connection:
            version = registry.register(connection, model, label_names=names, variant=variant)
        shutil.rmtree(folder)
    lineage.tell(
        context,
        "train",
        idempotency_key,
        inputs=[
            lineage.artifact(recorded["artifact"], digest=recorded["digest"]),
            lineage.base_model(model["base_model"], model["base_revision"]),
        ],
        outputs=[lineage.artifact(artifact, digest=digest)],
    )
    return {"model": version}
