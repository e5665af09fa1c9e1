"""The checkpoints of a running training: their folder, the newest complete one, when they are saved, and stopping with
one on SIGTERM or SIGALRM, or when a pause begins."""

import hashlib
import json
import logging
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from senti_tasks.artifacts import files_digest
from senti_tasks.config import PretrainConfig, TrainConfig
from senti_tasks.errors import TrainingStoppedError
from senti_tasks.training.loop.interruptions import Interruptions, shown
from senti_tasks.training.processes.group import ALONE, Group

log = logging.getLogger(__name__)

_REQUIRED_FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt")


def folder_for(
    root: Path,
    corpus: Path,
    base_model: str,
    revision: str | None,
    config: TrainConfig | PretrainConfig,
    files: Sequence[str] = ("train.parquet", "validation.parquet"),
    processes: int = 1,
) -> Path:
    """The folder below ``root`` for the checkpoints of one training.

    Its name is a hash of the base model, the revision, the configuration and the content of ``files``, which are the
    files in ``corpus`` that the training reads, and of the number of processes, on which rounding and dropout depend. A
    training therefore never resumes from the checkpoint of another one.
    """
    read = files_digest(corpus, (corpus / name for name in files))
    key = json.dumps([base_model, revision, config.to_json(), read, *([processes] if processes > 1 else [])])
    return root / hashlib.sha256(key.encode()).hexdigest()[:16]


def newest(folder: Path, processes: int = 1) -> Path | None:
    """The newest complete checkpoint in ``folder``, or ``None`` if there is none. Deletes incomplete checkpoints.

    A checkpoint is complete if ``trainer_state.json``, which process 0 writes last, can be read and the other files
    exist, the random state of each process included.
    """
    random = [f"rng_state_{rank}.pth" for rank in range(processes)] if processes > 1 else ["rng_state.pth"]
    complete: dict[int, Path] = {}
    for path in sorted(folder.glob("checkpoint-*")):
        try:
            step = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
            if not all((path / name).is_file() for name in (*_REQUIRED_FILES, *random)):
                raise FileNotFoundError(path)
            complete[step] = path
        except (OSError, ValueError, KeyError) as error:
            log.warning("deleting the incomplete checkpoint %s (%s)", path.name, error)
            shutil.rmtree(path)
    return complete[max(complete)] if complete else None


def epochs_if_stopped_early(checkpoint: Path) -> int | None:
    """The epochs that were run, if early stopping had ended the training of ``checkpoint``; otherwise ``None``.

    The Trainer does not save that it stopped. If it resumed from ``checkpoint``, it would train another epoch.
    """
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    early_stopping = state.stateful_callbacks["EarlyStoppingCallback"]
    waited = early_stopping["attributes"]["early_stopping_patience_counter"]
    return round(state.epoch) if waited >= early_stopping["args"]["early_stopping_patience"] else None


def epochs_if_budget_ended(checkpoint: Path) -> int | None:
    """The whole epochs that were trained, if ``checkpoint`` was evaluated; ``None`` if it was saved in between.

    A training whose budget is used up takes no further step from a checkpoint that was evaluated.
    """
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    evaluated = any("eval_loss" in entry and entry["step"] == state.global_step for entry in state.log_history)
    return int(state.epoch) if evaluated else None


class StopAtCheckpoint(TrainerCallback):
    """Saves a checkpoint within an epoch when one is due. After SIGTERM or SIGALRM (Airflow's timeout of a task), or
    when the pause has begun: saves one at the end of the current step, then raises ``TrainingStoppedError``.

    A running evaluation is finished first. The Trainer's own switch (``should_training_stop``) would evaluate in the
    middle of an epoch. The resumed training would then choose its best epoch from other figures than an uninterrupted
    one. For the same reason no checkpoint is saved before the evaluation at the end of an epoch: a Trainer that resumed
    from it would skip that evaluation.
    """

    def __init__(
        self,
        interruptions: Interruptions,
        resume_command: str = "`senti retrain --corpus NAME`",
        group: Group = ALONE,
    ) -> None:
        """``resume_command`` is for the error message. All processes of ``group`` save and stop after the same step."""
        self.stop_requested = False
        self._signal: signal.Signals | None = None
        self._interruptions = interruptions
        self._saved_at = monotonic()
        self._resume_command = resume_command
        self._group = group

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        stop = self.stop_requested or self._interruptions.in_pause
        due = monotonic() - self._saved_at >= self._interruptions.save_every_s
        self.stop_requested, due = self._group.agreed(stop, due)
        steps_per_epoch = state.max_steps // args.num_train_epochs
        if state.global_step % steps_per_epoch:
            control.should_save = control.should_save or self.stop_requested or due
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._saved_at = monotonic()
        (self.stop_requested,) = self._group.agreed(self.stop_requested)
        if not self.stop_requested:
            return
        self._group.wait()  # until each process has saved its random state
        steps = f"after step {state.global_step} of {state.max_steps}"
        if self._signal is None and (pause := self._interruptions.pause):
            raise TrainingStoppedError(
                f"the training pauses until {shown(pause.end)}, because {self._interruptions.pause_reason}; a "
                f"checkpoint was saved {steps}: Airflow's retry continues from it then; by hand, clear the task or run "
                f"{self._resume_command} with the same options then",
                retry_at=pause.end,
            )
        raise TrainingStoppedError(
            f"the training was stopped by {(self._signal or signal.SIGTERM).name} {steps}: "
            f"clear its task, or run {self._resume_command} with the same options, to resume it from its checkpoint"
        )

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """While this is open, SIGTERM and SIGALRM request the stop. Outside the main thread, Python allows no signal
        handler, and they keep their usual effect."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._request_stop) for number in (signal.SIGTERM, signal.SIGALRM)}
        try:
            with self._group.receiving_signals():
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _request_stop(self, number: int, frame: object) -> None:
        self.stop_requested = True
        self._signal = signal.Signals(number)
