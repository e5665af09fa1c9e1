"""Several learning rates under a budget, the best of them, and a second chance after a collapse."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from senti_tasks.config import TrainConfig
from senti_tasks.errors import ConfigError
from senti_tasks.training import search
from senti_tasks.training.fine_tuning import train
from senti_tasks.training.trials import Outcome, Trial

SHAPE: dict[str, Any] = {
    "num_hidden_layers": 1,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 9,
}
RATES = TrainConfig(search_minutes=1).candidates()


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    return [Trial(config, tmp_path / str(number)) for number, config in enumerate(RATES)]


def took(seconds: float, trial: Trial) -> None:
    """As a call leaves it that was killed after so long."""
    trial.folder.mkdir(exist_ok=True)
    (trial.folder / "seconds.json").write_text(str(seconds), encoding="utf-8")


def finish(trial: Trial, macro_f1: float = 0.8, log_loss: float = 0.4) -> None:
    validation = {"macro_f1": macro_f1, "log_loss": log_loss, "accuracy": macro_f1}
    model = BertForSequenceClassification(BertConfig(**SHAPE))
    trial.finish(model, Outcome(history=[], best_epoch=1, validation=validation, steps=1, diverged=False))


def lasting(seconds: float) -> tuple[Callable[[Trial], None], list[float]]:
    """A training that says it took so long, and the learning rates that it was called for."""
    called: list[float] = []

    def train(trial: Trial) -> None:
        called.append(trial.config.learning_rate)
        took(trial.seconds + seconds, trial)
        finish(trial)

    return train, called


def test_the_rates_of_a_search_are_the_given_one_half_of_it_and_twice() -> None:
    assert [config.learning_rate for config in RATES] == [5e-5, 2.5e-5, 1e-4]
    assert TrainConfig().candidates() == [TrainConfig()]


@pytest.mark.parametrize(("seconds", "tried"), [(90, 1), (31, 1), (30, 2), (21, 2), (20, 3), (1, 3)])
def test_another_rate_is_tried_while_the_time_of_the_slowest_fits(
    seconds: float, tried: int, trials: list[Trial]
) -> None:
    train, called = lasting(seconds)
    finished = search.train_within_budget(trials, 60, train)
    assert finished == trials[:tried]
    assert called == [5e-5, 2.5e-5, 1e-4][:tried]


def test_the_time_before_a_kill_counts_and_nothing_is_trained_twice(trials: list[Trial]) -> None:
    took(25, trials[0])
    finish(trials[0])
    took(10, trials[1])
    train, called = lasting(5)
    assert search.train_within_budget(trials, 60, train) == trials[:2]
    assert called == [2.5e-5]
    assert trials[1].seconds == 15


def test_a_rate_under_way_goes_on_although_the_budget_is_spent(trials: list[Trial]) -> None:
    took(50, trials[0])
    finish(trials[0])
    took(40, trials[1])
    train, called = lasting(5)
    assert search.train_within_budget(trials, 60, train) == trials[:2]
    assert called == [2.5e-5]


def test_the_best_has_the_highest_macro_f1_then_the_lowest_log_loss_then_comes_first(trials: list[Trial]) -> None:
    one, two, three = trials
    for trial, macro_f1, log_loss in ((one, 0.8, 0.5), (two, 0.9, 0.5), (three, 0.9, 0.4)):
        finish(trial, macro_f1, log_loss)
    assert search.best([one, two, three]) is three
    assert search.best([one, two]) is two
    finish(one, 0.9, 0.4)
    assert search.best([one, two, three]) is one


def test_the_account_says_which_rates_were_left_out_for_want_of_time(trials: list[Trial]) -> None:
    train, _ = lasting(40)
    first, second, third = search.rate_rows(trials, search.train_within_budget(trials, 60, train))
    figures = {"macro_f1": 0.8, "log_loss": 0.4, "accuracy": 0.8}
    assert first == {"learning_rate": 5e-5, "tried": True, **figures, "seconds": 40.0}
    assert second == {"learning_rate": 2.5e-5, "tried": False, **dict.fromkeys(figures), "seconds": None}
    assert third["tried"] is False


# Real trainings


def run(corpus_folder: Path, config: TrainConfig, folder: Path, **more: Any) -> dict[str, Any]:
    return train(corpus_folder, "scratch:tiny", config, folder / "checkpoints", folder / "output", device="cpu", **more)


@pytest.mark.usefixtures("small_encoder")
def test_a_search_keeps_the_best_rate_also_after_a_kill_in_the_second(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(tiny_config, learning_rate=0.01, search_minutes=5)
    whole = run(corpus_folder, config, tmp_path / "whole")
    assert [row["tried"] for row in whole["rates"]] == [True] * 3
    chosen = max(whole["rates"], key=lambda row: (row["macro_f1"], -row["log_loss"]))
    assert whole["config"] == {**config.to_json(), "learning_rate": chosen["learning_rate"]}
    card = (tmp_path / "whole" / "output" / "README.md").read_text(encoding="utf-8")
    assert f"| learning_rate | {chosen['learning_rate']:g} |" in card

    trained: list[tuple[float, int]] = []

    def crash(row: dict[str, Any]) -> None:
        trained.append((row["peak_learning_rate"], row["epoch"]))
        if trained[-1] == (0.005, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(corpus_folder, config, tmp_path / "killed", report=crash)
    trained.clear()
    killed = run(
        corpus_folder,
        config,
        tmp_path / "killed",
        report=lambda row: trained.append((row["peak_learning_rate"], row["epoch"])),
    )
    assert trained == [(0.005, 2), (0.005, 3), (0.02, 1), (0.02, 2), (0.02, 3)]
    assert killed["weights_digest"] == whole["weights_digest"]
    assert killed["validation"] == whole["validation"]

    alone = run(corpus_folder, replace(tiny_config, learning_rate=chosen["learning_rate"]), tmp_path / "alone")
    assert alone["weights_digest"] == whole["weights_digest"]


@pytest.mark.usefixtures("small_encoder")
def test_a_collapsed_training_is_repeated_once_with_the_next_seed(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At a learning rate that no seed survives."""
    summary = run(corpus_folder, replace(tiny_config, learning_rate=0.9), tmp_path)
    assert summary["retried_after_collapse"] is True
    assert summary["config"]["seed"] == tiny_config.seed + 1
    assert "| seed | 2027 |" in (tmp_path / "output" / "README.md").read_text(encoding="utf-8")
    own = [record for record in caplog.records if record.name.startswith("senti_tasks")]  # transformers warns, too
    warnings = [record.message for record in own if record.levelname == "WARNING"]
    assert [warning.split(":")[0] for warning in warnings] == [
        "the training at learning rate 0.9 collapsed",
        "the training with seed 2027 collapsed too",
    ]
    assert (tmp_path / "output" / "model.safetensors").is_file(), "the gate gets to see it"


@pytest.mark.usefixtures("small_encoder")
def test_a_training_whose_weights_are_no_numbers_is_an_error_and_no_model(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    """A base model that has gone there already."""
    run(corpus_folder, tiny_config, tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "output")
    torch.nn.init.constant_(model.bert.pooler.dense.bias, math.nan)
    model.save_pretrained(tmp_path / "output")
    places = (tmp_path / "again", tmp_path / "nothing")
    with pytest.raises(ConfigError, match=r"diverged at learning rate 0.02: .* take a lower learning_rate"):
        train(corpus_folder, str(tmp_path / "output"), replace(tiny_config, epochs=1), *places, device="cpu")
    assert not places[1].exists()


@pytest.mark.usefixtures("small_encoder")
def test_a_healthy_training_is_not_repeated(corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path) -> None:
    summary = run(corpus_folder, tiny_config, tmp_path)
    assert (summary["retried_after_collapse"], summary["config"]) == (False, tiny_config.to_json())
    (row,) = summary["rates"]
    assert (row["learning_rate"], row["tried"]) == (0.02, True)
    json.dumps(summary, allow_nan=False)


@pytest.mark.usefixtures("small_encoder")
def test_a_training_that_its_budget_ended_is_not_repeated(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After one step with almost no learning rate, every row has the same label."""
    config = replace(tiny_config, budget_minutes=1e-6, learning_rate=1e-9)
    summary = run(corpus_folder, config, tmp_path)
    assert (summary["ended_by_budget"], summary["retried_after_collapse"], summary["steps"]) == (True, False, 1)
    assert "the training has learnt nothing yet: " in caplog.text
