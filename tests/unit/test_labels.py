"""How labels are spelled."""

import math
from typing import Any

import pytest

from senti_tasks import labels


@pytest.mark.parametrize(
    "spelling", [1, "1", " 1 ", 1.0, "1.0", True, "positive", "Positive", "POS", "正面", "正", "好评"]
)
def test_one_is_positive_in_every_spelling(spelling: Any) -> None:
    assert labels.parse(spelling) == 1


@pytest.mark.parametrize("spelling", [0, "0", 0.0, "0.0", False, "negative", "neg", "负面", "负", "差评"])
def test_nought_is_negative_in_every_spelling(spelling: Any) -> None:
    assert labels.parse(spelling) == 0


@pytest.mark.parametrize("nothing", [None, "", "  ", "\u3000", math.nan])
def test_nothing_means_that_nobody_labelled_it(nothing: Any) -> None:
    assert labels.parse(nothing) is None


@pytest.mark.parametrize("stranger", [2, -1, 0.5, "2", "neutral", "中性", "1.5", "10", "positive.0.0", [1]])
def test_a_stranger_is_refused_with_what_was_expected(stranger: Any) -> None:
    with pytest.raises(ValueError, match=r"is not one of 0 \(negative\), 1 \(positive\)"):
        labels.parse(stranger)


def test_a_long_stranger_is_cut_short_in_the_message() -> None:
    with pytest.raises(ValueError, match=r"label '很{40}' is not one of"):
        labels.parse("很" * 10_000)


def test_names_and_numbers_say_the_same() -> None:
    assert {number: name for name, number in labels.NUMBERS.items()} == labels.NAMES
    assert sorted(labels.NAMES) == list(range(len(labels.NAMES)))
