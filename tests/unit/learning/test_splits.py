from collections import Counter

from senti_tasks.learning.splits import SPLITS, split_of
from senti_tasks.text import split_key


def test_eight_in_ten_texts_train_and_one_each_validates_and_tests() -> None:
    counts = Counter(split_of(split_key(f"第{number}条评论")) for number in range(20_000))
    shares = [counts[split] / 20_000 for split in SPLITS]
    assert [round(share, 2) for share in shares] == [0.8, 0.1, 0.1]


def test_a_text_keeps_its_split_when_case_width_or_punctuation_change() -> None:
    assert split_of(split_key("WiFi很快！")) == split_of(split_key("ｗｉｆｉ 很快。"))


def test_the_ends_of_the_key_space_have_a_split() -> None:
    assert split_of("0" * 64) == "test"
    assert split_of("f" * 64) == "train"
