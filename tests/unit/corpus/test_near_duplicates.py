import random

import numpy as np
import pytest

from senti_tasks.corpus.near_duplicates import THRESHOLD, NearDuplicates, jaccard, pairs, shingles

LONG = "酒店的位置很好，离地铁站只有两分钟，房间也很干净，早餐的种类不少，就是隔音差了一点，晚上能听见走廊里的声音。"


def test_shingles_are_the_same_on_every_machine() -> None:
    assert shingles("房间很好").tolist() == [1467910699, 1593772761]
    assert shingles("房间很好").dtype == np.uint32


@pytest.mark.parametrize("other", ["房 间，很好！", "房间很好。。。"])
def test_punctuation_and_spacing_make_no_difference(other: str) -> None:
    assert np.array_equal(shingles(other), shingles("房间很好"))


@pytest.mark.parametrize("text", ["好", "好评", "👍", ""])
def test_a_text_shorter_than_a_shingle_has_one_of_its_own(text: str) -> None:
    assert len(shingles(text)) == 1


def test_one_changed_character_of_a_long_review_is_a_near_duplicate_and_another_review_is_not() -> None:
    changed = LONG.replace("两分钟", "三分钟")
    assert THRESHOLD <= jaccard(shingles(LONG), shingles(changed)) < 1
    assert jaccard(shingles(LONG), shingles("物流太慢，包装也破了")) < 0.1


def test_near_duplicates_are_found_by_key_and_verified() -> None:
    known = NearDuplicates()
    assert known.matches(shingles(LONG)) == []
    for key, text in {"b": LONG, "a": f"{LONG}赞", "c": LONG[:25], "d": "物流太慢"}.items():
        known.add(key, shingles(text))
    assert known.matches(shingles(LONG)) == ["a", "b"]


def test_candidates_and_all_pairs_find_the_same() -> None:
    draw = random.Random(3)  # noqa: S311
    first = ["".join(draw.choices("好差快慢大小新旧甜咸冷热", k=draw.randint(5, 60))) for _ in range(300)]
    second = [text[:-2] + draw.choice("好差") if len(text) > 20 and draw.random() < 0.5 else text for text in first]
    left, right = [shingles(text) for text in first], [shingles(text) for text in second]
    known = NearDuplicates()
    for number, text in enumerate(right):
        known.add(str(number), text)
    found = [(row, int(key)) for row, text in enumerate(left) for key in known.matches(text)]
    assert sorted(found) == pairs(left, right)
    assert len(found) > 100


def test_no_texts_make_no_pairs() -> None:
    assert pairs([], [shingles(LONG)]) == pairs([shingles(LONG)], []) == []
