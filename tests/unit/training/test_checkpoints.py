"""When a checkpoint is written: after SIGTERM, every so many steps, and never before the evaluation of an epoch."""

from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from senti_tasks.training.checkpoints import StopAtCheckpoint


@pytest.mark.parametrize(
    ("step", "every", "stop_requested", "saves"),
    [
        (7, None, False, False),
        (7, None, True, True),
        (8, None, True, False),
        (9, 3, False, True),
        (24, 3, False, False),
    ],
)
def test_a_checkpoint_comes_when_it_is_due_and_at_the_end_of_an_epoch_after_its_evaluation(
    step: int, every: int | None, stop_requested: bool, saves: bool, tmp_path: Path
) -> None:
    stop = StopAtCheckpoint(every_steps=every)
    stop.stop_requested = stop_requested
    arguments = TrainingArguments(output_dir=str(tmp_path), num_train_epochs=3, report_to="none", use_cpu=True)
    state = TrainerState(max_steps=24, global_step=step)
    assert stop.on_step_end(arguments, state, TrainerControl()).should_save is saves
