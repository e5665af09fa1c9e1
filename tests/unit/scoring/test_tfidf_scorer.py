"""TF-IDF as a model: the probabilities of scikit-learn, from plain files, whatever stands beside a text."""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from senti_tasks.errors import ArtifactError
from senti_tasks.judging.baseline import Baseline
from senti_tasks.labels import LabelSet
from senti_tasks.scoring import loading
from senti_tasks.scoring.scorer import Scorer
from senti_tasks.scoring.tfidf.ngrams import NgramTokenizer
from senti_tasks.text import normalise
from tests.made_up_reviews import made_up_reviews
from tests.unit.scoring.rows import rows_of

ODD = [
    "IT IS OK, 5分！", "İstanbul ΣΑΣ", "👍👍👍", "很好很好很好很好", "a", "太 差", "𠮷野家", "\u200b好\n\n好\t好",
    "x" * 5_000, "一个字也没见过：囧囧囧",
]  # fmt: skip


def texts_and_labels(rows: int, n_labels: int = 2) -> tuple[list[str], list[int]]:
    draw = random.Random(3)  # noqa: S311
    reviews = made_up_reviews(rows)
    texts = [f"{one.text}{draw.choice(['OK', 'ok', '，，', ' 8分', '👍', ''])}" for one in reviews]
    return texts, [(one.label or 0) + (index % 3 == 0 and n_labels == 3) for index, one in enumerate(reviews)]


@pytest.fixture(scope="module")
def fitted() -> Baseline:
    texts, labels = texts_and_labels(400)
    return Baseline().fit(texts[:300] + [normalise(text) for text in ODD], labels[:300] + [0, 1] * 5)


@pytest.fixture(scope="module")
def folder(fitted: Baseline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("tfidf")
    fitted.model.save(written, {0: "negative", 1: "positive"})
    return written


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Scorer:
    return loading.load(folder, "fp32", "cpu")


def test_its_probabilities_are_those_of_scikit_learn(fitted: Baseline, scorer: Scorer) -> None:
    texts = [*texts_and_labels(400)[0], *ODD]
    found = scorer.predict(texts)
    np.testing.assert_allclose(found.complete, fitted.predict([normalise(text) for text in texts]), atol=1e-6)
    assert set(found.labels.tolist()) == {0, 1}
    assert not found.truncated.any()


@pytest.mark.parametrize("present", [(0, 1, 2), (0, 2)])
def test_three_labels_and_one_of_three_that_no_text_had(present: tuple[int, ...], tmp_path: Path) -> None:
    texts, labels = texts_and_labels(300, 3)
    kept = [row for row, label in enumerate(labels) if label in present]
    baseline = Baseline(3).fit([texts[row] for row in kept], [labels[row] for row in kept])
    baseline.model.save(tmp_path, LabelSet(("bad", "middling", "good")).names)
    found = loading.load(tmp_path).predict(texts).complete
    np.testing.assert_allclose(found, baseline.predict(texts), atol=1e-6)
    assert found.shape == (300, 3)
    if 1 not in present:
        assert not found[:, 1].any()


def test_a_probability_is_the_same_to_the_last_bit_in_any_company(scorer: Scorer, folder: Path) -> None:
    texts = [*texts_and_labels(200)[0], *ODD]
    together = scorer.predict(texts).probabilities
    alone = loading.load(folder)
    random.Random(1).shuffle(order := list(range(len(texts))))  # noqa: S311
    for row in order[:60]:
        assert (alone.predict([texts[row]]).probabilities[0] == together[row]).all()


def test_a_text_of_nothing_known_is_answered_by_the_intercept_and_a_blank_one_has_a_reason(scorer: Scorer) -> None:
    found = scorer.predict(["囧", None, "  ", "㍿"])
    assert found.reasons == {1: "the text is blank", 2: "the text is blank"}
    assert (found.probabilities[0] == found.probabilities[3]).all()


def test_the_tokenizer_finds_the_ngrams_of_the_vocabulary_and_no_others() -> None:
    draw, letters = random.Random(5), "好坏吃贵 a,。👍"  # noqa: S311
    texts = ["".join(draw.choices(letters, k=draw.randint(1, 30))) for _ in range(300)]
    clean = [normalise(text) for text in texts]
    grams = Counter(text[i : i + n] for text in clean for n in (1, 2, 3) for i in range(len(text) - n + 1))
    vocabulary = sorted(draw.sample(sorted(grams), len(grams) // 2))
    numbers = {ngram: number for number, ngram in enumerate(vocabulary)}
    found = NgramTokenizer(vocabulary).encode(texts)
    for row, text in zip(rows_of(found), clean, strict=True):
        expected = [text[i : i + n] for n in (1, 2, 3) for i in range(len(text) - n + 1)]
        assert sorted(row) == sorted(numbers[ngram] for ngram in expected if ngram in numbers)


def test_no_ngram_goes_from_one_text_to_the_next() -> None:
    found = NgramTokenizer(["好坏", "坏好", "好坏好", "好"]).encode(["好", "坏", "", "好坏", "好"])
    assert [sorted(row) for row in rows_of(found)] == [[3], [], [], [0, 3], [3]]


def test_an_empty_vocabulary_and_no_text_at_all() -> None:
    assert NgramTokenizer([]).encode(["好", "坏"]).lengths.tolist() == [0, 0]
    assert NgramTokenizer(["好"]).encode([]).offsets.tolist() == [0]


def test_an_ngram_of_four_characters_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 3 characters, found 1 to 4"):
        NgramTokenizer(["好", "非常之好"])


def test_nothing_in_its_folder_is_pickled(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors", "vocabulary.json"]
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert (config["model_type"], config["id2label"]) == ("tfidf", {"0": "negative", "1": "positive"})


def test_files_that_do_not_belong_together_are_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "weights": weights["weights"][:, 1:].copy()}, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match="do not belong together"):
        loading.load(tmp_path)
    (tmp_path / "vocabulary.json").unlink()
    with pytest.raises(ArtifactError, match="no TF-IDF model"):
        loading.load(tmp_path)
