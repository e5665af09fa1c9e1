"""What the tests of scoring stand on: one thread, and models of a few kilobytes."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification


@pytest.fixture(scope="module", autouse=True)
def one_thread_each() -> Iterator[None]:
    """As ``one_thread``, and in force before the models that a module shares are made."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def deep_bert() -> Any:
    """A classifier of 3 layers that reads 128 tokens, its random weights wide enough that no two texts are alike."""
    config = BertConfig(
        vocab_size=200,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(2026)
        return BertForSequenceClassification(config).eval()  # type: ignore[no-untyped-call]
