import json
import os
import shutil
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from senti_tasks.artifacts import weights_digest
from senti_tasks.config import TrainConfig
from senti_tasks.corpus import snapshot
from senti_tasks.errors import ConfigError, TrainingStoppedError
from senti_tasks.hours import Pause
from senti_tasks.progress import Progress
from senti_tasks.scoring.tokens import TextTokenizer
from senti_tasks.training import trials
from senti_tasks.training.fine_tuning import train
from senti_tasks.training.loop import resumable
from senti_tasks.training.loop.interruptions import Interruptions
from tests.made_up_reviews import made_up_reviews, splits_in_turn, write_corpus

pytestmark = pytest.mark.usefixtures("small_encoder")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(corpus_folder: Path, config: TrainConfig, folder: Path, **more: Any) -> dict[str, Any]:
    return train(corpus_folder, "scratch:tiny", config, folder / "checkpoints", folder / "output", device="cpu", **more)


def test_a_trained_model_is_a_folder_that_any_tool_opens(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="senti_tasks")
    reported: list[dict[str, Any]] = []
    summary = run(corpus_folder, tiny_config, tmp_path, report=reported.append)
    output = tmp_path / "output"
    assert sorted(files_of(output)) == [
        "README.md",
        "config.json",
        "history.json",
        "model.safetensors",
        "text_profile.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    model = AutoModelForSequenceClassification.from_pretrained(output, use_safetensors=True)
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert model.config.classifier_dropout == tiny_config.dropout
    assert AutoTokenizer.from_pretrained(output).model_max_length == tiny_config.max_length
    assert (summary["base_revision"], summary["steps"]) == (None, 24)
    assert summary["epochs_run"] == len(summary["history"]) == 3
    assert summary["validation"]["rows"] == 20
    assert summary["validation"]["macro_f1"] == max(row["macro_f1"] for row in summary["history"])
    attempt = {"peak_learning_rate": 0.02, "seed": 2026}
    assert reported == [{**attempt, **row} for row in summary["history"]]
    assert summary["history"] == json.loads((output / "history.json").read_text(encoding="utf-8"))
    assert len([record for record in caplog.records if record.message.startswith("epoch")]) == 3


def test_the_card_says_what_the_model_is(corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path) -> None:
    run(corpus_folder, replace(tiny_config, epochs=1), tmp_path)
    card = (tmp_path / "output" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlanguage: zh\n")
    assert "scratch:tiny is not a pretrained model" in card
    assert "`first`: 60 train, 20 validation, 20 test reviews." in card
    assert "| learning_rate | 0.02 |" in card
    assert str(tmp_path) not in card


def test_seed_and_corpus_decide_every_byte_also_after_kills(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    """Uninterrupted; broken off while epoch 2 is evaluated; asked to stop in mid-epoch, half a checkpoint left."""
    run(corpus_folder, tiny_config, tmp_path / "whole")

    def crash(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(corpus_folder, tiny_config, tmp_path / "crashed", report=crash)
    again = run(corpus_folder, tiny_config, tmp_path / "crashed")
    assert again["epochs_run"] == 3

    def terminate(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingStoppedError, match=r"stopped by SIGTERM after step (16|17) of 24"):
        run(corpus_folder, tiny_config, tmp_path / "stopped", report=terminate)
    assert signal.getsignal(signal.SIGTERM) is before
    (checkpoints,) = (tmp_path / "stopped" / "checkpoints").iterdir()
    newest = max(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    half = checkpoints / "checkpoint-20"
    shutil.copytree(newest, half)
    (half / "trainer_state.json").write_text('{"global_step": 20, "log_hi', encoding="utf-8")
    run(corpus_folder, tiny_config, tmp_path / "stopped")
    whole = files_of(tmp_path / "whole" / "output")
    assert files_of(tmp_path / "crashed" / "output") == whole
    stopped = files_of(tmp_path / "stopped" / "output")
    assert stopped["model.safetensors"] == whole["model.safetensors"]
    assert stopped["tokenizer.json"] == whole["tokenizer.json"]


def test_a_training_that_every_pause_breaks_off_ends_with_the_weights_of_an_unbroken_one(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path, one_thread: None
) -> None:
    """Each attempt but the last takes one step, saves a checkpoint and stops: in mid-epoch, or at the end of one."""
    config = replace(tiny_config, epochs=2, batch_size=32)
    whole = run(corpus_folder, config, tmp_path / "whole")
    stops: list[str] = []
    for _ in range(3):
        now = datetime.now(UTC)
        pause = Pause(now, now + timedelta(hours=3))
        with pytest.raises(TrainingStoppedError) as stopped:
            run(corpus_folder, config, tmp_path / "broken", interruptions=Interruptions(pause=pause))
        assert stopped.value.retry_at == pause.end
        stops.append(str(stopped.value).partition("saved after step ")[2].partition(":")[0])
    assert stops == ["1 of 4", "2 of 4", "3 of 4"]
    resumed = run(corpus_folder, config, tmp_path / "broken")
    assert resumed["weights_digest"] == whole["weights_digest"]
    assert resumed["history"] == whole["history"]


def test_balance_and_layer_decay_survive_a_kill_too(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(tiny_config, balance_classes=True, layer_decay=0.5)

    def crash(row: dict[str, Any]) -> None:
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(corpus_folder, config, tmp_path / "crashed", report=crash)
    resumed, whole = (run(corpus_folder, config, tmp_path / name) for name in ("crashed", "whole"))
    assert resumed["weights_digest"] == whole["weights_digest"]
    assert resumed["history"] == whole["history"]
    plain = run(corpus_folder, replace(config, layer_decay=1.0), tmp_path / "plain")
    assert plain["weights_digest"] != whole["weights_digest"]
    rates = [[row["learning_rate"] for row in summary["history"]] for summary in (plain, whole)]
    assert rates[0] == rates[1], "the rate that gets logged is the full one"


def test_one_seed_and_corpus_give_one_digest_of_weights_and_another_seed_another(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(tiny_config, epochs=2)
    one, two, other = (
        run(corpus_folder, changed, tmp_path / str(number))["weights_digest"]
        for number, changed in enumerate((config, config, replace(config, seed=1)))
    )
    assert one == two == weights_digest(tmp_path / "0" / "output")
    assert one != other


def test_balanced_classes_bring_out_a_label_that_is_rare(tiny_config: TrainConfig, tmp_path: Path) -> None:
    """Ten positive reviews to a negative one: left to themselves, three epochs find none of the negative ones."""
    rare = [review for number, review in enumerate(made_up_reviews(200)) if review.label or number % 20 == 0]
    examples, dropped = snapshot.clean(rare)
    splits = {
        key: split
        for label in (0, 1)
        for key, split in splits_in_turn([example for example in examples if example.label == label]).items()
    }
    folder = write_corpus(examples, splits, dropped, tmp_path / "rare")
    found = {}
    for balanced in (False, True):
        config = replace(tiny_config, learning_rate=0.01, balance_classes=balanced)
        found[balanced] = run(folder, config, tmp_path / str(balanced))["validation"]
    assert found[False]["confusion_0_0"] == 0 < found[True]["confusion_0_0"]


def test_a_scorer_cuts_long_reviews_as_the_model_was_trained(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    run(corpus_folder, replace(tiny_config, epochs=1, head_tokens=10), tmp_path)
    tokenizer = TextTokenizer.load(tmp_path / "output")
    ids = tokenizer.encode(["好" * 40 + "差" * 60]).ids.tolist()
    good, bad = (tokenizer.encode([text]).ids.tolist()[1] for text in ("好", "差"))
    assert ids[1:-1] == [good] * 10 + [bad] * 52
    assert "Of reviews longer than 64 tokens, the first 10 are read and then the last ones." in (
        tmp_path / "output" / "README.md"
    ).read_text(encoding="utf-8")


def test_a_cpu_that_multiplies_bf16_trains_in_it(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which every CPU can, if slowly; the weights stay in fp32."""
    config = replace(tiny_config, epochs=1)
    monkeypatch.setattr(resumable, "cpu_capabilities", lambda: frozenset({"FP32"}))
    run(corpus_folder, config, tmp_path / "fp32")
    monkeypatch.setattr(resumable, "cpu_capabilities", lambda: frozenset({"FP32", "BF16"}))
    run(corpus_folder, config, tmp_path / "bf16")
    exact, half = (load_file(tmp_path / name / "output" / "model.safetensors") for name in ("fp32", "bf16"))
    assert {weight.dtype for weight in half.values()} == {weight.dtype for weight in exact.values()}
    apart = max(float(abs(exact[name] - half[name]).max()) for name in exact)
    assert 0 < apart < 0.05


def test_early_stopping_keeps_the_best_epoch_and_stays_stopped(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(tiny_config, learning_rate=1e-9, epochs=5, patience=1)
    first = run(corpus_folder, config, tmp_path)
    assert (first["epochs_run"], first["best_epoch"]) == (2, 1)
    before = files_of(tmp_path / "output")
    second = run(corpus_folder, config, tmp_path)  # as after a kill between the last checkpoint and the output
    assert second["epochs_run"] == 2
    assert files_of(tmp_path / "output") == before


def test_checkpoints_of_another_configuration_are_not_used(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    run(corpus_folder, tiny_config, tmp_path)
    summary = run(corpus_folder, replace(tiny_config, learning_rate=0.01), tmp_path)
    assert summary["history"][0]["learning_rate"] < 0.01
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_frozen_encoder_keeps_its_weights(corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path) -> None:
    for rate in (1e-3, 1e-2):
        run(
            corpus_folder, replace(tiny_config, epochs=1, freeze_encoder=True, learning_rate=rate), tmp_path / str(rate)
        )
    one, two = (load_file(tmp_path / name / "output" / "model.safetensors") for name in ("0.001", "0.01"))
    changed = {name for name in one if (one[name] != two[name]).any()}
    assert changed == {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}


def test_a_device_that_is_not_there_is_an_error(corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"SENTI_DEVICE must be auto, cpu or cuda .*'cuda:7'"):
        train(corpus_folder, "scratch:tiny", tiny_config, tmp_path, tmp_path, device="cuda:7")


def test_a_budget_that_is_over_ends_a_training_and_keeps_the_best_epoch(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its first step uses it up: 8 of 60 reviews, of the first of three epochs."""
    seen: list[Progress] = []
    config = replace(tiny_config, budget_minutes=1e-6)
    summary = run(corpus_folder, config, tmp_path, watch=seen.append)
    assert (summary["ended_by_budget"], summary["epochs_planned"]) == (True, 3)
    assert (summary["steps"], summary["epochs_run"], summary["best_epoch"]) == (1, 1, 1)
    assert summary["validation"]["rows"] == 20
    assert "the budget of 0:00 min ends the training after 0.1 of 3 epochs; the best epoch so far" in caplog.text
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "output").num_labels == 2
    first = seen[0]
    assert (first.what, first.total, first.unit, first.left_s) == ("training, epoch 1 of 3", 180, "reviews", 0.0)


def test_a_budget_that_ended_a_training_takes_no_further_step_after_a_kill(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    """Killed after the evaluation, when the checkpoint is there and the outcome is not."""
    config = replace(tiny_config, budget_minutes=1e-6)
    seen: list[Path] = []

    def crash(trial: trials.Trial, *arguments: Any) -> None:
        seen.extend(trial.folder.glob("checkpoint-*"))
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trials.Trial, "finish", crash)
        run(corpus_folder, config, tmp_path)
    assert [path.name for path in seen] == ["checkpoint-1"]
    again = run(corpus_folder, config, tmp_path)
    assert (again["steps"], again["epochs_run"], again["ended_by_budget"]) == (1, 1, True)


def test_a_budget_that_suffices_changes_no_byte_of_the_weights(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path
) -> None:
    config = replace(tiny_config, epochs=1)
    run(corpus_folder, config, tmp_path / "without")
    with_budget = run(corpus_folder, replace(config, budget_minutes=60.0), tmp_path / "with")
    assert not with_budget["ended_by_budget"]
    files = [files_of(tmp_path / name / "output")["model.safetensors"] for name in ("without", "with")]
    assert files[0] == files[1]


def test_a_training_says_how_far_it_is(
    corpus_folder: Path, tiny_config: TrainConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="senti_tasks")
    seen: list[Progress] = []
    run(corpus_folder, tiny_config, tmp_path, watch=seen.append)
    assert seen[0].done in range(1, 181)
    assert [one.done for one in seen] == sorted(one.done for one in seen)
    logged = [found for record in caplog.records if (found := Progress.parse(record.getMessage())) is not None]
    assert logged[0].what == "training, epoch 1 of 3"
