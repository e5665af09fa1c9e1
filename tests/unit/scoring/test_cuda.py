"""The same logits on a GPU. These tests run on a machine that has torch, transformers, numpy and pytest only."""

import logging
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from senti_tasks.scoring.engines.bert import Bert
from senti_tasks.scoring.engines.engine import Engine, Logits, run
from senti_tasks.scoring.engines.on_torch import PackedTorch, PaddedTorch
from senti_tasks.scoring.tokens import Tokens
from tests.unit.scoring.rows import logits_of, rows_of, rows_of_lengths

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")

PAD = 0
LENGTHS = (1, 17, 2, 128, 3, 3, 64, 31, 32, 33, 1, 90, 100, 127, 65, 5, 8, 13, 21, 2)
SHAPE: dict[str, Any] = {
    "vocab_size": 200,
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 512,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
}


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    torch.manual_seed(2026)
    return BertForSequenceClassification(BertConfig(**SHAPE)).state_dict()


def model_of(weights: dict[str, Any]) -> Any:
    """A copy of its own: an engine moves the weights it is given."""
    model: Any = BertForSequenceClassification(BertConfig(**SHAPE))
    model.load_state_dict(weights)
    return model.eval()


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return rows_of_lengths(LENGTHS)


@pytest.fixture(scope="module")
def expected(weights: dict[str, Any], tokens: Tokens) -> Logits:
    """What transformers computes on the CPU of each row alone."""
    model = model_of(weights)
    with torch.inference_mode():
        rows = [model(input_ids=torch.tensor([row])).logits for row in rows_of(tokens)]
    logits: Logits = torch.cat(rows).numpy()
    return logits


def engine_of(weights: dict[str, Any], kind: str, dtype: torch.dtype) -> Engine:
    model, device = model_of(weights), torch.device("cuda")
    return PackedTorch(Bert(model), device, dtype) if kind == "packed" else PaddedTorch(model, device, dtype, PAD)


@pytest.mark.parametrize("budget", [1, 130, 512, 4_096])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)], ids=["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["packed", "padded"])
def test_the_logits_are_those_of_transformers(
    kind: str, dtype: torch.dtype, tolerance: float, budget: int, weights: Any, tokens: Tokens, expected: Logits
) -> None:
    found = logits_of(engine_of(weights, kind, dtype), tokens, budget)
    np.testing.assert_allclose(found, expected, atol=tolerance * float(np.ptp(expected)))


def test_batches_in_the_queue_are_not_mixed_up(weights: Any) -> None:
    engine = engine_of(weights, "packed", torch.bfloat16)
    rows = rows_of_lengths(np.random.default_rng(7).integers(2, 128, 5_000).tolist())
    alone = logits_of(engine, rows, 1 << 20)
    for _ in range(3):
        np.testing.assert_allclose(logits_of(engine, rows, 512), alone, atol=0.02 * float(np.ptp(alone)))


def test_an_engine_that_was_left_in_the_middle_serves_the_next_rows(weights: Any, tokens: Tokens) -> None:
    engine = engine_of(weights, "packed", torch.bfloat16)
    whole = logits_of(engine, tokens, 128)
    for _ in range(10):
        next(run(engine, tokens, engine.batches(tokens.lengths, 64)))
    np.testing.assert_array_equal(logits_of(engine, tokens, 128), whole)


def test_memory_that_does_not_hold_a_batch_halves_the_batches(weights: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Through ``Scorer``, which is what halves them; the tokenizer gives each text the ids of its number."""
    from senti_tasks.scoring.config import ScoreConfig
    from senti_tasks.scoring.scorer import Scorer
    from senti_tasks.scoring.token_budget import TokenBudget

    rows = rows_of_lengths(np.random.default_rng(7).integers(2, 128, 20_000).tolist())
    tokenizer: Any = type("TextTokenizer", (), {"encode": staticmethod(lambda texts: rows), "max_length": 128})
    texts = [str(number) for number in range(20_000)]
    budget = 1 << 21

    def score(token_budget: int) -> Any:
        engine = engine_of(weights, "packed", torch.bfloat16)
        budget = TokenBudget(engine, token_budget)
        return Scorer(tokenizer, engine, 2, ScoreConfig(), chunk_rows=len(texts), token_budget=budget).predict(texts)

    plain = score(8_192)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (200 << 20)) / total)
    try:
        with caplog.at_level(logging.WARNING):
            found = score(budget)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert f"out of memory with batches of {budget} tokens" in caplog.text
    assert found.reasons == {}
    np.testing.assert_allclose(found.probabilities, plain.probabilities, atol=0.02)
