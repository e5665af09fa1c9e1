"""Builds the variants of a trained model and chooses the one that serves: a task of ``retrain_sentiment``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from senti_tasks.config import VariantConfig
from senti_tasks.jobs.context import JobContext, load_context
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.jobs.scoring.loading import device_for, load_variant
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.text import defect
from senti_tasks.warehouse.models import corpora, registry

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from senti_tasks.scoring.scorer import Scorer

log = logging.getLogger(__name__)


def build_variants(model: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Builds the faster variants of ``model`` that SENTI_VARIANT allows, and chooses the variant that serves.

    It serves the fastest variant that gives enough reviews the same label as fp32, or else fp32. ``config`` overrides
    fields of ``VariantConfig``. A temperature is fitted on the validation split for each variant that may serve;
    calibration metrics before and after are stored in ``model_metrics``. A model that was judged keeps its variant.

    Returns model, variant (the one that serves) and reasons, one per variant.
    """
    from senti_tasks.corpus import snapshot
    from senti_tasks.scoring import devices

    context = load_context()
    limits = VariantConfig.from_json(config or {})
    with context.reading() as connection:
        registered = registry.model(connection, model)
    wanted = devices.wanted_variants(context.settings.variant, context.settings.device)
    if registered["verdict"] is None:
        data = snapshot.load(corpus_folder(context, registered["corpus"]))
        rows = _build(context, model, wanted[: wanted.index("fp32")], data, limits)
        metrics = _calibrate(context, rows, data["validation"])
        with context.writing() as connection:
            registry.record_variants(connection, model, rows)
            registry.record_metrics(connection, model, metrics)
    with context.reading() as connection:
        variants = registry.variants(connection, model)
    reasons = [f"{row['variant']} {row['verdict']}: {row['reason']}" for row in variants]
    for reason in reasons:
        log.info("%s: %s", model, reason)
    return {"model": model, "variant": next(row["variant"] for row in variants if row["serves"]), "reasons": reasons}


_REFUSED: dict[str, Any] = dict.fromkeys(("artifact", "digest", "agreement", "reviews_compared", "reviews_per_second"))
_REFUSED |= {"verdict": "refused", "serves": False}
"""The columns of ``model_variants`` for a variant that may not serve."""


def _build(
    context: JobContext, model: str, wanted: list[str], data: DatasetDict, limits: VariantConfig
) -> list[dict[str, Any]]:
    """Rows of ``model_variants``: one per variant of ``wanted``, up to the first that may serve; and fp32.
    ``wanted`` is in order of speed, the fastest first."""
    from senti_tasks.training import variants

    with context.reading() as connection:
        (fp32,) = (row for row in registry.variants(connection, model) if row["variant"] == "fp32")
        if not wanted:
            return [fp32]
        found = corpora.unlabelled_texts(connection, limit=2 * limits.agreement_rows)  # twice: some may be unusable
    unlabelled = list(dict.fromkeys(text for text in found if defect(text) is None))[: limits.agreement_rows]
    # Without unlabelled reviews the validation split has to do. It is enough for bf16, which rounds weights; int8 needs
    # many reviews that the model was not trained on.
    texts = unlabelled or list(data["validation"]["text"])
    reference, speed = _timed(load_variant(context, fp32), texts)
    builders = variants.builders(
        context.store.fetch(fp32["artifact"], fp32["digest"]),
        list(data["train"]["text"])[: limits.calibration_rows],
        texts,
        reference.labels,
        limits.min_agreement,
    )
    rows: list[dict[str, Any]] = []
    for variant in wanted:
        row = {"variant": variant, "library": variants.library(variant), "temperature": 1.0, **_REFUSED}
        if variant == "int8" and len(unlabelled) < limits.agreement_rows:
            needed = f"it is compared on {limits.agreement_rows} unlabelled reviews"
            row["reason"] = f"{needed}, and the warehouse has {len(unlabelled)}"
        else:
            row |= _build_variant(context, model, variant, builders[variant], texts, reference, limits)
        rows.append(row)
        if row["serves"]:
            break
    fp32 |= {"reviews_compared": len(texts), "reviews_per_second": speed}
    return [*rows, {**fp32, "serves": not any(row["serves"] for row in rows)}]


def _build_variant(
    context: JobContext,
    version: str,
    variant: str,
    builders: list[Callable[[Path], None]],
    texts: list[str],
    reference: Predictions,
    limits: VariantConfig,
) -> dict[str, Any]:
    """Tries ``builders`` in order until one makes a variant that agrees with fp32 often enough, and stores that one.

    ``reference`` are the predictions of fp32 for ``texts``. Returns the columns of ``model_variants`` that it sets.
    """
    from senti_tasks.scoring import loading
    from senti_tasks.training import variants

    row: dict[str, Any] = {"reviews_compared": len(texts)}
    for build in builders:
        with context.scratch() as output:
            build(output)
            found, speed = _timed(loading.load(output, variant, device_for(context, variant)), texts)
            agreement = variants.agreement(reference, found)
            row |= {"agreement": agreement, "reviews_per_second": speed}
            row["reason"] = f"the label of fp32 for {agreement:.2%} of {len(texts)} reviews"
            if agreement >= limits.min_agreement:
                artifact, digest = context.store.put(output, "variants", f"{version}-{variant}")
                return {**row, "verdict": "proven", "serves": True, "artifact": artifact, "digest": digest}
    return {**row, "reason": f"{row['reason']}, and {limits.min_agreement:.0%} is required"}


def _calibrate(context: JobContext, rows: list[dict[str, Any]], validation: Dataset) -> list[dict[str, Any]]:
    """Sets the temperature of each row that may serve. Returns calibration metrics on the validation split, before and
    after."""
    from senti_tasks.judging import calibration

    texts, labels = list(validation["text"]), np.asarray(validation["label"])
    metrics: list[dict[str, Any]] = []
    for row in rows:
        if row["verdict"] != "proven":
            continue
        before = load_variant(context, {**row, "temperature": 1.0}).predict(texts).complete
        row["temperature"] = calibration.fit_temperature(labels, before)
        after = calibration.scaled(before, row["temperature"])
        metrics += [
            {"subject": row["variant"], "split": "validation", "metric": f"{name}_{when}", "value": value}
            for when, probabilities in (("before", before), ("after", after))
            for name, value in calibration.measure(labels, probabilities).items()
        ]
    return metrics


def _timed(scorer: Scorer, texts: list[str]) -> tuple[Predictions, float]:
    """The predictions for ``texts``, and the speed in reviews per second."""
    started = time.perf_counter()
    found = scorer.predict(texts)
    return found, len(texts) / (time.perf_counter() - started)
