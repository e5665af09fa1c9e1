import os
from pathlib import Path

import pytest

from senti_tasks.corpus import snapshot
from senti_tasks.corpus.leak_check import keep_apart, leaking_rows
from senti_tasks.corpus.near_duplicates import shingles
from senti_tasks.corpus.splits import SET_ASIDE
from senti_tasks.text import folded
from tests.made_up_reviews import made_up_reviews, review

STORY = "酒店的位置很好，离地铁站只有两分钟，房间也很干净，早餐的种类不少，就是隔音差了一点，晚上能听见走廊里的声音"


def test_the_leak_check_finds_equal_texts_and_near_duplicates() -> None:
    train = [STORY, "物流太慢", "屏幕很亮"]
    test = [f"{STORY}！！", STORY.replace("两分钟", "三分钟"), "物流很快", "早餐一般"]
    assert leaking_rows(train, test) == {0, 1}


def test_nothing_leaks_into_nothing() -> None:
    assert leaking_rows([], [STORY]) == leaking_rows([STORY], []) == set()


def test_what_an_older_ledger_let_leak_is_left_out_of_train_and_what_was_set_aside_of_all() -> None:
    texts = [STORY, STORY.replace("两分钟", "三分钟"), "物流太慢，包装也破了"]
    rows = [review(number, text) for number, text in enumerate(texts)] + made_up_reviews(6)
    examples, _ = snapshot.clean(rows)
    splits = {one.content_hash: "train" for one in examples}
    splits |= {one.content_hash: "test" for one in examples if one.text == STORY}
    splits |= {one.content_hash: SET_ASIDE for one in examples if one.text.startswith("物流")}
    kept, left_out = keep_apart(examples, splits, {one.content_hash: shingles(one.text) for one in examples})
    assert left_out == {"near-duplicate of several splits": 1, "resembles held-out": 1}
    assert [one for one in examples if one not in kept] == [one for one in examples if one.text in texts[1:]]


@pytest.mark.skipif("SENTI_REAL_DATA" not in os.environ, reason="SENTI_REAL_DATA does not point to the real files")
def test_the_leak_check_finds_what_the_published_split_of_chnsenticorp_leaks() -> None:
    folder = Path(os.environ["SENTI_REAL_DATA"]) / "chnsenticorp"
    train, test = (
        [line.split("\t", 1)[1] for line in (folder / name).read_text("utf-8").strip().split("\n")[1:]]
        for name in ("train.tsv", "dev.tsv")
    )
    leaking = leaking_rows(train, test)
    known = {folded(text) for text in train}
    equal = sum(folded(test[row]) in known for row in leaking)
    assert 330 < equal < len(leaking), "the others are near-duplicates"
