"""Labels of texts that are not in the warehouse, from the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from senti_tasks.errors import ConfigError, NoChampionError
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.scoring.loading import scorer_of
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import promotions, registry


def predict(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Label, its name, score, confidence and truncation of each text, from the champion, in the order given."""
    context = load_context()
    with database.reading(context.engine) as connection:
        model = promotions.champion(connection)
        if model is None:
            raise NoChampionError(promotions.NO_CHAMPION)
        names = registry.label_names(connection, model)
    found = scorer_of(context, model).predict(texts)
    for position, reason in found.reasons.items():
        raise ConfigError(f"cannot label {texts[position][:20]!r}: {reason}")
    return [
        {"text": text, "label_name": names[label["label"]], **label, "model": model}
        for text, label in zip(texts, _labels(found), strict=True)
        if label.pop("reason") is None
    ]


def _labels(found: Predictions) -> list[dict[str, Any]]:
    """Label, score, confidence, truncated and reason of each text, in order."""
    columns = (found.labels, found.scores, found.confidences, found.truncated)
    unanswered = {"label": None, "score": None, "confidence": None, "truncated": False}
    return [
        {**unanswered, "reason": found.reasons[position]}
        if position in found.reasons
        else {"label": label, "score": score, "confidence": confidence, "truncated": truncated, "reason": None}
        for position, (label, score, confidence, truncated) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]
