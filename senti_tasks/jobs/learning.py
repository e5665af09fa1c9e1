"""Labelled reviews in, a judged model out: the tasks of ``retrain_sentiment``, in their order."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from typing import Any

from senti_tasks.jobs.scoring import scorer_of
from senti_tasks.jobs.workplace import enter, instant, now

log = logging.getLogger(__name__)


def freeze_corpus(due: str, origin: str, base_model: str | None = None) -> dict[str, Any]:
    """Freezes the labelled reviews as of ``due``; the same ``origin`` always gets the corpus it froze first.

    Returns corpus (its name), due and rows per split.
    """
    place = enter()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from senti_tasks.config import TrainConfig
    from senti_tasks.errors import CorpusError
    from senti_tasks.learning import base_models, corpus, splits
    from senti_tasks.warehouse import corpora, database

    base_model = place.settings.base_model_named(base_model)
    max_length = TrainConfig.for_base_model(base_model).max_length
    with database.reading(place.engine) as connection:
        if (frozen := corpora.corpus_of_origin(connection, origin)) is not None:
            log.info("%s froze %s before: it stands", origin, frozen["corpus"])
            return _corpus_answer(frozen)
        reviews = (corpus.LabelledReview(**row) for row in corpora.labelled_reviews(connection, due=instant(due)))
        examples, dropped = corpus.clean(reviews)
    keys = sorted({example.split_key for example in examples})
    with database.writing(place.engine) as connection:  # a corpus that cannot be used leaves no trace in the ledger
        known = corpora.splits_of(connection, keys)
        new = {key: splits.split_of(key) for key in keys if key not in known}
        known |= new
        corpus.check(examples, known)
        corpora.record_splits(connection, new, at=instant(due))
    train_texts = [example.text for example in examples if known[example.split_key] == "train"]
    tokenizer = base_models.load_tokenizer(base_model, train_texts)
    with place.scratch() as folder:
        summary = corpus.freeze(examples, known, dropped, instant(due), base_model, tokenizer, folder, max_length)
        artifact, digest = place.store.put(folder, "corpora", f"{instant(due):%Y-%m-%d}")
    with database.writing(place.engine) as connection:
        values = {
            "corpus": artifact.removeprefix("corpora/"),
            "origin": origin,
            "due": instant(due),
            "artifact": artifact,
        }
        corpora.record_corpus(connection, {**values, "digest": digest, "summary": summary, "created_at": now()})
        recorded = corpora.corpus_of_origin(connection, origin)
    if recorded is None:
        raise CorpusError(f"corpus {artifact} was frozen by another run at the same moment: run this one again")
    return _corpus_answer(recorded)


def _corpus_answer(frozen: dict[str, Any]) -> dict[str, Any]:
    return {"corpus": frozen["corpus"], "due": frozen["due"].isoformat(), "rows": frozen["summary"]["rows"]}


def train(
    corpus: str,
    origin: str,
    base_model: str | None = None,
    config: dict[str, Any] | None = None,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Fine-tunes ``base_model`` on a frozen corpus and registers the model; returns its version.

    A killed training goes on from its last checkpoint on the same machine. Of two attempts at once the second waits,
    and then finds the first one's model.
    """
    place = enter()  # before the hub's client is imported, which looks at HF_ENDPOINT then
    from filelock import FileLock

    from senti_tasks import __version__
    from senti_tasks.config import TrainConfig
    from senti_tasks.labels import NAMES
    from senti_tasks.learning import training
    from senti_tasks.text import NORMALISER_VERSION
    from senti_tasks.warehouse import corpora, database, registry

    base_model = place.settings.base_model_named(base_model)
    settled = TrainConfig.for_base_model(base_model, config)
    with database.reading(place.engine) as connection:
        frozen = corpora.corpus(connection, corpus)
    identity = json.dumps([corpus, base_model, settled.to_json()], sort_keys=True)
    folder = place.settings.work_folder / "training" / hashlib.sha256(identity.encode()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        with database.reading(place.engine) as connection:
            if (known := registry.model_of_origin(connection, origin)) is not None:
                log.info("%s trained %s before: it stands", origin, known["version"])
                return {"model": known["version"]}
        data = place.store.fetch(frozen["artifact"], frozen["digest"])
        checkpoints, output = folder / "checkpoints", folder / "model"
        result = training.train(data, base_model, settled, checkpoints, output, report, place.settings.device)
        version = f"{frozen['due']:%Y-%m-%d}-{hashlib.sha256(origin.encode()).hexdigest()[:6]}"
        artifact, digest = place.store.put(output, "models", version)
        model = {
            "version": version,
            "origin": origin,
            "corpus": corpus,
            "base_model": base_model,
            "base_revision": result.pop("base_revision"),
            "config": settled.to_json(),
            "code_version": __version__,
            "normaliser_version": NORMALISER_VERSION,
            "artifact": artifact,
            "digest": digest,
            "training": result,
            "trained_at": now(),
        }
        with database.writing(place.engine) as connection:
            version = registry.register(connection, model, label_names=NAMES, form=_fp32_form(artifact, digest))
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


def evaluate(model: str) -> dict[str, Any]:
    """Measures ``model``, the champion and the TF-IDF baseline on the test split of the model's corpus.

    Figures go to ``model_metrics``; each one's probabilities, row by row, to an artifact that the gate reads. Returns
    model, champion (compared with, or null), evaluation (the artifact) and its digest.
    """
    import numpy as np
    import pandas as pd

    from senti_tasks.learning import baseline, corpus, evaluation
    from senti_tasks.warehouse import corpora, database, promotions, registry

    place = enter()
    with database.reading(place.engine) as connection:
        frozen = corpora.corpus(connection, registry.model(connection, model)["corpus"])
        champion = promotions.champion(connection)
    if champion == model:
        champion = None  # nothing is compared with itself
    data = corpus.load(place.store.fetch(frozen["artifact"], frozen["digest"]))
    texts, labels = list(data["test"]["text"]), data["test"]["label"]
    simple = baseline.Baseline()
    simple.fit(list(data["train"]["text"]), list(data["train"]["label"]))
    subjects = {
        "candidate": scorer_of(place, model).predict(texts).complete,
        "baseline": simple.predict(texts),
    }
    if champion is not None:
        subjects["champion"] = scorer_of(place, champion).predict(texts).complete
    truth = np.asarray(labels)
    metrics = [
        {"subject": subject, "split": "test", "metric": name, "value": value}
        for subject, probabilities in subjects.items()
        for name, value in evaluation.measure(truth, probabilities).items()
    ]
    table = pd.DataFrame({"review_id": list(data["test"]["review_id"]), "label": truth})
    for subject, probabilities in subjects.items():
        for label in range(probabilities.shape[1]):
            table[f"{subject}_{label}"] = probabilities[:, label]
    with place.scratch() as folder:
        table.to_parquet(folder / "test.parquet", index=False)
        artifact, digest = place.store.put(folder, "evaluations", model)
    with database.writing(place.engine) as connection:
        registry.record_metrics(connection, model, metrics)
    return {"model": model, "champion": champion, "evaluation": artifact, "digest": digest}


def judge(evaluation: dict[str, Any], config: dict[str, Any] | None = None) -> dict[str, Any]:
    """The gate's verdict on an evaluation; the verdict that a model got before stands.

    Returns model, champion (compared with, or null), promote and the reasons, one per rule that decided.
    """
    import pandas as pd

    from senti_tasks.config import GateConfig
    from senti_tasks.learning import gate
    from senti_tasks.warehouse import database, registry

    place = enter()
    model = evaluation["model"]
    table = pd.read_parquet(place.store.fetch(evaluation["evaluation"], evaluation["digest"]) / "test.parquet")
    probabilities = {
        subject: table[[name for name in table.columns if name.startswith(f"{subject}_")]].to_numpy()
        for subject in ("candidate", "champion", "baseline")
    }
    references = {name: probabilities[name] for name in ("champion", "baseline") if probabilities[name].size}
    verdict = gate.judge(
        GateConfig.from_json(config or {}), table["label"].to_numpy(), probabilities["candidate"], references
    )
    rules = [
        {
            "rule": rule.name,
            "reference": rule.reference,
            "reference_version": evaluation["champion"] if rule.reference == "champion" else None,
            "figure": rule.figure,
            "threshold": rule.threshold,
            "passed": rule.passed,
            "reason": rule.reason,
        }
        for rule in verdict.rules
    ]
    with database.writing(place.engine) as connection:
        return {"model": model, **registry.record_judgement(connection, model, promote=verdict.promote, rules=rules)}


def is_deserved(judgement: dict[str, Any]) -> bool:
    """Whether the gate lets the model through: nothing after this happens, and no asset is updated, if it does not."""
    for reason in judgement["reasons"]:
        log.info("%s: %s", judgement["model"], reason)
    promote: bool = judgement["promote"]
    return promote


def promote(judgement: dict[str, Any], actor: str) -> dict[str, Any]:
    """Promotes what the gate let through, once: a retried task does not undo a rollback that a person made since.

    Returns model and whether it serves. Raises ``RegistryError`` when the champion it was compared with is no longer
    the champion.
    """
    from senti_tasks.warehouse import database, promotions

    place = enter()
    model = judgement["model"]
    with database.writing(place.engine) as connection:
        if not promotions.was_promoted_by_gate(connection, model):
            promotions.promote(
                connection,
                model,
                kind="gate",
                compared_with=judgement["champion"],
                actor=actor,
                reason="; ".join(judgement["reasons"]),
                at=now(),
            )
        return {"model": model, "serves": promotions.in_service(connection) == model}
