"""Builds the variant ``cascade`` of a model: TF-IDF answers what it is sure of, and the model the rest."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from senti_tasks.config import VariantConfig
from senti_tasks.jobs.context import JobContext
from senti_tasks.jobs.pretraining import held_out_texts
from senti_tasks.jobs.scoring.loading import device_for, load_variant
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.warehouse.models import corpora

if TYPE_CHECKING:
    from datasets import DatasetDict

    from senti_tasks.labels import LabelSet
    from senti_tasks.scoring.scorer import Scorer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compared:
    """Reviews drawn at random, and what the variants gave them."""

    texts: list[str]
    """Those on which variants are compared with fp32."""
    labels: dict[str, Predictions]
    """By variant: what it gave them; with fp32."""
    spare: list[str]
    """Further ones, drawn at random too, which no variant was built with."""


def build(
    context: JobContext,
    version: str,
    base_model: str,
    fp32: dict[str, Any],
    teacher: dict[str, Any],
    compared: Compared,
    data: DatasetDict,
    label_set: LabelSet,
    limits: VariantConfig,
) -> dict[str, Any]:
    """The columns of ``model_variants`` of a cascade that ends with the variant ``teacher``, a row that may serve.

    The student learns the labels of ``teacher`` for the training split and for reviews that nobody labelled. Its
    thresholds are chosen on other reviews, and certified on those of ``compared``. The cascade is stored if the share
    of its labels that differ from those of ``fp32`` is certainly small enough.
    """
    from senti_tasks.judging import intervals
    from senti_tasks.scoring.cascades.layout import Stage
    from senti_tasks.training import cascades, tfidf

    chosen_on, learnable = compared.spare[: limits.threshold_rows], compared.spare[limits.threshold_rows :]
    needed = intervals.rows_to_certify(limits.max_disagreement, limits.confidence)
    row: dict[str, Any] = {"library": f"{tfidf.library()}, {teacher['library']}"}
    if len(chosen_on) < needed:
        row["reason"] = (
            f"its thresholds are chosen on unlabelled reviews beside those of the comparison: {needed} or more are "
            f"needed, and the warehouse has {len(chosen_on)} of them"
        )
        return row
    last = load_variant(context, teacher)
    texts = [*data["train"]["text"], *_learnable(context, learnable[: limits.student_texts])]
    texts = texts[: max(1, int(60 * limits.student_minutes * (teacher["reviews_per_second"] or 1)))]
    log.info("labelling %d reviews, which the first stage of a cascade learns from", len(texts))
    stage = Stage(cascades.TEACHER, base_model, teacher["variant"], teacher["temperature"])
    reference = last if teacher["variant"] == "fp32" else load_variant(context, fp32)
    with context.scratch() as folder:
        made = cascades.make(
            folder,
            cascades.Teacher(stage, context.fetch(teacher), last, reference),
            texts,
            chosen_on,
            (compared.texts, compared.labels[teacher["variant"]], compared.labels["fp32"]),
            (list(data["validation"]["text"]), np.asarray(data["validation"]["label"])),
            label_set,
            limits,
        )
        if not made.has_student:
            return {**row, "reason": "the model gives all reviews the same label, so there is nothing to learn"}
        if made.cascade is None:
            row["reason"] = "no thresholds let the first stage answer anything and keep the limit"
            if (failed := made.failed) is not None:
                row |= _figures(failed.differing, failed.rows, failed.bound, failed.escalated_share)
                row["reason"] = _reason(row, limits) + ", also with the most careful of the thresholds"
            return row
        stages = asdict(made.cascade)["stages"]
        return row | _measured(context, version, folder, compared, limits) | {"stages": stages}


def _measured(
    context: JobContext, version: str, folder: Path, compared: Compared, limits: VariantConfig
) -> dict[str, Any]:
    """Scores the reviews of ``compared`` with the cascade in ``folder``, as a run would, and stores it if its labels
    keep the limit."""
    from senti_tasks.judging import intervals
    from senti_tasks.scoring import loading
    from senti_tasks.training import variants

    found, speed = timed(loading.load(folder, "cascade", device_for(context, "cascade")), compared.texts)
    differing, rows = variants.count_differing(compared.labels["fp32"], found), len(compared.texts)
    bound = intervals.share_upper_bound(differing, rows, limits.confidence)
    assert found.stages is not None  # noqa: S101 - it is a cascade
    row = _figures(differing, rows, bound, float((found.stages == 1).mean())) | {"reviews_per_second": speed}
    row["reason"] = _reason(row, limits)
    if bound > limits.max_disagreement:
        return row
    artifact, digest = context.store.put(folder, "variants", f"{version}-cascade")
    return {**row, "verdict": "proven", "artifact": artifact, "digest": digest}


def _figures(differing: int, rows: int, bound: float, escalated_share: float) -> dict[str, Any]:
    return {
        "agreement": 1 - differing / rows,
        "labels_differing": differing,
        "reviews_compared": rows,
        "disagreement_bound": bound,
        "escalated_share": escalated_share,
    }


def _reason(row: dict[str, Any], limits: VariantConfig) -> str:
    return (
        f"TF-IDF answers {1 - row['escalated_share']:.1%} of the reviews; another label than fp32 for "
        f"{row['labels_differing']} of {row['reviews_compared']} reviews, so for at most "
        f"{row['disagreement_bound']:.2%} of all ({limits.confidence:.0%} confidence); "
        f"the limit is {limits.max_disagreement:.2%}"
    )


def _learnable(context: JobContext, texts: list[str]) -> list[str]:
    """Those of ``texts`` on which no model is evaluated, each once."""
    from senti_tasks.corpus import unlabelled

    with context.reading() as connection:
        selection = unlabelled.Selection(held_out_texts(connection), len(texts))
        selection.offer([(str(row), text) for row, text in enumerate(texts)], partial(corpora.splits_of, connection))
    kept, _ = selection.result()
    return [one.text for one in kept]


def timed(scorer: Scorer, texts: list[str]) -> tuple[Predictions, float]:
    """The predictions for ``texts``, and the speed in reviews per second."""
    started = time.perf_counter()
    found = scorer.predict(texts)
    return found, len(texts) / (time.perf_counter() - started)
