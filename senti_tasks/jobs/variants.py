"""A trained model to the form of it that serves: the task of ``retrain_sentiment`` between training and judging."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senti_tasks.jobs.context import Workplace, enter
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.jobs.scoring.loading import device_for, load_form

if TYPE_CHECKING:
    from pathlib import Path

    from datasets import Dataset, DatasetDict

    from senti_tasks.config import FormConfig
    from senti_tasks.scoring.predictions import Predictions
    from senti_tasks.scoring.scorer import Scorer

log = logging.getLogger(__name__)


def build_forms(model: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Builds the faster forms of ``model`` that SENTI_FORM asks for, compares each with fp32, and chooses who serves.

    The first that gives enough reviews the label fp32 gives them; fp32 itself when none does. Each form that may serve
    gets the temperature that calibrates it on the validation split; ``model_metrics`` has its figures before and after.
    A model that was judged keeps its form. Returns model, form (the one that serves) and reasons, one per form tried.
    """
    from senti_tasks.config import FormConfig
    from senti_tasks.corpus import snapshot
    from senti_tasks.scoring import devices
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import registry

    place = enter()
    settled = FormConfig.from_json(config or {})
    with database.reading(place.engine) as connection:
        registered = registry.model(connection, model)
    wanted = devices.wanted_forms(place.settings.form, place.settings.device)
    if registered["verdict"] is None:
        data = snapshot.load(corpus_folder(place, registered["corpus"]))
        rows = _compare(place, model, wanted[: wanted.index("fp32")], data, settled)
        metrics = _calibrate(place, rows, data["validation"])
        with database.writing(place.engine) as connection:
            registry.record_forms(connection, model, rows)
            registry.record_metrics(connection, model, metrics)
    with database.reading(place.engine) as connection:
        forms = registry.forms(connection, model)
    reasons = [f"{row['form']} {row['verdict']}: {row['reason']}" for row in forms]
    for reason in reasons:
        log.info("%s: %s", model, reason)
    return {"model": model, "form": next(row["form"] for row in forms if row["serves"]), "reasons": reasons}


@dataclass(frozen=True)
class _Comparison:
    """What a form is compared with: what fp32 thinks of some reviews."""

    texts: list[str]
    unlabelled: bool
    reference: Predictions
    reviews_per_second: float


def _compare(
    place: Workplace, model: str, wanted: list[str], data: DatasetDict, config: FormConfig
) -> list[dict[str, Any]]:
    """The rows of ``model_forms``: of ``wanted``, the fastest first, down to the first that is proven, and of fp32."""
    from senti_tasks.training import variants
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import registry

    with database.reading(place.engine) as connection:
        (fp32,) = (row for row in registry.forms(connection, model) if row["form"] == "fp32")
    if not wanted:
        return [fp32]
    unlabelled = _unlabelled(place, config.agreement_rows)
    # int8 asks for many reviews that the model was not trained on; a rounding of weights can be seen on a few.
    texts = unlabelled or list(data["validation"]["text"])
    compared = _Comparison(texts, bool(unlabelled), *_timed(load_form(place, fp32), texts))
    source = place.store.fetch(fp32["artifact"], fp32["digest"])
    builders = variants.builders(
        source,
        list(data["train"]["text"])[: config.calibration_rows],
        texts,
        compared.reference.labels,
        config.min_agreement,
    )
    rows: list[dict[str, Any]] = []
    for form in wanted:
        rows.append({"form": form, "library": variants.library(form, source), "temperature": 1.0})
        rows[-1] |= _verdict_on(place, model, form, builders[form], compared, config)
        if rows[-1]["serves"]:
            break
    speed = {"reviews_compared": len(texts), "reviews_per_second": compared.reviews_per_second}
    return [*rows, {**fp32, **speed, "serves": not any(row["serves"] for row in rows)}]


def _verdict_on(
    place: Workplace,
    version: str,
    form: str,
    builders: list[Callable[[Path], None]],
    compared: _Comparison,
    config: FormConfig,
) -> dict[str, Any]:
    """Builds a form, one way after the other, until it gives enough reviews the label of fp32."""
    from senti_tasks.scoring import loading
    from senti_tasks.training import variants

    row: dict[str, Any] = {"verdict": "refused", "serves": False, "artifact": None, "digest": None}
    row |= {"agreement": None, "reviews_compared": None, "reviews_per_second": None}
    n = len(compared.texts)
    if form == "int8" and not (compared.unlabelled and n >= config.agreement_rows):
        known = n if compared.unlabelled else 0
        asked = f"it is compared on {config.agreement_rows} unlabelled reviews, and the warehouse has {known}"
        return {**row, "reason": asked}
    for build in builders:
        with place.scratch() as output:
            build(output)
            found, speed = _timed(loading.load(output, form, device_for(place, form)), compared.texts)
            agreement = variants.agreement(compared.reference, found)
            row |= {"agreement": agreement, "reviews_compared": n, "reviews_per_second": speed}
            row["reason"] = f"the label of fp32 for {agreement:.2%} of {n} reviews"
            if agreement >= config.min_agreement:
                artifact, digest = place.store.put(output, "forms", f"{version}-{form}")
                return {**row, "verdict": "proven", "serves": True, "artifact": artifact, "digest": digest}
    return {**row, "reason": f"{row['reason']}, and {config.min_agreement:.0%} is asked for"}


def _unlabelled(place: Workplace, rows: int) -> list[str]:
    """Up to ``rows`` different texts that nobody annotated and that can be scored."""
    from senti_tasks.text import defect
    from senti_tasks.warehouse import database
    from senti_tasks.warehouse.models import corpora

    with database.reading(place.engine) as connection:
        found = corpora.unlabelled_texts(connection, limit=2 * rows)
    return list(dict.fromkeys(text for text in found if defect(text) is None))[:rows]


def _calibrate(place: Workplace, rows: list[dict[str, Any]], validation: Dataset) -> list[dict[str, Any]]:
    """Sets the temperature of each row that may serve; returns figures on the validation split, before and after."""
    import numpy as np

    from senti_tasks.judging import calibration

    texts, labels = list(validation["text"]), np.asarray(validation["label"])
    metrics: list[dict[str, Any]] = []
    for row in rows:
        if row["verdict"] != "proven":
            continue
        before = load_form(place, {**row, "temperature": 1.0}).predict(texts).complete
        row["temperature"] = calibration.fit_temperature(labels, before)
        after = calibration.scaled(before, row["temperature"])
        metrics += [
            {"subject": row["form"], "split": "validation", "metric": f"{name}_{when}", "value": value}
            for when, probabilities in (("before", before), ("after", after))
            for name, value in calibration.measure(labels, probabilities).items()
        ]
    return metrics


def _timed(scorer: Scorer, texts: list[str]) -> tuple[Predictions, float]:
    """What a scorer thinks of texts, and how many it scored in a second."""
    started = time.perf_counter()
    found = scorer.predict(texts)
    return found, len(texts) / (time.perf_counter() - started)
