"""A trained model to a verdict and, if it deserves it, a promotion: the last tasks of ``retrain_sentiment``."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from senti_tasks.config import GateConfig
from senti_tasks.errors import RunStateError
from senti_tasks.jobs.context import load_context, now
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.jobs.scoring.loading import scorer_of
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import corpora, promotions, registry

if TYPE_CHECKING:
    from senti_tasks.judging.slices import HeldOut

log = logging.getLogger(__name__)

REFERENCES = ("champion", "anchor", "baseline")
"""What a candidate is compared with, as far as it exists."""


def evaluate(model: str) -> dict[str, Any]:
    """Measures ``model`` and its references on the test split of the model's corpus, each in the variant that serves.

    References: the champion, the anchor (where that is another model) and the TF-IDF baseline. First the test split is
    compared with train. Figures go to ``model_metrics``; each one's probabilities, row by row, to an artifact that the
    gate reads. Returns model, variant (digest of the one measured), champion and anchor (compared with, or null),
    leaked (test rows that stand in train), evaluation (the artifact) and its digest.
    """
    import pandas as pd

    from senti_tasks.corpus import leak_check, snapshot
    from senti_tasks.judging import baseline, evaluation

    context = load_context()
    with database.reading(context.engine) as connection:
        trained_on = registry.model(connection, model)["corpus"]
        variant = registry.serving_variant(connection, model)["digest"]
        versions = {"champion": promotions.champion(connection), "anchor": promotions.anchor(connection)}
    if versions["anchor"] == versions["champion"]:
        versions["anchor"] = None
    versions = {name: None if version == model else version for name, version in versions.items()}
    folder = corpus_folder(context, trained_on)
    data, label_set = snapshot.load(folder), snapshot.label_set(folder)
    with database.reading(context.engine) as connection:
        for judged in filter(None, (model, *versions.values())):
            registry.check_labels(connection, judged, label_set.names)
    texts, truth = list(data["test"]["text"]), np.asarray(data["test"]["label"])
    leaks = leak_check.check(list(data["train"]["text"]), texts)
    simple = baseline.Baseline(len(label_set.names))
    simple.fit(list(data["train"]["text"]), list(data["train"]["label"]))
    subjects = {"candidate": scorer_of(context, model).predict(texts).complete, "baseline": simple.predict(texts)}
    for name, version in versions.items():
        if version is not None:
            subjects[name] = scorer_of(context, version).predict(texts).complete
    metrics = [
        {"subject": subject, "split": "test", "metric": name, "value": value}
        for subject, probabilities in subjects.items()
        for name, value in evaluation.measure(truth, probabilities).items()
    ]
    known = ("review_id", "content_hash", "label", "product", "created_at")
    table = pd.DataFrame({name: list(data["test"][name]) for name in known})
    table["characters"] = [len(text) for text in texts]
    for subject, probabilities in subjects.items():
        for label in range(probabilities.shape[1]):
            table[f"{subject}_{label}"] = probabilities[:, label]
    with context.scratch() as folder:
        table.to_parquet(folder / "test.parquet", index=False)
        artifact, digest = context.store.put(folder, "evaluations", model)
    with database.writing(context.engine) as connection:
        registry.record_metrics(connection, model, metrics)
    measured = {"model": model, "variant": variant, **versions, "leaked": leaks.leaked}
    return {**measured, "evaluation": artifact, "digest": digest}


def judge(evaluation: dict[str, Any], config: dict[str, Any] | None = None) -> dict[str, Any]:
    """The gate's verdict on an evaluation; the verdict that a model got before stands.

    Returns model, champion (compared with, or null), promote and the reasons, one per rule that decided. Raises
    ``RunStateError`` when it was not the variant that serves now that was measured.
    """
    import pandas as pd

    from senti_tasks.judging import gate

    context = load_context()
    model = evaluation["model"]
    with database.reading(context.engine) as connection:
        serving = registry.serving_variant(connection, model)["digest"]
    if evaluation.get("variant") != serving:
        raise RunStateError(
            f"the evaluation of {model} is of another variant than the one that would serve: "
            "clear the task evaluate, and judge that"
        )
    table = pd.read_parquet(context.store.fetch(evaluation["evaluation"], evaluation["digest"]) / "test.parquet")
    keys = list(table["content_hash"])
    with database.reading(context.engine) as connection:
        due = corpora.corpus(connection, registry.model(connection, model)["corpus"])["due"]
        before = corpora.judgements_of(connection, keys)
    probabilities = {
        subject: table[[name for name in table.columns if name.startswith(f"{subject}_")]].to_numpy(dtype="float64")
        for subject in ("candidate", *REFERENCES)
    }
    verdict = gate.judge(
        GateConfig.from_json(config or {}),
        _held_out(table, due),
        probabilities["candidate"],
        {name: probabilities[name] for name in REFERENCES if probabilities[name].size},
        leaked=evaluation["leaked"],
        reuse=(sum(before) / max(1, len(before)), max(before, default=0)),
    )
    rules = [
        {**rule, "rule": rule.pop("name"), "reference_version": evaluation.get(rule["reference"])}
        for rule in map(asdict, verdict.rules)
    ]
    with database.writing(context.engine) as connection:
        stands = registry.record_judgement(connection, model, promote=verdict.promote, rules=rules, test_keys=keys)
    return {"model": model, **stands}


def _held_out(table: Any, due: datetime) -> HeldOut:
    from senti_tasks.judging.slices import HeldOut

    return HeldOut(
        labels=table["label"].to_numpy(),
        products=[product if isinstance(product, str) else None for product in table["product"]],
        lengths=table["characters"].to_numpy(),
        created_at=[timestamp.to_pydatetime() for timestamp in table["created_at"]],
        due=due,
    )


def is_deserved(judgement: dict[str, Any]) -> bool:
    """Whether the gate lets the model through: nothing after this happens, and no asset is updated, if it does not."""
    for reason in judgement["reasons"]:
        log.info("%s: %s", judgement["model"], reason)
    promote: bool = judgement["promote"]
    return promote


def who_promotes(judgement: dict[str, Any]) -> str:
    """The task that comes next: ``promote``, or with SENTI_PROMOTION=approval ``scorecard``, for a person to see."""
    context = load_context()
    log.info("SENTI_PROMOTION is %s: %s", context.settings.promotion, judgement["model"])
    return {"gate": "promote", "approval": "scorecard"}[context.settings.promotion]


def scorecard(judgement: dict[str, Any]) -> str:
    """What a person is shown who is to decide on a model that the gate lets through: Markdown."""
    from senti_tasks.judging.scorecard import markdown

    context = load_context()
    with database.reading(context.engine) as connection:
        model = registry.model(connection, judgement["model"])
        metrics = registry.metrics(connection, judgement["model"])
        rules = registry.judgement(connection, judgement["model"])
    return markdown(model, judgement["champion"], metrics, rules)


def promote(judgement: dict[str, Any], actor: str) -> dict[str, Any]:
    """Promotes what the gate let through, once: a retried task does not undo a rollback that a person made since.

    Returns model and whether it serves. Raises ``RegistryError`` when the champion it was compared with is no longer
    the champion.
    """
    return _promote(judgement, "gate", actor)


def promote_approved(judgement: dict[str, Any], approval: dict[str, Any]) -> dict[str, Any]:
    """The same, for what a person has approved: ``approval`` is what Airflow says of it."""
    user = approval.get("responded_by_user") or {}
    return _promote(judgement, "person", str(user.get("name") or user.get("id") or "unknown"))


def _promote(judgement: dict[str, Any], kind: str, actor: str) -> dict[str, Any]:
    context = load_context()
    model = judgement["model"]
    with database.writing(context.engine) as connection:
        if not promotions.was_promoted(connection, model, kind=kind):
            promotions.promote(
                connection,
                model,
                kind=kind,
                compared_with=judgement["champion"],
                actor=actor,
                reason="; ".join(judgement["reasons"]),
                now=now(),
                anchors=kind == "person" or registry.is_superior(connection, model),
            )
        return {"model": model, "serves": promotions.in_service(connection) == model}
