"""What a training says while it goes on, and the time budget that may end it."""

import logging
import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from senti_tasks.progress import LOG_EVERY_S, Progress, Watcher, shown_time
from senti_tasks.training.processes.group import Group

log = logging.getLogger(__name__)

Report = Callable[[dict[str, Any]], None]
PROGRESS = "progress"
"""The key of a reported row that says how far the training is; other rows are figures of an epoch."""
_REPORT_EVERY_S = 0.5


def parted(report: Report | None, watch: Watcher | None) -> Report:
    """A ``Report`` for both kinds of rows: progress goes to ``watch``, the figures of an epoch to ``report``."""

    def deliver(row: dict[str, Any]) -> None:
        if (progress := row.get(PROGRESS)) is None:
            if report:
                report(row)
        elif watch:
            watch(Progress(**progress))

    return deliver


class ProgressReport(TrainerCallback):
    """Reports how far a training is: a log line every ``LOG_EVERY_S`` seconds, and ``report`` twice a second.

    The first line comes with the first step. Resumed steps count as done, and not for the rate.
    """

    def __init__(self, rows: int, report: Report | None, seconds_left: Callable[[], float | None]) -> None:
        """``rows``: reviews in an epoch. ``seconds_left``: what is left of a time budget, ``None`` without one."""
        self._rows = rows
        self._report = report
        self._seconds_left = seconds_left
        self._begun = self._logged = self._reported = 0.0
        self._first_step = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kw: Any) -> None:
        self._begun = time.monotonic()
        self._first_step = state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kw: Any) -> None:
        self._tell(state, "training")

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kw: Any
    ) -> None:
        self._tell(state, "evaluating")

    def _tell(self, state: TrainerState, doing: str) -> None:
        now = time.monotonic()
        logs, reports = now - self._logged >= LOG_EVERY_S, now - self._reported >= _REPORT_EVERY_S
        if not (logs or (reports and self._report)):
            return
        found = self._progress(state, doing, now - self._begun)
        if logs:
            self._logged = now
            log.info("%s", found)
        if self._report and reports:
            self._reported = now
            self._report({PROGRESS: vars(found)})

    def _progress(self, state: TrainerState, doing: str, seconds: float) -> Progress:
        epochs, steps = state.num_train_epochs, max(1, state.max_steps)
        total = self._rows * epochs
        taken = state.global_step - self._first_step
        epoch = min(epochs, int(state.epoch or 0) + (doing == "training" and (state.epoch or 0) % 1 > 0))
        rate = left = None
        if taken and seconds > 0:
            rate = total * taken / steps / seconds
            left = (steps - state.global_step) * seconds / taken
        if (budget := self._seconds_left()) is not None:
            left = budget if left is None else min(left, budget)
        return Progress(
            f"{doing}, epoch {max(1, epoch)} of {epochs}",
            round(total * state.global_step / steps),
            total,
            "reviews",
            rate,
            None if left is None else max(0.0, left),
        )


class Budget(TrainerCallback):
    """Ends a training when its time is used up, at the end of a step.

    The Trainer then evaluates what it has, as at the end of an epoch, and takes the weights of the best evaluation.
    """

    def __init__(self, budget_s: float | None, seconds: Callable[[], float], group: Group) -> None:
        """``budget_s``: ``None`` for none. ``seconds``: how long the training takes so far, killed calls included; only
        process 0 of ``group`` reads it."""
        self._budget_s = budget_s
        self._seconds = seconds
        self._group = group
        self.has_ended_it = False

    @property
    def left_s(self) -> float | None:
        return None if self._budget_s is None else self._budget_s - self._seconds()

    @property
    def is_used_up(self) -> bool:
        return self.left_s is not None and self.left_s <= 0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kw: Any
    ) -> TrainerControl:
        if self._budget_s is None or state.global_step >= state.max_steps:
            return control
        (self.has_ended_it,) = self._group.agreed(self.is_used_up)
        if self.has_ended_it:
            control.should_training_stop = True
            if self._group.rank == 0:
                log.warning(
                    "the budget of %s min ends the training after %.1f of %d epochs; the best epoch so far is kept",
                    *(shown_time(self._budget_s), state.epoch or 0.0, state.num_train_epochs),
                )
        return control
