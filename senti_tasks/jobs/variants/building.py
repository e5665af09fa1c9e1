"""Builds the variants of a trained model, and chooses the one that serves."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from senti_tasks.config import TFIDF, VariantConfig
from senti_tasks.jobs.context import JobContext, load_context
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.jobs.scoring.loading import device_for, load_variant
from senti_tasks.jobs.variants import cascades
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.text import defect
from senti_tasks.warehouse.models import corpora, registry

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


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
    from senti_tasks.training import tfidf

    context = load_context()
    limits = VariantConfig.from_json(config or {})
    setting = context.settings.variant
    with context.reading() as connection:
        registered = registry.model(connection, model)
    wanted = devices.wanted_variants(setting, context.settings.device)
    if registered["base_model"] == TFIDF:  # it has no matrix products that could be computed otherwise
        wanted = ["fp32"]
    if registered["verdict"] is None:
        folder = corpus_folder(context, registered["corpus"])
        data = snapshot.load(folder)
        rows, compared = _build(context, model, wanted[: wanted.index("fp32")], data, limits)
        metrics = _calibrate(context, rows, data["validation"])
        if devices.CASCADE in wanted:
            cascade = _refused_row(devices.CASCADE, limits, tfidf.library())
            cascade["reason"] = _too_few(len(compared.texts), limits)
            if compared.labels:
                fp32, teacher = rows[-1], max((row for row in rows if row["verdict"] == "proven"), key=_speed)
                named = (registered["base_model"], fp32, teacher, compared, data, snapshot.label_set(folder), limits)
                cascade |= cascades.build(context, model, *named)
            metrics += _calibrate(context, [cascade], data["validation"])
            rows.append(cascade)
        _choose(rows, setting, wanted)
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
_OF_CASCADES = ("escalated_share", "stages", "withdrawn_at", "withdrawn_because")
_REFUSED: dict[str, Any] = dict.fromkeys(("artifact", "digest", "retired_at", "score_bins", *_MEASURED, *_OF_CASCADES))
_REFUSED |= {"verdict": "refused", "serves": False, "temperature": 1.0}
"""The columns of ``model_variants`` for a variant that may not serve."""


def _refused_row(variant: str, limits: VariantConfig, library: str) -> dict[str, Any]:
    row = {"variant": variant, "library": library, **_REFUSED}
    return row | {"disagreement_limit": limits.max_disagreement}


def _too_few(found: int, limits: VariantConfig) -> str:
    from senti_tasks.judging import intervals

    needed = intervals.rows_to_certify(limits.max_disagreement, limits.confidence)
    return (
        f"it is compared with fp32 on unlabelled reviews: {needed} or more are needed to show that at most "
        f"{limits.max_disagreement:.2%} of its labels differ, and the warehouse has {found}"
    )


def _speed(row: dict[str, Any]) -> float:
    return float(row["reviews_per_second"] or 0)


def _choose(rows: list[dict[str, Any]], setting: str, wanted: list[str]) -> None:
    """Decides which of ``rows`` serves: the variant of the setting, if it may serve. With ``auto``, and if a cascade
    may not serve, the fastest one that may; else the first of ``wanted``."""
    proven = {row["variant"]: row for row in rows if row["verdict"] == "proven"}
    if setting not in ("auto", "cascade"):
        serving = next(proven[variant] for variant in wanted if variant in proven)
    else:
        serving = proven.get(setting) or max(proven.values(), key=_speed)
    for row in rows:
        row["serves"] = row is serving


def _build(
    context: JobContext, model: str, wanted: list[str], data: DatasetDict, limits: VariantConfig
) -> tuple[list[dict[str, Any]], cascades.Compared]:
    """Rows of ``model_variants``: one per variant of ``wanted``, up to the first that may serve; and fp32, the last.
    ``wanted`` is in order of speed, the fastest first. A cascade in it gets no row here.

    Also returns the reviews on which they were compared. It has labels for them only if they were enough.
    """
    from senti_tasks.judging import intervals
    from senti_tasks.scoring import devices
    from senti_tasks.training import variants

    with context.reading() as connection:
        (fp32,) = (row for row in registry.variants(connection, model) if row["variant"] == "fp32")
        if not wanted:
            return [fp32], cascades.Compared([], {}, [])
        # Twice the number, because some reviews may be unusable, and because accuracy control needs reviews of its own.
        drawn = 2 * limits.agreement_rows
        if devices.CASCADE in wanted:
            drawn += limits.threshold_rows + limits.student_texts
        found = corpora.unlabelled_texts(connection, limit=drawn, seed=zlib.crc32(model.encode()))
    usable = [text for text in found if defect(text) is None]
    texts, others = usable[: limits.agreement_rows], usable[limits.agreement_rows :][: variants.CONTROL_TEXTS]
    spare = usable[limits.agreement_rows + variants.CONTROL_TEXTS :]
    allowed = intervals.most_found(len(texts), limits.max_disagreement, limits.confidence)
    names = [name for name in wanted if name != devices.CASCADE]
    rows = [_refused_row(name, limits, variants.library(name)) for name in names]
    if allowed is None:
        for row in rows:
            row["reason"] = _too_few(len(texts), limits)
        return [*rows, fp32], cascades.Compared(texts, {}, [])
    scorer = load_variant(context, fp32)
    log.info("scoring %d reviews with fp32, to compare the other variants with it", len(texts))
    reference, speed = cascades.timed(scorer, texts)
    fp32 |= {"reviews_compared": len(texts), "reviews_per_second": speed}
    compared = cascades.Compared(texts, {"fp32": reference}, spare)
    builders = variants.builders(
        context.fetch(fp32),
        list(data["train"]["text"])[: limits.calibration_rows],
        others,
        scorer.predict(others).labels,
        1 - allowed / len(texts),
    )
    tried: list[dict[str, Any]] = []
    for row in rows:
        found_row, predictions = _build_variant(
            context, model, row["variant"], builders[row["variant"]], texts, reference, limits
        )
        tried.append(row | found_row)
        compared.labels[row["variant"]] = predictions
        if tried[-1]["verdict"] == "proven":
            break
    return [*tried, fp32], compared


def _build_variant(
    context: JobContext,
    version: str,
    variant: str,
    builders: list[Callable[[Path], None]],
    texts: list[str],
    reference: Predictions,
    limits: VariantConfig,
) -> tuple[dict[str, Any], Predictions]:
    """Tries ``builders`` in order until one makes a variant whose labels differ from those of fp32 seldom enough, and
    stores that one.

    ``reference`` are the predictions of fp32 for ``texts``, a random sample. Returns the columns of ``model_variants``
    that it sets, and the predictions of the last one that it made.
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
            found, speed = cascades.timed(loading.load(output, variant, device_for(context, variant)), texts)
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
                return {**row, "verdict": "proven", "artifact": artifact, "digest": digest}, found
    if differing / rows < limits.max_disagreement and rows < limits.agreement_rows:
        row["reason"] += ". Its share of differing labels is below the limit: with more unlabelled reviews it may serve"
    return row, found


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
