"""Builds the variants of a trained model and chooses the one that serves: a task of ``retrain_sentiment``."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from senti_tasks.config import TFIDF, VariantConfig
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

    It serves the fastest variant whose labels differ from those of fp32 seldom enough, or else fp32. The share of
    differing labels is measured on unlabelled reviews that are drawn at random, and its upper confidence bound decides
    (``VariantConfig``, whose fields ``config`` overrides). A temperature is fitted on the validation split for each
    variant that may serve; calibration metrics before and after are stored in ``model_metrics``. A model that was
    judged keeps its variant.

    Returns model, variant (the one that serves) and reasons, one per variant.
    """
    from senti_tasks.corpus import snapshot
    from senti_tasks.scoring import devices

    context = load_context()
    limits = VariantConfig.from_json(config or {})
    with context.reading() as connection:
        registered = registry.model(connection, model)
    wanted = devices.wanted_variants(context.settings.variant, context.settings.device)
    if registered["base_model"] == TFIDF:  # it has no matrix products that could be computed otherwise
        wanted = ["fp32"]
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


_MEASURED = ("agreement", "labels_differing", "disagreement_bound", "reviews_compared", "reviews_per_second")
_REFUSED: dict[str, Any] = dict.fromkeys(("artifact", "digest", "retired_at", "score_bins", *_MEASURED))
_REFUSED |= {"verdict": "refused", "serves": False}
"""The columns of ``model_variants`` for a variant that may not serve."""


def _build(
    context: JobContext, model: str, wanted: list[str], data: DatasetDict, limits: VariantConfig
) -> list[dict[str, Any]]:
    """Rows of ``model_variants``: one per variant of ``wanted``, up to the first that may serve; and fp32.
    ``wanted`` is in order of speed, the fastest first."""
    from senti_tasks.judging import intervals
    from senti_tasks.training import variants

    with context.reading() as connection:
        (fp32,) = (row for row in registry.variants(connection, model) if row["variant"] == "fp32")
        if not wanted:
            return [fp32]
        # Twice the number, because some reviews may be unusable, and because accuracy control needs reviews of its own.
        found = corpora.unlabelled_texts(connection, limit=2 * limits.agreement_rows, seed=zlib.crc32(model.encode()))
    usable = [text for text in found if defect(text) is None]
    texts, others = usable[: limits.agreement_rows], usable[limits.agreement_rows :][: variants.CONTROL_TEXTS]
    allowed = intervals.most_found(len(texts), limits.max_disagreement, limits.confidence)
    rows = [{"variant": name, "library": variants.library(name), "temperature": 1.0, **_REFUSED} for name in wanted]
    for row in rows:
        row["disagreement_limit"] = limits.max_disagreement
    if allowed is None:
        needed = intervals.rows_to_certify(limits.max_disagreement, limits.confidence)
        for row in rows:
            row["reason"] = (
                f"it is compared with fp32 on unlabelled reviews: {needed} or more are needed to show that at most "
                f"{limits.max_disagreement:.2%} of its labels differ, and the warehouse has {len(texts)}"
            )
        return [*rows, {**fp32, "serves": True}]
    scorer = load_variant(context, fp32)
    log.info("scoring %d reviews with fp32, to compare the other variants with it", len(texts))
    reference, speed = _timed(scorer, texts)
    builders = variants.builders(
        context.fetch(fp32),
        list(data["train"]["text"])[: limits.calibration_rows],
        others,
        scorer.predict(others).labels,
        1 - allowed / len(texts),
    )
    tried: list[dict[str, Any]] = []
    for row in rows:
        tried.append(
            row | _build_variant(context, model, row["variant"], builders[row["variant"]], texts, reference, limits)
        )
        if tried[-1]["serves"]:
            break
    fp32 |= {"reviews_compared": len(texts), "reviews_per_second": speed}
    return [*tried, {**fp32, "serves": not any(row["serves"] for row in tried)}]


def _build_variant(
    context: JobContext,
    version: str,
    variant: str,
    builders: list[Callable[[Path], None]],
    texts: list[str],
    reference: Predictions,
    limits: VariantConfig,
) -> dict[str, Any]:
    """Tries ``builders`` in order until one makes a variant whose labels differ from those of fp32 seldom enough, and
    stores that one.

    ``reference`` are the predictions of fp32 for ``texts``, a random sample. Returns the columns of ``model_variants``
    that it sets.
    """
    from senti_tasks.judging import intervals
    from senti_tasks.scoring import loading
    from senti_tasks.training import variants

    rows = len(texts)
    row: dict[str, Any] = {"reviews_compared": rows}
    for build in builders:
        with context.scratch() as output:
            log.info("building %s of %s", variant, version)
            build(output)
            log.info("comparing its labels with those of fp32 on %d reviews", rows)
            found, speed = _timed(loading.load(output, variant, device_for(context, variant)), texts)
            differing = variants.count_differing(reference, found)
            bound = intervals.share_upper_bound(differing, rows, limits.confidence)
            row |= {"agreement": 1 - differing / rows, "reviews_per_second": speed}
            row |= {"labels_differing": differing, "disagreement_bound": bound}
            row["reason"] = (
                f"another label than fp32 for {differing} of {rows} reviews, so for at most {bound:.2%} of all "
                f"({limits.confidence:.0%} confidence); the limit is {limits.max_disagreement:.2%}"
            )
            if bound <= limits.max_disagreement:
                artifact, digest = context.store.put(output, "variants", f"{version}-{variant}")
                return {**row, "verdict": "proven", "serves": True, "artifact": artifact, "digest": digest}
    if differing / rows < limits.max_disagreement and rows < limits.agreement_rows:
        row["reason"] += ". Its share of differing labels is below the limit: with more unlabelled reviews it may serve"
    return row


def _calibrate(context: JobContext, rows: list[dict[str, Any]], validation: Dataset) -> list[dict[str, Any]]:
    """Sets the temperature and the bins of the scores of each row that may serve. Returns calibration metrics on the
    validation split, before and after."""
    from senti_tasks.judging import calibration, score_bins, temperature

    texts, labels = list(validation["text"]), np.asarray(validation["label"])
    metrics: list[dict[str, Any]] = []
    for row in rows:
        if row["verdict"] != "proven":
            continue
        before = load_variant(context, {**row, "temperature": 1.0}).predict(texts).complete
        row["temperature"] = calibration.fit_temperature(labels, before)
        after = temperature.scaled(before, row["temperature"])
        row["score_bins"] = score_bins.score_bins(after)
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
