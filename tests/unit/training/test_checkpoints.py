"""When a checkpoint is written: after SIGTERM, every so many steps, and never before the evaluation of an epoch."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from senti_tasks.errors import TrainingStoppedError
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


@pytest.mark.parametrize(("every_s", "step", "saves"), [(0.0, 7, True), (3600.0, 7, False), (0.0, 8, False)])
def test_a_checkpoint_comes_after_so_many_seconds(every_s: float, step: int, saves: bool, tmp_path: Path) -> None:
    """Never at the end of an epoch, where the Trainer saves one itself after the evaluation."""
    arguments = TrainingArguments(output_dir=str(tmp_path), num_train_epochs=3, report_to="none", use_cpu=True)
    state = TrainerState(max_steps=24, global_step=step)
    stop = StopAtCheckpoint(every_s=every_s)
    assert stop.on_step_end(arguments, state, TrainerControl()).should_save is saves


def test_the_seconds_count_from_the_last_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = iter([0.0, 599.0, 600.0, 600.0, 1199.0, 1200.0])
    monkeypatch.setattr("senti_tasks.training.checkpoints.monotonic", lambda: next(clock))
    arguments = TrainingArguments(output_dir=str(tmp_path), num_train_epochs=3, report_to="none", use_cpu=True)
    state, stop = TrainerState(max_steps=24, global_step=7), StopAtCheckpoint()

    def due() -> bool:
        return stop.on_step_end(arguments, state, TrainerControl()).should_save

    assert [due(), due()] == [False, True]
    stop.on_save(arguments, state, TrainerControl())
    assert [due(), due()] == [False, True]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGALRM])
def test_sigterm_and_sigalrm_request_the_stop(number: signal.Signals, tmp_path: Path) -> None:
    """Airflow ends a task that runs longer than its timeout with SIGALRM, whose handler would raise in mid-step."""

    def raising(_number: int, _frame: object) -> None:
        raise TimeoutError

    before: Callable[..., object] | int | None = signal.signal(number, raising)
    try:
        stop = StopAtCheckpoint()
        with stop.handling_signals():
            signal.raise_signal(number)
        assert stop.stop_requested
        assert signal.getsignal(number) is raising, "its earlier handler is back"
        arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
        with pytest.raises(TrainingStoppedError, match=f"stopped by {number.name} after step 7 of 24"):
            stop.on_save(arguments, TrainerState(max_steps=24, global_step=7), TrainerControl())
    finally:
        signal.signal(number, before)
