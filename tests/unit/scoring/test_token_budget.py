"""The token budget of a batch: measured once, and stored."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from senti_tasks.scoring import token_budget
from senti_tasks.scoring.config import ScoreConfig
from senti_tasks.scoring.scorer import Scorer
from senti_tasks.scoring.token_budget import TokenBudget
from senti_tasks.scoring.tokens import TextTokenizer, Tokens
from tests.situations import PHRASES
from tests.unit.scoring.toy import Toy

BUDGETS = (64, 128, 256, 512)
MANY = 1_000_000
"""Texts to come, so many that a probe pays."""


class Clock:
    """Takes so many seconds for each budget, the first time ten times as long; keeps what it was asked to score."""

    def __init__(self, seconds: Mapping[int, float]) -> None:
        self.asked: list[tuple[int, Tokens]] = []
        self._seconds = seconds

    def __call__(self, tokens: Tokens, budget: int) -> float:
        first = budget not in [asked for asked, _ in self.asked]
        self.asked.append((budget, tokens))
        return self._seconds[budget] * (10 if first else 1)


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({64: 4.0, 128: 3.0, 256: 2.0, 512: 1.0}, 512),
        ({64: 4.0, 128: 1.0, 256: 2.0, 512: 3.0}, 128),
        ({64: 4.0, 128: 1.02, 256: 1.0, 512: 1.01}, 128),  # as good as equal: the smallest of them
        ({64: 1.0, 128: 1.0, 256: 1.0, 512: 1.0}, 64),
        ({64: 1.04, 128: 1.2, 256: 1.0, 512: 2.0}, 256),
    ],
)
def test_the_fastest_budget_is_taken_and_of_near_equals_the_smaller(seconds: dict[int, float], best: int) -> None:
    assert token_budget.best_budget(Clock(seconds), BUDGETS, longest=512, batches=2) == best


def test_a_busy_moment_does_not_decide() -> None:
    times = {64: [9.0, 2.0], 128: [1.5, 8.0], 256: [3.0, 1.0], 512: [4.0, 4.0]}
    assert token_budget.best_budget(lambda _, budget: times[budget].pop(0), BUDGETS, longest=512, batches=1) == 256


@pytest.mark.parametrize("longest", [16, 64, 512])
def test_a_probe_fills_the_largest_batches_with_what_the_model_reads(longest: int) -> None:
    clock = Clock(dict.fromkeys(BUDGETS, 1.0))
    token_budget.best_budget(clock, BUDGETS, longest, batches=3)
    for _, tokens in clock.asked:
        assert tokens.lengths.max() <= longest
        assert len(tokens.ids) >= 3 * max(BUDGETS)
        assert tokens.offsets[-1] == len(tokens.ids)
    assert {budget for budget, _ in clock.asked} == set(BUDGETS)


# On file


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    file = tmp_path / "var" / "token_budgets.json"
    assert token_budget.stored(file, "CPU, fp32") is None
    token_budget.store(file, "CPU, fp32", 1_024)
    token_budget.store(file, "GPU, bf16", 32_768)
    token_budget.store(file, "CPU, fp32", 2_048)
    assert token_budget.stored(file, "CPU, fp32") == 2_048
    assert token_budget.stored(file, "GPU, bf16") == 32_768
    assert token_budget.stored(file, "CPU, int8") is None
    assert [path.name for path in file.parent.iterdir()] == ["token_budgets.json"]


UNREADABLE = {"no JSON": b"{", "nothing": b"", "no UTF-8": b"\xff\xfe\x00", "a list": b"[1, 2]", "null": b"null"}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_cannot_be_read_is_ignored_and_replaced(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "token_budgets.json"
    file.write_bytes(content)
    assert token_budget.stored(file, "CPU") is None
    token_budget.store(file, "CPU", 512)
    assert token_budget.stored(file, "CPU") == 512


@pytest.mark.parametrize("value", ["512", 512.5, None, [512]])
def test_a_value_that_is_no_number_of_tokens_is_ignored(value: object, tmp_path: Path) -> None:
    file = tmp_path / "token_budgets.json"
    file.write_text(json.dumps({"CPU": value}), encoding="utf-8")
    assert token_budget.stored(file, "CPU") is None


# In a scorer


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> TextTokenizer:
    return TextTokenizer.load(model_folder)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "token_budgets.json"


def scorer_of(
    tokenizer: TextTokenizer, toy: Toy, file: Path, key: str = "toy", given: int | None = None, **settings: int
) -> Scorer:
    budget = TokenBudget(toy, given, (file, key))
    return Scorer(tokenizer, toy, 2, ScoreConfig(**settings), token_budget=budget)


def score(scorer: Scorer, texts: int) -> None:
    """Scores the phrases as the first of so many texts."""
    for _, found in scorer.stream([("", PHRASES)], expected=texts):
        assert found.reasons == {}


def tried(toy: Toy) -> int:
    """How many budgets were tried before the texts were scored."""
    return len(toy.budgets) - 1


def test_a_scorer_probes_when_much_is_to_come(tokenizer: TextTokenizer, file: Path) -> None:
    toy = Toy()
    score(scorer_of(tokenizer, toy, file), MANY)
    assert set(toy.budgets[:-1]) == set(toy.token_budgets)
    assert toy.budgets[-1] == token_budget.stored(file, "toy")


@pytest.mark.parametrize("texts", [1, len(PHRASES), 100])
def test_a_scorer_does_not_probe_for_a_few_texts(texts: int, tokenizer: TextTokenizer, file: Path) -> None:
    toy = Toy()
    score(scorer_of(tokenizer, toy, file), texts)
    assert toy.budgets == [toy.token_budgets[1]]
    assert not file.exists()


def test_what_a_probe_found_serves_the_next_scorer(tokenizer: TextTokenizer, file: Path) -> None:
    score(scorer_of(tokenizer, Toy(), file), MANY)
    found = token_budget.stored(file, "toy")
    again = Toy()
    score(scorer_of(tokenizer, again, file), MANY)
    assert again.budgets == [found]


def test_a_kept_budget_serves_for_a_few_texts_too(tokenizer: TextTokenizer, file: Path) -> None:
    token_budget.store(file, "toy", 333)
    toy = Toy()
    score(scorer_of(tokenizer, toy, file), 1)
    assert toy.budgets == [333]


def test_another_device_or_model_probes_for_itself(tokenizer: TextTokenizer, file: Path) -> None:
    score(scorer_of(tokenizer, Toy(), file), MANY)
    other = Toy()
    score(scorer_of(tokenizer, other, file, key="another"), MANY)
    assert tried(other) > 0


def test_a_scorer_probes_once(tokenizer: TextTokenizer, file: Path) -> None:
    toy = Toy()
    scorer = scorer_of(tokenizer, toy, file, remembered_texts=0)
    score(scorer, MANY)
    first = tried(toy)
    score(scorer, MANY)
    assert tried(toy) == first + 1


def test_a_budget_that_is_given_is_not_probed_for(tokenizer: TextTokenizer, file: Path) -> None:
    token_budget.store(file, "toy", 333)
    toy = Toy()
    score(scorer_of(tokenizer, toy, file, given=777), MANY)
    assert toy.budgets == [777]


def test_a_scorer_without_a_file_probes_for_itself(tokenizer: TextTokenizer) -> None:
    toy = Toy()
    score(Scorer(tokenizer, toy, 2, ScoreConfig()), MANY)
    assert tried(toy) > 0


@pytest.mark.parametrize("texts", [1, MANY])
def test_an_engine_with_one_budget_is_given_that_one(texts: int, tokenizer: TextTokenizer, file: Path) -> None:
    toy = Toy()
    toy.token_budgets = (256,)
    score(scorer_of(tokenizer, toy, file), texts)
    assert toy.budgets == [256]
    assert not file.exists()


@pytest.mark.parametrize("memory", [40, 64, 200])
def test_a_probe_that_runs_out_of_memory_does_not_end_the_run(
    memory: int, tokenizer: TextTokenizer, file: Path
) -> None:
    toy = Toy(memory)
    score(scorer_of(tokenizer, toy, file), MANY)
    assert toy.budgets[-1] <= memory
    assert toy.released == toy.refused > 0


def test_other_errors_of_a_probe_come_out(tokenizer: TextTokenizer, file: Path) -> None:
    toy = Toy(memory=200, error=lambda: RuntimeError("device-side assert triggered"))
    with pytest.raises(RuntimeError, match="device-side assert"):
        score(scorer_of(tokenizer, toy, file), MANY)
    assert not file.exists()


def test_a_file_that_cannot_be_written_does_not_end_the_run(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    toy = Toy()
    score(scorer_of(tokenizer, toy, tmp_path / "taken" / "token_budgets.json"), MANY)
    assert toy.budgets[-1] in toy.token_budgets
