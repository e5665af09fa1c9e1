import random
from collections import Counter

from senti_tasks.corpus.near_duplicates import shingles
from senti_tasks.corpus.splits import SET_ASIDE, SPLITS, decide, split_of
from senti_tasks.text import content_hash
from tests.made_up_reviews import of_split

STORY = "酒店的位置很好，离地铁站只有两分钟，房间也很干净，早餐的种类不少，就是隔音差了一点，晚上能听见走廊里的声音"


def test_eight_in_ten_texts_train_and_one_each_validates_and_tests() -> None:
    counts = Counter(split_of(content_hash(f"第{number}条评论")) for number in range(20_000))
    shares = [counts[split] / 20_000 for split in SPLITS]
    assert [round(share, 2) for share in shares] == [0.8, 0.1, 0.1]


def test_a_text_keeps_its_split_when_case_width_or_punctuation_change() -> None:
    assert split_of(content_hash("WiFi很快！")) == split_of(content_hash("ｗｉｆｉ 很快。"))


def test_the_ends_of_the_key_space_have_a_split() -> None:
    assert split_of("0" * 64) == "test"
    assert split_of("f" * 64) == "train"


def test_without_a_near_duplicate_the_hash_decides() -> None:
    new = {content_hash(text): shingles(text) for text in (f"{number}号房间很好，早餐一般" * 2 for number in range(9))}
    ledger = [("test", shingles("物流太慢了，包装也破了"))]
    assert decide(new, ledger) == {key: split_of(key) for key in new}


def test_a_text_follows_the_near_duplicate_that_came_before_it() -> None:
    first, later = of_split("test", STORY), of_split("train", STORY)
    new = {content_hash(text): shingles(text) for text in (first, later)}
    assert list(decide(new, []).values()) == ["test", "test"]
    assert list(decide(dict(reversed(new.items())), []).values()) == ["train", "train"]
    assert list(decide(new, [("validation", shingles(STORY))]).values()) == ["validation", "validation"]


def test_a_text_that_resembles_two_splits_is_set_aside_and_takes_nobody_with_it() -> None:
    text = of_split("train", STORY)
    later = of_split("train", STORY, start=500)
    new = {content_hash(text): shingles(text), content_hash(later): shingles(later)}
    ledger = [("train", shingles(STORY[:46])), ("test", shingles(STORY))]
    assert decide(new, ledger)[content_hash(text)] == SET_ASIDE
    assert decide({content_hash(later): shingles(later)}, [(SET_ASIDE, shingles(text))]) == {
        content_hash(later): "train"
    }


def test_in_portions_of_any_size_no_two_splits_hold_near_duplicates() -> None:
    draw = random.Random(5)  # noqa: S311
    stories = ["".join(draw.choices("好差快慢大小新旧甜咸冷热", k=60)) for _ in range(60)]
    texts = [f"{draw.choice(stories)}{draw.choice('赞踩转评')}{draw.choice('一二三四五六七')}" for _ in range(250)]
    for portion in (40, 400):
        ledger: dict[str, str] = {}
        known = {content_hash(text): shingles(text) for text in texts}
        keys = list(known)
        for start in range(0, len(keys), portion):
            new = {key: known[key] for key in keys[start : start + portion]}
            ledger |= decide(new, [(split, known[key]) for key, split in ledger.items()])
        of_story: dict[str, set[str]] = {}
        for text in texts:
            of_story.setdefault(text[:60], set()).add(ledger[content_hash(text)])
        assert all(len(splits - {SET_ASIDE}) == 1 for splits in of_story.values())
