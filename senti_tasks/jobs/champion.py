"""Measures the champion on labels that arrived after its training: a side task of ``retrain_sentiment``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from senti_tasks.config import GateConfig
from senti_tasks.errors import ChampionAlarmError
from senti_tasks.jobs.context import load_context, now
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.jobs.scoring.loading import scorer_of
from senti_tasks.warehouse.models import corpora, promotions, registry

if TYPE_CHECKING:
    from datasets import DatasetDict

log = logging.getLogger(__name__)


def check_champion(corpus: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Measures the champion on the rows of ``corpus`` that are new to it, and stores a row of ``champion_checks``.

    A row is new if its text is neither in the champion's own corpus nor a near-duplicate of a text in it. No model was
    selected on such rows, so this accuracy is unbiased. The champion is the one at the time of the snapshot ``corpus``,
    also if another model was promoted since. If the row exists already, it is not changed.

    Returns the row: model_version (null without a champion), rows, accuracy, accuracy_at_promotion (on the champion's
    test split, when it was judged), alarm, reason and more. ``alarm`` is true if the accuracy is significantly lower
    than at promotion, by more than the margin of ``GateConfig`` (``config`` overrides its fields).
    """
    from senti_tasks.corpus.snapshot import load
    from senti_tasks.judging import evaluation, intervals, shares

    context = load_context()
    gate = GateConfig.from_json(config or {})
    with context.reading() as connection:
        champion = promotions.champion(connection, at=corpora.corpus(connection, corpus)["created_at"])
        if champion is None:
            return {"model_version": None, "rows": 0, "alarm": False, "reason": "no model has been promoted yet"}
        champion_corpus = registry.model(connection, champion)["corpus"]
        at_promotion, test_rows = (
            registry.metric(connection, champion, subject="candidate", split="test", name=name)
            for name in ("accuracy", "rows")
        )
    texts, labels = _new_rows(load(corpus_folder(context, champion_corpus)), load(corpus_folder(context, corpus)))
    n, upper = len(texts), None
    row: dict[str, Any] = {"rows": n, "accuracy_at_promotion": at_promotion, "alarm": False}
    if texts:
        metrics = evaluation.measure(np.asarray(labels), scorer_of(context, champion).predict(texts).complete)
        correct = round(metrics["accuracy"] * n)
        low, high = shares.accuracy_bounds(correct, n, gate.confidence)
        row |= {"accuracy": metrics["accuracy"], "macro_f1": metrics["macro_f1"]}
        row |= {"lower_bound": low, "upper_bound": high}
        if at_promotion is not None and test_rows:
            before = (round(at_promotion * test_rows), round(test_rows))
            upper = intervals.unpaired_upper_bound((correct, n), before, gate.confidence)
            row["alarm"] = upper < -gate.margin
    row |= {"model_version": champion, "corpus": corpus, "reason": _reason(champion, corpus, row, upper)}
    with context.writing() as connection:
        stored = registry.record_champion_check(connection, {**row, "checked_at": now()})
    log.log(logging.WARNING if stored["alarm"] else logging.INFO, stored["reason"])
    return {**stored, "checked_at": stored["checked_at"].isoformat()}


def _new_rows(old: DatasetDict, new: DatasetDict) -> tuple[list[str], list[int]]:
    """Texts and labels of the rows of ``new`` whose text is neither in ``old`` nor a near-duplicate of a text in it.
    All splits of both corpora count."""
    from senti_tasks.corpus import leak_check

    known = {key for part in old.values() for key in part["content_hash"]}
    candidates = [row for part in new.values() for row in part if row["content_hash"] not in known]
    old_texts = [text for part in old.values() for text in part["text"]]
    near_duplicates = leak_check.leaking_rows(old_texts, [row["text"] for row in candidates])
    kept = [row for number, row in enumerate(candidates) if number not in near_duplicates]
    return [row["text"] for row in kept], [row["label"] for row in kept]


def _reason(champion: str, corpus: str, row: dict[str, Any], upper: float | None) -> str:
    if not row["rows"]:
        return f"corpus {corpus} holds no label that is new to {champion}"
    found = f"{champion} has {100 * row['accuracy']:.1f} % of {row['rows']} labels right that are new to it"
    if upper is None:
        return f"{found}; it was never judged on a test split"
    promoted = f"its accuracy at promotion was {100 * row['accuracy_at_promotion']:.1f} %"
    return f"{found}, and {promoted} (upper bound of the difference {100 * upper:+.1f} points)"


def alarm(check: dict[str, Any]) -> None:
    """Raises ``ChampionAlarmError`` if ``check``, a row of ``check_champion``, has an alarm."""
    if check["alarm"]:
        raise ChampionAlarmError(
            f"{check['reason']}. Look at the newest labels: have the products or the way people write changed, or were "
            "difficult reviews selected for annotation? See whether a newly trained model passes the gate. Until then "
            "this model stays in service"
        )
