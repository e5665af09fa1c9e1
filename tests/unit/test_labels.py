"""How labels are spelled."""

import math
from typing import Any

import pytest

from senti_tasks.errors import ConfigError
from senti_tasks.labels import DEFAULT, LabelSet


@pytest.mark.parametrize(
    "spelling", [1, "1", " 1 ", 1.0, "1.0", True, "positive", "Positive", "POS", "正面", "正", "好评"]
)
def test_one_is_positive_in_every_spelling(spelling: Any) -> None:
    assert DEFAULT.parse(spelling) == 1


@pytest.mark.parametrize("spelling", [0, "0", 0.0, "0.0", False, "negative", "neg", "负面", "负", "差评"])
def test_nought_is_negative_in_every_spelling(spelling: Any) -> None:
    assert DEFAULT.parse(spelling) == 0


@pytest.mark.parametrize("nothing", [None, "", "  ", "\u3000", math.nan])
def test_nothing_means_that_nobody_labelled_it(nothing: Any) -> None:
    assert DEFAULT.parse(nothing) is None


@pytest.mark.parametrize("stranger", [2, -1, 0.5, "2", "neutral", "中性", "1.5", "10", "positive.0", [1]])
def test_a_stranger_is_refused_with_what_was_expected(stranger: Any) -> None:
    with pytest.raises(ValueError, match=r"is not one of 0 \(negative\), 1 \(positive\)"):
        DEFAULT.parse(stranger)


def test_of_a_long_stranger_the_message_quotes_nothing() -> None:
    with pytest.raises(ValueError, match=r"label a text of 10,000 characters is not one of"):
        DEFAULT.parse("很" * 10_000)


def test_a_labels_number_is_its_place() -> None:
    three = LabelSet.listed(" negative , neutral,positive ")
    assert three.names == {0: "negative", 1: "neutral", 2: "positive"}
    assert three.numbers == {"negative": 0, "neutral": 1, "positive": 2}
    assert LabelSet.listed(str(three)) == three


@pytest.mark.parametrize(
    ("spelling", "label"),
    [("中性", 1), ("中评", 1), ("neu", 1), ("1", 1), ("好评", 2), ("pos", 2), (2.0, 2), ("差评", 0)],
)
def test_of_three_labels_the_usual_words_mean_theirs(spelling: Any, label: int) -> None:
    assert LabelSet(("negative", "neutral", "positive")).parse(spelling) == label


def test_the_usual_words_follow_a_chinese_name() -> None:
    named = LabelSet(("差评", "中评", "好评"))
    assert [named.parse(spelling) for spelling in ("差评", "neg", "中性", "positive", 0, "2")] == [0, 0, 1, 2, 0, 2]


def test_a_word_that_could_mean_two_labels_means_neither_but_a_name_means_itself() -> None:
    named = LabelSet(("差评", "负面", "好评"))
    assert (named.parse("差评"), named.parse("负面")) == (0, 1)
    with pytest.raises(ValueError, match="label 'neg' is not one of"):
        named.parse("neg")


def test_names_with_digits_are_spelled_by_name_alone() -> None:
    stars = LabelSet(("1星", "2星", "3星", "4星", "5星"))
    assert stars.parse("1星") == 0
    with pytest.raises(ValueError, match="label '1' is not one of 1星, 2星, 3星, 4星, 5星"):
        stars.parse(1)
    assert [LabelSet(("1", "2", "3")).parse(spelling) for spelling in (1, "2.0", 3.0)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ("positive", r"two names or more, from the most negative to the most positive, found \['positive'\]"),
        ("good,Good", "names that differ, also when case is ignored, found good,"),
        ("bad,,good", "without commas, equals signs and blanks around them, found ''"),
        ("bad=0,good", "found 'bad=0'"),
        ("bad,go\tod", "found 'go"),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(names: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        LabelSet.listed(names)


# A map


STARS = "1=negative, 2=0,3=,4=pos,5.0=好评,差=negative,a=b=1"


@pytest.mark.parametrize(
    ("value", "label"),
    [(1, 0), ("2", 0), (2.0, 0), ("3", None), (4, 1), ("5", 1), ("差", 0), (" A=B ", 1), ("", None), (None, None)],
)
def test_a_map_says_what_values_mean(value: Any, label: int | None) -> None:
    assert DEFAULT.mapped(STARS).parse(value) == label


@pytest.mark.parametrize("stranger", [0, 6, "positive", 4.5])
def test_a_value_that_the_map_does_not_name_is_refused(stranger: Any) -> None:
    with pytest.raises(ValueError, match=r"is not one of 1, 2, 3, 4, 5\.0, 差, a=b, which --label-map names"):
        DEFAULT.mapped(STARS).parse(stranger)


@pytest.mark.parametrize(
    ("label_map", "complaint"),
    [
        ("", "--label-map holds '': expected VALUE=LABEL with commas between"),
        ("1=negative,2", "--label-map holds '2': expected VALUE=LABEL"),
        ("=negative", "--label-map holds '=negative': expected VALUE=LABEL"),
        ("3=neutral", r"holds '3=neutral': label 'neutral' is not one of 0 \(negative\), 1 \(positive\)"),
        ("1=0,1.0=1", "gives '1.0' two meanings"),
    ],
)
def test_a_map_that_cannot_be_meant_is_refused(label_map: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        DEFAULT.mapped(label_map)
