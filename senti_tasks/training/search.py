"""The search over learning rates, and the repetition of a collapsed training."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from senti_tasks.config import TrainConfig
from senti_tasks.judging.collapse import collapse_of
from senti_tasks.training.trials import Trial

log = logging.getLogger(__name__)


def train_within_budget(trials: Sequence[Trial], budget_s: float, train: Callable[[Trial], None]) -> list[Trial]:
    """Trains ``trials`` one after another within ``budget_s`` seconds; returns the finished ones.

    The first trial is always trained. A further one starts only if the remaining time is at least that of the slowest
    trial so far. A trial that an earlier call started is resumed, and a finished one is not trained again. Their time
    counts too.
    """
    finished: list[Trial] = []
    for trial in trials:
        if finished and not trial.is_started:
            remaining = budget_s - sum(one.seconds for one in finished)
            needed = max(one.seconds for one in finished)
            if needed > remaining:
                log.info(
                    "learning rate %g is not tried: it needs %.0f s, and %.0f s remain",
                    *(trial.config.learning_rate, needed, remaining),
                )
                continue
        if not trial.is_finished:
            train(trial)
        finished.append(trial)
    return finished


def best(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest macro-F1 on the validation split, then the lowest log loss, then the earliest."""

    def quality(trial: Trial) -> tuple[float, float]:
        figures = trial.outcome.validation
        return figures["macro_f1"], -figures["log_loss"]

    return max(trials, key=quality)  # max returns the first of equals


def retry_if_collapsed(
    trial: Trial, trial_with: Callable[[TrainConfig], Trial], train: Callable[[Trial], None]
) -> tuple[Trial, bool]:
    """``trial`` and ``False``; or, if it collapsed, a trial with the next seed and ``True``.

    If the second one collapses too, it is still returned: the gate refuses such a model. A training that its budget
    ended is not repeated: another seed would not have more time.
    """
    collapse = _collapse_of(trial)
    if collapse is None:
        return trial, False
    if trial.outcome.ended_by_budget:
        log.warning("the training has learnt nothing yet: %s; its budget ended it: raise budget_minutes", collapse)
        return trial, False
    second = trial_with(replace(trial.config, seed=trial.config.seed + 1))
    log.warning(
        "the training at learning rate %g collapsed: %s; it is repeated with seed %d",
        *(trial.config.learning_rate, collapse, second.config.seed),
    )
    if not second.is_finished:
        train(second)
    if collapse := _collapse_of(second):
        log.warning(
            "the training with seed %d collapsed too: %s; its model is kept for the gate to refuse: take a lower "
            "learning rate, or check the labels",
            *(second.config.seed, collapse),
        )
    return second, True


def rate_rows(trials: Sequence[Trial], finished: Sequence[Trial]) -> list[dict[str, Any]]:
    """One row per learning rate: ``tried``, its figures on the validation split, and its seconds.

    The figures and the seconds of a rate that was not tried are ``None``.
    """
    rows: list[dict[str, Any]] = []
    for trial in trials:
        tried = trial in finished
        figures: dict[str, Any] = dict.fromkeys(("macro_f1", "log_loss", "accuracy", "seconds"))
        if tried:
            figures = {name: trial.outcome.validation.get(name) for name in ("macro_f1", "log_loss", "accuracy")}
            figures["seconds"] = round(trial.seconds, 1)
        rows.append({"learning_rate": trial.config.learning_rate, "tried": tried, **figures})
    return rows


def _collapse_of(trial: Trial) -> str | None:
    return collapse_of(trial.outcome.validation, balanced=trial.config.balance_classes)
