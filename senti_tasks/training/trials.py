"""A trial: a training with one configuration, in a folder of its own, with its time, its outcome and its model."""

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
    """The result of a finished training."""

    history: list[dict[str, Any]]
    """A row per epoch."""
    best_epoch: int
    validation: dict[str, float]
    """``measure`` of the best epoch on the validation split."""
    steps: int
    diverged: bool
    """Whether the weights of the best epoch hold NaN or infinity."""


class Trial:
    """A training with one configuration. ``folder`` holds its checkpoints, and when it is finished its model.

    All of its state is on disk, so that a killed process can continue it from the same folder.
    """

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        self.config = config
        self.folder = folder
        self.model = folder / "model"
        """Where the weights of the best epoch are saved when it is finished."""
        self._outcome = folder / "outcome.json"
        self._seconds = folder / "seconds.json"

    @property
    def has_begun(self) -> bool:
        return self._seconds.is_file()

    @property
    def seconds(self) -> float:
        """Time spent on it so far, killed calls included; exact to about a second."""
        return float(json.loads(self._seconds.read_text(encoding="utf-8"))) if self.has_begun else 0.0

    @property
    def is_over(self) -> bool:
        return self._outcome.is_file()

    @property
    def outcome(self) -> Outcome:
        """The result of a finished trial."""
        return Outcome(**json.loads(self._outcome.read_text(encoding="utf-8")))

    def timer(self) -> "Timer":
        """A running timer, which adds to ``seconds``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return Timer(self._seconds, self.seconds)

    def finish(self, model: PreTrainedModel, outcome: Outcome) -> None:
        """Saves the model, then the outcome (which marks the model as complete), and removes the checkpoints."""
        shutil.rmtree(self.model, ignore_errors=True)
        model.save_pretrained(self.model)
        _replace(self._outcome, json.dumps(asdict(outcome)))
        for checkpoint in self.folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)


class Timer(TrainerCallback):
    """Writes the seconds spent on a trial to a file about once a second, so that a kill loses no more."""

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
