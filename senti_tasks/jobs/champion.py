"""How the champion does on labels that arrived since it was trained: a side task of ``retrain_sentiment``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from senti_tasks.config import GateConfig
from senti_tasks.errors import ChampionAlarmError
from senti_tasks.jobs.context import load_context, now
from senti_tasks.jobs.corpora import corpus_folder
from senti_tasks.jobs.scoring.loading import scorer_of
from senti_tasks.warehouse import database
from senti_tasks.warehouse.models import corpora, promotions, registry

if TYPE_CHECKING:
    from datasets import DatasetDict

log = logging.getLogger(__name__)


def check_champion(corpus: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Scores the champion on what of ``corpus`` is new to it: the honest figure, of rows that judged nothing before.

    The champion is the one at the time of the snapshot ``corpus``, whatever was promoted since. New is a text that
    neither stood in the champion's own corpus nor resembles one that did. Stores a row of ``champion_checks``; where
    there is one already, it stands. Returns that row: model_version, rows, accuracy, accuracy_at_promotion (on its test
    split, when it was judged), alarm (the accuracy is significantly lower than that, by more than the gate's margin),
    reason and more. Without a champion, model_version is null.
    """
    from senti_tasks.corpus.snapshot import load
    from senti_tasks.judging import evaluation, intervals

    context = load_context()
    settled = GateConfig.from_json(config or {})
    with database.reading(context.engine) as connection:
        champion = promotions.champion_at(connection, corpora.corpus(connection, corpus)["created_at"])
        if champion is None:
            return {"model_version": None, "rows": 0, "alarm": False, "reason": "no model has been promoted yet"}
        trained_on = registry.model(connection, champion)["corpus"]
        judged = {
            name: registry.metric(connection, champion, subject="candidate", split="test", name=name)
            for name in ("accuracy", "rows")
        }
    texts, labels = _new_to(load(corpus_folder(context, trained_on)), load(corpus_folder(context, corpus)))
    n, at_promotion, upper = len(texts), judged["accuracy"], None
    row: dict[str, Any] = {"rows": n, "accuracy_at_promotion": at_promotion, "alarm": False}
    if texts:
        figures = evaluation.measure(np.asarray(labels), scorer_of(context, champion).predict(texts).complete)
        right = round(figures["accuracy"] * n)
        low, high = intervals.accuracy_bounds(right, n, settled.confidence)
        row |= {"accuracy": figures["accuracy"], "macro_f1": figures["macro_f1"]}
        row |= {"lower_bound": low, "upper_bound": high}
        if at_promotion is not None and judged["rows"]:
            before = (round(at_promotion * judged["rows"]), round(judged["rows"]))
            upper = intervals.unpaired_upper_bound((right, n), before, settled.confidence)
            row["alarm"] = upper < -settled.margin
    row["reason"] = _reason(champion, corpus, row, upper)
    key = {"model_version": champion, "corpus": corpus}
    with database.writing(context.engine) as connection:
        stands = registry.record_check(connection, {**key, **row, "checked_at": now()})
    log.log(logging.WARNING if stands["alarm"] else logging.INFO, stands["reason"])
    return {**stands, "checked_at": stands["checked_at"].isoformat()}


def _new_to(old: DatasetDict, new: DatasetDict) -> tuple[list[str], list[int]]:
    """Texts of ``new`` and their labels, without those that stand in ``old``, in whatever split, or resemble such."""
    from senti_tasks.corpus import leak_check

    known = {key for part in old.values() for key in part["content_hash"]}
    fresh = [row for part in new.values() for row in part if row["content_hash"] not in known]
    seen = [text for part in old.values() for text in part["text"]]
    resembling = leak_check.rows_in(seen, [row["text"] for row in fresh])
    kept = [row for number, row in enumerate(fresh) if number not in resembling]
    return [row["text"] for row in kept], [row["label"] for row in kept]


def _reason(champion: str, corpus: str, row: dict[str, Any], upper: float | None) -> str:
    if not row["rows"]:
        return f"corpus {corpus} holds no label that is new to {champion}"
    found = f"{champion} has {100 * row['accuracy']:.1f} % of {row['rows']} labels right that are new to it"
    if row["accuracy_at_promotion"] is None or upper is None:
        return f"{found}; it was never judged on a test split"
    promoted = f"its accuracy at promotion was {100 * row['accuracy_at_promotion']:.1f} %"
    return f"{found}, and {promoted} (upper bound of the difference {100 * upper:+.1f} points)"


def alarm(check: dict[str, Any]) -> None:
    """Raises ``ChampionAlarmError`` when the champion is less accurate than at its promotion."""
    if check["alarm"]:
        raise ChampionAlarmError(
            f"{check['reason']}: look at the newest labels (have products or the way people write changed? were these "
            "reviews picked as hard ones?), and at whether a retraining passes the gate; it goes on serving"
        )
