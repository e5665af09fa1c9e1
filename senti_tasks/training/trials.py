"""One attempt at a training, in a folder of its own: the time it has taken, what it came to, and its model."""

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from senti_tasks.config import TrainConfig

_KEPT_EVERY_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """What a whole training came to."""

    history: list[dict[str, Any]]
    """A row per epoch."""
    best_epoch: int
    validation: dict[str, float]
    """``measure`` of the best epoch on the validation split."""
    steps: int
    diverged: bool
    """Whether weights of the best epoch are no numbers."""


class Attempt:
    """A whole training with one configuration. ``folder`` holds its checkpoints, and once it is over its model.

    All of it is on disk, so that after a kill the same folder is the same attempt.
    """

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        self.config = config
        self.folder = folder
        self.model = folder / "model"
        """Where ``save_pretrained`` has put the weights of the best epoch, once it is over."""
        self._outcome = folder / "outcome.json"
        self._seconds = folder / "seconds.json"

    @property
    def has_begun(self) -> bool:
        return self._seconds.is_file()

    @property
    def seconds(self) -> float:
        """Spent on it so far, in calls that were killed too, to about a second."""
        return float(json.loads(self._seconds.read_text(encoding="utf-8"))) if self.has_begun else 0.0

    @property
    def is_over(self) -> bool:
        return self._outcome.is_file()

    @property
    def outcome(self) -> Outcome:
        """Only of one that is over."""
        return Outcome(**json.loads(self._outcome.read_text(encoding="utf-8")))

    def clock(self) -> "Clock":
        """Started: what happens from now on counts as spent on it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Clock(self._seconds, self.seconds)

    def finish(self, model: PreTrainedModel, outcome: Outcome) -> None:
        """Keeps the model, then the outcome, which says that the model is whole, and drops the checkpoints."""
        shutil.rmtree(self.model, ignore_errors=True)
        model.save_pretrained(self.model)
        _replace(self._outcome, json.dumps(asdict(outcome)))
        for checkpoint in self.folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)


class Clock(TrainerCallback):
    """Writes down the seconds spent on an attempt, about one of them apart, so that a kill loses no more."""

    def __init__(self, file: Path, before: float) -> None:
        self._file = file
        self._started = time.monotonic() - before
        self.keep()

    def keep(self) -> None:
        self._kept = time.monotonic()
        _replace(self._file, json.dumps(round(self._kept - self._started, 3)))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if time.monotonic() - self._kept >= _KEPT_EVERY_S:
            self.keep()

    on_prediction_step = on_step_end


def _replace(file: Path, content: str) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(content, encoding="utf-8")
    partial.replace(file)
