"""Predicts labels of texts that are not in the warehouse."""

from collections.abc import Sequence
from typing import Any

from senti_tasks.errors import ConfigError, NoChampionError
from senti_tasks.jobs.context import load_context
from senti_tasks.jobs.scoring.loading import scorer_of
from senti_tasks.warehouse.models import promotions, registry


def predict(texts: Sequence[str]) -> list[dict[str, Any]]:
    """The champion's prediction for each text, in the order given; empty in, empty out.

    Each has text, label_name, label, score, confidence, truncated and model. Raises ``NoChampionError`` without a
    champion, and ``ConfigError`` if a text cannot be scored, for instance because it is blank.
    """
    context = load_context()
    with context.reading() as connection:
        model = promotions.champion(connection)
        if model is None:
            raise NoChampionError(promotions.NO_CHAMPION)
        names = registry.label_names(connection, model)
    found = scorer_of(context, model).predict(texts)
    for position, reason in found.reasons.items():
        raise ConfigError(f"cannot label {texts[position][:20]!r}: {reason}")
    columns = (found.labels, found.scores, found.confidences, found.truncated)
    keys = ("label", "score", "confidence", "truncated")
    return [
        {"text": text, "label_name": names[row[0]], **dict(zip(keys, row, strict=True)), "model": model}
        for text, *row in zip(texts, *(column.tolist() for column in columns), strict=True)
    ]
