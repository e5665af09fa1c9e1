"""Evaluates a trained model, judges it and promotes it: the last tasks of ``retrain_sentiment``."""

import logging
from dataclasses import asdict
from typing import Any

import numpy as np

from senti_tasks.config import GateConfig
from senti_tasks.errors import RunStateError
from senti_tasks.jobs.context import load_context, now
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.jobs.operations import alerts, lineage
from senti_tasks.jobs.scoring.loading import scorer_of
from senti_tasks.warehouse.models import corpora, promotions, registry

log = logging.getLogger(__name__)

REFERENCES = ("champion", "anchor", "baseline")
"""The references that a candidate is compared with. Before the first promotion there is only the baseline."""


def evaluate(model: str) -> dict[str, Any]:
    """Measures ``model`` and its references on the test split of the model's corpus, each in the variant that serves.

    The references are the champion, the anchor (if that is another model) and the TF-IDF baseline. The leak check
    compares the test split with train first. Metrics are stored in ``model_metrics``; the probabilities of every model
    for every row are stored in an artifact, which ``judge`` reads.

    Returns model, variant (digest of the measured one), champion and anchor (versions, or null), leaked (number of test
    rows that are also in train), evaluation (the artifact) and digest (of the artifact).
    """
    import pandas as pd

    from senti_tasks.corpus import leak_check, snapshot
    from senti_tasks.judging import baseline, evaluation

    context = load_context()
    with context.reading() as connection:
        trained_on = registry.model(connection, model)["corpus"]
        variant = registry.serving_variant(connection, model)["digest"]
        versions = {"champion": promotions.champion(connection), "anchor": promotions.anchor(connection)}
    if versions["anchor"] == versions["champion"]:
        versions["anchor"] = None
    versions = {name: None if version == model else version for name, version in versions.items()}
    compared = {"candidate": model} | {name: version for name, version in versions.items() if version is not None}
    folder = corpus_folder(context, trained_on)
    data, label_set = snapshot.load(folder), snapshot.label_set(folder)
    with context.reading() as connection:
        for version in compared.values():
            registry.check_labels(connection, version, label_set.names)
    texts, truth = list(data["test"]["text"]), np.asarray(data["test"]["label"])
    train_texts = list(data["train"]["text"])
    log.info("searching %d test rows for near-duplicates of the %d train rows", len(texts), len(train_texts))
    leaked = len(leak_check.leaking_rows(train_texts, texts))
    tfidf = baseline.Baseline(len(label_set.names))
    tfidf.fit(train_texts, list(data["train"]["label"]))
    subjects = {}
    for name, version in compared.items():
        log.info("scoring %d test rows with %s, the %s", len(texts), version, name)
        subjects[name] = scorer_of(context, version).predict(texts).complete
    subjects["baseline"] = tfidf.predict(texts)
    metrics = [
        {"subject": subject, "split": "test", "metric": name, "value": value}
        for subject, probabilities in subjects.items()
        for name, value in evaluation.measure(truth, probabilities).items()
    ]
    columns = ("review_id", "content_hash", "label", "product", "created_at")
    table = pd.DataFrame({name: list(data["test"][name]) for name in columns})
    table["characters"] = [len(text) for text in texts]
    for subject, probabilities in subjects.items():
        for label in range(probabilities.shape[1]):
            table[f"{subject}_{label}"] = probabilities[:, label]
    with context.scratch() as folder:
        table.to_parquet(folder / "test.parquet", index=False)
        artifact, digest = context.store.put(folder, "evaluations", model)
    with context.writing() as connection:
        registry.record_metrics(connection, model, metrics)
    measured = {"model": model, "variant": variant, **versions, "leaked": leaked}
    return {**measured, "evaluation": artifact, "digest": digest}


def judge(evaluation: dict[str, Any], config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Applies the gate to the result of ``evaluate`` and records the verdict. A recorded verdict is never changed.

    ``config`` overrides fields of ``GateConfig``. Returns model, champion (that it was compared with, or null), promote
    and reasons, one per rule that decided. Raises ``RunStateError`` if another variant was measured than the one that
    would serve now.
    """
    import pandas as pd

    from senti_tasks.judging import gate, slices

    context = load_context()
    model = evaluation["model"]
    with context.reading() as connection:
        serving = registry.serving_variant(connection, model)["digest"]
    if evaluation.get("variant") != serving:
        raise RunStateError(
            f"the evaluation of {model} is of another variant than the one that would serve: "
            "clear the task evaluate, so that the gate judges the variant that serves"
        )
    table = pd.read_parquet(context.store.fetch(evaluation["evaluation"], evaluation["digest"]) / "test.parquet")
    keys = list(table["content_hash"])
    with context.reading() as connection:
        registered = registry.model(connection, model)
        due = corpora.corpus(connection, registered["corpus"])["due"]
        before = corpora.judgements_of(connection, keys)
    probabilities = {
        subject: table[[name for name in table.columns if name.startswith(f"{subject}_")]].to_numpy(dtype="float64")
        for subject in ("candidate", *REFERENCES)
    }
    held_out = slices.HeldOut(
        labels=table["label"].to_numpy(),
        products=[product if isinstance(product, str) else None for product in table["product"]],
        lengths=table["characters"].to_numpy(),
        created_at=[timestamp.to_pydatetime() for timestamp in table["created_at"]],
        due=due,
    )
    verdict = gate.judge(
        GateConfig.from_json(config or {}),
        held_out,
        probabilities["candidate"],
        {name: probabilities[name] for name in REFERENCES if probabilities[name].size},
        leaked=evaluation["leaked"],
        reuse=(sum(before) / max(1, len(before)), max(before, default=0)),
    )
    rules = [
        {**rule, "rule": rule.pop("name"), "reference_version": evaluation.get(rule["reference"])}
        for rule in map(asdict, verdict.rules)
    ]
    with context.writing() as connection:
        recorded = registry.record_judgement(connection, model, promote=verdict.promote, rules=rules, test_keys=keys)
    lineage.tell(
        context,
        "judge",
        model,
        inputs=[
            lineage.artifact(registered["artifact"], digest=registered["digest"]),
            lineage.artifact(evaluation["evaluation"], digest=evaluation["digest"]),
        ],
        outputs=[lineage.table("gate_results", rows=len(rules), version=model)],
    )
    return {"model": model, **recorded}


def is_deserved(judgement: dict[str, Any]) -> bool:
    """Whether the model passed the gate. If not, Airflow skips all later tasks, and no asset is updated."""
    for reason in judgement["reasons"]:
        log.info("%s: %s", judgement["model"], reason)
    if not judgement["promote"]:
        alerts.tell_judgement(judgement)
    return bool(judgement["promote"])


def who_promotes(judgement: dict[str, Any]) -> str:
    """The id of the next task: ``promote``, or ``scorecard`` (for a person to read) with SENTI_PROMOTION=approval."""
    context = load_context()
    log.info("SENTI_PROMOTION is %s: %s", context.settings.promotion, judgement["model"])
    if context.settings.promotion == "approval":
        alerts.tell_judgement(judgement, wants_approval=True)
    return {"gate": "promote", "approval": "scorecard"}[context.settings.promotion]


def scorecard(judgement: dict[str, Any]) -> str:
    """Markdown about a model that passed the gate, for the person who decides whether to promote it."""
    from senti_tasks.judging.scorecard import markdown

    context = load_context()
    with context.reading() as connection:
        model = registry.model(connection, judgement["model"])
        metrics = registry.metrics(connection, judgement["model"])
        rules = registry.judgement(connection, judgement["model"])
    return markdown(model, judgement["champion"], metrics, rules)


def promote(judgement: dict[str, Any], actor: str, kind: str = "gate") -> dict[str, Any]:
    """Promotes a model that passed the gate. A retried task promotes nothing: otherwise it would undo a rollback that a
    person has made meanwhile.

    ``actor`` and ``kind`` are recorded. Returns model and serves. Raises ``RegistryError`` if the champion has changed
    since the comparison.
    """
    model, reason, row = judgement["model"], "; ".join(judgement["reasons"]), None
    context = load_context()
    with context.writing() as connection:
        registered = registry.model(connection, model)
        if not promotions.was_promoted(connection, model, kind=kind):
            row = promotions.promote(
                connection,
                model,
                kind=kind,
                compared_with=judgement["champion"],
                actor=actor,
                reason=reason,
                now=now(),
                anchors=kind == "person" or registry.is_superior(connection, model),
            )
        serves = promotions.in_service(connection) == model
    if row is not None:
        alerts.tell_promotion(model, actor, reason, serves=serves, seq=row["seq"])
        lineage.tell(
            context,
            "promote",
            str(row["seq"]),
            inputs=[
                lineage.artifact(registered["artifact"], digest=registered["digest"]),
                lineage.table("gate_results", version=model),
            ],
            outputs=[lineage.table("promotions", rows=1, version=model)],
        )
    return {"model": model, "serves": serves}


def promote_approved(judgement: dict[str, Any], approval: dict[str, Any]) -> dict[str, Any]:
    """Promotes a model that a person approved; otherwise as ``promote``. ``approval`` is the output of Airflow's
    ``ApprovalOperator``."""
    user = approval.get("responded_by_user") or {}
    return promote(judgement, str(user.get("name") or user.get("id") or "unknown"), kind="person")
