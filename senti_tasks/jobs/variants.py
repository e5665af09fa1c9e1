"""A trained model to the variant of it that serves: the task of ``retrain_sentiment`` between training and judging."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from senti_tasks.config import VariantConfig
from senti_tasks.jobs.context import JobContext, load_context
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.jobs.scoring.loading import device_for, load_variant
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.text import defect
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import corpora, registry

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from senti_tasks.scoring.scorer import Scorer

log = logging.getLogger(__name__)


def build_variants(model: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Builds the faster variants of ``model`` that SENTI_VARIANT asks for, compares each with fp32, and chooses who
    serves.

    The first that gives enough reviews the label fp32 gives them; fp32 itself when none does. Each variant that may
    serve gets the temperature that calibrates it on the validation split; ``model_metrics`` has its figures before and
    after. A model that was judged keeps its variant. Returns model, variant (the one that serves) and reasons, one per
    variant tried.
    """
    from senti_tasks.corpus import snapshot
    from senti_tasks.scoring import devices

    context = load_context()
    settled = VariantConfig.from_json(config or {})
    with database.reading(context.engine) as connection:
        registered = registry.model(connection, model)
    wanted = devices.wanted_variants(context.settings.variant, context.settings.device)
    if registered["verdict"] is None:
        data = snapshot.load(corpus_folder(context, registered["corpus"]))
        rows = _compare(context, model, wanted[: wanted.index("fp32")], data, settled)
        metrics = _calibrate(context, rows, data["validation"])
        with database.writing(context.engine) as connection:
            registry.record_variants(connection, model, rows)
            registry.record_metrics(connection, model, metrics)
    with database.reading(context.engine) as connection:
        variants = registry.variants(connection, model)
    reasons = [f"{row['variant']} {row['verdict']}: {row['reason']}" for row in variants]
    for reason in reasons:
        log.info("%s: %s", model, reason)
    return {"model": model, "variant": next(row["variant"] for row in variants if row["serves"]), "reasons": reasons}


@dataclass(frozen=True)
class _Comparison:
    """What a variant is compared with: what fp32 thinks of some reviews."""

    texts: list[str]
    unlabelled: bool
    reference: Predictions
    reviews_per_second: float


def _compare(
    context: JobContext, model: str, wanted: list[str], data: DatasetDict, config: VariantConfig
) -> list[dict[str, Any]]:
    """Rows of ``model_variants``: for ``wanted``, fastest first, up to the first proven one; and for fp32."""
    from senti_tasks.training import variants

    with database.reading(context.engine) as connection:
        (fp32,) = (row for row in registry.variants(connection, model) if row["variant"] == "fp32")
    if not wanted:
        return [fp32]
    unlabelled = _unlabelled(context, config.agreement_rows)
    # int8 asks for many reviews that the model was not trained on; a rounding of weights can be seen on a few.
    texts = unlabelled or list(data["validation"]["text"])
    compared = _Comparison(texts, bool(unlabelled), *_timed(load_variant(context, fp32), texts))
    source = context.store.fetch(fp32["artifact"], fp32["digest"])
    builders = variants.builders(
        source,
        list(data["train"]["text"])[: config.calibration_rows],
        texts,
        compared.reference.labels,
        config.min_agreement,
    )
    rows: list[dict[str, Any]] = []
    for variant in wanted:
        rows.append({"variant": variant, "library": variants.library(variant), "temperature": 1.0})
        rows[-1] |= _verdict_on(context, model, variant, builders[variant], compared, config)
        if rows[-1]["serves"]:
            break
    speed = {"reviews_compared": len(texts), "reviews_per_second": compared.reviews_per_second}
    return [*rows, {**fp32, **speed, "serves": not any(row["serves"] for row in rows)}]


def _verdict_on(
    context: JobContext,
    version: str,
    variant: str,
    builders: list[Callable[[Path], None]],
    compared: _Comparison,
    config: VariantConfig,
) -> dict[str, Any]:
    """Builds a variant, one way after the other, until it gives enough reviews the label of fp32."""
    from senti_tasks.scoring import loading
    from senti_tasks.training import variants

    row: dict[str, Any] = {"verdict": "refused", "serves": False, "artifact": None, "digest": None}
    row |= {"agreement": None, "reviews_compared": None, "reviews_per_second": None}
    n = len(compared.texts)
    if variant == "int8" and not (compared.unlabelled and n >= config.agreement_rows):
        known = n if compared.unlabelled else 0
        asked = f"it is compared on {config.agreement_rows} unlabelled reviews, and the warehouse has {known}"
        return {**row, "reason": asked}
    for build in builders:
        with context.scratch() as output:
            build(output)
            found, speed = _timed(loading.load(output, variant, device_for(context, variant)), compared.texts)
            agreement = variants.agreement(compared.reference, found)
            row |= {"agreement": agreement, "reviews_compared": n, "reviews_per_second": speed}
            row["reason"] = f"the label of fp32 for {agreement:.2%} of {n} reviews"
            if agreement >= config.min_agreement:
                artifact, digest = context.store.put(output, "variants", f"{version}-{variant}")
                return {**row, "verdict": "proven", "serves": True, "artifact": artifact, "digest": digest}
    return {**row, "reason": f"{row['reason']}, and {config.min_agreement:.0%} is asked for"}


def _unlabelled(context: JobContext, rows: int) -> list[str]:
    """Up to ``rows`` different texts that nobody annotated and that can be scored."""
    with database.reading(context.engine) as connection:
        found = corpora.unlabelled_texts(connection, limit=2 * rows)
    return list(dict.fromkeys(text for text in found if defect(text) is None))[:rows]


def _calibrate(context: JobContext, rows: list[dict[str, Any]], validation: Dataset) -> list[dict[str, Any]]:
    """Sets the temperature of each row that may serve; returns figures on the validation split, before and after."""
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
    """What a scorer thinks of texts, and how many it scored in a second."""
    started = time.perf_counter()
    found = scorer.predict(texts)
    return found, len(texts) / (time.perf_counter() - started)
