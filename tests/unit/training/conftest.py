from pathlib import Path

import pytest

from senti_tasks.config import TrainConfig
from senti_tasks.corpus import snapshot
from senti_tasks.training import base_names
from tests import small_training
from tests.made_up_reviews import made_up_reviews, splits_in_turn, write_corpus


@pytest.fixture(scope="session")
def tiny_config() -> TrainConfig:
    return small_training.config()


@pytest.fixture
def small_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base_names.SCRATCH, "scratch:tiny", small_training.SHAPE)


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 100 made-up reviews: 60 train, 20 validation, 20 test."""
    examples, dropped = snapshot.clean(made_up_reviews(100))
    return write_corpus(examples, splits_in_turn(examples), dropped, tmp_path_factory.mktemp("corpora") / "first")
