"""Pretraining on texts alone: it learns, it survives being killed, and what it leaves opens everywhere."""

import json
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
)

from senti_tasks.artifacts import folder_digest
from senti_tasks.config import PretrainConfig, TrainConfig
from senti_tasks.corpus import unlabelled
from senti_tasks.corpus.near_duplicates import NearDuplicates
from senti_tasks.errors import BaseModelError, TrainingStoppedError
from senti_tasks.hours import Pause
from senti_tasks.training.base_models import load_classifier, load_tokenizer
from senti_tasks.training.base_names import revision_of
from senti_tasks.training.loop import resumable
from senti_tasks.training.loop.interruptions import Interruptions
from senti_tasks.training.pretraining import _predict, pretrain
from tests.made_up_reviews import made_up_reviews
from tests.unit.training.test_fine_tuning import files_of

pytestmark = pytest.mark.usefixtures("small_encoder", "one_thread")

CONFIG = PretrainConfig.for_base_model("scratch:tiny", {"epochs": 3, "batch_size": 8, "held_out_share": 0.1})


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up reviews, about 160 of them."""
    folder = tmp_path_factory.mktemp("texts") / "frozen"
    selection = unlabelled.Selection(NearDuplicates(), 10**6)
    selection.offer([(review.review_id, review.text) for review in made_up_reviews(200)], lambda keys: {})
    unlabelled.write(selection, folder)
    return folder


def run(texts: Path, folder: Path, config: PretrainConfig = CONFIG, **more: Any) -> dict[str, Any]:
    return pretrain(texts, "scratch:tiny", config, folder / "checkpoints", folder / "output", device="cpu", **more)


def test_an_encoder_learns_to_predict_tokens_and_its_card_says_from_what(texts: Path, tmp_path: Path) -> None:
    reported: list[dict[str, Any]] = []
    result = run(texts, tmp_path, replace(CONFIG, epochs=8, learning_rate=5e-3), report=reported.append)
    history = result["history"]
    assert [row["epoch"] for row in history] == list(range(9))
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert history[-1]["accuracy"] > history[0]["accuracy"]
    assert result["texts"]["trained_on"] + result["texts"]["held_out"] == unlabelled.counts(texts)["kept"]
    output = tmp_path / "output"
    assert reported == history == json.loads((output / "history.json").read_text(encoding="utf-8"))
    card = (output / "README.md").read_text(encoding="utf-8")
    for part in (
        "# Encoder of reviews, from scratch:tiny",
        "| held out |",
        "near-duplicates",
        "| masked_share | 0.15 |",
    ):
        assert part in card
    assert str(tmp_path) not in card


def test_texts_and_configuration_decide_every_byte_also_after_kills(texts: Path, tmp_path: Path) -> None:
    """Uninterrupted; asked to stop in mid-epoch; broken off after a checkpoint of its own accord, and in an epoch's
    evaluation; paused after its first step."""
    whole = run(texts, tmp_path / "whole")
    steps = whole["steps"] // 3

    def terminate(row: dict[str, Any]) -> None:
        if row["epoch"] == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(TrainingStoppedError, match=rf"step {steps} of {3 * steps}: .* or run `senti pretrain` with"):
        run(texts, tmp_path / "stopped", report=terminate)
    assert run(texts, tmp_path / "stopped")["history"] == whole["history"]

    def crash(row: dict[str, Any]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(texts, tmp_path / "crashed", report=crash, interruptions=Interruptions(save_every_s=0))
    checkpoints = [path.name for path in (tmp_path / "crashed" / "checkpoints").glob("*/checkpoint-*")]
    assert checkpoints == [f"checkpoint-{2 * steps - 1}"], "in mid-epoch, and none between an epoch and its row"
    assert run(texts, tmp_path / "crashed")["history"] == whole["history"]

    now = datetime.now(UTC)
    pause = Pause(now, now + timedelta(hours=3))
    with pytest.raises(TrainingStoppedError, match=rf"step 1 of {3 * steps}: .* run `senti pretrain` with") as paused:
        run(texts, tmp_path / "paused", interruptions=Interruptions(pause=pause))
    assert paused.value.retry_at == pause.end
    assert run(texts, tmp_path / "paused")["history"] == whole["history"]
    expected = files_of(tmp_path / "whole" / "output")
    assert all(files_of(tmp_path / name / "output") == expected for name in ("stopped", "crashed", "paused"))


def test_classifiers_and_masked_language_models_load_the_same_encoder(texts: Path, tmp_path: Path) -> None:
    run(texts, tmp_path, replace(CONFIG, epochs=1))
    output = tmp_path / "output"
    saved = {name: weight for name, weight in load_file(output / "model.safetensors").items() if name[:5] == "bert."}
    predictor = AutoModelForMaskedLM.from_pretrained(output, use_safetensors=True)
    assert predictor.config.hidden_dropout_prob == 0.1, "what fine-tuning does is as the base model has it"
    tokenizer = load_tokenizer("pretrained:v1", ["房间很干净"], folder=output)
    classifier = load_classifier("pretrained:v1", tokenizer, TrainConfig(dropout=0.25), folder=output)
    for model in (predictor, AutoModelForSequenceClassification.from_pretrained(output), classifier):
        weights = model.state_dict()
        assert all((weights[name].numpy() == weight).all() for name, weight in saved.items())
    assert classifier.config.classifier_dropout == 0.25
    assert revision_of("pretrained:v1", output) == folder_digest(output)
    stored = json.loads((output / "tokenizer.json").read_text(encoding="utf-8"))
    assert json.loads(tokenizer.backend_tokenizer.to_str()) == stored, "it was fitted to its vocabulary before"


def test_pretraining_goes_on_where_the_base_model_in_a_folder_left_off(texts: Path, tmp_path: Path) -> None:
    first = run(texts, tmp_path / "first", replace(CONFIG, epochs=1))
    base = str(tmp_path / "first" / "output")
    config = replace(CONFIG, epochs=1, learning_rate=1e-4)
    second = pretrain(texts, base, config, tmp_path / "checkpoints", tmp_path / "second", device="cpu")
    assert second["base_revision"] == revision_of(base)
    assert second["history"][0]["loss"] == pytest.approx(first["history"][-1]["loss"])
    assert second["history"][1]["loss"] < second["history"][0]["loss"]


def test_a_cpu_that_multiplies_bf16_pretrains_in_it(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable, "cpu_capabilities", lambda: frozenset({"FP32"}))
    exact = run(texts, tmp_path / "fp32", replace(CONFIG, epochs=1))["history"]
    monkeypatch.setattr(resumable, "cpu_capabilities", lambda: frozenset({"FP32", "BF16"}))
    half = run(texts, tmp_path / "bf16", replace(CONFIG, epochs=1))["history"]
    for one, other in zip(exact, half, strict=True):
        assert 0 < abs(one["loss"] - other["loss"]) < 0.05
    weights = load_file(tmp_path / "bf16" / "output" / "model.safetensors").values()
    assert {weight.dtype.name for weight in weights} == {"float32"}


def test_without_its_folder_an_encoder_is_an_error() -> None:
    with pytest.raises(BaseModelError, match="pretrained:v1 is looked up in the warehouse"):
        revision_of("pretrained:v1")


@pytest.mark.parametrize("kind", ["bert", "electra"])
def test_the_head_reads_the_hidden_tokens_alone_and_says_the_same(kind: str) -> None:
    shape: dict[str, Any] = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "vocab_size": 50}
    shape["intermediate_size"] = 32
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**shape)) if kind == "bert" else ElectraForMaskedLM(ElectraConfig(**shape))
    model.train(False)
    ids = torch.randint(5, 50, (3, 7))
    labels = torch.where(torch.arange(21).reshape(3, 7) % 4 == 0, ids, -100)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    selected = torch.flatten(labels != -100).nonzero().flatten()
    logits, targets = _predict(model, batch | {"positions": torch.cat([selected, torch.tensor([1, 1])])})
    whole = model(**batch)
    assert targets.tolist() == [*labels[labels != -100].tolist(), -100, -100]
    torch.testing.assert_close(logits[:-2], whole.logits[labels != -100])
    torch.testing.assert_close(torch.nn.functional.cross_entropy(logits, targets), whole.loss)
