"""Which trial becomes the model: the best of a few learning rates, and a second chance after a collapse."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from senti_tasks.config import TrainConfig
from senti_tasks.judging.collapse import collapse_of
from senti_tasks.training.trials import Trial

log = logging.getLogger(__name__)


def try_rates(trials: Sequence[Trial], budget_s: float, train: Callable[[Trial], None]) -> list[Trial]:
    """Has ``trials`` trained one after another, as far as ``budget_s`` seconds go; returns those that are over.

    The first is always trained. Another one starts only if the time that the slowest took fits what is left. One that
    a kill broke off goes on, one that is over is not trained again, and the time of both counts.
    """
    over: list[Trial] = []
    for trial in trials:
        if over and not trial.has_begun:
            left = budget_s - sum(one.seconds for one in over)
            needed = max(one.seconds for one in over)
            if needed > left:
                log.info("learning rate %g is not tried: it needs %.0f s, %.0f s are left", _rate(trial), needed, left)
                continue
        if not trial.is_over:
            train(trial)
        over.append(trial)
    return over


def best(trials: Sequence[Trial]) -> Trial:
    """The one with the best macro-F1 on the validation split; of equals the lower log loss, then the earlier."""
    return max(trials, key=lambda one: (_figures(one)["macro_f1"], -_figures(one)["log_loss"]))  # max takes the first


def with_second_chance(
    trial: Trial, with_config: Callable[[TrainConfig], Trial], train: Callable[[Trial], None]
) -> tuple[Trial, bool]:
    """``trial``, or if it collapsed a second one with the next seed; and whether that was needed.

    A second collapse is kept as it is: the gate refuses such a model.
    """
    collapse = _collapse_of(trial)
    if collapse is None:
        return trial, False
    second = with_config(replace(trial.config, seed=trial.config.seed + 1))
    log.warning(
        "the training at learning rate %g collapsed: %s; once more, with seed %d",
        *(_rate(trial), collapse, second.config.seed),
    )
    if not second.is_over:
        train(second)
    if collapse := _collapse_of(second):
        log.warning(
            "the training with seed %d collapsed too: %s; its model is kept for the gate to refuse: take a lower "
            "learning rate, or look at the labels",
            *(second.config.seed, collapse),
        )
    return second, True


def account(trials: Sequence[Trial], over: Sequence[Trial]) -> list[dict[str, Any]]:
    """A row per learning rate: whether it was ``tried``, its figures on the validation split, and its seconds.

    One that was left out for want of time has null for them.
    """
    rows = []
    for trial in trials:
        tried = trial in over
        figures = _figures(trial) if tried else {}
        rows.append(
            {
                "learning_rate": _rate(trial),
                "tried": tried,
                **{name: figures.get(name) for name in ("macro_f1", "log_loss", "accuracy")},
                "seconds": round(trial.seconds, 1) if tried else None,
            }
        )
    return rows


def _rate(trial: Trial) -> float:
    return trial.config.learning_rate


def _figures(trial: Trial) -> dict[str, float]:
    return trial.outcome.validation


def _collapse_of(trial: Trial) -> str | None:
    return collapse_of(_figures(trial), balanced=trial.config.balance_classes)
