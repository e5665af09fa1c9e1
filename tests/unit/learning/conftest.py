from pathlib import Path

import pytest

from senti_tasks.config import TrainConfig
from senti_tasks.learning import base_models, corpus
from tests.unit.learning.reviews import DUE, made_up_reviews, splits_in_turn


@pytest.fixture(scope="session")
def tiny_config() -> TrainConfig:
    return TrainConfig.for_base_model("scratch:tiny", {"epochs": 3, "batch_size": 8, "max_length": 64})


@pytest.fixture
def small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """``scratch:tiny``, smaller still: tests are about the training, not about what it reaches."""
    shape = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    monkeypatch.setitem(base_models.SCRATCH, "scratch:tiny", shape)


@pytest.fixture(scope="session")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 100 made-up reviews: 60 train, 20 validation, 20 test."""
    folder = tmp_path_factory.mktemp("corpora") / "first"
    examples, dropped = corpus.clean(made_up_reviews(100))
    splits = splits_in_turn(examples)
    texts = [example.text for example in examples if splits[example.split_key] == "train"]
    tokenizer = base_models.load_tokenizer("scratch:tiny", texts)
    corpus.freeze(examples, splits, dropped, DUE, "scratch:tiny", tokenizer, folder)
    return folder
