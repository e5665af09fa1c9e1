"""Training steps as CUDA graphs. The tests need a GPU, and of packages torch, transformers, accelerate and pytest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel, TrainerCallback

from senti_tasks.config import TrainConfig
from senti_tasks.training.loop.cuda_graphs import MODEL_TYPES, Batch, GraphedGradients
from senti_tasks.training.loop.resumable import ResumableTrainer, arguments_for, make_deterministic

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")

SHAPES = ((4, 16), (4, 32), (4, 16), (3, 16), (4, 32), (4, 16))


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    make_deterministic()
    yield
    torch.use_deterministic_algorithms(False)


def model_of(kind: str, dropout: float = 0.0) -> PreTrainedModel:
    torch.manual_seed(2026)
    config = AutoConfig.for_model(
        kind,
        vocab_size=100,
        embedding_size=64,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=66,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=0,
    )
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    model.cuda()  # type: ignore[call-arg]
    model.train()
    return model


def batch_of(rows: int, width: int, seed: int) -> Batch:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, width + 1, (rows,), generator=random)
    mask = (torch.arange(width) < lengths[:, None]).long()
    ids = torch.randint(5, 100, (rows, width), generator=random) * mask
    batch = {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(rows) % 2}
    return {name: part.cuda() for name, part in batch.items()}


def graphed(model: PreTrainedModel) -> GraphedGradients:
    return GraphedGradients(model, lambda batch: model(**batch).loss)


@pytest.mark.parametrize("kind", sorted(MODEL_TYPES))
def test_the_loss_and_the_gradients_are_those_of_a_backward_pass(kind: str) -> None:
    model, reference = model_of(kind), model_of(kind)
    gradients = graphed(model)
    for seed, (rows, width) in enumerate(SHAPES):
        batch = batch_of(rows, width, seed)
        loss = gradients(batch)
        found = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
        reference.zero_grad()
        expected = reference(**batch).loss
        expected.backward()
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-4, atol=1e-5)
        used = {name: one.grad for name, one in reference.named_parameters() if one.grad is not None}
        assert found.keys() == used.keys()
        for name, gradient in used.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_dropout_draws_anew_in_each_step_and_not_otherwise_when_a_shape_is_recorded_late() -> None:
    def losses(first: tuple[tuple[int, int], ...]) -> list[float]:
        """Of a fixed series of batches, after graphs for ``first`` are recorded."""
        model = model_of("bert", dropout=0.3)
        gradients = graphed(model)
        for rows, width in first:
            gradients(batch_of(rows, width, 0))
        torch.cuda.manual_seed(5)
        return [float(gradients(batch_of(4, width, 1))) for width in (16, 16, 32, 16, 32)]

    fresh = losses(())
    assert len(set(fresh)) == len(fresh), "no two steps drop the same"
    assert fresh == losses(((4, 32), (4, 16)))


class StopAfter(TrainerCallback):
    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
        control.should_save = control.should_training_stop = state.global_step == self._step
        return control


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_resumed_training_ends_with_the_same_weights(kind: str, tmp_path: Path) -> None:
    rows = [{"input_ids": list(range(5, 8 + number % 20)), "labels": number % 2} for number in range(40)]

    def collate(some: list[dict[str, Any]]) -> Batch:
        width = -(-max(len(row["input_ids"]) for row in some) // 8) * 8
        ids = torch.zeros(len(some), width, dtype=torch.int64)
        for one, row in zip(ids, some, strict=True):
            one[: len(row["input_ids"])] = torch.tensor(row["input_ids"])
        return {
            "input_ids": ids,
            "attention_mask": (ids > 0).long(),
            "labels": torch.tensor([r["labels"] for r in some]),
        }

    def train(folder: Path, checkpoint: Path | None = None, stop: int = 0) -> dict[str, torch.Tensor]:
        config = TrainConfig(epochs=2, batch_size=8, learning_rate=1e-3)
        more: dict[str, Any] = {"eval_strategy": "no", "save_strategy": "no"}
        model = model_of(kind, dropout=0.3)
        trainer = ResumableTrainer(
            model,
            args=arguments_for(config, folder, "cuda", **more),
            data_collator=collate,
            train_dataset=rows,
            callbacks=[StopAfter(stop)],
        )
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        assert (trainer._gradients is not None) == (kind in MODEL_TYPES)
        return {name: weight.cpu() for name, weight in model.state_dict().items()}

    whole = train(tmp_path / "whole")
    train(tmp_path / "parts", stop=3)
    resumed = train(tmp_path / "parts", tmp_path / "parts" / "checkpoint-3")
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())
