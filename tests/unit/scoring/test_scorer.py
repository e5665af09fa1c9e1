"""Texts in, probabilities out: in order, whatever the batches."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from senti_tasks.config import ScoreConfig
from senti_tasks.errors import ArtifactError, ConfigError
from senti_tasks.scoring import scorer
from senti_tasks.scoring.batches import by_length
from senti_tasks.scoring.scorer import Predictions, Scorer
from senti_tasks.scoring.tokens import Encoder
from tests.situations import MODEL_LENGTH, PHRASES

TEXTS = ["".join(PHRASES[start : start + size]) for start in range(12) for size in range(1, 5)]


@pytest.fixture(scope="module")
def tiny(model_folder: Path) -> Scorer:
    return scorer.load(model_folder, "cpu")


def one_by_one(model: Scorer, texts: list[str]) -> np.ndarray:
    return np.concatenate([model.predict([text]).probabilities for text in texts])


def test_the_order_is_kept(tiny: Scorer) -> None:
    found = tiny.predict(TEXTS)
    assert found.probabilities.shape == (len(TEXTS), 2)
    assert found.probabilities.dtype == np.float32
    np.testing.assert_allclose(found.probabilities, one_by_one(tiny, TEXTS), atol=1e-5)
    assert set(found.labels.tolist()) == {0, 1}


def test_a_text_gets_the_same_label_and_score_in_any_company(tiny: Scorer, model_folder: Path) -> None:
    shuffled = random.Random(7).sample(range(len(TEXTS)), len(TEXTS))  # noqa: S311
    crowded = scorer.load(model_folder, "cpu", ScoreConfig(token_budget=512)).predict([TEXTS[i] for i in shuffled])
    alone = tiny.predict(TEXTS)
    assert crowded.labels.tolist() == [alone.labels[i] for i in shuffled]
    np.testing.assert_allclose(crowded.scores, alone.scores[shuffled], atol=1e-3)


def test_probabilities_sum_to_one(tiny: Scorer) -> None:
    np.testing.assert_allclose(tiny.predict(TEXTS).probabilities.sum(axis=1), 1.0, atol=1e-6)


def test_empty_in_empty_out(tiny: Scorer) -> None:
    found = tiny.predict([])
    assert found.probabilities.shape == (0, 2)
    assert [len(column) for column in (found.labels, found.scores, found.confidences, found.truncated)] == [0, 0, 0, 0]


@pytest.mark.parametrize("text", ["😡", "😊😊😊", "！！！", "", "\u200b", "hello", "很好" * 50_000])
def test_any_text_gets_a_probability(text: str, tiny: Scorer) -> None:
    assert np.isfinite(tiny.predict([text]).probabilities).all()


def test_a_text_longer_than_the_model_reads_is_flagged(tiny: Scorer) -> None:
    room = MODEL_LENGTH - 2
    assert tiny.predict(["好" * room, "好" * (room + 1), "好"]).truncated.tolist() == [False, True, False]


def test_what_stands_behind_the_cut_does_not_count(tiny: Scorer) -> None:
    start = "很好" * MODEL_LENGTH
    found = tiny.predict([start + "，真的不错", start + "，再也不买了"])
    assert found.probabilities[0].tolist() == pytest.approx(found.probabilities[1].tolist())


def test_what_cannot_be_seen_does_not_count(tiny: Scorer) -> None:
    plain, hidden = tiny.predict(["味道不错 很好", "  味\u200b道不错\n\t很好\ufeff "]).probabilities
    assert plain.tolist() == hidden.tolist()


def test_a_long_text_keeps_its_last_special_token(model_folder: Path) -> None:
    encoder = Encoder(model_folder)
    (short, long), truncated = encoder.encode(["好", "好" * 1_000])
    assert truncated == [False, True]
    assert encoder.max_length == len(long) == MODEL_LENGTH
    assert (long[0], long[-1]) == (short[0], short[-1])


def test_a_score_is_the_expected_label_scaled() -> None:
    found = Predictions(np.array([[0.2, 0.8], [0.9, 0.1]], dtype=np.float32), np.array([False, False]))
    assert found.scores.tolist() == pytest.approx([0.8, 0.1])
    assert found.labels.tolist() == [1, 0]
    assert found.confidences.tolist() == pytest.approx([0.8, 0.9])
    five_stars = Predictions(np.array([[0, 0, 0.5, 0, 0.5]], dtype=np.float32), np.array([False]))
    assert five_stars.scores.tolist() == pytest.approx([0.75])


# Batches


def test_batches_hold_every_row_once_and_keep_to_the_budget() -> None:
    lengths = [random.Random(seed).randint(2, 512) for seed in range(300)]  # noqa: S311
    batches = list(by_length(lengths, 2_048))
    assert sorted(position for batch in batches for position in batch) == list(range(300))
    assert all(len(batch) * max(lengths[position] for position in batch) <= 2_048 for batch in batches)
    longest = [max(lengths[position] for position in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_a_row_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    assert list(by_length([3, 900, 4], 512)) == [[1], [2, 0]]


def test_no_rows_make_no_batch() -> None:
    assert list(by_length([], 512)) == []


# What is no model


@pytest.mark.parametrize("lost", ["tokenizer.json", "tokenizer_config.json", "config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused(lost: str, model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    (folder / lost).unlink()
    with pytest.raises(ArtifactError, match=r"is no model folder|holds no classifier that can be loaded"):
        scorer.load(folder, "cpu")


def test_a_pickle_is_not_loaded(model_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder, tmp_path / "model"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ArtifactError, match=r"holds no classifier that can be loaded"):
        scorer.load(folder, "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:1", ""])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"SENTI_DEVICE must be auto, cpu or cuda "):
        scorer.device_named(name)
