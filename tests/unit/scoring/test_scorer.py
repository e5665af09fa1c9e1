"""Texts in, probabilities out: in order, each once, whatever the batches, and whatever stands beside them."""

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from senti_tasks.errors import ArtifactError
from senti_tasks.scoring import loading
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.scoring.predictions import Predictions
from senti_tasks.scoring.scorer import Scorer
from senti_tasks.scoring.token_budget import TokenBudget
from senti_tasks.scoring.tokens import TextTokenizer
from tests.situations import MODEL_LENGTH, PHRASES
from tests.unit.scoring.rows import rows_of
from tests.unit.scoring.toy import Row, Toy, out_of_memory

TEXTS = ["".join(PHRASES[start : start + size]) for start in range(12) for size in range(1, 5) if start + size <= 12]
ROOM = MODEL_LENGTH - 2
BLANK = "the text is blank"


@pytest.fixture(scope="module")
def tiny(model_folder: Path) -> Scorer:
    return loading.load(model_folder, "fp32", "cpu")


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> TextTokenizer:
    return TextTokenizer.load(model_folder)


@pytest.fixture
def scorer_on(tokenizer: TextTokenizer) -> Callable[..., Scorer]:
    """A scorer on a toy engine: ``scorer_on(toy, remembered_texts=…, temperature=…)``."""

    def build(toy: Toy, **values: Any) -> Scorer:
        config = {name: values.pop(name) for name in ("chunk_rows", "remembered_texts") if name in values}
        if "token_budget" in values:
            values["token_budget"] = TokenBudget(toy, values["token_budget"])
        return Scorer(tokenizer, toy, 2, ScoreConfig(**config), **values)

    return build


def row_of(tokenizer: TextTokenizer, text: str) -> Row:
    return tuple(rows_of(tokenizer.encode([text]))[0])


def one_by_one(scorer: Scorer, texts: Sequence[str]) -> np.ndarray:
    return np.concatenate([scorer.predict([text]).probabilities for text in texts])


def in_windows(texts: Sequence[str], rows: int) -> Iterator[tuple[int, Sequence[str]]]:
    return ((start, texts[start : start + rows]) for start in range(0, len(texts), rows))


# Order and company


def test_the_order_is_kept(tiny: Scorer, model_folder: Path) -> None:
    found = tiny.predict(TEXTS)
    assert found.probabilities.shape == (len(TEXTS), 2)
    assert found.probabilities.dtype == np.float32
    forgetful = loading.load(model_folder, "fp32", "cpu", ScoreConfig(remembered_texts=0))
    np.testing.assert_allclose(found.probabilities, one_by_one(forgetful, TEXTS), atol=1e-5)
    assert set(found.labels.tolist()) == {0, 1}


@pytest.mark.parametrize("config", [{"token_budget": 512}, {"chunk_rows": 1}, {"chunk_rows": 7}, {}])
def test_a_text_gets_the_same_label_and_score_in_any_company(
    config: dict[str, Any], tiny: Scorer, model_folder: Path
) -> None:
    shuffled = random.Random(7).sample(range(len(TEXTS)), len(TEXTS))  # noqa: S311
    crowded = loading.load(model_folder, "fp32", "cpu", ScoreConfig(**config)).predict([TEXTS[i] for i in shuffled])
    alone = tiny.predict(TEXTS)
    assert crowded.labels.tolist() == [alone.labels[i] for i in shuffled]
    np.testing.assert_allclose(crowded.scores, alone.scores[shuffled], atol=1e-3)


def test_probabilities_sum_to_one(tiny: Scorer) -> None:
    np.testing.assert_allclose(tiny.predict(TEXTS).probabilities.sum(axis=1), 1.0, atol=1e-6)


def test_empty_in_empty_out(tiny: Scorer) -> None:
    found = tiny.predict([])
    assert found.probabilities.shape == (0, 2)
    assert [len(column) for column in (found.labels, found.scores, found.confidences, found.truncated)] == [0, 0, 0, 0]
    assert found.reasons == {}
    assert list(tiny.stream([])) == []


def test_what_stands_behind_the_cut_does_not_count(tiny: Scorer) -> None:
    start = "很好" * MODEL_LENGTH
    found = tiny.predict([start + "，真的不错", start + "，再也不买了"])
    assert found.probabilities[0].tolist() == found.probabilities[1].tolist()


def test_what_cannot_be_seen_does_not_count(tiny: Scorer) -> None:
    plain, hidden = tiny.predict(["味道不错 很好", "  味\u200b道不错\n\t很好\ufeff "]).probabilities
    assert plain.tolist() == hidden.tolist()


def test_a_text_longer_than_the_model_reads_is_flagged(tiny: Scorer) -> None:
    found = tiny.predict(["好" * ROOM, "好" * (ROOM + 1), "好"])
    assert found.truncated.tolist() == [False, True, False]
    assert found.probabilities[0].tolist() == found.probabilities[1].tolist()  # cut, they are the same


# Temperature


def test_a_temperature_changes_confidences_and_no_label(model_folder: Path) -> None:
    plain = loading.load(model_folder, "fp32", "cpu").predict(TEXTS)
    calm = loading.load(model_folder, "fp32", "cpu", temperature=2.0).predict(TEXTS)
    assert calm.labels.tolist() == plain.labels.tolist()
    assert (calm.confidences < plain.confidences).all()
    assert (calm.confidences > 0.5).all()


def test_a_temperature_divides_the_logits(scorer_on: Callable[..., Scorer]) -> None:
    plain, calm = (scorer_on(Toy(), temperature=t).predict(TEXTS).probabilities.astype(float) for t in (1.0, 4.0))
    odds = [np.log(found[:, 1] / found[:, 0]) for found in (plain, calm)]
    np.testing.assert_allclose(odds[0], 4 * odds[1], atol=1e-4)


def test_logits_of_any_size_make_probabilities(scorer_on: Callable[..., Scorer]) -> None:
    found = scorer_on(Toy(), temperature=1e-6).predict(TEXTS)
    assert set(found.probabilities.flatten().tolist()) == {0.0, 1.0}
    assert found.reasons == {}


# Windows


def test_chunks_come_back_in_order_with_what_they_were_handed_in_with(tiny: Scorer) -> None:
    whole = tiny.predict(TEXTS)
    chunks: list[tuple[str, Sequence[str | None]]] = [
        ("前", TEXTS[:5]),
        ("空", []),
        ("坏", [None, " "]),
        ("后", TEXTS[5:]),
    ]
    streamed = list(tiny.stream(chunks, expected=len(TEXTS)))
    assert [tag for tag, _ in streamed] == ["前", "空", "坏", "后"]
    first, empty, bad, last = (found for _, found in streamed)
    np.testing.assert_array_equal(np.concatenate([first.labels, last.labels]), whole.labels)
    assert empty.probabilities.shape == (0, 2)
    assert bad.reasons == {0: BLANK, 1: BLANK}


def test_chunks_are_read_two_ahead_and_no_further(scorer_on: Callable[..., Scorer]) -> None:
    read = []

    def chunks() -> Iterator[tuple[int, Sequence[str]]]:
        for start, texts in in_windows(TEXTS, 2):
            read.append(start)
            yield start, texts

    for start, _ in scorer_on(Toy()).stream(chunks()):
        assert max(read) <= start + 4
    assert len(read) == len(TEXTS) // 2


def test_the_next_chunk_is_begun_before_the_last_batches_of_one_are_done(scorer_on: Callable[..., Scorer]) -> None:
    toy = Toy(at_once=3)
    chunks = scorer_on(toy, remembered_texts=0).stream(in_windows(TEXTS, 2))
    next(chunks)
    assert len(toy.computed) > 2


def test_positions_of_reasons_count_through_all_chunks(scorer_on: Callable[..., Scorer]) -> None:
    texts: list[str | None] = [*TEXTS[:5], None, *TEXTS[5:9], "\0"]
    found = scorer_on(Toy(), chunk_rows=4).predict(texts)
    assert sorted(found.reasons) == [5, 10]
    assert found.labels[[5, 10]].tolist() == [-1, -1]


def test_an_error_of_the_reader_of_chunks_comes_out(tiny: Scorer) -> None:
    def chunks() -> Iterator[tuple[int, Sequence[str]]]:
        yield 0, TEXTS
        raise OSError("the database went away")

    streamed = tiny.stream(chunks())
    assert next(streamed)[0] == 0
    with pytest.raises(OSError, match="the database went away"):
        next(streamed)


# Each text once


def test_a_text_that_comes_several_times_is_computed_once(
    tokenizer: TextTokenizer, scorer_on: Callable[..., Scorer]
) -> None:
    toy = Toy()
    found = scorer_on(toy).predict([*TEXTS, *TEXTS[::-1], *TEXTS])
    assert sorted(toy.computed) == sorted(row_of(tokenizer, text) for text in TEXTS)
    forward, backward, again = np.split(found.probabilities, 3)
    assert forward.tolist() == backward[::-1].tolist() == again.tolist()
    assert forward.tolist() == scorer_on(Toy()).predict(TEXTS).probabilities.tolist()


@pytest.mark.parametrize("texts", [["很 好", " 很  好\n"], ["WiFi很好", "wifi很好"], ["好" * ROOM, "好" * (ROOM + 9)]])
def test_texts_of_the_same_tokens_are_computed_once(texts: list[str], scorer_on: Callable[..., Scorer]) -> None:
    toy = Toy()
    one, other = scorer_on(toy).predict(texts).probabilities
    assert len(toy.computed) == 1
    assert one.tolist() == other.tolist()


def test_a_text_seen_in_an_earlier_chunk_is_not_computed_again(scorer_on: Callable[..., Scorer]) -> None:
    toy = Toy()
    scorer = scorer_on(toy)
    chunks = [TEXTS[:6], TEXTS[3:9], TEXTS[:9]]
    found = [predictions.probabilities.tolist() for _, predictions in scorer.stream(enumerate(chunks))]
    again = scorer.predict(TEXTS[:9]).probabilities.tolist()
    assert len(toy.computed) == 9
    assert found == [again[:6], again[3:9], again]


def test_a_text_that_an_open_chunk_computes_is_not_computed_again(scorer_on: Callable[..., Scorer]) -> None:
    toy = Toy(at_once=9)
    chunks = [TEXTS[:4], TEXTS[2:6], TEXTS[2:4], TEXTS[:6]]
    streamed = scorer_on(toy, remembered_texts=0).stream(enumerate(chunks))
    found = [predictions.probabilities.tolist() for _, predictions in streamed]
    whole = scorer_on(Toy()).predict(TEXTS).probabilities.tolist()
    assert found == [whole[:4], whole[2:6], whole[2:4], whole[:6]]
    assert len(toy.computed) < sum(map(len, chunks))


def test_nothing_is_remembered_when_so_configured(scorer_on: Callable[..., Scorer]) -> None:
    toy = Toy()
    scorer = scorer_on(toy, remembered_texts=0)
    once, twice = scorer.predict(TEXTS).probabilities, scorer.predict([*TEXTS, *TEXTS]).probabilities
    assert len(toy.computed) == 2 * len(TEXTS)
    assert twice.tolist() == [*once.tolist(), *once.tolist()]


def test_the_texts_seen_last_are_remembered(scorer_on: Callable[..., Scorer]) -> None:
    toy = Toy()
    scorer = scorer_on(toy, remembered_texts=2)
    first, second, third = TEXTS[:3]
    for texts in ([first, second], [first], [third]):  # first was seen after second
        scorer.predict(texts)
    computed = len(toy.computed)
    scorer.predict([first, third])
    assert len(toy.computed) == computed
    scorer.predict([second])
    assert len(toy.computed) == computed + 1


def test_another_scorer_remembers_nothing_of_this_one(scorer_on: Callable[..., Scorer]) -> None:
    toy = Toy()
    for _ in range(2):
        scorer_on(toy).predict(TEXTS)
    assert len(toy.computed) == 2 * len(TEXTS)


# Out of memory


@pytest.mark.parametrize(
    "error",
    [
        out_of_memory,
        MemoryError,
        lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        lambda: RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 68719476736 bytes."),
        lambda: RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:79: std::bad_alloc"),
    ],
)
def test_batches_are_halved_until_they_fit(
    error: Callable[[], Exception], scorer_on: Callable[..., Scorer], caplog: pytest.LogCaptureFixture
) -> None:
    toy = Toy(memory=70, error=error)
    with caplog.at_level(logging.WARNING):
        found = scorer_on(toy, token_budget=512).predict(TEXTS)
    assert found.probabilities.tolist() == scorer_on(Toy()).predict(TEXTS).probabilities.tolist()
    assert toy.budgets == [512, 256, 128, 64]
    assert (toy.refused, toy.released) == (3, 3)
    assert "out of memory with batches of 512 tokens: going on with 256" in caplog.text


def test_what_was_computed_before_memory_ran_out_stays(scorer_on: Callable[..., Scorer]) -> None:
    texts = ["好" * 60, *(f"好{number}" for number in range(100))]  # a long text, and then many in a batch
    toy = Toy(memory=128)
    found = scorer_on(toy, token_budget=256).predict(texts)
    assert toy.refused > 0
    assert len(toy.computed) == len(set(toy.computed)) == len(texts)
    assert found.probabilities.tolist() == scorer_on(Toy()).predict(texts).probabilities.tolist()


def test_memory_that_runs_out_while_chunks_overlap_loses_no_text(scorer_on: Callable[..., Scorer]) -> None:
    toy = Toy(memory=70, at_once=5)
    chunks = scorer_on(toy, token_budget=512, remembered_texts=0).stream(in_windows(TEXTS, 7))
    found = np.concatenate([predictions.probabilities for _, predictions in chunks])
    assert found.tolist() == scorer_on(Toy()).predict(TEXTS).probabilities.tolist()
    assert len(toy.computed) == len(set(toy.computed)) == len(TEXTS)


def test_a_reader_that_runs_out_of_memory_is_no_batch_that_was_too_large(scorer_on: Callable[..., Scorer]) -> None:
    def chunks() -> Iterator[tuple[int, Sequence[str]]]:
        yield 0, TEXTS[:4]
        raise MemoryError("reading the next reviews")

    toy = Toy()
    streamed = scorer_on(toy, token_budget=512).stream(chunks())
    assert next(streamed)[1].reasons == {}
    with pytest.raises(MemoryError, match="reading the next reviews"):
        next(streamed)
    assert (toy.budgets, toy.released) == ([512], 0)


def test_the_batches_that_fit_are_kept_for_the_next_chunks(scorer_on: Callable[..., Scorer]) -> None:
    toy = Toy(memory=70)
    scorer = scorer_on(toy, token_budget=512, remembered_texts=0)
    scorer.predict(TEXTS)
    refused = toy.refused
    assert scorer.predict(TEXTS).reasons == {}
    assert toy.refused == refused


def test_a_longest_text_that_fits_no_memory_lets_the_error_out(scorer_on: Callable[..., Scorer]) -> None:
    toy = Toy(memory=40)
    with pytest.raises(torch.OutOfMemoryError):
        scorer_on(toy, token_budget=512).predict([*TEXTS[:12], "好" * 60])
    assert toy.budgets == [512, 256, 128, 64, 62]


@pytest.mark.parametrize(
    "error", [lambda: RuntimeError("CUDA error: device-side assert triggered"), lambda: ValueError("no such shape")]
)
def test_other_errors_of_an_engine_come_out_at_once(
    error: Callable[[], Exception], scorer_on: Callable[..., Scorer]
) -> None:
    toy = Toy(memory=70, error=error)
    with pytest.raises(type(error()), match=str(error())):
        scorer_on(toy, token_budget=512).predict(TEXTS)
    assert (toy.refused, toy.released) == (1, 0)


# No number


@pytest.mark.parametrize("no_number", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_a_text_that_the_model_gives_no_number_for_stops_no_other(
    no_number: float, tokenizer: TextTokenizer, scorer_on: Callable[..., Scorer]
) -> None:
    toy = Toy(no_number_for=[row_of(tokenizer, TEXTS[3])], no_number=no_number)
    found = scorer_on(toy).predict([None, *TEXTS])
    assert found.reasons == {0: BLANK, 4: "the model gives no number for the text"}
    assert found.labels[[0, 4]].tolist() == [-1, -1]
    others = [position for position in range(len(TEXTS) + 1) if position not in (0, 4)]
    whole = scorer_on(Toy()).predict([None, *TEXTS])
    assert found.probabilities[others].tolist() == whole.probabilities[others].tolist()


def test_a_model_that_gives_no_number_for_most_texts_is_broken(
    tokenizer: TextTokenizer, scorer_on: Callable[..., Scorer]
) -> None:
    toy = Toy(no_number_for=[row_of(tokenizer, text) for text in TEXTS[:-2]])
    expected = (
        f"gives no number for {len(TEXTS) - 2} of {len(TEXTS)} reviews: .*weights are broken, .*SENTI_VARIANT=fp32"
    )
    with pytest.raises(ArtifactError, match=expected):
        scorer_on(toy).predict([None, *TEXTS])


# Poison

GOOD = ["".join(three) for three in islice(permutations(PHRASES, 3), 1_000)]
NUL = "the text holds a NUL character, which PostgreSQL cannot store"
HALF = "the text holds half of a surrogate pair, which is no character"
REFUSED: dict[str, tuple[str | None, str]] = {
    "nothing": (None, BLANK),
    "an empty text": ("", BLANK),
    "white space": (" \t\r\n\x0b\u3000\u00a0\u2003\u2028", BLANK),
    "zero width": ("\u200b\u2060\ufeff", BLANK),
    "control characters": ("\x01\x7f\x9f", BLANK),
    "a NUL alone": ("\0", BLANK),
    "a NUL inside": ("房间\0很好", NUL),
    "a NUL at the end": ("很好\0", NUL),
    "the first half of a pair": ("很好\ud83d", HALF),
    "the second half of a pair": ("\ude0a很好", HALF),
    "both halves, apart": ("\ud83d\ude0a", HALF),
}
LABELLED: dict[str, tuple[str, bool]] = {
    "a megabyte": ("很好，" * 116_509, True),
    "a megabyte of one word": ("a" * 1_048_576, False),  # a word too long is one unknown token
    "a megabyte of blanks and a word": (" " * 1_048_576 + "好", False),
    "a megabyte of combining marks": ("e" + "\u0301" * 524_288, False),
    "emoji": ("😊👍🏽👨‍👩‍👧🇨🇳❤️", False),
    "a thousand emoji": ("😡 " * 1_000, True),
    "unknown characters": ("龘" * 10_000, True),
    "unknown characters, all different": ("".join(map(chr, range(0x20000, 0x20000 + 10_000))), True),
    "right-to-left marks": ("\u202e\u200f很好\u200e\u202c", False),
    "right-to-left marks alone": ("\u200f\u200e\u202e", False),  # not blank, though nothing is to be seen
    "right-to-left letters": ("שלום عليكم", False),
    "private, unassigned and no characters": ("\ue000\u0378\uffff\U0010ffff", False),
    "special tokens": ("[CLS][SEP][PAD][MASK]", False),
    "ten thousand special tokens": ("[SEP]" * 10_000, True),
    "a replacement character": ("很\ufffd好", False),
}
POISON: dict[str, str | None] = {name: text for name, (text, _) in {**REFUSED, **LABELLED}.items()}


@pytest.fixture(scope="module")
def poisoned(tiny: Scorer) -> tuple[Predictions, dict[str, int]]:
    """What comes of a thousand good reviews with the bad ones spread among them, and where the bad ones stand."""
    texts: list[str | None] = list(GOOD)
    for place, text in enumerate(POISON.values()):
        texts.insert(37 * place, text)
    return tiny.predict(texts), {name: 37 * place for place, name in enumerate(POISON)}


def test_good_reviews_are_labelled_whatever_stands_beside_them(
    poisoned: tuple[Predictions, dict[str, int]], model_folder: Path
) -> None:
    found, places = poisoned
    assert len(set(GOOD)) == 1_000
    good = np.setdiff1d(np.arange(len(found.labels)), list(places.values()))
    undisturbed = loading.load(model_folder, "fp32", "cpu").predict(GOOD)
    assert found.labels[good].tolist() == undisturbed.labels.tolist()
    np.testing.assert_allclose(found.probabilities[good], undisturbed.probabilities, atol=1e-3)
    assert not found.truncated[good].any()


def test_only_the_bad_reviews_have_reasons(poisoned: tuple[Predictions, dict[str, int]]) -> None:
    found, places = poisoned
    assert found.reasons == {places[name]: reason for name, (_, reason) in REFUSED.items()}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_scored_has_no_label(name: str, poisoned: tuple[Predictions, dict[str, int]]) -> None:
    found, places = poisoned
    position = places[name]
    assert found.labels[position] == -1
    assert np.isnan(found.probabilities[position]).all()
    assert not found.truncated[position]


@pytest.mark.parametrize("name", LABELLED)
def test_what_is_only_strange_has_a_label(name: str, poisoned: tuple[Predictions, dict[str, int]]) -> None:
    found, places = poisoned
    position = places[name]
    assert found.labels[position] in (0, 1)
    assert np.isfinite(found.probabilities[position]).all()
    assert found.truncated[position] == LABELLED[name][1]


@pytest.mark.parametrize("name", POISON)
def test_a_bad_review_alone_comes_out_as_among_others(
    name: str, poisoned: tuple[Predictions, dict[str, int]], model_folder: Path
) -> None:
    found, places = poisoned
    alone = loading.load(model_folder, "fp32", "cpu").predict([POISON[name]])
    assert alone.labels[0] == found.labels[places[name]]
    np.testing.assert_allclose(alone.probabilities[0], found.probabilities[places[name]], atol=1e-3)
