"""A trial: a training with one configuration. Its folder has its checkpoints, time, outcome and model."""

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from senti_tasks.config import TrainConfig

_SAVE_EVERY_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """The result of a finished training."""

    history: list[dict[str, Any]]
    """One row per epoch."""
    best_epoch: int
    validation: dict[str, float]
    """``measure`` of the best epoch on the validation split."""
    steps: int
    diverged: bool
    """Whether the weights of the best epoch contain NaN or infinity."""
    ended_by_budget: bool = False
    """Whether the time budget ended the training before its last epoch."""


class Trial:
    """A training with one configuration.

    All of its state is in ``folder``, so that another process can continue a killed one.
    """

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        self.config = config
        self.folder = folder
        self.model = folder / "model"
        """Folder for the weights of the best epoch; written by ``finish``."""
        self._outcome = folder / "outcome.json"
        self.seconds_file = folder / "seconds.json"

    @property
    def is_started(self) -> bool:
        return self.seconds_file.is_file()

    @property
    def seconds(self) -> float:
        """The training time so far, including killed calls, exact to about a second."""
        return float(json.loads(self.seconds_file.read_text(encoding="utf-8"))) if self.is_started else 0.0

    @property
    def is_finished(self) -> bool:
        return self._outcome.is_file()

    @property
    def outcome(self) -> Outcome:
        """The result of a finished trial."""
        return Outcome(**json.loads(self._outcome.read_text(encoding="utf-8")))

    def finish(self, model: PreTrainedModel, outcome: Outcome) -> None:
        """Saves the model, then the outcome (which marks the model as complete), and deletes the checkpoints."""
        shutil.rmtree(self.model, ignore_errors=True)
        model.save_pretrained(self.model)
        _replace(self._outcome, json.dumps(asdict(outcome)))
        for checkpoint in self.folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)


class Timer(TrainerCallback):
    """Adds to the ``seconds`` of a trial. It saves them about once a second, so that a kill loses about one second."""

    def __init__(self, trial: Trial) -> None:
        self._file = trial.seconds_file
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic() - trial.seconds
        self.save()

    @property
    def seconds(self) -> float:
        """The training time so far."""
        return time.monotonic() - self._started

    def save(self) -> None:
        self._saved = time.monotonic()
        _replace(self._file, json.dumps(round(self._saved - self._started, 3)))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if time.monotonic() - self._saved >= _SAVE_EVERY_S:
            self.save()

    on_prediction_step = on_step_end


def _replace(file: Path, content: str) -> None:
    """Replaces ``file`` atomically, so that a killed process leaves no half-written file."""
    partial = file.with_suffix(".partial")
    partial.write_text(content, encoding="utf-8")
    partial.replace(file)
