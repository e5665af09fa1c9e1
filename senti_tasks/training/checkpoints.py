"""The checkpoints of a training under way: which belong to it, which of them is whole, and stopping at one."""

import hashlib
import json
import logging
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from senti_tasks.config import PretrainConfig, TrainConfig
from senti_tasks.errors import TrainingStoppedError

log = logging.getLogger(__name__)

_WHOLE = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth")


def folder_for(
    root: Path,
    corpus: Path,
    base_model: str,
    revision: str | None,
    config: TrainConfig | PretrainConfig,
    parts: Sequence[str] = ("train.parquet", "validation.parquet"),
) -> Path:
    """The folder below ``root`` for checkpoints of exactly this training: same rows, base model and configuration.

    So a training never goes on from weights that were on their way to something else. ``parts`` are the files in
    ``corpus`` that it reads.
    """
    total = hashlib.sha256(json.dumps([base_model, revision, config.to_json()]).encode())
    for name in parts:
        with (corpus / name).open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return root / total.hexdigest()[:16]


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint in ``folder``, ``None`` when there is none. Removes half-written ones.

    A checkpoint is whole when its ``trainer_state.json``, which is written last, can be read and the rest is there.
    """
    whole: dict[int, Path] = {}
    for path in sorted(folder.glob("checkpoint-*")):
        try:
            step = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))["global_step"]
            if not all((path / name).is_file() for name in _WHOLE):
                raise FileNotFoundError(path)
            whole[step] = path
        except (OSError, ValueError, KeyError) as error:
            log.warning("passing over the half-written checkpoint %s (%s)", path.name, error)
            shutil.rmtree(path)
    return whole[max(whole)] if whole else None


def epochs_if_over(checkpoint: Path) -> int | None:
    """The epochs run, when early stopping had ended the training that wrote ``checkpoint``; else ``None``.

    Going on from it, the Trainer forgets that, and would train for another epoch.
    """
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    early_stopping = state.stateful_callbacks["EarlyStoppingCallback"]
    waited = early_stopping["attributes"]["early_stopping_patience_counter"]
    return round(state.epoch) if waited >= early_stopping["args"]["early_stopping_patience"] else None


class StopAtCheckpoint(TrainerCallback):
    """After SIGTERM: a checkpoint at the end of the present step, then ``TrainingStoppedError``.

    A running evaluation is finished first. Stopping by the Trainer's own switch would evaluate in mid-epoch, and the
    resumed training would choose its best epoch from other figures than an uninterrupted one. For the same reason an
    epoch's last step waits for the evaluation: going on from a checkpoint written before it, the Trainer would skip it.
    """

    def __init__(self, again: str = "`senti retrain --corpus NAME`", every: int | None = None) -> None:
        """``again`` is the command that goes on; ``every`` so many steps a checkpoint is written unasked, too."""
        self.asked = False
        self._again = again
        self._every = every

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        steps_of_epoch = state.max_steps // args.num_train_epochs
        if state.global_step % steps_of_epoch:
            due = self._every is not None and state.global_step % self._every == 0
            control.should_save = control.should_save or self.asked or due
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.asked:
            raise TrainingStoppedError(
                f"the training was stopped by SIGTERM after step {state.global_step} of {state.max_steps}: "
                f"clear its task, or run {self._again} with the same options, and it goes on from there"
            )

    @contextmanager
    def listening(self) -> Iterator[None]:
        """SIGTERM asks for the stop while this is open; in a thread other than the main one it cannot, and does not."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, lambda number, frame: setattr(self, "asked", True))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
