"""When a checkpoint is written: after SIGTERM, every so many minutes, when a pause begins, and never before the
evaluation of an epoch."""

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from senti_tasks.errors import TrainingStoppedError
from senti_tasks.hours import Pause
from senti_tasks.training.loop.checkpoints import StopAtCheckpoint
from senti_tasks.training.loop.interruptions import Interruptions

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("step", "stop_requested", "saves"), [(7, False, False), (7, True, True), (8, True, False), (24, True, False)]
)
def test_a_checkpoint_comes_when_it_is_due_and_at_the_end_of_an_epoch_after_its_evaluation(
    step: int, stop_requested: bool, saves: bool, tmp_path: Path
) -> None:
    stop = StopAtCheckpoint(Interruptions())
    stop.stop_requested = stop_requested
    arguments = TrainingArguments(output_dir=str(tmp_path), num_train_epochs=3, report_to="none", use_cpu=True)
    state = TrainerState(max_steps=24, global_step=step)
    assert stop.on_step_end(arguments, state, TrainerControl()).should_save is saves


@pytest.mark.parametrize(("every_s", "step", "saves"), [(0.0, 7, True), (3600.0, 7, False), (0.0, 8, False)])
def test_a_checkpoint_comes_after_so_many_seconds(every_s: float, step: int, saves: bool, tmp_path: Path) -> None:
    """Never at the end of an epoch, where the Trainer saves one itself after the evaluation."""
    arguments = TrainingArguments(output_dir=str(tmp_path), num_train_epochs=3, report_to="none", use_cpu=True)
    state = TrainerState(max_steps=24, global_step=step)
    stop = StopAtCheckpoint(Interruptions(every_s))
    assert stop.on_step_end(arguments, state, TrainerControl()).should_save is saves


def test_the_seconds_count_from_the_last_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = iter([0.0, 599.0, 600.0, 600.0, 1199.0, 1200.0])
    monkeypatch.setattr("senti_tasks.training.loop.checkpoints.monotonic", lambda: next(clock))
    arguments = TrainingArguments(output_dir=str(tmp_path), num_train_epochs=3, report_to="none", use_cpu=True)
    state, stop = TrainerState(max_steps=24, global_step=7), StopAtCheckpoint(Interruptions())

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
        stop = StopAtCheckpoint(Interruptions())
        with stop.handling_signals():
            signal.raise_signal(number)
        assert stop.stop_requested
        assert signal.getsignal(number) is raising, "its earlier handler is back"
        arguments = TrainingArguments(output_dir=str(tmp_path), report_to="none", use_cpu=True)
        with pytest.raises(TrainingStoppedError, match=f"stopped by {number.name} after step 7 of 24"):
            stop.on_save(arguments, TrainerState(max_steps=24, global_step=7), TrainerControl())
    finally:
        signal.signal(number, before)


def test_a_pause_that_has_begun_ends_a_training_with_a_checkpoint_and_says_when_it_goes_on(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    arguments = TrainingArguments(output_dir=str(tmp_path), num_train_epochs=3, report_to="none", use_cpu=True)
    state = TrainerState(max_steps=24, global_step=7)
    before = StopAtCheckpoint(Interruptions(pause=Pause(now + HOUR, now + 2 * HOUR)))
    assert not before.on_step_end(arguments, state, TrainerControl()).should_save
    stop = StopAtCheckpoint(Interruptions(pause=Pause(now, now + HOUR)))
    assert stop.on_step_end(arguments, state, TrainerControl()).should_save
    with pytest.raises(TrainingStoppedError, match=r"SENTI_NO_TRAINING .* saved after step 7 of 24") as stopped:
        stop.on_save(arguments, state, TrainerControl())
    assert stopped.value.retry_at == now + HOUR


def test_no_training_begins_in_a_pause() -> None:
    now = datetime.now(UTC)
    Interruptions(pause=Pause(now + HOUR, now + 2 * HOUR)).refuse_to_begin_in_a_pause()
    with pytest.raises(
        TrainingStoppedError, match=f"before {now + HOUR:%Y-%m-%d %H:%M} UTC, because SENTI_NO_"
    ) as stopped:
        Interruptions(pause=Pause(now, now + HOUR)).refuse_to_begin_in_a_pause()
    assert stopped.value.retry_at == now + HOUR
